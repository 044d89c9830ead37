"""What a diagnosis consists of, and how no check can hang."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

from persistence_fsspec.errors import OperationTimeoutError, PersistenceError
from persistence_fsspec.redaction import redact

_T = TypeVar("_T")

Status = Literal["ok", "warning", "problem", "skipped"]

CHECK_SECONDS: Final = 10.0
"""The longest that one check may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: ``ok``; ``warning``: works, or may work, and should be looked at; ``problem``: must be mended;
            ``skipped``: does not apply, or could not be asked.
        found: What was seen, without secrets.
        way_out: What to do; empty when there is nothing to do.
        error: Of a problem, the error that an operation would raise.
    """

    name: str
    status: Status
    found: str
    way_out: str = ""
    error: PersistenceError | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "found", redact(self.found))
        object.__setattr__(self, "way_out", redact(self.way_out))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "status": self.status,
            "found": self.found,
            "way_out": self.way_out,
            "error": type(self.error).__name__ if self.error else None,
        }


def ok(name: str, found: str, way_out: str = "") -> Check:
    """Nothing to mend."""
    return Check(name=name, status="ok", found=found, way_out=way_out)


def warning(name: str, found: str, way_out: str = "") -> Check:
    """Worth a look."""
    return Check(name=name, status="warning", found=found, way_out=way_out)


def skipped(name: str, found: str) -> Check:
    """Does not apply, or could not be asked."""
    return Check(name=name, status="skipped", found=found)


def problem(name: str, error: PersistenceError, way_out: str = "") -> Check:
    """An operation would fail, with this error."""
    return Check(name=name, status="problem", found=error.message, way_out=way_out or error.hint, error=error)


def within(seconds: float, act: Callable[[], _T]) -> _T:
    """Call a function that may never return, and wait no longer than that.

    Args:
        seconds: To wait. What is still busy then is left to itself, in a thread that does not keep the process alive.
        act: The function.

    Raises:
        OperationTimeoutError: It has not returned.
    """
    answers: list[_T] = []
    errors: list[BaseException] = []
    context = copy_context()

    def run() -> None:
        try:
            answers.append(context.run(act))
        except BaseException as exc:  # noqa: BLE001 - raised again where it was asked for
            errors.append(exc)

    thread = threading.Thread(target=run, name="persistence-fsspec-check", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not answers:
        raise OperationTimeoutError(f"no answer within {seconds:g} s")
    return answers[0]
