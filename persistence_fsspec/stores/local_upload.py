"""A large local file whose parts arrive in any order, from several threads, or from several processes one after the other."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence

from persistence_fsspec.errors import ObjectNotFoundError, StoreError, TruncatedError
from persistence_fsspec.store import ObjectInfo, Part
from persistence_fsspec.stores.local_files import Translated
from persistence_fsspec.stores.local_writer import Staging
from persistence_fsspec.stores.uploading import Layout


class LocalUpload:
    """A partial file that has its full size from the beginning, and is filled part by part.

    A file does not tell which of its parts have arrived. Whoever takes it up knows that from a journal of their own,
    and has `read_back` to make sure.

    Args:
        staging: Where it goes.
        layout: Sizes of the object and its parts.
        taken_up: The partial file is there already.

    Raises:
        ObjectNotFoundError: It is not, or is another one.
    """

    def __init__(self, staging: Staging, layout: Layout, *, taken_up: bool) -> None:
        self._staging, self._layout = staging, layout
        self._lock = threading.Lock()
        self._users, self._ended = 0, False
        self._written: dict[int, Part] = {}
        self._committed: ObjectInfo | None = None
        self._descriptor: int | None = None
        descriptor = staging.take_up() if taken_up else staging.create()
        try:
            if not taken_up:
                os.ftruncate(descriptor, layout.size)
            elif os.fstat(descriptor).st_size != layout.size:
                raise ObjectNotFoundError("what was begun there is not this upload: it has another size")
        except BaseException:
            os.close(descriptor)
            if not taken_up:
                staging.discard()
            raise
        self._descriptor = descriptor

    @property
    def token(self) -> str:
        """The name of the partial file."""
        return os.path.basename(self._staging.partial)

    @property
    def part_size(self) -> int:
        """As asked for: the file looks the same whatever the parts were."""
        return self._layout.part_size

    def parts(self) -> Sequence[Part]:
        """What this very object has written; none of what came before it was taken up: see the class."""
        with self._lock:
            return [self._written[number] for number in sorted(self._written)]

    @contextlib.contextmanager
    def _open(self, operation: str) -> Iterator[int]:
        """The descriptor, which stays open, and the same file's, until the block has ended."""
        with Translated(operation, self._staging.key):
            with self._lock:
                descriptor = self._descriptor
                if descriptor is None or self._ended:
                    raise StoreError("was committed, given up or left")
                self._users += 1
            try:
                yield descriptor
            finally:
                with self._lock:
                    self._users -= 1
                self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._lock:
            if self._users or not self._ended:
                return
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        """Write one part to its place."""
        begin = self._layout.require(number, data)
        with self._open("write") as descriptor:
            view = memoryview(data)
            while view:
                written = os.pwrite(descriptor, view, begin)
                view, begin = view[written:], begin + written
        part = Part(number=number, size=len(data), crc32c=crc32c)
        with self._lock:
            self._written[number] = part
        return part

    def read_back(self, part: Part) -> bytes:
        """What stands in the place of a part; zeros where nothing has been written."""
        begin, wanted, pieces = self._layout.begin(part.number), part.size, list[bytes]()
        with self._open("read back") as descriptor:
            while wanted and (piece := os.pread(descriptor, wanted, begin)):
                pieces.append(piece)
                begin, wanted = begin + len(piece), wanted - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        """Rename onto the target, or link to it where it must not exist."""
        if self._committed is not None:
            return self._committed
        with self._open("write") as descriptor:
            self._layout.require_all(parts, crc32c)
            arrived = os.fstat(descriptor).st_size
            if arrived != self._layout.size:
                raise TruncatedError(f"{arrived} bytes stand there of {self._layout.size}")
            self._committed = self._staging.publish(os.dup(descriptor))
        self.leave()
        return self._committed

    def abort(self) -> None:
        """Remove the partial file."""
        gone = self._committed is not None
        self.leave()
        if not gone:
            with contextlib.suppress(OSError):
                self._staging.discard()

    def leave(self) -> None:
        """Close the partial file."""
        with self._lock:
            self._ended = True
        self._close_if_unused()

    def __del__(self) -> None:
        if getattr(self, "_descriptor", None) is not None:
            self.leave()
