"""What object stores are told of the kind of content, which is what browsers go by."""

from __future__ import annotations

import json

import pytest

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.stores.dialects.base import ObjectDialect, content_type
from tests.quirks.places import places
from tests.servers import rest
from tests.servers.gcs import GcsServer

# The clients of Google and Azure hand their bodies to aiohttp as bytes, which it dislikes from 1 MiB on.
pytestmark = pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning")

MIB = 1024 * 1024
HTML = "text/html"


def type_of(place, name):
    """What the server says of an object, asked by no driver."""
    server, key = place._server, f"{place.folder}/{name}"
    if isinstance(server, GcsServer):
        return json.loads(rest.demand("GET", server._object(key)).body)["contentType"]
    return server._demand("GET", server._path(key)).headers["Content-Type"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b/k/report.html", HTML),
        ("b/k.html/data", None),
        ("t.csv", "text/csv"),
        ("b/[x//y:@?.json", "application/json"),
        ("", None),
    ],
)
def test_the_last_name_tells(name, expected):
    """The ending of the last part of a key counts, whatever else is in it."""
    assert content_type(name) == expected


@places("s3", "gcs", "azure")
def test_a_small_object_has_the_type_of_its_name(place):
    """What is written in one request is served as what its name says."""
    adapter = place.persistence
    adapter.write_bytes("first", b"x")
    info = adapter.write_bytes("report.html", b"<html>")

    assert type_of(place, "report.html") == HTML
    assert info.digest == adapter.info("report.html").digest is not None
    assert type_of(place, "first") in {"binary/octet-stream", "application/octet-stream"}


@pytest.mark.server("s3")
def test_the_driver_tells_the_type(s3, s3_server):
    """An instance that somebody made is not sent past."""
    s3fs = pytest.importorskip("s3fs")
    fs = s3fs.S3FileSystem(**s3_server.storage_options, skip_instance_cache=True)
    adapter = FSSpecPersistence(s3.persistence.url(), filesystem=fs)
    for _ in range(2):
        adapter.write_bytes("report.html", b"<html>")

    assert type_of(s3, "report.html") == HTML


@pytest.mark.server("s3")
def test_the_shortcut_tells_the_type(s3, monkeypatch):
    """What obstore writes has the type as well, beside its metadata."""
    pytest.importorskip("obstore")
    from persistence_fsspec.stores.dialects.s3_fast import FastS3Dialect

    told, write = [], FastS3Dialect._write
    monkeypatch.setattr(FastS3Dialect, "_write", lambda *args, **options: told.append(write(*args, **options)) or told[-1])
    store, key = s3.persistence.store_and_key("report.html")
    for _ in range(2):
        writer = store.writer(key, metadata={"a": "b"})
        writer.write(b"<html>")
        writer.commit()

    assert told[-1]
    assert type_of(s3, "report.html") == HTML
    assert store.info(key).metadata["a"] == "b"


@places("s3", "gcs", "azure")
def test_a_stream_has_the_type_of_its_name(place, monkeypatch):
    """What is sent in parts because nobody knew its size."""
    monkeypatch.setattr(ObjectDialect, "object_part_size", 5 * MIB)
    with place.persistence.open("report.html", "wb") as file:
        for _ in range(6):
            file.write(b"-" * MIB)

    assert type_of(place, "report.html") == HTML


@places("s3", "gcs", "azure")
def test_a_file_in_parts_has_the_type_of_its_name(place, tmp_path):
    """What is sent in parts by many, or composed; a copy inside the store keeps it, whatever that is called."""
    (tmp_path / "local").write_bytes(bytes(17 * MIB))
    adapter = place.persistence
    report = adapter.put(tmp_path / "local", "report.html")
    adapter.copy("report.html", "copy")

    assert report.copied[0].method == "ranged"
    assert type_of(place, "report.html") == HTML
    assert type_of(place, "copy") == HTML


@pytest.mark.server("s3")
def test_the_type_that_the_driver_was_told_stays(s3_server):
    """Whoever gives all objects one type means it."""
    from tests.conformance.harnesses import ServerHarness

    options = {**s3_server.storage_options, "s3_additional_kwargs": {"ContentType": "text/x-own"}}
    place = ServerHarness(s3_server, storage_options=options)
    adapter = place.persistence
    for _ in range(2):
        adapter.write_bytes("report.html", b"<html>")

    assert type_of(place, "report.html") == "text/x-own"
