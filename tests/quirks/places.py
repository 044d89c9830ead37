"""The stores that the rows of the table are proven on, by name of a fixture in conftest.py."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.location import parse
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Store
from persistence_fsspec.stores.connections import Connections
from persistence_fsspec.stores.dialects import dialect_for
from persistence_fsspec.stores.driver import Driver
from persistence_fsspec.stores.filesystem import FilesystemStore
from persistence_fsspec.stores.quirks import traits
from persistence_fsspec.testing.conformance import write

_SERVERS = {"s3": "s3", "gcs": "gcs", "azure": "azure", "ftp": "ftp", "ftp_list": "ftp", "http": "http", "webdav": "webdav", "paramiko": "sftp", "sshfs": "sftp", "lakefs": "lakefs"}  # fmt: skip


def places(*names: str) -> Any:
    """Run a test on several stores; the test takes the harness as *place*."""
    marked = [pytest.param(n, marks=[pytest.mark.server(_SERVERS[n])] if n in _SERVERS else []) for n in names]
    return pytest.mark.parametrize("place", marked, indirect=True)


WRITABLE = ("local", "memory", "s3", "gcs", "ftp", "ftp_list", "webdav", "paramiko", "sshfs")
FOLDERS = ("memory", "ftp", "ftp_list", "webdav", "paramiko", "sshfs")
READABLE = (*WRITABLE, "http", "zip")


def put(store: Store, key: str, data: bytes, **options: Any) -> None:
    """Write one object through the store."""
    write(store, key, data, **options)


def store_of(driver: str, fs: Any, base: str = "/base") -> FilesystemStore:
    """A store over a given instance, as if its driver were the named one."""
    capabilities, habits = known = traits(driver)
    dialect = dialect_for(driver)
    dialect.connected(fs)
    connections = Connections(lambda: fs, capabilities, heals=habits.heals, alive=dialect.alive, ready=fs)
    return FilesystemStore(Driver(parse(f"{driver}://host"), base, connections, dialect, known), Policy(part_size=64 * 1024))


def instance_of(store: Store) -> Any:
    """The driver's instance that a store shares among its threads."""
    with connections_of(store).lease() as fs:
        return fs


def raw_store(store: Store) -> FilesystemStore:
    """The store behind its layers."""
    while isinstance(store, Layer):
        store = store.inner
    assert isinstance(store, FilesystemStore)
    return store


def connections_of(store: Store) -> Connections:
    """What hands out the driver's instances behind a store and its layers."""
    return raw_store(store)._driver.connections


def in_fork(act: Callable[[], bool], *, seconds: float = 4.0) -> str:
    """Ask a forked child.

    Returns:
        ``"yes"`` or ``"no"``; ``"hangs"`` when it did not answer in time; ``"raises"`` with the traceback on stderr.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork: exactly what is tested
        pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if act() else 1)
        except BaseException:
            traceback.print_exc()
            os._exit(2)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return {0: "yes", 1: "no"}.get(os.waitstatus_to_exitcode(status), "raises")
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hangs"


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """A port where connections are accepted, and nothing is ever said."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield listener.getsockname()[1]
