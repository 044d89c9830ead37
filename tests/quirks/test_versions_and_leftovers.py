"""Old versions, and what unfinished writes leave, on real servers."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace

import pytest

from persistence_fsspec import FSSpecPersistence, ObjectNotFoundError
from persistence_fsspec.crc32c import crc32c
from persistence_fsspec.stores.partial import KEPT, fresh_token, owned_by, part_key, partial_key
from persistence_fsspec.stores.snapshots import copy_key
from persistence_fsspec.transfer.garbage import collect
from tests.conformance.harnesses import in_environment
from tests.quirks.places import places
from tests.servers import rest

on_all = places("s3", "gcs", "azure", "ftp", "ftp_list", "webdav", "paramiko", "sshfs")


def content(store, info):
    return b"".join(store.stream(info.key, pin=info))


# --- leftovers ---


@on_all
def test_leftovers_are_found_hidden_and_removed(place):
    """Wherever they lie; what is finished stays."""
    store, root = place.store, place.key("")
    place.persistence.write_bytes("a/done", b"done")
    with owned_by("0123abcd"):
        names = [partial_key("a/half"), part_key("a/b/whole", fresh_token(), 7)]
    for name in names:
        place.raw_write(name, b"half")
    found = {one.key: one for one in store.leftovers(root)}

    assert set(found) == {place.key(name) for name in names}
    assert {(one.owner, one.size, one.ours) for one in found.values()} == {("0123abcd", 4, True)}
    if place.store.capabilities.driver != "ftp":  # without MLSD, it tells no time that could be trusted
        assert all(one.modified is not None for one in found.values())
    assert [info.key for info in place.persistence.find()] == ["a/done"]
    assert [one.key for one in store.leftovers(place.key("a/half"))] == [place.key(names[0])]
    for one in found.values():
        store.discard(one)
        store.discard(one)
    assert place.raw_names() == ["a/done"]


@on_all
def test_a_tree_is_deleted_with_everything_hidden_in_it(place):
    """Snapshots and leftovers; nothing beside it."""
    place.persistence.write_bytes("a/b/c", b"1")
    place.persistence.write_bytes("ab", b"2")
    place.store.snapshot(place.key("a/b/c"))
    place.store.snapshot(place.key("ab"))
    place.raw_write(partial_key("a/b/half"), b"half")
    assert place.persistence.delete("a", recursive=True) == 1

    assert sorted(name for name in place.raw_names() if KEPT not in name) == ["ab"]
    assert len(list(place.store.versions(place.key("ab")))) == 1
    assert not place.persistence.exists("a")


@pytest.fixture
def uploads(s3_server):
    """A store on S3, and its client."""
    server = s3_server.new_bucket("uploads-of-all")
    persistence = FSSpecPersistence(server.url, storage_options=in_environment(server.storage_options))
    store, _ = persistence.store_and_key()
    import s3fs

    fs = s3fs.S3FileSystem(**server.storage_options, skip_instance_cache=True)

    def begin(key):
        return fs.call_s3("create_multipart_upload", Bucket="uploads-of-all", Key=key)["UploadId"]

    return SimpleNamespace(store=store, persistence=persistence, begin=begin, fs=fs)


@pytest.mark.quirk("s3-unfinished-uploads")
@pytest.mark.server("s3")
def test_unfinished_uploads_are_listed_and_can_be_removed(uploads):
    """Of whomever: they carry no mark. Only those at and below the key."""
    wanted = {uploads.begin("a/b"), uploads.begin("a/b"), uploads.begin("a/b/c")}
    others = {uploads.begin("a/bc"), uploads.begin("z")}
    found = list(uploads.store.leftovers("a/b"))

    assert {one.token for one in found} == wanted
    assert {(one.kind, one.ours) for one in found} == {("upload", False)}
    assert all(one.modified is not None for one in found)
    assert {one.token for one in uploads.store.leftovers("")} == wanted | others
    for one in found:
        uploads.store.discard(one)
        uploads.store.discard(one)
    assert {one.token for one in uploads.store.leftovers("")} == others
    for one in uploads.store.leftovers(""):
        uploads.store.discard(one)


@pytest.mark.server("s3")
def test_more_uploads_than_a_page_holds_are_listed(uploads):
    """Page by page."""
    from persistence_fsspec.stores.dialects.s3 import S3Dialect

    tokens = {uploads.begin(f"many/{number:03}") for number in range(5)}
    fs = SimpleNamespace(
        split_path=uploads.fs.split_path,
        call_s3=lambda method, **more: uploads.fs.call_s3(method, MaxUploads=2, **more),
    )
    found = list(S3Dialect().uploads(fs, "uploads-of-all/many"))

    assert {token for _, token, _ in found} == tokens
    for one in uploads.store.leftovers("many"):
        uploads.store.discard(one)


# --- versions ---


@pytest.mark.quirk("kept-as-copies")
@on_all
def test_copies_are_kept_where_the_store_keeps_no_versions(place):
    """Independent of the object; readable whole and in part."""
    store, key = place.store, place.key("a/näme")
    place.persistence.write_bytes("a/näme", b"first")
    first = store.snapshot(key)
    place.persistence.write_bytes("a/näme", b"second version")
    second = store.snapshot(key)
    place.persistence.delete("a/näme")

    found = list(store.versions(key))
    assert [content(store, info) for info in found] == [b"second version", b"first"]
    assert [info.version_id for info in found] == [second.version_id, first.version_id]
    assert store.read(key, 2, 4, pin=first) == b"rs"
    assert store.read(key, 5, pin=first) == b""
    assert list(place.persistence.listdir(recursive=True)) == []
    with pytest.raises(ObjectNotFoundError):
        store.versions(place.key("a/never"))


@places("local", "s3", "gcs", "ftp", "paramiko", "sshfs")
def test_uploads_that_can_be_taken_up_are_known_by_their_tokens(place):
    """So they are kept for as long as somebody remembers one; then they go."""
    store, key, root = place.store, place.key("d/large"), place.key("")
    part_size = max(store.capabilities.part_size_min, 64 * 1024)
    data = b"x" * part_size
    upload = store.upload(key, size=2 * part_size, part_size=part_size)
    upload.send(0, data, crc32c(data))
    upload.leave()
    options = {"older_than": 0, "foreign": True}
    kept = collect(store, root, resumable={upload.token}, **options)

    assert kept.kept
    assert kept.removed == ()
    store.upload(key, size=2 * part_size, part_size=part_size, token=upload.token).leave()
    assert collect(store, root, **options).removed
    assert collect(store, root, **options).removed == ()
    with pytest.raises(ObjectNotFoundError):
        store.upload(key, size=2 * part_size, part_size=part_size, token=upload.token).parts()


@places("paramiko", "sshfs")
def test_a_copy_is_no_more_readable_than_its_object(place):
    """Where permissions can be given at all."""
    if "mode" not in place.store.capabilities.attributes:
        pytest.skip("no permissions here")
    writer = place.store.writer(place.key("private"), metadata={"mode": "0600"})
    writer.write(b"1")
    writer.commit()
    kept = place.store.snapshot(place.key("private"))

    assert place.store.info(copy_key(place.key("private"), kept.version_id)).metadata["mode"] == "0600"


@pytest.mark.quirk("own-versions")
@pytest.mark.server("s3")
def test_versions_of_a_bucket_that_keeps_them_are_its_own(s3_server):
    """Nothing is copied; a deletion leaves the history; copies made before are part of it."""
    server = s3_server.new_bucket("versions-kept")
    persistence = FSSpecPersistence(server.url, storage_options=in_environment(server.storage_options))
    store, _ = persistence.store_and_key()
    persistence.write_bytes("a", b"before")
    copied = store.snapshot("a")
    server._demand(
        "PUT",
        "/versions-kept?versioning",
        data=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    )
    persistence.write_bytes("a", b"first")
    first = store.snapshot("a")
    persistence.write_bytes("a", b"second")
    persistence.write_bytes("ab", b"another")
    names = server.raw_keys()
    persistence.delete("a")

    found = list(store.versions("a"))
    assert sorted(content(store, info) for info in found) == [b"before", b"before", b"first", b"second"]
    assert {first.version_id, copied.version_id} < {info.version_id for info in found}
    assert content(store, first) == b"first"
    assert store.read("a", 1, 3, pin=first) == b"ir"
    assert store.read("a", 5, pin=first) == b""
    assert [name for name in names if KEPT not in name] == ["a", "ab"]
    assert len(names) == 3
    with pytest.raises(ObjectNotFoundError):
        store.versions("b")


@pytest.mark.quirk("own-versions")
@pytest.mark.server("s3")
def test_one_version_of_a_bucket_is_deleted(s3_server):
    """No other, not the one that is there, and none that was never kept."""
    server = s3_server.new_bucket("versions-forgotten")
    server._demand(
        "PUT",
        "/versions-forgotten?versioning",
        data=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    )
    forgets_one(FSSpecPersistence(server.url, storage_options=in_environment(server.storage_options)))


def forgets_one(persistence):
    persistence.write_bytes("a", b"first")
    first = persistence.snapshot("a")
    persistence.write_bytes("a", b"second")
    second = persistence.snapshot("a")
    persistence.write_bytes("a", b"third")
    third = persistence.snapshot("a")

    for one in (first, third.version_id):
        persistence.delete("a", version=one)

    assert [persistence.read_bytes("a", version=info) for info in persistence.versions("a")] == [b"third", b"second"]
    assert persistence.read_bytes("a") == b"third"
    assert persistence.read_bytes("a", version=second) == b"second"
    with pytest.raises(ObjectNotFoundError):
        persistence.delete("a", version=first)
    persistence.delete("a", version=first, missing_ok=True)


@pytest.mark.server("s3")
def test_a_history_longer_than_a_page_is_listed(s3_server):
    """Page by page, newest first."""
    server = s3_server.new_bucket("versions-many")
    server._demand(
        "PUT",
        "/versions-many?versioning",
        data=b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
    )
    import s3fs

    from persistence_fsspec.stores.dialects.old_versions import s3_versions

    for number in range(5):
        server.raw_write("a", b"x" * number)
        server.raw_write("ab", b"another")
    fs = s3fs.S3FileSystem(**server.storage_options, skip_instance_cache=True)
    paged = SimpleNamespace(
        split_path=fs.split_path,
        call_s3=lambda method, **more: fs.call_s3(method, **({"MaxKeys": 2} if "list" in method else {}), **more),
    )

    assert [info.size for info in s3_versions(paged, "versions-many/a", lambda act: act())] == [4, 3, 2, 1, 0]


@pytest.mark.quirk("own-versions")
@pytest.mark.server("gcs")
def test_generations_of_a_bucket_that_keeps_them_are_its_own(gcs_server):
    """Nothing is copied; a deletion leaves the history."""
    body = json.dumps({"name": "generations-kept", "versioning": {"enabled": True}}).encode()
    rest.demand("POST", f"{gcs_server.endpoint_url}/storage/v1/b?project=test", data=body)
    persistence = FSSpecPersistence("gs://generations-kept", storage_options=in_environment(gcs_server.storage_options))
    store, _ = persistence.store_and_key()
    persistence.write_bytes("a", b"first")
    first = store.snapshot("a")
    persistence.write_bytes("a", b"second")
    persistence.write_bytes("ab", b"another")
    persistence.delete("a")

    found = list(store.versions("a"))
    assert [content(store, info) for info in found] == [b"second", b"first"]
    assert first.version_id == found[1].version_id
    assert store.read("a", 1, 3, pin=first) == b"ir"
    assert not [name for name in persistence.listdir(recursive=True) if KEPT in name]


@pytest.mark.server("s3")
@pytest.mark.server("gcs")
@pytest.mark.server("azure")
@pytest.mark.parametrize("name", ["s3", "gcs", "azure"])
def test_what_is_no_version_deletes_nothing(request, name):
    """Neither what a write returned, nor what is there, where no versions are kept."""
    server = request.getfixturevalue(f"{name}_server")
    persistence = FSSpecPersistence(f"{server.url}/no-version", storage_options=in_environment(server.storage_options))
    written = persistence.write_bytes("k", b"live")

    for info in (written, persistence.info("k")):
        with pytest.raises(ObjectNotFoundError, match="no such version"):
            persistence.delete("k", version=info)
    assert persistence.read_bytes("k") == b"live"


class _GoogleThatForgets:
    """Answers as the service does about generations, which the emulator does not tell apart when it deletes."""

    def __init__(self):
        self.generations, self.live = ["1", "2", "3"], "3"

    def split_path(self, path):
        return (*path.split("/", 1), None)

    def call(self, method, path, bucket, key, *, generation=None, **_):
        assert (path, bucket, key) == ("b/{}/o/{}", "kept", "a")
        if method == "GET":
            if self.live is None:
                raise FileNotFoundError(path)
            return {"generation": self.live}
        assert method == "DELETE"
        if generation not in self.generations:
            raise FileNotFoundError(path)
        self.generations.remove(generation)
        return None


@pytest.mark.quirk("own-versions")
@pytest.mark.parametrize("live", ["3", None])
def test_one_generation_is_deleted(live):
    """No other, not the one that is there, and none that was never kept."""
    from persistence_fsspec.stores.dialects.gcs import GcsDialect

    fs, dialect = _GoogleThatForgets(), GcsDialect()
    fs.live = live
    dialect.delete_version(fs, "kept/a", "1")
    dialect.delete_version(fs, "kept/a", "3")

    assert fs.generations == (["2", "3"] if live else ["2"])
    with pytest.raises(FileNotFoundError):
        dialect.delete_version(fs, "kept/a", "1")


class _AzureThatKeeps:
    """What the service's client gives of a blob with versions; azurite keeps none."""

    def __init__(self):
        from fsspec.asyn import get_loop

        self.loop, self.service_client, self.max_concurrency, self.asked = get_loop(), self, None, []
        self.versions = {"2026-01-01T00:00:00.0000000Z": b"first", "2026-01-02T00:00:00.0000000Z": b"second"}

    def get_container_client(self, container):
        assert container == "kept"
        return self

    def get_blob_client(self, container, blob):
        assert (container, blob) == ("kept", "a")
        return self

    async def list_blobs(self, *, name_starts_with, include, **_):
        assert (name_starts_with, include) == ("a", ["versions"])
        for version_id, data in self.versions.items():
            yield self._blob("a", version_id, data)
        yield self._blob("ab", "2026-01-03T00:00:00.0000000Z", b"another")

    async def get_blob_properties(self, **_):
        version_id, data = list(self.versions.items())[-1]
        return self._blob("a", version_id, data)

    async def delete_blob(self, *, version_id, **_):
        del self.versions[version_id]

    async def download_blob(self, *, version_id=None, etag=None, **_):
        data = self.versions[version_id]
        assert etag == f'"{data.decode()}"'

        async def readall():
            return data

        return SimpleNamespace(properties=self._blob("a", version_id, data), size=len(data), readall=readall)

    def _blob(self, name, version_id, data):
        modified = datetime.fromisoformat(f"{version_id[:19]}+00:00")
        settings = SimpleNamespace(content_md5=None)
        return SimpleNamespace(
            name=name,
            version_id=version_id,
            size=len(data),
            last_modified=modified,
            etag=f'"{data.decode()}"',
            metadata={},
            content_settings=settings,
        )


@pytest.mark.quirk("own-versions")
def test_versions_of_an_account_that_keeps_them_are_its_own():
    """Newest first, of this blob only; each is read by its id."""
    pytest.importorskip("azure.storage.blob")
    from persistence_fsspec.stores.dialects.abfs import AbfsDialect

    fs, dialect = _AzureThatKeeps(), AbfsDialect()
    found = list(dialect.versions(fs, "kept/a"))

    assert [dialect.read(fs, "kept/a", None, None, info) for info in found] == [b"second", b"first"]
    assert [info.version_id for info in found] == sorted(fs.versions, reverse=True)
    assert dialect.current_version(fs, "kept/a") == found[0]
    for info in found:
        dialect.delete_version(fs, "kept/a", info.version_id)
    assert list(dialect.versions(fs, "kept/a")) == found[:1]
