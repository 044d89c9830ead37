"""Which releases of a driver and of the libraries below it are installed."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Final

_BELOW: Final[Mapping[str, tuple[str, ...]]] = {
    "s3fs": ("s3fs", "aiobotocore", "botocore", "aiohttp"),
    "gcsfs": ("gcsfs", "google-auth", "aiohttp"),
    "adlfs": ("adlfs", "azure-storage-blob", "azure-identity"),
    "paramiko": ("paramiko", "cryptography"),
    "sshfs": ("sshfs", "asyncssh", "cryptography"),
    "smb": ("smbprotocol",),
    "webdav": ("webdav4", "httpx"),
    "http": ("aiohttp",),
    "webhdfs": ("requests", "urllib3"),
    "pyarrow": ("pyarrow",),
    "hdfs-native": ("hdfs-native",),
    "lakefs": ("lakefs-spec", "lakefs"),
}


def versions(cls: type, driver: str) -> str:
    """Of one driver, for people.

    Args:
        cls: Its class.
        driver: As `quirks` names it.
    """
    own = cls.__module__.partition(".")[0]
    names = _BELOW.get(driver, (own,) if own not in {"fsspec", "builtins"} else ())
    found = [f"{name} {version}" for name in (*names, "fsspec") if (version := _version(name))]
    return ", ".join([*found, f"Python {platform.python_version()}"])


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
