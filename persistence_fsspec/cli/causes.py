"""Why files of a transfer did not arrive: equal causes told once, however many files they concern."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from persistence_fsspec.errors import ConflictError, ObjectNotFoundError, PersistenceError, TransferError
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

_NOT_TRIED: Final = "not tried: "
_GIVEN_UP: Final = re.compile(r"; given up after \d+ attempts$")
_PATH_IN_URL: Final = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.\-]*://[^/\s'\"]*/)[^\s'\",;)]+")
_NAME_LONGEST: Final = 100
_EXAMPLES: Final = 20
_MESSAGE_LONGEST: Final = 240


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason, and how many files it concerns.

    Attributes:
        message: In one sentence, without what differs from file to file.
        files: How many.
        examples: The first of them, as names below the source.
        error: Of the first one.
    """

    message: str
    files: int
    examples: tuple[str, ...]
    error: PersistenceError

    @property
    def example(self) -> str:
        """One of them."""
        return self.examples[0]


def report_of(exc: PersistenceError) -> TransferReport | None:
    """The report of a transfer that failed, if it is one."""
    found = exc.report if isinstance(exc, TransferError) else None
    return found if isinstance(found, TransferReport) and found.failed else None


def causes(exc: PersistenceError) -> list[Cause]:
    """The reasons of a transfer's failures, the most frequent first; of any other error none."""
    report = report_of(exc)
    if report is None:
        return []
    counts: Counter[tuple[type, str]] = Counter()
    first: dict[tuple[type, str], list[FileOutcome]] = {}
    for file in report.failed:
        kind = (type(file.error), _message(file))
        counts[kind] += 1
        if counts[kind] <= _EXAMPLES:  # there may be millions
            first.setdefault(kind, []).append(file)
    return [
        Cause(kind[1], count, tuple(_name(file, report) for file in first[kind]), _error(first[kind][0]))
        for kind, count in counts.most_common()
    ]


def sole_cause(exc: PersistenceError) -> Cause | None:
    """The one reason why nothing at all was copied; None when something was, or there are several reasons."""
    report = report_of(exc)
    if report is None or report.operation == "delete" or report.copied or any(map(_is_there, report.skipped)):
        return None
    found = causes(exc)
    return found[0] if len(found) == 1 else None


def _is_there(skipped: FileOutcome) -> bool:
    """Whether it was skipped for being there, and not for being a link or an empty folder."""
    return "symbolic link" not in skipped.reason and "empty folder" not in skipped.reason


def refused_deletion(exc: PersistenceError) -> PersistenceError | None:
    """Why a sync deleted nothing, when that is all that went wrong: no file failed then, although the report counts it as one."""
    report = report_of(exc)
    if report is None or report.operation != "sync" or len(report.failed) != 1:
        return None
    only = report.failed[0]
    return only.error if only.source == report.target and isinstance(only.error, ConflictError) else None


def errors_of(exc: PersistenceError) -> Iterator[PersistenceError]:
    """The error itself, or those of a transfer's files, one for each reason."""
    report = report_of(exc)
    if report is None:
        yield exc
    else:
        yield from (cause.error for cause in causes(exc))


def is_bucket_missing(exc: PersistenceError) -> bool:
    """Whether it is the bucket, and not an object, that is not there."""
    return isinstance(exc, ObjectNotFoundError) and exc.message.removeprefix(_NOT_TRIED).startswith("bucket")


def _error(file: FileOutcome) -> PersistenceError:
    return file.error or PersistenceError("unknown", url=file.source)


def _message(file: FileOutcome) -> str:
    """Without the names of the file, so that equal reasons read equal."""
    error = _error(file)
    text = _GIVEN_UP.sub("", error.message.removeprefix(_NOT_TRIED))
    for name in sorted({file.source, file.target, error.url, file.key} - {""}, key=len, reverse=True):
        if "/" in name or len(name) > 3:  # a short plain name may be part of any word
            text = text.replace(name, "it")
    return _shortened(_PATH_IN_URL.sub(r"\1...", text), _MESSAGE_LONGEST)


def _name(file: FileOutcome, report: TransferReport) -> str:
    below = file.source.removeprefix(report.source).lstrip("/")
    return _shortened(unquote(below) if below.count("%") > 2 else below or file.source, _NAME_LONGEST)


def _shortened(text: str, longest: int) -> str:
    """The beginning and the end, where a name's meaning is."""
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"
