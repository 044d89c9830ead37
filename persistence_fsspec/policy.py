"""How carefully, how eagerly and how patiently to work: one frozen set of decisions."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Container
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TypeVar, get_args

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.spelling import POSSIBLE, nearest

Verify = Literal["size", "digest", "readback"]
_Policy = TypeVar("_Policy")

_MIB: Final = 1024 * 1024
_MEMORY: Final = 256 * _MIB
_PREFIX: Final = "PERSISTENCE_FSSPEC_"
_UNITS: Final = {"": 1, "KIB": 1024, "MIB": _MIB, "GIB": 1024 * _MIB, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_YES_NO: Final = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


_ENDLESS: Final = float("inf")
_RANGES: Final[dict[str, tuple[float, float]]] = {
    "concurrency": (1, 256),
    "part_size": (64 * 1024, _ENDLESS),
    "max_memory": (_MIB, _ENDLESS),
    "attempts": (1, 100),
    "backoff_seconds": (0, _ENDLESS),
    "backoff_max_seconds": (0, _ENDLESS),
    "give_up_seconds": (0, _ENDLESS),
    "timeout_seconds": (0.1, _ENDLESS),
    "stall_seconds": (0.1, 24 * 3600),
    "slowest": (1, _ENDLESS),
    "max_requests": (1, 1024),
    "requests_per_second": (0.001, _ENDLESS),
    "bytes_per_second": (1024, _ENDLESS),
}
_OPTIONAL: Final = frozenset({"give_up_seconds", "timeout_seconds", "requests_per_second", "bytes_per_second"})
_IN_BYTES: Final = frozenset({"part_size", "max_memory", "slowest", "bytes_per_second"})
_WHOLE: Final = frozenset({"concurrency", "attempts", "max_requests"})
_SWITCHES: Final = frozenset({"allow_direct", "read_only", "fsync"})


def _yes_no(text: str) -> bool:
    return _YES_NO[text.lower()]


def _bytes(text: str) -> int:
    """``"8MiB"``, ``"8 MB"`` or plain bytes."""
    found = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text)
    if found is None:
        raise ValueError(text)
    return int(found[1]) * _UNITS[found[2].upper()]


_READERS: Final[tuple[tuple[Container[str], Callable[[str], Any], str], ...]] = (
    ({"verify"}, str, "text"),
    (_SWITCHES, _yes_no, "yes or no"),
    (_WHOLE, int, "a whole number"),
    (_IN_BYTES, _bytes, "a number of bytes, such as 8388608 or 8MiB"),
)


def _read(name: str, text: str) -> Any:
    """A field's value from its variable."""
    if name in _OPTIONAL and text.lower() == "none":
        return None
    reader, wanted = next((row[1:] for row in _READERS if name in row[0]), (float, "a number"))
    try:
        return reader(text)
    except (ValueError, KeyError):
        more = ", or none" if name in _OPTIONAL else ""
        raise InvalidOptionError(f"{_variable(name)}={text!r} cannot be understood as {wanted}{more}") from None


def _variable(name: str) -> str:
    return f"{_PREFIX}{name.upper()}"


def _reading_the_environment(cls: type[_Policy]) -> type[_Policy]:
    """Let fields that are not given come from the environment; the signature keeps showing the defaults."""
    by_hand = cls.__init__
    names = [one.name for one in fields(cls)]  # type: ignore[arg-type]  # it is a dataclass

    @functools.wraps(by_hand)
    def __init__(self: Any, **given: Any) -> None:  # noqa: N807 - it takes that place
        for name in given.keys() - set(names):
            near = nearest(name, names, POSSIBLE)
            question = "" if near is None else f"; did you mean {near!r}?"
            raise InvalidOptionError(f"Policy has no field {name!r}{question}", hint=f"It has: {', '.join(names)}.")
        said = {name: os.environ.get(_variable(name), "").strip() for name in names if name not in given}
        by_hand(self, **given, **{name: _read(name, text) for name, text in said.items() if text})

    cls.__init__ = __init__  # type: ignore[method-assign]
    return cls


def memory_limit() -> int | None:
    """Bytes that the control group of this process may use; None when nothing limits it, or nobody says so.

    Reads version 2 and version 1 of Linux' control groups:
    https://docs.kernel.org/admin-guide/cgroup-v2.html
    """
    found = []
    for path in (*_group_files(), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")):
        try:
            text = path.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdecimal() and int(text) < 1 << 60:  # version 1 says "no limit" by a number nobody has
            found.append(int(text))
    return min(found, default=None)


def _group_files() -> list[Path]:
    """Of this process' group and of all above it: the smallest limit holds."""
    root = Path("/sys/fs/cgroup")
    try:
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    group = root / own
    return [folder / "memory.max" for folder in (group, *group.parents) if folder == root or root in folder.parents]


def _memory() -> int:
    limit = memory_limit()
    return _MEMORY if limit is None else max(_MIB, min(_MEMORY, limit // 4))


@_reading_the_environment
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a persistence does when there is a choice.

    A field that is not given is taken from the environment variable ``PERSISTENCE_FSSPEC_`` and its name in capitals
    (``PERSISTENCE_FSSPEC_ATTEMPTS=10``; bytes may be ``8MiB``, and ``none`` means no limit), else it is the default.

    Attributes:
        verify: How a transfer proves itself. ``size`` compares lengths; ``digest`` (the default) also compares digests
            where the store has them; ``readback`` reads what was written once more. Sizes are always compared.
        allow_direct: Write under the final name where a store can do no better (`Capabilities.publish` is ``direct``).
            A reader may then see half a file, and an interrupted write destroys the old copy. Default no.
        read_only: Refuse everything that would change a store. Default no.
        fsync: Wait for the disk before a local file gets its final name: survives a power cut, and is slower. Default no.
        concurrency: Files, or parts of large ones, in flight at once in one transfer, from 1 to 256. It begins with 8 and grows up to
            this number while that gets more done. Default 64.
        part_size: Bytes moved at once, and of each part of an object that is moved in parts. From 64 KiB. Default 8 MiB.
        max_memory: Bytes of buffers, of all transfers of the process together. Default 256 MiB, or a quarter of what the
            control group of the process allows if that is less. Who would need more waits.
        attempts: Tries of one operation, from 1 (never again) to 100. Default 5.
        backoff_seconds: How long to wait before the second attempt, and by chance up to half as long again; each further wait
            is twice as long. Default 0.2.
        backoff_max_seconds: The longest such wait. A server's ``Retry-After`` is waited for even where it is longer. Default 20.
        give_up_seconds: No new attempt of an operation begins so long after its first; None for any time. Default 300.
        timeout_seconds: An attempt that is not finished by then is ended. One that moves bytes gets a second more for each
            `slowest` bytes, one that lists or copies inside a store ten times as long. None waits for ever. Default 60.
        stall_seconds: A connection that moves nothing for so long is given up, by the driver's own client where it can.
            Default 30.
        slowest: Bytes per second below which a transfer counts as stalled. Default 16 KiB.
        max_requests: Requests to one store at once, from 1 to 1024; halved whenever the store asks for fewer, and slowly
            raised again. Default 64.
        requests_per_second: More are not sent to one store; None (the default) for no limit.
        bytes_per_second: More are neither read nor written, of one store; None (the default) for no limit.

    Raises:
        InvalidOptionError: A value outside its range, or a variable that cannot be understood.

    Examples:
        >>> Policy(verify="readback").verify
        'readback'
    """

    verify: Verify = "digest"
    allow_direct: bool = False
    read_only: bool = False
    fsync: bool = False

    concurrency: int = 64
    part_size: int = 8 * _MIB
    max_memory: int = field(default_factory=_memory)

    attempts: int = 5
    backoff_seconds: float = 0.2
    backoff_max_seconds: float = 20.0
    give_up_seconds: float | None = 300.0
    timeout_seconds: float | None = 60.0
    stall_seconds: float = 30.0
    slowest: int = 16 * 1024

    max_requests: int = 64
    requests_per_second: float | None = None
    bytes_per_second: int | None = None

    def __post_init__(self) -> None:
        if self.verify not in get_args(Verify):
            raise InvalidOptionError(f"verify={self.verify!r} is unknown; choose one of {', '.join(get_args(Verify))}")
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            kinds = int if name in _WHOLE | _IN_BYTES else (int, float)
            if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most:
                end = f" to {most:g}" if most < _ENDLESS else " or more"
                raise InvalidOptionError(f"{name}={value!r} is out of range; choose {least:g}{end}")
