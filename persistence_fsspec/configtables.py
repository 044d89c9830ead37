"""What ``persistence.toml`` is made of: where the files lie, how tables are named, and what a problem in one looks like."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from persistence_fsspec.config import sharing
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import is_url, parse
from persistence_fsspec.redaction import redact

CONFIG_VARIABLE: Final = "PERSISTENCE_FSSPEC_CONFIG"
PROFILE_VARIABLE: Final = "PERSISTENCE_FSSPEC_PROFILE"
CONFIG_NAME: Final = "persistence.toml"
# The drivers' own, when a URL names none.
_PORTS: Final = {"ftp": 21, "sftp": 22, "http": 80, "https": 443, "smb": 445}
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
    return stamp_of(config_file()) is None and stamp_of(CONFIG_NAME) is None


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
        return printable(f"~/{path.relative_to(Path.home()).as_posix()}")
    except (ValueError, RuntimeError):
        return printable(str(path))


# --- tables -----------------------------------------------------------------------------------------------------------


def take_apart(name: str) -> tuple[str, tuple[str, ...]]:
    """What tables and URLs are compared by: the protocol, then authority and folders.

    Doubled slashes count once, and a port that goes without saying not at all, so that no spelling slips past a table.

    Returns:
        The protocol as in `sharing`, and the parts, the authority first, which is empty where there is none; of a bare
        protocol nothing.

    Examples:
        >>> take_apart("sftp://me@Host:22/data//x"), take_apart("file:///data"), take_apart("s3a")
        (('sftp', ('me@host', 'data', 'x')), ('file', ('', 'data')), ('s3', ()))
    """
    if not is_url(name):
        return sharing(name.lower()), ()
    location = parse(name)
    protocol = sharing(location.protocol)
    authority = location.root.partition("://")[2].lower()
    if protocol in _PORTS:
        authority = authority.removesuffix(":").removesuffix(f":{_PORTS[protocol]}")
    parts = [part for part in location.key.split("/") if part]
    return protocol, (authority, *parts) if authority or parts else ()


def header_of(above: str, name: str) -> str:
    """A table's header, as it stands in the file: ``[stores.s3]``."""
    return f"[{above}.{quoted(name)}]"


def quoted(name: str) -> str:
    r"""A part of a header or the name of an option, in quotes where TOML needs them, and without credentials.

    Examples:
        >>> quoted("s3"), quoted("s3://b"), quoted("red\x1b[31m")
        ('s3', '"s3://b"', '"red\\u001b[31m"')
    """
    if re.fullmatch(r"[A-Za-z0-9_-]+", name):
        return name
    text = redact(name).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{printable(text)}"'


def printable(text: str) -> str:
    """A text of somebody else's, with the characters that steer a terminal as TOML escapes them."""
    return "".join(
        one if one.isprintable() else f"\\u{ord(one):04x}" if ord(one) < 1 << 16 else f"\\U{ord(one):08x}" for one in text
    )
