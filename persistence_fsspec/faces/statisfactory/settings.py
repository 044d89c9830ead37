"""What ``conf/globals.yaml`` and ``conf/locals.yaml`` say of stores, as options of their drivers."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from persistence_fsspec import config
from persistence_fsspec.spelling import nearest

_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "s3": {
        "aws_access_key": "key",
        "aws_secret_access_key": "secret",
        "aws_region": "region_name",
        "aws_s3_endpoint": "endpoint_url",
    },
    "lakefs": {"lakefs_access_key": "username", "lakefs_secret_access_key": "password", "lakefs_endpoint": "host"},
}
_LOGINS: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset({"key", "secret", "username", "password", "token", "profile", "anon"}),
    "lakefs": frozenset({"username", "password", "api_key", "access_token"}),
}
"""Options that together say who asks: all of them come from one place."""

_PREFIXES: Final = ("aws_", "lakefs_")
_KNOWN: Final = frozenset({"lakefs_bucket", *(name for names in _NAMES.values() for name in names)})
_warned: set[str] = set()
"""Misspelt settings that were told."""


def options_of(session: Any) -> dict[str, dict[str, Any]]:
    """Options by protocol. What is not set is left to the other sources: profiles, roles and variables hold as everywhere.

    A key of S3 is a whole login: no token and no ``anon`` of another source is added to it.

    Args:
        session: statisfactory's; anything with ``settings.get(name)``, or None.
    """
    found: dict[str, dict[str, Any]] = {
        protocol: {option: value for name, option in names.items() if (value := said(session, name))}
        for protocol, names in _NAMES.items()
    }
    if region := found["s3"].pop("region_name", ""):
        found["s3"]["client_kwargs"] = {"region_name": region}
    if "key" in found["s3"]:
        found["s3"].update(token=None, anon=False)
    return {protocol: options for protocol, options in found.items() if options}


def stacked(registered: Mapping[str, Any], settings: Mapping[str, Mapping[str, Any]], protocol: str) -> dict[str, Any]:
    """What the registration says of a protocol, and below it what the settings say.

    Where the registration names a login, that of the settings is left out; ``client_kwargs`` are those of both.

    Args:
        registered: Options of the protocol.
        settings: By protocol.
        protocol: As in the URL.
    """
    name = config.sharing(protocol)
    said_here = settings.get(name, {})
    if any(registered.get(option) for option in _LOGINS.get(name, ())):
        said_here = {option: value for option, value in said_here.items() if option not in _LOGINS[name]}
    found = {**said_here, **registered}
    inner = (said_here.get("client_kwargs"), registered.get("client_kwargs"))
    if isinstance(inner[0], Mapping) and isinstance(inner[1], Mapping):
        found["client_kwargs"] = {**inner[0], **inner[1]}
    return found


def named_in_conf(url: str) -> str:
    """How the settings of a URL's store are called, as a sentence; empty where there are none."""
    names = _NAMES.get(config.sharing(config.chain(url)[-1][0]), {})
    return f"In conf/ it is said by {', '.join(names)}." if names else ""


def warn_of_misspelt(session: Any) -> None:
    """Log settings that look like one of these and are none, each once in a process."""
    names = getattr(getattr(session, "settings", None), "keys", None)
    for given in list(names()) if callable(names) else ():
        name = str(given).lower()
        if not name.startswith(_PREFIXES) or name in _KNOWN or name in _warned:
            continue
        _warned.add(name)
        if near := nearest(name, _KNOWN):  # a variable of the user's own, such as aws_bucket, is none of our business
            logging.getLogger("persistence_fsspec").warning(
                "conf/ has a setting %r, which nothing reads. Did you mean %r?", name, near
            )


def said(session: Any, name: str) -> str:
    """One setting as text; empty when there is none, or no session."""
    settings = getattr(session, "settings", None)
    value = None if settings is None else settings.get(name)
    return "" if value is None else str(value)
