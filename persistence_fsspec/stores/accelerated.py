"""A faster way to do the same: requests to S3 go through obstore, on behalf of the driver that is connected already.

The driver decides everything. Before anything is sent past it, its own client is
asked for one reading and one writing request, which are looked at and never sent:
where they would go, who signs them for which region, and what else they say. Only
requests that obstore would word the same are given to it; every value is passed
explicitly, so that the environment is not asked a second time, by other rules.

Whatever is not understood is declined, and stays with the driver.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from fsspec.asyn import sync

from persistence_fsspec.policy import Policy
from persistence_fsspec.stores.dialects import Dialect, dialect_for

SWITCH: Final = "PERSISTENCE_FSSPEC_ACCELERATE"
"""An environment variable: 0, no, false or off leave every request to the driver."""

_SILENCE_SECONDS: Final = 10.0
"""Nothing can end a request that waits for an answer, so that it is given up early, and left to the driver."""

_ASK_AGAIN: Final = timedelta(seconds=60)
"""So often credentials that expire are asked of the client, which renews them in time."""

_Headers = Mapping[str, str]

# Headers that obstore's requests have too, or whose absence changes nothing that is read or written: the names of tools, the
# number of the attempt, and checksums, for which S3 has its own where none is sent.
_PLAIN: Final = re.compile(
    r"accept-encoding|amz-sdk-.*|authorization|connection|content-length|expect|host|user-agent"
    r"|x-amz-content-sha256|x-amz-date|x-amz-request-payer|x-amz-security-token"
    r"|x-amz-checksum-(mode|crc32|crc32c|crc64nvme|sha1|sha256)|x-amz-sdk-checksum-algorithm|x-amz-trailer"
    r"|x-amz-decoded-content-length|transfer-encoding|content-encoding=aws-chunked|content-md5"
)
_SCOPE: Final = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d+/([^/]+)/s3/aws4_request,")

# What obstore takes from the environment, and has no word for "no" for.
_OVERRULING: Final = re.compile(r"AWS_(CHECKSUM_ALGORITHM|SERVER_SIDE_ENCRYPTION|SSE_\w+)|(HTTPS?|ALL)_PROXY", re.IGNORECASE)

_STAGES: Final = (
    *("provide-client-params", "before-parameter-build", "before-endpoint-resolution", "before-call", "request-created"),
    *("choose-signer", "before-sign", "before-send", "response-received", "before-parse", "needs-retry", "after-call"),
    "after-call-error",
)
_OWN: Final = frozenset({"aiobotocore", "botocore", "persistence_fsspec"})

_showing: ContextVar[bool] = ContextVar("persistence_fsspec_showing", default=False)
_used = False
_inherited = False


class DeclinedError(Exception):
    """There is no faster way that does exactly the same."""


class _ShownError(Exception):
    """Stops a request that is about to be sent, and carries it."""

    def __init__(self, request: Any) -> None:
        super().__init__()
        self.request = request


@dataclass(frozen=True, slots=True)
class Shortcut:
    """To one bucket, in one client's name.

    Attributes:
        store: An ``obstore.store.S3Store``.
        silence_seconds: A request that hears nothing for so long is given up.
        writes: Objects may be written, too.
    """

    store: Any
    silence_seconds: float
    writes: bool


def faster_dialect_for(driver: str, policy: Policy) -> Dialect:
    """The dialect of a driver, with the accelerator where there is one, it is installed, and nobody switched it off.

    Args:
        driver: Its name in `quirks.DRIVERS`.
        policy: `stall_seconds` and `timeout_seconds` bound each request.
    """
    if driver != "s3fs" or not is_on() or find_spec("obstore") is None:
        return dialect_for(driver)
    dialect: Dialect = import_module("persistence_fsspec.stores.dialects.s3_fast").FastS3Dialect(policy)
    return dialect


def is_on() -> bool:
    """Whether nobody switched it off."""
    return os.environ.get(SWITCH, "").strip().lower() not in {"0", "no", "false", "off"}


def is_usable_here() -> bool:
    """Not in a forked child: obstore's threads, which do the work, stayed with the parent."""
    return not _inherited


def shortcut(fs: Any, bucket: str, policy: Policy) -> Shortcut:
    """Find the faster way to a bucket.

    Args:
        fs: A connected ``s3fs.S3FileSystem``.
        bucket: Its name.
        policy: For the time limits.

    Raises:
        DeclinedError: There is none.
    """
    global _used
    client = fs.s3
    _require_plain(fs, client)
    reading = _show(fs, "get_object", Bucket=bucket, Key="k")
    writing = _show(fs, "put_object", Bucket=bucket, Key="k", Body=b"-")
    heard = _headers(reading)
    if not _is_plain(heard):
        raise DeclinedError("requests say more than is understood")
    base = _base(reading.url)
    credentials = client._request_signer._credentials
    key_id, region = _signed_by(heard)
    signed: dict[str, Any] = {"skip_signature": True}
    if key_id is not None:
        if credentials is None:
            raise DeclinedError("requests are signed by somebody else")
        signed = {"skip_signature": False, "credential_provider": _asking(fs, credentials)}
    options: dict[str, Any] = {
        "endpoint": base,
        "aws_endpoint_url_s3": base,
        "region": region,
        "virtual_hosted_style_request": True,  # the place has the bucket in it, wherever the client puts it
        "request_payer": "x-amz-request-payer" in heard,
        "unsigned_payload": False,
        "s3_express": False,
        "conditional_put": "etag",
        "retry_config": {"max_retries": 0, "retry_timeout": timedelta(0)},
        **signed,
    }
    silence_seconds = min(_SILENCE_SECONDS, policy.stall_seconds, policy.timeout_seconds or _SILENCE_SECONDS)
    silence = timedelta(seconds=silence_seconds)
    limits = {"connect_timeout": silence, "read_timeout": silence, "timeout": timedelta(days=1)}
    transport = {**_transport(client, base), **limits, "user_agent": heard.get("user-agent", "persistence-fsspec")}
    _used = True
    said = _headers(writing)
    return Shortcut(
        store=import_module("obstore.store").S3Store(bucket, client_options=transport, **options),
        silence_seconds=silence_seconds,
        writes=_is_plain(said) and _base(writing.url) == base and "content-type" not in said,
    )


# --- what the client is like ---------------------------------------------------------------------------------------------


def _require_plain(fs: Any, client: Any) -> None:
    if fs.asynchronous or fs.cache_regions or fs.version_aware or not getattr(fs, "_session_is_owned", True):
        raise DeclinedError("the driver does more than one client of its own can show")
    if any(value and _OVERRULING.fullmatch(name) for name, value in os.environ.items()):
        raise DeclinedError("the environment overrules what would be passed")
    if client.meta.config.proxies or client._endpoint.http_session._proxy_config._proxies:
        raise DeclinedError("requests go through a proxy")
    if not all(is_only_heard_by_itself(client, operation) for operation in ("GetObject", "PutObject")):
        raise DeclinedError("somebody listens to requests, or changes them")


def is_only_heard_by_itself(client: Any, operation: str) -> bool:
    """Whether nobody else has hooks in what a client does for an operation; such as changes requests, or answers them."""
    try:
        handlers = client.meta.events._emitter._handlers
        hooks = [hook for stage in _STAGES for hook in handlers.prefix_search(f"{stage}.s3.{operation}")]
    except AttributeError:  # kept elsewhere by now
        return False
    return all(_package(hook) in _OWN for hook in hooks)


def _package(thing: Any) -> str:
    named = getattr(thing, "func", thing)
    module = getattr(named, "__module__", None) or type(named).__module__
    return str(module).partition(".")[0]


def _transport(client: Any, base: str) -> dict[str, Any]:
    """How the client's session connects."""
    session, secure = client._endpoint.http_session, base.startswith("https:")
    if _package(type(session)) not in _OWN or session._connector_args.keys() & {
        "ssl_context",
        "resolver",
        "socket_factory",
    }:
        raise DeclinedError("connections are made in a way of its own")
    if secure and (session._verify not in {True, False} or session._cert_file is not None):
        raise DeclinedError("certificates are not the usual ones")  # obstore could trust others, but not only them
    return {"allow_http": not secure, "allow_invalid_certificates": secure and session._verify is False}


# --- what it is about to send --------------------------------------------------------------------------------------------


def _show(fs: Any, operation: str, **wanted: Any) -> Any:
    """One request of the client as it is about to be sent; it is not.

    Raises:
        DeclinedError: Something else answers it.
    """
    try:
        sync(fs.loop, _stopped_short, fs, operation, wanted)
    except _ShownError as shown:
        return shown.request
    raise DeclinedError("requests are answered before they are sent")


async def _stopped_short(fs: Any, operation: str, wanted: Mapping[str, Any]) -> None:
    method, events = getattr(fs._s3, operation), fs._s3.meta.events
    events.register_last("before-send.s3", _stop, unique_id="persistence-fsspec")
    token = _showing.set(True)
    try:
        await method(**fs._get_s3_method_kwargs(method, **wanted))
    finally:
        _showing.reset(token)
        events.unregister("before-send.s3", _stop, unique_id="persistence-fsspec")


def _stop(request: Any, **_: Any) -> None:
    if _showing.get():  # others' requests go on
        raise _ShownError(request)


def _headers(request: Any) -> _Headers:
    """By their names in small letters."""
    return {
        str(name).lower(): value.decode("latin-1") if isinstance(value, bytes) else str(value)
        for name, value in request.headers.items()
    }


def _is_plain(headers: _Headers) -> bool:
    return all(_PLAIN.fullmatch(name) or _PLAIN.fullmatch(f"{name}={value}") for name, value in headers.items())


def _base(url: str) -> str:
    """What stands before the slash and the key."""
    base, slash, key = url.rpartition("/")
    if not slash or key != "k" or "?" in base or "%" in base:
        raise DeclinedError("objects lie in places that are not understood")
    return base


def _signed_by(headers: _Headers) -> tuple[str | None, str]:
    """Whose signature it is, and for which region; None for nobody's."""
    text = headers.get("authorization")
    if text is None:
        return None, "us-east-1"
    found = _SCOPE.match(text)
    if found is None:
        raise DeclinedError("requests are signed in another way")
    return found[1], found[2]


def _asking(fs: Any, credentials: Any) -> Callable[[], dict[str, Any]]:
    """A function that asks the client's own credentials, which renew themselves."""
    lasting = type(credentials).__name__ in {"AioCredentials", "Credentials"}

    def ask() -> dict[str, Any]:
        found = credentials.get_frozen_credentials()
        if inspect.isawaitable(found):
            found = sync(fs.loop, _awaited, found)
        until = None if lasting else datetime.now(tz=timezone.utc) + _ASK_AGAIN
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": until,
        }

    return ask


async def _awaited(found: Any) -> Any:
    return await found


def _after_fork_in_child() -> None:
    global _inherited
    _inherited = _inherited or _used or "obstore" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
