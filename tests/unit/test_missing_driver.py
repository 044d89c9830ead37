"""A protocol whose package is not installed says so in one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from persistence_fsspec import FSSpecPersistence, UnknownProtocolError

CODE = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
from persistence_fsspec import FSSpecPersistence, MissingDriverError
try:
    FSSpecPersistence({url!r}, storage_options={options!r}).exists("k")
except MissingDriverError as exc:
    assert isinstance(exc, ImportError)
    print(exc)
"""


@pytest.mark.parametrize(
    ("url", "blocked", "package", "extra", "options"),
    [
        ("s3://b/x", ["s3fs"], "s3fs", "s3", {}),
        ("gs://b/x", ["gcsfs"], "gcsfs", "gs", {}),
        ("abfs://c/x", ["adlfs"], "adlfs", "abfs", {}),
        ("az://c/x", ["adlfs"], "adlfs", "abfs", {}),
        ("sftp://h/x", ["paramiko", "sshfs"], "paramiko", "sftp", {}),
        ("smb://h/share/x", ["smbclient", "smbprotocol"], "smbprotocol", "smb", {}),
        ("webdav://h/x", ["webdav4", "webdav4.fsspec"], "webdav4", "webdav", {}),
        ("http://h/x", ["aiohttp"], "aiohttp", "http", {}),
        ("https://h/x", ["aiohttp"], "aiohttp", "http", {}),
        ("webhdfs://h/x", ["requests"], "requests", "webhdfs", {}),
    ],
)
def test_one_line_with_protocol_package_and_command(url, blocked, package, extra, options):
    """What is missing, and the exact command of this very interpreter that brings it."""
    code = CODE.format(url=url, blocked=blocked, options=options)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True)
    line = done.stdout.splitlines()[0]

    assert f"{url.partition('://')[0]}:// needs {package}, which is not installed" in line
    assert line.endswith(f'{sys.executable} -m pip install "persistence-fsspec[{extra}]"')


def test_hdfs_says_which_native_part_is_absent():
    """libhdfs needs more than a package."""
    code = CODE.format(url="hdfs://h/x", blocked=["pyarrow", "pyarrow.fs", "hdfs_native"], options={"host": "h"})
    blocked = (
        "import fsspec; fsspec.register_implementation('hdfs', 'fsspec.implementations.arrow.HadoopFileSystem', clobber=True)\n"
    )
    env = {"PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", blocked + code], check=True, capture_output=True, text=True, env=env)

    assert 'persistence-fsspec[hdfs]"' in done.stdout
    assert "JAVA_HOME" in done.stdout


def test_unknown_protocol_is_named():
    """A typing error is not a missing package."""
    with pytest.raises(UnknownProtocolError, match="s33"):
        FSSpecPersistence("memory://x").exists("s33://bucket/k")
