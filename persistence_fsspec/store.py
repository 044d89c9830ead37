"""The narrow waist: the dozen operations everything else is built from.

fsspec's base class has 68 operations that call one another. Layers wrap this
interface instead, so nothing slips past them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final, Literal, Protocol, runtime_checkable

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.redaction import redact_places

Digest = tuple[str, str]
"""Algorithm and lower-case hexadecimal value: ``("md5", "d41d8c…")``."""

MD5_OF_PARTS: Final = "md5-of-parts-"
"""With a number of bytes behind it, the algorithm of an S3 object's ETag: the MD5 of the MD5s of parts of that size, and how many."""

OnError = Callable[[str, PersistenceError], None]
"""Told the key of a folder that could not be listed, and why; listing goes on."""

Links = Literal["follow", "list"]
"""Of a walk: enter folders by symbolic links, or list every link as the entry it is."""


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
        version_id: Names this version for as long as the store keeps it, also after it was replaced. None where versions are not kept.
        digest: What the store itself knows of the content.
        metadata: Caller-defined text; only `Store.info` fills it. Of a file, ``mode`` and ``mtime`` as the file system has them.
        link: The name is a symbolic link; everything else said here is of what it leads to.
    """

    key: str
    kind: Literal["file", "folder"] = "file"
    size: int | None = None
    modified: datetime | None = None
    version: str | None = None
    version_id: str | None = None
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A piece of an object that arrives in parts; it begins at ``number * part_size``.

    Attributes:
        number: From 0.
        size: Bytes; all parts but the last have `Upload.part_size`.
        crc32c: Eight hexadecimal digits; empty when it is not known.
        receipt: What the store wants to hear again when the object is made of its parts: an ETag, the name of a block.
    """

    number: int
    size: int
    crc32c: str = ""
    receipt: str = ""


class Upload(Protocol):
    """One object arriving in parts, which several threads may send, and which another process may take up.

    Nothing stands under its name until `commit`. A `commit` that succeeds, `abort` or `leave` ends it;
    one that is dropped is left.
    """

    @property
    def token(self) -> str:
        """Names it for `Store.upload`, in this process or a later one. Not a secret; empty when it cannot be taken up."""

    @property
    def part_size(self) -> int:
        """Bytes of every part but the last; that of the upload that was taken up, whatever was asked for."""

    def parts(self) -> Sequence[Part]:
        """The whole parts that have arrived, as the store says."""

    def send(self, number: int, data: bytes, crc32c: str) -> Part:
        """Send one whole part; sending it again replaces it. From several threads where `Capabilities.parts` is ``any``.

        Args:
            number: Which; where `Capabilities.parts` is ``ordered``, the first one that is missing.
            data: All of it. What an interrupted attempt left of it at the store is compared, not sent again.
            crc32c: Of *data*, for stores that check it.

        Raises:
            ConflictError: What an earlier attempt left of this part is not the beginning of it.
        """

    def read_back(self, part: Part) -> bytes | None:
        """A part as it stands at the store, before the object is published; None where that cannot be seen."""

    def commit(self, parts: Sequence[Part], crc32c: str) -> ObjectInfo:
        """Publish the object, made of all its parts in order.

        Args:
            parts: As `send` or `parts` returned them.
            crc32c: Of the whole object; kept with it where the store can.
        """

    def abort(self) -> None:
        """Leave nothing behind. Never raises for what is already gone."""

    def leave(self) -> None:
        """Stop here, and leave what arrived for whoever comes with the `token`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something unfinished that a run which ended badly left at a store.

    Attributes:
        kind: ``partial`` (a file under a partial name), ``upload`` (parts that no object was made of), ``part`` (an object
            that was to become a piece of another), ``aside`` (an old version in waiting).
        key: Where it lies; of an upload, the object it was to become.
        token: Names it where the key does not.
        size: Bytes, when the store says.
        modified: When it was last written to, or begun.
        ours: It carries our mark. Others' are only ever listed, unless somebody insists.
        owner: The transfer that left it, as eight digits in its name; empty when it does not say.
    """

    kind: Literal["partial", "upload", "part", "aside"]
    key: str
    token: str = ""
    size: int | None = None
    modified: datetime | None = None
    ours: bool = True
    owner: str = ""


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

    def find(
        self, key: str, *, on_error: OnError | None = None, links: Links = "follow", folders: bool = False
    ) -> Iterator[ObjectInfo]:
        """List all files below a folder.

        Args:
            key: The folder; empty for everything.
            on_error: Told of folders that cannot be listed. Without it the first one raises.
            links: ``list`` does not enter folders by links, but lists the link.
            folders: List empty folders, too, and links to folders that contain them, which are not entered (`ObjectInfo.link`).

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

    def upload(
        self,
        key: str,
        *,
        size: int,
        part_size: int,
        token: str = "",
        overwrite: bool = True,
        metadata: Mapping[str, str] | None = None,
    ) -> Upload:
        """Begin to write an object in parts, or take up what was begun. Needs `Capabilities.parts`.

        Args:
            key: Its name. Parents are made.
            size: Of the whole object, in bytes.
            part_size: Of each part but the last; at least `Capabilities.part_size_min`, at most `Capabilities.parts_max` of them.
            token: An `Upload.token` of this key; empty to begin.
            overwrite: See `writer`.
            metadata: See `writer`.

        Raises:
            ObjectNotFoundError: There is no such upload any more.
        """

    def make_folder(self, key: str) -> None:
        """Make an empty folder and its parents; one that is there is fine. Needs `Capabilities.folders`."""

    def make_root(self) -> None:
        """Make the bucket or container that all keys lie in; one that is there is fine. Nothing where there are none."""

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

    def part_digests(self, key: str, *, pin: ObjectInfo) -> Sequence[Part]:
        """Sizes and CRC32C of the parts that an object was made of; empty where nobody knows. For finding the bad one."""

    def versions(self, key: str) -> Iterator[ObjectInfo]:
        """The versions that are kept of one object, newest first; each can be read by handing it over as *pin*.

        Raises:
            ObjectNotFoundError: There is, and was, no such object.
        """

    def snapshot(self, key: str) -> ObjectInfo:
        """Keep the object as it is now; what is returned is among its `versions` from then on."""

    def forget(self, version: ObjectInfo) -> None:
        """Remove one of the `versions`, and nothing else. The one that is there now stays, as a store keeps its own versions.

        Raises:
            ObjectNotFoundError: It is not kept.
        """

    def leftovers(self, key: str, *, on_error: OnError | None = None) -> Iterator[Leftover]:
        """What unfinished writes left at and below a key, ours and others', in any order. A missing folder holds none.

        Args:
            key: The folder, or the object they were to become; empty for everything.
            on_error: Told of folders that cannot be listed. Without it the first one raises.
        """

    def discard(self, leftover: Leftover) -> None:
        """Remove one of them; what is already gone is fine. An old version in waiting gets its name back if that is missing.

        Raises:
            ConflictError: It may be the only copy of something whose name is not known, and stays.
            InvalidNameError: It is none.
        """

    def sign(self, key: str, seconds: int) -> str:
        """A URL that reads the object without credentials for a while. Needs `Capabilities.sign`."""
