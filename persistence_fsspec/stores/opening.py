"""From a location and its options to a `Store`, shared by everyone in the process who asks for the same.

The driver is the class that fsspec's registry names. Nothing is connected
here: connections are made by the first operation.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.registry import known_implementations

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.config import FACTORY, Options, OptionSource, canonical
from persistence_fsspec.errors import (
    ConnectionFailedError,
    InvalidOptionError,
    MissingDriverError,
    UnknownProtocolError,
)
from persistence_fsspec.foreign import translated
from persistence_fsspec.forks import whole_when_forked
from persistence_fsspec.layers import layered
from persistence_fsspec.location import ALIASES, Location, is_chain
from persistence_fsspec.policy import Policy
from persistence_fsspec.redaction import protect_login, protect_logins, protect_url, redact
from persistence_fsspec.secret import SecretReference
from persistence_fsspec.sensitive import arguments, protect_filesystem
from persistence_fsspec.spelling import did_you_mean
from persistence_fsspec.store import Store
from persistence_fsspec.stores.accelerated import faster_dialect_for
from persistence_fsspec.stores.connections import Connections
from persistence_fsspec.stores.dialects import Dialect, dialect_for
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.filesystem import FilesystemStore
from persistence_fsspec.stores.local import LocalStore
from persistence_fsspec.stores.options import apart, gather
from persistence_fsspec.stores.quirks import driver_name, traits
from persistence_fsspec.stores.repeating import repeating
from persistence_fsspec.stores.supply import Ask, Supply, made_by_factory

_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "s3": ("s3", "s3fs"),
    "gs": ("gs", "gcsfs"),
    "abfs": ("abfs", "adlfs"),
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

_CACHES: Final = frozenset({"simplecache", "filecache", "blockcache", "cached"})
"""Heads of a chain that hand on the full paths of what lies behind them."""

_OF_THE_INSTANCE: Final = frozenset({"asynchronous", "loop", "skip_instance_cache"})
"""Arguments that say how one instance is used, and nothing of its store."""

_STORES_KEPT: Final = 1024
_stores: OrderedDict[Any, Store] = OrderedDict()
_lock = threading.Lock()
whole_when_forked(_lock)


def open_store(
    location: Location,
    options: Options,
    policy: Policy,
    *,
    renew: Ask | None = None,
    filesystem: Any = None,
    lazy_folder: Path | None = None,
) -> Store:
    """The store at a location's root.

    Args:
        location: Only its root matters.
        options: From `options_at`: the driver's constructor arguments, and where each comes from.
        policy: Travels with the store.
        renew: Gathers the options again, when credentials have expired.
        filesystem: A ready fsspec instance to use instead of making one.
        lazy_folder: See `LocalStore`.

    Raises:
        UnknownProtocolError: fsspec knows no such protocol.
        MissingDriverError: It does, and the package is not installed.
        InvalidOptionError: The driver does not know an option. Nothing has been sent.
    """
    protect_login(location.userinfo)
    protect_logins(location.url)  # a password with a slash reaches into the key
    protect_url(f"{location.root}?{location.query}")
    cls, given = None, filesystem  # an instance was made at its time, of the environment of that time
    if filesystem is not None:
        protect_filesystem(filesystem)
        if stands_in(type(filesystem)):
            cls, options, filesystem = behind(type(filesystem)), _made_of(filesystem), None
    identity = (location.protocol, location.root, location.query, location.userinfo)
    key = (*identity, _frozen_options(options), policy, _Same(given), lazy_folder)
    build = partial(_build, location, options, policy, filesystem, lazy_folder, renew, cls)
    if is_chain(location.root):  # an archive or a cache holds what it read when it was opened
        return build()
    with _lock:
        store = _stores.get(key)
        if store is not None:
            _stores.move_to_end(key)
            return store
    store = build()
    with _lock:
        store = _stores.setdefault(key, store)
        while len(_stores) > _STORES_KEPT:
            _stores.popitem(last=False)
    return store


def options_at(location: Location, given: Sequence[OptionSource], profile: str | None = None) -> Options:
    """All that is said of one place, by the caller and everybody else; see `config` for who wins.

    Args:
        location: With its key.
        given: What the caller says, the most important first.
        profile: Of ``persistence.toml``.

    Raises:
        InvalidOptionError: Something is not shaped like options, or a file is wrong.
        UnknownProtocolError: fsspec knows no such protocol.
        MissingDriverError: It does, and the package is not installed.
    """
    return gather(location, given, profile, driver_class)


def _build(
    location: Location,
    options: Options,
    policy: Policy,
    filesystem: Any,
    lazy: Path | None,
    renew: Ask | None,
    cls: type | None = None,
) -> Store:
    by_factory = filesystem is None and FACTORY in options.values
    supply = Supply(options, renew)
    if by_factory:
        filesystem = _from_factory(location, supply)
    if cls is None:
        cls = type(filesystem) if filesystem is not None else driver_class(location.protocol)
    if filesystem is None:
        from persistence_fsspec.stores.strict import require_known  # noqa: PLC0415 - a table of words, for who opens a store

        supply.check = partial(require_known, cls, location.protocol, class_of=driver_class)
        supply.check(options)
    driver = driver_name(cls)
    if driver == "local":
        return layered(LocalStore(policy, lazy_folder=lazy), policy)
    known = traits(driver)
    capabilities, habits = known
    if driver == "unknown":
        known = (_unknown(cls, capabilities), habits)
    # An instance that somebody made is spoken to in no other way than through itself.
    dialect = faster_dialect_for(driver, policy) if filesystem is None else dialect_for(driver)
    dialect.query = location.query
    if not by_factory:
        supply.defaults = habits.options
    given = None if by_factory else filesystem
    maker = _Maker(location, cls, supply, dialect, given, policy.stall_seconds, by_factory=by_factory)
    connections = Connections(
        maker,
        known[0],
        heals=habits.heals,
        alive=dialect.alive,
        close=dialect.close,
        interrupt=dialect.interrupt,
        abandon=habits.abandon,
        ready=_ready(filesystem, dialect, policy.stall_seconds),
    )
    root = Location(location.protocol, location.root, query=location.query)
    dialect.repeat = repeating(policy, str(root))
    base = _behind_caches(location.root) if is_chain(location.root) else dialect.root_path(cls, location.root, options.values)
    store = FilesystemStore(Driver(root, base, connections, dialect, known), policy)
    return layered(store, policy, connections.renew)


def _behind_caches(root: str) -> str:
    """The path of a chain's root: a cache knows the paths of what it caches; all else in front begins anew."""
    head, _, rest = root.partition("::")
    if head not in _CACHES:
        return ""
    if is_chain(rest):
        return _behind_caches(rest)
    protocol = rest.partition("://")[0]
    if canonical(protocol) == "file":
        return "/"
    cls = driver_class(protocol)
    return dialect_for(driver_name(cls)).root_path(cls, rest, {})


def _unknown(cls: type, capabilities: Capabilities) -> Capabilities:
    """A driver we have not met: fsspec shares async instances among threads; a ``mv`` of its own makes a swap possible."""
    threads: Literal["shared", "serial"] = "shared" if issubclass(cls, AsyncFileSystem) else "serial"
    moves = any(
        "mv" in vars(base) or "_mv" in vars(base) for base in cls.__mro__ if not base.__module__.startswith("fsspec.spec")
    )
    return replace(capabilities, threads=threads, publish="swap" if moves else "direct")


def _ready(filesystem: Any, dialect: Dialect, stall_seconds: float) -> Any:
    if filesystem is None:
        return None
    if getattr(filesystem, "asynchronous", False):
        raise InvalidOptionError(
            "the given filesystem was made with asynchronous=True, which only works inside its own event loop",
            hint="Make it without that argument.",
        )
    dialect.restrain(filesystem, stall_seconds=stall_seconds, given=True)
    dialect.connected(filesystem)
    return filesystem


class _Maker:
    """Makes instances of one driver with one set of options. Never printed: options hold secrets."""

    def __init__(
        self,
        location: Location,
        cls: type,
        supply: Supply,
        dialect: Dialect,
        ready: Any,
        stall_seconds: float,
        *,
        by_factory: bool = False,
    ) -> None:
        self._location, self._cls, self._supply, self._dialect, self._given = location, cls, supply, dialect, ready
        self._stall_seconds, self._by_factory = stall_seconds, by_factory

    def renew(self) -> bool:
        """Ask for all options again; tell whether they may differ from those before."""
        return self._given is None and self._supply.renew()

    def __call__(self) -> Any:
        protocol = self._location.protocol
        try:
            fs = self._clone() if self._given is not None else self._make()
            self._dialect.restrain(fs, stall_seconds=self._stall_seconds, given=False)
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
        if self._by_factory:
            return _from_factory(self._location, self._supply)
        root, options = self._location.root, self._supply.take()
        if is_chain(root):
            # Without a third slash, the files of this machine begin in the working folder.
            fs, _ = fsspec.core.url_to_fs(f"{root}/" if root.endswith("::file://") else root, **options)
            return fs
        authority = root.partition("://")[2]
        cls = apart(self._cls, self._location.protocol)
        options = self._dialect.patience(options, stall_seconds=self._stall_seconds)
        return cls(**{"skip_instance_cache": True, **self._dialect.options(options, authority)})


def _from_factory(location: Location, supply: Supply) -> Any:
    options, url = supply.take(), location.with_key("").url
    with translated("open", url):
        return made_by_factory(options[FACTORY], url, options)


def _made_of(filesystem: Any) -> Options:
    """What an instance of a class of ours was made with, for one of the driver behind it; nobody else is asked."""
    given = {name: value for name, value in arguments(filesystem).items() if name not in _OF_THE_INSTANCE}
    return Options(values=given, origins=dict.fromkeys(given, "filesystem"), unchecked=frozenset(given))


def stands_in(cls: type) -> bool:
    """Whether a class is one of ours, registered in the place of a driver."""
    return behind(cls) is not cls


def behind(cls: type) -> type:
    """The driver that a class of ours stands for; any other class itself, also one that is derived from ours."""
    driver: type = vars(cls).get("persistence_fsspec_driver", cls)
    return driver


def driver_class(protocol: str) -> type:
    """The class that fsspec's registry names for a protocol; where that is one of ours, the driver that it stands for.

    Raises:
        UnknownProtocolError: fsspec knows no such protocol.
        MissingDriverError: It does, and the package is not installed.
    """
    try:
        cls = behind(fsspec.get_filesystem_class(protocol))
    except ImportError as exc:
        raise missing_driver(protocol, str(exc)) from exc
    except ValueError as exc:
        question = did_you_mean(protocol, {*known_implementations, *ALIASES})
        raise UnknownProtocolError(
            f"no driver is known for {protocol}://{'. ' if question else ''}{question}",
            hint="'persist protocols' and fsspec.available_protocols() list those there are.",
        ) from exc
    except AttributeError as exc:  # the package has no such class any more
        advice = known_implementations.get(protocol, {}).get("err", "")
        raise MissingDriverError(f"the package for {protocol}:// does not serve it any more", hint=advice) from exc
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
    if not extra:
        advice = known_implementations.get(protocol, {}).get("err", why)
        return MissingDriverError(f"{protocol}:// needs a driver that is not installed: {advice}")
    text = f"{protocol}:// needs {package}, which is not installed: {install_command(protocol)}"
    return MissingDriverError(text, hint=_hdfs_hint() if extra == "hdfs" else "")


def install_command(protocol: str) -> str:
    """The exact command of this very interpreter that brings a protocol's driver; empty when no extra of ours does."""
    extra, _ = _EXTRAS.get(ALIASES.get(protocol, protocol), ("", ""))
    return f'{sys.executable} -m pip install "persistence-fsspec[{extra}]"' if extra else ""


def _hdfs_hint() -> str:
    absent = [name for name in ("JAVA_HOME", "HADOOP_HOME", "CLASSPATH") if not os.environ.get(name)]
    return f"libhdfs also needs {', '.join(absent)}, not set here." if absent else ""


def _frozen_options(options: Options) -> Any:
    links = tuple((protocol, _frozen_options(link)) for protocol, link in sorted(options.links.items()))
    return (_frozen(options.values), tuple(sorted(options.unchecked)), links)


def _frozen(value: Any) -> Any:
    """Something hashable that is equal only for equal options."""
    if isinstance(value, Mapping):
        return tuple((str(k), _frozen(value[k])) for k in sorted(value, key=str))
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, (str, int, float, bool, bytes, type(None), SecretReference)):
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
