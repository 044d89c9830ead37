"""`FSSpecPersistence`: the one class. Everything else in this package serves it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any

from persistence_fsspec.addresses import Address, Place
from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.fileobject import Appender, check_mode, in_pieces, open_reader, open_writer
from persistence_fsspec.location import is_url
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.garbage import Age, GcReport, collect
from persistence_fsspec.transfer.journal import known_tokens
from persistence_fsspec.transfer.journals import given_up_tokens
from persistence_fsspec.transfer.patterns import Matcher, Patterns
from persistence_fsspec.transfer.remove import delete_tree
from persistence_fsspec.transferring import Transferring

if TYPE_CHECKING:
    from persistence_fsspec.aio import AsyncPersistence


class FSSpecPersistence(Transferring):
    """Files and bytes on any store that fsspec reaches by URL, with the same promises everywhere.

    Nothing is opened by constructing it; connections are shared by all
    instances of the process with the same options, and it may be used from
    any thread, after a fork, and pickled.

    Args:
        default_prefix: Where keys lie: a URL, a local path or a ``UPath``. Without one, a folder ``.persistence`` in the
            working folder, made at the first write.
        storage_options: The driver's constructor arguments: flat, for the protocol of *default_prefix*; nested by
            protocol, ``{"s3": {...}, "ftp": {...}}``; or a function of the URL that returns them, asked once for each store, and
            again when credentials have expired. ``config`` says what holds where they say nothing.
        profile: Tables ``[profiles.NAME...]`` of ``persistence.toml`` instead of ``[stores...]``.
        policy: How carefully and eagerly to work.
        filesystem: A ready fsspec instance (custom authentication) to use for its protocol.
        name: For messages.

    Raises:
        InvalidOptionError: Options that could not apply to anything.

    Examples:
        >>> p = FSSpecPersistence("memory://docs")
        >>> p.write_bytes("a.txt", b"hello").size
        5
        >>> p.read_bytes("a.txt")
        b'hello'
        >>> list(p.listdir())
        ['a.txt']
    """

    # --- looking ---

    def exists(self, path: Address) -> bool:
        """Whether something is stored there, a file or a folder.

        Returns:
            True or False, and False only when the store says so.

        Raises:
            PersistenceError: It cannot be known: wrong credentials, a dead server, a refused name.
        """
        foreign = self._foreign(path)
        if foreign is not None:
            return bool(foreign.exists(str(path)))
        place = self._place(path)
        try:
            with self._helpful(path, "exists"):
                place.store.info(place.key)
        except (ObjectNotFoundError, NotAFolderError):
            return False
        return True

    def info(self, path: Address) -> ObjectInfo:
        """Describe a file or folder.

        Raises:
            ObjectNotFoundError: It is not there.
        """
        place = self._place(path)
        with self._helpful(path, "info"):
            return replace(place.store.info(place.key), key=place.name_of(place.key))

    def listdir(self, path: Address = "", recursive: bool = False) -> Iterator[str]:  # noqa: FBT001, FBT002 - Flyte's
        """List a folder.

        Args:
            path: The folder.
            recursive: All files below; otherwise its own files and folders.

        Returns:
            Names that can be handed back: keys for a key, URLs for a URL.

        Raises:
            ObjectNotFoundError: The folder is missing. Raised by the call, not by the first item.
        """
        foreign = self._foreign(path)
        if foreign is not None:
            return iter(foreign.listdir(str(path), recursive))
        place = self._place(path)
        entries = place.store.find(place.key) if recursive else place.store.children(place.key)
        return (place.name_of(entry.key) for entry in self._primed(place, entries, path))

    def find(self, path: Address = "", *, include: Patterns = None, exclude: Patterns = None) -> Iterator[ObjectInfo]:
        """All files below a folder.

        Args:
            path: The folder.
            include: Only names, relative to it, that match these gitignore patterns.
            exclude: No name that matches.

        Raises:
            ObjectNotFoundError: The folder is missing. Raised by the call, not by the first item.
        """
        place = self._place(path)
        wanted = Matcher(include, exclude)
        length = len(place.key) + 1 if place.key else 0
        entries = self._primed(place, place.store.find(place.key), path)
        return (replace(entry, key=place.name_of(entry.key)) for entry in entries if wanted(entry.key[length:]))

    def _primed(self, place: Place, entries: Iterator[ObjectInfo], path: Address) -> Iterator[ObjectInfo]:
        """Take the first entry now, so that errors come from the call."""
        try:
            with self._helpful(path, "list"):
                first = next(entries, None)
        except ObjectNotFoundError:
            # An untouched default prefix is empty; a missing bucket is an error.
            if not place.is_prefix:
                raise
            if self._lazy_folder is None and place.store.capabilities.flat:
                place.store.info("")
            first = None
        return _chained(first, entries)

    def capabilities(self, path: Address = "") -> Capabilities:
        """What the store behind a path can do, and how well it keeps the promises."""
        return self._place(path).store.capabilities

    # --- bytes ---

    def read_bytes(
        self, path: Address, *, start: int | None = None, end: int | None = None, version: str | ObjectInfo | None = None
    ) -> bytes:
        """Read an object, or the half-open range ``[start, end)`` of it. Negative numbers count from the end.

        Args:
            path: Its name.
            start: The first byte; None for the beginning.
            end: Behind the last byte; None for the end.
            version: One of its `versions`, or the `ObjectInfo.version_id` of one.

        Raises:
            ObjectNotFoundError: It is not there, or that version is not.
            ChangedDuringReadError: It was replaced meanwhile; without a version, during each of several attempts.
        """
        place = self._place(path)
        with self._helpful(path, "read"):
            pin = _pin(place, version)
            if start is None and end is None:
                return self._whole(place) if pin is None else b"".join(place.store.stream(place.key, pin=pin))
            if (start or 0) < 0 or (end or 0) < 0:
                size = (pin or place.store.info(place.key)).size
                if size is None:
                    raise UnsupportedPersistenceOp("its size is not known, so nothing can be counted from the end")
                start, end, _ = slice(start, end).indices(size)
            if end is not None and end <= (start or 0):
                _ = pin or place.store.info(place.key)  # nothing of a missing object is still an error
                return b""
            return place.store.read(place.key, start, end, pin=pin)

    def _whole(self, place: Place) -> bytes:
        """One version of an object that others may be writing: who asks for all of it at once gets that of a moment later, too."""
        for _ in range(self._policy.attempts - 1):
            with contextlib.suppress(ChangedDuringReadError):
                return b"".join(place.store.stream(place.key))
        return b"".join(place.store.stream(place.key))

    def write_bytes(
        self,
        path: Address,
        data: bytes,
        *,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Write an object whole: readers see the old one or the new one.

        Args:
            path: Its name; parents are made.
            data: Bytes, or anything with the buffer protocol.
            overwrite: Replace what is there. Otherwise, of many writers at once exactly one succeeds, or the store refuses.
            if_match: Replace only this `ObjectInfo.version`.
            metadata: Text to keep with it.

        Raises:
            ObjectExistsError: *overwrite* is False, and it exists.
            ConflictError: It is not the version *if_match*.
            UnsupportedPersistenceOp: The store cannot keep a condition that was asked for.
        """
        if isinstance(data, str):
            raise TypeError("write_bytes takes bytes; encode the text, or use open(path, 'w')")
        if if_match == "":
            raise InvalidOptionError(
                "if_match is empty", hint="It is the ObjectInfo.version that is to be replaced; None asks for none."
            )
        place = self._place(path).require_object()
        writer = place.store.writer(
            place.key, size=len(memoryview(data).cast("B")), overwrite=overwrite, if_match=if_match, metadata=metadata
        )
        try:
            for piece in in_pieces(data):
                writer.write(piece)
            info = writer.commit()
        finally:
            writer.abort()
        return replace(info, key=place.name_of(place.key))

    def open(
        self, path: Address, mode: str = "rb", *, encoding: str | None = None, version: str | ObjectInfo | None = None
    ) -> IO[Any]:
        """Open an object as a file.

        Args:
            path: Its name.
            mode: ``r``, ``w``, ``x`` (must not exist) or ``a``, with ``b`` for bytes.
            encoding: Of text; UTF-8 unless said otherwise.
            version: For reading, one of its `versions`, or the `ObjectInfo.version_id` of one.

        Returns:
            For reading: seekable, and pinned to the version it was opened at. For writing: published by `close`, or by
            the end of the ``with`` block; an exception inside it publishes nothing.
        """
        kind = check_mode(mode, encoding)
        with self._helpful(path, "open"):
            if kind == "r":
                place = self._place(path)
                return open_reader(place.store, place.key, mode, encoding, pin=_pin(place, version))
            if version is not None:
                raise InvalidOptionError("old versions are only read", hint="Leave version out to write a new one.")
            place = self._place(path).require_object()
            if kind == "a":
                return open_writer(Appender(place.store, place.key), mode, encoding)
            return open_writer(place.store.writer(place.key, overwrite=kind == "w"), mode, encoding)

    def append(self, path: Address, data: bytes) -> None:
        """Add bytes at the end of an object, or begin it; of many who do so at once, all bytes are kept.

        Stores of whole objects read, extend and replace it on condition. Its metadata stay, its type is that of its name, and other
        headers (an encoding, a cache control) go.

        Raises:
            UnsupportedPersistenceOp: The store cannot, or would lose what is there; or the object is too large to be rewritten.
            ConflictError: It cannot be known whether the bytes are there.
        """
        place = self._place(path).require_object()
        place.store.append(place.key, bytes(data))

    def delete(
        self, path: Address, *, recursive: bool = False, missing_ok: bool = False, version: str | ObjectInfo | None = None
    ) -> int:
        """Delete a file, or with *recursive* a folder and everything below.

        Args:
            path: Its name.
            recursive: It may be a folder.
            missing_ok: It may be missing.
            version: Remove only this one of its `versions`, as a `snapshot` that is no longer needed. Where the store itself keeps
                versions, and it is the one that is there now, nothing is removed: nothing was made for it.

        Returns:
            How many objects are gone; folders and old versions are not counted.

        Raises:
            ObjectNotFoundError: It is not there, unless *missing_ok*.
            IsAFolderError: A folder, without *recursive*.
            TransferError: Some files could not be deleted; the rest are.
        """
        place = self._place(path)
        if version is not None:
            self._forget(place, version, missing_ok=missing_ok)
            return 0
        try:
            info = place.store.info(place.key)
        except ObjectNotFoundError:
            return self._delete_dangling(place, missing_ok=missing_ok)
        gone = 0
        flat = place.store.capabilities.flat
        if not info.is_folder or info.link:
            place.store.delete(place.key)
            gone = 1
            if not (recursive and flat):  # there, an object and a tree may share a name
                return gone
        elif not recursive:
            raise IsAFolderError(
                "is a folder", operation="delete", url=place.url, hint="recursive=True deletes it with everything in it."
            )
        if not place.key:
            raise InvalidNameError("the root of a store is never deleted", operation="delete", url=place.url)
        return gone + delete_tree(place.store, place.key, self._policy)

    def _forget(self, place: Place, version: str | ObjectInfo, *, missing_ok: bool) -> None:
        try:
            with self._helpful(place.url, "delete"):
                place.store.forget(_pin(place, version) or ObjectInfo(key=place.key))
        except ObjectNotFoundError:
            if not missing_ok:
                raise

    def _delete_dangling(self, place: Place, *, missing_ok: bool) -> int:
        """A link that leads nowhere is not found, and can be deleted all the same."""
        if place.store.capabilities.folders and place.store.capabilities.write:
            with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
                place.store.delete(place.key)
                return 1
        if not missing_ok:
            raise ObjectNotFoundError("not found", operation="delete", url=place.url)
        return 0

    # --- folders and buckets ---

    def make_folder(self, path: Address) -> None:
        """Make an empty folder, and those above it; one that is there is fine.

        Raises:
            UnsupportedPersistenceOp: The store has no folders, only names with slashes in them; `Capabilities.folders` tells.
            NotAFolderError: A file has that name.
        """
        place = self._place(path)
        place.store.make_folder(place.key)

    def make_bucket(self, path: Address = "") -> None:
        """Make the bucket, or container, that an address lies in; one that is there is fine. Elsewhere there is nothing to do.

        Raises:
            PermissionDeniedError: It may not be made, or belongs to somebody else.
        """
        self._place(path).store.make_root()

    # --- old versions, and what was left over ---

    def snapshot(self, path: Address) -> ObjectInfo:
        """Keep an object as it is now, whatever becomes of it.

        A store that was told to keep versions (S3, Google's and Azure's versioning) keeps the one that is there, until its own rules say
        otherwise. Elsewhere a copy is made, in a hidden folder beside the object. It stays when the object is replaced, moved or
        deleted, and goes when a folder around it is deleted with ``recursive=True``; a move of that folder leaves it behind.

        Returns:
            The version; `ObjectInfo.version_id` names it.

        Raises:
            ObjectNotFoundError: It is not there.
            UnsupportedPersistenceOp: Nothing can be written here.

        Examples:
            >>> p = FSSpecPersistence("memory://snapshots")
            >>> _ = p.write_bytes("a.txt", b"one")
            >>> kept = p.snapshot("a.txt")
            >>> _ = p.write_bytes("a.txt", b"two")
            >>> p.read_bytes("a.txt", version=kept), p.read_bytes("a.txt")
            (b'one', b'two')
        """
        place = self._place(path).require_object()
        with self._helpful(path, "snapshot"):
            return replace(place.store.snapshot(place.key), key=place.name_of(place.key))

    def versions(self, path: Address) -> Iterator[ObjectInfo]:
        """What is kept of an object, newest first: its snapshots, and what the store itself keeps, the present version included.

        Raises:
            ObjectNotFoundError: There is no such object, and nothing is kept of one. Raised by the call, not by the first item.
        """
        place = self._place(path).require_object()
        with self._helpful(path, "list"):
            found = place.store.versions(place.key)
            first = next(found, None)
        return (replace(info, key=place.name_of(place.key)) for info in _chained(first, found))

    def gc(self, path: Address = "", *, foreign: bool = False, older_than: Age | None = None, dry_run: bool = False) -> GcReport:
        """Remove what transfers and writes that ended badly left at and below a path.

        Only what carries our mark is touched, unless *foreign*, and only what was not written to for an hour, unless *older_than* says
        otherwise: a younger one may belong to somebody who is still at work. What a transfer of this machine can go on with
        is kept. Blocks that Azure was sent and resumable sessions of Google's store cannot be listed; both drop them after a week.

        Args:
            path: A folder, or the object that was to be.
            foreign: Also unfinished uploads on S3 that are not known to be ours, whoever began them; needs *older_than*.
            older_than: A ``timedelta``, seconds, or text as ``"90s"``, ``"12h"``, ``"1d"``.
            dry_run: Remove nothing, and say what would go.

        Returns:
            What was removed, what was kept and why, and what failed, which is not raised.

        Raises:
            InvalidOptionError: *foreign* without *older_than*, or no such age.
        """
        place = self._place(path)
        with self._helpful(path, "gc"):
            return collect(
                place.store,
                place.key,
                resumable=known_tokens(),
                given_up=given_up_tokens(),
                foreign=foreign,
                older_than=older_than,
                dry_run=dry_run,
            )

    def sign(self, path: Address, expires_seconds: int = 3600) -> str:
        """A URL that reads one object without credentials.

        Args:
            path: The object.
            expires_seconds: How long it works.

        Raises:
            UnsupportedPersistenceOp: The store has no such URLs.
        """
        place = self._place(path)
        return place.store.sign(place.key, expires_seconds)

    # --- names ---

    def url(self, path: Address = "") -> str:
        """The full URL of an address, without a password."""
        place = self._place(path)
        return place.location.with_key(place.key).url

    def child(self, path: str) -> FSSpecPersistence:
        """A persistence of the same kind whose default prefix lies below this one."""
        place = self._place(path)
        twin: FSSpecPersistence = self.__copy__()
        twin._prefix = place.location.with_key(place.key)
        twin._default_prefix = twin._prefix.url
        return twin

    def construct_path(self, add_protocol: bool, add_prefix: bool, *paths: str) -> str:  # noqa: FBT001 - Flyte's
        """Join names with ``/``.

        Args:
            add_protocol: Put ``protocol://`` in front, once.
            add_prefix: Put the default prefix in front.
            paths: Names.
        """
        prefix = (self.default_prefix or self._prefix.url) if add_prefix else ""
        parts = [*([prefix] if prefix else []), *(p.strip("/") if prefix else p for p in paths)]
        joined = "/".join(
            part.rstrip("/") if i < len(parts) - 1 and not part.endswith("://") else part for i, part in enumerate(parts)
        )
        joined = joined.replace(":///", "://", 1) if prefix.endswith("://") and "file" not in prefix else joined
        if not add_protocol or is_url(joined):
            return joined
        return f"{self._prefix.protocol}://{joined}"

    @property
    def aio(self) -> AsyncPersistence:
        """The same operations to await, from any asyncio loop: ``await p.aio.put(...)``; `persistence_fsspec.aio` tells more."""
        from persistence_fsspec.aio import AsyncPersistence  # noqa: PLC0415 - it is made of this class's methods

        return AsyncPersistence(self)

    def fsspec_filesystem(self) -> Any:
        """This persistence as an fsspec filesystem, whose paths are keys below the default prefix."""
        from importlib import import_module  # noqa: PLC0415 - a face is above; it is loaded when asked for

        return import_module("persistence_fsspec.faces.fsspec").PersistFileSystem(adapter=self)


def _pin(place: Place, version: str | ObjectInfo | None) -> ObjectInfo | None:
    """The version that is meant, as the store knows it."""
    if version is None:
        return None
    if isinstance(version, ObjectInfo):
        return replace(version, key=place.key)
    for info in place.store.versions(place.key):
        if info.version_id == version:
            return info
    raise ObjectNotFoundError(f"no version {version!r} of it is kept", url=place.url)


def _chained(first: ObjectInfo | None, rest: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
    if first is not None:
        yield first
        yield from rest
