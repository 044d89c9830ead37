"""Every promise on S3, with the accelerator from the first request on, and without it."""

from __future__ import annotations

import contextlib

import pytest

from persistence_fsspec.errors import ObjectNotFoundError
from persistence_fsspec.stores.accelerated import SWITCH
from persistence_fsspec.stores.dialects.s3 import S3Dialect
from persistence_fsspec.stores.dialects.s3_fast import FastS3Dialect
from persistence_fsspec.testing import StoreConformance, TreeConformance
from tests.conformance.harnesses import ServerHarness
from tests.quirks.places import raw_store


def harness_on(server) -> ServerHarness:
    harness = ServerHarness(server)
    harness.unfaithful = "\n"  # moto's router does not match a newline; Ceph stores it
    return harness


@pytest.mark.server("s3")
class TestAccelerated(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, s3_server):
        pytest.importorskip("obstore")
        harness = harness_on(s3_server.new_bucket("accelerated"))
        with contextlib.suppress(ObjectNotFoundError):
            list(harness.store.find(harness.key("")))  # an answer to the driver, which is trusted from then on
        driver = raw_store(harness.store)._driver
        assert isinstance(driver.dialect, FastS3Dialect)
        assert driver.dialect._way(driver.connections._get_shared(), driver.path("k")) is not None
        return harness


@pytest.mark.server("s3")
class TestByTheDriverAlone(StoreConformance, TreeConformance):
    @pytest.fixture
    def harness(self, s3_server, monkeypatch):
        monkeypatch.setenv(SWITCH, "0")
        harness = harness_on(s3_server.new_bucket("driver-alone"))
        assert type(raw_store(harness.store)._driver.dialect) is S3Dialect
        return harness
