"""What became of each file, however many there are: the first lie in memory, the rest on disk."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any, Final, Literal, overload

from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.redaction import redact, redact_places
from persistence_fsspec.store import Digest, ObjectInfo
from persistence_fsspec.transfer.index import from_plain, plain
from persistence_fsspec.transfer.spill import LISTED_IN_MEMORY, SpillingList

Status = Literal["copied", "skipped", "failed", "deleted"]

_SHOWN: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """One file of a transfer.

    Attributes:
        key: Its key in the store it came from; empty when none was found.
        info: What it was when it was copied.
        source: URL it came from, without credentials.
        target: URL it went to, or should have gone to.
        status: ``copied``, ``skipped`` (nothing to do), ``failed``, or ``deleted`` (it was not at the source).
        bytes: Moved for it.
        digest: Of the bytes that were moved, computed on the way.
        verification: What was compared with the stores: a digest's name, ``readback``, ``size``; empty for nothing.
        attempts: How often it was begun.
        seconds: Spent on it.
        error: Why it failed.
        method: How it was moved: ``server-side``, ``ranged``, ``streamed`` or ``local``.
        reason: Why it was skipped, or what of it could not be kept.
    """

    key: str = field(default="", repr=False)
    info: ObjectInfo | None = field(default=None, repr=False, compare=False)
    source: str
    target: str
    status: Status
    bytes: int = 0
    digest: Digest | None = None
    verification: str = ""
    attempts: int = 1
    seconds: float = 0.0
    error: PersistenceError | None = None
    method: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", redact_places(self.source))
        object.__setattr__(self, "target", redact_places(self.target))

    def __reduce__(self) -> tuple[Any, ...]:
        values = {name: getattr(self, name) for name in _FIELDS}
        return _unpickled, ({**values, "key": redact_places(self.key)},)

    def __copy__(self) -> FileOutcome:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> FileOutcome:
        return self

    @property
    def why(self) -> str:
        """The error, or the reason, on one line; empty where there is nothing to say."""
        text = redact(self.error.message) if self.error is not None else self.reason
        return " ".join(text.split())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "status": self.status,
            "bytes": self.bytes,
            "digest": ":".join(self.digest) if self.digest else None,
            "method": self.method,
            "verification": self.verification,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 6),
            "reason": redact(self.reason),
            "error": redact(str(self.error)) if self.error else None,
        }


_FIELDS: Final = tuple(one.name for one in fields(FileOutcome))


class _Some(Sequence[FileOutcome]):
    """Outcomes that are looked up when they are asked for; equal to any sequence of equal ones."""

    _status: Status | None = None

    def __init__(self, kept: SpillingList[FileOutcome]) -> None:
        self._kept = kept

    def __len__(self) -> int:
        return len(self._kept) if self._status is None else self._kept.count(self._status)

    def __iter__(self) -> Iterator[FileOutcome]:
        return self._kept.values(self._status)

    @overload
    def __getitem__(self, index: int) -> FileOutcome: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[FileOutcome, ...]: ...

    def __getitem__(self, index: int | slice) -> FileOutcome | tuple[FileOutcome, ...]:
        if isinstance(index, slice):
            return self._slice(*index.indices(len(self)))
        number = index + len(self) if index < 0 else index
        if not 0 <= number < len(self):
            raise IndexError(index)
        return self._kept[number] if self._status is None else next(self._kept.values(self._status, number))

    def _slice(self, start: int, stop: int, step: int) -> tuple[FileOutcome, ...]:
        if step < 0:
            return tuple(self[number] for number in range(start, stop, step))
        return tuple(islice(self._kept.values(self._status, start), 0, max(0, stop - start), step))

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, Sequence) or isinstance(other, str | bytes):
            return NotImplemented
        return len(self) == len(other) and all(mine == its for mine, its in zip(self, other, strict=False))

    __hash__ = None  # type: ignore[assignment]  # as of a list: it may have grown since

    def __repr__(self) -> str:
        shown = [repr(one) for one in self[:_SHOWN]]
        more = [f"... and {len(self) - _SHOWN:,} more"] if len(self) > _SHOWN else []
        return f"({', '.join([*shown, *more])}{',' if len(shown) == 1 and not more else ''})"


class OutcomesOf(_Some):
    """Those of one status, in the order they ended."""

    def __init__(self, kept: SpillingList[FileOutcome], status: Status) -> None:
        super().__init__(kept)
        self._status = status

    def __reduce__(self) -> tuple[Any, ...]:
        return tuple, (list(self),)


class Outcomes(_Some):
    """All files of a transfer, in the order they ended.

    Args:
        outcomes: To begin with.
        in_memory: So many lie in memory, the rest on disk.
    """

    def __init__(self, outcomes: Iterable[FileOutcome] = (), *, in_memory: int = LISTED_IN_MEMORY) -> None:
        super().__init__(SpillingList(_dump, _load, lambda one: one.status, in_memory=in_memory))
        self.bytes = 0
        """Moved in all."""
        self.verifications: set[str] = set()
        """What the copied files were verified by."""
        for outcome in outcomes:
            self.add(outcome)

    def add(self, outcome: FileOutcome) -> None:
        """One more has ended."""
        self.bytes += outcome.bytes
        if outcome.status == "copied" and outcome.verification:
            self.verifications.add(outcome.verification)
        self._kept.append(outcome)

    append = add  # what unpickling calls it

    def count(self, value: Any) -> int:
        """How many are of a status, which is known without looking at them; or equal an outcome."""
        return self._kept.count(value) if isinstance(value, str) else super().count(value)

    def of(self, status: Status) -> Sequence[FileOutcome]:
        """Those of one status; how many there are is known without looking at them."""
        return OutcomesOf(self._kept, status)

    def __reduce__(self) -> tuple[Any, ...]:
        return Outcomes, (), None, iter(self)


def _unpickled(values: dict[str, Any]) -> FileOutcome:
    return FileOutcome(**values)


def _dump(outcome: FileOutcome) -> bytes:
    values = {name: getattr(outcome, name) for name in _FIELDS}
    values["info"] = plain(outcome.info) if outcome.info is not None else None
    try:
        return pickle.dumps(tuple(values.values()))
    except Exception:  # noqa: BLE001 - somebody has hung something onto the error
        error = values["error"]
        values["error"] = type(error)(error.message, operation=error.operation, url=error.url, hint=error.hint)
        return pickle.dumps(tuple(values.values()))


def _load(data: bytes) -> FileOutcome:
    values = dict(zip(_FIELDS, pickle.loads(data), strict=True))  # noqa: S301 - from a file that nobody else could open
    info = values["info"]
    return FileOutcome(**{**values, "info": from_plain(info) if info is not None else None})
