"""Removing what runs that ended badly left at a store, and nothing that somebody may still need."""

from __future__ import annotations

import re
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from persistence_fsspec.attempt import pause
from persistence_fsspec.errors import ConflictError, InvalidOptionError, ObjectNotFoundError, PersistenceError
from persistence_fsspec.redaction import redact, redact_places
from persistence_fsspec.store import Leftover, Store
from persistence_fsspec.stores.partial import aside_target

Age = timedelta | float | int | str
"""A timedelta, seconds, or text: ``"90s"``, ``"12h"``, ``"1d"``."""

HOUR: Final = 3600.0
"""What was written to since may belong to a transfer that is still running."""

_UNITS: Final = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": HOUR, "d": 24 * HOUR, "w": 7 * 24 * HOUR}
_AGE: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)\s*")
_SWAP_SECONDS: Final = 3.0
_SHOWN: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GcOutcome:
    """One leftover, and what became of it.

    Attributes:
        url: Where it lies, without credentials; of an upload, the object it was to become.
        leftover: What the store says of it; None of a folder that could not be listed.
        reason: Why it was kept.
        error: Why it could not be removed, or the folder not be listed.
    """

    url: str
    leftover: Leftover | None = None
    reason: str = ""
    error: PersistenceError | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", redact_places(self.url))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = self.leftover
        return {
            "url": self.url,
            "kind": found.kind if found else "folder",
            "ours": found.ours if found else False,
            "upload": found.token if found and found.kind == "upload" else None,
            "size": found.size if found else None,
            "modified": found.modified.isoformat() if found and found.modified else None,
            "reason": self.reason or None,
            "error": redact(str(self.error)) if self.error else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GcReport:
    """What `gc` found, and did.

    Attributes:
        url: Below which it looked, without credentials.
        removed: What is gone; in a dry run, what would go.
        kept: What stays, and why.
        failed: What could not be removed, and folders that could not be listed.
        dry_run: Nothing was removed.
    """

    url: str
    removed: tuple[GcOutcome, ...] = field(default_factory=tuple)
    kept: tuple[GcOutcome, ...] = field(default_factory=tuple)
    failed: tuple[GcOutcome, ...] = field(default_factory=tuple)
    dry_run: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", redact_places(self.url))

    @property
    def bytes(self) -> int:
        """Of what was removed, as far as the store says; it does not of uploads."""
        return sum(one.leftover.size or 0 for one in self.removed if one.leftover is not None)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "operation": "gc",
            "url": self.url,
            "dry_run": self.dry_run,
            "bytes": self.bytes,
            "removed": [one.as_dict() for one in self.removed],
            "kept": [one.as_dict() for one in self.kept],
            "failed": [one.as_dict() for one in self.failed],
        }

    def __repr__(self) -> str:
        done = "would remove" if self.dry_run else "removed"
        parts = [f"{done} {len(self.removed)}, {self.bytes} bytes", *([f"kept {len(self.kept)}"] if self.kept else [])]
        parts += [f"{len(self.failed)} FAILED"] if self.failed else []
        return f"<gc of {self.url}: {'; '.join(parts)}>"

    def _repr_html_(self) -> str:
        import html  # noqa: PLC0415 - for notebooks

        done = "would be removed" if self.dry_run else "removed"
        found = [("FAILED", one) for one in self.failed] + [(done, one) for one in self.removed]
        found += [("kept", one) for one in self.kept]
        rows = "".join(
            f"<tr><td>{word}</td><td>{html.escape(one.url)}</td><td>{html.escape(one.reason or redact(str(one.error or '')))}</td></tr>"
            for word, one in found[:_SHOWN]
        )
        more = f"<p>… and {len(found) - _SHOWN} more</p>" if len(found) > _SHOWN else ""
        return f"<p>{html.escape(repr(self))}</p><table>{rows}</table>{more}"


def seconds_of(age: Age) -> float:
    """An age in seconds.

    Raises:
        InvalidOptionError: It cannot be understood, or is negative.

    Examples:
        >>> seconds_of("12h"), seconds_of("1d"), seconds_of(90), seconds_of(timedelta(minutes=2))
        (43200.0, 86400.0, 90.0, 120.0)
    """
    if isinstance(age, timedelta):
        found = age.total_seconds()
    elif isinstance(age, (int, float)) and not isinstance(age, bool):
        found = float(age)
    else:
        match = _AGE.fullmatch(str(age).lower())
        if match is None or match[2] not in _UNITS:
            raise InvalidOptionError(f"{age!r} is no age", hint="Say 90s, 30m, 12h, 1d or 2w.")
        found = float(match[1]) * _UNITS[match[2]]
    if not 0 <= found < float("inf"):
        raise InvalidOptionError(f"{age!r} is no age", hint="Say 90s, 30m, 12h, 1d or 2w.")
    return found


def _spelled(seconds: float) -> str:
    """In the largest unit that is whole."""
    unit = next((unit for unit in ("w", "d", "h", "m") if seconds and not seconds % _UNITS[unit]), "s")
    return f"{seconds / _UNITS[unit]:g}{unit}"


def collect(
    store: Store,
    key: str,
    *,
    resumable: Collection[str] = (),
    given_up: Collection[str] = (),
    foreign: bool = False,
    older_than: Age | None = None,
    dry_run: bool = False,
    workers: int = 8,
) -> GcReport:
    """Remove what is left over at and below a key.

    Args:
        store: Where.
        key: The folder, or the object.
        resumable: Tokens of uploads that a transfer of this machine can still take up; they are kept.
        given_up: Tokens of uploads that are ours, and that nobody goes on with.
        foreign: Also unfinished uploads that do not carry our mark; needs *older_than*.
        older_than: Only what was not written to for that long, by the clocks of the store and of this machine; an hour unless said
            otherwise.
        dry_run: Remove nothing.
        workers: How many at once.

    Raises:
        InvalidOptionError: *foreign* without *older_than*, or an age that cannot be understood.
        PersistenceError: The store cannot be searched.
    """
    if foreign and older_than is None:
        raise InvalidOptionError(
            "foreign=True needs older_than: a young upload of somebody else may be under way",
            operation="gc",
            hint="Say foreign=True, older_than='1d'.",
        )
    judge = _Judge(
        _names(resumable), _names(given_up), foreign=foreign, seconds=HOUR if older_than is None else seconds_of(older_than)
    )
    failed: list[GcOutcome] = []
    kept: list[GcOutcome] = []
    doomed: list[Leftover] = []
    for found in store.leftovers(key, on_error=lambda folder, exc: failed.append(GcOutcome(url=store.url(folder), error=exc))):
        reason = judge(found)
        if reason:
            kept.append(_outcome(store, found, reason=reason))
        else:
            doomed.append(found)
    outcomes = [_foreseen(store, found) for found in doomed] if dry_run else _remove(store, doomed, workers)
    failed += [one for one in outcomes if one.error is not None]
    kept += [one for one in outcomes if one.reason]
    gone = tuple(one for one in outcomes if one.error is None and not one.reason)
    return GcReport(url=store.url(key), removed=gone, kept=tuple(kept), failed=tuple(failed), dry_run=dry_run)


def _names(tokens: Collection[str]) -> frozenset[str]:
    """What the stores call these uploads: the first word of each token."""
    return frozenset(token.partition(" ")[0] for token in tokens) - {""}


class _Judge:
    """Says why a leftover stays; nothing when it may go."""

    def __init__(self, tokens: frozenset[str], given_up: frozenset[str], *, foreign: bool, seconds: float) -> None:
        self._tokens, self._given_up, self._foreign, self._seconds = tokens, given_up, foreign, seconds
        self._now = datetime.now(tz=timezone.utc)

    def __call__(self, found: Leftover) -> str:
        if {found.token, found.key.rpartition("/")[2]} & self._tokens:
            return "a transfer of this machine that was cut off can go on with it: see persist resume, and its --forget"
        if not found.ours and not self._foreign and found.token not in self._given_up:
            return "not ours; foreign=True, older_than='1d' removes it"
        if found.modified is None:
            return "its age is not known; older_than='0s' removes it" if self._seconds else ""
        if (self._now - found.modified).total_seconds() < self._seconds:
            return f"younger than {_spelled(self._seconds)}; whoever writes it may still be at work"
        return ""


def _outcome(store: Store, found: Leftover, *, reason: str = "", error: PersistenceError | None = None) -> GcOutcome:
    return GcOutcome(url=store.url(found.key), leftover=found, reason=reason, error=error)


def _remove(store: Store, doomed: list[Leftover], workers: int) -> list[GcOutcome]:
    waiting = [found for found in doomed if found.kind == "aside"]
    with ThreadPoolExecutor(workers, thread_name_prefix="persistence-fsspec") as pool:
        done = list(pool.map(lambda found: _discarded(store, found), (found for found in doomed if found.kind != "aside")))
    if waiting:
        # Its time is that of the old content, so it does not tell whether a swap is going on this very moment.
        pause(_SWAP_SECONDS)
    return done + [_settled(store, found) for found in waiting]


def _discarded(store: Store, found: Leftover) -> GcOutcome:
    try:
        store.discard(found)
    except PersistenceError as exc:
        return _outcome(store, found, error=exc)
    return _outcome(store, found)


def _settled(store: Store, found: Leftover) -> GcOutcome:
    """Of an old version in waiting: removed when its successor is there; otherwise it has its name back."""
    try:
        target = _missing_target(store, found)
        store.discard(found)
    except ConflictError as exc:
        return _outcome(store, found, reason=exc.message)
    except PersistenceError as exc:
        return _outcome(store, found, error=exc)
    return _outcome(store, found, reason=f"was the only copy of {store.url(target)}, and has its name back" if target else "")


def _foreseen(store: Store, found: Leftover) -> GcOutcome:
    """What a dry run says."""
    if found.kind != "aside":
        return _outcome(store, found)
    target = _missing_target(store, found)
    return _outcome(
        store, found, reason=f"is the only copy of {store.url(target)}, and would get its name back" if target else ""
    )


def _missing_target(store: Store, found: Leftover) -> str | None:
    target = aside_target(found.key)
    if target is None:
        return None
    try:
        store.info(target)
    except ObjectNotFoundError:
        return target
    return None
