"""Addresses: what is a URL, what a key, what a local path."""

from __future__ import annotations

import os
import pathlib

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from persistence_fsspec import FSSpecPersistence, InvalidNameError
from persistence_fsspec.location import Location, is_url, local, parse, tidy_key


@pytest.mark.parametrize(
    ("url", "root", "key"),
    [
        ("s3://bucket/a/b.txt", "s3://bucket", "a/b.txt"),
        ("s3://bucket", "s3://bucket", ""),
        ("S3://bucket/x", "s3://bucket", "x"),
        ("s3://bucket/a#b?c*[1]%41", "s3://bucket", "a#b?c*[1]%41"),
        ("s3://bucket/x/http://y", "s3://bucket", "x/http://y"),
        ("s3://bucket/a::b", "s3://bucket", "a::b"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net", "x"),
        ("ftp://host:2121/dir/x", "ftp://host:2121", "dir/x"),
        ("memory://a/b", "memory://", "a/b"),
        ("file:///tmp/a b", "file://", "tmp/a b"),
        ("http://host/a%20b%23c", "http://host", "a b#c"),
        ("zip://in/x.txt::s3://b/a.zip", "zip://::s3://b/a.zip", "in/x.txt"),
        ("zip::s3://b/a.zip", "zip://::s3://b/a.zip", ""),
        ("simplecache::s3://b/x/y", "simplecache::s3://b", "x/y"),
    ],
)
def test_urls_are_taken_apart(url, root, key):
    """The root names the store, the key what lies in it, literally."""
    place = parse(url)

    assert (place.root, place.key) == (root, key)


@pytest.mark.parametrize(
    "url",
    [
        "s3://b/a/x",
        "ftp://host:21/d/x",
        "memory://a/x",
        "file:///tmp/x",
        "http://h/a%20b?sig=1",
        "zip://x::s3://b/a.zip",
        "simplecache::s3://b/x",
        "simplecache::file:///tmp/x",
        "simplecache::memory://a/x",
        "simplecache::http://h/a%23b?sig=1",
        "simplecache::zip://x::s3://b/a.zip",
        "simplecache::hdfs:///raw/x",
        "hdfs:///raw/x",
        "hdfs://name:8020/raw/x",
        "webhdfs:///raw/x",
        "sftp:///raw//x",
        "dav:////x",
        "hdfs://",
    ],
)
def test_urls_come_back(url):
    """What was taken apart can be put together."""
    assert parse(url).url == url


@pytest.mark.parametrize("protocol", ["hdfs", "arrow_hdfs", "webhdfs", "ftp", "sftp", "ssh", "smb", "webdav", "dav"])
def test_the_first_folder_is_no_host(protocol):
    """Where options name the host, its URLs keep their three slashes."""
    assert Location(protocol, f"{protocol}://", "raw/x").url == f"{protocol}:///raw/x"


@pytest.mark.parametrize(("protocol", "url"), [("s3", "s3://raw/x"), ("memory", "memory://raw/x"), ("http", "http://raw/x")])
def test_other_roots_take_the_first_folder_of_a_key(protocol, url):
    """A bucket, and the host that a ready filesystem for the web takes with each name, stand there."""
    assert Location(protocol, f"{protocol}://", "raw/x").url == url


def test_names_keep_their_place_without_a_host():
    """Of a persistence, too, and what it hands out for a key is read as the same place again."""
    place = FSSpecPersistence("hdfs:///raw")

    assert place.url("x") == "hdfs:///raw/x"
    assert parse(place.url("x")) == parse("hdfs:///raw").child("x")


def test_a_plain_name_in_a_ready_filesystem_is_a_folder():
    """Not the host, which the filesystem knows already; for the web it is one, as no filesystem knows it."""
    hadoop = fsspec.filesystem("webhdfs", host="h", skip_instance_cache=True)
    web = fsspec.filesystem("http", skip_instance_cache=True)

    assert FSSpecPersistence("raw", filesystem=hadoop).url("x") == "webhdfs:///raw/x"
    assert FSSpecPersistence("/raw", filesystem=hadoop).url("x") == "webhdfs:///raw/x"
    assert FSSpecPersistence(filesystem=hadoop).url("raw/x") == "webhdfs:///raw/x"
    assert FSSpecPersistence("h/raw", filesystem=web).url("x") == "http://h/raw/x"


def test_listings_through_a_wrapper_hand_out_readable_names():
    """A listed name, handed back, is the same object."""
    persistence = FSSpecPersistence("memory://wrapped")
    persistence.write_bytes("d/k", b"1")
    names = list(persistence.listdir("simplecache::memory://wrapped/d"))

    assert names == ["simplecache::memory://wrapped/d/k"]
    assert [persistence.read_bytes(name) for name in names] == [b"1"]


@pytest.mark.server("ftp")
def test_a_server_that_options_name_is_read_by_what_it_lists(ftp_server):
    """No folder of it is taken for the server."""
    persistence = FSSpecPersistence("ftp:///raw", storage_options=ftp_server.storage_options)
    persistence.write_bytes("d/k", b"1")
    names = list(persistence.listdir("ftp:///raw/d"))

    assert (ftp_server.files / "raw" / "d" / "k").read_bytes() == b"1"
    assert names == ["ftp:///raw/d/k"] == [persistence.url("d/k")]
    assert persistence.read_bytes(names[0]) == b"1"


def test_a_password_is_never_printed():
    """Neither by str nor by repr, nor in the root; it is only kept for connecting."""
    place = parse("ftp://me:p@ss:word@host/x")

    assert place.userinfo == "me:p@ss:word"
    for text in (str(place), repr(place), place.url, place.root):
        assert "ss:word" not in text
    assert "me" in str(place)


@given(st.text(min_size=1))
def test_tidy_keys_never_leave_their_root(text):
    """No part of a tidy key is a dot or two; otherwise the key is refused."""
    for flat in (False, True):
        try:
            key = tidy_key(text, flat=flat)
        except InvalidNameError:
            continue
        assert not {".", ".."} & set(key.split("/"))
        assert "\0" not in key


@pytest.mark.parametrize("name", ["..", "a/../b", "../x", "a/..", "./a", "a/.", "s3://b/../c", "file:///tmp/../etc"])
def test_dots_are_refused_everywhere(name):
    """Before anything is opened."""
    persistence = FSSpecPersistence("memory://root")
    if name.startswith("file:"):
        assert parse(name).key == "etc"  # the working folder's own rule: a local path is made absolute first
        return
    with pytest.raises(InvalidNameError):
        persistence.read_bytes(name)


@given(st.lists(st.sampled_from(["a", "b.c", "d e", ".h"]), min_size=1, max_size=4), st.sampled_from(["/", "//", "///"]))
def test_slashes_are_tidied_where_there_are_folders(parts, slash):
    """Doubled, leading and trailing ones mean nothing."""
    assert tidy_key(slash + slash.join(parts) + slash, flat=False) == "/".join(parts)


def test_local_paths_are_recognised(tmp_path, monkeypatch):
    """PathLike, a slash, a tilde and a drive letter are local; everything else is a key or a URL."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "f").write_bytes(b"local")
    persistence = FSSpecPersistence("memory://addresses")
    persistence.write_bytes("f", b"key")

    assert persistence.read_bytes(pathlib.Path("f")) == b"local"
    assert persistence.read_bytes(str(tmp_path / "f")) == b"local"
    assert persistence.read_bytes("~/f") == b"local"
    assert persistence.read_bytes((tmp_path / "f").as_uri()) == b"local"
    assert persistence.read_bytes("f") == b"key"
    assert persistence.read_bytes("memory://addresses/f") == b"key"


def test_a_local_twin_is_mentioned(tmp_path, monkeypatch):
    """A missing key whose name is a local file says what was meant, perhaps."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").touch()

    with pytest.raises(FileNotFoundError, match=r"local file 'data\.csv' exists"):
        FSSpecPersistence("memory://addresses").read_bytes("data.csv")


def test_local_keeps_links_and_trailing_slashes(tmp_path, monkeypatch):
    """A relative path starts in the working folder."""
    monkeypatch.chdir(tmp_path)

    assert local("x/").names_folder
    assert local("x").key == str(tmp_path / "x").lstrip(os.sep)


def test_a_double_colon_alone_is_no_url():
    """Only known chains begin one."""
    assert not is_url("a::b")
    assert is_url("zip::s3://b/x")


@pytest.mark.parametrize("url", ["s3://", "s3:///bucket/x", "gs://", "gcs:///b", "abfs:///c", "az://"])
def test_a_bucket_has_to_be_named(url):
    """Without one a listing would be empty, and a deletion a silent nothing."""
    with pytest.raises(InvalidNameError, match="names no bucket"):
        FSSpecPersistence(url).exists("x")


@pytest.mark.parametrize("url", ["ftp://me:pass/word@h/x", "sftp://me:hunter2", "https://h:80a/x", "smb://[::1]:x/y"])
def test_what_is_no_port_is_refused_and_not_shown(url):
    """It is a password with a slash in it, more often than not."""
    with pytest.raises(InvalidNameError, match="is no port") as caught:
        parse(url)
    assert url.partition("://")[2].partition("/")[0] not in str(caught.value)


@pytest.mark.parametrize("url", ["http://[::1]:80/x", "http://[::1]/x", "ftp://me@h:21/x", "s3://arn:aws:s3:eu:1:accesspoint/x"])
def test_what_only_looks_odd_is_fine(url):
    """IPv6 addresses, and the names of access points."""
    assert parse(url).key in {"x", ""} or parse(url).key.endswith("x")


def test_localhost_means_this_machine():
    """RFC 8089 allows it to be said."""
    assert parse("file://localhost/tmp/x") == parse("file:///tmp/x")


def test_a_repository_of_github_is_no_login():
    """fsspec's own way to name one."""
    assert parse("github://org:repo@main/README.md").userinfo == ""


def test_an_ipv6_address_is_no_chain():
    """Although two colons stand in it."""
    place = parse("ftp://me@[::1]:2121/a/b")

    assert (place.root, place.key, place.url) == ("ftp://me@[::1]:2121", "a/b", "ftp://me@[::1]:2121/a/b")
    assert FSSpecPersistence("ftp://[::1]/x", storage_options={"username": "me"}).url("k") == "ftp://[::1]/x/k"
