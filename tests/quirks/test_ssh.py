"""SFTP, through fsspec's own driver over paramiko and through sshfs over asyncssh."""

from __future__ import annotations

import contextlib
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.errors import (
    AuthenticationError,
    ChangedDuringReadError,
    ConnectionFailedError,
    FolderNotEmptyError,
    InvalidNameError,
    ObjectExistsError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PersistenceError,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.stores.dialects.ssh import ParamikoDialect, SshfsDialect
from persistence_fsspec.stores.quirks import traits
from tests.quirks.places import connections_of, instance_of, places, put, silent_server

pytestmark = pytest.mark.server("sftp")

BOTH = ("paramiko", "sshfs")


def by(driver, server):
    """A persistence over a fresh instance of one driver."""
    from fsspec.implementations.sftp import SFTPFileSystem
    from sshfs import SSHFileSystem

    cls, options = {
        "paramiko": (SFTPFileSystem, server.paramiko_options),
        "sshfs": (SSHFileSystem, server.sshfs_options),
    }[driver]
    return FSSpecPersistence(f"{server.url}/data", filesystem=cls(**options, skip_instance_cache=True))


@places("paramiko")
@pytest.mark.quirk("paramiko-threads")
def test_two_threads_do_not_deadlock(place):
    """Eight at once on one persistence, within seconds, each with its own bytes."""
    barrier = Barrier(8)

    def work(i):
        barrier.wait(5)
        for turn in range(3):
            put(place.store, place.key(f"d{i}/k"), bytes([i, turn]) * 500)
            assert place.store.read(place.key(f"d{i}/k")) == bytes([i, turn]) * 500
        return True

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(work, i) for i in range(8)]
        assert all(future.result(timeout=4) for future in futures)
    assert place.store.capabilities.threads == "pooled"
    assert len(place.raw_names()) == 8


@places(*BOTH)
@pytest.mark.quirk("ssh-publish")
def test_nothing_shows_under_the_name_before_the_end(place):
    """The old file is read until the new one is whole; what is on its way is not listed."""
    place.raw_write("d/k", b"old")
    writer = place.store.writer(place.key("d/k"))
    writer.write(b"x" * 300_000)

    assert place.raw_read("d/k") == b"old"
    assert [e.key for e in place.store.find(place.key("d"))] == [place.key("d/k")]
    writer.commit()
    assert place.raw_read("d/k") == b"x" * 300_000
    assert place.raw_names() == ["d/k"]


@places("sshfs")
@pytest.mark.quirk("ssh-publish")
def test_sshfs_publishes_without_a_shell(place, monkeypatch):
    """The driver's fallback, copy by shell and delete, is never taken."""
    fs = instance_of(place.store)
    for name in ("mv", "_mv", "cp_file", "_cp_file"):
        monkeypatch.setattr(fs, name, None)
    put(place.store, place.key("k"), b"one")
    put(place.store, place.key("k"), b"two")

    assert place.raw_read("k") == b"two"


@places(*BOTH)
@pytest.mark.quirk("paramiko-create")
@pytest.mark.quirk("sshfs-create")
def test_exclusive_writing_has_one_winner(place):
    """Eight at once: one succeeds, the others hear that it exists, and the bytes are the winner's."""
    barrier = Barrier(8)

    def attempt(number):
        writer = place.store.writer(place.key("k"), overwrite=False)
        writer.write(bytes([number]) * 100_000)
        barrier.wait(5)
        try:
            writer.commit()
        except ObjectExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(attempt, range(8)) if number is not None]

    assert len(winners) == 1
    assert place.raw_read("k") == bytes(winners) * 100_000
    assert place.raw_names() == ["k"]


@places(*BOTH)
@pytest.mark.quirk("paramiko-create")
@pytest.mark.quirk("sshfs-create")
def test_opening_with_x_writes_what_it_is_given(place):
    """Once; the second time the file is kept."""
    with place.persistence.open("k", "xb") as file:
        file.write(b"first")
    with pytest.raises(ObjectExistsError), place.persistence.open("k", "xb") as file:
        file.write(b"second")

    assert place.raw_read("k") == b"first"


@places(*BOTH)
@pytest.mark.quirk("sshfs-ranges")
@pytest.mark.parametrize("span", [(0, 1), (3, 7), (5, None), (None, 4), (9, 10), (4, 4)])
def test_a_range_is_a_range(place, span):
    """And not the whole file."""
    place.raw_write("k", b"0123456789")

    assert place.store.read(place.key("k"), *span) == b"0123456789"[slice(*span)]


@places("sshfs")
@pytest.mark.quirk("sshfs-ranges")
def test_the_bare_driver_still_returns_everything(place):
    """The day this fails, our own way of reading ranges is no longer needed."""
    place.raw_write("k", b"0123456789")
    path = f"/{place.key('k')}"

    assert instance_of(place.store).cat_file(path, start=3, end=7) == b"0123456789"


# --- errors ---


@pytest.mark.quirk("sshfs-errors")
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("SFTPNoSuchFile", ("no",), "ObjectNotFoundError"),
        ("SFTPPermissionDenied", ("no",), "PermissionDeniedError"),
        ("SFTPFailure", ("Failure",), "StoreError"),
        ("SFTPConnectionLost", ("gone",), "ConnectionFailedError"),
        ("SFTPNoSpaceOnFilesystem", ("full",), "StorageFullError"),
        ("PermissionDenied", ("no",), "AuthenticationError"),
        ("ConnectionLost", ("gone",), "ConnectionFailedError"),
    ],
)
def test_asyncssh_errors_become_ours(name, arguments, expected):
    """Although they are no OSError."""
    import asyncssh

    foreign = getattr(asyncssh, name)(*arguments)
    found = classify(foreign)

    assert not isinstance(foreign, OSError)
    assert found is not None
    assert found.__name__ == expected


@pytest.mark.quirk("paramiko-errors")
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("AuthenticationException", ("no",), "AuthenticationError"),
        ("PasswordRequiredException", ("no",), "AuthenticationError"),
        ("SSHException", ("Server connection dropped",), "ConnectionFailedError"),
        ("NoValidConnectionsError", ({("127.0.0.1", 22): OSError()},), "ConnectionFailedError"),
    ],
)
def test_paramiko_errors_become_ours(name, arguments, expected):
    """Whatever they derive from."""
    import paramiko

    found = classify(getattr(paramiko.ssh_exception, name)(*arguments))

    assert found is not None
    assert found.__name__ == expected


@places(*BOTH)
@pytest.mark.quirk("sshfs-errors")
@pytest.mark.quirk("paramiko-errors")
def test_every_failure_is_one_of_ours(place):
    """Missing files, folders in the way and a full folder: each by its name."""
    place.raw_write("d/k", b"1")
    store = place.store

    for act in (store.info, store.read, store.delete, lambda key: list(store.children(key))):
        with pytest.raises(ObjectNotFoundError):
            act(place.key("missing"))
    with pytest.raises(FolderNotEmptyError):
        store.delete_folder(place.key("d"))
    with pytest.raises(PersistenceError) as caught:
        store.delete(place.key("d"))
    assert not isinstance(caught.value, ObjectNotFoundError)
    with pytest.raises(PersistenceError):
        store.rename(place.key("missing"), place.key("k"))
    assert place.raw_names() == ["d/k"]


@pytest.mark.quirk("sshfs-errors")
def test_sshfs_a_refused_password_is_an_authentication_error(sftp_server):
    """From the first call that needs a connection; the password is not in the message."""
    p = FSSpecPersistence(f"{sftp_server.url}/data", storage_options={**sftp_server.sshfs_options, "password": "not-this-one"})

    with pytest.raises(AuthenticationError) as caught:
        p.exists("k")
    assert "not-this-one" not in str(caught.value)


@pytest.mark.quirk("paramiko-errors")
def test_paramiko_a_refused_password_is_an_authentication_error(sftp_server):
    """When another connection has to be made, and the password has changed meanwhile."""
    p = by("paramiko", sftp_server)
    store, key = p.store_and_key("k")
    connections_of(store).acquire()  # the given instance is busy, so the next call needs another one
    connections_of(store)._make._given.storage_options["password"] = "not-this-one"

    with pytest.raises(AuthenticationError) as caught:
        store.info(key)
    assert "not-this-one" not in str(caught.value)


# --- folders, options, speed ---


@places("sshfs", "paramiko")
@pytest.mark.quirk("sshfs-rmdir")
def test_an_empty_folder_is_really_removed(place):
    """And a full one really refused."""
    place.raw_write("d/k", b"1")
    with pytest.raises(FolderNotEmptyError):
        place.store.delete_folder(place.key("d"))
    place.raw_delete("d/k")
    folder = place._server.files / place.folder / "d"
    assert folder.is_dir()

    place.store.delete_folder(place.key("d"))

    assert not folder.exists()


@pytest.mark.quirk("sftp-takeover")
@pytest.mark.parametrize("spelling", ["paramiko_options", "sshfs_options"])
def test_whoever_serves_sftp_understands_both_spellings(sftp_server, spelling):
    """The same options work, whichever driver is installed."""
    sftp_server.raw_write("takeover/k", b"hello")
    p = FSSpecPersistence(f"{sftp_server.url}/takeover", storage_options=getattr(sftp_server, spelling))

    assert p.read_bytes("k") == b"hello"


@pytest.mark.quirk("sftp-takeover")
def test_each_driver_gets_its_own_spelling():
    """Keys, host keys and agents, from the other one's words."""
    theirs = {"client_keys": ["/k"], "known_hosts": None, "username": "me"}
    ours = {"key_filename": "/k", "look_for_keys": False, "allow_agent": False, "username": "me"}

    assert ParamikoDialect().options(dict(theirs), "host") == {
        "key_filename": ["/k"],
        "username": "me",
        "skip_instance_cache": True,
    }
    assert SshfsDialect().options(dict(ours), "host") == {"client_keys": ["/k"], "username": "me"}


@places("paramiko")
@pytest.mark.quirk("paramiko-nagle")
def test_paramiko_sends_small_packets_at_once(place):
    """The socket does not collect them, on a given instance and on those made later."""
    connections = connections_of(place.store)
    held = [connections.acquire() for _ in range(2)]
    try:
        for fs in held:
            sock = fs.client.get_transport().sock
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    finally:
        for fs in held:
            connections.release(fs)


@places("paramiko")
@pytest.mark.quirk("paramiko-nagle")
def test_paramiko_writes_do_not_wait_for_each_answer(place):
    """Four MiB go out in far less than the bare driver's four seconds."""
    data = bytes(range(256)) * 16384
    began = time.monotonic()
    place.persistence.write_bytes("k", data)
    taken = time.monotonic() - began

    assert place.raw_read("k") == data
    assert taken < 2


@places("paramiko", "sshfs", "memory")
@pytest.mark.quirk("ssh-append")
def test_append_adds(place):
    """To what others wrote, and to nothing; opening with `a` too."""
    place.raw_write("k", b"old")
    place.persistence.append("k", b"+one")
    with place.persistence.open("k", "ab") as file:
        file.write(b"+two")
    place.persistence.append("new/k", b"first")

    assert place.raw_read("k") == b"old+one+two"
    assert place.raw_read("new/k") == b"first"
    assert place.store.capabilities.append == "native"


@pytest.mark.quirk("ssh-append")
@pytest.mark.parametrize("driver", ["smb", "hdfs-native", "pyarrow"])
def test_append_is_native_where_it_was_measured(driver):
    """On servers that are not here."""
    assert traits(driver)[0].append == "native"


# --- connections ---


@pytest.mark.quirk("ssh-heal")
@pytest.mark.parametrize("driver", BOTH)
def test_a_broken_connection_is_replaced(mortal_sftp, driver):
    """At most one call finds it broken, and says so; the next one works."""
    mortal_sftp.raw_write("data/k", b"1")
    p = by(driver, mortal_sftp)
    assert p.read_bytes("k") == b"1"
    mortal_sftp.process.stop()
    mortal_sftp.process.start()

    with contextlib.suppress(ConnectionFailedError):
        p.read_bytes("k")
    assert p.read_bytes("k") == b"1"
    p.write_bytes("k", b"2")
    assert mortal_sftp.raw_read("data/k") == b"2"


@pytest.mark.quirk("ssh-heal")
@pytest.mark.quirk("ssh-publish")
@pytest.mark.parametrize("driver", BOTH)
def test_a_write_that_breaks_loses_nothing(mortal_sftp, driver):
    """The server dies in the middle: the old file is there, and the next write succeeds."""
    mortal_sftp.raw_write("data/k", b"old")
    p = by(driver, mortal_sftp)
    store, key = p.store_and_key("k")
    writer = store.writer(key)
    writer.write(b"x" * 100_000)
    mortal_sftp.process.stop()

    with pytest.raises(ConnectionError):
        for _ in range(20):
            writer.write(b"x" * 100_000)
        writer.commit()
    writer.abort()
    assert mortal_sftp.raw_read("data/k") == b"old"

    mortal_sftp.process.start()
    p.write_bytes("k", b"new")
    assert mortal_sftp.raw_read("data/k") == b"new"


@places(*BOTH)
@pytest.mark.quirk("ssh-names")
@pytest.mark.parametrize("name", ["a://b", "sftp://elsewhere/k"])
def test_names_with_a_url_inside_are_refused(place, name):
    """For writing and for reading: the driver would take them apart."""
    store, key = place.store, f"{place.key('')}/{name}"

    for act in (store.writer, store.read, store.delete, store.info):
        with pytest.raises(InvalidNameError):
            act(key)
    assert place.raw_names() == []


@places(*BOTH)
@pytest.mark.quirk("ssh-names")
@pytest.mark.parametrize("name", ["a:b", "a\nb", "a\\b", " a", "a ", "a#b?c", "日本語", "%41", "a*[b]", "~", "$HOME", "'; ls"])
def test_other_odd_names_are_kept(place, name):
    """Written, listed, read and deleted as they are."""
    place.persistence.write_bytes(f"d/{name}", b"odd")

    assert place.raw_names() == [f"d/{name}"]
    assert list(place.persistence.listdir("d")) == [f"d/{name}"]
    assert place.persistence.read_bytes(f"d/{name}") == b"odd"
    place.persistence.delete(f"d/{name}")
    assert place.raw_names() == []


@places(*BOTH)
@pytest.mark.quirk("second-granular-times")
def test_an_overwrite_of_another_size_is_noticed(place):
    """The pin is called weak, and does what size and time can do."""
    place.raw_write("k", b"old")
    pin = place.store.info(place.key("k"))
    assert (pin.version, place.store.capabilities.pin) == (None, "weak")
    place.raw_write("k", b"longer")

    with pytest.raises(ChangedDuringReadError):
        place.store.read(place.key("k"), pin=pin)


@pytest.mark.quirk("second-granular-times")
def test_pyarrow_is_called_weak_too():
    """Its times are as coarse."""
    assert traits("pyarrow")[0].pin == "weak"


@pytest.mark.quirk("ssh-timeout")
@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("sftp://127.0.0.1:{port}/data", {"username": "a", "password": "b", "known_hosts": None, "login_timeout": 0.5}),
        ("webdav://", {"base_url": "http://127.0.0.1:{port}", "timeout": 0.3}),
    ],
    ids=["sshfs", "webdav"],
)
def test_a_silent_server_is_given_up(url, options):
    """After the client's own time limit, which can be set."""
    with silent_server() as port:
        made = {k: v.format(port=port) if isinstance(v, str) else v for k, v in options.items()}
        p = FSSpecPersistence(url.format(port=port), storage_options=made)

        assert p.capabilities().own_timeout
        with pytest.raises((OperationTimeoutError, ConnectionFailedError)):
            p.exists("k")


@pytest.mark.quirk("ssh-timeout")
def test_a_silent_http_server_is_given_up():
    """By the client's own limit too."""
    aiohttp = pytest.importorskip("aiohttp")
    with silent_server() as port:
        options = {"client_kwargs": {"timeout": aiohttp.ClientTimeout(total=0.3)}}
        p = FSSpecPersistence(f"http://127.0.0.1:{port}/data", storage_options=options)

        assert p.capabilities().own_timeout
        with pytest.raises(OperationTimeoutError):
            p.exists("k")


@pytest.mark.quirk("ssh-timeout")
@pytest.mark.parametrize("driver", ["paramiko", "smb"])
def test_clients_that_give_up_by_themselves_say_so(driver):
    """As measured."""
    assert traits(driver)[0].own_timeout
