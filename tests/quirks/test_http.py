"""HTTP servers, which are read only, and hide much behind a status."""

from __future__ import annotations

import os
import uuid

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import (
    AuthenticationError,
    ChangedDuringReadError,
    ConnectionFailedError,
    IsAFolderError,
    ObjectNotFoundError,
    PermissionDeniedError,
    ServerFailedError,
    ThrottledError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.stores.quirks import traits
from tests.quirks.places import instance_of, places


@places("http", "zip")
@pytest.mark.quirk("http-read-only")
def test_writing_is_refused_by_name(place):
    """Every way of it, before anything is sent."""
    place.raw_write("k", b"1")
    p = place.persistence

    for act in (
        lambda: p.write_bytes("new", b"x"),
        lambda: p.append("k", b"x"),
        lambda: p.delete("k"),
        lambda: p.open("new", "wb"),
        lambda: p.move("k", "moved"),
    ):
        with pytest.raises(UnsupportedPersistenceOp):
            act()
    assert place.raw_names() == ["k"]
    assert place.raw_read("k") == b"1"
    assert (p.capabilities().write, p.capabilities().publish) == (False, "none")


@pytest.mark.quirk("http-read-only")
def test_references_are_read_only():
    """Whatever lists the pieces of other files."""
    assert (traits("reference")[0].write, traits("reference")[0].publish) == (False, "none")


@pytest.mark.server("http")
@pytest.mark.quirk("http-info")
def test_a_url_that_is_signed_for_reading_is_read(http_server, tmp_path):
    """HEAD is forbidden there, and GET is not."""
    http_server.raw_write("k", b"signed")
    p = FSSpecPersistence(http_server.only_get_url)
    p.get("k", tmp_path / "k")

    assert (p.info("k").size, (tmp_path / "k").read_bytes()) == (6, b"signed")


@pytest.mark.server("http")
@pytest.mark.quirk("http-info")
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, ObjectNotFoundError),
        (410, ObjectNotFoundError),
        (429, ThrottledError),
        (500, ServerFailedError),
        (503, ThrottledError),
    ],
)
def test_the_status_decides(http_server, status, error):
    """Looking, reading and streaming say the same, and only 404 and 410 mean that it is not there."""
    store, key = FSSpecPersistence(http_server.status_url(status)).store_and_key("k")

    for act in (store.info, store.read, lambda k: list(store.stream(k))):
        with pytest.raises(error) as caught:
            act(key)
        assert isinstance(caught.value, ObjectNotFoundError) == (status in {404, 410})


@pytest.mark.quirk("http-info")
def test_a_dead_server_is_a_connection_error(dead_port):
    """For looking, reading and listing."""
    p = FSSpecPersistence(f"http://127.0.0.1:{dead_port}/data", policy=Policy(attempts=1))

    for act in (lambda: p.info("k"), lambda: p.read_bytes("k"), lambda: list(p.listdir())):
        with pytest.raises(ConnectionFailedError):
            act()


@pytest.mark.server("http")
@pytest.mark.quirk("http-info")
def test_a_login_in_the_url_opens_what_is_closed_without(http_server):
    """And its password does not show."""
    folder = f"login-{os.urandom(4).hex()}"
    http_server.raw_write(f"{folder}/k", b"hello")
    url = f"{http_server.secret_url}/{folder}"
    with pytest.raises(AuthenticationError):
        FSSpecPersistence(url).info("k")

    login = f"{http_server.username}:{http_server.password}@"
    p = FSSpecPersistence(url.replace("://", f"://{login}"))
    assert p.read_bytes("k") == b"hello"
    assert f":{http_server.password}" not in f"{p!r} {p.url('k')} {p.store_and_key()[0]!r}"


@pytest.mark.server("http")
@pytest.mark.quirk("http-ranges")
@pytest.mark.parametrize("span", [(0, 1), (3, 7), (5, None), (None, 4), (9, 10), (4, 4), (7, 100)])
def test_a_server_without_ranges_gives_ranges_nevertheless(http_server, span):
    """Cut out of the whole body."""
    folder = f"ranges-{os.urandom(4).hex()}"
    http_server.raw_write(f"{folder}/k", b"0123456789")
    store, key = FSSpecPersistence(f"{http_server.no_ranges_url}/{folder}").store_and_key("k")

    assert store.read(key, *span) == b"0123456789"[slice(*span)]


@pytest.mark.server("http")
@pytest.mark.quirk("http-ranges")
def test_a_large_file_without_ranges_can_be_read_at_random(http_server):
    """Seeking in an open file gives the bytes that stand there."""
    folder, data = f"ranges-{os.urandom(4).hex()}", bytes(range(256)) * 8192
    http_server.raw_write(f"{folder}/k", data)

    with FSSpecPersistence(f"{http_server.no_ranges_url}/{folder}").open("k") as file:
        file.seek(1_500_000)
        assert file.read(10) == data[1_500_000:1_500_010]
        file.seek(3)
        assert file.read(10) == data[3:13]


@places("http")
@pytest.mark.quirk("http-pin")
def test_an_open_file_stays_on_its_version(place):
    """Replaced while it is open by another of equal size, it never goes on with the new bytes."""
    old, new = b"o" * 6_000_000, b"n" * 6_000_000
    place.raw_write("k", old)
    with place.persistence.open("k") as file:
        assert file.read(10) == b"o" * 10
        place.raw_write("k", new)
        with pytest.raises(ChangedDuringReadError):
            file.seek(5_000_000)
            file.read()

    assert place.persistence.read_bytes("k") == new


@places("http")
@pytest.mark.quirk("http-pin")
def test_each_request_of_a_pinned_read_carries_the_version(place):
    """And the server is the one that refuses."""
    place.raw_write("k", b"0123456789")
    pin = place.store.info(place.key("k"))
    assert pin.version
    assert place.store.capabilities.pin == "version"
    assert place.store.read(place.key("k"), 3, 6, pin=pin) == b"345"
    place.raw_write("k", b"abcdefghij")

    with pytest.raises(ChangedDuringReadError):
        place.store.read(place.key("k"), 3, 6, pin=pin)


ODD = ["a b", "a#b", "a?b", "100%", "%20", "a&b=c", "ü", "日本語", "a+b", "a:b", "'q'", '"q"', "<a>", "a;b"]


@places("http")
@pytest.mark.quirk("http-listing")
def test_listed_names_are_the_stored_ones(place):
    """Not quoted, and each can be handed back."""
    for name in ODD:
        place.raw_write(f"d/{name}", name.encode())
    p = place.persistence

    assert sorted(p.listdir("d")) == sorted(f"d/{name}" for name in ODD)
    assert {name: p.read_bytes(name) for name in p.listdir("d")} == {f"d/{name}": name.encode() for name in ODD}


@places("http")
@pytest.mark.quirk("http-listing")
def test_links_that_lead_away_are_not_listed(place, monkeypatch):
    """Other servers, parents, the folder itself, sorting links and deeper names are none of its entries."""
    place.raw_write("d/k", b"1")
    place.raw_write("d/e/x", b"1")
    fs = instance_of(place.store)
    real = fs.ls

    def ls(url, **more):
        foreign = [
            "http://elsewhere.example/k",
            url.rpartition("/d/")[0] + "/",
            url,
            f"{url}?C=N;O=D",
            f"{url}#top",
            f"{url}../",
            f"{url}%2e%2e/",
            f"{url}e/x",
            f"{url}k?version=2",
        ]
        return real(url, **more) + [{"name": name, "size": None, "type": "file"} for name in foreign]

    monkeypatch.setattr(fs, "ls", ls)
    assert sorted(place.persistence.listdir("d")) == ["d/e", "d/k"]


@places("http")
@pytest.mark.quirk("webhdfs-read-folder")
@pytest.mark.parametrize("span", [(None, None), (0, 5)])
def test_reading_a_folder_gives_no_index_page(place, span):
    """By its name, whole or in part."""
    place.raw_write("d/k", b"1")

    with pytest.raises(IsAFolderError):
        place.store.read(place.key("d"), *span)
    with pytest.raises(IsAFolderError):
        place.persistence.read_bytes("d")


@pytest.mark.server("http")
@pytest.mark.quirk("http-listing")
def test_names_that_look_like_addresses_are_listed(http_server):
    """The driver takes `http_x` for another server and leaves it out."""
    folder = f"q-{uuid.uuid4().hex[:8]}"
    names = ["http_x", "https.txt", "httpd/conf", "plain"]
    for name in names:
        http_server.raw_write(f"{folder}/{name}", b"1")
    p = FSSpecPersistence(f"{http_server.url}/{folder}", storage_options=http_server.storage_options)

    assert sorted(p.listdir("", recursive=True)) == sorted(names)
