"""A process that is forked off while other threads are at work."""

from __future__ import annotations

import os
import threading
import uuid

import pytest

from persistence_fsspec import FSSpecPersistence
from tests.quirks.places import in_fork

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")]


@pytest.mark.parametrize("act", ["open", "write"])
def test_a_child_never_waits_for_a_thread_of_its_parent(act):
    """Which is not there any more: neither for opening stores, nor for writing to memory."""
    over = threading.Event()

    def work():
        while not over.is_set():
            url = f"memory://{uuid.uuid4().hex}" if act == "open" else "memory://forks"
            FSSpecPersistence(url, storage_options={"skip_instance_cache": False}).write_bytes("k", b"x" * 100_000)

    FSSpecPersistence("memory://forks").write_bytes("k", b"1")  # what a thread is importing, Python itself waits for in the child
    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        answers = {in_fork(lambda: FSSpecPersistence("memory://forked").write_bytes("k", b"1").size == 1) for _ in range(15)}
    finally:
        over.set()
        for thread in threads:
            thread.join()

    assert answers == {"yes"}
