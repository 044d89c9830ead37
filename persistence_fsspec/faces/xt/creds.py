"""The record of a storage service in XT's configuration, and the name under which XT knows the service."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import Location
from persistence_fsspec.redaction import redact_places
from persistence_fsspec.secret import SecretReference, referenced_variables

_NAMES: Final = ("type", "provider", "path", "key", "name")
_SERVERS: Final = ("endpoint_url", "endpoint", "base_url", "account_name", "account_host", "host", "port")
"""Options that say on which server a URL is to be found."""
_OF_CONNECTION_STRINGS: Final = ("AccountName", "BlobEndpoint")
_EXAMPLE: Final = """For example: key: '{"endpoint_url": "https://minio.example", "secret": {"env": "MINIO_SECRET"}}'"""


def read(storage_creds: Mapping[str, Any]) -> tuple[str, dict[str, Any] | None]:
    """Take the record of a service apart.

    Args:
        storage_creds: ``type``, ``provider``, ``path``, ``key`` and ``name``, all texts. Only *path* is required. *key* is the
            JSON text of an object, in which a table ``{"env": "NAME"}`` stands for the text of a variable.

    Returns:
        The path, and the storage options; None when there are none.

    Raises:
        InvalidOptionError: Another entry, one that is no text, or no JSON object; in that, a key that is given twice, a number that
            JSON has not, or a variable whose name is no text. What they say is not shown.
    """
    if not isinstance(storage_creds, Mapping):
        raise InvalidOptionError(f"the record of a storage service of XT is a table, not {type(storage_creds).__name__}")
    unknown = sorted(str(name) for name in storage_creds if name not in _NAMES)
    if unknown:
        raise InvalidOptionError(
            f"a storage service of XT has no entry {', '.join(map(repr, unknown))}; there are {', '.join(_NAMES)}",
            hint=f"Options of the store go into the text of 'key'. {_EXAMPLE}",
        )
    for name, value in storage_creds.items():
        if value is not None and not isinstance(value, str):
            raise InvalidOptionError(f"{name!r} of a storage service of XT is a text, not {type(value).__name__}")
    path = storage_creds.get("path")
    if not path:
        raise InvalidOptionError(
            "the storage service of XT has no 'path'", hint='For example: path: "s3://my-bucket/xt". Any URL, or a local path.'
        )
    return path, _options(storage_creds.get("key") or "")


def _options(text: str) -> dict[str, Any] | None:
    if not text.strip():
        return None
    try:
        options = json.loads(text, object_pairs_hook=_table, parse_constant=_refuse_number, parse_float=_number)
    except InvalidOptionError:
        raise
    except (ValueError, RecursionError):
        options = None  # nothing of the text in the error, nor in its causes
    if not isinstance(options, dict):
        raise InvalidOptionError("'key' of a storage service of XT is not the text of a JSON object", hint=_EXAMPLE)
    found: dict[str, Any] = referenced_variables(options)
    return found


def _table(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which nothing was lost, and which no reference was meant to be that is none."""
    table = dict(entries)
    if len(table) < len(entries):
        twice = next(name for i, (name, _) in enumerate(entries) if name in dict(entries[:i]))
        raise InvalidOptionError(f"'key' of a storage service of XT says {twice!r} twice", hint="Leave one of them out.")
    if list(table) == ["env"] and not isinstance(table["env"], str):
        raise InvalidOptionError(
            f"in 'key' of a storage service of XT, {{\"env\": ...}} names a variable by a text, not {type(table['env']).__name__}",
            hint=_EXAMPLE,
        )
    return table


def _number(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse_number(text)


def _refuse_number(text: str) -> NoReturn:  # noqa: ARG001 - the interface's; what it says is not shown
    raise InvalidOptionError(
        "'key' of a storage service of XT has a number that JSON has not: NaN, infinite, or too large", hint="Leave it out."
    )


def service_name(location: Location, options: Mapping[str, Any]) -> str:
    """Name a service: the same wherever its record is the same, and another one for another place.

    Args:
        location: Where the containers lie.
        options: Of the store there, flat.

    Returns:
        The URL, and behind it the server that the options name, unless the URL does. No credentials.
    """
    url = redact_places(location.url).rstrip("/")
    said = re.split("[/@:]+", location.root)
    servers = ", ".join(one for one in dict.fromkeys(_servers(options)) if one not in said)
    return f"{url} at {servers}" if servers else url


def _servers(options: Mapping[str, Any]) -> Iterator[str]:
    for name in _SERVERS:
        if text := _text(options.get(name)):
            yield _without_login(text)
    inner = options.get("client_kwargs")
    if isinstance(inner, Mapping) and (text := _text(inner.get("endpoint_url"))):
        yield _without_login(text)
    for part in _text(options.get("connection_string")).split(";"):
        name, _, value = part.partition("=")
        if name in _OF_CONNECTION_STRINGS and value:
            yield _without_login(value)


def _text(value: Any) -> str:
    if isinstance(value, SecretReference):
        return value.resolve()
    return "" if value is None else str(value)


def _without_login(address: str) -> str:
    """Of an address, what says where: no user, no password, and nothing behind ``?``."""
    scheme, slashes, rest = address.rpartition("://")
    return f"{scheme}{slashes}{rest.partition('?')[0].rpartition('@')[2]}".rstrip("/")
