"""Where something lies: a URL taken apart into the store's root and a key below it.

A name is a URL when it contains ``://`` or begins with a chain such as
``zip::``. Keys are literal: ``#``, ``?``, ``%`` and ``*`` mean themselves, as
in fsspec; only ``http`` and ``https`` URLs are decoded, because there ``%20``
is the spelling of a space and ``?`` begins the query.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from persistence_fsspec.errors import InvalidNameError
from persistence_fsspec.redaction import redact_places, redact_query

_URL: Final = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*://")
_DRIVE: Final = re.compile(r"^[A-Za-z]:[\\/]")

ALIASES: Final = {
    "s3a": "s3",
    "gcs": "gs",
    "az": "abfs",
    "abfss": "abfs",
    "ssh": "sftp",
    "dav": "webdav",
    "local": "file",
    "https": "http",
    "arrow_hdfs": "hdfs",
}
"""Protocols that share their options with another one."""

_BUCKETS: Final = frozenset({"s3", "gs", "abfs"})
_HOSTS: Final = frozenset({"ftp", "sftp", "smb", "webdav", "http", "hdfs", "webhdfs"})
_NO_LOGINS: Final = frozenset({"github", "git"})
"""Protocols whose ``a:b@c`` is something else than a login."""

# Heads of a chained URL whose own path follows "://"; the rest of the chain is what they open.
_CONTAINERS: Final = frozenset({"zip", "tar", "libarchive", "archive", "reference", "parquet"})
# Heads that show the same paths as what they wrap.
_WRAPPERS: Final = frozenset({"simplecache", "filecache", "blockcache", "cached", "dir", "generic", "asyncwrapper"})
# What this package is to fsspec: the URL behind it is a place of ours anyway.
_OURS: Final = "persist"
_CHAIN: Final = re.compile(rf"^({'|'.join(sorted({*_CONTAINERS, *_WRAPPERS, _OURS}))})(://.*?)?::", re.DOTALL)


def is_url(name: str) -> bool:
    """Tell a URL from a key or a local path.

    Examples:
        >>> [is_url(n) for n in ("s3://b/k", "zip::s3://b/a.zip", "a::b", "k/x", "/tmp")]
        [True, True, False, False, False]
    """
    return "://" in name or bool(_CHAIN.match(name))


def is_chain(url: str) -> bool:
    """Whether it is a chained URL; two colons alone also stand in an IPv6 address.

    Examples:
        >>> is_chain("zip://a::s3://b/c.zip"), is_chain("ftp://[::1]/x")
        (True, False)
    """
    return bool(_CHAIN.match(url))


def is_local_path(name: str) -> bool:
    """Whether a plain string names a local file: it begins with ``/``, ``~`` or a drive letter."""
    return name.startswith(("/", "~")) or bool(_DRIVE.match(name))


def may_lack_host(protocol: str) -> bool:
    """Whether options may name the host of its URLs, which have three slashes then.

    Examples:
        >>> may_lack_host("ssh"), may_lack_host("https"), may_lack_host("s3")
        (True, False, False)
    """
    return ALIASES.get(protocol, protocol) in _HOSTS - {"http"}


@dataclass(frozen=True, slots=True)
class Location:
    """One place: a store's root, and a key below it.

    Attributes:
        protocol: ``"s3"``; for a chain, the protocol of its first link.
        root: URL of the store itself: ``"s3://bucket"``, ``"ftp://me@host"``, ``"file://"``, ``"zip://::s3://b/a.zip"``.
        key: Below the root, as given; it is not tidied yet. Empty for the root.
        query: What followed ``?`` in an HTTP URL; it goes along with every request. Pickled without what may sign it.
        userinfo: ``user:password`` as the URL had them. Never printed, and not pickled.
    """

    protocol: str
    root: str
    key: str = ""
    query: str = ""
    userinfo: str = ""

    def require_bucket(self) -> None:
        """Of a store of buckets, refuse the place above them: a listing would be empty, and a deletion a silent nothing.

        Raises:
            InvalidNameError: No bucket is named.
        """
        if ALIASES.get(self.protocol, self.protocol) in _BUCKETS and self.root.endswith("://"):
            raise InvalidNameError(f"{self.protocol}:// names no bucket", hint=f"Write {self.protocol}://BUCKET/name.")

    @property
    def names_folder(self) -> bool:
        """The name ended in a slash, so a single file goes inside."""
        return self.key.endswith("/")

    def with_key(self, key: str) -> Location:
        """The same store, another key."""
        return Location(self.protocol, self.root, key, self.query, self.userinfo)

    def child(self, *names: str) -> Location:
        """Join names below this place. Slashes between them are not doubled."""
        parts = [part for part in (self.key.rstrip("/"), *names) if part]
        return self.with_key("/".join(parts))

    @property
    def url(self) -> str:
        """The URL, without a password; it can be handed back to the same persistence."""
        key = quote(self.key, safe="/~!$&'()*+,;=:@-._") if ALIASES.get(self.protocol, self.protocol) == "http" else self.key
        query = f"?{self.query}" if self.query else ""
        head, colons, rest = self.root.partition("::") if is_chain(self.root) else (self.root, "", "")
        if colons and head.endswith("://"):
            return f"{head}{key}::{rest}{query}"
        if colons:  # a wrapper: the key is that of what it wraps
            below = Location(rest.partition("::" if is_chain(rest) else "://")[0].removesuffix("://"), rest, self.key, self.query)
            return f"{head}::{below.url}"
        if ALIASES.get(self.protocol, self.protocol) == "file":
            return f"{self.root}{'' if _DRIVE.match(key) else '/'}{key}{query}"
        # Where options name the host: without the third slash, the first folder would be it.
        separator = "/" if key and (may_lack_host(self.protocol) or not self.root.endswith("//")) else ""
        return f"{self.root}{separator}{key}{query}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Between processes, as on paper: without a login, and without what signs a query."""
        return Location, (self.protocol, redact_places(self.root), self.key, redact_query(self.query))

    def __copy__(self) -> Location:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> Location:
        return self

    def __str__(self) -> str:
        return redact_places(self.url)

    def __repr__(self) -> str:
        return f"Location({str(self)!r})"


def parse(url: str) -> Location:
    """Take a URL apart.

    Args:
        url: Any fsspec URL, chains included.

    Raises:
        InvalidNameError: It is not a URL.

    Examples:
        >>> parse("s3://bucket/a[1]?.txt").key
        'a[1]?.txt'
        >>> parse("ftp://me:pw@host:21/x")
        Location('ftp://me@host:21/x')
        >>> parse("zip://inner/x.txt::s3://b/a.zip").key
        'inner/x.txt'
        >>> parse("persist::s3://bucket/x")
        Location('s3://bucket/x')
    """
    chain = _CHAIN.match(url)
    if chain:
        return _parse_chain(chain.group(1).lower(), chain.group(2) or "", url[chain.end() :])
    if not _URL.match(url):
        raise InvalidNameError(f"{redact_places(url)!r} is not a URL: it has no protocol before '://'")
    protocol, _, rest = url.partition("://")
    protocol = protocol.lower()
    if protocol == _OURS and rest:
        raise _no_place()
    if protocol in {"file", "local"}:
        return local(rest.removeprefix("localhost") if rest.startswith("localhost/") else rest)
    if protocol == "memory":
        return Location(protocol, "memory://", rest.lstrip("/"))
    authority, _, key = rest.partition("/")
    # Only what stands before the last "@" of the authority is a login; abfs://container@account has no password in it.
    userinfo, at, host = authority.rpartition("@")
    if ALIASES.get(protocol, protocol) in _HOSTS:
        _refuse_port(protocol, host)
    if at and ":" in userinfo and protocol not in _NO_LOGINS:
        authority = f"{userinfo.partition(':')[0]}@{host}"
    else:
        userinfo = ""
    query = ""
    if protocol in {"http", "https"}:
        key, _, query = key.partition("?")
        key = unquote(key.partition("#")[0])
    return Location(protocol, f"{protocol}://{authority}", key, query, userinfo)


def _refuse_port(protocol: str, host: str) -> None:
    """It is not shown: it may be a password."""
    _, colon, port = host.rpartition("]")[2].partition(":")
    if colon and not port.isdecimal():
        raise InvalidNameError(
            f"in this {protocol}:// URL, what stands between ':' and the next '/' is no port",
            hint="If it is a password, spell its special characters as a URL does (/ is %2F, @ is %40), or give it as an option.",
        )


def _no_place() -> InvalidNameError:
    return InvalidNameError(f"{_OURS}:// is no store", hint=f"Write the URL itself; for fsspec, with {_OURS}:: in front of it.")


def _parse_chain(head: str, inner: str, rest: str) -> Location:
    inside = inner.removeprefix("://")
    if head == _OURS and inner:
        raise _no_place()
    if head in _CONTAINERS or inside:
        return Location(head, f"{head}://::{rest}", inside.lstrip("/"))
    below = parse(rest) if is_url(rest) else local(rest)
    if head == _OURS:
        return below
    return Location(head, f"{head}::{below.root}", below.key, below.query, below.userinfo)


def local(path: str | os.PathLike[str]) -> Location:
    """The location of a local file; relative paths start in the working folder, ``~`` is the home."""
    text = os.fspath(path)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    absolute = os.path.abspath(os.path.expanduser(text))
    key = absolute.replace(os.sep, "/").lstrip("/")
    folder = text.endswith(("/", os.sep)) and key
    return Location("file", "file://", f"{key}/" if folder else key)


def local_path(key: str) -> Path:
    """The operating system's path of a key of a ``file://`` store."""
    return Path(key if _DRIVE.match(key) else f"/{key}")


def through_link(path: Path) -> Path:
    """The file that a link leads to, there or not, for that is what is written; any other path itself.

    Raises:
        OSError: The link leads in a circle.
    """
    if not os.path.islink(path):  # which refuses no name: the store does, with a reason
        return path
    target = Path(os.path.realpath(path))
    if os.path.islink(target):
        target.stat()
    return target


def url_and_options(address: Any) -> tuple[str, dict[str, Any]] | None:
    """Take a ``UPath`` apart (recognised by shape: it is no ``os.PathLike``, and may not be installed)."""
    if isinstance(address, (str, bytes, Path)) or not hasattr(address, "storage_options"):
        return None
    return str(address), dict(address.storage_options)


def tidy_key(key: str, *, flat: bool) -> str:
    """Bring a key into the form stores take.

    Args:
        key: As given by the caller.
        flat: The store's keys are opaque (`Capabilities.flat`): inner and leading slashes are kept.

    Returns:
        The key without trailing slashes; empty for the root.

    Raises:
        InvalidNameError: A ``.`` or ``..`` part, which could leave the root, or a NUL.

    Examples:
        >>> tidy_key("a//b/", flat=False), tidy_key("a//b/", flat=True)
        ('a/b', 'a//b')
    """
    if "\0" in key:
        raise InvalidNameError(f"{key!r}: a name cannot contain NUL")
    parts = key.rstrip("/").split("/")
    if ".." in parts or "." in parts:
        raise InvalidNameError(f"{key!r}: '.' and '..' are not names; keys are exact and never leave their root")
    return "/".join(parts) if flat else "/".join(part for part in parts if part)
