"""What can be wrong in a ``persistence.toml``, and what the one in the working folder may say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from persistence_fsspec.config import FACTORY, UNCHECKED, is_protocol, known_protocols
from persistence_fsspec.configtables import (
    CONFIG_NAME,
    CONFIG_VARIABLE,
    Problem,
    config_file,
    display,
    header_of,
    printable,
    quoted,
    take_apart,
)
from persistence_fsspec.errors import InvalidNameError, InvalidOptionError
from persistence_fsspec.location import is_url, parse
from persistence_fsspec.secret import SecretReference, referenced
from persistence_fsspec.spelling import POSSIBLE, did_you_mean, nearest

TUNING: Final = frozenset(
    {
        "batch_size",
        "block_size",
        "blocksize",
        "buffer_size",
        "cache_size",
        "cache_type",
        "chunk_size",
        "default_block_size",
        "default_cache_type",
        "default_fill_cache",
        "fixed_upload_size",
        "max_block",
        "max_concurrency",
        "max_gap",
        "max_sessions",
        "mrd_pool_cache_size",
    }
)
"""What the file in the working folder may say: how many and how much at once.

Nothing of it names a host, a credential or what to trust, costs money, or changes what is read and written.
"""

_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


def problems(data: Mapping[str, Any], path: Path, *, own: bool) -> Iterator[Problem]:
    """All that is wrong in a file.

    Args:
        data: From `load`.
        path: Of the file.
        own: Whether it is the user's own; otherwise only `TUNING` options may stand in it.
    """
    for name in data:
        if name not in {"stores", "profiles"}:
            yield Problem(path, "", f"{quoted(name)} means nothing here", _top_level_hint(name))
    yield from _wrong_tables(data.get("stores", {}), "stores", path, own=own)
    profiles = data.get("profiles", {})
    if not isinstance(profiles, Mapping):
        yield Problem(path, "", "profiles is not a table", "Write [profiles.NAME.s3].")
        return
    for name, tables in profiles.items():
        yield from _wrong_tables(tables, f"profiles.{quoted(name)}", path, own=own)


def _top_level_hint(name: str) -> str:
    near = nearest(name, ["stores", "profiles"], POSSIBLE)
    if near is not None:
        return f"Did you mean [{near}.…]?"
    if is_url(name) or is_protocol(name):
        return f"Did you mean {header_of('stores', name)}?"
    return 'A file holds tables [stores.PROTOCOL], [stores."PROTOCOL://…"] and [profiles.NAME.PROTOCOL].'


def _wrong_tables(tables: Any, above: str, path: Path, *, own: bool) -> Iterator[Problem]:
    if not isinstance(tables, Mapping):
        yield Problem(path, "", f"{above} is not a table", f"Write [{above}.s3].")
        return
    seen: dict[tuple[str, tuple[str, ...]], str] = {}
    for name, options in tables.items():
        header = header_of(above, name)
        if not isinstance(options, Mapping):
            yield Problem(path, f"[{above}] {quoted(name)}", "an option needs a protocol", f"Put it below [{above}.s3], say.")
            continue
        wrong = _wrong_name(name, header, path)
        if wrong is not None:
            yield wrong
            continue
        twin = seen.setdefault(take_apart(name), name)
        if twin != name:
            hint = "Keep one of them."
            yield Problem(path, header, f"names the same as {header_of(above, twin)}", hint)
        for option, value in options.items():
            yield from _wrong_option(option, value, header, path, own=own)


def _wrong_name(name: str, header: str, path: Path) -> Problem | None:
    if "::" in name:
        return Problem(path, header, "a chain has no options of its own", "Name its links, each in a table of its own.")
    if is_url(name):
        try:
            location = parse(name)
        except InvalidNameError as exc:
            return Problem(path, header, exc.message)
        if location.userinfo:
            return Problem(path, header, "a password stands in the name of a table", "Make it an option: password = { env = … }.")
        protocol = location.protocol
    elif "/" in name or ":" in name:
        return Problem(path, header, "is neither a protocol nor a URL", 'Write [stores.s3] or [stores."s3://bucket/prefix"].')
    else:
        protocol = name
    if is_protocol(protocol):
        return None
    near = did_you_mean(protocol, known_protocols(), 0.75)  # otherwise a driver may be registered later
    return Problem(path, header, f"no driver is known for {printable(protocol)}://", near) if near else None


def _wrong_option(option: str, value: Any, header: str, path: Path, *, own: bool) -> Iterator[Problem]:
    where = f"{header} {quoted(option)}"
    if own:
        if option == UNCHECKED and not isinstance(value, Mapping):
            yield Problem(path, where, "is not a table of options", "Write unchecked = { name = value }.")
        if option == FACTORY and not isinstance(value, str):
            yield Problem(
                path, where, "is not the dotted name of a function", 'Write filesystem_factory = "package.module:function".'
            )
        yield from _wrong_reference(value, where, path)
        try:
            referenced(value)
        except InvalidOptionError as exc:
            yield Problem(path, where, exc.message, exc.hint)
        return
    if option not in TUNING:
        yield _not_here(where, path)
    elif not (isinstance(value, (int, float)) or (isinstance(value, str) and _WORD.fullmatch(value))):
        yield Problem(
            path, where, "takes a number, true or false, or a word of letters and digits in a file of the working folder"
        )


def _wrong_reference(value: Any, where: str, path: Path) -> Iterator[Problem]:
    """A table that looks like a reference to a secret, and is none, would reach the driver as it stands."""
    if not isinstance(value, Mapping):
        return
    if value and set(value) <= {"env", "file", "command"} and SecretReference.from_table(value) is None:
        hint = 'Write { env = "NAME" }, { file = "path" } or { command = ["program", "argument"] }.'
        yield Problem(path, where, "is not quite a reference to a secret", hint)
        return
    if SecretReference.from_table(value) is not None:
        return
    alone = next(iter(value)) if len(value) == 1 else ""
    near = did_you_mean(alone, ["env", "file", "command"], 0.65) if alone and not isinstance(value[alone], Mapping) else ""
    if near:
        yield Problem(path, where, f"is not quite a reference to a secret: {quoted(alone)}", near)
        return
    for name, inner in value.items():
        yield from _wrong_reference(inner, f"{where}.{quoted(name)}", path)


def _not_here(where: str, path: Path) -> Problem:
    return Problem(
        path,
        where,
        "a file in the working folder may only tune: whoever wrote it must not decide where to connect, as whom, what to trust, "
        "or what is read",
        f"Move it to {display(config_file())}, or say {CONFIG_VARIABLE}={CONFIG_NAME} if this file is your own.",
    )
