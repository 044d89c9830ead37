"""From a name to a trusted connection, one step at a time, each with its own deadline."""

from __future__ import annotations

import email.utils
import http.client
import os
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from persistence_fsspec.diagnosis.checks import Check, ok, problem, skipped, warning, within
from persistence_fsspec.diagnosis.endpoints import Endpoint
from persistence_fsspec.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidOptionError,
    OperationTimeoutError,
    PersistenceError,
)
from persistence_fsspec.redaction import redact_address

_RESOLVE_SECONDS: Final = 5.0
_CONNECT_SECONDS: Final = 3.0
_ADDRESSES: Final = 4
_SOON: Final = 14 * 24 * 3600
_SKEW_SECONDS: Final = 300
_PROXIES: Final = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")

_Address = tuple[Any, ...]


def resolve(endpoint: Endpoint) -> tuple[Check, list[_Address]]:
    """The addresses of the host."""
    name = "name"

    def ask() -> list[_Address]:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(one[4] for one in found))

    try:
        addresses = within(_RESOLVE_SECONDS, ask)
    except PersistenceError:
        text = f"no answer about {endpoint.host} within {_RESOLVE_SECONDS:g} s"
        return problem(
            name, OperationTimeoutError(text), "The name server does not answer: check the network, a VPN, /etc/resolv.conf."
        ), []
    except (OSError, UnicodeError) as exc:
        error = ConnectionFailedError(f"{endpoint.host} has no address: {exc}")
        way_out = f"Check the spelling of the host ({endpoint.origin}), and whether it needs a VPN."
        return problem(name, error, _noted(way_out, endpoint)), []
    return ok(name, f"{endpoint.host} is {', '.join(str(one[0]) for one in addresses)}"), addresses


def connect(endpoint: Endpoint, addresses: list[_Address], *, behind_proxy: bool) -> Check:
    """TCP to every address: with several, a dead one makes every other connection slow."""
    name, reached, failed = "connection", [], []
    for address in addresses[:_ADDRESSES]:
        begun = time.monotonic()
        try:
            socket.create_connection(address[:2], timeout=_CONNECT_SECONDS).close()
        except OSError as exc:
            failed.append(f"{address[0]}: {exc.strerror or exc}")
        else:
            reached.append(f"{address[0]} in {(time.monotonic() - begun) * 1000:.0f} ms")
    if reached and not failed:
        return ok(name, f"port {endpoint.port} answers at {', '.join(reached)}")
    text = f"port {endpoint.port}: {'; '.join(failed)}"
    if reached:
        return warning(
            name,
            f"{text}; answers at {', '.join(reached)}",
            "Some addresses of the host are dead; requests that go there are slow or fail.",
        )
    if behind_proxy:
        return warning(name, f"{text}; a proxy is set, and may still reach it")
    way_out = f"Check host and port ({endpoint.origin}), whether the server runs, and whether a firewall is in between."
    return problem(name, ConnectionFailedError(f"{endpoint} cannot be reached: {text}"), _noted(way_out, endpoint))


def _noted(way_out: str, endpoint: Endpoint) -> str:
    """What nobody chose is the first thing to look at."""
    return f"{endpoint.note[:1].upper()}{endpoint.note[1:]} {way_out}" if endpoint.note else way_out


def proxies(endpoint: Endpoint) -> Check:
    """Proxy settings of the environment that would come in between."""
    name = "proxy"
    found = {one: os.environ.get(one) or os.environ.get(one.lower()) for one in _PROXIES}
    present = {one: value for one, value in found.items() if value}
    if not present:
        return ok(name, "none set")
    told = ", ".join(f"{one}={redact_address(str(value))}" for one, value in present.items())
    if not endpoint.web:
        return ok(name, f"{told}; this protocol does not use it")
    if not relevant_proxy(endpoint):
        return ok(name, f"{told}; not used for {endpoint.host}")
    way_out = f"If {endpoint.host} is reached directly, add it to NO_PROXY."
    return warning(name, f"{told}; requests to {endpoint.host} may go through it", way_out)


def relevant_proxy(endpoint: Endpoint) -> str:
    """The proxy that requests to an endpoint may go through; empty for none."""
    if not endpoint.web or urllib.request.proxy_bypass(endpoint.host):
        return ""
    found = urllib.request.getproxies()
    return found.get("https" if endpoint.tls else "http") or found.get("all") or ""


# --- TLS ---

_REASONS: Final[Mapping[int, tuple[str, str]]] = {
    9: ("is not valid yet", "Check the clock of this machine, then the server's certificate."),
    10: ("has expired", "The server needs a new certificate; check the clock of this machine, too."),
    18: ("is self-signed", "If you trust the server, let the driver know its certificate (see below)."),
    19: ("comes from an authority of its own that this machine does not trust", "Let the driver know that authority's certificate (see below)."),
    20: ("comes from an authority that this machine does not trust", "Let the driver know that authority's certificate (see below), or mend the server's chain."),
    21: ("comes without the certificates of its authority", "The server must send its whole chain."),
    62: ("is for another name", "Use the name that the certificate is for, or give the server one for this name."),
    64: ("is for another address", "Use the name that the certificate is for."),
}  # fmt: skip
_OWN_AUTHORITY: Final = {
    "s3fs": "AWS_CA_BUNDLE=/path/to/ca.pem",
    "webhdfs": "REQUESTS_CA_BUNDLE=/path/to/ca.pem",
    "gcsfs": "REQUESTS_CA_BUNDLE=/path/to/ca.pem",
    "adlfs": "REQUESTS_CA_BUNDLE=/path/to/ca.pem",
}


def tls(endpoint: Endpoint, driver: str, options: Mapping[str, Any]) -> Check:
    """A handshake with what this machine trusts; what is wrong with the certificate is named."""
    name = "TLS"
    if not endpoint.tls:
        return _open(name, endpoint, driver, options)
    own = _verification(driver, options)
    if isinstance(own, str):
        path = os.path.expanduser(own)
        if not os.path.exists(path):
            return problem(name, InvalidOptionError(f"the options name {own} for trusted certificates, and it is not there"))
        # As the drivers do: what the option names is trusted, and nothing else.
        folder = os.path.isdir(path)
        context = ssl.create_default_context(cafile=None if folder else path, capath=path if folder else None)
    else:
        context = ssl.create_default_context()
    bundle = os.environ.get("AWS_CA_BUNDLE" if driver == "s3fs" else "REQUESTS_CA_BUNDLE")
    if bundle and os.path.isfile(bundle) and not isinstance(own, str):
        context.load_verify_locations(bundle)
    try:
        with _handshake(endpoint, context) as connection:
            certificate, version = connection.getpeercert() or {}, connection.version()
    except ssl.SSLCertVerificationError as exc:
        return _untrusted(name, endpoint, exc, driver)
    except (ssl.SSLError, OSError) as exc:
        error = ConnectionFailedError(f"no TLS handshake with {endpoint}: {exc}")
        return problem(
            name, error, "Does the server speak TLS on this port? http:// in place of https:// would say that it does not."
        )
    return _trusted(name, certificate, str(version))


def is_unverified(driver: str, options: Mapping[str, Any]) -> bool:
    """Whether the options switch the check of certificates off."""
    return _verification(driver, options) is False


def _verification(driver: str, options: Mapping[str, Any]) -> str | bool:
    """What the options say of certificates: a file or folder of trusted ones, False for no check at all, else True."""
    client = options.get("client_kwargs")
    tables = [options, client] if isinstance(client, Mapping) else [options]
    names = ("verify", "ssl_verify", "session_verify", *(("ssl",) if driver == "http" else ()))
    for table in tables:
        for one in names:
            if isinstance(table.get(one), (str, bool)) and table[one] not in ("", True):
                return table[one]  # type: ignore[no-any-return]
    return True


def _open(name: str, endpoint: Endpoint, driver: str, options: Mapping[str, Any]) -> Check:
    """No TLS from the first byte: fine on this machine, and where the protocol encrypts by itself."""
    if endpoint.web or (driver == "ftp" and not options.get("tls")):
        text = "not used: what is sent can be read on the way"
        way_out = "Use https:// where the server offers it." if endpoint.web else "-o tls=true, where the server offers it."
        return ok(name, text) if _is_near(endpoint.host) else warning(name, text, way_out)
    return ok(name, "not from the first byte; the protocol does it in its own way, or not at all")


def _handshake(endpoint: Endpoint, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection((endpoint.host, endpoint.port), timeout=_CONNECT_SECONDS)
    try:
        return context.wrap_socket(raw, server_hostname=endpoint.host)
    except BaseException:
        raw.close()
        raise


def _trusted(name: str, certificate: Mapping[str, Any], version: str) -> Check:
    ends = ssl.cert_time_to_seconds(str(certificate["notAfter"]))
    text = f"{version}, certificate for {_names(certificate)}, valid until {_day(ends)}"
    if ends - time.time() < _SOON:
        return warning(name, text, "The certificate ends soon; the server needs a new one.")
    return ok(name, text)


def _names(certificate: Mapping[str, Any]) -> str:
    subject = {key: value for part in certificate.get("subject", ()) for key, value in part}
    named = [value for _, value in certificate.get("subjectAltName", ())]
    return ", ".join(named[:3]) or str(subject.get("commonName", "nobody"))


def _untrusted(name: str, endpoint: Endpoint, exc: ssl.SSLCertVerificationError, driver: str) -> Check:
    what, way_out = _REASONS.get(
        exc.verify_code, (f"is not trusted: {exc.verify_message}", "Check the address, and what this machine trusts.")
    )
    known = _OWN_AUTHORITY.get(driver, "SSL_CERT_FILE=/path/to/ca.pem")
    way_out = way_out.replace("(see below)", f"({known})")
    details = _details(endpoint)
    error = AuthenticationError(f"the certificate of {endpoint} {what}{f' ({details})' if details else ''}")
    return problem(name, error, way_out)


def _details(endpoint: Endpoint) -> str:
    """Whose certificate it is and until when, although nobody vouches for it; empty where that cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent, only looked at
    try:
        from cryptography import x509  # noqa: PLC0415 - comes with some drivers

        with _handshake(endpoint, context) as connection:
            found = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
    except (AttributeError, ImportError, OSError, ValueError):  # an old release knows other names
        return ""
    return f"{found.subject.rfc4514_string() or 'no subject'}, valid until {found.not_valid_after_utc:%Y-%m-%d}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d")


def _is_near(host: str) -> bool:
    return host in {"localhost", "::1"} or host.startswith("127.")


# --- time ---


def clock(endpoint: Endpoint, *, signed: bool) -> Check:
    """This machine's time against the server's: signed requests are refused when they differ too much."""
    name = "clock"
    if not endpoint.web:
        return skipped(name, "the server does not tell its time")
    try:
        told = within(2 * _CONNECT_SECONDS, lambda: _date(endpoint))
    except (OSError, http.client.HTTPException, PersistenceError) as exc:
        return skipped(name, f"the server was not asked: {exc}")
    if told is None:
        return skipped(name, "the server does not tell its time")
    skew = time.time() - told
    text = (
        f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the server" if abs(skew) >= 2 else "the same as the server's"
    )
    if abs(skew) <= _SKEW_SECONDS:
        return ok(name, text)
    way_out = "Set the clock of this machine (NTP)."
    if signed:
        return problem(name, AuthenticationError(f"this machine's clock is {text}; signed requests are refused"), way_out)
    return warning(name, text, way_out)


def _date(endpoint: Endpoint) -> float | None:
    """From the header of any answer. The certificate is judged elsewhere; nothing but the question is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    make: Callable[[], http.client.HTTPConnection] = (
        (lambda: http.client.HTTPSConnection(endpoint.host, endpoint.port, timeout=_CONNECT_SECONDS, context=context))
        if endpoint.tls
        else (lambda: http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=_CONNECT_SECONDS))
    )
    connection = make()
    try:
        connection.request("HEAD", "/")
        found = connection.getresponse().getheader("Date")
    finally:
        connection.close()
    parsed = email.utils.parsedate_to_datetime(found) if found else None
    return parsed.timestamp() if parsed else None
