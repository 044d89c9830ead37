"""What a transfer did: told alike whether it was three files or millions."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from persistence_fsspec import (
    ConflictError,
    ObjectNotFoundError,
    StoreError,
    ThrottledError,
    TransferError,
    TransferReport,
    errors,
)
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.testing.strategies import SOAK
from persistence_fsspec.transfer import spill
from persistence_fsspec.transfer.report import FileOutcome, Outcomes

ROOT = Path(__file__).resolve().parents[2]
FILES, MEMORY = (1_000_000 if SOAK else 100_000), 60 * 1024 * 1024

SIGNED = "https://host/x?X-Amz-Signature=signature1"


def outcome(number, status="copied", **more):
    return FileOutcome(key=f"k{number}", source=f"file:///s/{number}", target=f"s3://b/{number}", status=status, **more)


def report(*files, operation="put", **more):
    return TransferReport(operation=operation, source="file:///s", target="s3://b", files=files, **more)


@pytest.fixture(params=[0, 5, 10_000], ids=["disk", "both", "memory"])
def in_memory(request, monkeypatch):
    """So many outcomes of a report lie in memory."""
    monkeypatch.setattr(spill, "_BATCH", 4)
    return request.param


def some(count=103, seed=5):
    rng = random.Random(seed)
    statuses = ["copied", "copied", "skipped", "failed", "deleted"]
    return [
        outcome(
            number,
            rng.choice(statuses),
            bytes=rng.randrange(100),
            info=ObjectInfo(key=f"s/{number}?sig=signature1", size=number, modified=datetime.now(tz=timezone.utc), version="v"),
            digest=rng.choice([None, ("md5", "ab")]),
            verification=rng.choice(["md5", "size", ""]),
            seconds=rng.random(),
            method="streamed",
            reason="because",
        )
        for number in range(count)
    ]


# --- the files of a report ---


def test_files_are_a_sequence(in_memory):
    """Whatever lies where: lengths, items, slices, and those of one status."""
    files = some()
    outcomes = Outcomes(files, in_memory=in_memory)

    assert list(outcomes) == files
    for status in ("copied", "skipped", "failed", "deleted"):
        wanted = [one for one in files if one.status == status]
        found = outcomes.of(status)
        assert len(found) == outcomes.count(status) == len(wanted)
        for view, values in ((found, wanted), (outcomes, files)):
            assert bool(view)
            assert [view[0], view[1], view[-1], view[len(view) // 2]] == [values[n] for n in (0, 1, -1, len(values) // 2)]
            for part in (slice(None), slice(3), slice(2, 9), slice(-4, None), slice(None, None, 3), slice(8, 2, -2), slice(9, 2)):
                assert view[part] == tuple(values[part])
            assert values[2] in view
            assert outcome("x") not in view
            for number in (len(values), -len(values) - 1):
                with pytest.raises(IndexError):
                    view[number]


def test_files_are_equal_to_any_sequence(in_memory):
    """From both sides."""
    files = some(20)
    outcomes = Outcomes(files, in_memory=in_memory)

    assert outcomes == tuple(files)
    assert files == outcomes
    assert outcomes == Outcomes(files)
    assert outcomes != files[1:]
    assert outcomes != [*files[1:], outcome("x")]
    assert outcomes != "files"
    assert Outcomes().of("failed") == ()
    assert Outcomes() == []


def test_an_outcome_comes_back_whole(in_memory):
    """Also what is not compared, or would be hidden in a pickle."""
    files = some(20)
    again = list(Outcomes(files, in_memory=in_memory))

    assert [one.info for one in again] == [one.info for one in files]
    assert [(one.key, one.method, one.reason, one.seconds) for one in again] == [
        (one.key, one.method, one.reason, one.seconds) for one in files
    ]


@pytest.mark.parametrize("kind", [c for c in map(errors.__dict__.get, errors.__all__) if c is not TransferError], ids=str)
def test_an_error_comes_back_as_what_it_was(kind, monkeypatch):
    """Its class, its words, and whether trying again may help."""
    monkeypatch.setattr(spill, "_BATCH", 1)
    error = kind("it broke", operation="write", url="s3://b/1", hint="mend it")
    error.retryable = not kind.retryable
    (again,) = Outcomes([outcome(1, "failed", error=error)], in_memory=0)

    assert type(again.error) is kind
    assert str(again.error) == str(error)
    told = ("message", "operation", "url", "hint", "retryable")
    assert [getattr(again.error, name) for name in told] == [getattr(error, name) for name in told]


def test_an_error_that_cannot_be_pickled_is_kept(monkeypatch):
    """Without what somebody has hung onto it."""
    monkeypatch.setattr(spill, "_BATCH", 1)
    error = StoreError("it broke", url="s3://b/1")
    error.response = lambda: None
    (again,) = Outcomes([outcome(1, "failed", error=error)], in_memory=0)

    assert str(again.error) == str(error)


def test_sums_are_those_of_all_files(in_memory):
    """Bytes, and what copied files were verified by."""
    files = [
        outcome(1, bytes=3, verification="md5"),
        outcome(2, "failed", bytes=4, verification="sha256"),
        outcome(3, verification="size", bytes=5),
        outcome(4),
    ]
    told = TransferReport(operation="put", source="s", target="t", files=Outcomes(files, in_memory=in_memory))

    assert told.bytes == 12
    assert told.verification == "md5, size"


# --- how it travels ---


@pytest.mark.parametrize(
    "how", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"]
)
def test_a_report_travels(in_memory, how):
    """All of it, and it goes on working."""
    before = TransferReport(
        operation="sync",
        source="s",
        target="t",
        files=Outcomes(some(), in_memory=in_memory),
        id="0123",
        resumable=False,
        seconds=2,
    )
    again = how(before)

    assert again == before
    assert again.to_json() == before.to_json()
    assert len(again.failed) == len(before.failed) > 0
    assert again.bytes == before.bytes


def test_views_travel():
    """As plain data."""
    files = some()

    assert pickle.loads(pickle.dumps(Outcomes(files).of("failed"))) == tuple(one for one in files if one.status == "failed")


def test_pickles_and_texts_hold_no_signature():
    """Of a file on the web, the key is a URL, too."""
    one = FileOutcome(key=SIGNED, info=ObjectInfo(key=SIGNED), source=SIGNED, target=SIGNED, status="copied")
    told = report(one)
    texts = [repr(told.files), repr(told), told.to_json(), told.table(), told._repr_html_()]
    texts += [str(pickle.dumps(value, protocol)) for value in (one, told, told.copied) for protocol in (0, 5)]

    assert [text for text in texts if "signature1" in text] == []
    assert copy.copy(one).key == copy.deepcopy(one).key == SIGNED


# --- failures ---


def test_the_first_failures_are_named():
    """Each with its reason on one line, and how many more there are."""
    files = [outcome(n) for n in range(93)]
    files += [outcome(n, "failed", error=StoreError(f"no\n {n}", url=f"s3://b/{n}")) for n in range(7)]
    with pytest.raises(TransferError) as caught:
        report(*files).raise_for_failures()

    named = "; ".join(f"s3://b/{n}: no {n}" for n in range(5))
    assert caught.value.message == f"7 of 100 files failed: {named}; and 2 more"
    assert isinstance(caught.value.__cause__, StoreError)
    assert len(caught.value.report.failed) == 7


def test_a_failure_without_a_reason_is_named_by_its_source():
    """Nothing is known of it but that."""
    with pytest.raises(TransferError, match=r"1 of 1 files failed: file:///s/1: unknown$"):
        report(outcome(1, "failed")).raise_for_failures()


def test_without_failures_nothing_is_raised():
    """Also of what was skipped or deleted."""
    assert report(outcome(1), outcome(2, "skipped"), outcome(3, "deleted")).raise_for_failures() is None
    assert report().raise_for_failures() is None


# --- how it is told ---


def test_a_report_as_data_says_everything():
    """The old fields mean what they meant."""
    failed = outcome(1, "failed", error=ThrottledError("slow down"), attempts=3)
    told = report(failed, outcome(2, "skipped", reason="same md5"), outcome(3, "deleted"), outcome(4, method="ranged"), id="ab")
    data = told.as_dict()

    assert json.loads(told.to_json()) == data
    assert data["schema"] == 1
    assert [data[name] for name in ("copied", "skipped", "failed", "deleted", "id", "resumable")] == [1, 1, 1, 1, "ab", True]
    assert [one["reason"] for one in data["files"]] == ["", "same md5", "", ""]
    assert [one["method"] for one in data["files"]] == ["", "", "", "ranged"]
    assert data["files"][0]["error"] == "slow down"
    assert data["files"][0]["attempts"] == 3


@pytest.mark.parametrize("count", [0, 1, 103])
def test_json_is_written_file_by_file(tmp_path, count):
    """To a path or an open file; it says what `as_dict` says."""
    told = report(*some(count))
    opened = io.StringIO()
    told.write_json(opened)
    told.write_json(tmp_path / "report.json")

    assert json.loads(opened.getvalue()) == told.as_dict()
    assert (tmp_path / "report.json").read_text() == opened.getvalue()
    assert opened.getvalue().count("\n") >= count


def test_a_table_begins_with_the_failures():
    """It has one line for each file, and no more than fifty."""
    failed = outcome(1, "failed", error=ConflictError("it is\nsomebody else's"))
    told = report(*[outcome(n, "skipped") for n in range(60)], *[outcome(n) for n in range(3)], failed)
    lines = told.table().splitlines()

    assert lines[0] == repr(told)
    assert lines[2].startswith("failed")
    assert lines[2].endswith("it is somebody else's")
    assert [line.split()[0] for line in lines[3:8]] == ["copied"] * 3 + ["skipped"] * 2
    assert len(lines) == 1 + 1 + 50 + 1
    assert "14 more" in lines[-1]
    assert report().table() == repr(report())


def test_html_is_escaped():
    """Names and reasons may hold anything."""
    one = FileOutcome(source="file:///<b>", target="s3://b/<b>", status="failed", error=ObjectNotFoundError("<i>"))
    html = report(one)._repr_html_()

    assert "<b>" not in html
    assert "<i>" not in html
    assert "&lt;i&gt;" in html


def test_one_line_says_how_it_went():
    """With what was deleted, and what failed."""
    told = report(outcome(1, bytes=5), outcome(2, "deleted"), outcome(3, "failed"), operation="sync", seconds=1.5)

    assert repr(told) == "<sync to s3://b: 1 copied, 1 deleted, 1 FAILED, 5 bytes in 1.50 s>"


def test_a_report_can_be_changed_in_a_copy():
    """As any dataclass; and be a key."""
    told = report(outcome(1))

    assert replace(told, id="ab").files == told.files
    assert hash(told) == hash(report(outcome(1)))


_MANY = """
import json, sys, time
from datetime import datetime, timezone
from persistence_fsspec import ObjectNotFoundError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.transfer.report import FileOutcome, Outcomes, TransferReport
from tests.faults.child import status

count, then = int(sys.argv[1]), datetime(2020, 1, 1, tzinfo=timezone.utc)
before, begun, outcomes = status("VmRSS"), time.monotonic(), Outcomes()
for number in range(count):
    name = f"folder/{number // 1000:06}/{number:09}.bin"
    failed = number % 1000 == 999
    outcomes.add(FileOutcome(
        key=name, info=ObjectInfo(key=name, size=number, modified=then, version=f"{number:032x}"),
        source=f"file:///{name}", target=f"s3://bucket/{name}", status="failed" if failed else "copied", bytes=2, verification="md5",
        error=ObjectNotFoundError("not found", url=f"file:///{name}") if failed else None,
    ))
report = TransferReport(operation="put", source="file:///folder", target="s3://bucket", files=outcomes)
added = time.monotonic() - begun
assert report.bytes == 2 * count
assert len(report.failed) == count // 1000
assert all(one.error.url == one.source for one in report.failed)
assert report.copied[count // 2].bytes == 2
assert "… and" in report.table()
with open("/dev/null", "w") as sink:
    report.write_json(sink)
print(json.dumps({"grown": status("VmHWM") - before, "added": added, "seconds": time.monotonic() - begun}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is what Linux says of a process")
def test_a_report_of_very_many_files_needs_little_memory():
    """While it grows, and while it is told; measured by the system, in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", _MANY, str(FILES)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    rate = FILES / told["added"]
    sys.stdout.write(
        f"{FILES:,} files: {told['grown'] / 2**20:.0f} MiB, {rate:,.0f} per second, {told['seconds']:.1f} s in all\n"
    )

    assert told["grown"] < MEMORY
