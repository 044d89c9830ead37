"""A store that fails when it is told to, before or after it has done its work."""

from __future__ import annotations

import threading

from persistence_fsspec import Policy
from persistence_fsspec.errors import ConnectionFailedError
from persistence_fsspec.layers.layer import Layer, WriterLayer
from persistence_fsspec.persistence import FSSpecPersistence

PATIENT = Policy(attempts=4, backoff_seconds=0.001, backoff_max_seconds=0.002)


def memory_store(name):
    """fsspec's memory below a folder of its own, without any layer."""
    return FSSpecPersistence(f"memory://{name}", policy=Policy(part_size=64 * 1024)).store_and_key()[0]


class Flaky(Layer):
    """Fails the next calls of an operation: `fail("delete", "after", times=2)`."""

    def __init__(self, inner):
        super().__init__(inner)
        self.calls = []
        self._faults = []
        self._lock = threading.Lock()

    def fail(self, operation, when="before", error=None, times=1):
        self._faults += [(operation, when, error or ConnectionFailedError("the connection broke"))] * times

    def _do(self, operation, act):
        with self._lock:
            self.calls.append(operation)
            fault = next((f for f in self._faults if f[0] == operation), None)
            if fault is not None:
                self._faults.remove(fault)
        if fault is not None and fault[1] == "before":
            raise fault[2]
        result = act()
        if fault is not None:
            raise fault[2]
        return result

    def info(self, key):
        return self._do("info", lambda: self.inner.info(key))

    def read(self, key, start=None, end=None, *, pin=None):
        return self._do("read", lambda: self.inner.read(key, start, end, pin=pin))

    def stream(self, key, *, pin=None):
        yield from self._pieces("stream", self.inner.stream(key, pin=pin), 3)

    def children(self, key):
        yield from self._pieces("children", self.inner.children(key), 2)

    def find(self, key, **options):
        yield from self._pieces("find", self.inner.find(key, **options), 2)

    def _pieces(self, operation, pieces, break_at):
        for number, piece in enumerate(pieces):
            if number == break_at:
                self._do(operation, lambda: None)
            yield piece

    def writer(self, key, **options):
        return _FlakyWriter(self._do("writer", lambda: self.inner.writer(key, **options)), self)

    def append(self, key, data):
        self._do("append", lambda: self.inner.append(key, data))

    def rename(self, source, target):
        self._do("rename", lambda: self.inner.rename(source, target))

    def copy(self, source, target):
        self._do("copy", lambda: self.inner.copy(source, target))

    def delete(self, key):
        self._do("delete", lambda: self.inner.delete(key))


class _FlakyWriter(WriterLayer):
    def __init__(self, inner, flaky):
        super().__init__(inner)
        self._flaky = flaky

    def write(self, data):
        self._flaky._do("write", lambda: self.inner.write(data))

    def commit(self):
        return self._flaky._do("commit", self.inner.commit)
