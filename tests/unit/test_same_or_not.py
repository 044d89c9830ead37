"""What the journal proves, and what it does not; and what it leaves when there is nothing to go on with."""

from __future__ import annotations

import os
import uuid
from datetime import datetime, timezone

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.compare import can_name
from persistence_fsspec.transfer.journals import known_tokens

MANY = 101
"""Files, so that the journal is kept."""


class StopsAfter:
    """A listener that gives up in the middle, as Ctrl-C does."""

    def __init__(self, n_bytes):
        self.left = n_bytes

    def expect(self, files, n_bytes): ...

    def advance(self, key, n_bytes):
        self.left -= n_bytes
        if self.left < 0:
            raise KeyboardInterrupt

    def finish(self, key, status): ...

    def close(self): ...


@pytest.fixture
def ftp(ftp_server):
    """A fresh folder of the server."""
    return FSSpecPersistence(f"{ftp_server.url}/{uuid.uuid4().hex}", storage_options=ftp_server.storage_options)


@pytest.fixture
def tree(tmp_path):
    folder = tmp_path / "tree"
    folder.mkdir()
    for number in range(MANY):
        (folder / str(number)).write_bytes(b"old")
    return folder


def seen(modified, **more):
    return ObjectInfo(key="a", size=3, modified=datetime.fromtimestamp(modified, tz=timezone.utc), **more)


@pytest.mark.parametrize(
    ("info", "seconds_later", "proves"),
    [
        (seen(1_000_000_007, version="etag"), 0, False),  # perhaps it is being written, and has its new time already
        (seen(1_000_000_007, version="etag"), 1, True),
        (seen(1_000_000_007), 1, False),
        (seen(1_000_000_007), 3, True),
        (seen(1_000_000_007.5), 0.1, True),
        (seen(1_000_000_020), 30, False),  # a full minute, perhaps of a listing that says no more
        (seen(1_000_000_020), 90, True),
        (ObjectInfo(key="a", size=3), 100, False),
    ],
)
def test_a_time_names_a_file_once_it_is_over(info, seconds_later, proves):
    """Whoever writes again in the same second leaves no trace."""
    then = info.modified.timestamp() if info.modified is not None else 1_000_000_000

    assert can_name(info, then + seconds_later) is proves


@pytest.mark.server("ftp")
def test_what_was_written_again_in_the_same_second_is_copied_again(ftp, ftp_server, tree, tmp_path):
    """It has the same time and the same size, and is another file."""
    ftp.put(tree, "t", recursive=True)
    ftp.get("t", tmp_path / "here", recursive=True)
    folder = ftp_server.files / ftp.url().rpartition("/")[2] / "t"
    before = os.stat(folder / "7")
    (folder / "7").write_bytes(b"new")
    os.utime(folder / "7", ns=(before.st_atime_ns, before.st_mtime_ns))
    ftp.get("t", tmp_path / "here", recursive=True)

    assert (tmp_path / "here" / "7").read_bytes() == b"new"


@pytest.mark.server("ftp")
def test_a_sync_copies_an_older_file_that_took_the_place_of_another(ftp, tree):
    """It is not newer than its copy; but the journal knows that the copy was made of another."""
    for file in tree.iterdir():
        os.utime(file, (1_500_000_000,) * 2)
    ftp.sync(tree, "t")
    (tree / "7").write_bytes(b"new")
    os.utime(tree / "7", (1_000_000_000,) * 2)
    report = ftp.sync(tree, "t")

    assert ftp.read_bytes("t/7") == b"new"
    assert len(report.copied) == 1


@pytest.mark.parametrize("place", [pytest.param("ftp", marks=pytest.mark.server("ftp")), "local"])
def test_what_arrived_of_a_file_that_is_gone_is_removed(request, place, tree, tmp_path):
    """Nobody will ever go on with it, and the journal does not say so for ever."""
    store = request.getfixturevalue("ftp") if place == "ftp" else FSSpecPersistence(tmp_path / "store")
    before = known_tokens()
    (tree / "large").write_bytes(os.urandom(40 * 1024 * 1024))
    with pytest.raises(KeyboardInterrupt):
        store.put(tree, "t", recursive=True, progress=StopsAfter(20 * 1024 * 1024))
    (tree / "large").unlink()
    store.put(tree, "t", recursive=True)

    assert known_tokens() == before
    assert not store.gc("t", older_than="0s").removed


def test_a_journal_that_begins_claims_no_partial_files(tree, tmp_path, monkeypatch):
    """They may be those of a run in another container of the same name, which is at work."""
    store = FSSpecPersistence(tmp_path / "store")
    owner = store.put(tree, "t", recursive=True).id[:8]
    partial = tmp_path / "store" / "t" / f".~persist-0123456789ab-{owner}01234567.part"
    partial.write_bytes(b"on its way")
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path / "state"))
    (tree / "7").write_bytes(b"newer")
    store.put(tree, "t", recursive=True)

    assert partial.exists()
