"""Filesystems of one host, as flytekit is given them: which names they answer to, and what leaves the process with them."""

from __future__ import annotations

import json
import pickle

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry

from persistence_fsspec import SecretPicklingError
from persistence_fsspec.faces.flyte import logins
from persistence_fsspec.faces.flyte.hosted import HostedFileSystem
from persistence_fsspec.location import parse

LOGIN = "ftp://me:pass-word@host:2121/in/x"


@pytest.fixture
def hdfs(monkeypatch):
    """What a driver of HDFS has stored, by its own paths; the URL may name a host."""

    class Driver(MemoryFileSystem):
        protocol = "hdfs"
        store = {}
        pseudo_dirs = [""]
        cachable = False

        def __init__(self, host="default", port=None, **options):
            super().__init__(**options)
            self.host = host

        @classmethod
        def _strip_protocol(cls, path):
            path = path.partition("://")[2].partition("/")[2] if "://" in path else path
            return f"/{path.strip('/')}" if path.strip("/") else ""

        @staticmethod
        def _get_kwargs_from_urls(path):
            host = path.partition("://")[2].partition("/")[0] if "://" in path else ""
            return {"host": host} if host else {}

    monkeypatch.setitem(_registry, "hdfs", Driver)
    return Driver


@pytest.mark.parametrize("url", ["hdfs:///user/x", "hdfs://host/user/x", "hdfs://me@host:8020/user/x"])
def test_a_name_stays_what_it_is(hdfs, url):
    """Also where the configuration says of which host, so that the URL does not."""
    fs = HostedFileSystem(url)

    assert fs.unstrip_protocol(fs._strip_protocol(url)) == url


@pytest.mark.parametrize("root", ["hdfs://", "hdfs://host"])
def test_files_lie_where_the_url_says(hdfs, root):
    """Written, listed and read by the names that flytekit has for them."""
    fs = HostedFileSystem(f"{root}/user/x")
    fs.pipe_file(f"{root}/user/x", b"words")

    assert list(hdfs.store) == ["/user/x"]
    assert fs.cat_file("/user/x") == b"words"
    assert fs.find(f"{root}/user") == ["/user/x"]
    assert [fs.unstrip_protocol(name) for name in fs.ls(f"{root}/user", detail=False)] == [f"{root}/user/x"]


@pytest.fixture
def remembered(monkeypatch):
    """A prefix with a password was there before."""
    monkeypatch.setattr(logins, "_known", {})
    logins.remember(parse("ftp://me:pass-word@host:2121/raw"))


@pytest.mark.parametrize("write", [pickle.dumps, HostedFileSystem.to_json, HostedFileSystem.to_dict])
def test_a_password_does_not_leave_the_process(write):
    """In no form; the error says of whom, and does not hold it either."""
    with pytest.raises(SecretPicklingError, match="me@host:2121") as refused:
        write(HostedFileSystem(LOGIN))

    assert "pass-word" not in str(refused.value)


def test_a_password_that_the_prefix_brought_does_not_leave_the_process(remembered):
    """Nor does one that only this process knows: elsewhere, the same name would be refused."""
    with pytest.raises(SecretPicklingError):
        pickle.dumps(HostedFileSystem("ftp://me@host:2121/x"))


def test_without_a_password_it_travels():
    """By pickle and as JSON."""
    fs = HostedFileSystem("ftp://me@host:2121/in/x")

    assert repr(pickle.loads(pickle.dumps(fs))) == repr(fs)
    assert json.loads(fs.to_json())["args"] == ["ftp://me@host:2121/in/x"]


@pytest.mark.parametrize("show", [repr, str])
def test_it_is_shown_by_its_host(show):
    """With the user, without the password."""
    assert show(HostedFileSystem(LOGIN)) == "HostedFileSystem('ftp://me@host:2121/')"


@pytest.mark.parametrize(
    ("url", "login"),
    [
        ("ftp://me@host:2121/x", "me:pass-word"),
        ("ftp://me:own@host:2121/x", "me:own"),
        ("ftp://you@host:2121/x", ""),
        ("ftp://host:2121/x", ""),
        ("ftp://me@host/x", ""),
        ("sftp://me@host:2121/x", ""),
    ],
)
def test_a_password_is_for_one_user_of_one_host(remembered, url, login):
    """Of the prefix's; what a URL says itself comes first."""
    assert HostedFileSystem(url).adapter._prefix.userinfo == login
