"""When it is the store that fails, and not the files, the rest of a tree is not tried one by one."""

from __future__ import annotations

import threading
from typing import Final

from persistence_fsspec.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidOptionError,
    MissingDriverError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PersistenceError,
)

OF_THE_STORE: Final = (
    AuthenticationError,
    ConnectionFailedError,
    InvalidOptionError,
    MissingDriverError,
    OperationTimeoutError,
)
"""It is the store that fails, or the way to it, and not a file."""

_NO_BUCKET: Final = "bucket not found"

_AT_FIRST: Final = 8
"""Failures in a row that are enough while nothing has worked yet: a dead server, wrong credentials, a misspelt bucket."""

_LATER: Final = 64
"""Once something has worked the store may come back, and each failure has been repeated with patience already."""


class Breaker:
    """Counts failures that are the store's, in a row; shared by the workers of one transfer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._row = 0
        self._worked = False
        self._cause: PersistenceError | None = None

    def note(self, error: PersistenceError | None) -> None:
        """Hear how a file went; None is a success."""
        with self._lock:
            if error is None:
                self._row, self._worked = 0, True
            elif _is_of_the_store(error):
                self._row += 1
                if self._row >= (_LATER if self._worked else _AT_FIRST):
                    self._cause = error

    def refusal(self, url: str) -> PersistenceError | None:
        """Why a file is not even tried; None when it should be.

        Args:
            url: Of the file.
        """
        cause = self._cause
        if cause is None:
            return None
        error = type(cause)(f"not tried: {cause.message}", operation=cause.operation, url=url, hint=cause.hint)
        error.retryable = False
        return error


def _is_of_the_store(error: PersistenceError) -> bool:
    return isinstance(error, OF_THE_STORE) or (isinstance(error, ObjectNotFoundError) and error.message.startswith(_NO_BUCKET))
