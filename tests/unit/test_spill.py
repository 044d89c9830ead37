"""What does not fit in memory lies on disk, and nobody can tell from outside."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from persistence_fsspec.events import on_event
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.testing.strategies import SOAK, counted
from persistence_fsspec.transfer import spill
from persistence_fsspec.transfer.index import Index, Names
from persistence_fsspec.transfer.spill import SpillingDict, SpillingList

ENTRIES, MEMORY = (1_000_000 if SOAK else 100_000), 100 * 1024 * 1024
ROOT = Path(__file__).resolve().parents[2]


def dump(value):
    return value.encode("utf-8", "surrogatepass")


def load(data):
    return data.decode("utf-8", "surrogatepass")


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    """A folder for temporary files, to look into."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(params=[0, 3, 10_000], ids=["disk", "both", "memory"])
def in_memory(request, monkeypatch):
    monkeypatch.setattr(spill, "_BATCH", 4)
    return request.param


# --- dictionaries ---


class AsADict(RuleBasedStateMachine):
    """Does what a dictionary does, whatever lies where."""

    keys = st.sampled_from([*"abcdefghij", "\udc80odd", "nul\0", "Grüße", "🦆"])

    @initialize(in_memory=st.sampled_from([0, 2, 100]))
    def begin(self, in_memory):
        self.batch, spill._BATCH = spill._BATCH, 3
        self.model = {}
        self.real = SpillingDict(dump, load, in_memory=in_memory)

    def teardown(self):
        if hasattr(self, "batch"):
            spill._BATCH = self.batch

    @rule(key=keys, value=st.text(max_size=3))
    def put(self, key, value):
        self.model[key] = self.real[key] = value

    @rule(key=keys, value=st.text(min_size=1, max_size=3))
    def put_if_missing(self, key, value):
        assert self.real.setdefault(key, value) == self.model.setdefault(key, value)

    @rule(key=keys)
    def take(self, key):
        assert self.real.pop(key) == self.model.pop(key, None)

    @rule(key=keys)
    def ask(self, key):
        assert (key in self.real) == (key in self.model)
        assert self.real.get(key, "none") == self.model.get(key, "none")

    @invariant()
    def is_the_same(self):
        if hasattr(self, "model"):
            assert len(self.real) == len(self.model)
            assert list(self.real.items()) == sorted(self.model.items())
            assert list(self.real) == sorted(self.model)


TestAsADict = AsADict.TestCase
TestAsADict.settings = counted(40, 1000)


def test_a_missing_key_is_an_error(in_memory):
    """By brackets, as of any mapping."""
    kept = SpillingDict(dump, load, in_memory=in_memory)
    for number in range(9):
        kept[f"{number}"] = "x"

    assert kept["3"] == "x"
    with pytest.raises(KeyError, match="nothing"):
        kept["nothing"]


def test_a_dictionary_may_shrink_while_it_is_read(in_memory):
    """What is gone is not read any more, what stays is, once."""
    kept = SpillingDict(dump, load, in_memory=in_memory)
    for number in range(2000):
        kept[f"{number:04}"] = "x"
    read = []
    for key in kept:
        read.append(key)
        kept.pop(key)

    assert read == [f"{number:04}" for number in range(2000)]
    assert len(kept) == 0


# --- lists ---


def test_a_list_keeps_the_order(in_memory):
    """By number, all, of one kind, and from some number on."""
    rng = random.Random(7)
    values = [f"{rng.choice('abc')}{number}" for number in range(1203)]
    kept = SpillingList(dump, load, lambda value: value[0], in_memory=in_memory)
    for value in values:
        kept.append(value)

    assert len(kept) == len(values)
    assert [kept[number] for number in (0, 2, 3, 4, 600, 1201, 1202)] == [values[n] for n in (0, 2, 3, 4, 600, 1201, 1202)]
    for kind in (None, "a", "b", "c", "d"):
        some = [value for value in values if kind in {None, value[0]}]
        assert kind is None or kept.count(kind) == len(some)
        for start in (0, 1, 3, 7, 399, len(values)):
            assert list(kept.values(kind, start)) == some[start:]
    for number in (-1, len(values)):
        with pytest.raises(IndexError):
            kept[number]


def test_a_list_may_grow_while_it_is_read(in_memory):
    """What was there at the beginning is read, each once, in order."""
    kept = SpillingList(dump, load, lambda _: "", in_memory=in_memory)
    for number in range(1000):
        kept.append(str(number))
    read = []
    for value in kept.values():
        read.append(value)
        kept.append("new")

    assert read[:1000] == [str(number) for number in range(1000)]


# --- on disk ---


def test_nothing_is_left_on_disk(temporary, monkeypatch):
    """Not even a name, while it is in use."""
    monkeypatch.setattr(spill, "_BATCH", 4)
    kept = SpillingDict(dump, load, in_memory=0)
    for number in range(1000):
        kept[str(number)] = "x"

    assert kept._spilled == 1000
    assert os.listdir(temporary) == []


@pytest.mark.parametrize(
    "make",
    [lambda: SpillingDict(dump, load, in_memory=1), lambda: SpillingList(dump, load, str, in_memory=1)],
    ids=["dictionary", "list"],
)
def test_it_does_not_travel(make):
    """What holds it does, as plain data."""
    with pytest.raises(TypeError, match="plain data"):
        pickle.dumps(make())


@pytest.mark.parametrize("how", ["missing", "full"])
def test_without_a_disk_memory_has_to_do(how, temporary, monkeypatch, small_disk):
    """An event says so, once, and nothing is lost."""
    monkeypatch.setattr(tempfile, "tempdir", str(small_disk if how == "full" else temporary / "missing"))
    monkeypatch.setattr(spill, "_BATCH", 50)
    told = []
    end = on_event(told.append)
    entries, outcomes = SpillingDict(dump, load, in_memory=10), SpillingList(dump, load, lambda value: value[:1], in_memory=10)
    for number in range(1000):
        entries[f"{number:06}"] = f"{number}" * 500
        outcomes.append(f"{number}" * 500)
    end()

    assert [event.name for event in told] == ["spilling_failed"] * 2
    assert list(entries.items()) == [(f"{number:06}", f"{number}" * 500) for number in range(1000)]
    assert list(outcomes.values()) == [f"{number}" * 500 for number in range(1000)]
    assert list(outcomes.values("7")) == [f"{number}" * 500 for number in range(1000) if f"{number}"[0] == "7"]
    assert outcomes[999] == "999" * 500


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


# --- what a tree holds ---


def described(number, name):
    return ObjectInfo(
        key=f"root/{name}?sig=secret",
        size=number,
        modified=datetime(2020, 1, 2, 3, 4, 5, number, tzinfo=timezone.utc),
        version=f"v{number}" if number % 2 else None,
        version_id="1",
        digest=("md5", "ab"),
        metadata={"mode": "0644"},
        link=number % 3 == 0,
    )


def test_an_index_returns_what_it_was_given(in_memory):
    """Every field, and of a key also what would be hidden in a pickle; the rest is what nobody took."""
    names = [f"{number}/ä\udcff" for number in range(100)]
    index = Index(in_memory=in_memory)
    for number, name in enumerate(names):
        index.add(name, described(number, name))
    taken = {name: index.take(name) for name in names[::3]}

    assert taken == {name: described(number, name) for number, name in enumerate(names) if number % 3 == 0}
    assert dict(index.rest()) == {name: described(number, name) for number, name in enumerate(names) if number % 3}
    assert index.take("none") is None
    assert len(index) == 100
    assert names[0] in index
    assert "none" not in index


def test_a_name_in_an_index_is_one_entry(in_memory):
    """The last that was added is what is there; a mark stays."""
    index = Index(in_memory=in_memory)
    for number in [*range(20), *range(20)]:
        index.add(str(number), ObjectInfo(key="first"))
    index.take("3")
    for number in range(20):
        index.add(str(number), ObjectInfo(key="second"))

    assert len(index) == 20
    assert {info.key for _, info in index.rest()} == {"second"}
    assert "3" not in dict(index.rest())


@pytest.mark.parametrize("seed", range(3))
def test_a_name_belongs_to_who_was_first(in_memory, seed):
    """And is told to everybody else."""
    rng, names, owners = random.Random(seed), Names(in_memory=in_memory), {}
    for _ in range(500):
        name = "".join(rng.choice("aAbB") for _ in range(4))
        assert names.claim(name.casefold(), name) == owners.setdefault(name.casefold(), name)


_GROW = """
import json, sys, time
from datetime import datetime, timezone
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.index import Index, Names
from tests.faults.child import status

count, then = int(sys.argv[1]), datetime(2020, 1, 1, tzinfo=timezone.utc)
index, names = Index(), Names()
before, begun = status("VmRSS"), time.monotonic()
for number in range(count):
    name = f"folder/{number // 1000:06}/{number:09}.bin"
    index.add(name, ObjectInfo(key=f"bucket/{name}", size=number, modified=then, version=f"{number:032x}"))
    names.claim(name.casefold(), name)
for number in range(0, count, 2):
    assert index.take(f"folder/{number // 1000:06}/{number:09}.bin").size == number
rest = sum(1 for _ in index.rest())
print(json.dumps({"rest": rest, "grown": status("VmHWM") - before, "seconds": time.monotonic() - begun}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is what Linux says of a process")
def test_a_large_index_needs_little_memory():
    """However many entries; measured by the system, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _GROW, str(ENTRIES)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    sys.stdout.write(f"{ENTRIES:,} entries: {told['grown'] / 2**20:.0f} MiB, {told['seconds']:.1f} s\n")

    assert told["rest"] == ENTRIES // 2
    assert told["grown"] < MEMORY


@pytest.mark.parametrize("in_memory", [0, 3])
def test_odd_names_are_kept(in_memory):
    """Whatever a file may be called."""
    from persistence_fsspec.testing.strategies import ODD

    kept = SpillingDict(dump, load, in_memory=in_memory)
    for name in [*ODD, "\udc80", "a\0b"]:
        kept[name] = name

    assert dict(kept.items()) == {name: name for name in [*ODD, "\udc80", "a\0b"]}
