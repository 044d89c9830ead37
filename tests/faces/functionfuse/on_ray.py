"""Store and read results on the workers of a Ray cluster; prints as JSON what came of it.

Arguments: URL, user, name of the variable that holds the password, a short folder
for Ray's sockets. The password comes on standard input, and only the workers get it
into their environment. Without a user, the URL needs none.

What `run` does with a storage is what functionfuse's ``RayWorkflow`` does with one.
"""

import json
import os
import sys
import time
import warnings

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")

import ray

from persistence_fsspec import SecretReference
from persistence_fsspec.faces.functionfuse import FSSpecStorage, InvalidPickle, RayStorage, storage_factory

REMOTE = {"resources": {"_disk": 0.001}}


class Never:
    """Cannot be pickled by a storage, but by Ray."""

    def __init__(self):
        self.travelled = False

    def __getstate__(self):
        if self.travelled:
            raise TypeError("not this one")
        return {}

    def __setstate__(self, state):
        self.travelled = True


def run(storage, workflow, nodes):
    """Results of nodes, each a function of the one before, and whether it was calculated."""
    new_workflow, reader, saver = storage.get_writer_funcs(workflow)
    ray.wait([new_workflow.remote()], fetch_local=False)

    @ray.remote
    def execute(function, before, name, reader):
        if ray.get(ray.remote(**reader.remote_args)(reader.file_exists).remote(name)):
            return ray.get(ray.remote(**reader.remote_args)(reader.read_task).remote(name))
        return function(*(ray.get(before)))

    result, saved = [], None
    for name, function in nodes:
        result = [execute.remote(function, result, name, reader)]
        saved = saver.remote(name, (result[0],))
    ray.wait([saved], fetch_local=False)
    return ray.get(result[0]), saved


def calculated(folder, *arguments):
    with open(os.path.join(folder, "calculated"), "a") as file:
        file.write("x")
    return sum(arguments) + 1


def on_workers(storage, folder):
    """Two runs; the second finds all that the first has saved."""
    nodes = [(f"n_{i:04}", lambda *before: calculated(folder, *before)) for i in range(3)]
    first, _ = run(storage, "wf", nodes)
    with open(os.path.join(folder, "calculated")) as file:
        once = len(file.read())
    second, _ = run(storage, "wf", nodes)
    with open(os.path.join(folder, "calculated")) as file:
        twice = len(file.read())
    return {"first": first, "second": second, "calculated": [once, twice]}


def told(call):
    try:
        return repr(call())
    except Exception as exc:
        kinds = [
            kind.__name__ for kind in (FileNotFoundError, InvalidPickle, TypeError, ConnectionError) if isinstance(exc, kind)
        ]
        return f"{kinds} {exc}"


@ray.remote
def late(value):
    time.sleep(1.5)
    return value


def saving(storage):
    """The last save stands for all before it: for a late one, and for one that failed."""
    _, _, saver = storage.get_writer_funcs("saving")
    saver.remote("late", (late.remote(1),))
    ray.wait([saver.remote("b", (ray.put(2),))])
    there = [storage.file_exists("saving", name) for name in ("late", "b")]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        saver.remote("never", (ray.put(Never()),))
        saver.remote("later", (late.remote(3),))
        failed = told(lambda: ray.get(saver.remote("c", (ray.put(4),))))
    others = [storage.file_exists("saving", name) for name in ("later", "c")]
    said = [str(one.message) for one in warned if issubclass(one.category, RuntimeWarning)]
    return {"there": there, "failed": failed, "others": others, "warned": said}


def on_one_node(storage, plain):
    """All calls of a storage that lives on a node."""
    storage.remove_workflow("never was")
    for name in ("a1", "a2", "b1", "c"):
        plain.save("one", name, name)
    plain._persistence.write_bytes("one/c", b"not whole")
    found = {
        "list": storage.list_tasks("one", "a*"),
        "read": storage.read_task("one", "b1"),
        "missing": told(lambda: storage.read_task("one", "z")),
        "broken": told(lambda: storage.read_task("one", "c")),
        "remove missing": told(lambda: storage.remove_task("one", "z")),
    }
    storage.remove_task("one", "b1")
    storage.remove_task("one", pattern="a*")
    found["left"] = storage.list_tasks("one", "*")
    storage.remove_workflow("one")
    found["gone"] = not plain.list_tasks("one", "*")
    ray.get(storage.actor.new_workflow.remote("two"))
    ray.get(storage.actor.save.remote("two", "a", (ray.put(7),)))
    found["by the actor"] = ray.get(storage.actor.read_task.remote("two", "a"))
    ray.kill(storage.actor)
    found["after its end"] = storage.read_task("two", "a")
    return found


def main() -> None:
    url, user, variable, folder = sys.argv[1:]
    password = sys.stdin.read()
    there = {"username": user, "password": SecretReference(env=variable)} if user else None
    setting = {
        "num_cpus": 2,
        "resources": {"_disk": 1},
        "include_dashboard": False,
        "log_to_driver": False,
        "configure_logging": False,
        "object_store_memory": 100_000_000,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": folder,
        "runtime_env": {"env_vars": {variable: password}},
    }
    options = {"path": url, "storage_options": there, "remoteArgs": REMOTE, "rayInitArgs": setting}
    node = storage_factory({"kind": "ray", "options": options})
    storage = FSSpecStorage(url, there, remote_args=REMOTE)
    work = os.path.join(folder, "work")
    os.makedirs(work)
    answers = {
        "kind": type(node).__name__,
        "secret here": variable in os.environ,
        "workers": on_workers(FSSpecStorage(f"{url}/workers", there), work),
        "memory": told(lambda: FSSpecStorage("memory://x").get_writer_funcs("wf")),
        "literal": told(
            lambda: FSSpecStorage("ftp://host/x", {"username": "me", "password": "hidden-one"}).get_writer_funcs("wf")
        ),
        "unreachable": told(
            lambda: FSSpecStorage("ftp://127.0.0.1:1/x", policy={"attempts": 1}).get_writer_funcs("wf")[0].remote()
        ),
        "name": told(lambda: storage.get_writer_funcs("../wf")),
    }
    # What this process itself reads needs the password, too; it is the only one that had not got it.
    os.environ[variable] = password
    answers["saving"] = saving(storage)
    answers["node"] = on_one_node(node, storage)
    answers["node's workers"] = run(RayStorage(f"{url}/node", there, remote_args=REMOTE), "wf", [("a", lambda: 41)])[0]
    plain = FSSpecStorage(url, there)
    plain.save("again", "a", 1)
    ray.shutdown()
    ray.init(**setting)
    answers["on the next cluster"] = node.list_tasks("again", "*")
    ray.shutdown()
    print(json.dumps(answers))  # noqa: T201


if __name__ == "__main__":
    main()
