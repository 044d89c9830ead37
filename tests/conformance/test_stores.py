"""Every promise on every store that can be had here."""

from __future__ import annotations

import pytest

from persistence_fsspec.testing import StoreConformance, TreeConformance
from tests.conformance.harnesses import LocalHarness, MemoryHarness, ServerHarness, ZipHarness


class TestLocal(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, tmp_path_factory):
        return LocalHarness(tmp_path_factory.mktemp("store"))


class TestMemory(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self):
        return MemoryHarness()


class TestZip(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, tmp_path_factory):
        return ZipHarness(tmp_path_factory.mktemp("store"))


@pytest.mark.server("http")
class TestHttp(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, http_server):
        return ServerHarness(http_server)


@pytest.mark.server("s3")
class TestS3(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, s3_server):
        harness = ServerHarness(s3_server)
        harness.unfaithful = "\n"  # moto's router does not match a newline; Ceph stores it
        return harness


@pytest.mark.server("lakefs")
class TestLakefs(StoreConformance, TreeConformance):
    """Against a stand-in: it shows what the driver does, and nothing of a real server."""

    @pytest.fixture
    def harness(self, lakefs_server):
        pytest.importorskip("lakefs_spec")
        return ServerHarness(lakefs_server)


@pytest.mark.server("ftp")
class TestFtp(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, ftp_server):
        return ServerHarness(ftp_server)


@pytest.mark.server("ftp")
class TestFtpWithoutMlsd(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, ftp_list_server):
        return ServerHarness(ftp_list_server)


@pytest.mark.server("gcs")
class TestGcs(StoreConformance, TreeConformance):
    known_deviations = {"test_signed_url_opens_the_object": "the emulator is used anonymously, so there is no key to sign with"}

    @pytest.fixture
    def harness(self, gcs_server):
        return ServerHarness(gcs_server)


@pytest.mark.server("azure")
class TestAbfs(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, azure_server):
        harness = ServerHarness(azure_server)
        harness.unfaithful = "[\ufffe\uffff]"  # azurite fails to list a container that holds one; Azure encodes them
        return harness


@pytest.mark.server("webdav")
class TestWebdav(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, webdav_server):
        return ServerHarness(webdav_server)


@pytest.mark.server("sftp")
class TestParamiko(StoreConformance, TreeConformance):
    """sshfs takes over sftp:// where it is installed, so each driver is given as an instance."""

    @pytest.fixture
    def harness(self, sftp_server):
        from fsspec.implementations.sftp import SFTPFileSystem

        return ServerHarness(sftp_server, filesystem=SFTPFileSystem(**sftp_server.paramiko_options, skip_instance_cache=True))


@pytest.mark.server("sftp")
class TestSshfs(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, sftp_server):
        from sshfs import SSHFileSystem

        return ServerHarness(sftp_server, filesystem=SSHFileSystem(**sftp_server.sshfs_options, skip_instance_cache=True))
