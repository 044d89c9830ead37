"""A store that is dead from the start is noticed, and the rest of a tree is not tried file by file."""

from __future__ import annotations

import socket

import pytest

from persistence_fsspec import FSSpecPersistence, Policy, TransferError
from persistence_fsspec.errors import ConnectionFailedError, InvalidNameError, ObjectNotFoundError, PermissionDeniedError
from persistence_fsspec.transfer.breaker import Breaker


@pytest.fixture
def dead_port():
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_a_dead_server_fails_a_tree_once(dead_port, tmp_path):
    """Eight files are tried; all the others are in the report, with the same cause."""
    for number in range(200):
        (tmp_path / f"{number}").write_text("x")
    persistence = FSSpecPersistence(f"ftp://127.0.0.1:{dead_port}/x", policy=Policy(attempts=1))

    with pytest.raises(TransferError) as caught:
        persistence.put(tmp_path, "tree", recursive=True, compare="never")

    files = caught.value.report.files
    untried = [file for file in files if file.attempts == 0]
    assert len(files) == 200
    assert all(isinstance(file.error, ConnectionFailedError) for file in files)
    assert len(untried) > 150
    assert all(file.error.message.startswith("not tried: ") for file in untried)


def test_a_dead_server_is_one_error_where_the_target_is_looked_at(dead_port, tmp_path):
    """Nothing was tried for any file, so there is nothing to report of them."""
    (tmp_path / "a").write_text("x")
    persistence = FSSpecPersistence(f"ftp://127.0.0.1:{dead_port}/x", policy=Policy(attempts=1))

    with pytest.raises(ConnectionFailedError):
        persistence.put(tmp_path, "tree", recursive=True)


def test_a_success_starts_the_count_anew():
    """A store that works is given more time to come back."""
    breaker = Breaker()
    breaker.note(None)
    for _ in range(63):
        breaker.note(ConnectionFailedError("refused"))
    patient = breaker.refusal("ftp://h/k")
    breaker.note(ConnectionFailedError("refused"))

    assert patient is None
    assert breaker.refusal("ftp://h/k").url == "ftp://h/k"


@pytest.mark.parametrize("error", [PermissionDeniedError("no"), ObjectNotFoundError("not found")], ids=["denied", "missing"])
def test_failures_of_single_files_do_not_count(error):
    """A folder full of files that may not be read says nothing about the others."""
    breaker = Breaker()
    for _ in range(100):
        breaker.note(error)

    assert breaker.refusal("s3://b/k") is None


def test_a_misspelt_bucket_counts():
    """It is missing for all of them."""
    breaker = Breaker()
    for _ in range(8):
        breaker.note(ObjectNotFoundError("bucket not found"))

    assert isinstance(breaker.refusal("s3://b/k"), ObjectNotFoundError)


@pytest.mark.parametrize("wrong", ["s3:/bucket/x", "sftp:/host/x", "GS:/b"])
def test_one_slash_too_few_is_no_local_folder(wrong, tmp_path, monkeypatch):
    """The data would stay on this machine, and nobody would notice."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(InvalidNameError, match="one slash where a URL has two"):
        FSSpecPersistence(wrong)
    with pytest.raises(InvalidNameError, match="one slash where a URL has two"):
        FSSpecPersistence().get("k", wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_a_colon_is_a_folder(tmp_path, monkeypatch):
    """As long as its name is no protocol."""
    monkeypatch.chdir(tmp_path)
    FSSpecPersistence("2026-11:/runs").write_bytes("k", b"x")

    assert (tmp_path / "2026-11:" / "runs" / "k").read_bytes() == b"x"
