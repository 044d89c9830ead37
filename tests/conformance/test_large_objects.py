"""Objects that are too large for one request."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import pytest

from persistence_fsspec import ChecksumMismatchError, FSSpecPersistence, ObjectExistsError, Policy
from persistence_fsspec.testing.conformance import pattern
from tests.conformance.harnesses import ServerHarness

MIB = 1024 * 1024
PIECE = pattern(MIB)


@pytest.fixture(params=["s3", "gcs", "ftp", "sftp", "webdav"])
def harness(request):
    return ServerHarness(request.getfixturevalue(f"{request.param}_server"))


pytestmark = [
    pytest.mark.server("many"),
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),  # aiohttp's, about how gcsfs sends
]


def plain(harness, **more):
    """The same folder with an ordinary policy, whose pieces are larger."""
    return FSSpecPersistence(harness.persistence.url(), storage_options=harness._server.storage_options, **more)


def unfinished_uploads(server):
    """How many multipart uploads are open in the bucket, asked behind the driver's back."""
    return server._demand("GET", f"/{server.bucket}?{quote('uploads')}").body.count(b"<UploadId>")


def test_forty_mebibytes_arrive(harness):
    """In pieces, by parts where the store has them, and are read back by ranges."""
    writer = harness.store.writer(harness.key("k"))
    digest = hashlib.sha256()
    for _ in range(40):
        writer.write(PIECE)
        digest.update(PIECE)
    info = writer.commit()

    assert info.size == 40 * MIB
    assert hashlib.sha256(harness.raw_read("k")).digest() == digest.digest()
    store, key = plain(harness).store_and_key("k")
    again = hashlib.sha256()
    for piece in store.stream(key):
        again.update(piece)
    assert again.digest() == digest.digest()


def test_an_abort_in_the_middle_leaves_nothing(harness):
    """Neither the object nor a partial one; the old one stays."""
    harness.raw_write("k", b"old")
    writer = harness.store.writer(harness.key("k"))
    for _ in range(40):
        writer.write(PIECE)
    writer.abort()

    assert harness.raw_names() == ["k"]
    assert harness.raw_read("k") == b"old"


@pytest.mark.quirk("s3-unfinished-upload")
def test_an_abort_takes_back_its_own_upload_only(s3_server):
    """An unfinished upload costs money for ever; somebody else's is not ours to remove."""
    harness = ServerHarness(s3_server)
    before = unfinished_uploads(s3_server)
    s3_server._demand("POST", f"/{s3_server.bucket}/foreign?uploads")
    writer = harness.store.writer(harness.key("k"))
    for _ in range(40):
        writer.write(PIECE)
    assert unfinished_uploads(s3_server) == before + 2
    writer.abort()

    assert unfinished_uploads(s3_server) == before + 1


def test_an_exclusive_write_is_one_request_however_large(s3_server):
    """With parts, some servers would overwrite."""
    harness = ServerHarness(s3_server)
    before = unfinished_uploads(s3_server)
    for attempt in (1, 2):
        writer = harness.store.writer(harness.key("k"), overwrite=False)
        for _ in range(20):
            writer.write(PIECE)
        assert unfinished_uploads(s3_server) == before
        if attempt == 1:
            writer.commit()
        else:
            with pytest.raises(ObjectExistsError):
                writer.commit()

    assert len(harness.raw_read("k")) == 20 * MIB


def test_a_large_file_is_put_and_got(harness, tmp_path):
    """Through the adapter, with the digest in the report."""
    source = tmp_path / "big"
    with source.open("wb") as file:
        for _ in range(20):
            file.write(PIECE)
    persistence = plain(harness)
    put = persistence.put(source, "big")
    get = persistence.get("big", tmp_path / "back")

    assert (put.bytes, get.bytes) == (20 * MIB, 20 * MIB)
    assert (tmp_path / "back").read_bytes() == source.read_bytes()


def test_corruption_at_the_store_is_noticed(ftp_server, tmp_path):
    """A store without digests is read back before the name is published."""
    import threading

    from persistence_fsspec.stores.writers import StagedWriter

    harness = ServerHarness(ftp_server)
    persistence = plain(harness, policy=Policy(verify="readback"))
    source = tmp_path / "f"
    source.write_bytes(PIECE)
    finish, lock = StagedWriter._finish, threading.Lock()

    def flip_a_bit_at_the_server(writer):
        with lock:
            finish(writer)
            for name in harness.raw_names():
                data = bytearray(harness.raw_read(name))
                data[1000] ^= 1
                harness.raw_write(name, bytes(data))

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ChecksumMismatchError, match="not published"):
        patch.setattr(StagedWriter, "_finish", flip_a_bit_at_the_server)
        persistence.put(source, "k")

    assert harness.raw_names() == []
