"""Objects in parts, and small ones, at S3, Google Cloud Storage and Azure: what is sent, what is compared, what stays."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.crc32c import combined, crc32c
from persistence_fsspec.errors import (
    ChecksumMismatchError,
    ConflictError,
    ObjectExistsError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.store import MD5_OF_PARTS, Part
from persistence_fsspec.stores.dialects.s3 import S3Dialect
from persistence_fsspec.testing.conformance import begin, pattern, sent, three_parts
from persistence_fsspec.transfer.verify import digest_of
from tests.conformance.harnesses import ServerHarness
from tests.quirks.places import instance_of, places, put
from tests.servers.faults import Fault
from tests.servers.faults_bits import HttpCorruption
from tests.servers.faults_http import HttpFaults
from tests.servers.s3_checksums import ChecksumS3, TlsS3

# The clients of Google and Azure hand their bodies to aiohttp as bytes, which it dislikes from 1 MiB on.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

MIB = 1024 * 1024
OBJECT_STORES = ("s3", "gcs", "azure")


def beyond(proxy, place):
    """The same folder, reached through a proxy, by an instance of its own."""
    options = {**place._server.storage_options, "skip_instance_cache": True}
    port, through = str(place._server.process.port), str(proxy.port)
    options = {n: v.replace(f":{port}", f":{through}") if isinstance(v, str) else v for n, v in options.items()}
    policy = Policy(part_size=64 * 1024, backoff_seconds=0.01, stall_seconds=3)
    return FSSpecPersistence(place.persistence.url(), storage_options=options, policy=policy).store_and_key()[0]


@contextmanager
def proxied(place, kind=HttpFaults, **more):
    """A proxy, and the store behind it, which has been used already."""
    with kind(place._server.process.port, **more) as proxy:
        store = beyond(proxy, place)
        put(store, place.key("before"), b"1")
        place.raw_delete("before")
        proxy.arm()
        yield proxy, store


def send_all(upload, data):
    """All parts, in order."""
    return [sent(upload, number, data) for number in range(-(-len(data) // upload.part_size))]


# --- small objects ---


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-publish")
@pytest.mark.parametrize("data", [b"", b"hello", pattern(MIB)], ids=["empty", "five", "mebibyte"])
def test_a_small_object_is_written_by_exactly_one_request(place, data):
    """The answer to it tells size, version and digest as the store knows them."""
    with proxied(place) as (proxy, store):
        writer = store.writer(place.key("k"), size=len(data))
        if data:
            writer.write(data)
        info = writer.commit()
        assert proxy.seen == 1

    known = place.store.info(place.key("k"))
    assert (info.key, info.size, info.version) == (known.key, len(data), known.version)
    assert info.digest == known.digest == ("md5", hashlib.md5(data).hexdigest())


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-publish")
def test_a_small_object_that_was_listed_is_read_by_exactly_one_request(place):
    """What the listing said of it is not asked for again."""
    place.raw_write("d/k", b"hello")
    with proxied(place) as (proxy, store):
        [entry] = store.find(place.key("d"))
        proxy.arm()

        assert b"".join(store.stream(entry.key, pin=entry)) == b"hello"
        assert proxy.seen == 1
        assert store.read(entry.key, pin=entry) == b"hello"
        assert proxy.seen == 2


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-publish")
def test_a_small_write_whose_answer_was_lost_is_made_again(place):
    """And tells of the second one."""
    with proxied(place) as (proxy, store):
        writer = store.writer(place.key("k"))
        writer.write(b"hello")
        proxy.arm(Fault(kind="lost-reply", at=1))
        info = writer.commit()

    assert proxy.fired
    assert info.version == place.store.info(place.key("k")).version


# --- objects in parts, everywhere ---


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("gcs-parts")
@pytest.mark.quirk("abfs-parts")
def test_the_store_tells_which_parts_have_arrived(place):
    """All of them, and no others: not those of another upload of the same object."""
    data = three_parts(place.store)
    other = begin(place.store, place.key("k"), data)
    sent(other, 1, data)
    upload = begin(place.store, place.key("k"), data)
    parts = [sent(upload, number, data) for number in (2, 0)]
    again = begin(place.store, place.key("k"), data, token=upload.token)

    told = {part.number: part for part in again.parts()}
    assert {number: (part.size, part.receipt) for number, part in told.items()} == {
        part.number: (part.size, part.receipt) for part in parts
    }
    assert upload.token != other.token


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("gcs-parts")
@pytest.mark.quirk("abfs-parts")
def test_parts_that_do_not_make_the_whole_are_never_published(place):
    """What was sent of them may be right, each for itself."""
    place.raw_write("k", b"old")
    data = three_parts(place.store)
    upload = begin(place.store, place.key("k"), data)
    parts = send_all(upload, data)

    with pytest.raises(ChecksumMismatchError, match="nothing was published"):
        upload.commit(parts, crc32c(b"something else"))
    with pytest.raises(ValueError, match="parts"):
        upload.commit(parts[:2], crc32c(data))
    assert place.raw_read("k") == b"old"


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("gcs-parts")
@pytest.mark.quirk("abfs-parts")
def test_the_last_request_of_an_upload_may_lose_its_answer(place):
    """The object is ours, and is known again."""
    data = three_parts(place.store)
    with proxied(place) as (proxy, store):
        upload = begin(store, place.key("k"), data)
        parts = send_all(upload, data)
        proxy.arm(Fault(kind="lost-reply", at=1))
        info = upload.commit(parts, crc32c(data))

    assert proxy.fired
    assert info.version == place.store.info(place.key("k")).version
    assert place.raw_read("k") == data
    assert place.raw_names() == ["k"]


@places("s3", "azure")
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("abfs-parts")
def test_a_part_that_was_damaged_on_the_way_is_sent_again(place):
    """The store compares it, or its answer is compared, before it becomes part of anything."""
    data = three_parts(place.store)
    with proxied(place, HttpCorruption) as (proxy, store):
        upload = begin(store, place.key("k"), data)
        parts = [sent(upload, 0, data)]
        proxy.arm(Fault(kind="flip-request", at=1, amount=1234))
        parts.append(sent(upload, 1, data))
        assert proxy.fired
        upload.commit([*parts, sent(upload, 2, data)], crc32c(data))

    assert place.raw_read("k") == data


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("gcs-parts")
@pytest.mark.quirk("abfs-parts")
def test_an_empty_object_may_be_committed_of_no_parts(place):
    """There is an empty object then."""
    upload = begin(place.store, place.key("k"), b"")

    assert upload.commit([], crc32c(b"")).size == 0
    assert place.raw_read("k") == b""
    assert place.raw_names() == ["k"]


@places(*OBJECT_STORES)
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("gcs-parts")
@pytest.mark.quirk("abfs-parts")
def test_metadata_come_with_an_object_in_parts(place):
    """The caller's own, and nothing of what we keep there."""
    data, store = pattern(1000), place.store
    metadata = {"mode": "0644", "mtime": "1700000000.5"}
    upload = store.upload(place.key("k"), size=len(data), part_size=5 * MIB, metadata=metadata)
    upload.commit(send_all(upload, data), crc32c(data))

    assert store.capabilities.attributes == ("mode", "mtime")
    assert store.info(place.key("k")).metadata == metadata


@places("s3", "gcs")
@pytest.mark.quirk("s3-parts")
@pytest.mark.quirk("gcs-parts")
def test_an_exclusive_object_is_not_sent_in_parts(place):
    """Where two might win."""
    with pytest.raises(UnsupportedPersistenceOp):
        place.store.upload(place.key("k"), size=10, part_size=5 * MIB, overwrite=False)


@places(*OBJECT_STORES)
@pytest.mark.quirk("object-publish")
def test_odd_names_hold_parts_too(place):
    """They are the names of the object, and those of what waits beside it."""
    data = pattern(1000)
    for name in ("a b+c%20&d", "ü/é", "x=1,y"):
        upload = place.store.upload(place.key(name), size=len(data), part_size=5 * MIB)
        upload.commit(send_all(upload, data), crc32c(data))
        assert place.raw_read(name) == data


# --- S3 ---


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
def test_s3_compares_checksums_where_the_server_does(s3):
    """Each part, and the whole, whose digest is known from then on, with those of its parts."""
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        parts = send_all(upload, data)
        assert sorted(upload.parts(), key=lambda part: part.number) == parts
        info = upload.commit(parts, crc32c(data))

        assert info.digest == store.info(s3.key("k")).digest == ("crc32c", crc32c(data))
        found = store.part_digests(s3.key("k"), pin=info)
        assert [(part.number, part.size, part.crc32c) for part in found] == [(p.number, p.size, p.crc32c) for p in parts]
        assert proxy.refused == 0
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
def test_s3_a_stream_of_unknown_length_has_a_digest_too(s3, monkeypatch):
    """Where the server compares checksums."""
    from persistence_fsspec.stores.dialects.base import ObjectDialect

    monkeypatch.setattr(ObjectDialect, "object_part_size", 5 * MIB)
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = pattern(11 * MIB)
        put(store, s3.key("k"), data)

        assert store.info(s3.key("k")).digest == ("crc32c", crc32c(data))
        assert proxy.refused == 0
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
def test_s3_a_damaged_part_is_refused_by_the_server(s3):
    """By its checksum, and is sent again."""
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        proxy.flip_part = 2
        parts = [sent(upload, 0, data)]
        parts.append(sent(upload, 1, data))
        assert proxy.refused == 1
        upload.commit([*parts, sent(upload, 2, data)], crc32c(data))
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
def test_s3_a_lost_answer_to_the_last_request_is_found_by_the_checksum(s3):
    """The upload is gone then, and the object has the digest of ours."""
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        parts = [Part(number=p.number, size=p.size, crc32c=p.crc32c, receipt=p.receipt) for p in send_all(upload, data)]
        proxy.arm(Fault(kind="lost-reply", at=1))
        info = upload.commit(parts, crc32c(data))

        assert proxy.fired
        assert proxy.asked[-2:] == ["POST uploadId", "HEAD"]
        assert info.digest == ("crc32c", crc32c(data))


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
@pytest.mark.parametrize("manner", ["composite", "refusing", "deaf"])
def test_s3_uploads_work_at_servers_with_fewer_checksums(s3, manner):
    """Parts are compared by CRC32C or MD5, and so is the whole once; later its ETag tells, by the part size kept with it."""
    with proxied(s3, ChecksumS3, manner=manner) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        again = begin(store, s3.key("k"), data, token=upload.token)
        info = again.commit(send_all(upload, data), crc32c(data))

        assert info.digest == ("crc32c", crc32c(data))
        found = store.info(s3.key("k"))
        assert found.digest == digest_of([data], f"{MD5_OF_PARTS}{upload.part_size}")
        assert found.metadata == {}
        assert proxy.refused == 0
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-composite-digest")
def test_s3_a_checksum_of_checksums_is_no_digest(s3):
    """Although it is called CRC32C as well."""
    with proxied(s3, ChecksumS3, manner="composite") as (_, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        upload.commit(send_all(upload, data), crc32c(data))
        head = instance_of(store).call_s3("head_object", Bucket=s3._server.bucket, Key=s3.key("k"), ChecksumMode="ENABLED")
        info = store.info(s3.key("k"))

        assert head["ChecksumCRC32C"].endswith("-3")
        assert info.digest == digest_of([data], f"{MD5_OF_PARTS}{upload.part_size}")
        assert not store.part_digests(s3.key("k"), pin=info)


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
def test_s3_is_asked_once_whether_it_compares(s3):
    """The second upload begins with one request."""
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        begin(store, s3.key("one"), data).abort()
        proxy.asked.clear()
        begin(store, s3.key("two"), data)

        assert proxy.asked == ["POST uploads"]


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-parts")
def test_s3_checksums_are_left_out_where_the_client_is_told_to(s3):
    """By the setting that exists for servers which cannot stand them."""
    fs = instance_of(s3.store)
    config = {**(fs.config_kwargs or {}), "request_checksum_calculation": "when_required"}
    options = {**s3._server.storage_options, "config_kwargs": config}
    with ChecksumS3(s3._server.process.port) as proxy:
        options["endpoint_url"] = f"http://127.0.0.1:{proxy.port}"
        store = FSSpecPersistence(s3.persistence.url(), storage_options=options).store_and_key()[0]
        put(store, s3.key("small"), b"hello")
        data = three_parts(store)
        upload = begin(store, s3.key("large"), data)
        upload.commit(send_all(upload, data), crc32c(data))

        assert store.info(s3.key("large")).digest == digest_of([data], f"{MD5_OF_PARTS}{upload.part_size}")
        assert not proxy._objects
    assert s3.raw_read("large") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-part-copies")
def test_s3_parts_are_signed_by_the_client_but_not_their_bytes(strict_s3_server):
    """A server that checks signatures takes them; the checksum vouches for the body."""
    place = ServerHarness(strict_s3_server)
    with ChecksumS3(strict_s3_server.process.port, signed=True) as proxy:
        store = beyond(proxy, place)
        data = three_parts(store)
        upload = begin(store, place.key("a b+%c"), data)
        upload.commit(send_all(upload, data), crc32c(data))

        assert proxy.bodies[0] == hashlib.sha256(b"").hexdigest()
        assert proxy.bodies[1:] == ["UNSIGNED-PAYLOAD"] * 3
        assert proxy.refused == 0
    assert place.raw_read("a b+%c") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-part-copies")
@pytest.mark.parametrize("kind", ["reset", "lost-reply", "cut-request", "unavailable", "stall", "truncated"])
def test_s3_a_part_that_did_not_get_through_is_sent_again(s3, kind):
    """Whatever happened to it; by the same way."""
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        parts = [sent(upload, 0, data)]
        proxy.arm(Fault(kind=kind, at=1))
        parts += [sent(upload, number, data) for number in (1, 2)]
        assert proxy.fired or kind == "truncated"  # the answer to a part has no body
        upload.commit(parts, crc32c(data))

        assert set(proxy.bodies[1:]) == {"UNSIGNED-PAYLOAD"}
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-part-copies")
def test_s3_a_connection_that_was_idle_for_too_long_is_replaced(s3):
    """Without an error, and without a second attempt of ours."""
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        parts = [sent(upload, 0, data)]
        assert proxy.drop()
        parts += [sent(upload, number, data) for number in (1, 2)]
        upload.commit(parts, crc32c(data))
    assert s3.raw_read("k") == data


@pytest.fixture
def certificate(tmp_path):
    """Of 127.0.0.1, signed by itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import NameOID

    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(tz=timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    place = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made.serial_number(x509.random_serial_number()).add_extension(place, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    return str(path)


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-part-copies")
@pytest.mark.parametrize("trusted", [True, False], ids=["trusted", "stranger"])
def test_s3_parts_trust_whom_the_client_trusts(s3, certificate, trusted):
    """An authority of one's own counts for them too, and nobody else does."""
    with TlsS3(s3._server.process.port, certificate) as proxy:
        options = {**s3._server.storage_options, "endpoint_url": f"https://127.0.0.1:{proxy.port}"}
        options["client_kwargs"] = {"verify": certificate if trusted else True}
        policy = Policy(backoff_seconds=0.01, attempts=1)
        store = FSSpecPersistence(s3.persistence.url(), storage_options=options, policy=policy).store_and_key()[0]
        data = three_parts(store)
        if not trusted:
            with pytest.raises(PersistenceError, match=r"(?i)certificate"):
                begin(store, s3.key("k"), data)
            assert proxy.seen == 0
            return
        upload = begin(store, s3.key("k"), data)
        upload.commit(send_all(upload, data), crc32c(data))

        assert proxy.bodies[-3:] == ["UNSIGNED-PAYLOAD"] * 3
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-part-copies")
def test_s3_parts_stay_with_the_driver_where_nothing_is_to_be_accelerated(s3, monkeypatch):
    """The switch holds for them too."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ACCELERATE", "0")
    with proxied(s3, ChecksumS3) as (proxy, store):
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        upload.commit(send_all(upload, data), crc32c(data))

        assert len(proxy.bodies) == 4
        assert "UNSIGNED-PAYLOAD" not in proxy.bodies
    assert s3.raw_read("k") == data


@pytest.mark.server("s3")
@pytest.mark.quirk("s3-part-copies")
def test_s3_parts_stay_with_a_client_that_somebody_listens_to(s3):
    """And may change what is sent; they hear of every request, the first question among them."""
    with ChecksumS3(s3._server.process.port) as proxy:
        store = beyond(proxy, s3)
        fs, heard = instance_of(store), []
        fs.connect()
        fs._s3.meta.events.register("before-send.s3.UploadPart", lambda **_: heard.append("part"))
        data = three_parts(store)
        upload = begin(store, s3.key("k"), data)
        upload.commit(send_all(upload, data), crc32c(data))

        assert heard == ["part"] * 4
        assert "UNSIGNED-PAYLOAD" not in proxy.bodies
    assert s3.raw_read("k") == data


class _ShownError(Exception):
    """Carries a request that was about to be sent."""


@pytest.mark.quirk("s3-parts")
@pytest.mark.parametrize("protocol", ["https", "http"])
def test_s3_a_body_with_a_checksum_is_hashed_once_over_tls(protocol):
    """As the client itself does it with the checksums it makes; without TLS the signature covers the body."""
    from s3fs import S3FileSystem

    def show(request, **_):
        raise _ShownError(request.headers)

    options = {"key": "a", "secret": "b", "endpoint_url": f"{protocol}://127.0.0.1:1", "skip_instance_cache": True}
    fs, dialect = S3FileSystem(**options), S3Dialect()
    fs.connect()
    fs._s3.meta.events.register_last("before-send.s3", show)
    with pytest.raises(_ShownError) as caught:
        dialect.write_object(fs, "bucket/k", b"hello")

    [headers] = caught.value.args
    assert headers["x-amz-checksum-crc32c"] == b"mnG7TA=="
    signed = hashlib.sha256(b"hello").hexdigest().encode()
    assert headers["X-Amz-Content-SHA256"] == (b"UNSIGNED-PAYLOAD" if protocol == "https" else signed)


# --- Google ---


@pytest.mark.server("gcs")
@pytest.mark.quirk("gcs-parts")
def test_gcs_composes_more_parts_than_one_request_takes(gcs):
    """In several steps, of which nothing stays; the digests of all parts are known afterwards."""
    data = pattern(70 * 1000 - 1)
    upload = gcs.store.upload(gcs.key("d/k"), size=len(data), part_size=1000)
    parts = send_all(upload, data)
    assert len(gcs.raw_names()) == 70
    info = upload.commit(parts, crc32c(data))

    assert gcs.raw_read("d/k") == data
    assert gcs.raw_names() == ["d/k"]
    assert info.digest == ("crc32c", crc32c(data))
    found = gcs.store.part_digests(gcs.key("d/k"), pin=info)
    assert combined((part.size, part.crc32c) for part in found) == crc32c(data)
    assert len(found) == 70
    assert gcs.store.info(gcs.key("d/k")).metadata == {}


@pytest.mark.server("gcs")
@pytest.mark.quirk("gcs-parts")
def test_gcs_a_part_that_arrived_otherwise_is_an_error(gcs):
    """The checksum in the answer is not that of what was to be sent."""
    data = three_parts(gcs.store)
    upload = begin(gcs.store, gcs.key("k"), data)

    with pytest.raises(ChecksumMismatchError):
        upload.send(0, bytes(upload.part_size), crc32c(data[: upload.part_size]))


@pytest.mark.server("gcs")
@pytest.mark.quirk("gcs-parts")
def test_gcs_an_upload_given_up_deletes_its_own_parts_only(gcs):
    """Another upload of the same object goes on."""
    data = three_parts(gcs.store)
    ours, theirs = begin(gcs.store, gcs.key("k"), data), begin(gcs.store, gcs.key("k"), data)
    sent(ours, 0, data)
    parts = send_all(theirs, data)
    ours.abort()

    assert len(gcs.raw_names()) == 3
    theirs.commit(parts, crc32c(data))
    assert gcs.raw_names() == ["k"]


# --- Azure ---


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-parts")
def test_abfs_keeps_the_digests_of_what_it_was_sent(azure):
    """Of the whole in every listing, and of the parts."""
    data = three_parts(azure.store)
    upload = begin(azure.store, azure.key("d/k"), data)
    parts = send_all(upload, data)
    info = upload.commit(parts, crc32c(data))

    [listed] = azure.store.find(azure.key("d"))
    assert info.digest == listed.digest == ("crc32c", crc32c(data))
    assert azure.store.info(azure.key("d/k")).metadata == {}
    found = azure.store.part_digests(azure.key("d/k"), pin=info)
    assert [(p.number, p.size, p.crc32c) for p in found] == [(p.number, p.size, p.crc32c) for p in parts]


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-parts")
def test_abfs_an_upload_that_somebody_overtook_is_a_conflict(azure):
    """Their writing threw away the blocks that waited; theirs stays."""
    data = three_parts(azure.store)
    upload = begin(azure.store, azure.key("k"), data)
    parts = send_all(upload, data)
    theirs = azure.store.upload(azure.key("k"), size=6, part_size=6)
    theirs.commit([sent(theirs, 0, b"theirs")], crc32c(b"theirs"))

    with pytest.raises(ConflictError):
        upload.commit(parts, crc32c(data))
    assert azure.raw_read("k") == b"theirs"


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-parts")
def test_abfs_a_part_sent_twice_otherwise_is_not_told(azure):
    """Nobody knows which of the two is meant, until one is committed."""
    data = three_parts(azure.store)
    upload = begin(azure.store, azure.key("k"), data)
    sent(upload, 0, bytes(len(data)))
    right = sent(upload, 0, data)
    parts = [right, sent(upload, 1, data), sent(upload, 2, data)]

    assert [part.number for part in upload.parts()] == [1, 2]
    upload.commit(parts, crc32c(data))
    assert azure.raw_read("k") == data


@pytest.mark.server("azure")
@pytest.mark.quirk("abfs-parts")
def test_abfs_an_exclusive_blob_may_come_in_parts(azure):
    """Of two at once the first one to commit wins, also when it does not hear of it."""
    data = three_parts(azure.store)
    options = {"size": len(data), "part_size": 64 * 1024, "overwrite": False}
    with proxied(azure) as (proxy, store):
        first, second = (store.upload(azure.key("k"), **options) for _ in range(2))
        parts = send_all(first, data)
        proxy.arm(Fault(kind="lost-reply", at=1))
        first.commit(parts, crc32c(data))
        assert proxy.fired

        with pytest.raises(ObjectExistsError):
            second.commit(send_all(second, data), crc32c(data))
    assert azure.raw_read("k") == data
