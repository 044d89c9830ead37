"""What a store can do, and how well it keeps the promises. One answer; nobody asks for the protocol."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Publish = Literal["atomic", "swap", "direct", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """Every field has a cautious default: a store that declares nothing is slow, never wrong."""

    driver: str = "unknown"
    """The driver behind the store, as `persistence_fsspec.stores.quirks` names it."""

    write: bool = True
    """Objects can be written and deleted."""

    publish: Publish = "direct"
    """How a new version takes its final name. ``atomic``: a reader sees the old or the new one. ``swap``: the old one
    is moved aside and the new one in, with a short absence that the next write repairs. ``direct``: readers can
    see a partial file; refused unless ``Policy(allow_direct=True)``. ``none``: the store is read-only."""

    create: bool = False
    """``overwrite=False`` is atomic: of many writers at once exactly one wins."""

    if_match: bool = False
    """A write can be made conditional on the version it replaces."""

    parts: Literal["any", "ordered", "none"] = "none"
    """An object can be written in parts that survive the process that sends them. ``any``: in any order, several at once.
    ``ordered``: one after the other."""

    part_size_min: int = 1
    """Smallest part but the last, in bytes."""

    parts_max: int | None = None
    """Most parts of one object; None means no known limit."""

    at_hand: bool = False
    """Reading costs no network: a digest can be computed for a comparison."""

    versions: Literal["native", "copies", "none"] = "none"
    """How an old version is kept. ``copies``: a snapshot is a copy under a reserved, hidden name beside the object; except where the
    store itself was told to keep versions, as a bucket with versioning: only asking for one object tells. ``native``: always by the
    store itself."""

    attributes: tuple[str, ...] = ()
    """Of ``mode`` and ``mtime``, what can be kept with a file: in its metadata entries of these names, or by the file system."""

    append: Literal["native", "rewrite", "none"] = "none"
    """``native``: the store appends. ``rewrite``: read, extend and replace, on condition that nobody else wrote."""

    copy: bool = False
    """The store copies object to object without the bytes passing through us."""

    rename: bool = False
    """One file gets another name in one atomic step."""

    sign: bool = False
    """The store can give a URL that opens one object to anyone for a while."""

    metadata: bool = False
    """Objects carry caller-defined text metadata."""

    pin: Literal["version", "weak", "none"] = "none"
    """How a read notices that the object was replaced. ``version``: the store names versions, and each request asks for
    one, or the names are compared before and after. ``weak``: size and time are compared before and after. ``none``: only the size is."""

    digest: str | None = None
    """Algorithm of the digest the store keeps (``md5``, ``crc32c``), or None. For single objects; large ones may lack it."""

    ranges: bool = True
    """A part of an object can be read without reading the rest."""

    folders: bool = True
    """Folders exist by themselves, so an empty one can be kept."""

    flat: bool = False
    """Keys are opaque: ``a//b`` differs from ``a/b``, and ``a`` may exist beside ``a/b``."""

    case_sensitive: bool = True
    """``Case`` and ``case`` are two objects."""

    max_name_bytes: int | None = None
    """Longest part of a key between slashes, in bytes of UTF-8; None means no known limit."""

    refused_names: str = ""
    """What a name may not contain here, for people; empty when anything goes."""

    threads: Literal["shared", "pooled", "serial"] = "serial"
    """``shared``: one connection serves all threads. ``pooled``: each call in flight has its own. ``serial``: one call at a time."""

    fork: Literal["safe", "never"] = "safe"
    """``never``: a forked child hangs once the parent has used the driver, so it is refused there; use spawn."""

    own_timeout: bool = False
    """The driver itself gives up on a server that stays silent. Where it does not, only `Policy.timeout_seconds` ends an attempt."""

    def as_dict(self) -> dict[str, Any]:
        """All fields, for JSON."""
        return asdict(self)
