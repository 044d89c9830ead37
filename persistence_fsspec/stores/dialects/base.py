"""The calls that mean the same on every driver, and may be made of any."""

from __future__ import annotations

import contextlib
import mimetypes
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import IO, Any, Final, Protocol

from fsspec.spec import AbstractBufferedFile

from persistence_fsspec.errors import NotAFolderError, TruncatedError, UnsupportedPersistenceOp
from persistence_fsspec.store import Digest, ObjectInfo, Part
from persistence_fsspec.stores.attributes import Attributes
from persistence_fsspec.stores.dialects.parts import Arriving
from persistence_fsspec.stores.partial import aside_key


class Sink(Protocol):
    """Bytes on their way to one name of a driver."""

    def write(self, data: bytes) -> None:
        """Send, or collect, the next bytes."""

    def close(self) -> None:
        """All bytes are there when this returns; for an object store, under the final name."""

    def abort(self) -> None:
        """Stop without completing; what already lies under a partial name is removed by the caller."""


class FileSink:
    """A driver's own file object, opened for writing.

    Closing fsspec's buffered files sends the rest, and so completes the object;
    an aborted one is therefore never closed.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._completed = False

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            written: Any = self._file.write(view)  # some drivers return None, meaning all
            view = view[written if isinstance(written, int) else len(view) :]

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        self._completed = True

    def abort(self) -> None:
        """Discard an unfinished upload; close a plain handle."""
        if not isinstance(self._file, AbstractBufferedFile):
            with contextlib.suppress(Exception):
                self._file.close()
            return
        if not self._completed:  # a file whose close() failed calls itself closed, and its upload is still open
            # discard() is each driver's own way to take an unfinished upload back; some have none.
            with contextlib.suppress(Exception):
                self._file.discard()
            self._file.buffer = None
            self._file.closed = True


Repeat = Callable[[Callable[[], Any]], Any]
"""Calls a function, and calls it again when it raised an error, of the driver, that may pass."""


def _once(act: Callable[[], Any]) -> Any:
    return act()


class Dialect:
    """One driver's calls, on whole paths. Raises the driver's own errors."""

    def __init__(self) -> None:
        self.repeat: Repeat = _once
        """Around each single request of a sink: the stream that feeds it cannot be sent again, one part of it can."""

    object_part_size = 16 * 1024 * 1024
    """An object up to this size, in bytes, is written by one request."""

    writes_anywhere = False
    """`extend` may begin before the end, and replaces what is there."""

    pins_reads = False
    """`read` names the version it wants; otherwise the store compares before and after."""

    absolute = False
    """Paths begin with a slash, also where the driver strips it from the root."""

    query = ""
    """What followed ``?`` in the root's URL; only HTTP has that."""

    # --- opening ---

    def options(self, options: dict[str, Any], authority: str) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Constructor arguments in the driver's own spelling.

        Args:
            options: What the caller, the URL and the habits ask for.
            authority: What stands between ``://`` and the first slash of the URL.
        """
        return options

    def patience(self, options: dict[str, Any], *, stall_seconds: float) -> dict[str, Any]:  # noqa: ARG002 - for subclasses
        """Constructor arguments by which the driver does not retry, and gives a silent server up by itself.

        Args:
            options: What the caller, the URL and the habits ask for; it wins, also inside nested mappings.
            stall_seconds: For connecting, and between two signs of life; not for a whole transfer.
        """
        return options

    def restrain(self, fs: Any, *, stall_seconds: float, given: bool) -> None:
        """The same for what no constructor argument reaches; called once for each new instance, before `connected`.

        Args:
            fs: The instance.
            stall_seconds: As for `patience`.
            given: The caller made it, and may use it elsewhere: its retries stay, and limits are set only where it has none.
        """

    def connected(self, fs: Any) -> None:
        """Called once for each new instance."""

    def interrupt(self, fs: Any) -> None:
        """End what a leased instance is blocked in, with any error: called from another thread; never raises nor blocks.

        Instances that threads share are left alone: async calls are cancelled, the others end by their own time limits.
        """

    def alive(self, fs: Any, idle_seconds: float) -> bool:  # noqa: ARG002 - for subclasses
        """Whether an instance that rested for a while may be used again."""
        return True

    def close(self, fs: Any) -> None:
        """End an instance that was made for one call at a time; shared ones look after themselves."""

    def root_path(self, cls: Any, root: str, given: Mapping[str, Any]) -> str:  # noqa: ARG002 - for subclasses
        """The driver's path of the store's root URL."""
        return str(cls._strip_protocol(root)) or ("/" if self.absolute else "")

    def join(self, base: str, key: str) -> str:
        """The driver's path of a key below the store's root path."""
        return f"{base.rstrip('/')}/{key}" if base and key else base or key

    def key(self, base: str, path: str) -> str | None:
        """The key of a path the driver lists; None when it does not lie below the root."""
        inside, root = path.strip("/"), base.strip("/")
        if not root:
            return inside
        return inside[len(root) + 1 :] if inside.startswith(f"{root}/") else None

    # --- looking ---

    def info(self, fs: Any, path: str) -> ObjectInfo:
        """One object or folder; `ObjectInfo.key` is the path."""
        return self.describe(fs.info(path))

    def children(self, fs: Any, path: str) -> Iterator[ObjectInfo]:
        """One folder. A file raises NotADirectoryError."""
        own = path.strip("/")
        for raw in fs.ls(path, detail=True):
            found = self.describe(raw)
            if found.key.strip("/") != own:
                yield found
            elif not found.is_folder and own:
                raise NotAFolderError("is a file")

    def find(self, fs: Any, path: str) -> Iterator[ObjectInfo] | None:  # noqa: ARG002 - for subclasses
        """All files below a path, where the store lists them in one go; None asks for a walk."""
        return None

    def describe(self, raw: Mapping[str, Any]) -> ObjectInfo:
        """Read a driver's listing entry."""
        if raw.get("type") == "directory":
            return ObjectInfo(key=raw["name"], kind="folder", modified=self.modified(raw))
        size = raw.get("size")
        return ObjectInfo(
            key=raw["name"],
            size=None if size is None else int(size),
            modified=self.modified(raw),
            version=self.version(raw),
            digest=self.digest(raw),
        )

    def modified(self, raw: Mapping[str, Any]) -> datetime | None:
        """Time of the last change, under whichever name the driver gives it."""
        for name in ("mtime", "LastModified", "last_modified", "modified", "updated", "created"):
            value = raw.get(name)
            if isinstance(value, datetime):
                return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, tz=timezone.utc)
        return None

    def version(self, raw: Mapping[str, Any]) -> str | None:  # noqa: ARG002 - for subclasses
        """The strong version; none that is known."""
        return None

    def digest(self, raw: Mapping[str, Any]) -> Digest | None:  # noqa: ARG002 - for subclasses
        """The digest the store keeps; none that is known."""
        return None

    # --- reading ---

    def read(self, fs: Any, path: str, start: int | None, end: int | None, pin: ObjectInfo | None) -> bytes:  # noqa: ARG002
        """A range; *pin* is honoured where `Capabilities.pin` is ``version``."""
        data: bytes = fs.cat_file(path, start=start or None, end=end)
        if end is not None and len(data) > end - (start or 0):  # the range was ignored
            return data[start or 0 : end]
        return data

    def stream(self, fs: Any, path: str, piece: int) -> Generator[bytes, None, None]:
        """All bytes of one open file."""
        with fs.open(path, "rb") as file:
            while data := file.read(piece):
                yield data

    # --- writing ---

    def sink(self, fs: Any, path: str, *, size: int | None, metadata: Mapping[str, str] | None) -> Sink:  # noqa: ARG002
        """Begin to send bytes to a path, replacing what is there."""
        return FileSink(fs.open(path, "wb"))

    def write_object(
        self,
        fs: Any,
        path: str,
        body: bytes | IO[bytes],
        *,
        create: bool = False,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo | None:
        """Write one object by one request; what the answer says of it, None when that is too little."""
        if create or if_match or metadata:
            raise UnsupportedPersistenceOp("this driver cannot write on a condition, nor keep metadata")
        fs.pipe_file(path, body if isinstance(body, bytes) else body.read())
        return None

    def upload(self, *_: Any, **__: Any) -> Arriving:
        """Begin an object in parts, or take up one that was begun.

        Takes *fs*, *path*, and by name *size*, *part_size*, *token*, *create* and *metadata*; see `Store.upload`.
        """
        raise UnsupportedPersistenceOp("this driver takes no parts")

    def part_digests(self, fs: Any, path: str, pin: ObjectInfo) -> Sequence[Part]:  # noqa: ARG002 - for subclasses
        """See `Store.part_digests`."""
        return ()

    def set_attributes(self, fs: Any, path: str, attributes: Attributes) -> None:  # noqa: ARG002 - for subclasses
        """Give a file mode and time."""
        raise UnsupportedPersistenceOp("this driver keeps no mode and no time")

    def replace(self, fs: Any, source: str, target: str) -> None:
        """Rename, replacing."""
        fs.mv(source, target)

    def rename_new(self, fs: Any, source: str, target: str) -> None:  # noqa: ARG002 - for subclasses
        """Rename, refusing an existing target atomically."""
        raise UnsupportedPersistenceOp("this driver cannot create exclusively")

    def put_back(self, fs: Any, aside: str, target: str) -> None:
        """Give an old version that waited its name again; the name is free."""
        fs.mv(aside, target)

    def versions(self, fs: Any, path: str) -> Iterator[ObjectInfo]:  # noqa: ARG002 - for subclasses
        """What the store itself keeps of one object, newest first, with `ObjectInfo.version_id`, by which `read` finds it."""
        return iter(())

    def current_version(self, fs: Any, path: str) -> ObjectInfo | None:  # noqa: ARG002 - for subclasses
        """The version that is there now, if the store will keep it when it is replaced; otherwise None."""
        return None

    def delete_version(self, fs: Any, path: str, version_id: str) -> None:  # noqa: ARG002 - for subclasses
        """Delete a version that the store itself keeps, unless it is the one that is there now."""
        raise FileNotFoundError(path)

    def uploads(self, fs: Any, path: str) -> Iterator[tuple[str, str, datetime | None]]:  # noqa: ARG002 - for subclasses
        """Unfinished uploads at and below a path, of everybody: the path each is for, what names it, and when it was begun."""
        return iter(())

    def discard_upload(self, fs: Any, path: str, token: str) -> None:
        """Forget one of them, and the parts it has; one that is gone is fine."""

    def extend(self, fs: Any, path: str, position: int, data: bytes) -> None:  # noqa: ARG002 - for subclasses
        """Add bytes; whatever cuts that off, their end does not arrive before all in front of it.

        Args:
            fs: The instance.
            path: Where to.
            position: Where the object ends so far, in bytes; 0 makes a new one.
            data: What to add.
        """
        self.append(fs, path, data)

    def append(self, fs: Any, path: str, data: bytes) -> None:
        """Add at the end."""
        with fs.open(path, "ab") as file:
            file.write(data)

    def copy(self, fs: Any, source: str, target: str) -> None:
        """Copy inside the store."""
        fs.cp_file(source, target)

    def delete(self, fs: Any, path: str) -> None:
        """Delete one file."""
        fs.rm_file(path)

    def real_path(self, fs: Any, path: str) -> str:  # noqa: ARG002 - for subclasses
        """Where a path leads to, through all links; only asked for links."""
        return path

    def delete_markers(self, fs: Any, path: str) -> None:
        """Delete the empty objects by which some tools say "folder", at and below a path."""

    def make_root(self, fs: Any, path: str) -> None:
        """Make what a bucket is elsewhere; one that is there is fine. Stores of files have none."""

    def make_folder(self, fs: Any, path: str) -> None:
        """Make a folder and its parents; an existing one is fine."""
        fs.makedirs(path, exist_ok=True)

    def delete_folder(self, fs: Any, path: str) -> None:
        """Delete an empty folder."""
        fs.rmdir(path)

    def sign(self, fs: Any, path: str, seconds: int) -> str:
        """A URL that opens the object for a while."""
        return str(fs.sign(path, expiration=seconds))


class SwapDialect(Dialect):
    """For drivers whose own ``mv`` onto an existing name fails, or deletes first, or is not known: old aside, new in."""

    def replace(self, fs: Any, source: str, target: str) -> None:
        """Leaves the old object, aside or in place, if anything goes wrong."""
        aside = aside_key(target)
        had_old = self._repair(fs, target, aside)
        if had_old:
            fs.mv(target, aside)
        try:
            fs.mv(source, target)
        except Exception:
            if had_old:
                fs.mv(aside, target)
            raise
        if had_old:
            fs.rm_file(aside)

    def _repair(self, fs: Any, target: str, aside: str) -> bool:
        """Finish what a killed run left half done; tell whether there is an old version."""
        there = self._is_there(fs, target)
        if self._is_there(fs, aside):
            if there:
                fs.rm_file(aside)
            else:
                fs.mv(aside, target)
                there = True
        return there

    def _is_there(self, fs: Any, path: str) -> bool:
        try:
            self.info(fs, path)
        except FileNotFoundError:
            return False
        return True


class ObjectDialect(Dialect):
    """A store of whole objects: keys are opaque, a write is one commit."""

    def make_root(self, fs: Any, path: str) -> None:
        """Ask the driver."""
        with contextlib.suppress(FileExistsError):
            fs.mkdir(path)

    def key(self, base: str, path: str) -> str | None:
        """Keys keep every slash."""
        prefix = f"{base}/"
        return path[len(prefix) :] if path.startswith(prefix) else None

    def find(self, fs: Any, path: str) -> Iterator[ObjectInfo] | None:
        """One flat listing."""
        found = fs.find(path, detail=True)
        return (self.describe(raw) for raw in found.values() if raw["type"] == "file" and raw["name"] != path)


_type_given: Final[ContextVar[str | None]] = ContextVar("persistence_fsspec_type_given", default=None)


@contextlib.contextmanager
def of_type(kind: str | None) -> Iterator[None]:
    """What is written inside of the block is of this type, whatever its name says; None leaves it to the name."""
    token = _type_given.set(kind)
    try:
        yield
    finally:
        _type_given.reset(token)


def content_type(path: str) -> str | None:
    """What the content is: as `of_type` says, else as the drivers guess it from the ending of a name; None when nothing says it."""
    return _type_given.get() or mimetypes.guess_type(path.rpartition("/")[2])[0]


def plain_etag(value: Any) -> str | None:
    """An ETag without quotes; None for a weak or absent one."""
    text = str(value or "")
    if not text or text.startswith("W/"):
        return None
    return text.strip('"')


def md5_of_etag(etag: str | None) -> Digest | None:
    """The MD5 that a single PUT leaves as ETag: 32 hexadecimal digits and nothing else."""
    if etag and len(etag) == 32 and all(c in "0123456789abcdef" for c in etag):
        return ("md5", etag)
    return None


def exactly(data: bytes, wanted: int) -> bytes:
    """Refuse a body that is shorter than promised.

    Raises:
        TruncatedError: It is.
    """
    if len(data) < wanted:
        raise TruncatedError(f"{len(data)} bytes arrived of {wanted}")
    return data
