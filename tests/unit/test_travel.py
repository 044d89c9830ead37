"""A persistence goes to other processes, and its secret is looked up where it arrives."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import tempfile
import uuid
from functools import partial
from pathlib import Path

import pytest

from persistence_fsspec import FSSpecPersistence, InvalidOptionError, SecretReference
from tests.servers.environment import environment
from tests.servers.process import PROGRAMS, NotInstalled

ROOT = Path(__file__).parents[2]
OURS = ("fsspec>=2025.10.0", "google-crc32c>=1.5", "pathspec>=0.12", "platformdirs>=4", "tenacity>=9", "tomli>=2")
SCHEDULERS = {"dask": ("distributed==2025.12.0", *OURS), "ray": ("ray==2.54.1", *OURS)}
BUILT_AHEAD = [partial(environment, name, requirements) for name, requirements in SCHEDULERS.items()]


def paramiko_of(_, **options):
    """sshfs takes the protocol where it is installed."""
    from fsspec.implementations.sftp import SFTPFileSystem

    return SFTPFileSystem(**options, look_for_keys=False, allow_agent=False, skip_instance_cache=True)


def read_there(persistence, name):
    return persistence.read_bytes(name)


def far_away(persistence, name, monkeypatch, variable, secret):
    """Read in a spawned process, which alone has the variable."""
    monkeypatch.setenv(variable, secret)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        pool.apply(os.getpid)  # it has started, with its own environment
        monkeypatch.delenv(variable)
        with pytest.raises(InvalidOptionError, match=variable):
            persistence.read_bytes(name)
        return pool.apply(read_there, (persistence, name))


@pytest.mark.server("ftp")
def test_ftp_in_a_spawned_process(ftp_server, monkeypatch):
    """Where the variable is missing, that is what the error says; where it is set, the store is read."""
    name, variable = uuid.uuid4().hex, f"TEST_{uuid.uuid4().hex}"
    ftp_server.raw_write(name, b"hello")
    options = {**ftp_server.storage_options, "password": SecretReference(env=variable)}
    persistence = FSSpecPersistence(ftp_server.url, storage_options=options)

    assert far_away(persistence, name, monkeypatch, variable, ftp_server.storage_options["password"]) == b"hello"


@pytest.mark.server("sftp")
@pytest.mark.parametrize("driver", ["paramiko", "sshfs"])
def test_sftp_in_a_spawned_process(driver, sftp_server, monkeypatch):
    """Also by a function that makes the filesystem, which travels by its name."""
    pytest.importorskip(driver)
    name, variable = uuid.uuid4().hex, f"TEST_{uuid.uuid4().hex}"
    sftp_server.raw_write(name, b"hello")
    options = {**getattr(sftp_server, f"{driver}_options"), "password": SecretReference(env=variable)}
    if driver == "paramiko":
        options = {
            **{k: v for k, v in options.items() if k not in {"look_for_keys", "allow_agent"}},
            "filesystem_factory": paramiko_of,
        }
    persistence = FSSpecPersistence(sftp_server.url, storage_options=options)

    assert far_away(persistence, name, monkeypatch, variable, sftp_server.storage_options["password"]) == b"hello"


@pytest.mark.server("s3")
def test_s3_in_a_spawned_process(strict_s3_server, monkeypatch):
    """A server that looks at signatures."""
    name, variable = uuid.uuid4().hex, f"TEST_{uuid.uuid4().hex}"
    server = strict_s3_server.new_bucket(f"travel-{name}")
    server.raw_write(name, b"hello")
    options = {**server.storage_options, "key": SecretReference(env="TEST_KEY"), "secret": SecretReference(env=variable)}
    monkeypatch.setenv("TEST_KEY", server.storage_options["key"])

    found = far_away(
        FSSpecPersistence(server.url, storage_options=options), name, monkeypatch, variable, server.storage_options["secret"]
    )
    assert found == b"hello"


@pytest.mark.server("ftp")
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_over_a_cluster(scheduler, ftp_server, tmp_path):
    """Only the workers know the password; what went there does not hold it; a literal one is refused by name."""
    try:
        python = environment(scheduler, SCHEDULERS[scheduler])
    except NotInstalled as exc:
        pytest.skip(f"{scheduler} cannot be installed here: {str(exc)[-300:]}")
    folder, variable = uuid.uuid4().hex, f"TEST_{uuid.uuid4().hex}"
    for name in "0123":
        ftp_server.raw_write(f"{folder}/{name}", f"object {name}".encode())
    options = ftp_server.storage_options
    url = f"ftp://{options['host']}:{options['port']}/{folder}"
    told = run(python, scheduler, [url, options["username"], variable], options["password"], tmp_path)

    assert told["read"] == [f"object {name}" for name in "0123"]
    assert "not found" in told["error"]
    assert not told["here"]
    assert "storage_options.password" in told["refused"]
    assert "SecretReference(env=" in told["refused"]
    with pytest.raises(InvalidOptionError, match=variable):
        pickle.loads(bytes.fromhex(told["pickle"])).read_bytes("0")


def run(python, scheduler, arguments, password, folder):
    """Run the program; its last line is the answer."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as short:  # sockets have short names
        command = [python, PROGRAMS / f"over_{scheduler}.py", *arguments, *([short] if scheduler == "ray" else [])]
        done = subprocess.run(
            [str(part) for part in command],
            input=password,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
