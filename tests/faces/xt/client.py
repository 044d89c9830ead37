"""What XT's Store does for users on one service; prints what came back, as JSON. Arguments: path, key."""

import hashlib
import json
import os
import sys
from pathlib import Path

import xt_here  # beside this program, and first
from xtlib import utils
from xtlib.helpers.feedbackProgress import FeedbackProgress
from xtlib.storage.store import Store
from xtlib.tensorboard_reader import TensorboardReader

config = xt_here.configure(*sys.argv[1:3])
store = Store(config=config)
provider = store.helper.provider
told = xt_here.told
answer = {
    "class": f"{type(provider).__module__}.{type(provider).__qualname__}",
    "name": store.get_name(),
    "retry": provider.get_retry() is not None,
    "prepared": sorted(provider.list_containers()),
}

# --- workspaces ---

store.create_workspace("ws1", "the first")
store.create_workspace("ws2")
answer["workspaces"] = {
    "names": store.get_workspace_names(),
    "twice": told(lambda: store.create_workspace("ws1")),
    "exists": [store.does_workspace_exist(name) for name in ("ws1", "ws3")],
    "log": json.loads(store.read_workspace_file("ws1", "workspace.log"))["event"],
}
store.create_workspace_file("ws1", "notes.txt", "ä\r\nb")
store.append_workspace_file("ws1", "notes.txt", "\nc")
answer["workspace file"] = store.read_workspace_file("ws1", "notes.txt")
answer["missing file"] = told(lambda: store.read_workspace_file("ws1", "nope.txt"))

# --- runs ---

runs = [store.start_run("ws1", exper_name="exper1", box_name="box", app_name="app", username="me") for _ in range(12)]
for name in ("run1", "run2"):
    store.log_run_event("ws1", name, "metrics", {"loss": 0.5})
answer["runs"] = {
    "started": runs,
    "listed": sorted(store.get_run_names("ws1"), key=len),
    "log": [one["event"] for one in store.get_run_log("ws1", "run1")],
    "exists": [store.does_run_exist("ws1", name) for name in ("run1", "run99")],
}

# --- files of runs ---

Path("model.bin").write_bytes(os.urandom(3_000_000))
store.upload_file_to_run("ws1", "run1", "models/model.bin", "model.bin")
store.download_file_from_run("ws1", "run1", "models/model.bin", "model.back")
answer["binary"] = (
    hashlib.sha256(Path("model.bin").read_bytes()).digest() == hashlib.sha256(Path("model.back").read_bytes()).digest()
)

xt_here.make("code", **{"train.py": "train", "data [1].txt": "brackets", "lib__util.py": "util", "lib__deep__x.py": "deep"})
answer["uploaded"] = sorted(store.upload_files_to_run("ws1", "run1", "code", "code/**"))
store.download_files_from_run("ws1", "run1", "code/**", "all")
answer["all below"] = xt_here.tree("all")
store.download_files_from_run("ws1", "run1", "code/*", "level")
answer["one level"] = xt_here.tree("level")
answer["folders of it"] = sorted(name for name in os.listdir("level") if os.path.isdir(f"level/{name}"))
answer["file names"] = store.get_run_filenames("ws1", "run1", "code")
answer["run file"] = [store.does_run_file_exist("ws1", "run1", name) for name in ("code/train.py", "code", "nope")]
store.delete_run_file("ws1", "run1", "code/train.py")
answer["file deleted"] = not store.does_run_file_exist("ws1", "run1", "code/train.py")
store.create_run_file("ws1", "run1", "empty.txt", "")
answer["empty"] = store.read_run_file("ws1", "run1", "empty.txt")

# --- snapshots, with XT's own progress ---

files, seen = store.run_files("ws1", "run1", use_blobs=True), []
feedback = FeedbackProgress(True, False)


def progress(*args, **more):
    seen.append(more.get("status") or args)
    feedback.progress(*args, **more)


feedback.start()
files.download_file("models/model.bin", "model.snap", progress_callback=progress, use_snapshot=True)
answer["snapshot"] = {
    "same": Path("model.snap").read_bytes() == Path("model.bin").read_bytes(),
    "original": store.does_run_file_exist("ws1", "run1", "models/model.bin"),
    "status": [one for one in seen if isinstance(one, str)],
    "bytes": [one for one in seen if not isinstance(one, str)][-1],
    "files": store.get_run_filenames("ws1", "run1", "models/*")[1],
}

# --- listings with sizes and times ---

listing = store.run_files("ws1", "run1", use_blobs=True).list_directories("code", subdirs=True)
answer["listing"] = {
    folder["folder_name"]: [sorted(folder["dirs"]), {file["name"]: file["size"] for file in folder["files"]}]
    for folder in listing["folders"]
}
store.create_run_file("ws1", "run1", "output/train/events.out.tfevents.1", "an event")
reader = TensorboardReader.__new__(TensorboardReader)
reader.store, reader.ws_name, reader.print_progress = store, "ws1", False
changed = {}
polls = [reader.poll_for_tensorboard_files(changed, "runs/run1/output", len("runs/run1/"), "board", "run1") for _ in range(2)]
answer["tensorboard"] = [*polls, xt_here.tree("logs")]

# --- experiments and jobs ---

for name in ("run1", "run2"):
    store.helper.append_experiment_run_name("ws1", "exper1", name)
store.create_experiment_file("ws1", "exper1", "sweep.yaml", "lr: 1")
answer["experiment"] = {
    "exists": [store.does_experiment_exist("ws1", name) for name in ("exper1", "exper9")],
    "runs": store.get_experiment_run_names("ws1", "exper1"),
    "file": store.read_experiment_file("ws1", "exper1", "sweep.yaml"),
}
job = store.create_job()
store.helper.create_job_dir(job)
store.helper.append_job_run_name(job, "ws1/run1")
store.helper.append_job_run_name(job, "ws1/run2")
store.upload_files_to_job(job, "before/code", "code/**")
answer["job"] = {
    "names": store.helper.get_job_names(),
    "runs": store.get_job_run_names(job),
    "code": provider.list_blobs("xt-store-info", f"jobs/{job}/before/code"),
}

# --- shares ---

store.create_share("data1")
share = store.root_files(utils.make_share_name("data1"), use_blobs=True)
xt_here.make("dataset", **{"a.csv": "1,2", "part__b.csv": "3,4"})
share.upload_files("mnist", "dataset/**")
share.download_files("mnist/**", "dataset.back")
answer["share"] = {
    "names": sorted(store.get_share_names()),
    "exists": [store.does_share_exist(name) for name in ("data1", "data2")],
    "back": xt_here.tree("dataset.back"),
    "deleted": store.delete_share("data1"),
    "left": store.does_share_exist("data1"),
    "twice": told(lambda: store.delete_share("data1")),
}

# --- deleting ---

store.helper.copy_run("ws1", "run1", "ws2", "copied")
answer["copied"] = len(provider.list_blobs("ws2", "runs/copied")) == len(provider.list_blobs("ws1", "runs/run1")) > 0
store.delete_run("ws1", "run1")
answer["run deleted"] = [
    "run1" in store.get_run_names("ws1"),
    provider.list_blobs("ws1", "runs/run1/"),
    "run12" in store.get_run_names("ws1"),
]
store.helper.delete_workspace("ws2")
answer["workspace deleted"] = [store.get_workspace_names(), told(lambda: store.helper.delete_workspace("ws2"))]

# --- what a compute node is given ---

creds = config.get_storage_creds()
answer["node"] = {
    "XT_STORE_CREDS": utils.text_to_base64(json.dumps(creds)),
    "XT_STORE_CODE_PATH": config.get_storage_provider_code_path(creds),
    "XT_MONGO_CONN_STR": utils.text_to_base64(config.get_mongo_creds()[0]["mongo-connection-string"]),
}
print("\n" + json.dumps(answer))  # noqa: T201 - the answer, on a line of its own
