"""Where a driver's options come from: keyword, URL, profile. The driver's own environment comes last, by itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fsspec.registry import known_implementations, registry

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import ALIASES

StorageOptions = Mapping[str, Any] | Callable[[str], Mapping[str, Any]] | None

CONFIG_VARIABLE: Final = "PERSISTENCE_FSSPEC_CONFIG"
CONFIG_NAME: Final = "persistence.toml"


def canonical(protocol: str) -> str:
    """The protocol whose options this one shares.

    Examples:
        >>> canonical("s3a"), canonical("ftp")
        ('s3', 'ftp')
    """
    return ALIASES.get(protocol, protocol)


def resolve_options(given: StorageOptions, url: str, protocol: str, default_protocol: str | None) -> dict[str, Any]:
    """The options that hold for one URL.

    Args:
        given: Flat, for the default prefix's protocol; nested, by protocol; or a function of the URL.
        url: Without credentials; what a function is asked with.
        protocol: Of the URL.
        default_protocol: Of the default prefix, if there is one.

    Raises:
        InvalidOptionError: They are neither a mapping nor a function of one.
    """
    if given is None:
        return {}
    options = given(url) if callable(given) else given
    if not isinstance(options, Mapping):
        raise InvalidOptionError(f"storage_options must be a mapping, not {type(options).__name__}")
    wanted = canonical(protocol)
    if _is_nested(options):
        return dict(next((value for name, value in options.items() if canonical(name) == wanted), {}))
    if callable(given) or default_protocol is None or canonical(default_protocol) == wanted:
        return dict(options)
    return {}


def check_options(given: StorageOptions, default_protocol: str | None) -> None:
    """Refuse flat options that could not apply to anything.

    Raises:
        InvalidOptionError: There is no default prefix to say whose options they are.
    """
    if given and not callable(given) and default_protocol is None and not _is_nested(given):
        raise InvalidOptionError(
            "flat storage_options need a default_prefix, whose protocol they belong to",
            hint='Nest them by protocol instead: storage_options={"s3": {...}}.',
        )


def _is_nested(options: Mapping[str, Any]) -> bool:
    return bool(options) and all(
        isinstance(value, Mapping) and (name in known_implementations or name in registry or name in ALIASES)
        for name, value in options.items()
    )


def profile_options(profile: str, protocol: str) -> dict[str, Any]:
    """The options of one profile for one protocol: table ``[profiles.NAME.PROTOCOL]`` of the user's ``persistence.toml``.

    Args:
        profile: Its name.
        protocol: Of the URL.

    Raises:
        InvalidOptionError: No such file, or no such profile in it.
    """
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only who has profiles pays for reading them
    else:
        import tomli as tomllib  # noqa: PLC0415

    path = config_file()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidOptionError(f"profile {profile!r} is asked for, and {path} does not exist") from None
    try:
        profiles = tomllib.loads(text).get("profiles", {})
    except tomllib.TOMLDecodeError as exc:
        raise InvalidOptionError(f"{path}: {exc}") from exc
    if profile not in profiles:
        names = ", ".join(sorted(profiles)) or "none"
        raise InvalidOptionError(f"{path} has no profile {profile!r}; it has: {names}")
    tables = profiles[profile]
    return dict(next((value for name, value in tables.items() if canonical(name) == canonical(protocol)), {}))


def config_file() -> Path:
    """The user's own file: ``PERSISTENCE_FSSPEC_CONFIG``, else ``persistence.toml`` in the user's config directory."""
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    import platformdirs  # noqa: PLC0415 - as above

    return platformdirs.user_config_path("persistence-fsspec", appauthor=False) / CONFIG_NAME
