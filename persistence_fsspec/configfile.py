"""``persistence.toml``: options by protocol, or by the beginning of a URL.

.. code-block:: toml

    [stores.s3]                             # every s3:// URL that no longer prefix matches
    endpoint_url = "https://minio.example"
    secret = { env = "MINIO_SECRET" }       # a reference; looked up when a connection is made

    [stores."s3://bucket/prefix"]           # this one ALONE, for URLs below it
    key = "other"

    [profiles.work.s3]                      # stands in place of [stores] when the profile "work" is chosen

The table with the longest prefix holds alone. It is never mixed with a
shorter one, so that one store's credentials never meet another's endpoint.

Two files are read. The user's own may hold anything. The one in the working
folder may come with a repository that somebody else wrote, so it only tunes:
it says how many and how much at once (`configcheck.TUNING`), as numbers and
words, and nothing of where to connect, as whom, what to trust or what is read.
It may tune a profile, and define none: there is one only if the user's own file
has it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.config import OptionSource
from persistence_fsspec.configcheck import problems
from persistence_fsspec.configtables import (
    CONFIG_NAME,
    CONFIG_VARIABLE,
    PROFILE_VARIABLE,
    Problem,
    candidates,
    config_file,
    display,
    header_of,
    quoted,
    take_apart,
)
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.secret import referenced
from persistence_fsspec.spelling import did_you_mean


@dataclass(frozen=True, slots=True)
class Table:
    """One table of options.

    Attributes:
        header: As it stands in the file: ``[stores.s3]``.
        name: Protocol or URL prefix.
        protocol: As in `sharing`.
        segments: What a URL must begin with, from `take_apart`.
        options: Secrets are references.
    """

    header: str
    name: str
    protocol: str
    segments: tuple[str, ...]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One file, read and found right.

    Attributes:
        path: Where it is.
        own: It is the user's own, and may hold anything.
        stores: Tables that hold without a profile.
        profiles: Tables by profile.
    """

    path: Path
    own: bool
    stores: tuple[Table, ...]
    profiles: Mapping[str, tuple[Table, ...]]


# --- options for a URL ------------------------------------------------------------------------------------------------


def file_sources(url: str, profile: str | None = None) -> list[OptionSource]:
    """What the files say of a URL.

    Args:
        url: One link; not a chain.
        profile: Its name; None asks ``PERSISTENCE_FSSPEC_PROFILE``.

    Returns:
        At most one source for each file, the most important first.

    Raises:
        InvalidOptionError: A file is wrong, or the user's own does not have the profile.
    """
    files = [found for path, own in candidates() if (found := read(path, own=own)) is not None]
    chosen = chosen_profile(profile)
    if chosen is not None and not any(file.own and chosen in file.profiles for file in files):
        raise _no_such_profile(chosen, files)
    sources = []
    for file in files:
        tables = file.stores if chosen is None else file.profiles.get(chosen, ())
        best = _longest(tables, url)
        if best is not None:
            sources.append(OptionSource(f"{display(file.path)} {best.header}", best.options))
    return sources


def chosen_profile(profile: str | None) -> str | None:
    """The profile that holds: the keyword's, else the environment's."""
    return profile or os.environ.get(PROFILE_VARIABLE) or None


def _no_such_profile(profile: str, files: list[ConfigFile]) -> InvalidOptionError:
    path, own = config_file(), next((file for file in files if file.own), None)
    stray = f" The one in the working folder's {CONFIG_NAME} does not count." if any(profile in f.profiles for f in files) else ""
    add = f"Add a table [profiles.{quoted(profile)}.s3] to {display(path)}."
    if own is None:
        return InvalidOptionError(f"profile {profile!r} is asked for, and {display(path)} does not exist", hint=f"{add}{stray}")
    names = sorted(own.profiles)
    has = ", ".join(quoted(name) for name in names) or "none"
    hint = did_you_mean(profile, names) or add
    return InvalidOptionError(f"{display(path)} has no profile {profile!r}; it has: {has}", hint=f"{hint}{stray}")


def _longest(tables: tuple[Table, ...], url: str) -> Table | None:
    if not tables:
        return None
    protocol, segments = take_apart(url)
    fitting = [table for table in tables if table.protocol == protocol and _begins(segments, table)]
    return max(fitting, key=lambda table: (len(table.segments), "@" in "".join(table.segments[:1])), default=None)


def _begins(segments: tuple[str, ...], table: Table) -> bool:
    wanted = table.segments
    if segments[: len(wanted)] == wanted:
        return True
    # A table that names no user is for every user; abfs://container@account has no user in it. Segments begin with the
    # authority, so that an "@" in the name of a folder is none of this.
    anybody = bool(wanted) and bool(segments) and "@" not in wanted[0] and table.protocol != "abfs"
    return anybody and (segments[0].rpartition("@")[2], *segments[1 : len(wanted)]) == wanted


# --- reading a file ---------------------------------------------------------------------------------------------------

_LARGEST: Final = 1024 * 1024
_DOTS: Final = 100
_DEEPEST: Final = 32

_read: dict[tuple[Path, bool], tuple[tuple[int, int], ConfigFile]] = {}


def read(path: Path, *, own: bool) -> ConfigFile | None:
    """One file, read again only when it has changed.

    Args:
        path: Of the file.
        own: Whether it is the user's own.

    Returns:
        None when it does not exist.

    Raises:
        InvalidOptionError: It cannot be read, is not TOML, says something unknown, or is named by
            ``PERSISTENCE_FSSPEC_CONFIG`` and does not exist.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if own and os.environ.get(CONFIG_VARIABLE):
            raise InvalidOptionError(
                f"{display(path)}, which {CONFIG_VARIABLE} names, does not exist",
                hint=f"Create it with `persist config init`, or unset {CONFIG_VARIABLE}.",
            ) from None
        return None
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    stamp = (found.st_mtime_ns, found.st_size)
    known = _read.get((path, own))
    if known is not None and known[0] == stamp:
        return known[1]
    data = load(path)
    for problem in problems(data, path, own=own):
        raise problem.error()
    file = _built(data, path, own=own)
    _read[(path, own)] = (stamp, file)
    return file


def load(path: Path) -> Mapping[str, Any]:
    """The tables of a file as they stand there.

    Raises:
        InvalidOptionError: It cannot be read, is no regular file or a huge one, or is not TOML.
    """
    try:
        return _parsed(_content(path).decode("utf-8"), path)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except UnicodeDecodeError as exc:
        raise Problem(path, "", f"is not UTF-8, which TOML is (byte {exc.start})").error() from exc


def _content(path: Path) -> bytes:
    """All that stands in a file; the null device is an empty one.

    Whoever wrote a repository may have put anything under the name: a pipe that nobody writes to, a device without end, the
    program's own standard input. Nothing but a regular file is read, and none is waited for.

    Raises:
        InvalidOptionError: It is something else, or larger than `_LARGEST`.
    """
    if str(path) == os.devnull:
        return b""
    _require_regular(path, os.stat(path))  # opening a device may do something by itself
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        _require_regular(path, os.fstat(file.fileno()))
        content = file.read(_LARGEST + 1)
    if len(content) > _LARGEST:
        raise Problem(path, "", f"is larger than {_LARGEST // 1024} KiB").error()
    return content


def _require_regular(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"
        raise Problem(path, "", f"cannot be read: it is {what}, not a file").error()


def _parsed(text: str, path: Path) -> dict[str, Any]:
    """Refuses what a parser takes minutes for (``a.a.a.a…``), and what would fill the stack of who looks through it."""
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only who has a file pays for reading it
    else:
        import tomli as tomllib  # noqa: PLC0415

    dotted = any(line.count(".") > _DOTS and not line.lstrip().startswith("#") for line in text.splitlines())
    try:
        data: dict[str, Any] = {} if dotted else tomllib.loads(text)
    except RecursionError:
        dotted = True
    except tomllib.TOMLDecodeError as exc:
        raise Problem(path, "", f"is not TOML: {_without_values(exc)}").error() from None
    if dotted or _is_deeper(data, _DEEPEST):
        text = f"is not TOML of options: more than {_DEEPEST} tables in one another, or {_DOTS} dots in a line"
        raise Problem(path, "", text).error()
    return data


def _is_deeper(value: Any, levels: int) -> bool:
    level: list[Any] = [value]
    for _ in range(levels):
        nested = [one.values() if isinstance(one, Mapping) else one for one in level if isinstance(one, (Mapping, list))]
        level = [inner for one in nested for inner in one]
    return any(isinstance(one, (Mapping, list)) for one in level)


def _unreadable(path: Path, exc: OSError) -> InvalidOptionError:
    return Problem(path, "", f"cannot be read: {exc.strerror or type(exc).__name__}").error()


def _without_values(exc: Exception) -> str:
    """What a parser complains of, without what stood there: it may be a secret, and so may the name of a key."""
    place = re.search(r"\(at [^)]*\)\s*$", str(exc))
    text = re.split(r"[:'\"]", str(exc), maxsplit=1)[0].strip()
    return f"{text} {place.group(0)}".strip() if place and place.group(0) not in text else text


def _built(data: Mapping[str, Any], path: Path, *, own: bool) -> ConfigFile:
    return ConfigFile(path, own, tuple(_stores(data)), {name: tuple(tables) for name, tables in _profiles(data).items()})


def tables_of(data: Mapping[str, Any]) -> Iterator[Table]:
    """Every table of a file in which `problems` found nothing wrong."""
    yield from _stores(data)
    for tables in _profiles(data).values():
        yield from tables


def _stores(data: Mapping[str, Any]) -> Iterator[Table]:
    return _tables(data.get("stores", {}), "stores")


def _profiles(data: Mapping[str, Any]) -> dict[str, Iterator[Table]]:
    return {name: _tables(tables, f"profiles.{quoted(name)}") for name, tables in data.get("profiles", {}).items()}


def _tables(tables: Mapping[str, Any], above: str) -> Iterator[Table]:
    for name, options in tables.items():
        protocol, segments = take_apart(name)
        yield Table(header_of(above, name), name, protocol, segments, {key: referenced(value) for key, value in options.items()})
