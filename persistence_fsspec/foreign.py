"""Everybody else's errors, and which of ours they are: one table, and how it is read.

Foreign errors are recognised by the dotted name of their class, so that
translating them never imports a driver. What the table does not know passes
through untouched: a bug should look like a bug.
"""

from __future__ import annotations

import errno as _errno
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

from persistence_fsspec.errors import (
    AuthenticationError,
    ChangedDuringReadError,
    ChecksumMismatchError,
    ConflictError,
    ConnectionFailedError,
    CredentialsExpiredError,
    FolderNotEmptyError,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    MissingDriverError,
    NotAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    PersistenceError,
    ServerFailedError,
    StorageFullError,
    StoreError,
    ThrottledError,
    TruncatedError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.redaction import redact, stand_in

_ErrorType = type[PersistenceError]

_BY_STATUS: Final[Mapping[int, _ErrorType]] = {
    401: AuthenticationError,
    407: AuthenticationError,
    403: PermissionDeniedError,
    404: ObjectNotFoundError,
    405: UnsupportedPersistenceOp,
    408: OperationTimeoutError,
    409: ConflictError,
    410: ObjectNotFoundError,
    412: ConflictError,
    414: InvalidNameError,
    423: ThrottledError,
    420: ThrottledError,  # lakeFS's
    429: ThrottledError,
    501: UnsupportedPersistenceOp,
    503: ThrottledError,
    504: OperationTimeoutError,
    507: StorageFullError,
    509: ThrottledError,
}

# Codes inside the answer say more than the status: S3 answers 403 for four different troubles, 400 for others,
# Azure 409 for twenty.
_BY_CODE: Final[Mapping[str, _ErrorType]] = {
    # S3
    "NoSuchKey": ObjectNotFoundError,
    "NoSuchBucket": ObjectNotFoundError,
    "NoSuchVersion": ObjectNotFoundError,
    "NoSuchUpload": StoreError,  # a multipart upload that is gone; the object may well be there
    "AccessDenied": PermissionDeniedError,
    "AllAccessDisabled": PermissionDeniedError,
    "InvalidAccessKeyId": AuthenticationError,
    "InvalidClientTokenId": AuthenticationError,
    "SignatureDoesNotMatch": AuthenticationError,
    "AuthorizationHeaderMalformed": AuthenticationError,
    "RequestTimeTooSkewed": AuthenticationError,
    "InvalidToken": AuthenticationError,
    "ExpiredToken": CredentialsExpiredError,
    "ExpiredTokenException": CredentialsExpiredError,
    "RequestExpired": CredentialsExpiredError,
    "TokenRefreshRequired": CredentialsExpiredError,
    "PreconditionFailed": ConflictError,
    "ConditionalRequestConflict": ConflictError,
    "OperationAborted": ThrottledError,  # "a conflicting operation is in progress, try again"
    "BucketAlreadyExists": ObjectExistsError,
    "BucketAlreadyOwnedByYou": ObjectExistsError,
    "BucketNotEmpty": FolderNotEmptyError,
    "SlowDown": ThrottledError,
    "ServiceUnavailable": ThrottledError,
    "Throttling": ThrottledError,
    "ThrottlingException": ThrottledError,
    "TooManyRequests": ThrottledError,
    "RequestLimitExceeded": ThrottledError,
    "RequestTimeout": OperationTimeoutError,
    "InternalError": ServerFailedError,
    "QuotaExceeded": StorageFullError,
    "XMinioStorageFull": StorageFullError,
    "KeyTooLongError": InvalidNameError,
    "InvalidBucketName": InvalidNameError,
    "BadDigest": ChecksumMismatchError,
    "XAmzContentChecksumMismatch": ChecksumMismatchError,
    "XAmzContentSHA256Mismatch": ChecksumMismatchError,
    "IncompleteBody": TruncatedError,
    "NotImplemented": UnsupportedPersistenceOp,
    # Azure
    "BlobNotFound": ObjectNotFoundError,
    "ContainerNotFound": ObjectNotFoundError,
    "PathNotFound": ObjectNotFoundError,
    "ResourceNotFound": ObjectNotFoundError,
    "AuthenticationFailed": AuthenticationError,
    "InvalidAuthenticationInfo": AuthenticationError,
    "NoAuthenticationInformation": AuthenticationError,
    "PublicAccessNotPermitted": AuthenticationError,
    "BlobImmutableDueToPolicy": PermissionDeniedError,
    "ConditionNotMet": ConflictError,
    "TargetConditionNotMet": ConflictError,
    "BlobAlreadyExists": ObjectExistsError,
    "ContainerAlreadyExists": ObjectExistsError,
    "PathAlreadyExists": ObjectExistsError,
    "ResourceAlreadyExists": ObjectExistsError,
    "DirectoryNotEmpty": FolderNotEmptyError,
    "LeaseAlreadyPresent": ThrottledError,  # somebody holds it; waiting helps
    "LeaseIdMissing": ThrottledError,
    "ContainerBeingDeleted": ThrottledError,
    "PendingCopyOperation": ThrottledError,
    "ServerBusy": ThrottledError,
    "OperationTimedOut": OperationTimeoutError,
    "InvalidResourceName": InvalidNameError,
    "Md5Mismatch": ChecksumMismatchError,
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
    _errno.EFBIG: StorageFullError,
    _errno.ENAMETOOLONG: InvalidNameError,
    _errno.ETIMEDOUT: OperationTimeoutError,
    _errno.EBUSY: ThrottledError,
    _errno.ETXTBSY: ThrottledError,
    _errno.EAGAIN: ThrottledError,
    _errno.ECONNREFUSED: ConnectionFailedError,
    _errno.ECONNRESET: ConnectionFailedError,
    _errno.ECONNABORTED: ConnectionFailedError,
    _errno.EPIPE: ConnectionFailedError,
    _errno.EHOSTUNREACH: ConnectionFailedError,
    _errno.ENETUNREACH: ConnectionFailedError,
    _errno.ENOTCONN: ConnectionFailedError,
    _errno.ESHUTDOWN: ConnectionFailedError,
    _errno.ENETDOWN: ConnectionFailedError,
    _errno.ENETRESET: ConnectionFailedError,
    _errno.EHOSTDOWN: ConnectionFailedError,
    _errno.ESTALE: ConflictError,
    _errno.ENOSYS: UnsupportedPersistenceOp,
    _errno.ENOTSUP: UnsupportedPersistenceOp,
    _errno.EOPNOTSUPP: UnsupportedPersistenceOp,
    _errno.EXDEV: UnsupportedPersistenceOp,
}

# NTSTATUS values: https://learn.microsoft.com/openspecs/windows_protocols/ms-erref
_BY_NTSTATUS: Final[Mapping[int, _ErrorType]] = {
    0xC000000F: ObjectNotFoundError,  # no such file
    0xC0000034: ObjectNotFoundError,  # name not found
    0xC000003A: ObjectNotFoundError,  # path not found
    0xC00000CC: ObjectNotFoundError,  # no such share
    0xC0000225: ObjectNotFoundError,  # not found
    0xC0000035: ObjectExistsError,
    0xC0000022: PermissionDeniedError,
    0xC0000061: PermissionDeniedError,  # a privilege is missing
    0xC00000A2: PermissionDeniedError,  # write-protected
    0xC0000121: PermissionDeniedError,  # cannot delete
    0xC000006A: AuthenticationError,  # wrong password
    0xC000006D: AuthenticationError,  # logon failure
    0xC0000072: AuthenticationError,  # account disabled
    0xC0000234: AuthenticationError,  # account locked out
    0xC0000071: CredentialsExpiredError,  # password expired
    0xC0000224: CredentialsExpiredError,  # password must change
    0xC0000043: ThrottledError,  # sharing violation: somebody has it open; waiting helps
    0xC0000054: ThrottledError,  # file lock conflict
    0xC0000056: ThrottledError,  # delete pending
    0xC00000D0: ThrottledError,  # request not accepted: too many connections
    0xC0000205: ThrottledError,  # insufficient server resources
    0xC000009A: ServerFailedError,  # insufficient resources
    0xC00000E5: ServerFailedError,  # internal error
    0xC00000B0: ConnectionFailedError,  # pipe disconnected
    0xC00000C9: ConnectionFailedError,  # network name deleted
    0xC000014B: ConnectionFailedError,  # pipe broken
    0xC0000203: ConnectionFailedError,  # user session deleted
    0xC0000466: ConnectionFailedError,  # server unavailable
    0xC00000B5: OperationTimeoutError,
    0xC0000011: TruncatedError,  # end of file
    0xC0000044: StorageFullError,  # quota exceeded
    0xC000007F: StorageFullError,  # disk full
    0xC00000BA: IsAFolderError,
    0xC0000103: NotAFolderError,
    0xC0000101: FolderNotEmptyError,
    0xC0000033: InvalidNameError,
    0xC0000039: InvalidNameError,
    0xC000003B: InvalidNameError,
    0xC0000010: UnsupportedPersistenceOp,  # invalid device request
    0xC00000BB: UnsupportedPersistenceOp,
}

# SSH_FXP_STATUS codes of the SFTP drafts, used by asyncssh.
_BY_SFTP_CODE: Final[Mapping[int, _ErrorType]] = {
    1: TruncatedError,  # end of file
    2: ObjectNotFoundError,
    3: PermissionDeniedError,
    5: ConnectionFailedError,  # bad message
    6: ConnectionFailedError,
    7: ConnectionFailedError,
    8: UnsupportedPersistenceOp,
    10: ObjectNotFoundError,
    11: ObjectExistsError,
    12: PermissionDeniedError,  # write-protected
    14: StorageFullError,
    15: StorageFullError,
    17: ThrottledError,  # locked by somebody
    18: FolderNotEmptyError,
    19: NotAFolderError,
    20: InvalidNameError,
    22: PermissionDeniedError,  # cannot delete
    24: IsAFolderError,
    25: ThrottledError,  # byte range locked by somebody
    26: ThrottledError,
    27: ThrottledError,  # delete pending
}

# What servers and drivers say where they give no code; the first match wins, upper and lower case are one.
_Words = Mapping[str, _ErrorType]

# Of FTP servers after 550, which RFC 959 leaves free, and of cp on an SSH server.
_FILE_WORDS: Final[_Words] = {
    r"name not allowed|prohibited file ?name|name too long": InvalidNameError,
    r"denied|not permitted|privilege|forbidden|not allowed|read.?only|authori[sz]ed": PermissionDeniedError,
    r"no such|not found|does ?n.t exist|cannot find|can't find|not exist": ObjectNotFoundError,
    r"not empty": FolderNotEmptyError,
    r"already exists|file exists": ObjectExistsError,
    r"no space|disk full|quota": StorageFullError,
    r"being used by another|busy|locked": ThrottledError,
    r"is a directory": IsAFolderError,
    r"not a directory": NotAFolderError,
}
# Names of Java classes, of hdfs-native's own errors (at the beginning), and what webhdfs leaves of a message.
_HADOOP_WORDS: Final[_Words] = {
    r"(File|Path)NotFoundException": ObjectNotFoundError,
    r"AccessControlException|AuthorizationException": PermissionDeniedError,
    r"SecretManager\$InvalidToken|\bInvalidToken\b": CredentialsExpiredError,
    r"SaslException|GSSException|KerberosAuthException|^(SASLError|GSSAPIError|NoSASLMechanism)\b": AuthenticationError,
    r"FileAlreadyExistsException|^AlreadyExists\b": ObjectExistsError,
    r"PathIsNotEmptyDirectoryException": FolderNotEmptyError,
    r"PathIsDirectoryException|^IsADirectoryError\b": IsAFolderError,
    r"ParentNotDirectoryException|PathIsNotDirectoryException|^parent path is not a directory": NotAFolderError,
    r"QuotaExceededException|DiskOutOfSpaceException|^the (diskspace|namespace) quota\b": StorageFullError,
    r"SafeModeException|RetriableException|AlreadyBeingCreatedException|NotReplicatedYetException": ThrottledError,
    r"name node is in safe mode": ThrottledError,
    r"StandbyException|\bjava\.net\.|not supported in state standby|^FatalRPCError\b": ConnectionFailedError,
    r"LeaseExpiredException": ConflictError,
    r"InvalidPathException|PathComponentTooLongException|^InvalidPath\b": InvalidNameError,
    r"^(InvalidArgument|UrlParseError)\b": InvalidOptionError,
    r"ChecksumException|^ChecksumError\b": ChecksumMismatchError,
    r"java\.lang\.UnsupportedOperationException|RpcNoSuchMethodException|^Unsupported\w+\(": UnsupportedPersistenceOp,
    r"^(DataTransferError|InvalidRPCResponse)\b": ServerFailedError,
    r"\b(java|javax|org\.apache)\.[\w.$]+(Exception|Error)\b": StoreError,
    r"^(BlocksNotFound|ErasureCodingError|InternalError|OperationFailed|RPCError)\b": StoreError,
}
_OSERROR_WORDS: Final[_Words] = {
    r"^Forbidden: ": PermissionDeniedError,  # gcsfs, for 403
    r"^Socket is closed": ConnectionFailedError,  # paramiko
}
_VALUE_WORDS: Final[_Words] = {
    r"^Can't create any SFTP connections": ConnectionFailedError,  # sshfs, once its connection is lost
    r"^Bad Request: ": StoreError,  # gcsfs, for most of 4xx and 5xx
    r"illegal newline|not a valid DFS filename": InvalidNameError,  # ftplib, webhdfs
    r"^Invalid endpoint: ": InvalidOptionError,  # botocore
}
_SSH_WORDS: Final[_Words] = {
    r"host key|known_hosts|private key|authentication": AuthenticationError,
    r"time(d )?out": OperationTimeoutError,
}
_TLS_WORDS: Final[_Words] = {r"certificate": AuthenticationError}
_SMB_WORDS: Final[_Words] = {r"time(d )?out": OperationTimeoutError}
_HTTPX_WORDS: Final[_Words] = {r"complete message": TruncatedError}
# What obstore prints of its own inner life.
_OBSTORE_WORDS: Final[_Words] = {
    r"\bTimeout\b|TimedOut": OperationTimeoutError,
    r"body error": TruncatedError,
    r"\bConnect\b|Interrupted|IncompleteMessage|ConnectionReset|BrokenPipe|SendRequest": ConnectionFailedError,
}
_OBSTORE_STATUS: Final = re.compile(r"Server returned non-2xx status code: (\d{3})")
_OBSTORE_CODE: Final = re.compile(r"<Code>(\w+)</Code>")


def _text(exc: BaseException) -> str:
    if isinstance(exc, PersistenceError):
        return exc.message
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - some drivers compute their text, and fail at it
        return ""


def _by_words(text: str, words: _Words) -> _ErrorType | None:
    return next((kind for pattern, kind in words.items() if re.search(pattern, text, re.IGNORECASE)), None)


def _worded(words: _Words, otherwise: _ErrorType | None) -> Callable[[BaseException], _ErrorType | None]:
    return lambda exc: _by_words(_text(exc), words) or otherwise


def _http_status(exc: BaseException) -> int | None:
    """The HTTP status of an error of any of the client libraries, wherever it keeps it."""
    answer = getattr(exc, "response", None)
    if isinstance(answer, Mapping):  # botocore
        status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status if isinstance(status, int) else None
    for owner in (exc, answer):
        for name in ("status_code", "status", "code"):  # aiohttp warns whoever asks for its code; it has a status
            value = getattr(owner, name, None)
            if isinstance(value, int) or (isinstance(value, str) and value.isdecimal()):
                return int(value)
    return None


def _service_code(exc: BaseException) -> str:
    answer = getattr(exc, "response", None)
    if isinstance(answer, Mapping):
        return str(answer.get("Error", {}).get("Code", ""))
    code = getattr(exc, "error_code", "")
    return str(getattr(code, "value", code) or "")  # Azure's codes are an enum, unless they are new


def _from_http(exc: BaseException) -> _ErrorType:
    known = _BY_CODE.get(_service_code(exc))
    if known:
        return known
    status = _http_status(exc) or 0
    return _BY_STATUS.get(status) or (ServerFailedError if status >= 500 else StoreError)


def _from_google(exc: BaseException) -> _ErrorType:
    """Errors of gRPC may lack the HTTP status that their class stands for; then it is one of the server."""
    return ServerFailedError if _http_status(exc) is None else _from_http(exc)


def _from_azure_conflict(exc: BaseException) -> _ErrorType:
    """Every 409 is a ResourceExistsError there, also a lease or a frozen blob."""
    code = _service_code(exc)
    return _BY_CODE.get(code, StoreError if code else ObjectExistsError)


def _from_webdav(exc: BaseException) -> _ErrorType:
    """409 to a change: what should be its folder is missing, or a file (RFC 4918)."""
    method = getattr(getattr(exc, "request", None), "method", "")
    changes = method in {"COPY", "MKCOL", "MOVE", "PUT"}
    return NotAFolderError if changes and _http_status(exc) == 409 else _from_http(exc)


# Names stand in quotes, or begin with a slash; what is in them is no reason.
_FTP_NAMES = re.compile(r'"[^"]*"|/.*?: |/\S*')


def _from_ftp(exc: BaseException) -> _ErrorType:
    """Most servers say everything with 550; the words after it decide (RFC 959 leaves them free)."""
    text = _text(exc)
    code, words = text[:3], _FTP_NAMES.sub(" ", text[3:])
    if code in {"331", "332", "430"} or code.startswith("53"):
        return AuthenticationError
    if code in {"421", "425", "426", "434"} or not code.startswith(("4", "5")):
        return ConnectionFailedError  # nothing else: the answers have lost step with the commands
    if code in {"452", "552"}:
        return StorageFullError
    known = _by_words(words, _FILE_WORDS)
    if known:
        return known
    if code.startswith("4"):
        return ThrottledError if code == "450" else ServerFailedError
    if code.startswith("50"):
        return UnsupportedPersistenceOp
    return StoreError


def _from_errno(exc: BaseException) -> _ErrorType | None:
    number = getattr(exc, "errno", None)
    return _BY_ERRNO.get(number) if isinstance(number, int) else None


def _from_smb(exc: BaseException) -> _ErrorType:
    status = getattr(exc, "ntstatus", getattr(exc, "status", None))
    known = _BY_NTSTATUS.get(status) if isinstance(status, int) else None
    return known or _from_errno(exc) or StoreError


def _from_obstore(exc: BaseException) -> _ErrorType:
    status = http_status_in(exc)
    if status is None:
        return _by_words(_text(exc), _OBSTORE_WORDS) or StoreError
    code = _OBSTORE_CODE.search(_text(exc))
    known = _BY_CODE.get(code[1]) if code else None
    return known or _BY_STATUS.get(status) or (ServerFailedError if status >= 500 else StoreError)


def _from_sftp(exc: BaseException) -> _ErrorType:
    return _BY_SFTP_CODE.get(getattr(exc, "code", 4), StoreError)


def _from_ssh_command(exc: BaseException) -> _ErrorType:
    return _by_words(str(getattr(exc, "stderr", "")), _FILE_WORDS) or StoreError


def _from_missing(exc: BaseException) -> _ErrorType:
    """Missing; but fsspec's ftp and http call every failure so, without an errno, and then its cause decides."""
    cause = exc.__cause__
    guessed = getattr(exc, "errno", None) is None and cause is not None and _classify_one(cause) is not None
    return StoreError if guessed else ObjectNotFoundError


def _from_permission(exc: BaseException) -> _ErrorType:
    """Denied; on Windows also a file that somebody has open or locked."""
    return ThrottledError if getattr(exc, "winerror", None) in {32, 33} else PermissionDeniedError


def _from_hadoop(exc: BaseException) -> _ErrorType | None:
    """By the name of the Java class in the text; a path may hold such names too."""
    return _by_words(re.sub(r"/\S*", " ", _text(exc)), _HADOOP_WORDS)


def _from_oserror(exc: BaseException) -> _ErrorType:
    return _from_errno(exc) or _by_words(_text(exc), _OSERROR_WORDS) or _from_hadoop(exc) or StoreError


_Rule = _ErrorType | Callable[[BaseException], "_ErrorType | None"]

# Keys are "module.Class" of any class along the error's MRO, most specific first. Grouped by library.
_BY_CLASS: Final[Mapping[str, _Rule]] = {
    # botocore (s3fs)
    "botocore.exceptions.ClientError": _from_http,
    "botocore.exceptions.CredentialRetrievalError": AuthenticationError,
    "botocore.exceptions.LoginError": AuthenticationError,
    "botocore.exceptions.MetadataRetrievalError": AuthenticationError,
    "botocore.exceptions.NoAuthTokenError": AuthenticationError,
    "botocore.exceptions.NoCredentialsError": AuthenticationError,
    "botocore.exceptions.PartialCredentialsError": AuthenticationError,
    "botocore.exceptions.SSOError": AuthenticationError,
    "botocore.exceptions.LoginRefreshRequired": CredentialsExpiredError,
    "botocore.exceptions.LoginTokenLoadError": CredentialsExpiredError,
    "botocore.exceptions.RefreshWithMFAUnsupportedError": CredentialsExpiredError,
    "botocore.exceptions.SSOTokenLoadError": CredentialsExpiredError,
    "botocore.exceptions.TokenRetrievalError": CredentialsExpiredError,
    "botocore.exceptions.UnauthorizedSSOTokenError": CredentialsExpiredError,
    "botocore.exceptions.ConnectTimeoutError": OperationTimeoutError,
    "botocore.exceptions.ReadTimeoutError": OperationTimeoutError,
    "botocore.exceptions.SSLError": _worded(_TLS_WORDS, ConnectionFailedError),
    "botocore.exceptions.HTTPClientError": ConnectionFailedError,
    "botocore.exceptions.ConnectionError": ConnectionFailedError,
    "botocore.exceptions.IncompleteReadError": TruncatedError,
    "botocore.exceptions.ResponseStreamingError": TruncatedError,
    "botocore.exceptions.ChecksumError": ChecksumMismatchError,
    "botocore.exceptions.FlexibleChecksumError": ChecksumMismatchError,
    "botocore.exceptions.InvalidDNSNameError": InvalidNameError,
    "botocore.exceptions.ParamValidationError": InvalidNameError,
    "botocore.exceptions.ConfigNotFound": InvalidOptionError,
    "botocore.exceptions.ConfigParseError": InvalidOptionError,
    "botocore.exceptions.InvalidConfigError": InvalidOptionError,
    "botocore.exceptions.InvalidProxiesConfigError": InvalidOptionError,
    "botocore.exceptions.InvalidRegionError": InvalidOptionError,
    "botocore.exceptions.InvalidRetryConfigurationError": InvalidOptionError,
    "botocore.exceptions.InvalidS3AddressingStyleError": InvalidOptionError,
    "botocore.exceptions.NoRegionError": InvalidOptionError,
    "botocore.exceptions.ProfileNotFound": InvalidOptionError,
    "botocore.exceptions.UnknownEndpointError": InvalidOptionError,
    "botocore.exceptions.MissingDependencyException": MissingDriverError,
    "botocore.exceptions.BotoCoreError": StoreError,
    "botocore.parsers.ResponseParserError": ServerFailedError,
    "fsspec.exceptions.FSTimeoutError": OperationTimeoutError,
    "s3fs.utils.FileExpired": ChangedDuringReadError,
    # aiohttp (s3fs, gcsfs, http, adlfs)
    "aiohttp.client_exceptions.ClientResponseError": _from_http,
    "aiohttp.client_exceptions.ClientConnectorCertificateError": AuthenticationError,
    "aiohttp.client_exceptions.ServerFingerprintMismatch": AuthenticationError,
    "aiohttp.client_exceptions.ServerTimeoutError": OperationTimeoutError,
    "aiohttp.client_exceptions.ClientPayloadError": TruncatedError,
    "aiohttp.client_exceptions.InvalidURL": InvalidNameError,
    "aiohttp.client_exceptions.NonHttpUrlClientError": InvalidNameError,
    "aiohttp.client_exceptions.InvalidUrlRedirectClientError": StoreError,
    "aiohttp.client_exceptions.NonHttpUrlRedirectClientError": StoreError,
    "aiohttp.client_exceptions.RedirectClientError": StoreError,
    "aiohttp.client_exceptions.ClientError": ConnectionFailedError,
    # Google
    "gcsfs.retry.HttpError": _from_http,
    "gcsfs.retry.ChecksumError": ChecksumMismatchError,
    "gcsfs.retry.NonRetryableError": StoreError,
    "google.auth.exceptions.RefreshError": CredentialsExpiredError,
    "google.auth.exceptions.TransportError": ConnectionFailedError,
    "google.auth.exceptions.TimeoutError": OperationTimeoutError,
    "google.auth.exceptions.GoogleAuthError": AuthenticationError,
    "google.api_core.exceptions.AlreadyExists": ObjectExistsError,
    "google.api_core.exceptions.FailedPrecondition": ConflictError,
    "google.api_core.exceptions.TransferStalledError": OperationTimeoutError,
    "google.api_core.exceptions.ServerError": _from_google,
    "google.api_core.exceptions.GoogleAPICallError": _from_http,
    "google.api_core.exceptions.RetryError": OperationTimeoutError,
    "google.api_core.exceptions.DuplicateCredentialArgs": InvalidOptionError,
    "google.api_core.exceptions.GoogleAPIError": StoreError,
    # Azure
    "azure.core.exceptions.ClientAuthenticationError": AuthenticationError,
    "azure.core.exceptions.IncompleteReadError": TruncatedError,
    "azure.core.exceptions.ServiceRequestTimeoutError": OperationTimeoutError,
    "azure.core.exceptions.ServiceResponseTimeoutError": OperationTimeoutError,
    "azure.core.exceptions.ServiceRequestError": ConnectionFailedError,
    "azure.core.exceptions.ServiceResponseError": ConnectionFailedError,
    "azure.core.exceptions.ResourceNotFoundError": ObjectNotFoundError,
    "azure.core.exceptions.ResourceModifiedError": ConflictError,
    "azure.core.exceptions.ResourceExistsError": _from_azure_conflict,
    "azure.core.exceptions.HttpResponseError": _from_http,
    "azure.core.exceptions.DeserializationError": StoreError,
    "azure.core.exceptions.AzureError": StoreError,
    # requests, urllib3 (webhdfs, gcsfs' tokens)
    "requests.exceptions.HTTPError": _from_http,
    "requests.exceptions.ConnectTimeout": OperationTimeoutError,  # a ConnectionError too
    "requests.exceptions.Timeout": OperationTimeoutError,
    "requests.exceptions.RetryError": ServerFailedError,
    "requests.exceptions.ChunkedEncodingError": TruncatedError,
    "requests.exceptions.ContentDecodingError": TruncatedError,
    "requests.exceptions.SSLError": _worded(_TLS_WORDS, ConnectionFailedError),
    "requests.exceptions.ConnectionError": ConnectionFailedError,
    "requests.exceptions.InvalidProxyURL": InvalidOptionError,
    "requests.exceptions.InvalidURL": InvalidNameError,
    "requests.exceptions.MissingSchema": InvalidNameError,
    "requests.exceptions.InvalidSchema": InvalidNameError,
    "requests.exceptions.RequestException": StoreError,
    "urllib3.exceptions.NewConnectionError": ConnectionFailedError,  # a ConnectTimeoutError for old times' sake
    "urllib3.exceptions.TimeoutError": OperationTimeoutError,
    "urllib3.exceptions.ResponseError": ServerFailedError,
    "urllib3.exceptions.IncompleteRead": TruncatedError,
    "urllib3.exceptions.InvalidChunkLength": TruncatedError,
    "urllib3.exceptions.DecodeError": TruncatedError,
    "urllib3.exceptions.ProxySchemeUnknown": InvalidOptionError,
    "urllib3.exceptions.ProxySchemeUnsupported": InvalidOptionError,
    "urllib3.exceptions.LocationValueError": InvalidNameError,
    "urllib3.exceptions.SSLError": _worded(_TLS_WORDS, ConnectionFailedError),
    "urllib3.exceptions.HTTPError": ConnectionFailedError,
    # httpx, webdav4
    "httpx.HTTPStatusError": _from_webdav,
    "httpx.TimeoutException": OperationTimeoutError,
    "httpx.RemoteProtocolError": _worded(_HTTPX_WORDS, ConnectionFailedError),
    "httpx.DecodingError": TruncatedError,
    "httpx.LocalProtocolError": StoreError,
    "httpx.UnsupportedProtocol": InvalidNameError,
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
    "webdav4.client.HTTPError": _from_webdav,
    "webdav4.client.ClientError": StoreError,
    "webdav4.multistatus.MultiStatusResponseError": StoreError,
    # FTP
    "ftplib.error_proto": ConnectionFailedError,
    "ftplib.Error": _from_ftp,
    # SSH: paramiko
    "paramiko.ssh_exception.AuthenticationException": AuthenticationError,
    "paramiko.ssh_exception.BadHostKeyException": AuthenticationError,
    "paramiko.ssh_exception.NoValidConnectionsError": ConnectionFailedError,
    "paramiko.ssh_exception.ConfigParseError": InvalidOptionError,
    "paramiko.ssh_exception.CouldNotCanonicalize": InvalidOptionError,
    "paramiko.ssh_exception.IncompatiblePeer": StoreError,
    "paramiko.ssh_exception.SSHException": _worded(_SSH_WORDS, ConnectionFailedError),
    "paramiko.sftp.SFTPError": StoreError,
    # SSH: asyncssh (sshfs)
    "asyncssh.sftp.SFTPError": _from_sftp,
    "asyncssh.misc.PermissionDenied": AuthenticationError,
    "asyncssh.misc.IllegalUserName": AuthenticationError,
    "asyncssh.misc.HostKeyNotVerifiable": AuthenticationError,
    "asyncssh.public_key.KeyImportError": AuthenticationError,
    "asyncssh.pbe.KeyEncryptionError": AuthenticationError,
    "asyncssh.config.ConfigParseError": InvalidOptionError,
    "asyncssh.misc.KeyExchangeFailed": StoreError,
    "asyncssh.misc.Error": ConnectionFailedError,
    "asyncssh.packet.PacketDecodeError": ConnectionFailedError,
    "asyncssh.process.TimeoutError": OperationTimeoutError,
    "asyncssh.process.ProcessError": _from_ssh_command,
    # SMB
    "smbprotocol.exceptions.SMBAuthenticationError": AuthenticationError,
    "smbprotocol.exceptions.SMBConnectionClosed": ConnectionFailedError,
    "smbprotocol.exceptions.SMBLinkRedirectionError": StoreError,
    "smbprotocol.exceptions.SMBUnsupportedFeature": UnsupportedPersistenceOp,
    "smbprotocol.exceptions.SMBOSError": _from_smb,
    "smbprotocol.exceptions.SMBResponseException": _from_smb,
    "smbprotocol.exceptions.SMBException": _worded(_SMB_WORDS, ConnectionFailedError),
    "spnego.exceptions.SpnegoError": AuthenticationError,
    # obstore, the accelerator
    "obstore.exceptions.AlreadyExistsError": ObjectExistsError,
    "obstore.exceptions.PreconditionError": ConflictError,
    "obstore.exceptions.NotSupportedError": UnsupportedPersistenceOp,
    "obstore.exceptions.InvalidPathError": InvalidNameError,
    "obstore.exceptions.UnauthenticatedError": AuthenticationError,
    "obstore.exceptions.BaseError": _from_obstore,
    # lakeFS
    "lakefs.exceptions.NotFoundException": ObjectNotFoundError,
    "lakefs.exceptions.ObjectExistsException": ObjectExistsError,
    "lakefs.exceptions.NotAuthorizedException": AuthenticationError,
    "lakefs.exceptions.ForbiddenException": PermissionDeniedError,
    "lakefs.exceptions.PermissionException": _from_http,  # also of a 401
    "lakefs.exceptions.ServerException": _from_http,
    "lakefs.exceptions.NoAuthenticationFound": AuthenticationError,
    "lakefs.exceptions.LakeFSException": StoreError,
    # Python's own; the most general last
    "zipfile.BadZipFile": StoreError,
    "zipfile.LargeZipFile": StoreError,
    "tarfile.TarError": StoreError,
    "zlib.error": StoreError,
    "ssl.SSLError": _worded(_TLS_WORDS, ConnectionFailedError),  # its errno is OpenSSL's, not the system's
    "builtins.FileNotFoundError": _from_missing,
    "builtins.FileExistsError": ObjectExistsError,
    "builtins.IsADirectoryError": IsAFolderError,
    "builtins.NotADirectoryError": NotAFolderError,
    "builtins.PermissionError": _from_permission,
    "builtins.TimeoutError": OperationTimeoutError,
    "asyncio.exceptions.TimeoutError": OperationTimeoutError,
    "concurrent.futures._base.TimeoutError": OperationTimeoutError,
    "builtins.ConnectionError": ConnectionFailedError,
    "socket.gaierror": ConnectionFailedError,
    "socket.herror": ConnectionFailedError,
    "builtins.EOFError": ConnectionFailedError,  # ftplib: the other side hung up
    "builtins.UnicodeEncodeError": InvalidNameError,
    "builtins.NotImplementedError": UnsupportedPersistenceOp,
    "builtins.OSError": _from_oserror,
    "builtins.RuntimeError": _from_hadoop,
    "builtins.ValueError": _worded(_VALUE_WORDS, None),
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


# Said also by drivers that do not know better; any cause that is more definite wins.
_VAGUE: Final = (StoreError, ObjectNotFoundError)
# Never said by mistake, and often made from a cause that says less, as a 412 or 405 that means "exists already".
_SHARP: Final = (ChangedDuringReadError, FolderNotEmptyError, IsAFolderError, NotAFolderError, ObjectExistsError)


def _overrides(cause: _ErrorType, found: _ErrorType | None) -> bool:
    return found in {None, StoreError} or (found not in _SHARP and cause not in _VAGUE)


def _decide(exc: BaseException) -> tuple[_ErrorType | None, BaseException]:
    """What it is, and the first error along the chain that says so."""
    kind: _ErrorType | None = None
    speaker = exc
    for link in _causes(exc):
        found = _classify_one(link)
        if found is not None and found is not kind and _overrides(found, kind):
            kind, speaker = found, link
    return kind, speaker


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
    return _decide(exc)[0]


def http_status_in(exc: BaseException) -> int | None:
    """The HTTP status that an error of obstore tells of; None when no answer was understood."""
    found = _OBSTORE_STATUS.search(_text(exc))
    return int(found[1]) if found else None


def was_unreachable(exc: BaseException) -> bool:
    """Whether an error of obstore means that there was no connection, so that nothing was sent."""
    return "kind: Connect," in _text(exc)


def translate(exc: BaseException, *, operation: str, url: str) -> PersistenceError | None:
    """Make our error from a foreign one; None when the table does not know it.

    Args:
        exc: The foreign exception.
        operation: What was being done, as a verb.
        url: Where, already without credentials.
    """
    if isinstance(exc, PersistenceError):
        return exc
    kind, speaker = _decide(exc)
    if kind is None:
        return None
    message = _describe(speaker, kind)
    ours = kind(message, operation=operation, url=url, hint=_hint(kind, message, url))
    ours.retry_after_seconds = retry_after(exc)
    return ours


def retry_after(exc: BaseException) -> float | None:
    """How many seconds a server asks to wait, in the ``Retry-After`` of the answer behind an error or any of its causes.

    Args:
        exc: Any exception, with its ``__cause__`` chain.

    Returns:
        Not negative; a date counts from now, by this machine's clock. None when there is no such header, or no sense in it.
    """
    for link in _causes(exc):
        for name, value in _headers(link).items():
            if str(name).lower() == "retry-after":
                return _seconds(str(value).strip())
    return None


def _headers(exc: BaseException) -> Mapping[Any, Any]:
    """The headers of the answer that an error of any of the client libraries is about."""
    answer = getattr(exc, "response", None)
    if isinstance(answer, Mapping):  # botocore
        found: Any = answer.get("ResponseMetadata", {}).get("HTTPHeaders")
    else:
        found = getattr(answer, "headers", None) or getattr(exc, "headers", None)
    return found if hasattr(found, "items") else {}


def _seconds(text: str) -> float | None:
    """Of either form: seconds, or a date (RFC 9110, 10.2.3)."""
    if re.fullmatch(r"\d+(\.\d*)?", text, re.ASCII):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):  # which of them, depends on the version of Python
        return None
    utc = date if date.tzinfo else date.replace(tzinfo=timezone.utc)
    return max(0.0, (utc - datetime.now(tz=timezone.utc)).total_seconds())


def _hint(kind: _ErrorType, message: str, url: str) -> str:
    if kind is AuthenticationError and _UNTRUSTED.search(message):
        return _UNTRUSTED_HINT
    if kind is InvalidOptionError and message.startswith("Invalid endpoint"):
        return "An endpoint begins with http:// or https://."
    if url.startswith(("file:", "memory:")):  # no credentials, no connection
        return ""
    return _HINTS.get(kind, "")


_HINTS: Final[Mapping[_ErrorType, str]] = {
    AuthenticationError: "Credentials come from storage_options, then the URL, then the driver's own environment and "
    "configuration files; check the first of them that is set.",
    PermissionDeniedError: "These credentials may not do that, or are not the ones you mean: they come from storage_options, "
    "then the URL, then the driver's own environment and configuration files.",
    ConnectionFailedError: "Check the address: an endpoint or host in storage_options, in the URL, or in the driver's own "
    "environment, and whether something listens there.",
    CredentialsExpiredError: "Get new credentials; storage_options may be a function, which is asked each time.",
    ThrottledError: "The store asks for fewer requests at once: Policy(concurrency=...) lowers them.",
}


_UNTRUSTED: Final = re.compile(r"(?i)certificate|fingerprint|host key|known_hosts")
_UNTRUSTED_HINT: Final = (
    "It is the server that is not trusted, not you: check the address, and the certificates or host keys that "
    "this machine trusts."
)


def _describe(exc: BaseException, kind: _ErrorType) -> str:
    if kind is ObjectNotFoundError:
        codes = {_service_code(link) for link in _causes(exc)}
        return "bucket not found" if codes & {"ContainerNotFound", "NoSuchBucket"} else "not found"
    text = redact(" ".join(redact(_text(exc)).split()))
    name = type(exc).__name__
    return f"{text} ({name})" if text else name


@contextmanager
def translated(operation: str, url: str | Callable[[], str]) -> Iterator[None]:
    """Raise our errors instead of foreign ones inside the block.

    Args:
        operation: What is being done, as a verb.
        url: Where, without credentials; a function is only asked when something fails.

    Raises:
        PersistenceError: In place of every foreign error the table knows, and of every one that shows a secret. Its
            cause is the foreign error, or, when that or any of its causes shows a secret, a `RedactedError`.
    """
    try:
        yield
    except PersistenceError as exc:
        if exc.retry_after_seconds is None:
            exc.retry_after_seconds = retry_after(exc)
        exc.operation = exc.operation or operation
        exc.url = exc.url or redact(url if isinstance(url, str) else url())
        stand_in(exc)
        raise
    except Exception as exc:
        where = url if isinstance(url, str) else url()
        cause = stand_in(exc)
        ours = translate(exc, operation=operation, url=where)
        if ours is None:
            if cause is exc:
                raise
            ours = StoreError(_describe(exc, StoreError), operation=operation, url=where)
        try:
            raise ours from cause
        finally:
            ours.__context__ = cause  # Python has set it to the foreign error by itself
            del ours, cause  # or the error and this frame would keep each other, and all they refer to, alive
