"""From a location and its options to a `Store`, shared by everyone in the process who asks for the same.

The driver is the class that fsspec's registry names. Nothing is connected
here: connections are made by the first operation.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.registry import known_implementations

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.errors import (
    ConnectionFailedError,
    InvalidOptionError,
    MissingDriverError,
    UnknownProtocolError,
    redact,
)
from persistence_fsspec.location import ALIASES, Location
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Store
from persistence_fsspec.stores.connections import Connections
from persistence_fsspec.stores.dialects import Dialect, dialect_for
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.filesystem import FilesystemStore
from persistence_fsspec.stores.local import LocalStore
from persistence_fsspec.stores.quirks import driver_name, traits

_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "s3": ("s3", "s3fs"),
    "gs": ("gs", "gcsfs"),
    "abfs": ("abfs", "adlfs"),
    "adl": ("abfs", "adlfs"),
    "hdfs": ("hdfs", "pyarrow"),
    "webhdfs": ("webhdfs", "requests"),
    "sftp": ("sftp", "paramiko"),
    "smb": ("smb", "smbprotocol"),
    "webdav": ("webdav", "webdav4"),
    "http": ("http", "aiohttp"),
    "lakefs": ("lakefs", "lakefs-spec"),
    "github": ("github", "requests"),
    "git": ("git", "pygit2"),
    "libarchive": ("libarchive", "libarchive-c"),
    "dropbox": ("dropbox", "dropboxdrivefs"),
    "oss": ("oss", "ossfs"),
    "hf": ("hf", "huggingface_hub"),
    "gdrive": ("gdrive", "gdrive-fsspec"),
    "box": ("box", "boxfs"),
}
"""Protocol -> our extra, and the package it brings."""

_STORES_KEPT: Final = 1024
_stores: OrderedDict[Any, Store] = OrderedDict()
_lock = threading.Lock()


def open_store(
    location: Location,
    options: Mapping[str, Any],
    policy: Policy,
    *,
    filesystem: Any = None,
    lazy_folder: Path | None = None,
) -> Store:
    """The store at a location's root.

    Args:
        location: Only its root matters.
        options: The driver's constructor arguments.
        policy: Travels with the store.
        filesystem: A ready fsspec instance to use instead of making one.
        lazy_folder: See `LocalStore`.

    Raises:
        UnknownProtocolError: fsspec knows no such protocol.
        MissingDriverError: It does, and the package is not installed.
    """
    identity = (location.protocol, location.root, location.query, location.userinfo)
    key = (*identity, _frozen(options), policy, _Same(filesystem), lazy_folder)
    if "::" in location.root:  # an archive or a cache holds what it read when it was opened
        return _build(location, options, policy, filesystem, lazy_folder)
    with _lock:
        store = _stores.get(key)
        if store is not None:
            _stores.move_to_end(key)
            return store
    store = _build(location, options, policy, filesystem, lazy_folder)
    with _lock:
        store = _stores.setdefault(key, store)
        while len(_stores) > _STORES_KEPT:
            _stores.popitem(last=False)
    return store


def _build(location: Location, options: Mapping[str, Any], policy: Policy, filesystem: Any, lazy: Path | None) -> Store:
    cls = type(filesystem) if filesystem is not None else driver_class(location.protocol)
    driver = driver_name(cls)
    if driver == "local":
        return LocalStore(policy, lazy_folder=lazy)
    known = traits(driver)
    capabilities, habits = known
    if driver == "unknown":
        known = (_unknown(cls, capabilities), habits)
    dialect = dialect_for(driver)
    dialect.query = location.query
    maker = _Maker(location, cls, {**habits.options, **options}, dialect, filesystem)
    connections = Connections(
        maker, known[0], heals=habits.heals, alive=dialect.alive, close=dialect.close, ready=_ready(filesystem, dialect)
    )
    root = Location(location.protocol, location.root, query=location.query)
    base = "" if "::" in location.root else dialect.root_path(cls, location.root, options)
    return FilesystemStore(Driver(root, base, connections, dialect, known), policy)


def _unknown(cls: type, capabilities: Capabilities) -> Capabilities:
    """A driver we have not met: fsspec shares async instances among threads; a ``mv`` of its own makes a swap possible."""
    threads: Literal["shared", "serial"] = "shared" if issubclass(cls, AsyncFileSystem) else "serial"
    moves = any(
        "mv" in vars(base) or "_mv" in vars(base) for base in cls.__mro__ if not base.__module__.startswith("fsspec.spec")
    )
    return replace(capabilities, threads=threads, publish="swap" if moves else "direct")


def _ready(filesystem: Any, dialect: Dialect) -> Any:
    if filesystem is None:
        return None
    if getattr(filesystem, "asynchronous", False):
        raise InvalidOptionError(
            "the given filesystem was made with asynchronous=True, which only works inside its own event loop",
            hint="Make it without that argument.",
        )
    dialect.connected(filesystem)
    return filesystem


class _Maker:
    """Makes instances of one driver with one set of options. Never printed: options hold secrets."""

    def __init__(self, location: Location, cls: type, options: dict[str, Any], dialect: Dialect, ready: Any) -> None:
        self._location, self._cls, self._options, self._dialect, self._given = location, cls, options, dialect, ready

    def __call__(self) -> Any:
        protocol = self._location.protocol
        try:
            fs = self._clone() if self._given is not None else self._make()
            self._dialect.connected(fs)
        except ImportError as exc:
            raise missing_driver(protocol, str(exc)) from exc
        except ValueError as exc:
            if driver_name(self._cls) != "smb":
                raise
            raise ConnectionFailedError(redact(str(exc))) from exc  # smbclient's word for a refused connection
        return fs

    def _clone(self) -> Any:
        """Another instance like the one that was given, as unpickling would make it."""
        given = self._given
        return type(given)(*given.storage_args, **{**given.storage_options, "skip_instance_cache": True})

    def _make(self) -> Any:
        root = self._location.root
        if "::" in root:
            fs, _ = fsspec.core.url_to_fs(root, **self._options)
            return fs
        authority = root.partition("://")[2]
        cls: Any = self._cls
        from_url = dict(cls._get_kwargs_from_urls(f"{root}/"))
        user, _, password = self._location.userinfo.partition(":")
        if password:
            from_url.update(username=user, password=password)
        found = {name: value for name, value in from_url.items() if value not in (None, "")}
        return cls(**{"skip_instance_cache": True, **self._dialect.options({**found, **self._options}, authority)})


def driver_class(protocol: str) -> type:
    """The class that fsspec's registry names for a protocol.

    Raises:
        UnknownProtocolError: fsspec knows no such protocol.
        MissingDriverError: It does, and the package is not installed.
    """
    try:
        cls: type = fsspec.get_filesystem_class(protocol)
    except ImportError as exc:
        raise missing_driver(protocol, str(exc)) from exc
    except ValueError as exc:
        raise UnknownProtocolError(
            f"no driver is known for {protocol}://", hint="fsspec.available_protocols() lists those there are."
        ) from exc
    if driver_name(cls) == "http":
        _require_http(protocol)
    return cls


def _require_http(protocol: str) -> None:
    try:
        import aiohttp  # noqa: F401, PLC0415 - older fsspec imports its http module without it
    except ImportError as exc:
        raise missing_driver(protocol, str(exc)) from exc


def missing_driver(protocol: str, why: str) -> MissingDriverError:
    """The one line that says what is missing and how to get it.

    Args:
        protocol: As in the URL.
        why: The import error's own text.
    """
    extra, package = _EXTRAS.get(ALIASES.get(protocol, protocol), ("", ""))
    target = f'"persistence-fsspec[{extra}]"' if extra else ""
    if not extra:
        advice = known_implementations.get(protocol, {}).get("err", why)
        return MissingDriverError(f"{protocol}:// needs a driver that is not installed: {advice}")
    text = f"{protocol}:// needs {package}, which is not installed: {sys.executable} -m pip install {target}"
    return MissingDriverError(text, hint=_hdfs_hint() if extra == "hdfs" else "")


def _hdfs_hint() -> str:
    absent = [name for name in ("JAVA_HOME", "HADOOP_HOME", "CLASSPATH") if not os.environ.get(name)]
    return f"libhdfs also needs {', '.join(absent)}, not set here." if absent else ""


def _frozen(value: Any) -> Any:
    """Something hashable that is equal only for equal options."""
    if isinstance(value, Mapping):
        return tuple((str(k), _frozen(value[k])) for k in sorted(value, key=str))
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, (str, int, float, bool, bytes, type(None))):
        return (type(value).__name__, value)
    return _Same(value)


class _Same:
    """Equal only to the same object, which it keeps alive, so that no other gets its address."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._value is other._value

    def __hash__(self) -> int:
        return id(self._value)
