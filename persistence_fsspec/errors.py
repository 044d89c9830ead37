"""The errors of this package: each is ours and Python's at once.

``except FileNotFoundError`` and ``except PersistenceError`` both catch an
`ObjectNotFoundError`. What drivers raise becomes one of these in `foreign`.
"""

from __future__ import annotations

import errno as _errno
from typing import Any, ClassVar

from persistence_fsspec.redaction import redact as redact  # noqa: PLC0414 - also for those who look for it here

__all__ = [
    "AuthenticationError",
    "ChangedDuringReadError",
    "ChecksumMismatchError",
    "ConflictError",
    "ConnectionFailedError",
    "CredentialsExpiredError",
    "FolderNotEmptyError",
    "InvalidNameError",
    "InvalidOptionError",
    "IsAFolderError",
    "MissingDriverError",
    "NotAFolderError",
    "ObjectExistsError",
    "ObjectNotFoundError",
    "OperationTimeoutError",
    "PermissionDeniedError",
    "PersistenceError",
    "SecretPicklingError",
    "ServerFailedError",
    "StorageFullError",
    "StoreError",
    "ThrottledError",
    "TransferError",
    "TruncatedError",
    "UnknownProtocolError",
    "UnsupportedPersistenceOp",
]


class PersistenceError(Exception):
    """Base class; catch this to catch everything.

    What it is given to say loses its secrets here, so that no caller has to think of them.

    Attributes:
        message: The cause, in one sentence.
        operation: What was being done, as a verb: ``"read"``.
        url: Where, with credentials removed. Safe to log.
        hint: What to do next; empty when there is nothing to add.
        retryable: Whether trying again may help. The retry layer sets it to
            False once it has given up, so that an outer retry does not multiply.
        retry_after_seconds: How long the store asks to wait before the next try; None when it does not say.
    """

    retryable: bool = False
    retry_after_seconds: float | None = None
    in_doubt: bool = False
    """Of a write on condition: an earlier attempt got no answer, and may have been done and replaced since."""

    def __init__(self, message: str, *, operation: str = "", url: str = "", hint: str = "") -> None:
        message = redact(message)
        super().__init__(message)
        self.message, self.operation, self.url, self.hint = message, operation, redact(url), redact(hint)

    def __str__(self) -> str:
        where = " ".join(part for part in (self.operation, self.url) if part)
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n{self.hint}" if self.hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, dict(self.__dict__))


def _rebuild(cls: type[PersistenceError], message: str, state: dict[str, Any]) -> PersistenceError:
    error = cls.__new__(cls, message)
    PersistenceError.__init__(error, message)  # ImportError keeps its text outside of args and __dict__
    error.__dict__.update(state)
    return error


class StoreError(PersistenceError, OSError):
    """The store failed in a way that has no better name here."""

    errno: ClassVar[int | None] = _errno.EIO  # type: ignore[misc]


class ObjectNotFoundError(PersistenceError, FileNotFoundError):
    """Nothing is stored under that key."""

    errno: ClassVar[int | None] = _errno.ENOENT  # type: ignore[misc]


class ObjectExistsError(PersistenceError, FileExistsError):
    """Something is stored there already, and the caller asked not to replace it."""

    errno: ClassVar[int | None] = _errno.EEXIST  # type: ignore[misc]


class IsAFolderError(PersistenceError, IsADirectoryError):
    """The operation needs a file, or ``recursive=True``, and found a folder."""

    errno: ClassVar[int | None] = _errno.EISDIR  # type: ignore[misc]


class NotAFolderError(PersistenceError, NotADirectoryError):
    """A part of the name that should be a folder is a file."""

    errno: ClassVar[int | None] = _errno.ENOTDIR  # type: ignore[misc]


class FolderNotEmptyError(PersistenceError, OSError):
    """The folder still holds something."""

    errno: ClassVar[int | None] = _errno.ENOTEMPTY  # type: ignore[misc]


class PermissionDeniedError(PersistenceError, PermissionError):
    """The store knows who asks, and says no."""

    errno: ClassVar[int | None] = _errno.EACCES  # type: ignore[misc]


class AuthenticationError(PermissionDeniedError):
    """The store does not accept the credentials, there are none, or the server cannot prove who it is."""


class CredentialsExpiredError(AuthenticationError):
    """The credentials were good once; new ones are needed."""


class ConnectionFailedError(PersistenceError, ConnectionError):
    """The store could not be reached, or the connection broke."""

    errno: ClassVar[int | None] = _errno.ECONNABORTED  # type: ignore[misc]
    retryable = True


class OperationTimeoutError(PersistenceError, TimeoutError):
    """The store did not answer in time."""

    errno: ClassVar[int | None] = _errno.ETIMEDOUT  # type: ignore[misc]
    retryable = True


class ThrottledError(PersistenceError, OSError):
    """The store asks to be called less often."""

    errno: ClassVar[int | None] = _errno.EBUSY  # type: ignore[misc]
    retryable = True


class ServerFailedError(PersistenceError, OSError):
    """The store answered that it failed (HTTP 5xx and its relatives)."""

    errno: ClassVar[int | None] = _errno.EIO  # type: ignore[misc]
    retryable = True


class StorageFullError(PersistenceError, OSError):
    """No room, or no quota, for these bytes."""

    errno: ClassVar[int | None] = _errno.ENOSPC  # type: ignore[misc]


class ConflictError(PersistenceError, OSError):
    """The object is no longer the version that the caller named."""

    errno: ClassVar[int | None] = _errno.ESTALE  # type: ignore[misc]


class ChangedDuringReadError(ConflictError):
    """The object was replaced while it was being read; nothing mixed was returned."""

    retryable = True


class ChecksumMismatchError(PersistenceError, OSError):
    """What arrived is not what was sent."""

    errno: ClassVar[int | None] = _errno.EIO  # type: ignore[misc]
    retryable = True


class TruncatedError(PersistenceError, EOFError):
    """Fewer bytes arrived than the store had promised."""

    retryable = True


class InvalidNameError(PersistenceError, ValueError):
    """A name this store cannot hold faithfully, or that would leave its root."""


class InvalidOptionError(PersistenceError, ValueError):
    """An option that cannot mean what was asked."""


class SecretPicklingError(PersistenceError, TypeError):
    """Pickling this would take secrets along; a `SecretReference` in their place may travel."""


class UnknownProtocolError(PersistenceError, ValueError):
    """No driver is registered for this protocol."""


class MissingDriverError(PersistenceError, ImportError):
    """The protocol is known, and the package that speaks it is not installed."""


class UnsupportedPersistenceOp(PersistenceError, NotImplementedError):  # noqa: N818 - the name frameworks already catch
    """This store cannot do that, or cannot do it safely; `capabilities` says so beforehand."""


class TransferError(PersistenceError):
    """Some files of a transfer did not arrive; the rest did.

    Not an `OSError` on purpose: frameworks repeat a whole tree on an `OSError`,
    anonymously, and so hide the report.

    Attributes:
        report: The `TransferReport`, one outcome per file.
    """

    def __init__(self, message: str, *, report: Any = None, **where: str) -> None:
        super().__init__(message, **where)
        self.report = report
