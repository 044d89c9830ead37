"""What all layers have in common."""

from __future__ import annotations

import inspect

import pytest

from persistence_fsspec import Policy, Store, Writer
from persistence_fsspec.layers import layered
from persistence_fsspec.layers.layer import Layer, UploadLayer, WriterLayer, taken
from persistence_fsspec.layers.limit import LimitLayer
from persistence_fsspec.layers.readonly import ReadOnlyLayer
from persistence_fsspec.layers.retry import RetryLayer
from persistence_fsspec.layers.timeout import TimeoutLayer
from persistence_fsspec.store import Leftover, ObjectInfo, Part, Upload
from persistence_fsspec.testing import StoreConformance
from tests.conformance.harnesses import MemoryHarness

# What each operation is called with, by the names of the interface.
_VALUES = {"key": "k", "start": 1, "end": 2, "pin": None, "on_error": None, "size": 3, "overwrite": False, "if_match": "v"}
_VALUES |= {"metadata": {"a": "b"}, "data": b"data", "source": "from", "target": "to", "seconds": 5}
_VALUES |= {"links": "list", "folders": True, "part_size": 2, "token": "t", "leftover": Leftover(kind="partial", key="k")}
_VALUES |= {"version": ObjectInfo(key="k", version_id="v")}
_VALUES |= {"number": 1, "crc32c": "00000000", "part": Part(number=1, size=4), "parts": [Part(number=0, size=4)]}


def operations(interface):
    return [name for name in vars(interface) if not name.startswith("_")]


class Recorder:
    """Answers everything, and remembers how it was asked."""

    def __init__(self):
        self.asked = []

    def __getattr__(self, name):
        def answer(*args, **options):
            self.asked.append((name, args, options))
            return f"answer of {name}"

        return answer


@pytest.mark.parametrize("name", [n for n in operations(Store) if n != "capabilities"])
def test_a_plain_layer_forwards_every_operation(name):
    """With all its arguments, and the answer back."""
    inner = Recorder()
    parameters = list(inspect.signature(getattr(Store, name)).parameters.values())[1:]
    args = [_VALUES[p.name] for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    options = {p.name: _VALUES[p.name] for p in parameters if p.kind is p.KEYWORD_ONLY}

    answer = getattr(Layer(inner), name)(*args, **options)

    gives_nothing = inspect.signature(getattr(Store, name)).return_annotation == "None"
    assert answer == (None if gives_nothing else f"answer of {name}")
    assert inner.asked == [(name, tuple(args), options)]


@pytest.mark.parametrize("name", [n for n in operations(Writer) if n != "restartable"])
def test_a_plain_writer_forwards_every_operation(name):
    """With all its arguments, and the answer back."""
    inner = Recorder()
    args = [b"data"] if name == "write" else []

    getattr(WriterLayer(inner), name)(*args)

    assert inner.asked == [(name, tuple(args), {})]


@pytest.mark.parametrize("name", [n for n in operations(Upload) if n not in {"token", "part_size"}])
def test_a_plain_upload_forwards_every_operation(name):
    """With all its arguments."""
    inner = Recorder()
    args = [_VALUES[parameter] for parameter in list(inspect.signature(getattr(Upload, name)).parameters)[1:]]

    getattr(UploadLayer(inner), name)(*args)

    assert inner.asked == [(name, tuple(args), {})]


@pytest.mark.parametrize("layer", [Layer, TimeoutLayer, LimitLayer, RetryLayer])
def test_what_holds_holds_through_a_layer(layer):
    """Capabilities are those of the store."""
    inner = Recorder()
    inner.capabilities = object()
    made = layer(inner) if layer is Layer else layer(inner, Policy())

    assert made.capabilities is inner.capabilities


def test_layers_stand_in_their_order():
    """Innermost first: timeout, limit, retry, read-only; a waiting retry holds no slot."""

    class Remote(Layer):
        capabilities = MemoryHarness().store.capabilities.__class__(driver="ftp")

    store = Remote(MemoryHarness().store)
    found = layered(store, Policy(read_only=True))

    order = []
    while found is not store:
        order.append(type(found))
        found = found.inner
    assert order == [ReadOnlyLayer, RetryLayer, LimitLayer, TimeoutLayer]


def test_batches_keep_what_came_before_an_error():
    """An item that was there is given out before the error is raised."""

    def items():
        yield from range(5)
        raise OSError("broke")

    got = []
    with pytest.raises(OSError, match="broke"):
        got.extend(_each(taken(items(), lambda take: take()), got))

    assert got == [0, 1, 2, 3, 4]


def _each(items, got):
    for item in items:
        got.append(item)
    return ()


class TestMemoryThroughAllLayers(StoreConformance):
    """A store behind every layer keeps every promise of a store."""

    @pytest.fixture
    def harness(self):
        return MemoryHarness()

    @pytest.fixture
    def store(self, harness):
        return RetryLayer(LimitLayer(TimeoutLayer(harness.store, harness.policy), harness.policy), harness.policy)
