"""The classes that stand for s3fs, gcsfs and adlfs: fsspec's contract, and what the transfer engine adds to it."""

from __future__ import annotations

import importlib
import uuid

import pytest
from fsspec.tests.abstract import AbstractCopyTests, AbstractFixtures, AbstractGetTests, AbstractPutTests

pytestmark = [
    # The drivers' own clients, closed when they are garbage collected.
    pytest.mark.filterwarnings("ignore:Sending a large body directly:ResourceWarning"),
]

DRIVERS = {"s3": ("s3fs", "S3FileSystem"), "gs": ("gcsfs", "GCSFileSystem"), "abfs": ("adlfs", "AzureBlobFileSystem")}
SERVERS = {"s3": "s3_server", "gs": "gcs_server", "abfs": "azure_server"}


def class_of(protocol, whose="ours"):
    package, name = DRIVERS[protocol]
    module = f"persistence_fsspec.faces.flyte.{protocol}" if whose == "ours" else package
    return getattr(importlib.import_module(module), name)


def make(request, protocol, whose="ours", **more):
    """An instance, and the root of the bucket or container of its server."""
    server = request.getfixturevalue(SERVERS[protocol])
    fs = class_of(protocol, whose)(**{**server.storage_options, **more}, skip_instance_cache=True)
    return fs, server


class Fixtures(AbstractFixtures):
    protocol = ""
    whose = "ours"

    @pytest.fixture
    def fs(self, request):
        return make(request, self.protocol, self.whose)[0]

    @pytest.fixture
    def fs_path(self, request):
        server = request.getfixturevalue(SERVERS[self.protocol])
        return f"{server.url.partition('://')[2]}/{uuid.uuid4().hex}"

    @pytest.fixture
    def fs_join(self):
        return lambda *parts: "/".join(parts)

    @pytest.fixture
    def supports_empty_directories(self):
        return False


class Suite(AbstractCopyTests, AbstractGetTests, AbstractPutTests, Fixtures):
    pass


class TestS3(Suite):
    protocol = "s3"


class TestS3Driver(Suite):
    protocol, whose = "s3", "theirs"


class TestGs(Suite):
    protocol = "gs"


class TestGsDriver(Suite):
    protocol, whose = "gs", "theirs"


class TestAbfs(Suite):
    protocol = "abfs"


class TestAbfsDriver(Suite):
    protocol, whose = "abfs", "theirs"
