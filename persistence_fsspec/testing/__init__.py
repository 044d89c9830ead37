"""The conformance kit: does a store keep the promises? One promise per test.

Subclass `StoreConformance`, give it a ``harness`` fixture, and run pytest::

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def harness(self):
            return FsspecHarness("mystore://bucket/{folder}", storage_options={...})

It needs the extra ``testing``: pytest and hypothesis.
"""

from __future__ import annotations

from persistence_fsspec.testing.conformance import StoreConformance
from persistence_fsspec.testing.harness import FsspecHarness, Harness
from persistence_fsspec.testing.trees import TreeConformance

__all__ = ["FsspecHarness", "Harness", "StoreConformance", "TreeConformance"]
