"""The one table from error to exit status."""

from __future__ import annotations

from typing import Final

from persistence_fsspec.cli.causes import sole_cause
from persistence_fsspec.errors import (
    AuthenticationError,
    InvalidNameError,
    InvalidOptionError,
    MissingDriverError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PersistenceError,
    TransferError,
    UnknownProtocolError,
)

INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141

# Most specific first: the first match wins.
_TABLE: Final[tuple[tuple[type[PersistenceError], int, str], ...]] = (
    (TransferError, 3, "some files did not arrive (where none did, and all for one reason: that reason's code)"),
    (ObjectNotFoundError, 4, "not found"),
    (AuthenticationError, 5, "credentials missing, wrong or expired"),
    (PermissionDeniedError, 6, "permission denied"),
    (MissingDriverError, 7, "a driver is not installed"),
    (UnknownProtocolError, 2, "wrong use"),
    (InvalidOptionError, 2, "wrong use"),
    (InvalidNameError, 2, "wrong use"),
    (PersistenceError, 1, "any other failure"),
)
_SIGNALS: Final = {INTERRUPTED: "interrupted", CLOSED_PIPE: "the reader of the output went away"}


def exit_code(error: PersistenceError) -> int:
    """The status for an error; of a transfer that copied nothing, for one reason alone, the status of that reason.

    Examples:
        >>> exit_code(ObjectNotFoundError("x"))
        4
    """
    cause = sole_cause(error)
    told = error if cause is None else cause.error
    return next(code for kind, code, _ in _TABLE if isinstance(told, kind))


def explain() -> str:
    """The table, for ``--help``."""
    meanings = {0: "success"} | {code: text for _, code, text in _TABLE} | _SIGNALS
    return "Exit codes: " + "; ".join(f"{code} {meanings[code]}" for code in sorted(meanings)) + "."
