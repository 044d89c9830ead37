"""A Function Fuse workflow whose results lie at any URL: what has run once is skipped the next time.

    python functionfuse_workflow.py s3://my-bucket/results

Without a URL, results lie in a folder below the working folder. Without Function Fuse (it is on GitHub:
IBM/functionfuse), the same nodes run in turn, with the same calls of the storage.
"""

import sys
from typing import Any

from persistence_fsspec.faces.functionfuse import storage_factory  # in the place of functionfuse.storage's

try:
    from functionfuse import workflow
    from functionfuse.backends.builtin.localback import LocalWorkflow
except ImportError:
    workflow = None

calculated: list[str] = []


def load() -> list[int]:
    calculated.append("load")
    return list(range(10))


def mean(numbers: list[int]) -> float:
    calculated.append("mean")
    return sum(numbers) / len(numbers)


def with_function_fuse(storage: Any) -> float:
    numbers = workflow(load)().set_name("load")
    result = workflow(mean)(numbers).set_name("mean")
    local = LocalWorkflow(result, workflow_name="demo")
    local.set_storage(storage)
    return local.run()


def in_turn(storage: Any) -> float:
    storage.new_workflow("demo")
    try:
        numbers = storage.read_task("demo", "load")
    except FileNotFoundError:
        storage.save("demo", "load", numbers := load())
    try:
        return storage.read_task("demo", "mean")
    except FileNotFoundError:
        storage.save("demo", "mean", result := mean(numbers))
        return result


def run(storage: Any) -> None:
    calculated.clear()
    result = with_function_fuse(storage) if workflow else in_turn(storage)
    skipped = [name for name in ("load", "mean") if name not in calculated]
    print(f"mean: {result}; calculated: {', '.join(calculated) or 'nothing'}; skipped: {', '.join(skipped) or 'nothing'}")


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "results"
    options = {"kind": "fsspec", "options": {"path": path}}  # as it stands in a configuration file
    storage_factory(options).remove_workflow("demo")  # of an earlier time
    run(storage_factory(options))
    run(storage_factory(options))

    later = storage_factory(options)  # in another program, on another day
    print(later.list_tasks("demo", pattern="*"), later.read_task("demo", "mean"))
    later.remove_task("demo", "mean")  # or all that match: pattern="me*"
    run(later)


if __name__ == "__main__":
    main()
