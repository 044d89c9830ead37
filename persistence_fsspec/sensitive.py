"""Which options are secret: those are hidden from texts, not shown, and not pickled.

It is decided by what is known to be harmless: a name that this list has never
seen is hidden, so that a new driver's new kind of key is not the first to be
printed.
"""

from __future__ import annotations

import datetime
import enum
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from persistence_fsspec.errors import InvalidOptionError, SecretPicklingError
from persistence_fsspec.redaction import MASK, is_open_address, protect, protect_login, protect_url, redact, redact_places
from persistence_fsspec.secret import SecretReference

_SHOWABLE: Final = frozenset(
    """
    protocol target_protocol fo path paths root key_prefix name names url base_url endpoint endpoint_url api_endpoint proxy proxies
    host hosts hostname port ports server servers scheme share region region_name default_location location bucket container project
    project_id account_name account_host tenant_id client_id user username login user_name domain workgroup kerb_user
    effective_user proxy_to repository repo org ref branch sha catalog dataset storage_class acl
    block_size blocksize default_block_size default_cache_type cache_type cache_storage cache_check compression encoding mode
    access consistency retry retry_mode addressing_style signature_version api_version version use_ssl verify ca_bundle cafile
    capath ssl_verify timeout timeouts location_mode size_policy pool_type encrypt tempdir tmpdir temp_dir kerb_ticket ticket_cache
    key_filename key_file keyfile cert_file certfile client_keys known_hosts config config_file ssh_config hostkey_algorithms
    server_host_key_algs kex_algs encryption_algs mac_algs compression_algs preferred_auth disabled_algorithms term_type
    profile profile_name share_access replication fs_name kerberos_service content_type content_encoding accept user_agent range
    cache_control filesystem_factory serversideencryption storageclass requestpayer tls_version
    """.split()  # noqa: SIM905 - a hundred quotes and commas would not make it clearer
)
"""Options whose text is no secret."""

_ADDRESSES: Final = frozenset(
    """
    url base_url endpoint endpoint_url api_endpoint account_host proxy proxies proxy_to host hosts hostname server servers
    """.split()  # noqa: SIM905 - as above
)
"""Options whose text is an address, which may hold a login, also without ``://``."""

_SUSPICIOUS: Final = re.compile(r"(?i)pass|secret|token|key|credential|auth|sig|sas|pin$|cookie|cert|private|jwt|bearer")
_PATHS: Final = re.compile(r"(?s)^(?:/|~|[A-Za-z]:[\\/]).*\.(?:json|pem|key|crt|toml|ini|conf)$")
# What gcsfs takes instead of a token, and s3fs and adlfs instead of a key.
_WORDS: Final = frozenset({"", "anon", "anonymous", "anonymous@", "browser", "cache", "cloud", "default", "google_default"})
_USERS: Final = ("username", "user", "login")
_PASSWORDS: Final = ("password", "passwd", "pass")


def resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as a driver takes them: every reference looked up, also in nested tables and lists.

    What is secret in them is hidden from texts from now on.

    Raises:
        InvalidOptionError: A secret is not where it should be; the message names the option.
    """
    return _resolve_mapping("", options)


def _resolve_mapping(dotted: str, options: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _resolve(str(name), _join(dotted, name), value) for name, value in options.items()}
    # Drivers send user and password as one word, which neither of the two is part of.
    user = next((found[name] for name in _USERS if isinstance(found.get(name), (str, int, float))), None)
    for password in [found.get(name) for name in _PASSWORDS] if user is not None else ():
        if isinstance(password, (str, int, float)):  # a number, where a command line gave one
            protect_login(f"{user}:{password}")
    return found


def _resolve(name: str, dotted: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _resolve_mapping(dotted, value)
    if isinstance(value, (list, tuple)):
        items = [_resolve(own, path, one) for own, path, one in _items(name, dotted, value)]
        if name == "auth" and len(items) == 2 and all(isinstance(one, str) for one in items):
            protect_login(":".join(items))
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, SecretReference):
        value = _look_up(value, dotted)
    if isinstance(value, (str, bytes, int, float)) and not _harmless(name, value):
        _hide(value if isinstance(value, (str, bytes)) else str(value))
    return value


def _hide(value: str | bytes) -> None:
    """Hide a secret, and the parts of it that drivers and servers name alone."""
    protect(value)
    if isinstance(value, bytes):
        return
    if "@" in value or "://" in value:
        protect_url(value if "://" in value else f"https://{value}")  # a proxy's address needs no scheme
    for part in re.split(r"[;&?]", value):  # a connection string, or a signature for a URL
        name, equals, inner = part.partition("=")
        if equals and _SUSPICIOUS.search(name):
            protect(inner)
            protect(unquote(inner))
    kind, _, rest = value.partition(" ")  # as in the header of a request: "Bearer ..."
    if kind.lower() in {"basic", "bearer", "token", "negotiate", "digest"}:
        protect(rest)


def _look_up(reference: SecretReference, dotted: str) -> str:
    try:
        return reference.resolve()
    except InvalidOptionError as exc:
        raise InvalidOptionError(f"{dotted}: {exc.message}", hint=exc.hint) from None


def rebuilt(value: Any) -> Any:
    """A copy of options that shares nothing which could be changed, except objects that are not ours to copy."""
    if isinstance(value, Mapping):
        return {name: rebuilt(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rebuilt(one) for one in value]
    return value


def protect_filesystem(filesystem: Any) -> None:
    """Hide the secrets in the arguments that a ready fsspec instance was made of."""
    _resolve_mapping("", arguments(filesystem))


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for people to look at: what is not known to be harmless is ``***``.

    Examples:
        >>> shown({"endpoint_url": "http://host:9000", "secret": "x", "key": SecretReference(env="KEY"), "anon": False})
        {'endpoint_url': 'http://host:9000', 'secret': '***', 'key': SecretReference(env='KEY'), 'anon': False}
    """
    return {name: _show(str(name), value) for name, value in options.items()}


def _show(name: str, value: Any) -> Any:
    if isinstance(value, SecretReference):
        return value
    if isinstance(value, Mapping):
        return shown(value)
    if isinstance(value, (list, tuple)):
        return [_show(own, one) for own, _, one in _items(name, name, value)]
    if not _harmless(name, value):
        return MASK
    return redact(value if isinstance(value, str) else repr(value)) if not isinstance(value, _PLAIN) else value


def literal_secrets(options: Mapping[str, Any]) -> list[str]:
    """The names of options that hold a secret, or something that may hold one, instead of a reference to it.

    Args:
        options: Flat, or nested by protocol.

    Returns:
        Dotted where they are nested, in order: ``["s3.secret", "webdav.auth[1]"]``.

    Examples:
        >>> literal_secrets({"s3": {"key": SecretReference(env="KEY"), "secret": "x", "use_ssl": True}})
        ['s3.secret']
    """
    return [found for name, value in options.items() for found in _literals(str(name), str(name), value)]


def option_secrets(given: Any) -> list[str]:
    """As `literal_secrets`, of ``storage_options``: a mapping, None, or a function, which must be found by its name."""
    if given is None or callable(given):
        return [] if given is None or _has_a_name(given) else ["storage_options (a function that no module names)"]
    return [f"storage_options.{name}" for name in literal_secrets(given)]


def filesystem_secrets(filesystem: Any) -> list[str]:
    """As `literal_secrets`, of the arguments that a ready fsspec instance keeps, and hands on when it is pickled."""
    return literal_secrets(arguments(filesystem))


def arguments(filesystem: Any) -> dict[str, Any]:
    """What an fsspec instance was made with, positional arguments by their names. Secrets are among them."""
    given = tuple(getattr(filesystem, "storage_args", ()))
    try:
        names = [name for name in inspect.signature(type(filesystem).__init__).parameters if name != "self"]
    except (TypeError, ValueError):
        names = []
    positional = {names[i] if i < len(names) else f"args[{i}]": value for i, value in enumerate(given)}
    return {**positional, **dict(getattr(filesystem, "storage_options", {}))}


def _literals(name: str, dotted: str, value: Any) -> Iterator[str]:
    if isinstance(value, SecretReference):
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _literals(str(key), _join(dotted, key), one)
    elif isinstance(value, (list, tuple)):
        for own, path, one in _items(name, dotted, value):
            yield from _literals(own, path, one)
    elif hasattr(value, "storage_options") and hasattr(value, "protocol"):  # a filesystem inside of another
        yield from (f"{dotted}.{inner}" for inner in filesystem_secrets(value))
    elif not _harmless(name, value):
        yield dotted


def _join(dotted: str, name: object) -> str:
    return f"{dotted}.{name}" if dotted else str(name)


def _items(name: str, dotted: str, values: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, str, Any]]:
    """Name, dotted name and value of each; a pair called *auth* begins with the user, as in every library for the web."""
    fields = getattr(values, "_fields", None)
    for i, value in enumerate(values):
        own = fields[i] if fields else ("username" if name == "auth" and i == 0 and len(values) == 2 else name)
        yield own, f"{dotted}[{i}]", value


_PLAIN: Final = (bool, int, float, type(None))


def _harmless(name: str, value: Any) -> bool:
    """Whether an option may be printed, pickled and written down."""
    plain = name.lower().replace("-", "_")
    if value is None or isinstance(value, bool):
        return True
    known = plain in _SHOWABLE or ("." in name and not _SUSPICIOUS.search(name))  # dfs.client.x: Hadoop's own
    if isinstance(value, (int, float)):
        return known or not _SUSPICIOUS.search(plain)
    if isinstance(value, str):
        return value.lower() in _WORDS or bool(_PATHS.match(value)) or (known and _is_one_word(plain, value))
    if isinstance(value, (enum.Enum, os.PathLike, datetime.date, datetime.time, datetime.timedelta)):
        return True
    # A key where the name of its file is expected may be an object, or bytes.
    return _has_a_name(value) or (known and not isinstance(value, bytes) and not _SUSPICIOUS.search(plain))


def _is_one_word(name: str, value: str) -> bool:
    """Not a whole key file, and not an address with a login or a signature."""
    return "\n" not in value and (is_open_address(value) if name in _ADDRESSES else redact_places(value) == value)


def _has_a_name(value: Any) -> bool:
    """A class or function of a module: pickling keeps its name, and nothing that it holds."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in str(getattr(value, "__qualname__", "<none>")).split("."):
        found = getattr(found, part, None)
    return found is not None and found is value


_WAYS_OUT: Final = (
    'Put SecretReference(env="NAME") in place of the value, and set NAME where it is used; or keep the options in a profile of '
    "persistence.toml, and say profile=...; or let a module-level function be the storage_options, or the driver's own "
    "environment hold the credentials. Each process then finds its own."
)


def check_portable(what: str, names: list[str]) -> None:
    """Refuse to pickle what would take secrets along.

    Args:
        what: What is being pickled.
        names: What it holds secrets in; nothing, when it may travel.

    Raises:
        SecretPicklingError: There are any.
    """
    if names:
        raise SecretPicklingError(
            f"{what} holds secrets, which are not pickled: {', '.join(names)}", operation="pickle", hint=_WAYS_OUT
        )
