"""``file://`` by the operating system's own calls: no driver is as fast, or as careful."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from persistence_fsspec.attempt import progressed
from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    IsAFolderError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.location import local_path
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Leftover, Links, ObjectInfo, OnError, Part
from persistence_fsspec.stores import leftovers, local_append, snapshots
from persistence_fsspec.stores.attributes import as_metadata, attributes_of
from persistence_fsspec.stores.local_files import (
    Translated,
    info_of,
    open_regular,
    path_of,
    refuse_special,
    url_of,
    version_of,
)
from persistence_fsspec.stores.local_upload import LocalUpload
from persistence_fsspec.stores.local_writer import LocalWriter, Staging, make_parents
from persistence_fsspec.stores.partial import is_leftover, is_reserved, notice, partial_key, refuse_reserved
from persistence_fsspec.stores.uploading import Layout, partial_named

_CASE_SENSITIVE: Final = sys.platform not in {"darwin", "win32"}

_CAPABILITIES: Final = Capabilities(
    driver="local",
    publish="atomic",
    create=True,
    parts="any" if hasattr(os, "pwrite") else "none",
    versions="copies",
    attributes=("mode", "mtime"),
    append="native",
    rename=True,  # but no copy: its bytes would pass through us as well, only unverified
    pin="weak",
    case_sensitive=_CASE_SENSITIVE,
    max_name_bytes=255,
    threads="shared",
    own_timeout=True,
    at_hand=True,
)


class LocalStore:
    """Files of this machine. Keys are absolute paths without the leading slash.

    Args:
        policy: Part size and fsync.
        lazy_folder: A folder made, with a ``.gitignore`` of ``*``, just before the first write: the embedded default.
    """

    def __init__(self, policy: Policy, *, lazy_folder: Path | None = None) -> None:
        self._policy = policy
        self._lazy_folder = lazy_folder

    @property
    def capabilities(self) -> Capabilities:
        """What holds for local files."""
        return _CAPABILITIES

    def url(self, key: str) -> str:
        """``file:///…``."""
        return url_of(key)

    def info(self, key: str) -> ObjectInfo:
        """Follow symbolic links; a dangling one is not found."""
        with Translated("info", key):
            path = path_of(key)
            found, link = os.stat(path), os.path.islink(path)
            told = info_of(key, found, link=link)
            return told if told.is_folder else replace(told, metadata=as_metadata(found.st_mode, found.st_mtime_ns))

    def children(self, key: str) -> Iterator[ObjectInfo]:
        """List one folder, sorted by name."""
        with Translated("list", key):
            entries = sorted(os.scandir(path_of(key)), key=lambda entry: entry.name)
        for entry in entries:
            child = f"{key}/{entry.name}" if key else entry.name
            if is_reserved(entry.name):
                with contextlib.suppress(OSError):  # it may be finished, and gone, by now
                    notice(child, lambda: info_of(child, entry.stat()), below=key)  # noqa: B023 - called at once
                continue
            link = entry.is_symlink()
            try:
                yield info_of(child, entry.stat(), link=link)
            except OSError:
                if link:  # dangling, or in a circle: it is there, and whoever needs its content must hear of it
                    yield ObjectInfo(key=child, link=True)

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        """Walk depth first. Links to folders are followed, except into a folder that contains them."""
        return self._walk(key, on_error, (), follow=links == "follow", folders=folders)

    def _walk(
        self, key: str, on_error: OnError | None, above: tuple[tuple[int, int], ...], *, follow: bool, folders: bool
    ) -> Iterator[ObjectInfo]:
        try:
            with Translated("list", key):
                folder = os.stat(path_of(key))
                entries = list(self.children(key))
        except PersistenceError as exc:
            if on_error is None or not above:
                raise
            on_error(key, exc)
            return
        identity = (folder.st_dev, folder.st_ino)
        if identity in above:
            if folders:  # who asks for all there is hears of the link, too
                yield ObjectInfo(key=key, kind="folder", link=True)
            return
        for entry in entries:
            if entry.is_folder and (follow or not entry.link):
                yield from self._walk(entry.key, on_error, (*above, identity), follow=follow, folders=folders)
            else:
                yield entry
        if folders and above and not entries:
            yield info_of(key, folder, link=os.path.islink(path_of(key)))

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        """Read a range."""
        key, pin = snapshots.addressed(key, pin)
        with Translated("read", key), self._opened(key) as descriptor:
            found = os.fstat(descriptor)
            self._check_pin(key, pin, found)
            if start is None and end is None:
                data = _joined(_pieces(descriptor, found.st_size, found.st_size or self._policy.part_size))
            else:
                first, last, _ = slice(start, end).indices(found.st_size)
                if first >= last:
                    return b""
                os.lseek(descriptor, first, os.SEEK_SET)
                data = _joined(_pieces(descriptor, last - first, last - first))
            if pin is not None:
                _require_untouched(descriptor, found)
            return data

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        """Read one open file to its end; it must be the same at the end as at the beginning."""
        key, pin = snapshots.addressed(key, pin)
        with Translated("read", key), self._opened(key) as descriptor:
            before = os.fstat(descriptor)
            self._check_pin(key, pin, before)
            yield from _pieces(descriptor, before.st_size, self._policy.part_size)
            _require_untouched(descriptor, before)

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,  # noqa: ARG002 - a hint; a local file needs none
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> LocalWriter:
        """Write beside the target, then rename."""
        with Translated("write", key):
            self._refuse(key, if_match)
            return LocalWriter(self._staging(key, partial_key(key), overwrite, metadata), self._policy.part_size)

    def upload(
        self,
        key: str,
        *,
        size: int,
        part_size: int,
        token: str = "",
        overwrite: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> LocalUpload:
        """Fill a partial file of the full size, part by part."""
        with Translated("write", key):
            self._refuse(key)
            partial = partial_named(key, token) if token else partial_key(key)
            staging = self._staging(key, partial, overwrite, metadata)
            return LocalUpload(staging, Layout(size, part_size), taken_up=bool(token))

    def _refuse(self, key: str, if_match: str | None = None) -> None:
        """What cannot be written; else the embedded default's folder is there from now on."""
        if if_match is not None:
            raise UnsupportedPersistenceOp("local files have no conditional replacement")
        refuse_reserved(key)
        self._make_ready()

    def _staging(self, key: str, partial: str, overwrite: bool, metadata: Mapping[str, str] | None) -> Staging:  # noqa: FBT001
        attributes = attributes_of(metadata)
        return Staging(key, partial, overwrite=overwrite, fsync=self._policy.fsync, attributes=attributes)

    def make_folder(self, key: str) -> None:
        """With the folders above it."""
        with Translated("make folder", key):
            self._refuse(key)
            make_parents(f"{path_of(key)}/")

    def make_root(self) -> None:
        """There is one."""

    def append(self, key: str, data: bytes) -> None:
        """See `local_append`."""
        with Translated("append", key):
            refuse_reserved(key)
            self._make_ready()
            path = path_of(key)
            make_parents(path)
            local_append.append(path, data)

    def copy(self, source: str, target: str) -> None:
        """Only for `rename` across devices; with mode and time, as renaming keeps them."""
        before = self.info(source)
        writer = self.writer(target, metadata=before.metadata)
        try:
            for piece in self.stream(source, pin=before):
                writer.write(piece)
            writer.commit()
        finally:
            writer.abort()
        if not before.same_content(self.info(source)):
            raise ChangedDuringReadError("the file was written to while it was being copied")

    def rename(self, source: str, target: str) -> None:
        """Atomic on one device; across devices a copy, then the deletion."""
        with Translated("rename", source):
            refuse_reserved(target)
            begin, end = path_of(source), path_of(target)
            if os.path.isdir(end):
                raise IsAFolderError("a folder stands there")
            make_parents(end)
            if os.path.exists(end):
                with Translated("rename", target):  # which is what the error is about
                    refuse_special(os.stat(end))
                if os.path.samefile(begin, end):
                    # Two names of one file: the system would leave both. One name is no second one to give up.
                    if _place(begin) != _place(end):
                        os.unlink(begin)
                    return
            try:
                os.replace(begin, end)
            except OSError as exc:
                if exc.errno != errno.EXDEV:
                    raise
                self.copy(source, target)
                self.delete(source)

    def delete(self, key: str) -> None:
        """Delete a file or a link, never what a link leads to."""
        with Translated("delete", key):
            path = local_path(key)
            if path.is_dir() and not path.is_symlink():
                raise IsAFolderError("is a folder")
            path.unlink()

    def delete_folder(self, key: str) -> None:
        """Delete an empty folder, and what unfinished writes left in it."""
        with Translated("delete", key):
            folder = local_path(key)
            names = os.listdir(folder)
            if all(is_leftover(name) for name in names):
                for name in names:
                    (folder / name).unlink(missing_ok=True)
            folder.rmdir()

    def part_digests(self, key: str, *, pin: ObjectInfo) -> tuple[Part, ...]:  # noqa: ARG002 - the interface's
        """Nobody knows: files are bytes and nothing else."""
        return ()

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        """The copies."""
        found = snapshots.copies(key, self.children)
        if not found and self.info(key).is_folder:
            raise IsAFolderError("is a folder", operation="list", url=self.url(key))
        return iter(found)

    def snapshot(self, key: str) -> ObjectInfo:
        """A copy with the same mode and time."""
        before = self.info(key)
        with Translated("snapshot", key):
            if before.is_folder:
                raise IsAFolderError("is a folder")
            version_id = snapshots.fresh_id()
            copy = snapshots.copy_key(key, version_id)
            staging = self._staging(copy, partial_key(copy), True, before.metadata)  # noqa: FBT003
            writer = LocalWriter(staging, self._policy.part_size)
            try:
                os.chmod(staging.partial, int(before.metadata["mode"], 8))  # nobody else reads it while it is written, either
                for piece in self.stream(key, pin=before):
                    writer.write(piece)
                    progressed()
                return replace(writer.commit(), key=key, version_id=version_id)
            finally:
                writer.abort()

    def forget(self, version: ObjectInfo) -> None:
        """Remove the copy."""
        with Translated("delete", version.key):
            copy = local_path(snapshots.copy_of(version))
            try:
                os.unlink(copy)
            except FileNotFoundError as exc:
                raise ObjectNotFoundError("no such version of it is kept") from exc
            with contextlib.suppress(OSError):  # it holds others
                copy.parent.rmdir()

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        """By a walk that follows no links."""
        return leftovers.in_folders(key, self._everything, on_error)

    def _everything(self, key: str) -> Iterator[ObjectInfo]:
        with Translated("list", key):
            entries = list(os.scandir(local_path(key)))
        for entry in entries:
            with contextlib.suppress(OSError):
                child = f"{key}/{entry.name}" if key else entry.name
                yield info_of(child, entry.stat(follow_symlinks=False), link=entry.is_symlink())

    def discard(self, leftover: Leftover) -> None:
        """Remove one of them; here, nothing ever waits aside."""
        with Translated("delete", leftover.key):
            leftovers.require_ours(leftover)
            if leftover.kind == "aside":
                raise leftovers.only_copy(leftover.key)
            local_path(leftover.key).unlink(missing_ok=True)
            for folder in leftovers.kept_folders(leftover.key):
                with contextlib.suppress(OSError):
                    local_path(folder).rmdir()

    def sign(self, key: str, seconds: int) -> str:  # noqa: ARG002 - the interface's
        """Local files have no such URL."""
        raise UnsupportedPersistenceOp("local files cannot be signed", operation="sign", url=self.url(key))

    def _make_ready(self) -> None:
        if self._lazy_folder is None:
            return
        for folder in (self._lazy_folder, self._lazy_folder / "data"):
            if folder.is_symlink():  # perhaps somebody else's, in a repository that was cloned
                raise PermissionDeniedError(
                    f"{folder} is a link, and what is stored in it would go elsewhere",
                    hint="Give that place as default_prefix if you mean it.",
                )
        self._lazy_folder.mkdir(parents=True, exist_ok=True)
        ignore = self._lazy_folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="ascii")

    def _check_pin(self, key: str, pin: ObjectInfo | None, found: os.stat_result) -> None:
        if pin is None:
            return
        same = pin.version == version_of(found) if pin.version is not None else pin.same_content(info_of(key, found))
        if not same:
            raise ChangedDuringReadError("the file was replaced since it was looked at")

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[int]:
        descriptor = open_regular(path_of(key))
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _pieces(descriptor: int, size: int, piece: int) -> Iterator[bytes]:
    """So many bytes from here, as long as there are any; all there are, of a file that claims to be empty, as some in /proc do."""
    left = size or sys.maxsize
    while left > 0 and (data := os.read(descriptor, min(piece, left))):
        yield data
        left -= len(data)


def _require_untouched(descriptor: int, before: os.stat_result) -> None:
    after = os.fstat(descriptor)
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise ChangedDuringReadError("the file was written to while it was being read")


def _joined(pieces: Iterator[bytes]) -> bytes:
    """One piece, as is usual, is not copied."""
    found = list(pieces)
    return found[0] if len(found) == 1 else b"".join(found)


def _place(path: str) -> tuple[str, str]:
    """The folder, through all links, and the name in it."""
    folder, name = os.path.split(path)
    return os.path.realpath(folder), name
