"""`FSSpecPersistence`: the one class. Everything else in this package serves it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final

from persistence_fsspec import config
from persistence_fsspec.addresses import Address, Addresses, Place, refuse_missing_slash
from persistence_fsspec.addresses import default_prefix as place_of_keys
from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ConflictError,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.fileobject import Appender, check_mode, open_reader, open_writer
from persistence_fsspec.location import is_local_path, is_url, local, parse, url_and_options
from persistence_fsspec.policy import Policy
from persistence_fsspec.redaction import redact, redact_places
from persistence_fsspec.registry import DataPersistence, DataPersistencePlugins
from persistence_fsspec.sensitive import check_portable, filesystem_secrets, option_secrets, rebuilt
from persistence_fsspec.store import ObjectInfo, Store
from persistence_fsspec.transfer.engine import run
from persistence_fsspec.transfer.plan import Patterns, Plan, matcher
from persistence_fsspec.transfer.progress import Progress, as_progress
from persistence_fsspec.transfer.remove import delete_copied, delete_tree
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

EMBEDDED: Final = ".persistence"
"""Folder of the embedded default, in the working folder."""


class FSSpecPersistence(DataPersistence):
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

    def __init__(
        self,
        default_prefix: Address | None = None,
        *,
        storage_options: config.StorageOptions = None,
        profile: str | None = None,
        policy: Policy | None = None,
        filesystem: Any = None,
        name: str = "fsspec",
    ) -> None:
        taken = url_and_options(default_prefix)
        if taken:
            default_prefix, upath_options = taken
            if storage_options is None and upath_options:
                storage_options = upath_options
        self._lazy_folder = Path.cwd() / EMBEDDED if default_prefix is None and filesystem is None else None
        self._prefix = place_of_keys(self._lazy_folder / "data" if self._lazy_folder else default_prefix, filesystem)
        given = None if default_prefix is None else str(default_prefix)
        super().__init__(name=name, default_prefix=self._prefix.url if self._prefix.userinfo else given)
        config.check_options(storage_options, None if self._lazy_folder else self._prefix.protocol)
        self._storage_options, self._profile, self._answers = storage_options, profile, config.Answers()
        if not isinstance(policy, Policy | None):
            raise InvalidOptionError(f"policy must be a Policy, not {type(policy).__name__}")
        self._policy, self._filesystem = policy or Policy(), filesystem

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._prefix)!r})"

    # --- from process to process ---

    def __getstate__(self) -> dict[str, Any]:
        """What a pickle takes along; references to secrets, never secrets.

        Raises:
            SecretPicklingError: It holds secrets themselves. The message names the options, and says what to do.
        """
        in_url = redact_places(self._prefix.url) != self._prefix.url or bool(self._prefix.userinfo)
        names = [*(["default_prefix"] if in_url else []), *option_secrets(self._storage_options)]
        names += [f"filesystem.{name}" for name in filesystem_secrets(self._filesystem)]
        check_portable(repr(self), names)
        return dict(self.__dict__)

    def __copy__(self) -> FSSpecPersistence:
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> FSSpecPersistence:
        """Inside of one process secrets may be copied; connections and credential objects are shared."""
        twin = self.__copy__()
        if isinstance(self._storage_options, Mapping):
            twin._storage_options = rebuilt(self._storage_options)
        memo[id(self)] = twin
        return twin

    # --- override points ---

    def options_for(self, url: str) -> Mapping[str, Any]:
        """What the caller says of a URL; a subclass may compute it. Above all other sources, which `config` lists.

        Args:
            url: The root of a store, without credentials.
        """
        protocol = DataPersistencePlugins.get_protocol(url)

        def said(url: str) -> Mapping[str, Any]:
            return config.resolve_options(self._storage_options, url, protocol, self._prefix.protocol)

        return self._answers.of(said, url) if callable(self._storage_options) else said(url)

    def wrap(self, store: Store) -> Store:
        """Put layers around a store; a subclass may add its own."""
        return store

    # --- files and trees ---

    def put(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        progress: Any = None,
    ) -> TransferReport:
        """Store a file or a tree of this machine.

        Args:
            from_path: A local path.
            to_path: Where to. A file goes to exactly this name, or, if it ends in ``/``, into it under its own name.
            recursive: *from_path* may be a folder; its contents go into *to_path*.
            overwrite: Replace what is there. Otherwise a name that is taken fails, atomically where the store can.
            include: Of a tree, only names that match these gitignore patterns.
            exclude: Of a tree, no name that matches.
            progress: True for a bar; a `Progress`; an ``fsspec.Callback``.

        Returns:
            What became of each file.

        Raises:
            ObjectNotFoundError: There is nothing at *from_path*.
            IsAFolderError: A folder, without *recursive*.
            TransferError: Some files of a tree did not arrive. The rest did; the report is in the error.
            PersistenceError: A single file did not arrive, and why.

        Examples:
            >>> import pathlib, tempfile
            >>> here = pathlib.Path(tempfile.mkdtemp(), "a.txt")
            >>> _ = here.write_text("hello")
            >>> len(FSSpecPersistence("memory://docs").put(here, "copies/").copied)
            1
        """
        foreign = self._foreign(to_path)
        if foreign is not None:
            _refuse_beyond_the_five(foreign, overwrite=overwrite, include=include, exclude=exclude)
            return _foreign_report("put", from_path, to_path, foreign.put(str(from_path), str(to_path), recursive))
        options = {"overwrite": overwrite, "include": include, "exclude": exclude, "progress": progress}
        with self._helpful(Path(from_path) if isinstance(from_path, str) else from_path, "put"):
            source, target = self._local_place(from_path), self._place(to_path)
            return self._transfer("put", source, target, recursive=recursive, **options)

    def get(
        self,
        from_path: Address,
        to_path: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - Flyte's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        progress: Any = None,
    ) -> TransferReport:
        """Fetch a file or a tree to this machine.

        Args:
            from_path: Where from.
            to_path: A local path. A file goes to exactly this name, or, if it is an existing folder or ends in ``/``, into it.
            recursive: *from_path* may be a folder; its contents go into *to_path*.
            overwrite: See `put`, as the rest.
            include: See `put`.
            exclude: See `put`.
            progress: See `put`.

        Returns:
            What became of each file.

        Raises:
            ObjectNotFoundError: There is nothing at *from_path*.
            IsAFolderError: A folder, without *recursive*.
            TransferError: Some files of a tree did not arrive. The rest did.
            PersistenceError: A single file did not arrive, and why.
        """
        foreign = self._foreign(from_path)
        if foreign is not None:
            _refuse_beyond_the_five(foreign, overwrite=overwrite, include=include, exclude=exclude)
            return _foreign_report("get", from_path, to_path, foreign.get(str(from_path), str(to_path), recursive))
        source, target = self._place(from_path), self._local_place(to_path)
        options = {"overwrite": overwrite, "include": include, "exclude": exclude, "progress": progress}
        with self._helpful(from_path, "get"):
            return self._transfer("get", source, target, recursive=recursive, **options)

    def copy(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        progress: Any = None,
    ) -> TransferReport:
        """Copy from any store to any store, inside the store where it can.

        Args:
            src: Where from.
            dst: Where to; see `put`.
            recursive: *src* may be a folder.
            overwrite: See `put`, as the rest.
            include: See `put`.
            exclude: See `put`.
            progress: See `put`.

        Returns:
            What became of each file.

        Raises:
            TransferError: Some files of a tree did not arrive.
            PersistenceError: A single file did not arrive, and why.
        """
        options = {"overwrite": overwrite, "include": include, "exclude": exclude, "progress": progress}
        with self._helpful(src, "copy"):
            return self._transfer("copy", self._place(src), self._place(dst), recursive=recursive, **options)

    def move(
        self,
        src: Address,
        dst: Address,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        *,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        progress: Any = None,
    ) -> TransferReport:
        """Move: rename where the store can, else copy, verify, and only then delete.

        Args:
            src: Where from.
            dst: Where to; see `put`.
            recursive: *src* may be a folder.
            overwrite: See `put`. What fails because its name is taken stays at its source.
            include: See `put`. What is left out stays; folders that are empty afterwards go.
            exclude: See `put` and *include*.
            progress: See `put`.

        Returns:
            What became of each file.

        Raises:
            TransferError: Some files of a tree did not arrive. Nothing was deleted; all are still at their source.
            PersistenceError: A single file did not arrive, and why.
        """
        source, target = self._place(src), self._place(dst)
        with self._helpful(src, "move"):
            info = source.store.info(source.key)
        exact = target if info.is_folder else target.exact(source.key.rpartition("/")[2])
        if source.is_same(exact):
            return _nothing_to_do("move", source)
        # Renaming replaces; only a writer can be told not to.
        if overwrite and not info.is_folder and source.store is exact.store and source.store.capabilities.rename:
            return self._rename(source, exact, as_progress(progress))
        self._refuse_disguise(source, exact, info)
        options = {"overwrite": overwrite, "include": include, "exclude": exclude, "progress": progress}
        report = self._transfer("move", source, exact, recursive=recursive, **options)
        copied = {file.key: file.info for file in report.copied if file.info is not None}
        whole = include is None and exclude is None
        delete_copied(source.store, source.key, copied, self._policy, links=whole)
        return report

    def _refuse_disguise(self, source: Place, target: Place, info: ObjectInfo) -> None:
        """One server under two addresses: a move would copy a file onto itself, and then delete it."""
        protocols = {config.canonical(place.location.protocol) for place in (source, target)}
        if source.store is target.store or len(protocols) > 1:
            return
        if info.is_folder:
            first = next(source.store.find(source.key), None)
            if first is None:
                return
            info, target = first, target.inside(first.key[len(source.key) :].lstrip("/"))
        with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
            there = target.store.info(target.key)
            if there.modified is not None and info.same_content(there):
                raise ConflictError(
                    f"{source.store.url(info.key)} and {target.url} look like one file under two addresses",
                    operation="move",
                    url=target.url,
                    hint="If they are two, copy() and then delete() the source.",
                )

    def _rename(self, source: Place, target: Place, listener: Progress) -> TransferReport:
        try:
            source.store.rename(source.key, target.key)
            listener.finish(target.url, "copied")
        finally:
            listener.close()
        moved = FileOutcome(source=source.url, target=target.url, status="copied")
        return TransferReport(operation="move", source=source.url, target=target.url, files=(moved,))

    def _transfer(
        self,
        operation: str,
        source: Place,
        target: Place,
        *,
        recursive: bool,
        overwrite: bool = True,
        include: Patterns = None,
        exclude: Patterns = None,
        progress: Any = None,
    ) -> TransferReport:
        listener = as_progress(progress)
        if source.is_same(target) or (not recursive and source.is_same(target.exact(source.key.rpartition("/")[2]))):
            source.store.info(source.key)
            return _nothing_to_do(operation, source)
        plan = Plan(
            source=source.store,
            source_key=source.key,
            target=target.store,
            target_key=target.key,
            into_folder=target.names_folder,
            recursive=recursive,
            include=include,
            exclude=exclude,
        )
        report = run(plan, operation=operation, policy=self._policy, overwrite=overwrite, progress=listener)
        if not recursive and report.failed:
            error = report.failed[0].error
            raise error if error is not None else PersistenceError("failed", operation=operation, url=report.target)
        report.raise_for_failures()
        return report

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
        wanted = matcher(include, exclude)
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

    def read_bytes(self, path: Address, *, start: int | None = None, end: int | None = None) -> bytes:
        """Read an object, or the half-open range ``[start, end)`` of it. Negative numbers count from the end.

        Raises:
            ObjectNotFoundError: It is not there.
            ChangedDuringReadError: It was replaced meanwhile.
        """
        place = self._place(path)
        with self._helpful(path, "read"):
            if start is None and end is None:
                return b"".join(place.store.stream(place.key))
            if (start or 0) < 0 or (end or 0) < 0:
                size = place.store.info(place.key).size
                if size is None:
                    raise UnsupportedPersistenceOp("its size is not known, so nothing can be counted from the end")
                start, end, _ = slice(start, end).indices(size)
            if end is not None and end <= (start or 0):
                place.store.info(place.key)  # nothing of a missing object is still an error
                return b""
            return place.store.read(place.key, start, end)

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
        place = self._place(path).require_object()
        writer = place.store.writer(
            place.key, size=len(memoryview(data).cast("B")), overwrite=overwrite, if_match=if_match, metadata=metadata
        )
        try:
            writer.write(bytes(data))
            info = writer.commit()
        finally:
            writer.abort()
        return replace(info, key=place.name_of(place.key))

    def open(self, path: Address, mode: str = "rb", *, encoding: str | None = None) -> IO[Any]:
        """Open an object as a file.

        Args:
            path: Its name.
            mode: ``r``, ``w``, ``x`` (must not exist) or ``a``, with ``b`` for bytes.
            encoding: Of text; UTF-8 unless said otherwise.

        Returns:
            For reading: seekable, and pinned to the version it was opened at. For writing: published by `close`, or by
            the end of the ``with`` block; an exception inside it publishes nothing.
        """
        kind = check_mode(mode, encoding)
        with self._helpful(path, "open"):
            if kind == "r":
                place = self._place(path)
                return open_reader(place.store, place.key, mode, encoding)
            place = self._place(path).require_object()
            if kind == "a":
                return open_writer(Appender(place.store, place.key), mode, encoding)
            return open_writer(place.store.writer(place.key, overwrite=kind == "w"), mode, encoding)

    def append(self, path: Address, data: bytes) -> None:
        """Add bytes at the end of an object, or begin it.

        Raises:
            UnsupportedPersistenceOp: The store cannot, or would lose what is there.
        """
        place = self._place(path).require_object()
        place.store.append(place.key, bytes(data))

    def delete(self, path: Address, *, recursive: bool = False, missing_ok: bool = False) -> int:
        """Delete a file, or with *recursive* a folder and everything below.

        Returns:
            How many objects are gone; folders are not counted.

        Raises:
            ObjectNotFoundError: It is not there, unless *missing_ok*.
            IsAFolderError: A folder, without *recursive*.
            TransferError: Some files could not be deleted; the rest are.
        """
        place = self._place(path)
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

    def _delete_dangling(self, place: Place, *, missing_ok: bool) -> int:
        """A link that leads nowhere is not found, and can be deleted all the same."""
        if place.store.capabilities.folders and place.store.capabilities.write:
            with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
                place.store.delete(place.key)
                return 1
        if not missing_ok:
            raise ObjectNotFoundError("not found", operation="delete", url=place.url)
        return 0

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
        twin = self.__copy__()
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

    def fsspec_filesystem(self) -> Any:
        """This persistence as an fsspec filesystem, whose paths are keys below the default prefix."""
        from importlib import import_module  # noqa: PLC0415 - a face is above; it is loaded when asked for

        return import_module("persistence_fsspec.faces.fsspec").PersistFileSystem(adapter=self)

    def store_and_key(self, path: Address = "") -> tuple[Store, str]:
        """The `Store` behind an address, and the key there: what layers and the conformance kit work on."""
        place = self._place(path)
        return place.store, place.key

    # --- from an address to a place ---

    @property
    def _addresses(self) -> Addresses:
        return Addresses(
            prefix=self._prefix,
            policy=self._policy,
            options_for=self.options_for,
            profile=self._profile,
            answers=self._answers,
            wrap=self.wrap,
            filesystem=self._filesystem,
            lazy_folder=self._lazy_folder,
        )

    def _place(self, address: Address) -> Place:
        taken = url_and_options(address)
        if taken:
            url, options = taken
            return self._addresses.at(parse(url) if is_url(url) else local(url), options)
        if isinstance(address, os.PathLike) or is_local_path(address):
            return self._addresses.at(local(address))
        if is_url(address):
            return self._owner(address)._addresses.at(parse(address))
        return self._addresses.below(address)

    def _local_place(self, address: Address) -> Place:
        """A plain string is a local path here: the source of `put`, the target of `get`."""
        if isinstance(address, str) and not is_url(address):
            refuse_missing_slash(address)
            return self._addresses.at(local(address))
        place = self._place(address)
        if place.location.protocol != "file":
            raise InvalidNameError(
                f"{place.url} is not on this machine",
                hint="put() and get() move between this machine and a store; use copy().",
            )
        return place

    # --- other classes in the registry ---

    def _owner(self, url: str) -> FSSpecPersistence:
        """Another `FSSpecPersistence` class registered for this protocol speaks for it."""
        found = self._registered(url)
        if found is None:
            return self
        if not issubclass(found, FSSpecPersistence):
            raise UnsupportedPersistenceOp(
                f"{found.__name__} serves this protocol, and only has Flyte's five operations", url=redact(url)
            )
        owner: FSSpecPersistence = _instance(found)
        return owner

    def _foreign(self, address: Address) -> Any:
        """An instance of a registered class that knows only the five operations; None when the protocol is ours."""
        if not isinstance(address, str) or not is_url(address):
            return None
        found = self._registered(address)
        return None if found is None or issubclass(found, FSSpecPersistence) else _instance(found)

    def _registered(self, url: str) -> type[Any] | None:
        if self._addresses.serves(DataPersistencePlugins.get_protocol(url)):
            return None
        found = DataPersistencePlugins.find_plugin(url)
        return None if found is FSSpecPersistence or isinstance(self, found) else found

    # --- helpful errors ---

    @contextlib.contextmanager
    def _helpful(self, address: Address, operation: str) -> Iterator[None]:
        """Errors name what the caller asked for; a missing key whose local twin exists says so."""
        try:
            yield
        except PersistenceError as exc:
            if exc.operation in {"", "info"}:
                exc.operation = operation
            plain = isinstance(address, str) and address and not is_url(address) and not is_local_path(address)
            if isinstance(exc, ObjectNotFoundError) and plain and not exc.hint and os.path.exists(address):
                exc.hint = (
                    f"A local file {str(address)!r} exists; a plain name is a key below {self._prefix}. "
                    f"For the file, say pathlib.Path({str(address)!r})."
                )
            raise


_instances: dict[type[Any], Any] = {}


def _instance(cls: type[Any]) -> Any:
    if cls not in _instances:
        _instances[cls] = cls()
    return _instances[cls]


def _chained(first: ObjectInfo | None, rest: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
    if first is not None:
        yield first
        yield from rest


def _nothing_to_do(operation: str, place: Place) -> TransferReport:
    same = FileOutcome(source=place.url, target=place.url, status="skipped")
    return TransferReport(operation=operation, source=place.url, target=place.url, files=(same,))


def _refuse_beyond_the_five(foreign: Any, *, overwrite: bool, include: Patterns, exclude: Patterns) -> None:
    if not overwrite or include is not None or exclude is not None:
        raise UnsupportedPersistenceOp(
            f"{type(foreign).__name__} serves this protocol, and knows neither overwrite=False nor include and exclude"
        )


def _foreign_report(operation: str, source: Address, target: Address, answer: Any) -> TransferReport:
    if isinstance(answer, TransferReport):
        return answer
    return TransferReport(operation=operation, source=redact(str(source)), target=redact(str(target)))
