"""The errors of this package, and the one table that turns everybody else's into them.

Every error is ours and Python's at once: ``except FileNotFoundError`` and
``except PersistenceError`` both catch an `ObjectNotFoundError`. Foreign errors
are recognised by the dotted name of their class, so that translating them
never imports a driver. What the table does not know passes through
untouched: a bug should look like a bug.
"""

from __future__ import annotations

import errno as _errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final

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
    error.args = (message,)
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
    """The store does not accept the credentials, or there are none."""


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

_USERINFO = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*@")
_QUERY_SECRET = re.compile(
    r"(?i)\b(sig|signature|token|access_token|x-amz-[a-z-]+|x-goog-[a-z-]+|googleaccessid|awsaccesskeyid"
    r"|upload_id|password|secret|key)=[^&\s\"'>]+"
)


def redact(text: str) -> str:
    """Remove what would open a store from a text: ``user:password@`` and signed query values.

    Examples:
        >>> redact("ftp://me:secret@host/x?sig=abc&n=1")
        'ftp://***@host/x?sig=***&n=1'
    """
    return _QUERY_SECRET.sub(r"\1=***", _USERINFO.sub("***@", text))


# --- the table ----------------------------------------------------------------

_ErrorType = type[PersistenceError]

_BY_STATUS: Final[Mapping[int, _ErrorType]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: ObjectNotFoundError,
    405: UnsupportedPersistenceOp,
    408: OperationTimeoutError,
    409: ConflictError,
    410: ObjectNotFoundError,
    412: ConflictError,
    423: ThrottledError,
    429: ThrottledError,
    501: UnsupportedPersistenceOp,
    503: ThrottledError,
    504: OperationTimeoutError,
    507: StorageFullError,
}

# Codes inside the answer say more than the status: S3 answers 403 for four different troubles, 400 for others.
_BY_CODE: Final[Mapping[str, _ErrorType]] = {
    "NoSuchKey": ObjectNotFoundError,
    "NoSuchBucket": ObjectNotFoundError,
    "NoSuchVersion": ObjectNotFoundError,
    "BlobNotFound": ObjectNotFoundError,
    "ContainerNotFound": ObjectNotFoundError,
    "AccessDenied": PermissionDeniedError,
    "AllAccessDisabled": PermissionDeniedError,
    "InvalidAccessKeyId": AuthenticationError,
    "InvalidClientTokenId": AuthenticationError,
    "SignatureDoesNotMatch": AuthenticationError,
    "AuthorizationHeaderMalformed": AuthenticationError,
    "AuthenticationFailed": AuthenticationError,
    "RequestTimeTooSkewed": AuthenticationError,
    "InvalidToken": AuthenticationError,
    "ExpiredToken": CredentialsExpiredError,
    "ExpiredTokenException": CredentialsExpiredError,
    "TokenRefreshRequired": CredentialsExpiredError,
    "PreconditionFailed": ConflictError,
    "ConditionNotMet": ConflictError,
    "ConditionalRequestConflict": ConflictError,
    "BlobAlreadyExists": ObjectExistsError,
    "BucketAlreadyExists": ObjectExistsError,
    "BucketNotEmpty": FolderNotEmptyError,
    "SlowDown": ThrottledError,
    "ServerBusy": ThrottledError,
    "ServiceUnavailable": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TooManyRequests": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "RequestTimeout": OperationTimeoutError,
    "OperationTimedOut": OperationTimeoutError,
    "InternalError": ServerFailedError,
    "QuotaExceeded": StorageFullError,
    "XMinioStorageFull": StorageFullError,
    "KeyTooLongError": InvalidNameError,
    "InvalidBucketName": InvalidNameError,
    "BadDigest": ChecksumMismatchError,
    "Md5Mismatch": ChecksumMismatchError,
    "NotImplemented": UnsupportedPersistenceOp,
}

_BY_ERRNO: Final[Mapping[int, _ErrorType]] = {
    _errno.ENOENT: ObjectNotFoundError,
    _errno.EEXIST: ObjectExistsError,
    _errno.EACCES: PermissionDeniedError,
    _errno.EPERM: PermissionDeniedError,
    _errno.EROFS: PermissionDeniedError,
    _errno.EISDIR: IsAFolderError,
    _errno.ENOTDIR: NotAFolderError,
    _errno.ENOTEMPTY: FolderNotEmptyError,
    _errno.ENOSPC: StorageFullError,
    _errno.EDQUOT: StorageFullError,
    _errno.ENAMETOOLONG: InvalidNameError,
    _errno.ETIMEDOUT: OperationTimeoutError,
    _errno.EBUSY: ThrottledError,
    _errno.ECONNREFUSED: ConnectionFailedError,
    _errno.ECONNRESET: ConnectionFailedError,
    _errno.ECONNABORTED: ConnectionFailedError,
    _errno.EPIPE: ConnectionFailedError,
    _errno.EHOSTUNREACH: ConnectionFailedError,
    _errno.ENETUNREACH: ConnectionFailedError,
    _errno.ENOTCONN: ConnectionFailedError,
    _errno.ESTALE: ConflictError,
    _errno.ENOSYS: UnsupportedPersistenceOp,
    _errno.EOPNOTSUPP: UnsupportedPersistenceOp,
}

# NTSTATUS values: https://learn.microsoft.com/openspecs/windows_protocols/ms-erref
_BY_NTSTATUS: Final[Mapping[int, _ErrorType]] = {
    0xC0000043: ThrottledError,  # sharing violation: somebody has it open; waiting helps
    0xC0000022: PermissionDeniedError,
    0xC000006D: AuthenticationError,
    0xC000007F: StorageFullError,
    0xC0000034: ObjectNotFoundError,
    0xC000003A: ObjectNotFoundError,
    0xC0000035: ObjectExistsError,
    0xC0000101: FolderNotEmptyError,
}

# SSH_FXP_STATUS codes of the SFTP drafts, used by asyncssh.
_BY_SFTP_CODE: Final[Mapping[int, _ErrorType]] = {
    2: ObjectNotFoundError,
    3: PermissionDeniedError,
    4: StoreError,
    6: ConnectionFailedError,
    7: ConnectionFailedError,
    8: UnsupportedPersistenceOp,
    10: ObjectNotFoundError,
    11: ObjectExistsError,
    12: PermissionDeniedError,
    14: StorageFullError,
    15: StorageFullError,
    18: FolderNotEmptyError,
    19: NotAFolderError,
    20: InvalidNameError,
    24: IsAFolderError,
}


def _http_status(exc: BaseException) -> int | None:
    """The HTTP status of an error of any of the client libraries, wherever it keeps it."""
    answer = getattr(exc, "response", None)
    if isinstance(answer, Mapping):  # botocore
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for owner in (exc, answer):
        for name in ("status_code", "status", "code"):
            value = getattr(owner, name, None)
            if isinstance(value, int) and 400 <= value <= 599:
                return value
            if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value):
                return int(value)
    return None


def _service_code(exc: BaseException) -> str:
    answer = getattr(exc, "response", None)
    if isinstance(answer, Mapping):
        return str(answer.get("Error", {}).get("Code", ""))
    return str(getattr(exc, "error_code", "") or "")


def _from_http(exc: BaseException) -> _ErrorType | None:
    known = _BY_CODE.get(_service_code(exc))
    if known:
        return known
    status = _http_status(exc)
    if status is None:
        return None
    return _BY_STATUS.get(status) or (ServerFailedError if status >= 500 else StoreError)


_FTP_MISSING = re.compile(r"(?i)no such|not found|does ?n.t exist|cannot find|can't find|not exist")
_FTP_DENIED = re.compile(r"(?i)denied|not permitted|privilege|forbidden|not allowed|read.?only|authori[sz]ed")


def _from_ftp(exc: BaseException) -> _ErrorType:
    """Most servers say everything with 550; the words after it decide (RFC 959 leaves them free)."""
    text = str(exc)
    code = text[:3]
    if code in {"530", "332", "331"}:
        return AuthenticationError
    if code == "421":
        return ConnectionFailedError
    if code in {"425", "426"}:
        return ConnectionFailedError
    if code in {"450", "451"} or code.startswith("43"):
        return ThrottledError
    if code in {"452", "552"}:
        return StorageFullError
    if code in {"500", "501", "502", "503", "504"}:
        return UnsupportedPersistenceOp
    if _FTP_DENIED.search(text):
        return PermissionDeniedError
    if _FTP_MISSING.search(text):
        return ObjectNotFoundError
    return InvalidNameError if code == "553" else StoreError


def _from_errno(exc: BaseException) -> _ErrorType | None:
    number = getattr(exc, "errno", None)
    return _BY_ERRNO.get(number) if isinstance(number, int) else None


def _from_smb(exc: BaseException) -> _ErrorType:
    status = getattr(exc, "ntstatus", getattr(exc, "status", None))
    known = _BY_NTSTATUS.get(status) if isinstance(status, int) else None
    return known or _from_errno(exc) or StoreError


def _from_sftp(exc: BaseException) -> _ErrorType:
    return _BY_SFTP_CODE.get(getattr(exc, "code", 4), StoreError)


_JAVA: Final[Mapping[str, _ErrorType]] = {
    "FileNotFoundException": ObjectNotFoundError,
    "AccessControlException": PermissionDeniedError,
    "FileAlreadyExistsException": ObjectExistsError,
    "PathIsNotEmptyDirectoryException": FolderNotEmptyError,
    "ParentNotDirectoryException": NotAFolderError,
    "QuotaExceededException": StorageFullError,
    "SafeModeException": ThrottledError,
    "StandbyException": ConnectionFailedError,
    "InvalidToken": CredentialsExpiredError,
    "InvalidPathException": InvalidNameError,
}


def _from_java(exc: BaseException) -> _ErrorType | None:
    text = str(exc)
    return next((kind for name, kind in _JAVA.items() if name in text), None)


def _from_oserror(exc: BaseException) -> _ErrorType:
    return _from_java(exc) or _from_errno(exc) or StoreError


_Rule = _ErrorType | Callable[[BaseException], "_ErrorType | None"]

# Keys are "module.Class" of any class along the error's MRO, most specific first. Grouped by library.
_BY_CLASS: Final[Mapping[str, _Rule]] = {
    # botocore (s3fs)
    "botocore.exceptions.ClientError": _from_http,
    "botocore.exceptions.NoCredentialsError": AuthenticationError,
    "botocore.exceptions.PartialCredentialsError": AuthenticationError,
    "botocore.exceptions.CredentialRetrievalError": AuthenticationError,
    "botocore.exceptions.ProfileNotFound": InvalidOptionError,
    "botocore.exceptions.TokenRetrievalError": CredentialsExpiredError,
    "botocore.exceptions.SSOTokenLoadError": CredentialsExpiredError,
    "botocore.exceptions.UnauthorizedSSOTokenError": CredentialsExpiredError,
    "botocore.exceptions.ConnectTimeoutError": OperationTimeoutError,
    "botocore.exceptions.ReadTimeoutError": OperationTimeoutError,
    "botocore.exceptions.HTTPClientError": ConnectionFailedError,
    "botocore.exceptions.ConnectionError": ConnectionFailedError,
    "botocore.exceptions.IncompleteReadError": TruncatedError,
    "botocore.exceptions.ResponseStreamingError": TruncatedError,
    "botocore.exceptions.ChecksumError": ChecksumMismatchError,
    "botocore.exceptions.FlexibleChecksumError": ChecksumMismatchError,
    "botocore.httpchecksum.FlexibleChecksumError": ChecksumMismatchError,
    "botocore.exceptions.ParamValidationError": InvalidNameError,
    "botocore.exceptions.NoRegionError": InvalidOptionError,
    "botocore.exceptions.UnknownEndpointError": InvalidOptionError,
    "botocore.exceptions.InvalidRegionError": InvalidOptionError,
    "botocore.exceptions.BotoCoreError": StoreError,
    "fsspec.exceptions.FSTimeoutError": OperationTimeoutError,
    "s3fs.utils.FileExpired": ChangedDuringReadError,
    # aiohttp (s3fs, gcsfs, http, adlfs)
    "aiohttp.client_exceptions.ClientResponseError": _from_http,
    "aiohttp.client_exceptions.ServerTimeoutError": OperationTimeoutError,
    "aiohttp.client_exceptions.ClientPayloadError": TruncatedError,
    "aiohttp.client_exceptions.InvalidURL": InvalidNameError,
    "aiohttp.client_exceptions.ClientError": ConnectionFailedError,
    # Google
    "gcsfs.retry.HttpError": _from_http,
    "gcsfs.retry.ChecksumError": ChecksumMismatchError,
    "google.auth.exceptions.RefreshError": CredentialsExpiredError,
    "google.auth.exceptions.TransportError": ConnectionFailedError,
    "google.auth.exceptions.GoogleAuthError": AuthenticationError,
    "google.api_core.exceptions.GoogleAPICallError": _from_http,
    "google.api_core.exceptions.RetryError": OperationTimeoutError,
    "google.api_core.exceptions.GoogleAPIError": StoreError,
    # Azure
    "azure.core.exceptions.ClientAuthenticationError": AuthenticationError,
    "azure.core.exceptions.IncompleteReadError": TruncatedError,
    "azure.core.exceptions.ServiceRequestTimeoutError": OperationTimeoutError,
    "azure.core.exceptions.ServiceResponseTimeoutError": OperationTimeoutError,
    "azure.core.exceptions.ServiceRequestError": ConnectionFailedError,
    "azure.core.exceptions.ServiceResponseError": ConnectionFailedError,
    "azure.core.exceptions.ResourceModifiedError": ConflictError,
    "azure.core.exceptions.ResourceExistsError": ObjectExistsError,
    "azure.core.exceptions.HttpResponseError": lambda exc: _from_http(exc) or StoreError,
    "azure.core.exceptions.AzureError": StoreError,
    # requests, urllib3 (webhdfs, gcsfs' tokens)
    "requests.exceptions.HTTPError": _from_http,
    "requests.exceptions.Timeout": OperationTimeoutError,
    "requests.exceptions.ChunkedEncodingError": TruncatedError,
    "requests.exceptions.ContentDecodingError": TruncatedError,
    "requests.exceptions.ConnectionError": ConnectionFailedError,
    "requests.exceptions.InvalidURL": InvalidNameError,
    "requests.exceptions.MissingSchema": InvalidNameError,
    "requests.exceptions.InvalidSchema": InvalidNameError,
    "requests.exceptions.RequestException": StoreError,
    "urllib3.exceptions.TimeoutError": OperationTimeoutError,
    "urllib3.exceptions.IncompleteRead": TruncatedError,
    "urllib3.exceptions.HTTPError": ConnectionFailedError,
    # httpx, webdav4
    "httpx.HTTPStatusError": _from_http,
    "httpx.TimeoutException": OperationTimeoutError,
    "httpx.RemoteProtocolError": TruncatedError,
    "httpx.TransportError": ConnectionFailedError,
    "httpx.InvalidURL": InvalidNameError,
    "httpx.HTTPError": StoreError,
    "webdav4.client.ResourceNotFound": ObjectNotFoundError,
    "webdav4.client.ResourceAlreadyExists": ObjectExistsError,
    "webdav4.client.ForbiddenOperation": PermissionDeniedError,
    "webdav4.client.InsufficientStorage": StorageFullError,
    "webdav4.client.ResourceLocked": ThrottledError,
    "webdav4.client.BadGatewayError": ServerFailedError,
    "webdav4.client.ResourceConflict": NotAFolderError,
    "webdav4.client.IsACollectionError": IsAFolderError,
    "webdav4.client.IsAResourceError": NotAFolderError,
    "webdav4.client.HTTPError": _from_http,
    "webdav4.client.ClientError": StoreError,
    # FTP
    "ftplib.Error": _from_ftp,
    # SSH: paramiko
    "paramiko.ssh_exception.AuthenticationException": AuthenticationError,
    "paramiko.ssh_exception.PasswordRequiredException": AuthenticationError,
    "paramiko.ssh_exception.BadHostKeyException": AuthenticationError,
    "paramiko.ssh_exception.NoValidConnectionsError": ConnectionFailedError,
    "paramiko.ssh_exception.SSHException": ConnectionFailedError,
    "paramiko.sftp.SFTPError": StoreError,
    # SSH: asyncssh (sshfs)
    "asyncssh.sftp.SFTPError": _from_sftp,
    "asyncssh.misc.PermissionDenied": AuthenticationError,
    "asyncssh.misc.HostKeyNotVerifiable": AuthenticationError,
    "asyncssh.misc.KeyExchangeFailed": AuthenticationError,
    "asyncssh.misc.Error": ConnectionFailedError,
    "asyncssh.process.ProcessError": StoreError,
    # SMB
    "smbprotocol.exceptions.LogonFailure": AuthenticationError,
    "smbprotocol.exceptions.SMBAuthenticationError": AuthenticationError,
    "smbprotocol.exceptions.SMBConnectionClosed": ConnectionFailedError,
    "smbprotocol.exceptions.SMBOSError": _from_smb,
    "smbprotocol.exceptions.SMBResponseException": _from_smb,
    "smbprotocol.exceptions.SMBException": ConnectionFailedError,
    "spnego.exceptions.SpnegoError": AuthenticationError,
    # lakeFS
    "lakefs.exceptions.NotFoundException": ObjectNotFoundError,
    "lakefs.exceptions.ObjectExistsException": ObjectExistsError,
    "lakefs.exceptions.NotAuthorizedException": AuthenticationError,
    "lakefs.exceptions.ForbiddenException": PermissionDeniedError,
    "lakefs.exceptions.LakeFSException": StoreError,
    # Python's own; the most general last
    "zipfile.BadZipFile": StoreError,
    "tarfile.TarError": StoreError,
    "ssl.SSLCertVerificationError": AuthenticationError,
    "builtins.FileNotFoundError": ObjectNotFoundError,
    "builtins.FileExistsError": ObjectExistsError,
    "builtins.IsADirectoryError": IsAFolderError,
    "builtins.NotADirectoryError": NotAFolderError,
    "builtins.PermissionError": lambda exc: _BY_ERRNO.get(getattr(exc, "errno", 0) or 0, PermissionDeniedError),
    "builtins.TimeoutError": OperationTimeoutError,
    "asyncio.exceptions.TimeoutError": OperationTimeoutError,
    "concurrent.futures._base.TimeoutError": OperationTimeoutError,
    "builtins.ConnectionError": ConnectionFailedError,
    "socket.gaierror": ConnectionFailedError,
    "builtins.EOFError": ConnectionFailedError,  # ftplib: the other side hung up
    "builtins.UnicodeEncodeError": InvalidNameError,
    "builtins.NotImplementedError": UnsupportedPersistenceOp,
    "builtins.OSError": _from_oserror,
    "builtins.RuntimeError": _from_java,  # hdfs-native names the Java class in the text
}


def _classify_one(exc: BaseException) -> _ErrorType | None:
    if isinstance(exc, PersistenceError):
        return type(exc)
    for cls in type(exc).__mro__:
        rule = _BY_CLASS.get(f"{cls.__module__}.{cls.__qualname__}")
        if rule is None:
            continue
        found = rule if isinstance(rule, type) else rule(exc)
        if found is not None:
            return found
    return None


def _causes(exc: BaseException) -> list[BaseException]:
    chain = [exc]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


_VAGUE: Final = (StoreError, ObjectNotFoundError)


def classify(exc: BaseException) -> type[PersistenceError] | None:
    """Find the error of ours that says the same as a foreign one.

    Drivers wrap errors and often make them vaguer on the way: fsspec's ftp calls
    every failed read a `FileNotFoundError`, s3fs turns a failed condition into
    ``OSError(EINVAL)``. So the deepest cause that says something definite wins.

    Args:
        exc: Any exception, with its ``__cause__`` chain.

    Returns:
        The class, or None when the table does not know the error.
    """
    best: type[PersistenceError] | None = None
    for link in _causes(exc):
        found = _classify_one(link)
        if found is None:
            continue
        if found not in _VAGUE or best is None or best is StoreError:
            best = found
    return best


def translate(exc: BaseException, *, operation: str, url: str) -> PersistenceError | None:
    """Make our error from a foreign one; None when the table does not know it.

    Args:
        exc: The foreign exception.
        operation: What was being done, as a verb.
        url: Where, already without credentials.
    """
    if isinstance(exc, PersistenceError):
        return exc
    kind = classify(exc)
    if kind is None:
        return None
    return kind(_describe(exc, kind), operation=operation, url=url, hint=_HINTS.get(kind, ""))


_HINTS: Final[Mapping[_ErrorType, str]] = {
    AuthenticationError: "Credentials come from storage_options, then the URL, then the driver's own environment and "
    "configuration files; check the first of them that is set.",
    CredentialsExpiredError: "Get new credentials; storage_options may be a function, which is asked each time.",
    ThrottledError: "The store asks for fewer requests at once: Policy(concurrency=...) lowers them.",
}


def _describe(exc: BaseException, kind: _ErrorType) -> str:
    if kind is ObjectNotFoundError:
        return "bucket not found" if _service_code(_causes(exc)[-1]) == "NoSuchBucket" else "not found"
    text = redact(" ".join(str(exc).split()))
    name = type(exc).__name__
    return f"{text} ({name})" if text else name


@contextmanager
def translated(operation: str, url: str) -> Iterator[None]:
    """Raise our errors instead of foreign ones inside the block.

    Args:
        operation: What is being done, as a verb.
        url: Where, without credentials.

    Raises:
        PersistenceError: In place of every foreign error the table knows.
    """
    try:
        yield
    except PersistenceError as exc:
        exc.operation = exc.operation or operation
        exc.url = exc.url or url
        raise
    except Exception as exc:
        ours = translate(exc, operation=operation, url=url)
        if ours is None:
            raise
        try:
            raise ours from exc
        finally:
            del ours  # or the error and this frame would keep each other, and all they refer to, alive
