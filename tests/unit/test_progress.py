"""What a listener is told, and what the three pictures show of it."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
import uuid

import pytest
from rich.console import Console

from persistence_fsspec import FSSpecPersistence, InvalidOptionError, Progress
from persistence_fsspec.errors import TruncatedError
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.transfer.counts import Counts, bytes_of, files_of, percent, size, time_of
from persistence_fsspec.transfer.drawing import LineProgress, RichProgress, in_notebook, picture
from persistence_fsspec.transfer.progress import NO_PROGRESS, CallbackProgress, Serialised, as_progress


class Listener:
    """As a user writes one: the four methods."""

    def __init__(self):
        self.heard = []

    def expect(self, files, n_bytes):
        self.heard.append(("expect", files, n_bytes))

    def advance(self, key, n_bytes):
        self.heard.append(("advance", key, n_bytes))

    def finish(self, key, status):
        self.heard.append(("finish", key, status))

    def close(self):
        self.heard.append(("close",))


class Curious(Listener):
    """Also wants to know when all is listed."""

    def listed(self):
        self.heard.append(("listed",))


def told(listener):
    """Tell a small transfer: two files arrive, one has nothing to do, one fails halfway."""
    for n_bytes in (1000, 2000, 0, 500):
        listener.expect(1, n_bytes)
    listener.listed()
    listener.advance("a", 1000)
    listener.finish("a", "copied")
    listener.advance("d", 300)
    listener.advance("d", -300)
    listener.finish("d", "failed")
    listener.finish("c", "skipped")
    listener.advance("b", 2000)
    listener.finish("b", "copied")
    return listener


def test_listed_is_told_to_who_wants_to_hear_it():
    """A listener with the four methods goes on working."""
    plain, curious = Listener(), Curious()
    for listener in (plain, curious):
        told(as_progress(listener)).close()

    assert ("listed",) not in plain.heard
    assert curious.heard.index(("listed",)) == 4
    assert [word for word in curious.heard if word != ("listed",)] == plain.heard
    assert isinstance(plain, Progress)


@pytest.mark.parametrize(
    "make", [lambda: NO_PROGRESS, LineProgress, lambda: RichProgress(Console(file=io.StringIO()))], ids=["none", "lines", "rich"]
)
def test_ours_know_all_of_it(make):
    """Each can be told everything, and is a `Progress`."""
    listener = make()
    assert isinstance(listener, Progress)
    told(listener).close()


def test_one_worker_speaks_at_a_time():
    """Listeners need no lock."""
    inside, most = [], []

    class Slow(Listener):
        def advance(self, key, n_bytes):
            inside.append(key)
            most.append(len(inside))
            time.sleep(0.001)
            inside.remove(key)

    listener = as_progress(Slow())
    threads = [threading.Thread(target=listener.advance, args=(i, 1)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1] * 20


def test_a_callback_of_fsspec_counts_bytes():
    """Those of a failed attempt are taken back."""
    from fsspec.callbacks import Callback

    callback = Callback()
    told(as_progress(callback)).close()

    assert (callback.size, callback.value) == (3500, 3000)
    assert isinstance(CallbackProgress(callback), Progress)


@pytest.mark.parametrize("wanted", ["yes", 1, object()])
def test_what_is_no_listener_is_refused(wanted):
    """Before anything moves."""
    with pytest.raises(InvalidOptionError, match="progress="):
        as_progress(wanted)


# --- counts ---


def test_what_was_taken_back_does_not_count():
    """And an attempt that failed leaves the rest as it was."""
    counts = told(LineProgress(write=lambda _: None)).counts

    assert (counts.files, counts.ended, counts.skipped, counts.failed) == (4, 4, 1, 1)
    assert (counts.total, counts.moved) == (3500, 3000)


def test_there_are_totals_once_everything_is_listed():
    """Before, a percentage of what was found so far would stand near its end from the beginning."""
    counts = Counts()
    for _ in range(3):
        counts.expect(1, 1000)
    counts.advance(1500)
    counts.finish("copied")
    before = (files_of(counts), bytes_of(counts))
    counts.listed = True

    assert before == ("1 of 3 files so far", "1.5 kB")
    assert (files_of(counts), bytes_of(counts), percent(counts)) == ("1/3 files", "1.5/3.0 kB", "50%")


def test_one_file_has_a_total_from_the_beginning():
    """There is nothing more to list."""
    counts = Counts()
    counts.expect(1, 1000)

    assert counts.final


def test_a_hundred_percent_is_when_all_have_ended():
    """Also where files are empty, or there are none."""
    counts = Counts()
    counts.listed = True
    assert percent(counts) == "100%"
    counts.expect(4, 0)
    counts.finish("copied")
    assert percent(counts) == "25%"
    counts.expect(0, 10)
    counts.advance(10)
    assert percent(counts) == "99%"


def test_the_rate_is_that_of_the_last_seconds(monkeypatch):
    """A transfer that became slow says so, and how long it will take at that pace."""
    now = 1000.0
    monkeypatch.setattr("persistence_fsspec.transfer.counts.time.monotonic", lambda: now)
    counts = Counts()
    counts.expect(1, 2_000_000_000)
    for _ in range(100):  # 10 MB/s, then 1 MB/s
        now += 1
        counts.advance(10_000_000)
        counts.sample()
    for _ in range(100):
        now += 1
        counts.advance(1_000_000)
        rate, left = counts.sample()

    assert rate == pytest.approx(1_000_000, rel=0.01)
    assert left == pytest.approx(900, rel=0.01)
    assert counts.average() == pytest.approx(5_500_000, rel=0.01)


def test_many_small_files_take_time_too(monkeypatch):
    """The time that is left counts them, although they are hardly any bytes."""
    now = 1000.0
    monkeypatch.setattr("persistence_fsspec.transfer.counts.time.monotonic", lambda: now)
    counts = Counts()
    counts.expect(1000, 1000)
    for _ in range(100):
        now += 1
        counts.finish("skipped")
        _, left = counts.sample()

    assert left == pytest.approx(900, rel=0.05)


def test_nobody_knows_how_long_nothing_takes():
    """Then nothing is said."""
    counts = Counts()
    counts.expect(2, 10)

    assert counts.sample() == (0.0, None)
    assert time_of(None) == time_of(1e9) == ""


@pytest.mark.parametrize(("n_bytes", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**18, "1000.0 PB")])
def test_sizes_are_for_people(n_bytes, text):
    """Decimal units, one digit."""
    assert size(n_bytes) == text


# --- lines ---


def test_lines_say_everything():
    """Files, bytes, rate, what failed, what was skipped."""
    lines = []
    told(LineProgress(lines.append, every_seconds=0)).close()

    assert "4 files so far" in lines[3]
    assert re.fullmatch(r"4/4 files, 3\.0/3\.5 kB, [\d.]+ [kMGT]?B/s, 1 failed, 1 skipped\n", lines[-1])
    assert any("left" in line for line in lines)


def test_lines_come_now_and_then():
    """However many files there are."""
    lines = []
    listener = LineProgress(lines.append, every_seconds=1000)
    for i in range(1000):
        listener.expect(1, 1)
        listener.advance(str(i), 1)
        listener.finish(str(i), "copied")
    listener.close()

    assert len(lines) == 1
    assert lines[0].startswith("1,000/1,000 files, 1.0/1.0 kB")


# --- on a terminal ---


def drawn(listener_of=told, width=120):
    """What is left on the screen."""
    screen = io.StringIO()
    listener = RichProgress(Console(file=screen, force_terminal=True, width=width, color_system="standard"))
    listener_of(listener)
    listener.close()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()[-1], screen.getvalue()


def test_a_bar_says_everything():
    """Percentage, bytes and files with their totals, rate; failures in red; what was skipped."""
    line, raw = drawn()

    assert re.fullmatch(r"copying +━+[╸╺]?━* +85% 4/4 files 3\.0/3\.5 kB [\d.]+ [kMGT]?B/s 1 failed 1 skipped *", line)
    assert re.search(r"\x1b\[1;31m1 failed", raw)


def test_while_it_is_listed_there_is_no_bar():
    """A spinner, files, bytes and rate; after the end nothing turns any more."""

    def begun(listener):
        for _ in range(3):
            listener.expect(1, 1000)
        listener.advance("a", 1500)
        listener.finish("a", "copied")
        time.sleep(0.3)

    line, raw = drawn(begun)

    assert re.fullmatch(r"copying 1 of 3 files so far 1\.5 kB [\d.]+ [kMGT]?B/s *", line)
    assert re.search("[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏]", raw)
    assert "%" not in raw
    assert "━" not in raw


@pytest.mark.parametrize("width", [10, 20, 40, 60, 80, 100])
def test_a_narrow_terminal_shows_what_matters_on_one_line(width):
    """Whole words, the most important ones; the bar gives way first."""
    line, _ = drawn(width=width)

    assert len(line) <= width
    assert "85%" in line
    assert "…" not in line
    assert ("1 failed" in line) == (width > 12)


def test_drawing_is_bounded_however_much_is_told():
    """The workers only count; a picture is made a few times each second."""
    listener = RichProgress(Console(file=io.StringIO(), force_terminal=True))
    pictures, make = [], listener._picture
    listener._live._get_renderable = lambda: pictures.append(1) or make()
    begun = time.monotonic()
    for i in range(20_000):
        listener.expect(1, 1)
        listener.advance(str(i), 1)
        listener.finish(str(i), "copied")
    listener.close()

    assert 1 <= len(pictures) <= (time.monotonic() - begun) * 10 + 5


def test_two_at_once_do_not_paint_over_each_other(monkeypatch):
    """The second one writes lines, and the screen is free again afterwards."""
    monkeypatch.setattr(sys, "stderr", Screen())
    first, second = picture(), picture()
    assert (type(first), type(second)) == (RichProgress, LineProgress)
    second.close()
    first.close()
    first.close()  # twice is fine
    third = picture()
    third.close()

    assert type(third) is RichProgress


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def test_true_means_lines_where_there_is_no_terminal(capsys):
    """A log holds lines, and nothing that moves a cursor."""
    listener = as_progress(True)
    assert not in_notebook()
    told(listener).close()
    said = capsys.readouterr()

    assert said.out == ""
    assert said.err.startswith("4/4 files, ")
    assert "\x1b" not in said.err


def test_true_means_lines_where_rich_is_not_installed(monkeypatch):
    """Also on a terminal."""
    monkeypatch.setattr(sys, "stderr", Screen())
    monkeypatch.setitem(sys.modules, "rich.live", None)

    assert type(picture()) is LineProgress


def test_what_is_serialised_already_stays():
    """One lock is enough."""
    listener = as_progress(Listener())

    assert isinstance(listener, Serialised)
    assert as_progress(listener) is listener


def test_what_a_failed_attempt_told_is_taken_back(tmp_path):
    """A file that is sent twice moves its bytes once."""

    class Failing(Layer):
        def writer(self, key, **options):
            writer = self.inner.writer(key, **options)
            commit = writer.commit

            def fail():
                writer.commit = commit
                failures.pop()
                raise TruncatedError("some of it is missing")

            if failures:
                writer.commit = fail
            return writer

    class Doubtful(FSSpecPersistence):
        def wrap(self, store):
            return Failing(super().wrap(store)) if store.capabilities.driver == "memory" else super().wrap(store)

    failures, listener = [1], Listener()
    (tmp_path / "a").write_bytes(b"12345")
    report = Doubtful(f"memory://{uuid.uuid4().hex}").put(tmp_path / "a", "a", progress=listener)

    assert not failures
    assert (report.files[0].attempts, report.bytes) == (2, 5)
    assert sum(one[2] for one in listener.heard if one[0] == "advance") == 5
