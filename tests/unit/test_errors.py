"""The error tree, the table that turns everybody else's errors into it, and what their texts may say."""

from __future__ import annotations

import asyncio
import copy
import errno
import ftplib
import inspect
import pickle
import socket
import ssl
import zipfile
import zlib
from types import SimpleNamespace

import fsspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from persistence_fsspec import errors, foreign
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
    SecretPicklingError,
    ServerFailedError,
    StorageFullError,
    StoreError,
    ThrottledError,
    TransferError,
    TruncatedError,
    UnknownProtocolError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import classify, translate, translated
from persistence_fsspec.redaction import is_open_address, redact, redact_address


def library(name):
    """A driver's module; without the driver its tests are skipped."""
    return pytest.importorskip(name, exc_type=ImportError)


def attribute(module, name):
    """A class of a driver; where an older driver has none, its tests are skipped."""
    return getattr(library(module), name, None) or pytest.skip(f"{module} has no {name}")


def caused(outer, *causes):
    """*outer*, raised from the first cause, raised from the next."""
    link = outer
    for cause in causes:
        link.__cause__ = cause
        link = cause
    return outer


# --- 1. the walk: no exception of a driver is unknown ---------------------------

MODULES = [
    "botocore.exceptions",
    "botocore.parsers",
    "s3fs.utils",
    "fsspec.exceptions",
    "aiohttp.client_exceptions",
    "gcsfs.retry",
    "google.auth.exceptions",
    "google.api_core.exceptions",
    "azure.core.exceptions",
    "azure.identity",
    "requests.exceptions",
    "urllib3.exceptions",
    "httpx",
    "webdav4.client",
    "webdav4.multistatus",
    "paramiko.ssh_exception",
    "paramiko.sftp",
    "asyncssh",
    "asyncssh.misc",
    "asyncssh.sftp",
    "smbprotocol.exceptions",
    "spnego.exceptions",
    "ftplib",
    "zipfile",
    "tarfile",
]

NOT_OURS = {
    "botocore.exceptions.MissingServiceIdError": "a service model without an id: a broken botocore",
    "botocore.exceptions.UndefinedModelAttributeError": "a service model without an attribute: a broken botocore",
    "botocore.eventstream.NoInitialResponseError": "event streams: no driver uses them",
    "fsspec.exceptions.BlocksizeMismatchError": "a cached file opened with another blocksize: a wrong argument",
    "aiohttp.client_exceptions.WSMessageTypeError": "websockets: no driver uses them",
    "azure.core.exceptions.SerializationError": "an argument of a type that Azure cannot send",
    "httpx.CookieConflict": "two cookies of one name, asked for by that name: no driver asks",
    "httpx.StreamError": "the caller's use of a body: twice, unread or closed",
    "httpx.StreamConsumed": "a body is read twice",
    "httpx.StreamClosed": "a body is read after closing",
    "httpx.ResponseNotRead": "the body of an answer is used before it is read",
    "httpx.RequestNotRead": "the body of a request is used before it is read",
    "asyncssh.misc.BreakReceived": "tells a server's session of its client",
    "asyncssh.misc.SignalReceived": "tells a server's session of its client",
    "asyncssh.misc.SoftEOFReceived": "tells a server's session of its client",
    "asyncssh.misc.TerminalSizeChanged": "tells a server's session of its client",
    "asyncssh.misc.PasswordChangeRequired": "raised by a server's own password check",
    "asyncssh.misc.ChannelListenError": "port forwarding: no driver uses it",
    "asyncssh.public_key.KeyExportError": "writing a key file",
    "asyncssh.public_key.KeyGenerationError": "making a key",
    "spnego.exceptions.FeatureMissingError": "an option of spnego that this build lacks",
    "spnego.exceptions.NativeError": "what a SpnegoError is made from",
}


def dotted(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def exceptions_of(module):
    """The public exception classes that belong to the module's own library."""
    package = module.__name__.partition(".")[0]
    for name, cls in sorted(vars(module).items()):
        own = inspect.isclass(cls) and cls.__module__.partition(".")[0] == package
        if own and not name.startswith("_") and issubclass(cls, Exception) and not issubclass(cls, Warning):
            yield cls


def instance_of(cls):
    """An instance, made by the first arguments that its constructor takes; without it where it needs the world."""
    for arguments in [(), ("text",), ("text", "text"), ("text", 1), ("text", "text", "text"), (b"a", b"b", "host", 1)]:
        try:
            return cls(*arguments)
        except Exception:
            continue
    return cls.__new__(cls)


@pytest.mark.parametrize("name", MODULES)
def test_every_exception_of_a_driver_is_translated(name):
    """Each public exception class of a driver becomes one of ours, or its name stands in a list with the reason."""
    found = list(exceptions_of(library(name)))
    unknown = [dotted(cls) for cls in found if dotted(cls) not in NOT_OURS and classify(instance_of(cls)) is None]

    assert found
    assert unknown == []


@pytest.mark.parametrize("name", sorted({name.partition(".")[0] for name in NOT_OURS}))
def test_what_is_listed_as_passing_through_passes_through(name):
    """A class in that list which the table knows after all would be a lie."""
    library(name)
    listed = [entry for entry in NOT_OURS if entry.partition(".")[0] == name]
    classes = {
        dotted(cls): cls for module in MODULES if module.partition(".")[0] == name for cls in exceptions_of(library(module))
    }

    assert [entry for entry in listed if entry in classes and classify(instance_of(classes[entry])) is not None] == []


@pytest.mark.parametrize("name", sorted({key.rpartition(".")[0] for key in foreign._BY_CLASS}))
def test_every_key_of_the_table_names_a_class(name):
    """A misspelt key would never match."""
    if tuple(map(int, fsspec.__version__.split(".")[:2])) < (2026, 9):
        pytest.skip("the table names classes of newer drivers too")
    module = library(name)
    keys = [key for key in foreign._BY_CLASS if key.rpartition(".")[0] == name]

    assert [key for key in keys if dotted(getattr(module, key.rpartition(".")[2], str)) not in foreign._BY_CLASS] == []


# --- 2. concrete errors ---------------------------------------------------------

STATUSES = {
    400: StoreError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: ObjectNotFoundError,
    405: UnsupportedPersistenceOp,
    408: OperationTimeoutError,
    409: ConflictError,
    410: ObjectNotFoundError,
    412: ConflictError,
    416: StoreError,
    423: ThrottledError,
    429: ThrottledError,
    500: ServerFailedError,
    501: UnsupportedPersistenceOp,
    502: ServerFailedError,
    503: ThrottledError,
    504: OperationTimeoutError,
    507: StorageFullError,
}


def aiohttp_error(status):
    client, yarl = library("aiohttp"), library("yarl")
    url = yarl.URL("https://host/x")
    request = client.RequestInfo(url, "GET", library("multidict").CIMultiDictProxy(library("multidict").CIMultiDict()), url)
    return client.ClientResponseError(request, (), status=status, message="refused")


def requests_error(status):
    requests = library("requests")
    answer = requests.Response()
    answer.status_code, answer.url, answer.reason = status, "https://host/x", "refused"
    with pytest.raises(requests.HTTPError) as caught:
        answer.raise_for_status()
    return caught.value


def httpx_error(status, method="GET"):
    httpx = library("httpx")
    answer = httpx.Response(status, request=httpx.Request(method, "https://host/x"))
    with pytest.raises(httpx.HTTPStatusError) as caught:
        answer.raise_for_status()
    return caught.value


def webdav_error(status, method="GET"):
    cause = httpx_error(status, method)
    return caused(library("webdav4.client").HTTPError(cause.response), cause)


def azure_error(status, code=None):
    """As azure-storage-blob makes it, of which every 401, 404 and 409 has a class of its own."""
    core = library("azure.core.exceptions")
    special = {401: core.ClientAuthenticationError, 404: core.ResourceNotFoundError, 409: core.ResourceExistsError}
    answer = SimpleNamespace(status_code=status, reason="refused", headers={}, text=lambda *_: "", content_type="text/plain")
    error = special.get(status, core.HttpResponseError)(message="refused", response=answer)
    if code is not None:
        error.error_code = code
    return error


def google_error(status):
    return library("google.api_core.exceptions").from_http_status(status, "refused")


def gcsfs_error(status):
    return library("gcsfs.retry").HttpError({"code": status, "message": "refused"})


def boto_error(status, code=None, operation="PutObject"):
    answer = {"Error": {"Code": code or str(status), "Message": "refused"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return library("botocore.exceptions").ClientError(answer, operation)


def s3fs_error(status, code=None):
    """What s3fs makes of a ClientError, which it keeps as the cause."""
    return library("s3fs.errors").translate_boto_error(boto_error(status, code))


LIBRARIES = [
    aiohttp_error,
    requests_error,
    httpx_error,
    webdav_error,
    azure_error,
    google_error,
    gcsfs_error,
    boto_error,
    s3fs_error,
]
OTHERWISE = {("azure_error", 409): ObjectExistsError}  # Azure's own word for it, unless a code says better


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("make", LIBRARIES, ids=lambda make: make.__name__)
def test_http_statuses(make, status):
    """The status decides alike in every client library."""
    assert classify(make(status)) is OTHERWISE.get((make.__name__, status), STATUSES[status])


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "NoSuchKey", ObjectNotFoundError),
        (404, "NoSuchBucket", ObjectNotFoundError),
        (404, "NoSuchVersion", ObjectNotFoundError),
        (404, "NoSuchUpload", StoreError),
        (403, "AccessDenied", PermissionDeniedError),
        (403, "InvalidAccessKeyId", AuthenticationError),
        (403, "SignatureDoesNotMatch", AuthenticationError),
        (403, "RequestTimeTooSkewed", AuthenticationError),
        (400, "AuthorizationHeaderMalformed", AuthenticationError),
        (400, "InvalidToken", AuthenticationError),
        (400, "ExpiredToken", CredentialsExpiredError),
        (403, "RequestExpired", CredentialsExpiredError),
        (400, "TokenRefreshRequired", CredentialsExpiredError),
        (412, "PreconditionFailed", ConflictError),
        (409, "ConditionalRequestConflict", ConflictError),
        (409, "OperationAborted", ThrottledError),
        (409, "BucketAlreadyOwnedByYou", ObjectExistsError),
        (409, "BucketNotEmpty", FolderNotEmptyError),
        (503, "SlowDown", ThrottledError),
        (503, "ServiceUnavailable", ThrottledError),
        (400, "RequestTimeout", OperationTimeoutError),
        (500, "InternalError", ServerFailedError),
        (200, "InternalError", ServerFailedError),  # a copy fails after its headers are sent
        (507, "XMinioStorageFull", StorageFullError),
        (400, "KeyTooLongError", InvalidNameError),
        (400, "InvalidBucketName", InvalidNameError),
        (400, "BadDigest", ChecksumMismatchError),
        (400, "XAmzContentChecksumMismatch", ChecksumMismatchError),
        (400, "IncompleteBody", TruncatedError),
        (416, "InvalidRange", StoreError),
        (405, "MethodNotAllowed", UnsupportedPersistenceOp),
        (501, "NotImplemented", UnsupportedPersistenceOp),
        (400, "SomethingNew", StoreError),
        (403, "SomethingNew", PermissionDeniedError),
    ],
)
@pytest.mark.parametrize("make", [boto_error, s3fs_error], ids=lambda make: make.__name__)
def test_s3_codes(make, status, code, expected):
    """The code says more than the status, also below the OSError that s3fs makes of it."""
    assert classify(make(status, code)) is expected


def test_s3fs_calls_a_failed_condition_einval():
    """What it is about stands in the cause."""
    error = s3fs_error(412, "PreconditionFailed")

    assert error.errno == errno.EINVAL
    assert classify(error) is ConflictError


def test_s3fs_knows_a_failed_creation():
    """A failed If-None-Match is "exists already", although its cause is only a failed condition."""
    foreign = boto_error(412, "PreconditionFailed")
    foreign.response["Error"]["Condition"] = "If-None-Match"

    assert classify(library("s3fs.errors").translate_boto_error(foreign)) is ObjectExistsError


def test_s3fs_knows_a_replaced_object():
    """Its FileExpired stands above a failed condition, and says more."""
    expired = library("s3fs.utils").FileExpired("b/k", "etag")

    assert classify(caused(expired, s3fs_error(412, "PreconditionFailed"))) is ChangedDuringReadError


def test_a_client_error_without_status():
    """An answer that is not even complete is an error of the store."""
    assert classify(library("botocore.exceptions").ClientError({"Error": {}}, "GetObject")) is StoreError


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "BlobNotFound", ObjectNotFoundError),
        (404, "ContainerNotFound", ObjectNotFoundError),
        (403, "AuthenticationFailed", AuthenticationError),
        (403, "AuthorizationPermissionMismatch", PermissionDeniedError),
        (403, "AuthorizationFailure", PermissionDeniedError),
        (401, "NoAuthenticationInformation", AuthenticationError),
        (409, "PublicAccessNotPermitted", AuthenticationError),
        (409, "BlobAlreadyExists", ObjectExistsError),
        (409, "ContainerBeingDeleted", ThrottledError),
        (409, "LeaseAlreadyPresent", ThrottledError),
        (412, "LeaseIdMissing", ThrottledError),
        (409, "BlobImmutableDueToPolicy", PermissionDeniedError),
        (409, "InvalidBlobType", StoreError),
        (412, "ConditionNotMet", ConflictError),
        (503, "ServerBusy", ThrottledError),
        (500, "OperationTimedOut", OperationTimeoutError),
        (400, "Md5Mismatch", ChecksumMismatchError),
        (416, "InvalidRange", StoreError),
    ],
)
def test_azure_codes(status, code, expected):
    """As text, and as the enum that azure-storage-blob makes of the codes it knows."""
    codes = library("azure.storage.blob").StorageErrorCode
    known = next((member for member in codes if member.value == code), code)

    assert classify(azure_error(status, code)) is expected
    assert classify(azure_error(status, known)) is expected


def webdav(name, *arguments):
    return getattr(library("webdav4.client"), name)(*arguments)


def smb(name, *arguments):
    return getattr(library("smbprotocol.exceptions"), name)(*arguments)


def smb_status(status):
    return smb("SMBOSError", status, "share/x")


def sftp(name, *arguments):
    return getattr(library("asyncssh"), name)(*arguments)


def command_failed(stderr):
    return sftp("ProcessError", None, "cp a b", None, 1, None, 1, "", stderr)


def from_library(name):
    """Makes errors of one module: ``of("SSLError", "text")``."""

    def of(cls, *arguments, **named):
        return getattr(library(name), cls)(*arguments, **named)

    return of


boto, google, api, azure = map(
    from_library, ("botocore.exceptions", "google.auth.exceptions", "google.api_core.exceptions", "azure.core.exceptions")
)
httpx, requests, urllib3, paramiko = map(
    from_library, ("httpx", "requests.exceptions", "urllib3.exceptions", "paramiko.ssh_exception")
)
aio = from_library("aiohttp.client_exceptions")
UNVERIFIED = ssl.SSLCertVerificationError(
    1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate"
)
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
MISSING = (errno.ENOENT, "No such file or directory")


def connector_error(cause=REFUSED):
    key = SimpleNamespace(ssl=True, host="host", port=443, is_ssl=True)
    return caused(aio("ClientConnectorError", key, cause), cause)


CASES = {
    # Amazon's client
    "no credentials": (lambda: boto("NoCredentialsError"), AuthenticationError),
    "sso token": (lambda: boto("TokenRetrievalError", provider="sso", error_msg="expired"), CredentialsExpiredError),
    "profile": (lambda: boto("ProfileNotFound", profile="x"), InvalidOptionError),
    "endpoint": (lambda: boto("EndpointConnectionError", endpoint_url="http://h"), ConnectionFailedError),
    "boto timeout": (lambda: boto("ReadTimeoutError", endpoint_url="http://h"), OperationTimeoutError),
    "boto tls": (lambda: boto("SSLError", endpoint_url="https://h", error="wrong version number"), ConnectionFailedError),
    "boto certificate": (lambda: boto("SSLError", endpoint_url="https://h", error=UNVERIFIED), AuthenticationError),
    "boto short": (lambda: boto("IncompleteReadError", actual_bytes=1, expected_bytes=2), TruncatedError),
    "boto checksum": (lambda: boto("FlexibleChecksumError", error_msg="differs"), ChecksumMismatchError),
    "boto parser": (lambda: library("botocore.parsers").ResponseParserError("no XML"), ServerFailedError),
    # aiohttp
    "aio refused": (connector_error, ConnectionFailedError),
    "aio unverified": (lambda: connector_error(UNVERIFIED), AuthenticationError),
    "aio name": (lambda: connector_error(socket.gaierror(-2, "Name or service not known")), ConnectionFailedError),
    "aio gone": (lambda: aio("ServerDisconnectedError"), ConnectionFailedError),
    "aio short": (lambda: aio("ClientPayloadError", "not all data"), TruncatedError),
    "aio silent": (lambda: aio("SocketTimeoutError", "read"), OperationTimeoutError),
    "aio url": (lambda: aio("InvalidUrlClientError", "http://"), InvalidNameError),
    "aio redirect": (lambda: aio("NonHttpUrlRedirectClientError", "ftp://x"), StoreError),
    # Google
    "gcsfs forbidden": (lambda: OSError("Forbidden: https://storage.googleapis.com/b/o/x\nno access"), PermissionDeniedError),
    "gcsfs bad": (lambda: ValueError("Bad Request: https://storage.googleapis.com/b/o/x\ninvalid"), StoreError),
    "gcsfs payer": (lambda: caused(ValueError("Bucket is requester pays"), gcsfs_error(400)), StoreError),
    "gcsfs text status": (lambda: gcsfs_error("503"), ThrottledError),
    "gcsfs nothing": (lambda: library("gcsfs.retry").HttpError(), StoreError),
    "gcsfs checksum": (lambda: library("gcsfs.retry").ChecksumError("md5"), ChecksumMismatchError),
    "gcsfs final": (lambda: instance_of(attribute("gcsfs.retry", "NonRetryableError")), StoreError),
    "refresh": (lambda: google("RefreshError", "invalid_grant"), CredentialsExpiredError),
    "refresh offline": (
        lambda: caused(google("RefreshError", "x"), google("TransportError", "x"), requests("ConnectionError", "x")),
        ConnectionFailedError,
    ),
    "no login": (lambda: google("DefaultCredentialsError", "no credentials"), AuthenticationError),
    "google timeout": (lambda: google("TimeoutError", "slow"), OperationTimeoutError),
    "grpc exists": (lambda: api("AlreadyExists", "exists"), ObjectExistsError),
    "grpc unknown": (lambda: api("Unknown", "?"), ServerFailedError),
    "grpc full": (lambda: api("ResourceExhausted", "quota"), ThrottledError),
    "grpc retried": (lambda: caused(api("RetryError", "x", None), api("ServiceUnavailable", "x")), ThrottledError),
    "grpc deadline": (lambda: api("RetryError", "x", None), OperationTimeoutError),
    # Azure
    "azure refused": (lambda: caused(azure("ServiceRequestError", "x"), connector_error()), ConnectionFailedError),
    "azure unverified": (lambda: caused(azure("ServiceRequestError", "x"), connector_error(UNVERIFIED)), AuthenticationError),
    "azure silent": (lambda: azure("ServiceResponseTimeoutError", "x"), OperationTimeoutError),
    "azure short": (lambda: azure("IncompleteReadError", "x"), TruncatedError),
    "azure created": (lambda: caused(FileExistsError("c/x"), azure_error(409, "BlobAlreadyExists")), ObjectExistsError),
    "azure upload": (lambda: caused(RuntimeError("Failed to upload block: x!"), azure_error(503)), ThrottledError),
    # requests, urllib3
    "requests refused": (lambda: requests("ConnectionError", "refused"), ConnectionFailedError),
    "requests connect": (lambda: requests("ConnectTimeout", "slow"), OperationTimeoutError),
    "requests unverified": (lambda: requests("SSLError", UNVERIFIED), AuthenticationError),
    "requests tls": (lambda: requests("SSLError", "wrong version number"), ConnectionFailedError),
    "requests retried": (lambda: requests("RetryError", "too many 503 error responses"), ServerFailedError),
    "requests short": (lambda: requests("ChunkedEncodingError", "broken"), TruncatedError),
    "requests url": (lambda: requests("MissingSchema", "no scheme"), InvalidNameError),
    "urllib3 refused": (lambda: urllib3("NewConnectionError", None, "refused"), ConnectionFailedError),
    "urllib3 connect": (lambda: urllib3("ConnectTimeoutError", "slow"), OperationTimeoutError),
    "urllib3 short": (lambda: urllib3("IncompleteRead", 1, 2), TruncatedError),
    "urllib3 url": (lambda: urllib3("LocationParseError", "http://["), InvalidNameError),
    # httpx, webdav4
    "httpx refused": (lambda: httpx("ConnectError", "refused"), ConnectionFailedError),
    "httpx unverified": (lambda: caused(httpx("ConnectError", "x"), UNVERIFIED), AuthenticationError),
    "httpx silent": (lambda: httpx("ReadTimeout", "x"), OperationTimeoutError),
    "httpx gone": (
        lambda: httpx("RemoteProtocolError", "Server disconnected without sending a response."),
        ConnectionFailedError,
    ),
    "httpx short": (
        lambda: httpx("RemoteProtocolError", "peer closed connection without sending complete message body"),
        TruncatedError,
    ),
    "httpx our fault": (lambda: httpx("LocalProtocolError", "Illegal header"), StoreError),
    "dav no parent": (lambda: webdav_error(409, "PUT"), NotAFolderError),
    "dav move": (lambda: caused(webdav("ResourceConflict", "x"), webdav_error(409, "MOVE")), NotAFolderError),
    "dav taken": (lambda: caused(webdav("ResourceAlreadyExists", "x"), webdav_error(412, "MOVE")), ObjectExistsError),
    "dav folder taken": (lambda: caused(webdav("ResourceAlreadyExists", "x"), webdav_error(405, "MKCOL")), ObjectExistsError),
    "dav forbidden": (lambda: caused(webdav("ForbiddenOperation", "x"), webdav_error(403, "MOVE")), PermissionDeniedError),
    "dav locked": (lambda: caused(webdav("ResourceLocked", "x"), webdav_error(423, "MOVE")), ThrottledError),
    "dav missing": (lambda: webdav("ResourceNotFound", "x"), ObjectNotFoundError),
    "dav full": (lambda: webdav("InsufficientStorage", "x"), StorageFullError),
    "dav gateway": (lambda: webdav("BadGatewayError"), ServerFailedError),
    # FTP
    "ftp 421": (lambda: ftplib.error_temp("421 Timeout."), ConnectionFailedError),
    "ftp 425": (lambda: ftplib.error_temp("425 Can't open data connection."), ConnectionFailedError),
    "ftp 426": (lambda: ftplib.error_temp("426 Connection closed; transfer aborted."), ConnectionFailedError),
    "ftp 430": (lambda: ftplib.error_temp("430 Invalid username or password"), AuthenticationError),
    "ftp 450": (lambda: ftplib.error_temp("450 File unavailable."), ThrottledError),
    "ftp 450 missing": (lambda: ftplib.error_temp("450 /x: No such file or directory"), ObjectNotFoundError),
    "ftp 451": (lambda: ftplib.error_temp("451 Requested action aborted: local error in processing."), ServerFailedError),
    "ftp 452": (lambda: ftplib.error_temp("452 Insufficient storage space in system."), StorageFullError),
    "ftp 500": (lambda: ftplib.error_perm("500 Unknown command."), UnsupportedPersistenceOp),
    "ftp 501 missing": (lambda: ftplib.error_perm("501 No such directory."), ObjectNotFoundError),
    "ftp 502": (lambda: ftplib.error_perm("502 Command not implemented."), UnsupportedPersistenceOp),
    "ftp 530": (lambda: ftplib.error_perm("530 Login incorrect."), AuthenticationError),
    "ftp 332": (lambda: ftplib.error_reply("332 Need account for login."), AuthenticationError),
    "ftp 550 missing": (lambda: ftplib.error_perm("550 No such file or directory."), ObjectNotFoundError),
    "ftp 550 iis": (lambda: ftplib.error_perm("550 The system cannot find the file specified."), ObjectNotFoundError),
    "ftp 550 denied": (lambda: ftplib.error_perm("550 Permission denied."), PermissionDeniedError),
    "ftp 550 both": (lambda: ftplib.error_perm("550 File not found or access denied."), PermissionDeniedError),
    "ftp 550 unknown": (lambda: ftplib.error_perm("550 Failed to open file."), StoreError),
    "ftp 550 folder": (lambda: ftplib.error_perm("550 Is a directory."), IsAFolderError),
    "ftp 550 file": (lambda: ftplib.error_perm("550 Not a directory."), NotAFolderError),
    "ftp 550 full folder": (lambda: ftplib.error_perm("550 Directory not empty."), FolderNotEmptyError),
    "ftp 550 exists": (lambda: ftplib.error_perm("550 Directory already exists."), ObjectExistsError),
    "ftp 550 disk": (lambda: ftplib.error_perm("550 No space left on device."), StorageFullError),
    "ftp 550 open": (lambda: ftplib.error_perm("550 The file is being used by another process."), ThrottledError),
    "ftp 550 long": (lambda: ftplib.error_perm("550 File name too long."), InvalidNameError),
    "ftp name no reason": (lambda: ftplib.error_perm("550 /denied/x y: No such file or directory"), ObjectNotFoundError),
    "ftp name after": (lambda: ftplib.error_perm("550 No such file: /access/denied"), ObjectNotFoundError),
    "ftp name within": (lambda: ftplib.error_perm("550 File /denied/x not found"), ObjectNotFoundError),
    "ftp name quoted": (lambda: ftplib.error_perm('550 "no such file": Operation failed'), StoreError),
    "ftp 552": (lambda: ftplib.error_perm("552 Exceeded storage allocation."), StorageFullError),
    "ftp 553": (lambda: ftplib.error_perm("553 File name not allowed."), InvalidNameError),
    "ftp 553 denied": (lambda: ftplib.error_perm("553 Can't open that file: Permission denied"), PermissionDeniedError),
    "ftp 553 unknown": (lambda: ftplib.error_perm("553 Could not create file."), StoreError),
    "ftp out of step": (lambda: ftplib.error_reply("226 Transfer complete."), ConnectionFailedError),
    "ftp garbage": (lambda: ftplib.error_proto("<html>"), ConnectionFailedError),
    "ftp hung up": (EOFError, ConnectionFailedError),
    "ftp newline": (lambda: ValueError("an illegal newline character should not be contained"), InvalidNameError),
    # SMB
    "smb sharing": (lambda: smb_status(0xC0000043), ThrottledError),
    "smb 2": (lambda: smb_status(0xC0000034), ObjectNotFoundError),
    "smb 17": (lambda: smb_status(0xC0000035), ObjectExistsError),
    "smb 20": (lambda: smb_status(0xC0000103), NotAFolderError),
    "smb 21": (lambda: smb_status(0xC00000BA), IsAFolderError),
    "smb 39": (lambda: smb_status(0xC0000101), FolderNotEmptyError),
    "smb denied": (lambda: smb_status(0xC0000022), PermissionDeniedError),
    "smb full": (lambda: smb_status(0xC000007F), StorageFullError),
    "smb share": (lambda: smb("BadNetworkName"), ObjectNotFoundError),
    "smb name": (lambda: smb_status(0xC0000033), InvalidNameError),
    "smb session": (lambda: smb("UserSessionDeleted"), ConnectionFailedError),
    "smb logon": (lambda: smb("LogonFailure"), AuthenticationError),
    "smb expired": (lambda: smb("PasswordExpired"), CredentialsExpiredError),
    "smb unknown": (lambda: smb_status(0xC0FFFFFF), StoreError),
    "smb closed": (lambda: smb("SMBConnectionClosed", "closed"), ConnectionFailedError),
    "smb silent": (lambda: smb("SMBException", "Connection timeout of 60 seconds exceeded"), OperationTimeoutError),
    "smb version": (lambda: smb("SMBUnsupportedFeature", 0x0202, 0x0311, "encryption"), UnsupportedPersistenceOp),
    "smb errno": (lambda: smb_errno(errno.ENOTEMPTY), FolderNotEmptyError),
    # SFTP
    "sftp 2": (lambda: sftp("SFTPNoSuchFile", "x"), ObjectNotFoundError),
    "sftp 3": (lambda: sftp("SFTPPermissionDenied", "x"), PermissionDeniedError),
    "sftp 4": (lambda: sftp("SFTPFailure", "Failure"), StoreError),
    "sftp 7": (lambda: sftp("SFTPConnectionLost", "x"), ConnectionFailedError),
    "sftp 8": (lambda: sftp("SFTPOpUnsupported", "x"), UnsupportedPersistenceOp),
    "sftp 11": (lambda: sftp("SFTPFileAlreadyExists", "x"), ObjectExistsError),
    "sftp 14": (lambda: sftp("SFTPNoSpaceOnFilesystem", "x"), StorageFullError),
    "sftp 17": (lambda: sftp("SFTPLockConflict", "x"), ThrottledError),
    "sftp 18": (lambda: sftp("SFTPDirNotEmpty", "x"), FolderNotEmptyError),
    "sftp 19": (lambda: sftp("SFTPNotADirectory", "x"), NotAFolderError),
    "sftp 20": (lambda: sftp("SFTPInvalidFilename", "x"), InvalidNameError),
    "sftp 24": (lambda: sftp("SFTPFileIsADirectory", "x"), IsAFolderError),
    "sftp new": (lambda: sftp("SFTPError", 99, "x"), StoreError),
    "sshfs login": (lambda: caused(PermissionError("x"), sftp("PermissionDenied", "x")), AuthenticationError),
    "sshfs exists": (lambda: caused(FileExistsError(errno.EEXIST, "x"), sftp("SFTPFailure", "x")), ObjectExistsError),
    "sshfs cp missing": (lambda: caused(FileNotFoundError(*MISSING), command_failed("cp: a: gone")), ObjectNotFoundError),
    "sshfs cp denied": (lambda: command_failed("cp: cannot create regular file 'b': Permission denied"), PermissionDeniedError),
    "sshfs cp full": (lambda: command_failed("cp: error writing 'b': No space left on device"), StorageFullError),
    "ssh lost": (lambda: sftp("ConnectionLost", "x"), ConnectionFailedError),
    "ssh host key": (lambda: sftp("HostKeyNotVerifiable", "Host key is not trusted"), AuthenticationError),
    "ssh key exchange": (lambda: sftp("KeyExchangeFailed", "no common algorithm"), StoreError),
    "ssh key file": (lambda: sftp("KeyImportError", "Passphrase must be specified"), AuthenticationError),
    "paramiko missing": (lambda: OSError(errno.ENOENT, "No such file"), ObjectNotFoundError),
    "paramiko failure": (lambda: OSError("Failure"), StoreError),
    "paramiko closed": (lambda: OSError("Socket is closed"), ConnectionFailedError),
    "paramiko login": (lambda: paramiko("AuthenticationException", "Authentication failed."), AuthenticationError),
    "paramiko no login": (lambda: paramiko("SSHException", "No authentication methods available"), AuthenticationError),
    "paramiko host": (lambda: paramiko("SSHException", "Server 'h' not found in known_hosts"), AuthenticationError),
    "paramiko key": (lambda: paramiko("SSHException", "not a valid RSA private key file"), AuthenticationError),
    "paramiko silent": (lambda: paramiko("SSHException", "Timeout opening channel."), OperationTimeoutError),
    "paramiko banner": (lambda: paramiko("SSHException", "Error reading SSH protocol banner"), ConnectionFailedError),
    "paramiko refused": (lambda: paramiko("NoValidConnectionsError", {("127.0.0.1", 22): REFUSED}), ConnectionFailedError),
    "paramiko peer": (lambda: paramiko("IncompatiblePeer", "no acceptable kex algorithm"), StoreError),
    # Hadoop
    "hdfs denied": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.security.AccessControlException", "Permission denied: user=x")'),
        PermissionDeniedError,
    ),
    "hdfs path": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.security.AccessControlException", "/FileNotFoundException.java")'),
        PermissionDeniedError,
    ),
    "hdfs exists": (lambda: OSError("org.apache.hadoop.fs.FileAlreadyExistsException: /x"), ObjectExistsError),
    "hdfs missing": (lambda: OSError("java.io.FileNotFoundException: /x"), ObjectNotFoundError),
    "hdfs parent": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.fs.ParentNotDirectoryException", "/x")'),
        NotAFolderError,
    ),
    "hdfs not empty": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.fs.PathIsNotEmptyDirectoryException", "/x")'),
        FolderNotEmptyError,
    ),
    "hdfs quota": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException", "/x")'),
        StorageFullError,
    ),
    "hdfs safe": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.hdfs.server.namenode.SafeModeException", "x")'),
        ThrottledError,
    ),
    "hdfs writer": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.hdfs.protocol.AlreadyBeingCreatedException", "x")'),
        ThrottledError,
    ),
    "hdfs standby": (lambda: RuntimeError('RPCError("org.apache.hadoop.ipc.StandbyException", "x")'), ConnectionFailedError),
    "hdfs refused": (lambda: OSError("java.net.ConnectException: Connection refused"), ConnectionFailedError),
    "hdfs token": (
        lambda: RuntimeError('RPCError("org.apache.hadoop.security.token.SecretManager$InvalidToken", "x")'),
        CredentialsExpiredError,
    ),
    "hdfs kerberos": (lambda: RuntimeError('GSSAPIError(GSS_S_NO_CRED, 0, "no credentials")'), AuthenticationError),
    "hdfs other java": (lambda: RuntimeError('RPCError("java.io.IOException", "File x could only be written")'), StoreError),
    "hdfs-native data": (lambda: RuntimeError('DataTransferError("checksum")'), ServerFailedError),
    "hdfs-native option": (lambda: RuntimeError('InvalidArgument("No fs.defaultFS setting found")'), InvalidOptionError),
    "hdfs-native url": (lambda: RuntimeError("UrlParseError(RelativeUrlWithoutBase)"), InvalidOptionError),
    "webhdfs safe": (lambda: RuntimeError("Cannot create file/x. Name node is in safe mode."), ThrottledError),
    "webhdfs quota": (lambda: RuntimeError("The DiskSpace quota of /x is exceeded: quota = 1 B"), StorageFullError),
    "webhdfs name": (lambda: ValueError("Pathname /a:b from /a:b is not a valid DFS filename."), InvalidNameError),
    # Python's own
    "unresolved": (lambda: socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ConnectionFailedError),
    "unverified": (lambda: UNVERIFIED, AuthenticationError),
    "tls": (lambda: ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), ConnectionFailedError),
    "tls ended": (lambda: ssl.SSLEOFError(8, "EOF occurred in violation of protocol"), ConnectionFailedError),
    "tls want read": (lambda: ssl.SSLWantReadError(2, "The operation did not complete"), ConnectionFailedError),
    "broken pipe": (BrokenPipeError, ConnectionFailedError),
    "short stream": (lambda: asyncio.IncompleteReadError(b"", 1), ConnectionFailedError),
    "timeout": (TimeoutError, OperationTimeoutError),
    "asyncio timeout": (asyncio.TimeoutError, OperationTimeoutError),
    "fsspec timeout": (lambda: library("fsspec.exceptions").FSTimeoutError(), OperationTimeoutError),
    "surrogate": (lambda: UnicodeEncodeError("utf-8", "\udc80", 0, 1, "surrogates not allowed"), InvalidNameError),
    "not implemented": (NotImplementedError, UnsupportedPersistenceOp),
    "bad zip": (lambda: zipfile.BadZipFile("x"), StoreError),
    "bad data": (lambda: zlib.error("x"), StoreError),
    "windows open file": (lambda: windows(PermissionError(errno.EACCES, "in use"), 32), ThrottledError),
    # The cause wins
    "missing, from 403": (lambda: caused(FileNotFoundError("http://h/x"), aiohttp_error(403)), PermissionDeniedError),
    "missing, from 403, with errno": (lambda: caused(FileNotFoundError(*MISSING), azure_error(403)), PermissionDeniedError),
    "missing, from 404": (lambda: caused(FileNotFoundError("http://h/x"), aiohttp_error(404)), ObjectNotFoundError),
    "missing, from 400": (lambda: caused(FileNotFoundError("http://h/x"), aiohttp_error(400)), StoreError),
    "missing, from 503": (lambda: caused(FileNotFoundError("http://h/x"), aiohttp_error(503)), ThrottledError),
    "missing, refused": (lambda: caused(FileNotFoundError("http://h/x"), connector_error()), ConnectionFailedError),
    "missing, from 550": (lambda: caused(FileNotFoundError("/x"), ftplib.error_perm("550 Not found")), ObjectNotFoundError),
    "missing, denied": (lambda: caused(FileNotFoundError("/x"), ftplib.error_perm("550 Denied")), PermissionDeniedError),
    "missing, unknown": (lambda: caused(FileNotFoundError("/x"), ftplib.error_perm("550 Failed to open file.")), StoreError),
    "missing, no entry": (lambda: caused(FileNotFoundError("/x"), StopIteration()), ObjectNotFoundError),
    "missing, at first hand": (lambda: FileNotFoundError("/x"), ObjectNotFoundError),
    "missing, as arrow says": (lambda: caused(FileNotFoundError(*MISSING), OSError("/x does not exist")), ObjectNotFoundError),
    "vague, from a bug": (lambda: caused(OSError("x"), KeyError("y")), StoreError),
    "a bug, from a failure": (lambda: caused(KeyError("x"), ConnectionResetError()), ConnectionFailedError),
}


def smb_errno(number):
    error = library("smbprotocol.exceptions").SMBOSError(0xC0FFFFFF, "share/x")
    error.errno = number
    return error


def windows(error, number):
    """As on Windows, where an OSError has a winerror; anywhere."""
    kind = type(type(error).__name__, (type(error),), {"winerror": number})
    return kind(*error.args)


@pytest.mark.parametrize("case", CASES)
def test_concrete_errors(case):
    """What a driver really raises becomes what a user would want to catch."""
    make, expected = CASES[case]

    assert classify(make()) is expected


ERRNOS = {
    "ENOENT": ObjectNotFoundError,
    "EEXIST": ObjectExistsError,
    "EACCES": PermissionDeniedError,
    "EPERM": PermissionDeniedError,
    "EROFS": PermissionDeniedError,
    "EISDIR": IsAFolderError,
    "ENOTDIR": NotAFolderError,
    "ENOTEMPTY": FolderNotEmptyError,
    "ENOSPC": StorageFullError,
    "EDQUOT": StorageFullError,
    "EFBIG": StorageFullError,
    "ENAMETOOLONG": InvalidNameError,
    "ETIMEDOUT": OperationTimeoutError,
    "EBUSY": ThrottledError,
    "EAGAIN": ThrottledError,
    "ECONNREFUSED": ConnectionFailedError,
    "ECONNRESET": ConnectionFailedError,
    "ECONNABORTED": ConnectionFailedError,
    "EPIPE": ConnectionFailedError,
    "EHOSTUNREACH": ConnectionFailedError,
    "EHOSTDOWN": ConnectionFailedError,
    "ENETUNREACH": ConnectionFailedError,
    "ENETDOWN": ConnectionFailedError,
    "ESTALE": ConflictError,
    "ENOSYS": UnsupportedPersistenceOp,
    "ENOTSUP": UnsupportedPersistenceOp,
    "EOPNOTSUPP": UnsupportedPersistenceOp,
    "EXDEV": UnsupportedPersistenceOp,
    "EIO": StoreError,
    "EINVAL": StoreError,
}


@pytest.mark.parametrize("name", ERRNOS)
def test_oserrors_by_number(name):
    """As Python raises it, and as a plain OSError of a driver that sets the number afterwards."""
    late = OSError("text")
    late.errno = getattr(errno, name)

    assert classify(OSError(late.errno, "text")) is ERRNOS[name]
    assert classify(late) is ERRNOS[name]


def test_a_file_name_is_no_java_class():
    """The number of an OSError counts more than words in its text, which holds the name of the file."""
    assert classify(OSError(errno.ENOSPC, "No space left on device", "FileNotFoundException.java")) is StorageFullError


def test_a_chain_that_bites_its_tail():
    """A cause that is caused by its own effect ends the search."""
    first, second = OSError("a"), OSError("b")
    first.__cause__, second.__cause__ = second, first

    assert classify(first) is StoreError


# --- 3. our errors ---------------------------------------------------------------

BUILTINS = {
    AuthenticationError: (PermissionError, errno.EACCES),
    ChangedDuringReadError: (OSError, errno.ESTALE),
    ChecksumMismatchError: (OSError, errno.EIO),
    ConflictError: (OSError, errno.ESTALE),
    ConnectionFailedError: (ConnectionError, errno.ECONNABORTED),
    CredentialsExpiredError: (PermissionError, errno.EACCES),
    FolderNotEmptyError: (OSError, errno.ENOTEMPTY),
    InvalidNameError: (ValueError, None),
    InvalidOptionError: (ValueError, None),
    IsAFolderError: (IsADirectoryError, errno.EISDIR),
    MissingDriverError: (ImportError, None),
    NotAFolderError: (NotADirectoryError, errno.ENOTDIR),
    ObjectExistsError: (FileExistsError, errno.EEXIST),
    ObjectNotFoundError: (FileNotFoundError, errno.ENOENT),
    OperationTimeoutError: (TimeoutError, errno.ETIMEDOUT),
    PermissionDeniedError: (PermissionError, errno.EACCES),
    PersistenceError: (Exception, None),
    ServerFailedError: (OSError, errno.EIO),
    StorageFullError: (OSError, errno.ENOSPC),
    StoreError: (OSError, errno.EIO),
    ThrottledError: (OSError, errno.EBUSY),
    TransferError: (Exception, None),
    TruncatedError: (EOFError, None),
    SecretPicklingError: (TypeError, None),
    UnknownProtocolError: (ValueError, None),
    UnsupportedPersistenceOp: (NotImplementedError, None),
}
TRANSIENT = {
    ChangedDuringReadError,
    ChecksumMismatchError,
    ConnectionFailedError,
    OperationTimeoutError,
    ServerFailedError,
    ThrottledError,
    TruncatedError,
}
each_kind = pytest.mark.parametrize("kind", [getattr(errors, name) for name in errors.__all__], ids=errors.__all__)


def made(kind):
    return kind("the cause", operation="read", url="s3://b/k", hint="Do this.")


@each_kind
def test_every_error_is_ours_and_pythons(kind):
    """Both except clauses catch it, and no other OSError's clause does."""
    builtin, _ = BUILTINS[kind]
    error = made(kind)

    assert isinstance(error, PersistenceError)
    assert isinstance(error, builtin)
    assert isinstance(error, OSError) == issubclass(builtin, OSError)


@each_kind
def test_every_oserror_has_its_number(kind):
    """And the others have none."""
    error = made(kind)

    assert getattr(error, "errno", None) == BUILTINS[kind][1]


def copies(error):
    yield from (pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1))
    yield copy.copy(error)
    yield copy.deepcopy(error)


@each_kind
def test_every_error_survives_a_trip_between_processes(kind):
    """With its class, texts and number, and with what the retry layer wrote on it."""
    error = made(kind)
    error.retryable = False

    for other in copies(error):
        assert type(other) is kind
        assert other.args == ("the cause",)
        assert str(other) == str(error)
        assert (other.message, other.operation, other.url, other.hint) == ("the cause", "read", "s3://b/k", "Do this.")
        assert other.retryable is False
        assert "retryable" in vars(other)
        assert getattr(other, "errno", None) == BUILTINS[kind][1]


@each_kind
def test_a_trip_writes_nothing_on_an_error(kind):
    """What the class says about retrying stays the class's word."""
    for other in copies(made(kind)):
        assert "retryable" not in vars(other)
        assert other.retryable is (kind in TRANSIENT)


def test_a_missing_driver_keeps_the_text_of_an_import_error():
    """ImportError has an attribute for it, outside of args."""
    assert [other.msg for other in copies(made(MissingDriverError))] == ["the cause"] * 6


def test_a_transfer_error_carries_its_report():
    """Between processes too."""
    error = TransferError("1 of 2 files did not arrive", report={"a": "copied", "b": "failed"}, operation="put", url="s3://b")

    for other in copies(error):
        assert other.report == {"a": "copied", "b": "failed"}
        assert str(other) == "put s3://b: 1 of 2 files did not arrive"


def test_a_transfer_error_is_no_oserror():
    """Or frameworks would repeat the whole tree on it."""
    assert not issubclass(TransferError, OSError)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "cause"),
        ({"operation": "read"}, "read: cause"),
        ({"url": "s3://b/k"}, "s3://b/k: cause"),
        ({"operation": "read", "url": "s3://b/k"}, "read s3://b/k: cause"),
        ({"operation": "read", "url": "s3://b/k", "hint": "Do this."}, "read s3://b/k: cause\nDo this."),
        ({"hint": "Do this."}, "cause\nDo this."),
    ],
    ids=["nothing", "operation", "url", "both", "all", "hint"],
)
def test_errors_print_operation_url_cause_and_hint(where, expected):
    """The hint on a line of its own; what is unknown is left out."""
    assert str(StoreError("cause", **where)) == expected


def test_exactly_the_transient_errors_are_retryable():
    """Trying again helps against nothing else."""
    assert {kind for kind in BUILTINS if kind.retryable} == TRANSIENT


def test_every_error_is_in_these_tables():
    """And in the package's list of names."""
    defined = {cls for cls in vars(errors).values() if inspect.isclass(cls) and issubclass(cls, PersistenceError)}

    assert {getattr(errors, name) for name in errors.__all__} == defined == set(BUILTINS)


# --- 4. translated ----------------------------------------------------------------


@pytest.mark.parametrize(
    "bug",
    [
        KeyError("x"),
        ZeroDivisionError(),
        AssertionError("x"),
        TypeError("x"),
        AttributeError("x"),
        ValueError("x"),
        RuntimeError("cannot schedule new futures after shutdown"),
        RecursionError("x"),
        MemoryError(),
        StopIteration(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        SystemExit(1),
        GeneratorExit(),
    ],
    ids=lambda bug: type(bug).__name__,
)
def test_a_bug_looks_like_a_bug(bug):
    """What is not in the table passes through untouched."""
    with pytest.raises(type(bug)) as caught, translated("read", "s3://b/k"):
        raise bug

    assert caught.value is bug
    assert caught.value.__cause__ is None
    assert translate(bug, operation="read", url="s3://b/k") is None


def test_a_foreign_error_becomes_ours():
    """With operation and URL, and the foreign one as its cause."""
    foreign = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageFullError) as caught, translated("write", "file:///x"):
        raise foreign

    assert caught.value.__cause__ is foreign
    assert str(caught.value) == "write file:///x: [Errno 28] No space left on device (OSError)"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, ("read", "s3://b/k")),
        ({"operation": "list"}, ("list", "s3://b/k")),
        ({"url": "ftp://h/x"}, ("read", "ftp://h/x")),
        ({"operation": "list", "url": "ftp://h/x"}, ("list", "ftp://h/x")),
    ],
    ids=["neither", "operation", "url", "both"],
)
def test_our_own_errors_only_learn_where_they_happened(where, expected):
    """And only if they did not know."""
    ours = ThrottledError("cause", hint="Wait.", **where)
    ours.retryable = False
    with pytest.raises(ThrottledError) as caught, translated("read", "s3://b/k"):
        raise ours

    assert caught.value is ours
    assert (ours.operation, ours.url) == expected
    assert (ours.message, ours.hint, ours.retryable, ours.__cause__) == ("cause", "Wait.", False, None)


def test_our_own_error_is_its_own_translation():
    """Whatever it was raised from."""
    ours = caused(ObjectExistsError("exists already"), boto_error(412, "PreconditionFailed"))

    assert translate(ours, operation="write", url="s3://b/k") is ours
    assert classify(ours) is ObjectExistsError


def test_nothing_happens_when_nothing_happens():
    """A block without an error ends as it should."""
    with translated("read", "s3://b/k"):
        pass


def test_the_message_is_of_the_error_that_decides():
    """A FileNotFoundError that was a 403 does not speak of files."""
    error = translate(caused(FileNotFoundError("http://h/x"), aiohttp_error(403)), operation="read", url="http://h/x")

    assert error.message == "403, message='refused', url='https://host/x' (ClientResponseError)"


def test_the_message_is_of_the_first_error_that_says_so():
    """The outer error of a kind names the host, its cause only the number."""
    name = socket.gaierror(-2, "Name or service not known")
    error = translate(connector_error(name), operation="read", url="http://h/x")

    assert error.message.startswith("Cannot connect to host host:443")


def test_our_own_error_below_a_foreign_one_speaks_for_itself():
    """Without repeating where it happened."""
    ours = ThrottledError("too many", operation="read", url="s3://b/k", hint="Wait.")
    error = translate(caused(OSError("vague"), ours), operation="copy", url="s3://b/c")

    assert error.message == "too many (ThrottledError)"


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: FileNotFoundError("x"), "not found"),
        (lambda: s3fs_error(404, "NoSuchKey"), "not found"),
        (lambda: s3fs_error(404, "NoSuchBucket"), "bucket not found"),
        (lambda: caused(FileNotFoundError("c"), azure_error(404, "ContainerNotFound")), "bucket not found"),
        (lambda: OSError("two\n  lines"), "two lines (OSError)"),
        (TimeoutError, "TimeoutError"),
    ],
    ids=["file", "key", "bucket", "container", "lines", "empty"],
)
def test_messages(make, expected):
    """One line: what the driver said, and the name of its error."""
    assert translate(make(), operation="read", url="s3://b/k").message == expected


def test_an_error_that_cannot_print_itself():
    """Its name is better than a second error."""

    class BrokenError(OSError):
        def __str__(self):
            raise RuntimeError("no text")

    assert translate(BrokenError(), operation="read", url="s3://b/k").message == "BrokenError"


@pytest.mark.parametrize(
    ("make", "hint"),
    [
        (lambda: boto_error(403, "InvalidAccessKeyId"), "storage_options"),
        (lambda: boto_error(400, "ExpiredToken"), "new credentials"),
        (lambda: boto_error(503, "SlowDown"), "concurrency"),
        (lambda: UNVERIFIED, "certificates or host keys"),
        (lambda: sftp("HostKeyNotVerifiable", "Host key is not trusted for host h"), "certificates or host keys"),
        (lambda: paramiko("SSHException", "Server 'h' not found in known_hosts"), "certificates or host keys"),
    ],
    ids=["credentials", "expired", "throttled", "certificate", "host key", "known hosts"],
)
def test_hints_say_what_to_do_next(make, hint):
    """Whom the server does not trust needs other help than who does not trust the server."""
    assert hint in translate(make(), operation="read", url="s3://b/k").hint


# --- 5. secrets -------------------------------------------------------------------

SECRET_NAMES = [
    "X-Amz-Signature",
    "X-Amz-Credential",
    "X-Amz-Security-Token",
    "X-Goog-Signature",
    "X-Goog-Credential",
    "AWSAccessKeyId",
    "GoogleAccessId",
    "Signature",
    "sig",
    "token",
    "access_token",
    "upload_id",
    "password",
    "x-amz-signature",
    "PASSWORD",
]
QUOTES = ["{}", "'{}'", '"{}"', "<{}>", "({})", "url='{}', code=403", "{{'url': '{}'}}", "see {} for more"]
# Both ends are marked, so that no rest of either is overlooked.
ends = "Begin7{}End7".format
# As pasted: anything but what would end the login for every reader of URLs.
passwords = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="/", exclude_categories=["Z", "C"]))
values = st.text("abcXYZ019-._~!$'()*+,;=:@/?%")


def printed(text):
    """As it stands in the printed error made from a foreign one with that text."""
    return str(translate(OSError(text), operation="read", url="s3://b/k"))


@given(
    password=passwords.map(ends),
    scheme=st.sampled_from(["ftp", "https", "webdav", "smb+x"]),
    user=st.sampled_from(["user", "", "user%40corp", "user@corp.example", "DOMAIN;user", "[user]", "u[1"]),
    host=st.sampled_from(["host", "host:21/x", "host/a@b", "[::1]:21/x", "host/x?versionId=1#y"]),
    around=st.sampled_from(QUOTES),
)
@example(password="Begin7p@ss:w@rdEnd7", scheme="ftp", user="user", host="host/x", around="{}")
def test_passwords_in_urls_never_survive(password, scheme, user, host, around):
    """Whatever characters they are of; host and path do."""
    text = printed(around.format(f"{scheme}://{user}:{password}@{host}"))

    assert "Begin7" not in text
    assert "End7" not in text
    assert f"{scheme}://***@{host}" in text


@given(
    name=st.sampled_from(SECRET_NAMES),
    value=values.map(ends),
    before=st.sampled_from(["", "versionId=1&", "X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&"]),
    after=st.sampled_from(["", "&prefix=2"]),
    around=st.sampled_from(QUOTES),
)
def test_secrets_in_queries_never_survive(name, value, before, after, around):
    """Whatever a URL may hold; the other parameters do."""
    text = printed(around.format(f"https://host/a/b?{before}{name}={value}{after}"))

    assert "Begin7" not in text
    assert "End7" not in text
    assert f"https://host/a/b?{before}{name}=***{after}" in text


@given(secrets=st.lists(st.sampled_from(SECRET_NAMES), min_size=1, max_size=4), password=passwords.map(ends))
def test_several_secrets_in_one_text(secrets, password):
    """In the causes of an error as well as in the error."""
    query = "&".join(f"{name}=Begin7%3DEnd7" for name in secrets)
    text = f"ftp://user:{password}@host/x failed, then https://host/y?{query} too"
    error = translate(caused(FileNotFoundError("x"), PermissionError(text)), operation="read", url="s3://b/k")

    assert "Begin7" not in str(error)
    assert "End7" not in str(error)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ftp://user:a/b@host/x", "ftp://***@host/x"),
        ("ftp://user:a/b:c/d@host", "ftp://***@host"),
        ("https://:token@host/x", "https://***@host/x"),
        ("ftp://me@corp.example:a@b@host/x", "ftp://***@host/x"),
        ("zip://::ftp://me@corp.example:pw@host/x.zip", "zip://::ftp://***@host/x.zip"),
        ("zip://a::simplecache::ftp://me@corp.example:pw@host/x.zip", "zip://a::simplecache::ftp://***@host/x.zip"),
        ("ftp://me::pw:x@host", "ftp://***@host"),
        ("socks5://me@corp:pw@host:1080", "socks5://***@host:1080"),
        ("ftp://me:9/pw@host/x", "ftp://***@host/x"),
        ("ftp://me@corp.example:a/b@c@host/x", "ftp://***@host/x"),
        ("ftp://me:pw@[::1]:21/x@y", "ftp://***@[::1]:21/x@y"),
        ("https://to@ken@host/x", "https://***@host/x"),
        ("ftp://a:b@h/x -> ftp://c:d@i/y", "ftp://***@h/x -> ftp://***@i/y"),
        ("FTPFileSystem(password='hunter2', port=21)", "FTPFileSystem(password=***, port=21)"),
        ("{'password=\"two words\"'}", "{'password=***'}"),
        ("aws_secret_access_key=abc/def+g=", "aws_secret_access_key=***"),
        ("https://host/x?key=AIza123", "https://host/x?key=***"),
        ("AccountName=a;AccountKey=abc==", "AccountName=a;AccountKey=***"),
        ("SharedAccessSignature=sv=1&sig=abc", "SharedAccessSignature=***&sig=***"),
        ("Credential=AKIA/2026/s3, Signature=abc", "Credential=*** Signature=***"),
        ("https://host/x?list-type=2&nobody-knows=abc&acl", "https://host/x?list-type=2&nobody-knows=***&acl"),
        ("https://host/x?abcdef", "https://host/x?***"),
        ("https://token@host/x", "https://***@host/x"),
        ("webdav://me@host/x", "webdav://***@host/x"),
        ("Authorization: Bearer abc def\nHost: host", "Authorization: ***\nHost: host"),
        ("headers={'Authorization': 'Basic bWU6cHc=', 'Host': 'host'}", "headers={'Authorization': ***, 'Host': 'host'}"),
        ("[(b'authorization', b'Basic bWU6cHc='), (b'host', b'h')]", "[(b'authorization', ***), (b'host', b'h')]"),
        ("Set-Cookie: session=abc; path=/", "Set-Cookie: ***"),
        ("{'user': 'me', 'password': 'x y', \"secret\": \"z\"}", "{'user': 'me', 'password': ***, \"secret\": ***}"),
        ("pool.apply(*('password', 'x y'))", "pool.apply(*('password', ***))"),
        ("sent Bearer eyJhbGciOiJIUzI1NiJ9.e30.abc", "sent Bearer ***"),
    ],
)
def test_other_secrets(text, expected):
    """Passwords with a slash, options in a repr, connection strings."""
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("me:pw@proxy.example:3128", "***@proxy.example:3128"),
        ("me@corp:p@w@proxy:3128", "***@proxy:3128"),
        ("token@proxy:3128", "***@proxy:3128"),
        ("me:a/b@proxy:3128", "***@proxy:3128"),
        ("http://me:pw@proxy:3128", "http://***@proxy:3128"),
        ("proxy:3128", "proxy:3128"),
        ("proxy:3128/x@y", "proxy:3128/x@y"),
        ("[::1]:3128", "[::1]:3128"),
        ("10.0.0.0/8,.example", "10.0.0.0/8,.example"),
    ],
)
def test_logins_in_addresses(address, expected):
    """What is known to be an address needs no ``http://`` to have a login in it."""
    assert redact_address(address) == expected
    assert is_open_address(address) == (address == expected)


@pytest.mark.parametrize(
    "text",
    [
        "ftp://user@host/x",
        "https://host:8080/a@b",
        "https://host:8080?prefix=a@b",
        "http://[::1]:9000/a@b",
        "ftp://me@host:21/a@b",
        "sftp://me@[fe80::1]:2222/a@b",
        "abfs://container@account.dfs.core.windows.net/a:b@c",
        "abfs://container@host:10000/a@b",
        "github://org:repo@main/x",
        "zip://a::github://org:repo@main/x.zip",
        "file:///C:/Users/me@corp/x",
        "memory://a:1/c",
        "s3://bucket/table/key=5/token=1/password=2/x.parquet",
        "Bucket=b, Key=photos/x.jpg",
        "https://host/x?X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host",
        "https://host/?list-type=2&continuation-token=abc",
        "design=1 monkey=banana passwords=3 tokens=4 significant=5",
        "no password given, the token is wrong: key not found",
        "mail me@host:1 or a:b@c",
        "s3://bucket/what?a=b.txt",
        "is it at https://host/x?",
        "unknown option 'secrt'; did you mean 'secret', 'token' or 'key'?",
        "Basic authentication is off; the cookie is stale",
    ],
)
def test_innocent_text_stays(text):
    """Ports, partitions, e-mail addresses and words are no secrets."""
    assert redact(text) == text
