"""Which host and port a store's driver talks to, as far as that can be known without connecting."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final
from urllib.parse import urlsplit

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import Location

_PORTS: Final = {
    "ftp": 21, "sftp": 22, "ssh": 22, "sshfs": 22, "smb": 445, "hdfs": 8020, "arrow_hdfs": 8020, "webhdfs": 9870,
    "http": 80, "https": 443, "webdav": 443, "dav": 443,
}  # fmt: skip
_HOSTED: Final = frozenset({"ftp", "sftp", "ssh", "sshfs", "smb", "hdfs", "arrow_hdfs"})
_WEB: Final = frozenset({"http", "https"})

ELSEWHERE: Final = "for another S3 store add -o endpoint_url=https://... (or AWS_ENDPOINT_URL)."
AWS_BY_DEFAULT: Final = f"no endpoint_url is set, so this is AWS; {ELSEWHERE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a driver connects to.

    Attributes:
        host: Name or address.
        port: Of TCP.
        tls: The connection begins with a TLS handshake.
        origin: What says so.
        web: HTTP is spoken there.
        note: What should be known of it, where it is not what somebody chose.
    """

    host: str
    port: int
    origin: str
    tls: bool = False
    web: bool = False
    note: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def endpoint_of(driver: str, location: Location, options: Mapping[str, Any], origins: Mapping[str, str]) -> Endpoint | None:
    """The endpoint of a store.

    Args:
        driver: As `quirks` names it.
        location: Of the store.
        options: Of its driver.
        origins: Where each option comes from.

    Returns:
        None where there is none (this machine), or nobody knows.

    Raises:
        InvalidOptionError: There should be one, and it cannot be understood.
    """
    protocol = location.protocol
    if "::" in location.root or driver in {"local", "memory", "archive"}:
        return None
    for name in ("endpoint_url", "base_url", "api_endpoint", "account_url"):
        if isinstance(options.get(name), str) and options[name]:
            return _from_url(options[name], f"{name} in {origins.get(name, 'options')}")
    if driver == "s3fs":
        return _of_s3(options)
    if driver == "gcsfs":
        emulator = os.environ.get("STORAGE_EMULATOR_HOST", "")
        if emulator:
            return _from_url(emulator if "://" in emulator else f"http://{emulator}", "STORAGE_EMULATOR_HOST")
        return _from_url("https://storage.googleapis.com", "Google's own")
    if driver == "adlfs":
        return _of_azure(options, origins)
    if driver == "lakefs":
        host = options.get("host") or os.environ.get("LAKECTL_SERVER_ENDPOINT_URL", "")
        return _from_url(str(host), "the lakeFS host") if host else None
    if protocol in _HOSTED or protocol == "webhdfs":
        return _of_host(location, options, origins)
    if protocol in _WEB | {"webdav", "dav"}:
        scheme = protocol if protocol in _WEB else "https"
        return _from_url(f"{scheme}://{location.root.partition('://')[2].rpartition('@')[2]}", "the URL")
    return None


def _from_url(url: str, origin: str) -> Endpoint:
    scheme, host, port = "", None, None
    with suppress(ValueError):  # its error quotes what it takes for a port, which may be a password
        parts = urlsplit(url)
        scheme, host, port = parts.scheme, parts.hostname, parts.port
    if scheme not in {"http", "https"} or not host:
        raise InvalidOptionError(
            f"{origin} is no address",
            hint="An endpoint is a URL such as https://minio.example:9000, with http:// or https:// in front; in a login, "
            "special characters are spelled as URLs do (/ is %2F, @ is %40).",
        )
    tls = scheme == "https"
    return Endpoint(host=host, port=port or (443 if tls else 80), origin=origin, tls=tls, web=True)


def _of_s3(options: Mapping[str, Any]) -> Endpoint:
    """What botocore makes of options, environment and configuration files; it asks nobody for that."""
    import botocore.session  # type: ignore[import-untyped]  # noqa: PLC0415 - a driver's own

    client = dict(options.get("client_kwargs") or {})
    given = client.get("endpoint_url")
    if given:
        return _from_url(str(given), "client_kwargs.endpoint_url")
    session = botocore.session.Session(profile=options.get("profile"))
    region = client.get("region_name") or session.get_config_variable("region") or "us-east-1"
    made = session.create_client(
        "s3",
        region_name=region,
        use_ssl=bool(options.get("use_ssl", True)),
        aws_access_key_id="unused",
        aws_secret_access_key="unused",  # noqa: S106 - nothing is asked with it
    )
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    origin = next((name for name in names if os.environ.get(name)), f"AWS in region {region}")
    found = _from_url(str(made.meta.endpoint_url), origin)
    if not found.host.endswith((".amazonaws.com", ".amazonaws.com.cn")):  # ~/.aws/config may name one, too
        return found
    return replace(found, note=AWS_BY_DEFAULT)


def _of_azure(options: Mapping[str, Any], origins: Mapping[str, str]) -> Endpoint | None:
    text = options.get("connection_string") or os.environ.get("AZURE_STORAGE_CONNECTION_STRING", "")
    found = re.search(r"BlobEndpoint=([^;]+)", str(text))
    if found:
        return _from_url(found[1], "BlobEndpoint of the connection string")
    named = re.search(r"AccountName=([^;]+)", str(text))
    account = options.get("account_name") or (named[1] if named else os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", ""))
    if not account:
        return None
    host = options.get("account_host") or f"{account}.blob.core.windows.net"
    return _from_url(f"https://{host}", f"account_name in {origins.get('account_name', 'the environment')}")


def _of_host(location: Location, options: Mapping[str, Any], origins: Mapping[str, str]) -> Endpoint | None:
    host = str(options.get("host") or "")
    if not host or host == "default":  # Hadoop's own configuration names the server
        return None
    port = options.get("port") or _PORTS[location.protocol]
    try:
        number = int(port)
    except (TypeError, ValueError):
        raise InvalidOptionError(f"port {port!r} in {origins.get('port', 'options')} is no number") from None
    web = location.protocol == "webhdfs"
    tls = web and bool(options.get("use_https"))
    return Endpoint(host=host, port=number, origin=origins.get("host", "the URL"), tls=tls, web=web)
