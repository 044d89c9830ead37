"""The narrow waist: the dozen operations everything else is built from.

fsspec's base class has 68 operations that call one another. Layers wrap this
interface instead, so nothing slips past them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.redaction import redact_places

Digest = tuple[str, str]
"""Algorithm and lower-case hexadecimal value: ``("md5", "d41d8c…")``."""

OnError = Callable[[str, PersistenceError], None]
"""Told the key of a folder that could not be listed, and why; listing goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store says of one object or folder.

    Attributes:
        key: Its name, ready to be handed back to where it came from. The signature in a signed URL is neither printed nor
            pickled with it.
        kind: ``"file"`` or ``"folder"``.
        size: Bytes; None when the store does not say (some HTTP servers).
        modified: Time of the last change, with time zone, in the store's own precision.
        version: Names this very content: another write gives another version. None when the store has nothing that strong.
        digest: What the store itself knows of the content.
        metadata: Caller-defined text; only `Store.info` fills it.
        link: The name is a symbolic link; everything else said here is of what it leads to.
    """

    key: str
    kind: Literal["file", "folder"] = "file"
    size: int | None = None
    modified: datetime | None = None
    version: str | None = None
    digest: Digest | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    link: bool = False

    def __repr__(self) -> str:
        known = ", ".join(f"{name}={value!r}" for name, value in self._told().items())
        return f"{type(self).__name__}({known})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _as_told, (self._told(),)

    def __copy__(self) -> ObjectInfo:
        return replace(self)

    def __deepcopy__(self, _: dict[int, Any]) -> ObjectInfo:
        return replace(self, metadata=dict(self.metadata))

    def _told(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**values, "key": redact_places(self.key)}

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.kind == "folder"

    def same_content(self, other: ObjectInfo) -> bool:
        """Whether nothing the store says tells the two apart. Without versions that is a guess from size and time."""
        if self.version is not None and other.version is not None:
            return self.version == other.version
        # Listings may say less than info: what one of them does not know cannot differ.
        pairs = ((self.size, other.size), (self.modified, other.modified))
        return all(mine is None or its is None or mine == its for mine, its in pairs)


def _as_told(values: dict[str, Any]) -> ObjectInfo:
    return ObjectInfo(**values)


class Writer(Protocol):
    """One object being written. Nothing stands under its name until `commit`.

    A `commit` that succeeds, or `abort`, ends it; a writer that is dropped aborts.
    """

    @property
    def restartable(self) -> bool:
        """After a `commit` that failed: whether calling it again can complete the work.

        It then recognises an object that its own first `commit` published, although the answer was lost.
        """

    def write(self, data: bytes) -> None:
        """Take the next bytes."""

    def read_back(self) -> Iterator[bytes] | None:
        """Read what was written so far from the store, before it is published.

        Returns:
            The bytes in pieces; None when this store shows them only after `commit`.
        """

    def commit(self) -> ObjectInfo:
        """Publish the object under its name, whole. One that fails for a passing reason leaves `abort` to the caller.

        Raises:
            ObjectExistsError: ``overwrite=False``, and another was there first.
            ConflictError: ``if_match`` names another version.
        """

    def abort(self) -> None:
        """Leave nothing behind. Never raises for what is already gone."""


@runtime_checkable
class Store(Protocol):
    """Operations a store provides to the adapter, and a layer wraps.

    Callers guarantee: keys are tidy (`location.tidy_key`); only `info`, `children`
    and `find` get the empty key, which is the root; an operation whose flag in
    `capabilities` is off is never called.

    Implementations guarantee: they may be called from many threads; only
    `PersistenceError` is raised for a failure of the store itself; names are
    literal; nothing that was listed earlier is trusted.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What holds here."""

    def url(self, key: str) -> str:
        """The full URL of a key, without credentials."""

    def info(self, key: str) -> ObjectInfo:
        """Describe one object or folder.

        Raises:
            ObjectNotFoundError: Proven to be absent. Anything less certain is another error.
        """

    def children(self, key: str) -> Iterator[ObjectInfo]:
        """List one folder, folders and files. A missing folder raises `ObjectNotFoundError`."""

    def find(self, key: str, *, on_error: OnError | None = None) -> Iterator[ObjectInfo]:
        """List all files below a folder.

        Args:
            key: The folder; empty for everything.
            on_error: Told of folders that cannot be listed. Without it the first one raises.

        Raises:
            ObjectNotFoundError: The folder is missing. On a flat store that means it holds nothing.
        """

    def read(self, key: str, start: int | None = None, end: int | None = None, *, pin: ObjectInfo | None = None) -> bytes:
        """Read the half-open range ``[start, end)``; None means from the beginning, to the end.

        Raises:
            ChangedDuringReadError: The object is no longer the one that *pin* describes.
        """

    def stream(self, key: str, *, pin: ObjectInfo | None = None) -> Iterator[bytes]:
        """Read a whole object in pieces, from one version of it. Needs little memory whatever the size."""

    def writer(
        self,
        key: str,
        *,
        size: int | None = None,
        overwrite: bool = True,
        if_match: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Writer:
        """Begin to write an object. Needs `Capabilities.write`.

        Args:
            key: Its name. Parents are made.
            size: Bytes to come, when known; it only helps to choose the method.
            overwrite: Replace what is there. Otherwise needs `Capabilities.create`.
            if_match: Only replace this `ObjectInfo.version`. Needs `Capabilities.if_match`.
            metadata: Text to keep with it. Needs `Capabilities.metadata`.
        """

    def append(self, key: str, data: bytes) -> None:
        """Add bytes at the end; a missing object begins empty. Needs `Capabilities.append`."""

    def copy(self, source: str, target: str) -> None:
        """Copy inside the store, replacing the target whole. Needs `Capabilities.copy`."""

    def rename(self, source: str, target: str) -> None:
        """Give one file another name, replacing the target whole. Needs `Capabilities.rename`."""

    def delete(self, key: str) -> None:
        """Delete one file, never a folder.

        Raises:
            ObjectNotFoundError: There is no such object, wherever the store can tell.
        """

    def delete_folder(self, key: str) -> None:
        """Delete one empty folder; nothing to do on a store without folders. Leftovers of unfinished writes go with it.

        Raises:
            FolderNotEmptyError: It holds something.
        """

    def sign(self, key: str, seconds: int) -> str:
        """A URL that reads the object without credentials for a while. Needs `Capabilities.sign`."""
