"""One connected driver: its calls, each on a leased instance, with its errors made ours; and what writing needs of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Final, TypeVar

from persistence_fsspec.attempt import current
from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ConflictError,
    InvalidNameError,
    IsAFolderError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    PersistenceError,
    StoreError,
)
from persistence_fsspec.foreign import translated
from persistence_fsspec.location import Location
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.connections import Connections
from persistence_fsspec.stores.dialects import Dialect
from persistence_fsspec.stores.partial import refuse_reserved
from persistence_fsspec.stores.quirks import Habits, refusal

_T = TypeVar("_T")

WRITTEN_BY: Final = "persistwrite"
"""Metadata by which a writer knows its own object again; nobody else gets to see it. Azure wants an identifier here."""


class Driver:
    """What stands between a store's keys and a driver's paths.

    Args:
        root: The store's root; its key is empty.
        base: The driver's path of the root.
        connections: Hands out instances of the driver.
        dialect: How to speak to it.
        traits: What the rows of `quirks` add up to.
    """

    def __init__(
        self, root: Location, base: str, connections: Connections, dialect: Dialect, traits: tuple[Capabilities, Habits]
    ) -> None:
        self._root, self._base, self.connections, self.dialect = root, base, connections, dialect
        self.capabilities, self.habits = traits

    # --- names ---

    def url(self, key: str) -> str:
        """The URL of a key, without credentials."""
        return str(self._root.with_key(key))

    def path(self, key: str) -> str:
        """The driver's path of a key."""
        return self.dialect.join(self._base, key)

    def key(self, path: str) -> str | None:
        """The key of a path that the driver lists; None when it does not lie below the root."""
        return self.dialect.key(self._base, path)

    def refuse(self, key: str, *, writing: bool = False) -> None:
        """Refuse a name that this driver would alter, or, for *writing*, could not list.

        Raises:
            InvalidNameError: It is such a name.
        """
        reason = refusal(key, self.habits, self.capabilities, writing=writing)
        if reason:
            raise InvalidNameError(f"the name {reason}")
        if writing:
            refuse_reserved(key)

    # --- calls ---

    @contextlib.contextmanager
    def call(self, operation: str, key: str) -> Iterator[Any]:
        """An instance of the driver for one operation, whose errors become ours."""
        attempt = current()
        with translated(operation, lambda: self.url(key)):
            self.refuse(key)
            if attempt is not None:
                attempt.require_time()
            with self.connections.lease() as fs:
                yield fs
            if attempt is not None:
                attempt.require_time()  # a call that was cancelled may have returned as if nothing had been

    def do(self, operation: str, key: str, act: Callable[[Any, str], _T]) -> _T:
        """One call of the dialect, on a key."""
        with self.call(operation, key) as fs:
            return act(fs, self.path(key))

    def info(self, key: str) -> ObjectInfo:
        """Ask for one object, past any cache."""
        found = self._looked_up(key)
        if WRITTEN_BY in found.metadata:
            found = replace(found, metadata={name: text for name, text in found.metadata.items() if name != WRITTEN_BY})
        return found

    def writer_id(self, key: str) -> str | None:
        """Whose conditional write an object is; None when it is not known."""
        try:
            return self._looked_up(key).metadata.get(WRITTEN_BY)
        except ObjectNotFoundError:
            return None

    def _looked_up(self, key: str) -> ObjectInfo:
        with self.call("info", key) as fs:
            fs.invalidate_cache()
            return replace(self.dialect.info(fs, self.path(key)), key=key)

    def exists(self, key: str) -> bool:
        """Whether there is something; False only when the store says so."""
        try:
            self.info(key)
        except ObjectNotFoundError:
            return False
        return True

    def refuse_folder(self, key: str, operation: str) -> None:
        """Raise `IsAFolderError` where a folder stands."""
        if self.info(key).is_folder:
            raise IsAFolderError("is a folder", operation=operation, url=self.url(key))

    # --- writing ---

    def publish(self, source: str, target: str, *, overwrite: bool) -> None:
        """Give a finished object its final name, by the driver's best call."""
        if self.habits.replace_onto_folder:
            with contextlib.suppress(ObjectNotFoundError):
                self.refuse_folder(target, "write")
        act = self.dialect.replace if overwrite else self.dialect.rename_new
        begin = self.path(source)
        try:
            self.do("write", target, lambda fs, path: act(fs, begin, path))
        except (ObjectExistsError, ObjectNotFoundError):
            raise
        except PersistenceError:
            with contextlib.suppress(ObjectNotFoundError):
                self.refuse_folder(target, "write")
            raise

    def discard(self, partial: str) -> None:
        """Remove a partial object, as far as that is possible; also when the first try finds the connection broken."""
        for _ in range(2):
            try:
                self.do("delete", partial, self.dialect.delete)
            except PersistenceError as exc:
                if exc.retryable:
                    continue
            return

    def with_parents(self, key: str, act: Callable[[], _T], *, renaming: bool = False) -> _T:
        """Act; if that fails and the folder is missing, make it and act once more. No request per file for folders."""
        try:
            return act()
        except (ObjectNotFoundError, StoreError, InvalidNameError, NotAFolderError, ConflictError):
            if self.habits.makes_parents and not renaming:  # HDFS makes folders for a new file, not for a new name
                raise
            self.make_folder(key.rpartition("/")[0])
        return act()

    def make_folder(self, key: str) -> None:
        """Make a folder that is missing, or find the file that stands where it should be."""
        try:
            found = self.info(key)
        except ObjectNotFoundError:
            pass
        else:
            if not found.is_folder:
                raise NotAFolderError(f"{self.url(key)} is a file", operation="write", url=self.url(key))
            return
        for attempt in (1, 2, 3):
            try:
                with self.call("make folder", key) as fs:
                    self.dialect.make_folder(fs, self.path(key))
            except PersistenceError:
                # Another thread or process may be making the same folders.
                if self._is_folder(key):
                    return
                self._blame_a_parent(key)
                if attempt == 3:
                    raise
            else:
                return

    def _is_folder(self, key: str) -> bool:
        try:
            return self.info(key).is_folder
        except ObjectNotFoundError:
            return False

    def _blame_a_parent(self, key: str) -> None:
        """Where a folder cannot be made, the deepest thing above it that exists may be a file."""
        while key := key.rpartition("/")[0]:
            try:
                found = self.info(key)
            except PersistenceError:
                continue
            if not found.is_folder:
                raise NotAFolderError(f"{self.url(key)} is a file", operation="write", url=self.url(key))
            return
