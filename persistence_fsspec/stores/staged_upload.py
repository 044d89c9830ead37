"""A large object that grows at the end of a partial one, part after part, in this process or a later one."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from persistence_fsspec.attempt import cleaning_up
from persistence_fsspec.errors import ConflictError, ObjectNotFoundError, StoreError, TruncatedError
from persistence_fsspec.foreign import translated
from persistence_fsspec.store import ObjectInfo, Part
from persistence_fsspec.stores.attributes import Attributes
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.staging import Staged
from persistence_fsspec.stores.uploading import Layout


class StagedUpload:
    """For stores of files that are written to by renaming, and can be added to.

    The size of the partial object tells what has arrived: parts come in order, and dialects see to it that nothing stands
    at the end of what they send before all in front of it does (`Dialect.extend`).

    Args:
        driver: Of the store.
        key: The object's name.
        partial: Where the parts go.
        layout: Sizes of the object and its parts; the latter may be others than those it was begun with.
        overwrite: Replace what is there; otherwise renaming refuses it.
        attributes: What the file is given before it gets its name.
        taken_up: The partial object is there already.

    Raises:
        ObjectNotFoundError: It is not.
        ConflictError: It is longer than the object.
    """

    def __init__(
        self,
        driver: Driver,
        key: str,
        partial: str,
        layout: Layout,
        *,
        overwrite: bool,
        attributes: Attributes,
        taken_up: bool,
    ) -> None:
        self._driver, self._key, self._partial, self._layout = driver, key, partial, layout
        self._staged = Staged(driver, key, partial, overwrite=overwrite, attributes=attributes)
        self._lock = threading.Lock()
        self._committed: ObjectInfo | None = None
        self._ended = False
        self._made = self._known = taken_up
        """Whether there may be a partial object, and whether there must be one."""
        if taken_up:
            self._ask()

    @property
    def token(self) -> str:
        """The last name of the partial object."""
        return self._partial.rpartition("/")[2]

    @property
    def part_size(self) -> int:
        """As asked for: nothing at the store depends on it."""
        return self._layout.part_size

    def parts(self) -> Sequence[Part]:
        """By the size of the partial object; without their CRC32C."""
        with translated("write", self._url), self._lock:
            arrived = self._ask()
        whole = self._layout.count if arrived == self._layout.size else arrived // self.part_size
        return [Part(number=number, size=self._layout.length(number)) for number in range(whole)]

    def _url(self) -> str:
        return self._driver.url(self._key)

    def _ask(self) -> int:
        """How many bytes are at the store."""
        try:
            size = self._driver.info(self._partial).size if self._made else 0
        except ObjectNotFoundError:
            if self._known:
                raise
            size = 0
        if size is None:
            raise StoreError("the store does not say how much of the object has arrived")
        if size > self._layout.size:
            raise ConflictError(f"{size} bytes stand at the store, and the object has {self._layout.size}")
        return size

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        """Add one part, or what is missing of it.

        Raises:
            ConflictError: What stands there is not what was sent before; or parts are missing in front of it.
        """
        begin = self._layout.require(number, data)
        with translated("write", self._url), self._lock:
            if self._ended or self._committed is not None:
                raise StoreError("was committed, given up or left")
            arrived = self._ask()
            if arrived < begin:
                raise ConflictError(f"{arrived} bytes stand at the store, and part {number} begins at {begin}")
            known = min(arrived - begin, len(data))
            if known and not self._stands_there(data[:known], begin):
                if not self._driver.dialect.writes_anywhere:
                    raise ConflictError(f"what an earlier attempt left of part {number} is not its beginning")
                known = 0
            if known < len(data):
                self._add(data, begin, known)
        return Part(number=number, size=len(data), crc32c=crc32c)

    def _stands_there(self, data: bytes, begin: int) -> bool:
        read = self._driver.dialect.read
        end = begin + len(data)
        found = self._driver.do("read back", self._partial, lambda fs, path: read(fs, path, begin, end, None))
        return found == data

    def _add(self, data: bytes, begin: int, known: int) -> None:
        """Send the rest of a part, and see that exactly that much more is there than just before.

        Bytes of an attempt that was given up may arrive late, and somebody may have removed what was there.
        """
        rest = data[known:] if known else data
        extend = self._driver.dialect.extend
        position = begin + known
        self._made = True

        def add() -> None:
            self._driver.do("write", self._partial, lambda fs, path: extend(fs, path, position, rest))

        if position:
            add()
        else:
            self._driver.with_parents(self._partial, add)
        arrived, expected = self._ask(), begin + len(data)
        if position <= arrived < expected:
            raise TruncatedError(f"{arrived} bytes stand at the store of {expected} sent")
        if arrived != expected:
            raise ConflictError(f"{arrived} bytes stand at the store, and {expected} were sent")
        self._known = True

    def read_back(self, part: Part) -> bytes:
        """A part as it stands at the store."""
        begin, read = self._layout.begin(part.number), self._driver.dialect.read
        end = begin + part.size
        data = self._driver.do("read back", self._partial, lambda fs, path: read(fs, path, begin, end, None))
        if len(data) < part.size:
            raise TruncatedError(f"{len(data)} bytes arrived of {part.size}", operation="read back", url=self._url())
        return data

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        """See that all bytes are there, then rename."""
        if self._committed is not None:  # and nobody heard of it
            return self._committed
        with translated("write", self._url), self._lock:
            self._layout.require_all(parts, crc32c)
            if self._ended:
                raise StoreError("was given up or left")
            if not self._made:  # an empty object has no parts
                self._driver.with_parents(self._partial, self._make_empty)
            try:
                self._committed = self._staged.publish(self._layout.size)
            except TruncatedError as exc:
                exc.retryable = exc.retryable and not self._staged.incomplete  # it will not grow by itself
                raise
        return self._committed

    def _make_empty(self) -> None:
        self._made = True
        extend = self._driver.dialect.extend
        self._driver.do("write", self._partial, lambda fs, path: extend(fs, path, 0, b""))

    def abort(self) -> None:
        """Remove the partial object."""
        self._ended = True
        if self._made and self._committed is None:
            with cleaning_up():
                self._driver.discard(self._partial)

    def leave(self) -> None:
        """Nothing is kept open between two parts."""
        self._ended = True
