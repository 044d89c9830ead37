"""S3, Google Cloud Storage and Azure Blob Storage."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import subprocess
import sys
import textwrap
import uuid
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest
from fsspec.asyn import sync

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ConflictError,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    ObjectExistsError,
    ObjectNotFoundError,
    OperationTimeoutError,
    PermissionDeniedError,
    PersistenceError,
    TransferError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.foreign import classify
from persistence_fsspec.stores import rewriting
from persistence_fsspec.stores.dialects import dialect_for
from persistence_fsspec.stores.dialects.base import ObjectDialect
from persistence_fsspec.stores.dialects.gcs import GcsDialect
from persistence_fsspec.stores.dialects.s3 import S3Dialect
from persistence_fsspec.stores.dialects.s3_conditions import Conditions
from persistence_fsspec.stores.janitor import settle
from persistence_fsspec.stores.quirks import traits
from persistence_fsspec.stores.writers import ObjectWriter
from tests.quirks.places import instance_of, places, put, silent_server
from tests.servers import rest
from tests.servers.faults_http import HttpFaults

# The clients of Google and Azure hand their bodies to aiohttp as bytes, which it dislikes from 1 MiB on.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

MIB = 1024 * 1024
OBJECT_STORES = ("s3", "gcs", "azure")


@pytest.fixture
def small_parts(monkeypatch):
    """Objects beyond 5 MiB, the least that S3 takes, are sent in parts."""
    monkeypatch.setattr(ObjectDialect, "object_part_size", 5 * MIB)


LARGE = bytes(range(256)) * (6 * 4096)  # 6 MiB


def uploads(server):
    """The multipart uploads that nobody finished, by key."""
    from tests.servers.s3 import _xml

    return sorted(e.text for e in _xml(server._demand("GET", f"/{server.bucket}?uploads").body).iterfind("Upload/Key"))


# --- all of them ---


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-publish")
def test_a_write_is_one_commit_under_the_final_name(place, small_parts):
    """Until then the old object stands there alone, and no temporary one beside it."""
    place.raw_write("d/k", b"old")
    writer = place.store.writer(place.key("d/k"))
    for start in range(0, len(LARGE), MIB):
        writer.write(LARGE[start : start + MIB])
    assert place.raw_names() == ["d/k"]
    assert place.raw_read("d/k") == b"old"

    writer.commit()
    assert place.raw_names() == ["d/k"]
    assert place.raw_read("d/k") == LARGE


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-publish")
def test_publishing_never_moves(place, monkeypatch):
    """The driver's copy and delete are not part of a write."""
    fs = instance_of(place.store)
    for name in ("mv", "cp_file", "copy", "rm", "rm_file"):
        monkeypatch.setattr(fs, name, None)

    put(place.store, place.key("k"), b"one")
    put(place.store, place.key("k"), b"two")

    assert place.raw_read("k") == b"two"


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-folders")
def test_folders_are_neither_made_nor_deleted(place, monkeypatch):
    """There are none, so nothing is asked of the driver, and nothing stands for them."""
    fs = instance_of(place.store)
    for name in ("mkdir", "makedirs", "rmdir"):
        monkeypatch.setattr(fs, name, None)
    put(place.store, place.key("d/e/k"), b"1")

    place.store.delete_folder(place.key("d/e"))

    assert place.raw_names() == ["d/e/k"]
    place.persistence.delete("d", recursive=True)
    assert place.raw_names() == []
    assert not place.persistence.exists("d")


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-folders")
def test_a_bucket_is_made_when_it_is_asked_for(place):
    """Until then writing is an error; one that is there is fine."""
    url = f"{place.persistence.url().partition('://')[0]}://made-{uuid.uuid4().hex[:12]}"
    persistence = FSSpecPersistence(f"{url}/below", storage_options=place.persistence._storage_options)
    with pytest.raises(ObjectNotFoundError):
        persistence.write_bytes("k", b"1")

    persistence.make_bucket()
    persistence.write_bytes("k", b"1")
    persistence.make_bucket()

    assert persistence.read_bytes("k") == b"1"
    with pytest.raises(UnsupportedPersistenceOp):
        persistence.make_folder("folder")


@pytest.mark.server("s3")
@pytest.mark.quirk("object-folders")
def test_a_bucket_is_made_in_the_region_of_the_client(s3_server):
    """Which the service wants to hear, but for its first one."""
    options = {**s3_server.storage_options, "client_kwargs": {"region_name": "eu-west-1"}}
    persistence = FSSpecPersistence("s3://made-in-ireland", storage_options=options)

    persistence.make_bucket()

    assert b"eu-west-1" in s3_server._demand("GET", "/made-in-ireland?location").body


@pytest.mark.parametrize(
    ("server", "protocol"),
    [
        pytest.param("s3_server", "s3", marks=pytest.mark.server("s3")),
        pytest.param("gcs_server", "gs", marks=pytest.mark.server("gcs")),
        pytest.param("azure_server", "abfs", marks=pytest.mark.server("azure")),
    ],
)
@pytest.mark.quirk("object-folders")
def test_a_missing_bucket_is_an_error_and_stays_missing(request, server, protocol):
    """A misspelt bucket is not made by writing to it; neither does it look empty."""
    running = request.getfixturevalue(server)
    p = FSSpecPersistence(f"{protocol}://mis-spelt", storage_options=running.storage_options)

    with pytest.raises(ObjectNotFoundError):
        p.write_bytes("k", b"x")
    with pytest.raises(ObjectNotFoundError):
        list(p.listdir())
    with pytest.raises(ObjectNotFoundError):
        p.write_bytes("k", b"x")


@places("s3", "gcs", "azure", "ftp", "ftp_list")
@pytest.mark.quirk("listing-cache")
def test_what_others_do_is_seen_at_once(place):
    """A name they wrote is listed and found, one they deleted is not, by the very instance that listed before."""
    p = place.persistence
    place.raw_write("d/one", b"1")
    assert list(p.listdir("d")) == ["d/one"]
    assert p.exists("d/one")
    assert not p.exists("d/two")

    place.raw_write("d/two", b"22")
    place.raw_delete("d/one")

    assert list(p.listdir("d")) == ["d/two"]
    assert list(p.listdir("d", recursive=True)) == ["d/two"]
    assert (p.exists("d/one"), p.exists("d/two")) == (False, True)
    assert p.info("d/two").size == 2


@places("s3", "gcs", "azure", "ftp", "ftp_list")
@pytest.mark.quirk("listing-cache")
def test_the_own_write_is_listed_at_once(place):
    """After a listing that may have been kept."""
    p = place.persistence
    p.write_bytes("d/one", b"1")
    list(p.listdir("d"))
    p.write_bytes("d/two", b"2")
    p.delete("d/one")

    assert list(p.listdir("d")) == ["d/two"]


@pytest.mark.parametrize(
    ("server", "driver"),
    [
        pytest.param("s3_server", "s3fs:S3FileSystem", marks=pytest.mark.server("s3")),
        pytest.param("gcs_server", "gcsfs:GCSFileSystem", marks=pytest.mark.server("gcs")),
        pytest.param("azure_server", "adlfs:AzureBlobFileSystem", marks=pytest.mark.server("azure")),
        pytest.param("ftp_server", "fsspec.implementations.ftp:FTPFileSystem", marks=pytest.mark.server("ftp")),
    ],
)
@pytest.mark.quirk("listing-cache")
def test_a_given_instance_that_caches_is_not_believed(request, server, driver):
    """An instance made by the caller, with its cache on, hides nothing through us."""
    running = request.getfixturevalue(server)
    module, _, name = driver.partition(":")
    cls = getattr(__import__(module, fromlist=[name]), name)
    fs = cls(**running.storage_options, skip_instance_cache=True, use_listings_cache=True)
    folder = f"cached-{os.urandom(4).hex()}"
    p = FSSpecPersistence(f"{running.url}/{folder}", filesystem=fs)
    running.raw_write(f"{folder}/one", b"1")
    assert list(p.listdir()) == ["one"]
    fs.ls(fs._strip_protocol(f"{running.url}/{folder}"), detail=False)  # and now it is in the cache for certain

    running.raw_write(f"{folder}/two", b"2")
    running.raw_delete(f"{folder}/one")

    assert list(p.listdir()) == ["two"]
    assert (p.exists("one"), p.exists("two")) == (False, True)


@places("s3", "gcs", "azure", "sshfs", "http", "webdav", "memory", "zip")
@pytest.mark.quirk("object-threads")
def test_one_instance_serves_all_threads(place):
    """Eight threads at once read through the same instance, and each gets its own bytes."""
    names = [f"k{i}" for i in range(8)]
    for i, name in enumerate(names):
        place.raw_write(name, bytes([i]) * 1000)
    barrier, store = Barrier(8), place.store

    def work(i):
        barrier.wait(5)
        read = [store.read(place.key(names[i])) for _ in range(4)]
        return set(read), id(instance_of(store))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))

    assert store.capabilities.threads == "shared"
    assert [read for read, _ in results] == [{bytes([i]) * 1000} for i in range(8)]
    assert len({instance for _, instance in results}) == 1


@pytest.mark.quirk("object-threads")
@pytest.mark.parametrize("driver", ["webhdfs", "hdfs-native", "pyarrow", "smb", "object-store"])
def test_drivers_without_a_server_here_are_shared_too(driver):
    """As measured elsewhere."""
    assert traits(driver)[0].threads == "shared"


@pytest.mark.quirk("endless-wait")
@pytest.mark.parametrize("driver", ["gcsfs", "adlfs", "hdfs-native", "pyarrow", "webhdfs"])
def test_drivers_that_wait_for_ever_say_so(driver):
    """Whoever needs a limit must set one around them."""
    assert traits(driver)[0].own_timeout is False


# --- S3 ---


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-create")
@pytest.mark.parametrize("data", [b"second", LARGE], ids=["small", "large"])
def test_s3_exclusive_write_is_one_conditional_put(s3, s3_server, small_parts, data):
    """An existing object is kept, whatever the size of the new one, and no upload in parts is begun."""
    before = uploads(s3_server)
    put(s3.store, s3.key("k"), data, overwrite=False)
    assert s3.raw_read("k") == data

    with pytest.raises(ObjectExistsError):
        put(s3.store, s3.key("k"), b"!" + data, overwrite=False)

    assert s3.raw_read("k") == data
    assert uploads(s3_server) == before


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-create")
def test_s3_large_exclusive_write_leaves_the_decision_to_the_server(s3, small_parts, monkeypatch):
    """However large, it is one request with If-None-Match; what the server makes of a race is then its own affair."""
    fs = instance_of(s3.store)
    put(s3.store, s3.key("known"), b"1", overwrite=False)  # the server has been asked whether it keeps conditions
    real, calls = fs._call_s3, []

    async def call_s3(method, *args, **arguments):
        calls.append((method, arguments.get("IfNoneMatch")))
        return await real(method, *args, **arguments)

    monkeypatch.setattr(fs, "_call_s3", call_s3)
    monkeypatch.setattr(fs, "call_s3", lambda method, **arguments: sync(fs.loop, call_s3, method, **arguments))
    put(s3.store, s3.key("k"), LARGE, overwrite=False)

    assert [call for call in calls if "put" in call[0] or "upload" in call[0]] == [("put_object", "*")]


class _RefusingS3:
    """A client like that of a server whose failed condition s3fs cannot name (Ceph)."""

    def split_path(self, path):
        bucket, _, key = path.partition("/")
        return bucket, key, None

    def call_s3(self, method, **arguments):
        from botocore.exceptions import ClientError

        answer = {"Error": {"Code": "PreconditionFailed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
        raise OSError(22, "At least one of the pre-conditions did not hold") from ClientError(answer, "PutObject")


@pytest.mark.quirk("s3-create")
def test_s3_einval_for_a_failed_condition_means_exists():
    """OSError(EINVAL) on an exclusive write is an ObjectExistsError; on a conditional one it is a ConflictError."""
    dialect = S3Dialect()
    dialect._conditions.kept = {"If-None-Match": True, "If-Match": True}
    with pytest.raises(ObjectExistsError):
        dialect.write_object(_RefusingS3(), "b/k", b"x", create=True)
    with pytest.raises(OSError, match="pre-conditions") as caught:
        dialect.write_object(_RefusingS3(), "b/k", b"x", if_match="etag")
    assert classify(caught.value) is ConflictError


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-create")
@pytest.mark.parametrize("data", [b"new", LARGE], ids=["small", "large"])
def test_s3_conditional_replacement_holds_for_any_size(s3, small_parts, data):
    """A version that is gone replaces nothing, also where the object would be sent in parts."""
    put(s3.store, s3.key("k"), b"one")
    one = s3.store.info(s3.key("k")).version
    s3.raw_write("k", b"theirs")

    with pytest.raises(ConflictError):
        put(s3.store, s3.key("k"), data, if_match=one)

    assert s3.raw_read("k") == b"theirs"


class Unconditional(HttpFaults):
    """A server that hears of no condition."""

    def _exchange(self, request, client):
        del request.headers["If-Match"], request.headers["If-None-Match"]
        return super()._exchange(request, client)


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-conditions")
@pytest.mark.parametrize("accelerate", ["1", "0"])
@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.write_bytes("k", b"2", overwrite=False),
        lambda p: p.write_bytes("new", b"2", overwrite=False),
        lambda p: p.write_bytes("k", b"2", if_match=p.info("k").version),
        lambda p: p.append("k", b"2"),
    ],
    ids=["exists", "new", "if_match", "append"],
)
def test_s3_conditions_that_are_not_kept_are_refused(s3_server, write, accelerate, monkeypatch):
    """Nothing is overwritten, and nothing is left of asking; other writes go on."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ACCELERATE", accelerate)
    name = uuid.uuid4().hex
    with Unconditional(int(s3_server.endpoint_url.rpartition(":")[2])) as proxy:
        options = {**s3_server.storage_options, "endpoint_url": f"http://127.0.0.1:{proxy.port}"}
        p = FSSpecPersistence(f"{s3_server.url}/{name}", storage_options=options)
        p.write_bytes("k", b"1")
        with pytest.raises(UnsupportedPersistenceOp, match="overwrites whatever"):
            write(p)

        assert p.read_bytes("k") == b"1"
    assert s3_server.raw_keys(f"{name}/") == [f"{name}/k"]


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-conditions")
def test_s3_conditions_are_asked_about_once(s3_server, monkeypatch):
    """Of a server that keeps them."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ACCELERATE", "0")
    p = FSSpecPersistence(f"{s3_server.url}/{uuid.uuid4().hex}", storage_options=s3_server.storage_options)
    fs = instance_of(p.store_and_key()[0])
    real, calls = fs.call_s3, []
    fs.call_s3 = lambda method, **arguments: calls.append(method) or real(method, **arguments)
    p.write_bytes("a", b"1", overwrite=False)
    asked = len(calls)
    p.write_bytes("b", b"1", overwrite=False)

    assert asked == 4
    assert len(calls) == 5


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-conditions")
def test_s3_an_error_says_nothing_of_conditions(s3_server):
    """A write that was denied is no proof that they are kept; the next one asks again."""
    p = FSSpecPersistence(f"{s3_server.url}/{uuid.uuid4().hex}", storage_options=s3_server.storage_options)
    fs, conditions = instance_of(p.store_and_key()[0]), Conditions()
    real, denied = fs.call_s3, []

    def call_s3(method, **arguments):
        if not denied:
            denied.append(method)
            raise PermissionError("expired")
        return real(method, **arguments)

    fs.call_s3 = call_s3
    with pytest.raises(PermissionError):
        conditions.require(fs, f"{s3_server.bucket}/k", create=True, if_match=None)
    assert conditions.kept == {}

    conditions.require(fs, f"{s3_server.bucket}/k", create=True, if_match=None)
    assert conditions.kept == {"If-None-Match": True}


@pytest.mark.quirk("s3-conditions")
@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("https://s3.eu-west-1.amazonaws.com", False),
        ("https://s3.amazonaws.com", False),
        ("https://amazonaws.com.example.org", True),
    ],
)
def test_s3_amazon_is_not_asked(endpoint, asked):
    """It keeps conditions."""
    calls = []
    fs = SimpleNamespace(
        s3=SimpleNamespace(meta=SimpleNamespace(endpoint_url=endpoint)),
        split_path=lambda path: (*path.split("/", 1), None),
        call_s3=lambda method, **_: calls.append(method),
    )
    with contextlib.suppress(UnsupportedPersistenceOp):
        Conditions().require(fs, "bucket/k", create=False, if_match="x")

    assert bool(calls) == asked


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-pin")
def test_s3_reads_name_their_version(s3):
    """Every range of a pinned object is of that version, or refused."""
    s3.raw_write("k", b"0123456789")
    old = s3.store.info(s3.key("k"))
    assert s3.store.read(s3.key("k"), 3, 6, pin=old) == b"345"
    s3.raw_write("k", b"abcdefghij")

    with pytest.raises(ChangedDuringReadError):
        s3.store.read(s3.key("k"), 3, 6, pin=old)


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-pin")
@pytest.mark.quirk("gcs-pin")
@pytest.mark.quirk("abfs-pin")
def test_an_open_file_stays_on_its_version(place):
    """Replaced by another of equal size while it is open, a file never continues with the new bytes."""
    old, new = b"o" * len(LARGE), b"n" * len(LARGE)  # more than is read ahead
    place.raw_write("k", old)
    with place.persistence.open("k") as file:
        head = file.read(10)
        place.raw_write("k", new)
        with pytest.raises(ChangedDuringReadError):
            file.seek(5 * MIB)
            file.read()

    assert head == b"o" * 10
    assert place.persistence.read_bytes("k") == new


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-digest")
def test_s3_digest_of_one_put_is_its_md5(s3):
    """In info and in listings."""
    s3.raw_write("d/k", b"hello")
    md5 = ("md5", hashlib.md5(b"hello").hexdigest())

    assert s3.store.info(s3.key("d/k")).digest == md5
    assert [e.digest for e in s3.store.find(s3.key("d"))] == [md5]


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-digest")
def test_s3_etag_of_parts_is_no_digest(s3, small_parts):
    """An object sent in parts has a version, and no digest."""
    put(s3.store, s3.key("k"), LARGE)
    info = s3.store.info(s3.key("k"))

    assert info.digest is None
    assert info.version
    assert s3.raw_read("k") == LARGE


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-digest")
def test_s3_etag_of_an_encrypted_object_is_no_digest(s3, s3_server):
    """With KMS the ETag has the form of an MD5, and is none."""
    from tests.servers.s3 import _headers

    url = f"{s3_server.endpoint_url}/{s3_server.bucket}/{s3.folder}/k"
    rest.demand("PUT", url, data=b"hello", headers={**_headers("s3"), "x-amz-server-side-encryption": "aws:kms"})

    assert s3.store.info(s3.key("k")).digest is None


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-digest")
def test_s3_a_wrong_etag_is_settled_by_reading_again(s3, tmp_path, monkeypatch):
    """A claim that turns out to be no digest costs a second reading, not the transfer."""
    s3.raw_write("d/k", b"hello")
    monkeypatch.setattr("persistence_fsspec.stores.dialects.s3.md5_of_etag", lambda etag: ("md5", "0" * 32))

    report = s3.persistence.get("d", tmp_path / "d", recursive=True)

    assert (tmp_path / "d" / "k").read_bytes() == b"hello"
    assert [f.verification for f in report.copied] == ["size"]


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-empty-range")
@pytest.mark.parametrize("span", [(0, None), (None, None), (0, 10), (None, 5)])
def test_s3_empty_object_has_an_empty_range(s3, span):
    """Also from zero, where a server has no such range."""
    s3.raw_write("k", b"")

    assert s3.store.read(s3.key("k"), *span) == b""
    assert s3.persistence.read_bytes("k", start=span[0], end=span[1]) == b""


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-append")
@pytest.mark.quirk("gcs-append")
@pytest.mark.quirk("abfs-append")
@pytest.mark.parametrize("old", [b"old", None], ids=["existing", "missing"])
def test_append_keeps_what_a_second_writer_wrote(place, monkeypatch, old):
    """What came between our reading and our writing stays, and ours comes behind it."""
    if old is not None:
        place.raw_write("k", old)
    real, theirs = ObjectWriter._write_at_once, [b"theirs", b"theirs, longer"]

    def write_at_once(writer, fs):
        if theirs:
            place.raw_write("k", theirs.pop(0))
        return real(writer, fs)

    monkeypatch.setattr(ObjectWriter, "_write_at_once", write_at_once)
    place.persistence.append("k", b"+ours")

    assert place.raw_read("k") == b"theirs, longer+ours"


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-append")
@pytest.mark.quirk("gcs-append")
@pytest.mark.quirk("abfs-append")
def test_append_that_always_comes_second_is_an_error(place, monkeypatch):
    """Nothing of theirs is lost by it."""
    real, count = ObjectWriter._write_at_once, itertools.count()

    def write_at_once(writer, fs):
        place.raw_write("k", b"theirs %d" % next(count))
        return real(writer, fs)

    monkeypatch.setattr(ObjectWriter, "_write_at_once", write_at_once)
    monkeypatch.setattr(rewriting, "_ROUNDS", 3)
    with pytest.raises(ConflictError):
        place.persistence.append("k", b"+ours")

    assert place.raw_read("k") == b"theirs 2"


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-append")
@pytest.mark.quirk("gcs-append")
@pytest.mark.quirk("abfs-append")
def test_append_from_many_threads_keeps_every_line(place):
    """Each once, each whole."""
    lines = [b"%02d\n" % number for number in range(12)]

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda line: place.persistence.append("k", line), lines))

    assert sorted(place.raw_read("k").splitlines(keepends=True)) == lines


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-append")
@pytest.mark.quirk("gcs-append")
@pytest.mark.quirk("abfs-append")
def test_append_to_a_large_object_is_refused(place, monkeypatch):
    """It would be written again for every line; from 64 MiB on, and it stays as it is."""
    assert rewriting._LIMIT == 64 * MIB
    monkeypatch.setattr(rewriting, "_LIMIT", 10)
    place.raw_write("k", b"0123456789")
    place.persistence.append("k", b"!")

    with pytest.raises(UnsupportedPersistenceOp, match="by rewriting up to 10"):
        place.persistence.append("k", b"more")

    assert place.raw_read("k") == b"0123456789!"


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-append")
@pytest.mark.quirk("gcs-append")
@pytest.mark.quirk("abfs-append")
def test_append_extends(place):
    """Missing objects begin, existing ones grow; metadata stay."""
    place.persistence.write_bytes("k", b"one", metadata={"colour": "green"})
    for piece in (b"two", b"three"):
        place.persistence.append("k", piece)
    place.persistence.append("new", b"first")

    assert place.raw_read("k") == b"onetwothree"
    assert place.raw_read("new") == b"first"
    assert place.persistence.info("k").metadata == {"colour": "green"}


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-append")
@pytest.mark.quirk("gcs-append")
@pytest.mark.quirk("abfs-append")
def test_a_write_on_condition_of_a_version_replaces_no_other(place):
    """Whatever its size, and whatever stands in it."""
    nasty = b"--==0==--\r\n--==0=="
    first = place.persistence.write_bytes("k", b"one")
    place.persistence.write_bytes("k", nasty, if_match=first.version)

    assert place.raw_read("k") == nasty
    for data in (b"three", LARGE):
        with pytest.raises(ConflictError):
            place.persistence.write_bytes("k", data, if_match=first.version)
    assert place.raw_read("k") == nasty


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-delete-missing")
def test_s3_deleting_what_is_missing_is_an_error(s3):
    """In the store, and in the persistence, where it may be allowed."""
    s3.raw_write("other", b"1")

    for delete in (lambda: s3.store.delete(s3.key("missing")), lambda: s3.persistence.delete("missing")):
        with pytest.raises(ObjectNotFoundError):
            delete()
    s3.persistence.delete("missing", missing_ok=True)
    assert s3.raw_names() == ["other"]


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-find")
def test_s3_listing_is_read_page_by_page(s3, monkeypatch):
    """The first name is there after one page; the rest follow, each once."""
    names = [f"d/k{i}" for i in range(7)]
    for name in names:
        s3.raw_write(name, b"1")
    fs = instance_of(s3.store)
    real, pages = fs.call_s3, []

    def call_s3(method, **arguments):
        if method == "list_objects_v2":
            pages.append(arguments)
            arguments = {**arguments, "MaxKeys": 2}
        return real(method, **arguments)

    monkeypatch.setattr(fs, "call_s3", call_s3)
    listing = s3.store.find(s3.key("d"))
    first = next(listing).key
    assert len(pages) == 1

    assert [first, *(e.key for e in listing)] == [s3.key(n) for n in names]
    assert len(pages) == 4


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-bulk-delete")
def test_s3_each_deletion_has_an_answer(s3, monkeypatch):
    """One key that cannot be deleted is named; the others are gone."""
    for name in ("d/a", "d/forbidden", "d/z"):
        s3.raw_write(name, b"1")
    fs = instance_of(s3.store)
    real = fs.rm_file

    def rm_file(path, **more):
        if path.endswith("forbidden"):
            raise PermissionError("Access Denied")
        real(path, **more)

    monkeypatch.setattr(fs, "rm_file", rm_file)
    with pytest.raises(TransferError) as caught:
        s3.persistence.delete("d", recursive=True)

    assert [f.source.rpartition("/")[2] for f in caught.value.report.failed] == ["forbidden"]
    assert s3.raw_names() == ["d/forbidden"]


@pytest.mark.quirk("s3-timeout")
def test_s3_gives_up_a_silent_server():
    """With an error that may be tried again."""
    with silent_server() as port:
        timing = {"connect_timeout": 0.2, "read_timeout": 0.2, "retries": {"max_attempts": 0}}
        options = {"key": "a", "secret": "b", "endpoint_url": f"http://127.0.0.1:{port}", "config_kwargs": timing}
        p = FSSpecPersistence("s3://bucket", storage_options=options, policy=Policy(attempts=1))

        assert p.capabilities().own_timeout
        with pytest.raises(OperationTimeoutError) as caught:
            p.exists("k")
        assert caught.value.retryable


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-unfinished-upload")
@pytest.mark.parametrize("end", ["abort", "drop"])
def test_s3_an_aborted_write_removes_its_own_upload_only(s3, s3_server, small_parts, end):
    """Whose upload of another object goes on."""
    s3_server._demand("POST", f"/{s3_server.bucket}/{s3.folder}/theirs?uploads")
    writer = s3.store.writer(s3.key("ours"))
    for _ in range(13):
        writer.write(b"x" * MIB)
    assert f"{s3.folder}/ours" in uploads(s3_server)

    if end == "abort":
        writer.abort()
    del writer
    settle()

    mine = [key for key in uploads(s3_server) if key.startswith(s3.folder)]
    assert mine == [f"{s3.folder}/theirs"]
    assert s3.raw_names() == []


# --- Google ---


@pytest.mark.server("gcs")
@pytest.mark.quirk("gcs-create")
@pytest.mark.parametrize("data", [b"second", LARGE], ids=["small", "large"])
def test_gcs_exclusive_write_keeps_what_is_there(gcs, small_parts, data):
    """By bytes, and by opening with `x`, for any size."""
    gcs.raw_write("k", b"first")

    with pytest.raises(ObjectExistsError):
        gcs.persistence.write_bytes("k", data, overwrite=False)
    with pytest.raises(ObjectExistsError), gcs.persistence.open("k", "xb") as file:
        file.write(data)

    assert gcs.raw_read("k") == b"first"
    gcs.persistence.write_bytes("new", data, overwrite=False)
    assert gcs.raw_read("new") == data


@pytest.mark.server("gcs")
@pytest.mark.quirk("gcs-pin")
def test_gcs_reads_name_their_generation(gcs):
    """An old generation is refused, and its digest is of its own content."""
    gcs.raw_write("k", b"0123456789")
    old = gcs.store.info(gcs.key("k"))
    assert old.digest == ("md5", hashlib.md5(b"0123456789").hexdigest())
    assert gcs.store.read(gcs.key("k"), 3, 6, pin=old) == b"345"
    gcs.raw_write("k", b"abcdefghij")

    with pytest.raises(ChangedDuringReadError):
        gcs.store.read(gcs.key("k"), 3, 6, pin=old)


@pytest.mark.server("gcs")
@pytest.mark.quirk("gcs-emulator-probe")
@pytest.mark.parametrize("how", ["options", "given"])
def test_gcs_does_not_probe_an_endpoint_of_ones_own(gcs_server, how):
    """In a fresh process, where nobody switched it off beforehand, an operation takes no minute."""
    gcs_server.raw_write("probe/k", b"hello")
    program = textwrap.dedent("""
        import sys
        from persistence_fsspec import FSSpecPersistence
        options = {"endpoint_url": sys.argv[1], "token": "anon", "project": "test"}
        if sys.argv[3] == "given":
            import gcsfs
            p = FSSpecPersistence(sys.argv[2], filesystem=gcsfs.GCSFileSystem(**options))
        else:
            p = FSSpecPersistence(sys.argv[2], storage_options=options)
        assert p.read_bytes("probe/k") == b"hello"
        assert list(p.listdir("probe")) == ["probe/k"]
        p.write_bytes("written", b"1")
        print(type(p.fsspec_filesystem()).__name__)
    """)
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("GCSFS_")}
    command = [sys.executable, "-c", program, gcs_server.storage_options["endpoint_url"], gcs_server.url, how]
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True, timeout=20, check=False)

    assert done.returncode == 0, done.stderr
    assert gcs_server.raw_read("written") == b"1"
    gcs_server.raw_delete("written")


@pytest.mark.quirk("gcs-emulator-probe")
def test_gcs_leaves_the_environment_alone(monkeypatch):
    """A setting for one endpoint is not one for the whole process."""
    monkeypatch.delenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", raising=False)
    GcsDialect().options({"endpoint_url": "http://127.0.0.1:1"}, "bucket")

    assert "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT" not in os.environ


# --- Azure ---


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-commit")
@pytest.mark.parametrize("end", ["abort", "exception", "drop"])
def test_abfs_blocks_are_listed_by_commit_alone(azure, small_parts, end):
    """However a write ends before that, the old blob stays, and no new one appears."""
    azure.raw_write("old", b"old")
    for name in ("old", "new"):
        writer = azure.store.writer(azure.key(name))
        for _ in range(12):
            writer.write(b"x" * MIB)
        assert azure.raw_read(name) == (b"old" if name == "old" else None)
        if end == "abort":
            writer.abort()
        del writer
        if end == "exception":
            with pytest.raises(ZeroDivisionError), azure.persistence.open(name, "wb") as file:
                file.write(b"x" * MIB)
                raise ZeroDivisionError

    assert azure.raw_names() == ["old"]
    assert azure.raw_read("old") == b"old"


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-commit")
@pytest.mark.parametrize("data", [b"second", LARGE], ids=["small", "large"])
def test_abfs_exclusive_write_keeps_what_is_there(azure, small_parts, data):
    """For any size."""
    azure.raw_write("k", b"first")

    with pytest.raises(ObjectExistsError):
        azure.persistence.write_bytes("k", data, overwrite=False)

    assert azure.raw_read("k") == b"first"
    azure.persistence.write_bytes("new", data, overwrite=False)
    assert azure.raw_read("new") == data


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-pin")
def test_abfs_reads_name_their_etag(azure):
    """Every range of a pinned blob is of that version, or refused; the version has no quotes."""
    azure.raw_write("k", b"0123456789")
    old = azure.store.info(azure.key("k"))
    assert old.version
    assert '"' not in old.version
    assert azure.store.read(azure.key("k"), 3, 6, pin=old) == b"345"
    azure.raw_write("k", b"abcdefghij")

    with pytest.raises(ChangedDuringReadError):
        azure.store.read(azure.key("k"), 3, 6, pin=old)


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-digest")
def test_abfs_digest_is_used_where_there_is_one(azure, small_parts, tmp_path):
    """A blob of one upload has its MD5; one of blocks has the CRC32C that we keep with it."""
    azure.persistence.write_bytes("d/small", b"hello")
    azure.persistence.write_bytes("d/large", LARGE)

    assert azure.store.info(azure.key("d/small")).digest == ("md5", hashlib.md5(b"hello").hexdigest())
    assert azure.store.info(azure.key("d/large")).digest == ("crc32c", crc32c(LARGE))
    azure.persistence.get("d", tmp_path / "d", recursive=True)
    assert (tmp_path / "d" / "large").read_bytes() == LARGE


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-names")
@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\\b", "ab#", "ab?x"])
def test_abfs_an_odd_name_touches_no_other_blob(azure, name):
    """It is kept as it is, or refused; never cut, and never merged with a neighbour."""
    azure.raw_write("ab", b"precious")
    p = azure.persistence
    try:
        p.write_bytes(name, b"odd")
    except InvalidNameError:
        for act in (p.read_bytes, p.delete, p.exists):
            with pytest.raises((InvalidNameError, ObjectNotFoundError)):
                assert act(name)
    else:
        assert azure.raw_names() == sorted(["ab", name])
        assert sorted(p.listdir()) == sorted(["ab", name])
        assert p.read_bytes(name) == b"odd"
        p.delete(name)

    assert azure.raw_names() == ["ab"]
    assert azure.raw_read("ab") == b"precious"


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-errors")
@pytest.mark.quirk("exists-false-on-error")
def test_abfs_a_refused_key_is_a_permission_error(azure_server):
    """And says nothing about the blob."""
    import base64

    azure_server.raw_write("there", b"1")
    parts = dict(part.split("=", 1) for part in azure_server.storage_options["connection_string"].split(";") if part)
    parts["AccountKey"] = base64.b64encode(b"wrong" * 10).decode()
    options = {"connection_string": ";".join(f"{k}={v}" for k, v in parts.items())}
    p = FSSpecPersistence(azure_server.url, storage_options=options)

    for act in (lambda: p.exists("there"), lambda: p.read_bytes("there"), lambda: list(p.find())):
        with pytest.raises(PermissionDeniedError):
            act()


@pytest.mark.quirk("abfs-errors")
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (404, "ContainerNotFound", "ObjectNotFoundError"),
        (403, "AuthorizationFailure", "PermissionDeniedError"),
        (403, "AuthenticationFailed", "AuthenticationError"),
        (409, "BlobAlreadyExists", "ObjectExistsError"),
        (412, "ConditionNotMet", "ConflictError"),
        (503, "ServerBusy", "ThrottledError"),
    ],
)
def test_abfs_azures_own_errors_become_ours(status, code, expected):
    """Although they are no OSError."""
    from azure.core.exceptions import HttpResponseError

    class Response:
        status_code = status
        reason = ""
        headers = {}

        def text(self, *args):
            return ""

    foreign = HttpResponseError(response=Response())
    foreign.error_code = code
    found = classify(foreign)

    assert not isinstance(foreign, OSError)
    assert found is not None
    assert issubclass(found, PersistenceError)
    assert found.__name__ == expected


def test_every_object_store_has_a_dialect_of_whole_objects():
    """What the rows `object-*` claim holds for the dialects that carry them out."""
    drivers = ("s3fs", "gcsfs", "adlfs", "object-store", "lakefs")

    assert all(isinstance(dialect_for(driver), ObjectDialect) for driver in drivers)
    assert all(traits(driver)[1].stage == "object" for driver in drivers)


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-version-suffix")
def test_s3_a_version_suffix_in_a_name_does_not_hit_another_object(s3_server):
    """`doc?versionId=7` is neither written to `doc`, nor read from it, nor deleted with it."""
    folder = f"q-{os.urandom(4).hex()}"
    s3_server.raw_write(f"{folder}/doc", b"precious")
    p = FSSpecPersistence(f"{s3_server.url}/{folder}", storage_options=s3_server.storage_options)

    for act in (p.read_bytes, p.delete, lambda name: p.write_bytes(name, b"other")):
        with pytest.raises(InvalidNameError):
            act("doc?versionId=7")
    assert s3_server.raw_read(f"{folder}/doc") == b"precious"


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-append")
def test_blobs_in_the_place_of_folders(azure_server, azure):
    """Hadoop's: they are no objects to append to, hide no blob of their name, and go with their folder."""
    client = instance_of(azure.store).service_client
    marks = {"hdi_isfolder": "true"}

    def mark(name):
        blob = client.get_blob_client(*azure.persistence.url(name).partition("://")[2].split("/", 1))
        sync(instance_of(azure.store).loop, lambda: blob.upload_blob(b"", metadata=marks, overwrite=True))

    mark("d")
    azure.raw_write("d/k", b"1")
    azure.raw_write("both", b"2")
    azure.raw_write("both/k", b"3")

    with pytest.raises(IsAFolderError):
        azure.persistence.append("d", b"more")
    assert sorted(azure.persistence.listdir()) == ["both", "both", "d"]
    azure.persistence.delete("d", recursive=True)
    assert not azure.persistence.exists("d")
    assert azure.raw_names() == ["both", "both/k"]


def test_a_write_on_condition_of_nothing_is_refused():
    """It would replace whatever is there."""
    with pytest.raises(InvalidOptionError):
        FSSpecPersistence("memory://condition").write_bytes("k", b"1", if_match="")
