"""A protocol of your own for Flyte: an fsspec filesystem, registered under its name. Flyte takes whatever fsspec knows.

This one, cf://, keeps what it is given compressed, in memory.
"""

import tempfile
import zlib
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from flytekit import FlyteContextManager, current_context, task, workflow
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.types.file import FlyteFile
from fsspec.implementations.memory import MemoryFileSystem


class CompressedFileSystem(MemoryFileSystem):
    """Only what differs: how a file is put and got."""

    protocol = "cf"
    store: ClassVar[dict[str, Any]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.removeprefix("cf://"))

    def put_file(self, lpath: str, rpath: str, **_: Any) -> None:
        self.pipe_file(rpath, zlib.compress(Path(lpath).read_bytes()))

    def get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        Path(lpath).write_bytes(zlib.decompress(self.cat_file(rpath)))


def main() -> None:
    fsspec.register_implementation("cf", CompressedFileSystem)  # in a package: an entry point of the group fsspec.specs

    folder = Path(tempfile.mkdtemp())
    access = FileAccessProvider(folder, "cf://vault")  # what --raw-output-data-prefix is for
    with FlyteContextManager.with_context(FlyteContextManager.current_context().with_file_access(access)):
        file = work(size=1_000_000)
        print(Path(file).stat().st_size, "bytes came back of", CompressedFileSystem().size(file.remote_source), "that are kept")


@task
def compute(size: int) -> FlyteFile:
    path = Path(current_context().working_directory, "zeros")
    path.write_bytes(bytes(size))
    return FlyteFile(str(path), remote_path="cf://vault/zeros")


@workflow
def work(size: int) -> FlyteFile:
    return compute(size=size)


if __name__ == "__main__":
    main()
