"""Importing the package is cheap and harmless."""

from __future__ import annotations

import subprocess
import sys

DRIVERS = (
    "s3fs", "gcsfs", "adlfs", "botocore", "aiobotocore", "google.cloud", "azure", "paramiko", "asyncssh", "sshfs", "smbclient",
    "smbprotocol", "webdav4", "httpx", "hdfs_native", "pyarrow", "requests", "aiohttp", "ftplib", "lakefs_spec",
    "rich", "typer", "pandas", "numpy",
)  # fmt: skip


def run(code: str) -> str:
    """Run code in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_import_loads_no_driver():
    """Not one driver, nor anything heavy that fsspec itself does not load."""
    code = "import sys, {}; print([m for m in {!r} if m in sys.modules])"
    alone = run(code.format("fsspec", DRIVERS))

    assert run(code.format("persistence_fsspec.persistence", DRIVERS)) == alone == "[]\n"


def test_construction_opens_nothing(tmp_path):
    """Neither a connection, nor a driver, nor a folder."""
    code = f"""
import os, sys
os.chdir({str(tmp_path)!r})
from persistence_fsspec import FSSpecPersistence
FSSpecPersistence("s3://bucket/x", storage_options={{"key": "k"}})
FSSpecPersistence("ftp://127.0.0.1:1/x")
FSSpecPersistence("sftp://nobody@127.0.0.1:1/x")
FSSpecPersistence()
print([m for m in {DRIVERS!r} if m in sys.modules], os.listdir("."))
"""
    assert run(code) == "[] []\n"


def test_module_without_the_cli_extra_says_how_to_get_it():
    """One line with the install command, no traceback."""
    code = """
import sys
sys.modules["typer"] = None
sys.argv = ["persist", "demo"]
from persistence_fsspec.__main__ import main
try:
    main()
except SystemExit as exc:
    print(exc.code)
"""
    out = run(code)
    assert out.count("\n") == 1
    assert '-m pip install "persistence-fsspec[cli]"' in out
