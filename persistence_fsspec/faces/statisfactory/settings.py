"""What ``conf/globals.yaml`` and ``conf/locals.yaml`` say of stores, as options of their drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "s3": {"aws_access_key": "key", "aws_secret_access_key": "secret", "aws_s3_endpoint": "endpoint_url"},
    "lakefs": {"lakefs_access_key": "username", "lakefs_secret_access_key": "password", "lakefs_endpoint": "host"},
}


def options_of(session: Any) -> dict[str, dict[str, Any]]:
    """Options by protocol. What is not set is left to the other sources: profiles, roles and variables hold as everywhere.

    Args:
        session: statisfactory's; anything with ``settings.get(name)``, or None.
    """
    found: dict[str, dict[str, Any]] = {
        protocol: {option: value for name, option in names.items() if (value := said(session, name))}
        for protocol, names in _NAMES.items()
    }
    if region := said(session, "aws_region"):
        found["s3"]["client_kwargs"] = {"region_name": region}
    return {protocol: options for protocol, options in found.items() if options}


def said(session: Any, name: str) -> str:
    """One setting as text; empty when there is none, or no session."""
    settings = getattr(session, "settings", None)
    value = None if settings is None else settings.get(name)
    return "" if value is None else str(value)
