"""End a program while results are still being saved on Ray, as a workflow does whose last node is a class.

Arguments: the folder for results, and a short one for Ray's sockets.
"""

import os
import sys
import time

os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO="0")

import ray

from persistence_fsspec.faces.functionfuse import FSSpecStorage


class OfThisScript:
    """Workers do not have it."""


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


@ray.remote
def late(make):
    time.sleep(2)
    return make()


def main() -> None:
    path, short = sys.argv[1:]
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        object_store_memory=100_000_000,
        _node_ip_address="127.0.0.1",
        _temp_dir=short,
    )
    storage = FSSpecStorage(path)
    _, _, saver = storage.get_writer_funcs("wf")
    saver.remote("late", (late.remote(int),))
    _, _, saver = storage.get_writer_funcs("wf2")
    for name, kind in (("never", Never), ("script", OfThisScript)):
        saver.remote(name, (late.remote(kind),))
    print(storage.list_tasks("wf", "*"))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
