"""Deleting trees on real servers: links, markers, and names that are object and folder at once."""

from __future__ import annotations

import pytest

from persistence_fsspec import ConflictError, FSSpecPersistence, TransferError
from tests.conformance.harnesses import ServerHarness

pytestmark = pytest.mark.server("many")


@pytest.fixture(params=["paramiko", "sshfs"])
def sftp(request, sftp_server):
    """A folder on the SFTP server, through one of its two drivers."""
    from fsspec.implementations.sftp import SFTPFileSystem
    from sshfs import SSHFileSystem

    made = (
        SFTPFileSystem(**sftp_server.paramiko_options, skip_instance_cache=True)
        if request.param == "paramiko"
        else SSHFileSystem(**sftp_server.sshfs_options, skip_instance_cache=True)
    )
    return ServerHarness(sftp_server, filesystem=made)


def test_sftp_links_go_and_what_they_lead_to_stays(sftp, sftp_server):
    """Both a link inside the tree, and one that is named itself."""
    sftp.raw_write("important/data", b"precious")
    sftp.raw_write("tree/own", b"1")
    root = sftp_server.files / sftp.folder
    (root / "tree" / "link").symlink_to("../important")
    (root / "latest").symlink_to("important")
    sftp.persistence.delete("tree", recursive=True)
    sftp.persistence.delete("latest", recursive=True)

    assert sftp.raw_names() == ["important/data"]
    assert sorted(p.name for p in root.iterdir()) == ["important"]


def test_sftp_links_in_a_circle_end(sftp, sftp_server):
    """A folder that links to itself is walked once."""
    sftp.raw_write("tree/own", b"1")
    (sftp_server.files / sftp.folder / "tree" / "self").symlink_to(".")

    assert list(sftp.persistence.listdir("tree", recursive=True)) == ["tree/own"]


@pytest.fixture
def s3(s3_server):
    return ServerHarness(s3_server)


def test_s3_an_object_and_a_tree_of_one_name_both_go(s3):
    """A flat store may hold both."""
    for name in ("t", "t/a", "t/b", "tt"):
        s3.raw_write(name, b"1")
    s3.persistence.delete("t", recursive=True)

    assert s3.raw_names() == ["tt"]


def test_s3_folder_markers_go_with_their_tree(s3):
    """Other tools make them; they would keep the name alive."""
    for name in ("m/", "m/sub/", "m/sub/k"):
        s3.raw_write(name, b"" if name.endswith("/") else b"1")
    s3.persistence.delete("m", recursive=True)

    assert s3.raw_names() == []
    assert not s3.persistence.exists("m")


def test_s3_an_object_named_like_a_folder_is_reported(s3, tmp_path):
    """It has content, and no local name can hold it."""
    s3.raw_write("n/k", b"1")
    s3.raw_write("n/data/", b"content")
    with pytest.raises(TransferError, match="empty part"):
        s3.persistence.get("n", tmp_path / "out", recursive=True)

    assert (tmp_path / "out" / "k").read_bytes() == b"1"


def test_two_protocols_for_one_bucket_do_not_lose_a_move(s3, s3_server):
    """s3:// and s3a:// are one store."""
    s3.raw_write("k", b"precious")
    p = FSSpecPersistence(storage_options={"s3": s3_server.storage_options})
    url = f"{s3_server.url}/{s3.folder}/k"
    report = p.move(url, url.replace("s3://", "s3a://"))

    assert [f.status for f in report.files] == ["skipped"]
    assert s3.raw_read("k") == b"precious"


@pytest.mark.parametrize("recursive", [False, True])
def test_one_server_under_two_host_names_does_not_lose_a_move(ftp_server, recursive):
    """A move would copy the file onto itself, and then delete it."""
    harness = ServerHarness(ftp_server)
    harness.raw_write("d/k", b"precious")
    options = {name: value for name, value in ftp_server.storage_options.items() if name != "host"}
    p = FSSpecPersistence(storage_options={"ftp": options})
    url = f"{ftp_server.url}/{harness.folder}/d" + ("" if recursive else "/k")

    with pytest.raises(ConflictError, match="one file under two addresses"):
        p.move(url, url.replace("127.0.0.1", "localhost"), recursive=recursive)
    assert harness.raw_read("d/k") == b"precious"
