"""Decisions: their ranges, their environment, and the memory they respect."""

from __future__ import annotations

import dataclasses
import inspect
import pickle

import pytest

from persistence_fsspec import InvalidOptionError, Policy
from persistence_fsspec import policy as module

FIELDS = [field.name for field in dataclasses.fields(Policy)]

# For each field a text for its variable, and the value that it stands for.
SAID = {
    "verify": ("readback", "readback"),
    "allow_direct": ("yes", True),
    "read_only": ("1", True),
    "fsync": ("on", True),
    "concurrency": ("3", 3),
    "part_size": ("16MiB", 16 * 1024**2),
    "max_memory": ("1 GB", 10**9),
    "attempts": ("9", 9),
    "backoff_seconds": ("0.5", 0.5),
    "backoff_max_seconds": ("60", 60.0),
    "give_up_seconds": ("none", None),
    "timeout_seconds": ("7.5", 7.5),
    "stall_seconds": ("5", 5.0),
    "slowest": ("1KiB", 1024),
    "max_requests": ("12", 12),
    "requests_per_second": ("100", 100.0),
    "bytes_per_second": ("10MB", 10**7),
}


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_is_a_variable(monkeypatch, name):
    """PERSISTENCE_FSSPEC_ and its name in capitals; what is given in code is stronger."""
    text, value = SAID[name]
    monkeypatch.setenv(f"PERSISTENCE_FSSPEC_{name.upper()}", text)

    assert getattr(Policy(), name) == value
    monkeypatch.setenv(f"PERSISTENCE_FSSPEC_{name.upper()}", "nonsense, but nobody asks")
    assert getattr(Policy(**{name: value}), name) == value


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "verify"])
def test_a_variable_that_makes_no_sense_is_named(monkeypatch, name):
    """With what would be understood."""
    monkeypatch.setenv(f"PERSISTENCE_FSSPEC_{name.upper()}", "many")

    with pytest.raises(InvalidOptionError, match=f"PERSISTENCE_FSSPEC_{name.upper()}='many' cannot be understood as"):
        Policy()


@pytest.mark.parametrize(
    "given",
    [
        {"verify": "md5"},
        {"concurrency": 0},
        {"concurrency": 1.5},
        {"part_size": 10},
        {"attempts": 0},
        {"attempts": True},
        {"timeout_seconds": -1},
        {"timeout_seconds": float("nan")},
        {"stall_seconds": None},
        {"max_requests": 5000},
        {"bytes_per_second": 1},
    ],
    ids=str,
)
def test_a_value_outside_its_range_is_refused(given):
    """By its name, with the range."""
    with pytest.raises(InvalidOptionError, match=next(iter(given))):
        Policy(**given)


def test_the_signature_shows_the_defaults():
    """For help() and editors."""
    parameters = inspect.signature(Policy).parameters

    assert list(parameters) == FIELDS
    assert parameters["attempts"].default == 5


def test_a_policy_travels_as_it_is(monkeypatch):
    """Another process' environment does not change it."""
    pickled = pickle.dumps(Policy(attempts=7))
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ATTEMPTS", "2")

    assert pickle.loads(pickled) == Policy(attempts=7)
    assert dataclasses.replace(Policy(attempts=7), concurrency=2).attempts == 7


def test_memory_is_a_quarter_of_what_the_group_allows(monkeypatch, tmp_path):
    """A container with 512 MiB gets 128 MiB of buffers."""
    limit = tmp_path / "memory.max"
    limit.write_text("536870912\n")
    monkeypatch.setattr(module, "_group_files", lambda: [limit])

    assert module.memory_limit() == 536870912
    assert Policy().max_memory == 128 * 1024**2


def test_no_limit_means_the_default(monkeypatch, tmp_path):
    """Both spellings of it."""
    first, second = tmp_path / "memory.max", tmp_path / "memory.limit_in_bytes"
    first.write_text("max\n")
    second.write_text("9223372036854771712\n")
    monkeypatch.setattr(module, "_group_files", lambda: [first, second])

    assert Policy().max_memory == 256 * 1024**2


def test_the_groups_of_this_process_are_looked_at():
    """Its own first, then all above it."""
    found = module._group_files()

    assert all(path.name == "memory.max" for path in found)
