"""One upload and one download by flytekit; prints seconds and the peak of resident memory above what was resident before.

Arguments: ``directory`` or ``file``, raw output prefix, number of files, size of the file.
"""

import json
import os
import pathlib
import resource
import sys
import tempfile
import time

from flytekit import FlyteContextManager, task
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile

what, prefix, files, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
SOURCE = pathlib.Path(tempfile.mkdtemp())


@task
def directory() -> FlyteDirectory:
    return FlyteDirectory(str(SOURCE), remote_directory=f"{prefix}/made")


@task
def file() -> FlyteFile:
    return FlyteFile(str(SOURCE / "large"), remote_path=f"{prefix}/made")


def prepare():
    if what == "file":
        with open(SOURCE / "large", "wb") as out:
            for _ in range(size // (1 << 20)):
                out.write(os.urandom(1 << 20))
        return
    for number in range(files):
        path = SOURCE / f"d{number // 20}" / f"f{number}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(16384))


def measured(act):
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before, begun = resident("VmRSS"), time.perf_counter()
    result = act()
    return result, {"seconds": time.perf_counter() - begun, "memory": resident("VmHWM") - before}


def resident(name):
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def downloaded(made):
    path = pathlib.Path(made.download())
    sizes = [one.stat().st_size for one in (path.rglob("*") if path.is_dir() else [path]) if one.is_file()]
    assert sizes == ([size] if what == "file" else [16384] * files), len(sizes)


prepare()
access = FileAccessProvider(tempfile.mkdtemp(), prefix)
with FlyteContextManager.with_context(FlyteContextManager.current_context().with_file_access(access)):
    access.exists(f"{prefix}/warm")
    _, up = measured({"directory": directory, "file": file}[what])
    remote = (FlyteFile if what == "file" else FlyteDirectory).from_source(f"{prefix}/made")
    _, down = measured(lambda: downloaded(remote))
print(json.dumps({"upload": up, "download": down}))
