"""Workflows of functionfuse itself that are run again and again; prints as JSON what was calculated each time.

Arguments: the backend (``local``, ``ray``, ``prefect``), and a short folder for what the run needs. On standard input
come, as JSON by name, the options of functionfuse's ``storage_factory`` for each store. ``NODES`` nodes make a diamond.
"""

import json
import os
import sys
import uuid
from pathlib import Path

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")

from functionfuse import storage as theirs
from functionfuse import workflow

import persistence_fsspec.faces.functionfuse  # it teaches their factory our kind

NODES = ["low", "high", "both", "result"]


def nodes_of(log):
    """The last node of a diamond; each writes a line when it is calculated."""

    def noted(name):
        with open(log, "a") as file:
            file.write(f"{name}\n")

    @workflow
    def low(a):
        noted("low")
        return list(range(a))

    @workflow
    def high(numbers):
        noted("high")
        return [n * 10 for n in numbers]

    @workflow
    def both(numbers, others):
        noted("both")
        return {"sum": sum(numbers) + sum(others)}

    @workflow
    def result(found, numbers):
        noted("result")
        return found["sum"] - len(numbers)

    first = low(5).set_name("low")
    second = high(first).set_name("high")
    third = both(first, second).set_name("both")
    return result(third, first).set_name("result")


def run_local(storage, log):
    from functionfuse.backends.builtin.localback import LocalWorkflow

    local = LocalWorkflow(nodes_of(log), workflow_name="reruns")
    local.set_storage(storage)
    return local.run()


def run_prefect(storage, log):
    from functionfuse.backends.addons.prefectback import PrefectWorkflow

    prefect = PrefectWorkflow(nodes_of(log), workflow_name="reruns")
    prefect.set_storage(storage)
    return prefect.run()


def run_ray(storage, log):
    from functionfuse.backends.builtin.rayback import RayWorkflow

    ray = RayWorkflow(nodes_of(log), workflow_name="reruns")
    ray.set_storage(storage)
    return ray.run(return_results=True)


def reruns(run, options, folder, *, partly):
    """Run all; again; *partly*, without two of the results, which functionfuse cannot do with Prefect; and without any."""
    log = Path(folder, uuid.uuid4().hex)
    log.touch()
    done, found = [], []

    def once():
        before = len(log.read_text().splitlines())
        found.append(run(theirs.storage_factory(options), log))
        done.append(sorted(log.read_text().splitlines()[before:]))

    once()
    once()
    later = theirs.storage_factory(options)
    listed, read = later.list_tasks("reruns", "*"), later.read_task("reruns", "both")
    if partly:
        later.remove_task("reruns", "result")
        later.remove_task("reruns", pattern="b*")
        once()
    later.remove_workflow("reruns")
    once()
    return {"results": found, "calculated": done, "listed": listed, "read": read}


def main() -> None:
    backend, folder = sys.argv[1:]
    stores = json.load(sys.stdin)
    if backend == "ray":
        import ray

        ray.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=100_000_000,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
    run = {"local": run_local, "ray": run_ray, "prefect": run_prefect}[backend]
    if backend == "ray":
        persistence_fsspec.faces.functionfuse.install(override=True)  # of kind "ray", too
    told = {name: reruns(run, options, folder, partly=backend != "prefect") for name, options in stores.items()}
    print(json.dumps(told))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
