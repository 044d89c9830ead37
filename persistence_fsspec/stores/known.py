"""Which options a driver really knows: what its constructor names, and what those know to whom it hands the rest.

Constructors end in ``**kwargs``, so that Python refuses nothing. Where the rest
goes was read in each driver's source, and stands in `_SINKS`: one function for
each driver, which looks at the signatures of the client library that the driver
has loaded by then. A library that is missing, or has moved, makes its options
unknowable, and they pass.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import import_module
from typing import Any, Final

from persistence_fsspec.stores.quirks import DRIVERS, driver_name

_LISTINGS: Final = frozenset({"use_listings_cache", "listings_expiry_time", "max_paths"})
_FSSPEC: Final = _LISTINGS | {"skip_instance_cache", "asynchronous", "loop", "batch_size"}
"""What fsspec's base classes take, or its metaclass takes away."""

Names = frozenset[str]

Nested = Mapping[str, Callable[[], Names | None]]
"""Of options that are mappings, the names in them, asked for when such an option is there; None when nobody can tell."""

_NOTHING: Final[Nested] = {}


@dataclass(frozen=True, slots=True)
class Known:
    """What a class takes.

    Attributes:
        names: Of options.
        nested: See `Nested`.
        open: Another name may mean something all the same: the class hands everything on, and nobody has read to whom.
        dotted: Any name with a dot in it is an option, as in Hadoop's configuration.
    """

    names: Names
    nested: Nested = field(default_factory=dict)
    open: bool = False
    dotted: bool = False


@lru_cache(maxsize=256)
def known_options(cls: type) -> Known:
    """What a filesystem class takes, besides what our dialect for it translates."""
    driver = driver_name(cls)
    own, complete = _constructors(cls)
    own -= _FILLED_IN.get(driver, frozenset())
    if not complete:
        return Known(own | {"skip_instance_cache"})
    sink = _SINKS.get(driver)
    if sink is not None:
        try:
            more, nested, dotted = sink(cls)
        except _UnreadableError:
            return Known(own | _FSSPEC, open=True)
        return Known(own | more | {"skip_instance_cache"}, nested, open=_is_derived(cls), dotted=dotted)
    read = _package(cls) == "fsspec"  # fsspec's own classes hand the rest to its base class, which drops it
    return Known(own | _FSSPEC, open=not read)


@lru_cache(maxsize=256)
def switches(cls: type) -> Names:
    """The options of a class that are true or false, as their defaults show."""
    found: set[str] = set()
    for base in cls.__mro__:
        if "__init__" in vars(base) and base is not object:
            with contextlib.suppress(TypeError, ValueError):
                parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
                found |= {p.name for p in parameters if isinstance(p.default, bool)}
    return frozenset(found)


def _is_derived(cls: type) -> bool:
    """Whether a class only derives from one whose source was read, and has a constructor of its own that takes anything."""
    driver = next(base for base in cls.__mro__ if f"{base.__module__}.{base.__qualname__}" in DRIVERS)
    first = next((base for base in cls.__mro__ if "__init__" in vars(base)), object)
    return _package(first) != _package(driver) and _parameters(vars(first)["__init__"])[1]


def _package(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _constructors(cls: type) -> tuple[Names, bool]:
    """The arguments of a class and its parents, as far as each hands the rest on; and whether that is all the way."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__ in {"fsspec.spec", "fsspec.asyn"}:  # from here on `_FSSPEC`
            break
        if "__init__" not in vars(base) or base is object:
            continue
        found, rest = _parameters(vars(base)["__init__"])
        names |= found
        if not rest:
            return frozenset(names), False
    return frozenset(names), True


def _parameters(function: Any) -> tuple[Names, bool]:
    """The names a function takes as keywords, and whether it takes any other."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return frozenset(), True
    by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    names = {p.name for p in parameters if p.kind in by_name} - {"self", "cls"}
    return frozenset(names), any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)


class _UnreadableError(LookupError):
    """A client library does not say what it takes: it is missing, or has moved."""


def _of(dotted: str, *, without: Iterable[str] = ()) -> Names:
    """The arguments of a function or class of a client library.

    Raises:
        _UnreadableError: It is not there, or does not say.
    """
    module, _, name = dotted.partition(":")
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as exc:
        raise _UnreadableError(dotted) from exc
    names, _ = _parameters(found)
    if not names:
        raise _UnreadableError(dotted)
    return names - {*without}


def _inside(dotted: str, *, without: Iterable[str] = ()) -> Callable[[], Names | None]:
    """The same for an option that is a mapping, looked up when there is one."""

    def names() -> Names | None:
        try:
            return _of(dotted, without=without)
        except _UnreadableError:
            return None

    return names


# --- where each driver hands its **kwargs ------------------------------------------------------------------------------

Sink = tuple[Names, Nested, bool]
"""More names, `Known.nested`, and `Known.dotted`."""


def _s3fs(_: type) -> Sink:
    """The rest makes the session; three mappings go to the client, to its configuration, and into its requests."""
    client = _inside("botocore.session:Session.create_client", without=["service_name", "config"])
    nested: Nested = {"client_kwargs": client, "config_kwargs": _botocore_config, "s3_additional_kwargs": _s3_members}
    return _FSSPEC - {"batch_size"} | _of("aiobotocore.session:AioSession"), nested, False


def _botocore_config() -> Names | None:
    try:
        return frozenset(import_module("botocore.config").Config.OPTION_DEFAULTS) | _of("aiobotocore.config:AioConfig")
    except (ImportError, AttributeError, _UnreadableError):
        return None


@lru_cache(maxsize=1)
def _s3_members() -> Names | None:
    """Every member of every request of S3, from the description that botocore loads for each client anyway."""
    try:
        loader = import_module("botocore.loaders").Loader()
        model = loader.load_service_model("s3", "service-2")
    except Exception:  # noqa: BLE001 - without the description nobody can tell, and the client will
        return None
    shapes = model["shapes"]
    inputs = {operation["input"]["shape"] for operation in model["operations"].values() if "input" in operation}
    return frozenset(member for shape in inputs for member in shapes[shape].get("members", ())) | {"acl"}


def _gcsfs(cls: type) -> Sink:
    """The rest is dropped, but for the retries of the storage control API."""
    retries: Any = ("timeout", "initial", "maximum", "multiplier")
    extended = any(base.__name__ == "ExtendedGcsFileSystem" for base in cls.__mro__)
    more = frozenset(f"retry_{name}" for name in retries) if extended else Names()
    return _FSSPEC | more, {"session_kwargs": _inside("aiohttp:ClientSession.__init__")}, False


_AZURE_IDENTITY: Final = frozenset(
    {
        "authority",
        "broker_client_id",
        "broker_tenant_id",
        "exclude_broker_credential",
        "exclude_cli_credential",
        "exclude_developer_cli_credential",
        "exclude_environment_credential",
        "exclude_interactive_browser_credential",
        "exclude_managed_identity_credential",
        "exclude_powershell_credential",
        "exclude_shared_token_cache_credential",
        "exclude_visual_studio_code_credential",
        "exclude_workload_identity_credential",
        "interactive_browser_client_id",
        "interactive_browser_tenant_id",
        "managed_identity_client_id",
        "process_timeout",
        "require_envvar",
        "shared_cache_tenant_id",
        "shared_cache_username",
        "visual_studio_code_tenant_id",
        "workload_identity_client_id",
        "workload_identity_tenant_id",
    }
)
"""Of ``DefaultAzureCredential``, whose signature does not name them."""


def _adlfs(_: type) -> Sink:
    """The rest makes the default credential."""
    return _FSSPEC | _AZURE_IDENTITY, _NOTHING, False


def _paramiko(_: type) -> Sink:
    """All goes to ``SSHClient.connect``, which takes nothing of fsspec's."""
    connect = _of("paramiko:SSHClient.connect", without=["hostname"])
    return connect | {"temppath", "host_key_policy"}, _NOTHING, False


def _sshfs(_: type) -> Sink:
    """All goes to ``asyncssh.connect`` and its options, which take nothing of fsspec's."""
    connect = _of("asyncssh:connect")
    options = _of("asyncssh:SSHClientConnectionOptions.prepare", without=["last_config"])
    client = _inside("asyncssh:SSHClientConnection.start_sftp_client")
    return connect | options | {"timeout", "max_sessions"}, {"sftp_client_kwargs": client}, False


def _smb(_: type) -> Sink:
    """The rest is dropped; nothing more reaches ``register_session``."""
    return _FSSPEC | {"temppath"}, _NOTHING, False


def _webdav(_: type) -> Sink:
    """The rest goes to webdav4's client, and from there to httpx."""
    return _of("webdav4.client:Client.__init__") | _of("httpx:Client.__init__"), _NOTHING, False


def _http(_: type) -> Sink:
    """The rest goes with every request; a mapping makes the session."""
    request = _of("aiohttp:ClientSession._request", without=["method", "str_or_url"])
    session = _inside("aiohttp:ClientSession.__init__", without=["loop"])
    return _FSSPEC - {"batch_size"} | request, {"client_kwargs": session}, False


def _hdfs_native(_: type) -> Sink:
    """All is Hadoop's configuration, whose names have dots."""
    return _FSSPEC, _NOTHING, True


def _fsspec_only(_: type) -> Sink:
    """The rest goes to fsspec's base class, which drops it."""
    return _FSSPEC, _NOTHING, False


def _reference(cls: type) -> Sink:
    """As above; of GitHub, the rest also makes an HTTP filesystem."""
    if cls.__name__ != "GithubFileSystem":
        return _FSSPEC, _NOTHING, False
    names, nested, _ = _http(cls)
    return names | _of("fsspec.implementations.http:HTTPFileSystem.__init__"), nested, False


_SINKS: Final[Mapping[str, Callable[[type], Sink]]] = {
    "s3fs": _s3fs,
    "gcsfs": _gcsfs,
    "adlfs": _adlfs,
    "ftp": _fsspec_only,
    "paramiko": _paramiko,
    "sshfs": _sshfs,
    "smb": _smb,
    "webdav": _webdav,
    "hdfs-native": _hdfs_native,
    "pyarrow": _fsspec_only,
    "webhdfs": _fsspec_only,
    "http": _http,
    "memory": _fsspec_only,
    "local": _fsspec_only,
    "archive": _fsspec_only,
    "reference": _reference,
}
"""Drivers whose source was read. Any other is judged by its constructors alone."""

_FILLED_IN: Final[Mapping[str, Names]] = {"pyarrow": frozenset({"fs"})}
"""What a driver gives to its own parent class."""

TRANSLATED: Final[Mapping[str, Names]] = {
    "paramiko": frozenset({"client_keys", "known_hosts"}),
    "sshfs": frozenset({"key_filename", "look_for_keys", "allow_agent", "host_key_policy"}),
    "webdav": frozenset({"username", "password", "host", "port"}),
    "http": frozenset({"username", "password", "host", "port"}),
}
"""Other drivers' spellings that our dialects understand."""
