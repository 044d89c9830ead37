"""One fresh folder on each store; servers that a test may stop are its own."""

from __future__ import annotations

import socket

import pytest

from persistence_fsspec.persistence import FSSpecPersistence
from tests.conformance.harnesses import LocalHarness, MemoryHarness, ServerHarness, ZipHarness


@pytest.fixture
def local(tmp_path_factory):
    return LocalHarness(tmp_path_factory.mktemp("store"))


@pytest.fixture
def memory():
    return MemoryHarness()


@pytest.fixture(name="zip")
def zip_(tmp_path_factory):
    return ZipHarness(tmp_path_factory.mktemp("store"))


@pytest.fixture
def s3(s3_server):
    return ServerHarness(s3_server)


@pytest.fixture
def gcs(gcs_server):
    return ServerHarness(gcs_server)


@pytest.fixture
def azure(azure_server):
    return ServerHarness(azure_server)


@pytest.fixture
def lakefs(lakefs_server):
    pytest.importorskip("lakefs_spec")
    return ServerHarness(lakefs_server)


@pytest.fixture
def ftp(ftp_server):
    return ServerHarness(ftp_server)


@pytest.fixture
def ftp_list(ftp_list_server):
    return ServerHarness(ftp_list_server)


@pytest.fixture
def http(http_server):
    return ServerHarness(http_server)


@pytest.fixture
def webdav(webdav_server):
    return ServerHarness(webdav_server)


@pytest.fixture
def paramiko(sftp_server):
    from fsspec.implementations.sftp import SFTPFileSystem

    return ServerHarness(sftp_server, filesystem=SFTPFileSystem(**sftp_server.paramiko_options, skip_instance_cache=True))


@pytest.fixture
def sshfs(sftp_server):
    from sshfs import SSHFileSystem

    return ServerHarness(sftp_server, filesystem=SSHFileSystem(**sftp_server.sshfs_options, skip_instance_cache=True))


@pytest.fixture
def place(request):
    """The store that `places.places` named."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def mortal_ftp(ftp_server, tmp_path_factory):
    """An FTP server of this test alone; *ftp_server* skips where there is none."""
    from tests.servers import ftp

    with ftp.serve(tmp_path_factory.mktemp("mortal")) as server:
        yield server


@pytest.fixture
def mortal_sftp(sftp_server, tmp_path_factory):
    """An SFTP server of this test alone."""
    from tests.servers import sftp

    with sftp.serve(tmp_path_factory.mktemp("mortal")) as server:
        yield server


@pytest.fixture
def mortal_webdav(webdav_server, tmp_path_factory):
    """A WebDAV server of this test alone."""
    from tests.servers import webdav

    with webdav.serve(tmp_path_factory.mktemp("mortal")) as server:
        yield server


@pytest.fixture
def dead_port():
    """A port nobody listens on, and nobody else can take meanwhile."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@pytest.fixture
def paramiko_at():
    """Makes a persistence over fsspec's own SFTP driver, which sshfs otherwise hides."""
    from fsspec.implementations.sftp import SFTPFileSystem

    def make(server, **more):
        fs = SFTPFileSystem(**server.paramiko_options, skip_instance_cache=True)
        return FSSpecPersistence(f"{server.url}/data", filesystem=fs, **more)

    return make
