"""What the store of local files, its writer and its upload have in common: names, descriptions, errors."""

from __future__ import annotations

import os
import stat
from datetime import datetime, timezone
from types import TracebackType
from typing import Final

from persistence_fsspec.errors import InvalidNameError, IsAFolderError, StoreError, UnsupportedPersistenceOp
from persistence_fsspec.foreign import translated
from persistence_fsspec.location import Location, local_path
from persistence_fsspec.redaction import redact_places
from persistence_fsspec.store import ObjectInfo

_SPECIAL: Final = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}

if os.name == "nt":

    def url_of(key: str) -> str:
        """``file:///…``."""
        return str(Location("file", "file://", key))

    def path_of(key: str) -> str:
        """The operating system's path of a key."""
        return os.fspath(local_path(key))

else:

    def url_of(key: str) -> str:
        """``file:///…``."""
        return redact_places(f"file:///{key}")  # as its Location would say it, in a tenth of the time

    def path_of(key: str) -> str:
        """The operating system's path of a key."""
        return f"/{key}"  # ten times as fast as by way of a Path, which counts where files are small


class Translated:
    """Raise our errors instead of the system's inside the block; costs next to nothing where none is raised.

    Args:
        operation: What is being done, as a verb.
        key: To what.
    """

    __slots__ = ("_key", "_operation")

    def __init__(self, operation: str, key: str) -> None:
        self._operation, self._key = operation, key

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if exc is None or kind is GeneratorExit:
            return
        try:
            with translated(self._operation, lambda: url_of(self._key)):
                if isinstance(exc, ValueError) and "null" in str(exc):
                    raise InvalidNameError("a name cannot contain NUL") from exc
                raise exc
        finally:
            del exc, trace  # or the error and this frame would keep each other alive


def info_of(key: str, found: os.stat_result, *, link: bool = False) -> ObjectInfo:
    """Describe what the system says of a file or folder."""
    modified = datetime.fromtimestamp(found.st_mtime, tz=timezone.utc)
    if stat.S_ISDIR(found.st_mode):
        return ObjectInfo(key=key, kind="folder", modified=modified, link=link)
    size = found.st_size if stat.S_ISREG(found.st_mode) else None
    return ObjectInfo(key=key, size=size, modified=modified, version=version_of(found), link=link)


def version_of(found: os.stat_result) -> str:
    """Changes with each replacement, and with each write that the clock of the file system notices."""
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def refuse_special(found: os.stat_result) -> None:
    """Keep a pipe, a socket or a device from being replaced by a file, and a link to one, as ``/dev/stdout`` is.

    Args:
        found: What the system says of what is about to be replaced, through links.

    Raises:
        UnsupportedPersistenceOp: It is one of them.
    """
    if stat.S_ISREG(found.st_mode):
        return
    kind = _SPECIAL.get(stat.S_IFMT(found.st_mode), "something that is no file")
    raise UnsupportedPersistenceOp(
        f"{kind} stands there, and a file would take its place",
        hint="Give the name of a file. What a pipe or a device is to take is written into it: persist cat URL > PATH.",
    )


def open_regular(path: str) -> int:
    """Open a file for reading; the caller closes the descriptor.

    Raises:
        IsAFolderError: It is a folder.
        StoreError: It is something else that is no file.
    """
    # Opening a pipe or a device could wait for ever.
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise IsAFolderError("is a folder")
    if not stat.S_ISREG(mode):
        raise StoreError("is not a regular file (a pipe, socket or device)")
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
