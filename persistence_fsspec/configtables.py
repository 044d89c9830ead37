"""What ``persistence.toml`` is made of: where the files lie, how tables are named, and what a problem in one looks like."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.config import canonical
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import is_url, parse
from persistence_fsspec.redaction import redact
from persistence_fsspec.secret import SecretReference

CONFIG_VARIABLE: Final = "PERSISTENCE_FSSPEC_CONFIG"
PROFILE_VARIABLE: Final = "PERSISTENCE_FSSPEC_PROFILE"
CONFIG_NAME: Final = "persistence.toml"
# What platformdirs looks at, on one system or another.
_DECIDING: Final = (CONFIG_VARIABLE, "HOME", "XDG_CONFIG_HOME", "LOCALAPPDATA", "APPDATA", "USERPROFILE")


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong in a file.

    Attributes:
        file: Which.
        where: Table and option: ``"[stores.s3] endpoint_url"``; empty for the file as a whole.
        message: What is wrong, in one sentence without values, which may be secrets.
        hint: The way out.
    """

    file: Path
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{display(self.file)} {self.where}".rstrip()
        return f"{place}: {self.message}"

    def error(self) -> InvalidOptionError:
        """As an error to raise."""
        return InvalidOptionError(str(self), hint=self.hint)


# --- which files ------------------------------------------------------------------------------------------------------


def config_file() -> Path:
    """The user's own file: ``PERSISTENCE_FSSPEC_CONFIG``, else ``persistence.toml`` in the user's config directory."""
    return _config_file(*(os.environ.get(name) for name in _DECIDING))


@cache
def _config_file(named: str | None, *_: str | None) -> Path:
    """The answer of one environment; every operation asks, so it is worked out once."""
    if named:
        return Path(named).expanduser()
    import platformdirs  # noqa: PLC0415 - only who opens a store pays for it

    return platformdirs.user_config_path("persistence-fsspec", appauthor=False) / CONFIG_NAME


def candidates() -> list[tuple[Path, bool]]:
    """The files that are looked at, the most important first, and whether each is the user's own."""
    own = config_file()
    here = Path(os.getcwd(), CONFIG_NAME)
    stamp = stamp_of(here)
    same = own == here or (stamp is not None and stamp == stamp_of(own))
    return [(own, True)] if same else [(own, True), (here, False)]


def is_needless(profile: str | None) -> bool:
    """Whether there is nothing to read, and nobody asks for it. Most people have no file, and every operation asks."""
    if profile or os.environ.get(PROFILE_VARIABLE) or os.environ.get(CONFIG_VARIABLE):
        return False
    return stamp_of(config_file()) is None and stamp_of(f"{os.getcwd()}/{CONFIG_NAME}") is None


def stamp_of(path: str | Path) -> tuple[int, ...] | None:
    """What changes with a file, and tells it from every other; None when there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def display(path: Path) -> str:
    """A path for people: ``~`` for the home."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)


# --- tables -----------------------------------------------------------------------------------------------------------


def take_apart(name: str) -> tuple[str, tuple[str, ...]]:
    """The canonical protocol, then host and folders. Doubled slashes count once, so that no spelling slips past a table."""
    if not is_url(name):
        return canonical(name.lower()), ()
    location = parse(name)
    protocol = canonical(location.protocol)
    authority = location.root.partition("://")[2].lower()
    parts = [part for part in location.key.split("/") if part]
    return protocol, tuple([authority, *parts] if authority else parts)


def referenced(value: Any) -> Any:
    """A value with its secrets as references."""
    if isinstance(value, Mapping):
        return SecretReference.from_table(value) or {name: referenced(item) for name, item in value.items()}
    return [referenced(item) for item in value] if isinstance(value, list) else value


def header_of(above: str, name: str) -> str:
    """A table's header, as it stands in the file: ``[stores.s3]``."""
    return f"[{above}.{quoted(name)}]"


def quoted(name: str) -> str:
    """A part of a header, in quotes where TOML needs them, and without credentials."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else f'"{redact(name)}"'


def did_you_mean(name: str, names: list[str], cutoff: float = 0.6) -> str:
    """A question, or nothing when no name is near."""
    import difflib  # noqa: PLC0415 - for who has misspelt something

    near = difflib.get_close_matches(name, names, 1, cutoff)
    return f"Did you mean {near[0]!r}?" if near else ""
