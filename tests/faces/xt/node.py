"""What a run does on a compute node, which knows the service by its environment alone; prints what came back, as JSON."""

import json
import os
from pathlib import Path

import xt_here  # noqa: F401 - first: the database
from xtlib import utils
from xtlib.storage.store import Store

creds = json.loads(utils.base64_to_text(os.environ["XT_STORE_CREDS"]))
store = Store(
    creds,
    provider_code_path=os.environ["XT_STORE_CODE_PATH"],
    mongo_conn_str=utils.base64_to_text(os.environ["XT_MONGO_CONN_STR"]),
)
Path("result.txt").write_text("from the node")
store.upload_file_to_run("ws1", "run2", "after/result.txt", "result.txt")
store.append_run_file("ws1", "run2", "node.log", "one\n")
store.append_run_file("ws1", "run2", "node.log", "two\n")
answer = {
    "name": store.get_name(),
    "workspace": store.does_workspace_exist("ws1"),
    "files": store.get_run_filenames("ws1", "run2", "after/*")[1],
    "log": store.read_run_file("ws1", "run2", "node.log"),
}
print("\n" + json.dumps(answer))  # noqa: T201 - the answer, on a line of its own
