"""The errors of this package: each is ours and Python's at once.

``except FileNotFoundError`` and ``except PersistenceError`` both catch an
`ObjectNotFoundError`. What drivers raise becomes one of these in `foreign`.
"""

from __future__ import annotations

import errno as _errno
import re
from typing import Any, ClassVar

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

    Attributes:
        message: The cause, in one sentence.
        operation: What was being done, as a verb: ``"read"``.
        url: Where, with credentials removed. Safe to log.
        hint: What to do next; empty when there is nothing to add.
        retryable: Whether trying again may help. The retry layer sets it to
            False once it has given up, so that an outer retry does not multiply.
    """

    retryable: bool = False

    def __init__(self, message: str, *, operation: str = "", url: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.operation, self.url, self.hint = message, operation, url, hint

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


# --- secrets in foreign texts -------------------------------------------------

# "me:" and all up to the last "@" before the path. Passwords are often pasted as they are, with "@", ":" and even "/"
# in them; host:8080/x@y, C:/x@y and [::1]:80/x@y are no logins.
_USERINFO = re.compile(r"(?<=://)[^\s/:@\[]*:(?!\d+[/?#])(?:[^\s/]*@|(?!/)[^\s@]*@)")
# After "/" stands a folder like token=1, not a secret; a bare "key" is one only in a query. URLs may hold single
# quotes, so one ends the value only where a text goes on behind it.
_NAMED_SECRET = re.compile(
    r"""(?ix)
    ( (?: (?<! [\w/] ) (?<! continuation- )
          (?: x-(?:amz|goog)-(?:signature|credential|security-token|[a-z-]+-key)
            | sig | signature | sharedaccesssignature | credential | upload_id
            | aws_?access_?key_?id | googleaccessid | [a-z_-]*(?:secret|access|account|api|private)[_-]?key
            | (?:access|auth|id|refresh|sas|security|session)?[_-]?token
            | (?:access|account|api|aws|client|shared)?[_-]?(?:secret|password|passwd)
          )
        | (?<= [?&] ) key
      ) = )
    (?: '[^']*' (?= [,;:.)\]}>]* (?:\s|$) )
      | "[^"]*"
      | (?: [^&\s"'<>] | ' (?! [,;:.)\]}>]* (?:\s|$) ) )+
    )
    """
)


def redact(text: str) -> str:
    """Remove what would open a store from a text: ``user:password@`` and signed query values.

    Examples:
        >>> redact("ftp://me:secret@host/x?sig=abc&n=1")
        'ftp://***@host/x?sig=***&n=1'
    """
    return _NAMED_SECRET.sub(r"\1***", _USERINFO.sub("***@", text))
