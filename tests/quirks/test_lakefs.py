"""lakeFS, against a stand-in that answers as its API says: what the driver does there, and nothing of a real server."""

from __future__ import annotations

import time

import pytest
from urllib3.exceptions import MaxRetryError

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import (
    AuthenticationError,
    InvalidNameError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    ServerFailedError,
    ThrottledError,
    TruncatedError,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.stores.dialects.lakefs import LakefsDialect
from tests.quirks.places import places, silent_server
from tests.servers.faults import Fault
from tests.servers.faults_http import HttpFaults


@places("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_deleting_one_object_leaves_those_whose_names_begin_alike(place):
    """And one that is missing is an error."""
    for name in ("a/ab", "a/abc", "a/ab/c", "a/ab-2"):
        place.raw_write(name, b"1")

    place.persistence.delete("a/ab")

    assert place.raw_names() == ["a/ab-2", "a/ab/c", "a/abc"]
    with pytest.raises(ObjectNotFoundError):
        place.persistence.delete("a/a")


@places("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_a_folder_is_listed_by_its_whole_name(place):
    """Not those that begin alike; what others wrote is seen; what is missing is an error."""
    place.raw_write("dd/x", b"1")
    for act in (place.persistence.info, place.persistence.listdir, place.persistence.find):
        with pytest.raises(ObjectNotFoundError):
            act("d")

    place.raw_write("d/y", b"22")
    assert list(place.persistence.listdir()) == ["d", "dd"]
    place.raw_write("d/z/1", b"333")

    assert sorted(place.persistence.listdir("d")) == ["d/y", "d/z"]
    assert {info.key: info.size for info in place.persistence.find("d")} == {"d/y": 2, "d/z/1": 3}
    assert place.persistence.info("d").is_folder


@pytest.mark.server("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_roots_are_listed(lakefs_server):
    """That of a branch, and of a repository, whose folders are its branches; a branch that is missing is an error."""
    pytest.importorskip("lakefs_spec")
    lakefs_server.raw_write("at-the-root", b"1")
    p = FSSpecPersistence("lakefs://lake", storage_options=lakefs_server.storage_options)

    assert "main" in list(p.listdir())
    assert "main/at-the-root" in [info.key for info in p.find()]
    assert "main/at-the-root" in list(p.listdir(recursive=True))
    assert "main/at-the-root" in list(p.listdir("main"))
    assert p.info("main").is_folder
    for act in (p.info, p.listdir):
        with pytest.raises(ObjectNotFoundError):
            act("no-such-branch")
    lakefs_server.raw_delete("at-the-root")


@places("lakefs")
@pytest.mark.quirk("lakefs-names")
def test_a_name_with_a_line_break_is_refused(place):
    """It would be cut off there."""
    with pytest.raises(InvalidNameError):
        place.persistence.write_bytes("line\nfeed", b"1")

    assert place.raw_names() == []


@places("lakefs")
def test_less_than_was_sent_is_an_error(place, monkeypatch):
    """Of servers that say they are done."""
    from lakefs.object import WriteableObject

    upload = WriteableObject.upload
    monkeypatch.setattr(WriteableObject, "upload", lambda it, data, **more: upload(it, data[:2], **more))

    with pytest.raises(TruncatedError, match="2 bytes stand there of 5"):
        place.persistence.write_bytes("k", b"12345")


@pytest.mark.server("lakefs")
@pytest.mark.quirk("lakefs-prefixes")
def test_a_write_makes_no_branch(lakefs_server):
    """Neither a misspelt one nor any other; the error says what is missing."""
    pytest.importorskip("lakefs_spec")
    p = FSSpecPersistence("lakefs://lake", storage_options=lakefs_server.storage_options)

    for act in (lambda: p.write_bytes("mian/k", b"1"), lambda: p.read_bytes("mian/k"), lambda: p.info("mian")):
        with pytest.raises(ObjectNotFoundError):
            act()
    with pytest.raises(ObjectNotFoundError, match="mian"):
        p.write_bytes("mian/k", b"1")
    assert "mian" not in lakefs_server.branches()


@pytest.mark.server("lakefs")
def test_names_of_no_repository_and_no_object(lakefs_server):
    """They are refused by our own error."""
    pytest.importorskip("lakefs_spec")
    for url in ("lakefs://My_Lake/main/k", "lakefs://lake/main"):
        with pytest.raises(InvalidNameError):
            FSSpecPersistence("/", storage_options={"lakefs": lakefs_server.storage_options}).write_bytes(url, b"1")


OPERATIONS = {
    "info": lambda p: p.info("k"),
    "read": lambda p: p.read_bytes("k"),
    "list": lambda p: list(p.listdir()),
    "find": lambda p: list(p.find()),
    "write": lambda p: p.write_bytes("k", b"new"),
    "delete": lambda p: p.delete("k"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_silent_server_is_not_waited_for(name):
    """By no operation, longer than it was told."""
    pytest.importorskip("lakefs_spec")
    with silent_server() as port:
        options = {"host": f"http://127.0.0.1:{port}", "username": "u", "password": "p"}
        p = FSSpecPersistence("lakefs://lake/main", storage_options=options, policy=Policy(timeout_seconds=0.3, attempts=1))
        begun = time.monotonic()
        with pytest.raises(OperationTimeoutError):
            OPERATIONS[name](p)

    assert time.monotonic() - begun < 8  # listings have ten times as long


@pytest.mark.server("lakefs")
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_server_that_is_busy_is_asked_again(lakefs_server, name):
    """Whatever is asked of it."""
    pytest.importorskip("lakefs_spec")
    lakefs_server.raw_write("k", b"1")
    with HttpFaults(int(lakefs_server.endpoint_url.rpartition(":")[2]), refusal=b"{}") as proxy:
        options = {**lakefs_server.storage_options, "host": f"http://127.0.0.1:{proxy.port}"}
        p = FSSpecPersistence(lakefs_server.url, storage_options=options, policy=Policy(backoff_seconds=0.01))
        proxy.arm(Fault(kind="unavailable", at=1))
        OPERATIONS[name](p)
        assert proxy.fired
    lakefs_server.raw_delete("k")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (420, ThrottledError),
        (429, ThrottledError),
        (502, ServerFailedError),
    ],
)
def test_errors_are_told_apart(status, error):
    """By their status."""
    exceptions = pytest.importorskip("lakefs.exceptions")
    told = exceptions.PermissionException if status in {401, 403} else exceptions.ServerException

    assert classify(told(status=status, reason="why", body="{}")) is error


def test_an_instance_may_serve_many_stores():
    """Each sets its limits in the place of the last one's."""
    lakefs_spec = pytest.importorskip("lakefs_spec")
    fs = lakefs_spec.LakeFSFileSystem(host="http://127.0.0.1:1", username="u", password="p", skip_instance_cache=True)
    for _ in range(2000):
        LakefsDialect().restrain(fs, stall_seconds=1.0, given=True)

    with pytest.raises(MaxRetryError):
        fs.client.sdk_client.objects_api.api_client.rest_client.pool_manager.request("GET", "http://127.0.0.1:1", retries=0)
