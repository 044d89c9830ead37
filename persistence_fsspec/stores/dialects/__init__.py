"""How to speak to each driver: `base.Dialect` for any, a subclass where a row of `quirks` asks for it."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from persistence_fsspec.stores.dialects.base import Dialect

_DIALECTS: Final = {
    "s3fs": "s3:S3Dialect",
    "gcsfs": "gcs:GcsDialect",
    "adlfs": "abfs:AbfsDialect",
    "object-store": "base:ObjectDialect",
    "lakefs": "lakefs:LakefsDialect",
    "ftp": "ftp:FtpDialect",
    "paramiko": "ssh:ParamikoDialect",
    "sshfs": "ssh:SshfsDialect",
    "smb": "smb:SmbDialect",
    "webdav": "webdav:WebdavDialect",
    "hdfs-native": "hadoop:HdfsNativeDialect",
    "pyarrow": "hadoop:ArrowDialect",
    "webhdfs": "hadoop:WebHdfsDialect",
    "http": "http:HttpDialect",
    "memory": "memory:MemoryDialect",
    "archive": "archive:ArchiveDialect",
    "reference": "archive:ArchiveDialect",
    "unknown": "base:SwapDialect",
}


def dialect_for(driver: str) -> Dialect:
    """The dialect of a driver, by its name in `quirks.DRIVERS`."""
    module, _, name = _DIALECTS.get(driver, "base:Dialect").partition(":")
    dialect: Dialect = getattr(import_module(f"{__name__}.{module}"), name)()
    return dialect


__all__ = ["Dialect", "dialect_for"]
