"""The class that XT makes of the record of a storage service: containers are folders, blobs the files in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.errors import (
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.faces.xt import creds
from persistence_fsspec.faces.xt.blobs import Blob, blob_of
from persistence_fsspec.faces.xt.names import MARKER, asked, blob_key, container_key, folder_key, names_folder
from persistence_fsspec.faces.xt.progress import Callback, Counted, progress
from persistence_fsspec.faces.xt.signatures import untyped
from persistence_fsspec.location import through_link
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.store import ObjectInfo

_MARK: Final = b"This object keeps an XT container that is empty. It is no blob, and XT never lists it.\n"
_PIECE: Final = 1 << 20
_LOOKS: Final = 8
"""At once, into the folders of a listing."""


@untyped
class FSSpecStore:
    """A storage provider of XT on any URL: ``persistence_fsspec.faces.xt.FSSpecStore`` in its ``providers: storage:``.

    A container is a folder below *path*; a blob is a file in it. Names are literal, and none leaves its place. Nothing is
    opened by constructing it.

    What fails for a passing reason is tried again, as `Policy` and ``PERSISTENCE_FSSPEC_*`` say; the retry function that XT
    hands over is kept, given back, and not called, so that repetitions do not multiply.

    Args:
        storage_creds: The record of the service: ``path`` is any URL or local path, ``key`` the JSON text of storage options,
            for the protocol of *path* or nested by protocol. ``type``, ``provider`` and ``name`` are XT's own.

    Raises:
        InvalidOptionError: An entry that is unknown, or cannot be understood. What it says is not shown.

    Examples:
        >>> store = FSSpecStore({"provider": "store-fsspec", "path": "memory://xt-docs"})
        >>> store.create_container("ws1"), store.create_blob("ws1", "runs/run1/run.log", "started")
        (True, True)
        >>> store.list_blobs("ws1", "runs/run*", recursive=False)
        ['runs/run1/']
    """

    def __init__(self, storage_creds: Mapping[str, Any]) -> None:
        path, options = creds.read(storage_creds)
        self._persistence = _Persistence(path, storage_options=options, name="xt")
        self._retry: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._persistence.where!r})"

    def __getstate__(self) -> dict[str, Any]:
        """XT's retry function stays in its process: it cannot be pickled, and nothing here calls it."""
        return {**self.__dict__, "_retry": None}

    # --- the service ---

    def get_service_name(self) -> str:
        """Name this service for XT, which pairs it with a database by this name: the URL, and the server that the options name."""
        return self._persistence.service_name

    def get_retry(self) -> Any:
        """What `set_retry` was given; None before."""
        return self._retry

    def set_retry(self, value: Any) -> None:
        """Keep XT's retry function."""
        self._retry = value

    # --- containers ---

    def does_container_exist(self, container: str) -> bool:
        """Whether there is such a container.

        Raises:
            PersistenceError: It cannot be known.
        """
        return self._is_folder(container_key(container))

    def create_container(self, container: str) -> bool:
        """Make an empty container.

        Returns:
            True; False when it was there already. Of several who make it at the same moment, at most one hears True on s3, gs and
            abfs. Where there are folders (this machine, sftp, ftp), and where nothing can be created exclusively, all of them may.
        """
        name = container_key(container)
        existed, can = self._is_folder(name), self._persistence.capabilities()
        if can.folders:
            if not existed:
                self._persistence.make_folder(name)
            return not existed
        marker = f"{name}/{MARKER}"
        try:  # also where blobs make it a container: they may go
            self._persistence.write_bytes(marker, _MARK, overwrite=not can.create)
        except ObjectExistsError:
            return False
        except UnsupportedPersistenceOp:  # a server that keeps no condition; the object is the same whoever writes it
            self._persistence.write_bytes(marker, _MARK)
        return not existed

    def list_containers(self) -> list[str]:
        """The names of all containers, in order."""
        store, root = self._persistence.store_and_key()
        try:
            return sorted(_name(entry, root).rstrip("/") for entry in store.children(root) if entry.is_folder)
        except ObjectNotFoundError:
            if self._persistence.capabilities().flat:
                store.info("")  # an error when there is no such bucket
            return []

    def delete_container(self, container: str) -> bool:
        """Delete a container with everything in it, snapshots included; what the store keeps of versions by itself stays.

        Returns:
            True; False when there is none.

        Raises:
            TransferError: Some blobs could not be deleted; the rest are.
        """
        name = container_key(container)
        if not self._is_folder(name):
            return False
        self._persistence.delete(name, recursive=True, missing_ok=True)
        return True

    def get_container_properties(self, container: str) -> Blob:
        """Describe a container.

        Raises:
            ObjectNotFoundError: There is none.
        """
        return blob_of(container, self._persistence.info(container_key(container)))

    def get_container_metadata(self, container: str) -> dict[str, str]:
        """Nothing: folders carry no text.

        Raises:
            ObjectNotFoundError: There is no such container.
        """
        self._persistence.info(container_key(container))
        return {}

    # --- looking at blobs ---

    def does_blob_exist(self, container: str, blob_path: str) -> bool:
        """Whether there is such a blob; a folder is none.

        Raises:
            PersistenceError: It cannot be known.
        """
        if names_folder(blob_path):
            return False
        try:
            return not self._persistence.info(blob_key(container, blob_path)).is_folder
        except (ObjectNotFoundError, NotAFolderError):
            return False

    def list_blobs(
        self,
        container: str,
        path: str | None = None,
        return_names: bool = True,  # noqa: FBT001, FBT002 - XT's
        recursive: bool = True,  # noqa: FBT001, FBT002 - XT's
    ) -> list[Any]:
        """List blobs.

        Args:
            container: Their container.
            path: A folder; or the beginning of names, if it ends in ``*``, which is the only character that means something;
                or None for all. A slash in front of it means nothing.
            return_names: Names; otherwise a `Blob` each.
            recursive: All blobs below; otherwise those of one level, and the folders there, whose names end in ``/``. Folders
                without a blob are not listed.

        Returns:
            In the order of their names, which begin below the container. Nothing for a folder that is missing.

        Raises:
            ObjectNotFoundError: There is no such container.
        """
        folder, beginning = asked(path)
        found = [
            (name, entry)
            for name, entry in self._entries(container, folder, recursive=recursive)
            if name.startswith(beginning) and name != MARKER
        ]
        found.sort(key=lambda pair: pair[0])
        return [name if return_names else blob_of(name, entry) for name, entry in found]

    def _entries(self, container: str, folder: str, *, recursive: bool) -> list[tuple[str, ObjectInfo]]:
        address = folder_key(container, folder)
        _, root = self._persistence.store_and_key(container)
        store, key = self._persistence.store_and_key(address)
        try:
            if recursive:
                return [(_name(entry, root), entry) for entry in store.find(key)]
            entries = list(store.children(key))
            if store.capabilities.folders:
                entries = self._without_empty(entries)
            return [(_name(entry, root), entry) for entry in entries]
        except (ObjectNotFoundError, NotAFolderError) as exc:
            if self._is_folder(address):
                raise  # something vanished from it just now
            if not self._is_folder(container):
                url = self._persistence.url(container)
                raise ObjectNotFoundError("there is no such container", operation="list", url=url) from exc
            return []

    # --- one blob ---

    def get_blob_properties(self, container: str, blob_path: str) -> Blob:
        """Describe a blob.

        Raises:
            ObjectNotFoundError: There is none.
        """
        info = self._persistence.info(blob_key(container, blob_path))
        if info.is_folder:
            raise IsAFolderError("is a folder, not a blob", operation="info", url=self._persistence.url(info.key))
        return blob_of(blob_path, info)

    def get_blob_metadata(self, container: str, blob_path: str) -> dict[str, str]:
        """The text that the store keeps with a blob; of a local file, its mode and time.

        Raises:
            ObjectNotFoundError: There is none.
        """
        return dict(self.get_blob_properties(container, blob_path).metadata)

    def get_blob_text(self, container: str, blob_path: str) -> str:
        """Read a blob as UTF-8; ends of lines are as they were written.

        Raises:
            ObjectNotFoundError: There is none.
            UnicodeDecodeError: It is no such text.
        """
        return self._persistence.read_bytes(blob_key(container, blob_path)).decode("utf-8")

    def get_blob_to_path(
        self,
        container: str,
        blob_path: str,
        dest_fn: str,
        snapshot: str | None = None,
        progress_callback: Callback | None = None,
    ) -> None:
        """Fetch a blob into a local file, whole or not at all, and without a copy of it in memory.

        Args:
            container: Its container.
            blob_path: Its name. Of a name that ends in ``/``, as listings give it for a folder, the folder is made.
            dest_fn: The local file. A link to one stays, and what it leads to is written, as XT's own stores do.
            snapshot: One of its snapshots instead: `Blob.snapshot` of what `snapshot_blob` returned.
            progress_callback: Told how many bytes have moved, of how many.

        Raises:
            ObjectNotFoundError: There is no such blob, or no such snapshot.
        """
        if names_folder(blob_path):
            self._fetch_folder(container, blob_path, dest_fn)
            return
        name, target = blob_key(container, blob_path), through_link(Path(dest_fn))
        if os.path.isdir(target):  # a file would go into it, under its own name
            raise IsAFolderError("a folder stands there", operation="get", url=dest_fn)
        if snapshot is None:
            self._persistence.get(name, target, progress=progress(progress_callback))
        else:
            self._fetch_version(name, target, snapshot, progress_callback)

    def _fetch_folder(self, container: str, blob_path: str, dest_fn: str) -> None:
        address = folder_key(container, blob_path)
        if not self._is_folder(address):
            raise ObjectNotFoundError("there is no such folder", operation="get", url=self._persistence.url(address))
        self._persistence.make_folder(Path(dest_fn))

    def _fetch_version(self, name: str, target: Path, snapshot: str, callback: Callback | None) -> None:
        with self._persistence.open(name, version=snapshot) as source, self._persistence.open(target, "wb") as file:
            total = source.seek(0, 2)
            source.seek(0)
            shutil.copyfileobj(source, Counted(file, total, callback), _PIECE)

    def create_blob(
        self,
        container: str,
        blob_path: str,
        text: str | bytes,
        fail_if_exists: bool = False,  # noqa: FBT001, FBT002 - XT's
    ) -> bool:
        """Write a blob whole.

        Args:
            container: Its container.
            blob_path: Its name.
            text: Kept in UTF-8, its ends of lines as they are; or bytes.
            fail_if_exists: Replace nothing; of many writers at once exactly one succeeds.

        Raises:
            ObjectExistsError: *fail_if_exists*, and it exists.
            UnsupportedPersistenceOp: *fail_if_exists*, and the store cannot know (ftp): see `UnguardedStore`.
        """
        name = blob_key(container, blob_path)
        try:
            self._persistence.write_bytes(name, _bytes(text), overwrite=not fail_if_exists)
        except UnsupportedPersistenceOp as exc:
            if fail_if_exists and self._persistence.capabilities().write:
                looks = f"{UnguardedStore.__module__.rpartition('.')[0]}.{UnguardedStore.__name__}"
                way_out = f"Where nobody else creates the same thing at the same moment, name {looks} in XT's configuration: it looks first."
                exc.hint = f"{exc.hint} {way_out}".lstrip()
            raise
        return True

    def create_blob_from_path(
        self, container: str, blob_path: str, source_fn: str, progress_callback: Callback | None = None
    ) -> bool:
        """Store a local file, whatever it holds, as a blob.

        Args:
            container: Its container.
            blob_path: Its name.
            source_fn: The local file.
            progress_callback: Told how many bytes have moved, of how many.

        Raises:
            ChangedDuringReadError: The file was written to meanwhile, in each attempt. The blob is what it was.
        """
        name = self._target(blob_key(container, blob_path))
        self._persistence.put(Path(source_fn), name, progress=progress(progress_callback))
        return True

    def append_blob(
        self,
        container: str,
        blob_path: str,
        text: str | bytes,
        append_with_rewrite: bool = False,  # noqa: ARG002, FBT001, FBT002 - XT's
    ) -> bool:
        """Add text at the end of a blob, or begin it; of many writers at once all texts are kept.

        Each stays whole on this machine, and where appending rewrites (s3, gs, abfs). On sftp a text above 32 KiB (one packet; with
        sshfs 16 KiB), and on ftp one above some tens of KiB, arrives in pieces: those of several writers may alternate, and none is
        lost.

        Args:
            container: Its container.
            blob_path: Its name.
            text: As for `create_blob`.
            append_with_rewrite: Means nothing: how a store appends best is its own business.

        Raises:
            UnsupportedPersistenceOp: The store cannot, or the blob is too large to be rewritten for each line.
        """
        self._persistence.append(blob_key(container, blob_path), _bytes(text))
        return True

    def delete_blob(self, container: str, blob_path: str, snapshot: str | None = None) -> bool:
        """Delete a blob, and leave its snapshots; or one snapshot, and leave everything else.

        Where there are folders, those above it stay, as in XT's own file store: somebody may just be writing into one.

        Raises:
            ObjectNotFoundError: There is no such blob, or no such snapshot.
        """
        name = blob_key(container, blob_path)
        if snapshot is None:
            self._persistence.delete(name)
        else:
            self._persistence.delete(name, version=snapshot)
        return True

    def copy_blob(self, source_container: str, source_blob_path: str, dest_container: str, dest_blob_path: str) -> bool:
        """Copy a blob, within a container or from one to another, inside the store where it can.

        Raises:
            ObjectNotFoundError: There is none.
        """
        source = blob_key(source_container, source_blob_path)
        self._persistence.copy(source, self._target(blob_key(dest_container, dest_blob_path)))
        return True

    def snapshot_blob(self, container: str, blob_path: str) -> Blob:
        """Keep a blob as it is now.

        Returns:
            The snapshot; its ``snapshot`` names it.

        Raises:
            ObjectNotFoundError: There is no such blob.
        """
        return blob_of(blob_path, self._persistence.snapshot(blob_key(container, blob_path)))

    # --- folders ---

    def _is_folder(self, name: str) -> bool:
        try:
            if self._persistence.info(name).is_folder:
                return True
            # Where keys are flat, an object may stand there as well.
            return self._persistence.capabilities().flat and next(self._persistence.listdir(name), None) is not None
        except (ObjectNotFoundError, NotAFolderError):
            return False

    def _without_empty(self, entries: list[ObjectInfo]) -> list[ObjectInfo]:
        """Leave out folders without a blob below: XT knows folders by their blobs alone, and deletes no others."""
        with ThreadPoolExecutor(_LOOKS) as pool:
            wanted = list(pool.map(lambda entry: not entry.is_folder or self._holds(entry), entries))
        return [entry for entry, kept in zip(entries, wanted, strict=True) if kept]

    def _holds(self, folder: ObjectInfo) -> bool:
        store, _ = self._persistence.store_and_key()
        try:
            return next(store.find(folder.key), None) is not None
        except (ObjectNotFoundError, NotAFolderError):
            return False

    def _target(self, name: str) -> str:
        """The name of a blob to be written from a file; into a folder of this machine it would go under the file's own name.

        Raises:
            IsAFolderError: A folder stands there.
        """
        if self._persistence.capabilities().at_hand and self._is_folder(name):
            raise IsAFolderError("a folder stands there", operation="write", url=self._persistence.url(name))
        return name


@untyped
class UnguardedStore(FSSpecStore):
    """`FSSpecStore` for stores that cannot create a blob exclusively: ftp, lakefs, hdfs by pyarrow, some servers of S3.

    ``create_blob(fail_if_exists=True)`` looks, and then writes: of two who do so at the same moment, both may succeed, and
    the later text stays. XT does it when a workspace is created. On all other stores it is the same as `FSSpecStore`.
    """

    def create_blob(
        self,
        container: str,
        blob_path: str,
        text: str | bytes,
        fail_if_exists: bool = False,  # noqa: FBT001, FBT002 - XT's
    ) -> bool:
        """See `FSSpecStore.create_blob`."""
        try:
            return super().create_blob(container, blob_path, text, fail_if_exists)
        except UnsupportedPersistenceOp:
            if not fail_if_exists or not self._persistence.capabilities().write:
                raise
        if self.does_blob_exist(container, blob_path):
            name = blob_key(container, blob_path)
            raise ObjectExistsError("exists already, and was to be new", operation="write", url=self._persistence.url(name))
        return super().create_blob(container, blob_path, text)


class _Persistence(FSSpecPersistence):
    """Knows its own place."""

    _exclusive = False  # several processes of one job may store or fetch the same at once

    @property
    def where(self) -> str:
        """The place of the containers, to be shown."""
        return str(self._prefix)

    @property
    def service_name(self) -> str:
        """See `creds.service_name`."""
        return creds.service_name(self._prefix, self.options_for(str(self._prefix.with_key(""))))


def _bytes(text: Any) -> bytes:
    if isinstance(text, str):
        return text.encode("utf-8")
    return text if isinstance(text, bytes) else bytes(memoryview(text))


def _name(entry: ObjectInfo, root: str) -> str:
    """The name of an entry below *root*, as XT writes it."""
    name = entry.key[len(root) + 1 :] if root else entry.key
    return f"{name}/" if entry.is_folder else name
