"""XT with the configuration that the README shows, and its database in memory; prints the workspaces, as JSON."""

import json
import sys
from pathlib import Path

import xt_here  # noqa: F401 - first: the database
from xtlib.helpers.xt_config import get_merged_config
from xtlib.storage.store import Store

records = '{type: "mongo", mongo-connection-string: "mongodb://records:27017/x"}'
text = sys.argv[1].replace("external-services:\n", f"external-services:\n    mymongo: {records}\n")
text = text.replace("xt-services: {", 'xt-services: {mongo: "mymongo", ')
Path("xt_config.yaml").write_text(text + "general: {advanced-mode: true}\n", encoding="utf-8")
store = Store(config=get_merged_config())
store.create_workspace("ws1")
print("\n" + json.dumps(store.get_workspace_names()))  # noqa: T201 - the answer, on a line of its own
