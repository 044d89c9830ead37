"""Parts of uploads, past the driver's session: it copies what it sends, and its signature reads every byte once more.

The driver's client words and signs each request, as ever, for a body that is covered by its checksum instead of by the
signature, and is stopped before it sends it. What is not plain (a proxy, certificates of its own, somebody who
listens) is left to the driver, and so is everything that the server does not simply accept.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from importlib import import_module
from typing import Any, Final
from urllib.parse import urlsplit
from xml.etree import ElementTree

from fsspec.asyn import sync

from persistence_fsspec.attempt import current
from persistence_fsspec.stores.accelerated import is_on, is_only_heard_by_itself

_PIECE: Final = 256 * 1024
_IDLE_MAX: Final = 32
"""Connections that are kept."""

_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_DAMAGED: Final = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch"})
_SPECIAL: Final = frozenset({"ssl_context", "resolver", "socket_factory", "local_addr"})
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"

_wording: ContextVar[bool] = ContextVar("persistence_fsspec_wording", default=False)


class _WordedError(Exception):
    """Stops a request that is about to be sent, and carries it."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


class PartSender:
    """For one store; several threads send at once, each on a connection of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Any = None
        self._declined = False
        self._tls: ssl.SSLContext | None = None
        self._idle: list[HTTPConnection] = []
        self._process = os.getpid()
        weakref.finalize(self, _close_all, self._idle)  # at the end of the process, too

    def send(self, fs: Any, data: bytes, **wanted: Any) -> Mapping[str, Any] | None:
        """One ``UploadPart``.

        Args:
            fs: A connected ``s3fs.S3FileSystem``.
            data: The part.
            wanted: Everything else that the client is told, a checksum among it.

        Returns:
            What the client would say of the answer; None when it is to do this itself, and nothing has been done.
        """
        if not self._is_open(fs):
            return None
        request = self._worded(fs, wanted)
        if request is None:
            return None
        try:
            answer, body = self._exchange(request, data)
        except ssl.SSLError:  # the driver may trust the other side, and says it better if not
            self._declined = True
            return None
        if answer.status == 200 and answer.headers.get("ETag"):
            return _as_told(answer.headers)
        error = _client_error(answer, body)
        if answer.status in _PASSING or error.response["Error"]["Code"] in _DAMAGED:
            raise import_module("s3fs.errors").translate_boto_error(error) from error
        self._declined = True
        return None

    # --- whether ---

    def _is_open(self, fs: Any) -> bool:
        client = getattr(fs, "_s3", None)
        if client is None:
            return False
        if client is not self._client:
            with self._lock:
                _close_all(self._idle)
                self._client, self._declined = client, True
                with contextlib.suppress(Exception):  # whatever is elsewhere by now is not understood
                    self._declined = not self._is_plain(fs, client)
        return not self._declined

    def _is_plain(self, fs: Any, client: Any) -> bool:
        session, config = client._endpoint.http_session, client.meta.config
        plain = not (
            fs.asynchronous
            or fs.cache_regions
            or config.proxies
            or session._proxy_config._proxies
            or session._cert_file
            or _SPECIAL & session._connector_args.keys()
            or (config.s3 or {}).get("payload_signing_enabled")
        )
        if not plain or not is_on() or not is_only_heard_by_itself(client, "UploadPart"):
            return False
        if client.meta.endpoint_url.startswith("https:"):
            if not session._verify:
                return False
            self._tls = session._build_verify_context()
        events = client.meta.events
        events.register("before-sign.s3.UploadPart", _leave_unsigned, unique_id="persist-unsigned")
        events.register_last("before-send.s3.UploadPart", _stop, unique_id="persist-worded")
        return True

    def _worded(self, fs: Any, wanted: Mapping[str, Any]) -> Any:
        """The client's request, but for the body; None where it says that the body is signed."""
        request = sync(fs.loop, _stopped_short, fs, wanted)
        if request is None:
            return None
        headers = {str(name).lower(): _text(value) for name, value in request.headers.items()}
        signed = headers.get("authorization", "").partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if headers.get("x-amz-content-sha256") == _UNSIGNED and "content-length" not in signed:
            return request
        self._declined = True
        return None

    # --- how ---

    def _exchange(self, request: Any, data: bytes) -> tuple[HTTPResponse, bytes]:
        parts = urlsplit(request.url)
        connection, used = self._connection(parts.scheme, parts.netloc)
        try:
            try:
                answer, body = self._ask(connection, request, data)
            except (ConnectionError, HTTPException):
                connection.close()
                if not used:
                    raise
                # The server had hung up on an idle connection. A part may be sent twice.
                connection, _ = self._connection(parts.scheme, parts.netloc, fresh=True)
                answer, body = self._ask(connection, request, data)
        except HTTPException as exc:
            connection.close()
            raise ConnectionAbortedError("the server's answer broke off") from exc
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._keep(connection)
        return answer, body

    def _ask(self, connection: HTTPConnection, request: Any, data: bytes) -> tuple[HTTPResponse, bytes]:
        parts = urlsplit(request.url)
        with _interruptible(connection):
            if connection.sock is None:
                self._connect(connection)
                _require_time()
            connection.putrequest(
                request.method, f"{parts.path}?{parts.query}", skip_host="host" in request.headers, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name.lower() not in {"content-length", "expect", "transfer-encoding", "connection"}:
                    connection.putheader(name, _text(value))
            connection.putheader("Content-Length", str(len(data)))
            connection.endheaders()
            view = memoryview(data)
            while view:  # not all at once: the time limit is for each piece
                view = view[connection.sock.send(view[:_PIECE]) :]
            answer = connection.getresponse()
            return answer, answer.read()

    def _connect(self, connection: HTTPConnection) -> None:
        config = self._client.meta.config
        connection.timeout = config.connect_timeout
        connection.connect()
        connection.sock.settimeout(config.read_timeout)

    def _connection(self, scheme: str, place: str, *, fresh: bool = False) -> tuple[HTTPConnection, bool]:
        """One to the place, and whether it was used before."""
        with self._lock:
            if self._process != os.getpid():  # the parent goes on with its own
                _close_all(self._idle)
                self._process = os.getpid()
            for each in self._idle if not fresh else ():
                if f"{each.host}:{each.port}" == _with_port(scheme, place):
                    self._idle.remove(each)
                    return each, True
        if scheme == "https":
            return HTTPSConnection(place, context=self._tls), False
        return HTTPConnection(place), False

    def _keep(self, connection: HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_MAX and self._process == os.getpid():
                self._idle.append(connection)
                return
        connection.close()


def _close_all(connections: list[HTTPConnection]) -> None:
    while connections:
        connections.pop().close()


@contextlib.contextmanager
def _interruptible(connection: HTTPConnection) -> Iterator[None]:
    """A deadline, or the end of the transfer around it, hangs up."""
    attempt = current()
    if attempt is None:
        yield
        return
    attempt.require_time()

    def hang_up() -> None:
        sock = connection.sock
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)

    attempt.watch(connection, hang_up)
    try:
        yield
    finally:
        attempt.unwatch(connection)


def _require_time() -> None:
    """There was nothing to hang up on while the connection was being made."""
    attempt = current()
    if attempt is not None:
        attempt.require_time()


def _with_port(scheme: str, place: str) -> str:
    parts = urlsplit(f"//{place}")
    return f"{parts.hostname}:{parts.port or (443 if scheme == 'https' else 80)}"


# --- in the client ---


async def _stopped_short(fs: Any, wanted: Mapping[str, Any]) -> Any:
    method = fs._s3.upload_part
    _wording.set(True)  # of this task
    try:
        await method(**fs._get_s3_method_kwargs(method, **wanted, Body=b""))
    except _WordedError as worded:
        worded.__traceback__ = None  # or whatever its frames hold would stay until the next collection of garbage
        return worded.request
    except Exception:  # noqa: BLE001 - the driver will meet the same, and has words for it
        return None
    return None


def _stop(request: Any, **_: Any) -> None:
    if _wording.get():  # others' requests go on
        raise _WordedError(request)


def _leave_unsigned(request: Any, **_: Any) -> None:
    """The body has a checksum, which is signed."""
    if _wording.get():
        config = request.context["client_config"]
        unsigned = import_module("botocore.config").Config(s3={**(config.s3 or {}), "payload_signing_enabled": False})
        request.context["client_config"] = config.merge(unsigned)


# --- what was said ---


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _as_told(headers: HTTPMessage) -> Mapping[str, Any]:
    names = {
        "ETag": "ETag",
        "ChecksumCRC32C": "x-amz-checksum-crc32c",
        "ServerSideEncryption": "x-amz-server-side-encryption",
        "SSECustomerAlgorithm": "x-amz-server-side-encryption-customer-algorithm",
    }
    return {name: headers[header] for name, header in names.items() if header in headers}


def _client_error(answer: HTTPResponse, body: bytes) -> Any:
    """As the client would have raised it."""
    said = {"Code": str(answer.status), "Message": answer.reason or ""}
    with contextlib.suppress(ElementTree.ParseError):
        for element in ElementTree.fromstring(body):  # noqa: S314 - from the store that the client trusts as well
            if element.tag.rpartition("}")[2] in said and element.text:
                said[element.tag.rpartition("}")[2]] = element.text
    headers = {name.lower(): value for name, value in answer.headers.items()}
    metadata = {"HTTPStatusCode": answer.status, "HTTPHeaders": headers}
    return import_module("botocore.exceptions").ClientError({"Error": said, "ResponseMetadata": metadata}, "UploadPart")
