"""A transfer of very many files between stores that exist only in the mind; run as a program, in a process to be measured.

Argument: the number of files. Prints one line of JSON for each of two runs of the same transfer: what was done, and the
most memory this process has ever used, in bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import ObjectNotFoundError
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.progress import NO_PROGRESS
from persistence_fsspec.transfer.request import Request
from tests.faults.child import status

CONTENT = b"x" * 100
THEN = datetime(2020, 1, 1, tzinfo=timezone.utc)
PER_FOLDER = 1000


class Imagined:
    """Holds *files* files, in folders of a thousand; what is written there is forgotten, and counted.

    Args:
        name: Of its root.
        files: How many there are.
    """

    def __init__(self, name: str, files: int) -> None:
        self._name, self.files = name, files
        self.capabilities = Capabilities(driver=name, publish="atomic", create=True, flat=True, threads="shared", pin="version")

    def url(self, key: str) -> str:
        return f"{self._name}://{key}"

    def info(self, key: str) -> ObjectInfo:
        if key == "tree" and self.files:
            return ObjectInfo(key=key, kind="folder")
        raise ObjectNotFoundError("not found", operation="info", url=self.url(key))

    def find(self, key: str, **_: Any) -> Iterator[ObjectInfo]:
        if not self.files:
            raise ObjectNotFoundError("not found", operation="list", url=self.url(key))
        return (described(f"{key}/{i // PER_FOLDER:06}/{i:09}.bin") for i in range(self.files))

    def read(self, key, start=None, end=None, *, pin=None):
        return b"".join(self.stream(key, pin=pin))[start:end]

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:  # noqa: ARG002
        yield CONTENT

    def writer(self, key: str, **_: Any) -> Forgetful:
        return Forgetful(self, key)

    def leftovers(self, key: str) -> Iterator[Any]:  # noqa: ARG002
        return iter(())


class Forgetful:
    """A writer that keeps nothing."""

    restartable = False

    def __init__(self, store: Imagined, key: str) -> None:
        self._store, self._key = store, key

    def write(self, data: bytes) -> None:
        pass

    def read_back(self) -> None:
        return None

    def commit(self) -> ObjectInfo:
        self._store.files += 1
        return described(self._key)

    def abort(self) -> None:
        pass


def described(key: str) -> ObjectInfo:
    return ObjectInfo(key=key, size=len(CONTENT), modified=THEN, version=f"v{hash(key):x}")


def main() -> None:
    """Transfer twice."""
    count = int(sys.argv[1])
    source, target = Imagined("source", count), Imagined("target", 0)
    ends: Mapping[str, Any] = {"source": source, "source_key": "tree", "target": target, "target_key": "tree"}
    for _ in range(2):
        report = Request(operation="copy", recursive=True, **ends).carry_out(Policy(), NO_PROGRESS)
        done = {"copied": len(report.copied), "skipped": len(report.skipped), "failed": len(report.failed)}
        resumable, seconds = report.resumable, report.seconds
        sys.stdout.write(json.dumps({**done, "resumable": resumable, "seconds": seconds, "peak": status("VmHWM")}) + "\n")
        sys.stdout.flush()
        target.files = count


if __name__ == "__main__":
    main()
