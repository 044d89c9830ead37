"""On a terminal there is progress, a question before much is deleted, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow  # a terminal and a process for each

COMMAND = [sys.executable, "-m", "persistence_fsspec"]


class Terminal:
    """A command whose standard streams are a terminal."""

    def __init__(self, *args, cwd, stdout=None):
        self._leader, follower = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
        self.process = subprocess.Popen(
            [*COMMAND, *args],
            stdin=follower,
            stdout=stdout or follower,
            stderr=follower,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )
        os.close(follower)
        self.seen = ""

    def read_until(self, text):
        while text not in self.seen:
            if not self._read():
                pytest.fail(f"{text!r} never came; there was {self.seen!r}")

    def _read(self):
        try:
            data = os.read(self._leader, 65536)
        except OSError:  # the other side is gone
            return False
        self.seen += data.decode()
        return bool(data)

    def type(self, text):
        os.write(self._leader, text.encode())

    def end(self):
        while self._read():
            pass
        os.close(self._leader)
        return self.process.wait(60)


@pytest.fixture
def terminal(tmp_path):
    with contextlib.ExitStack() as stack:

        def start(*args):
            started = Terminal(*args, cwd=tmp_path)
            stack.callback(started.process.kill)
            return started

        yield start


@pytest.fixture
def two(tmp_path):
    (tmp_path / "d").mkdir()
    for name in ("a", "b"):
        (tmp_path / "d" / name).write_bytes(b"x" * 1000)
    return tmp_path / "d"


def test_progress_of_a_tree_is_a_bar_once_it_is_listed(terminal, two):
    """With totals of files and bytes. The summary follows."""
    started = terminal("cp", "-r", "d", "e")

    assert started.end() == 0
    assert "copying" in started.seen
    assert "2/2 files" in started.seen
    assert "2.0/2.0 kB" in started.seen
    assert "copied 2 files" in started.seen
    assert "\x1b[" in started.seen
    assert "100%" in started.seen
    assert "━" in started.seen


def test_progress_of_one_file_is_a_bar(terminal, tmp_path):
    """Its size is known."""
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    started = terminal("cp", "large", "copy")

    assert started.end() == 0
    assert "100%" in started.seen
    assert "━" in started.seen
    assert "3.0/3.0 MB" in started.seen


def test_json_draws_nothing(terminal, two):
    """Also on a terminal."""
    started = terminal("cp", "-r", "d", "e", "--json")

    assert started.end() == 0
    assert started.seen.lstrip().startswith("{")
    assert "\x1b" not in started.seen


@pytest.mark.parametrize(("answer", "code", "left"), [("y\n", 0, False), ("n\n", 1, True), ("\n", 1, True), ("\x04", 1, True)])
def test_deleting_more_than_one_asks(terminal, two, answer, code, left):
    """Only a clear yes deletes."""
    started = terminal("rm", "-r", "d")
    started.read_until("Delete these 2 objects? [y/N]")
    assert "d/a" in started.seen
    started.type(answer)

    assert started.end() == code
    assert two.exists() is left


def test_a_yes_is_for_what_was_counted(terminal, two):
    """A tree that has grown meanwhile is asked for again, also when something else has gone."""
    started = terminal("rm", "-r", "d")
    started.read_until("Delete these 2 objects? [y/N]")
    (two / "a").unlink()
    (two / "new").write_bytes(b"1")
    started.type("y\n")
    started.read_until("it has 1 more object now")
    started.read_until("d/new")
    started.read_until("Delete these 3 objects? [y/N]")
    started.type("n\n")

    assert started.end() == 1
    assert sorted(os.listdir(two)) == ["b", "new"]


@pytest.mark.parametrize(
    "args",
    [
        ("cat", "x{0}"),
        ("cp", "-r", "esc", "copy"),
        ("cp", "-r", "none{0}", "copy"),
        ("rm", "-r", "esc"),
        ("mv", "esc/a{0}", "b{0}"),
    ],
)
def test_names_do_not_steer_the_terminal(tmp_path, args):
    """Also where only standard error is one."""
    escape = "\x1b]0;stolen\x07"
    (tmp_path / "esc").mkdir()
    for name in ("a", "b"):
        (tmp_path / "esc" / f"{name}{escape}").write_bytes(b"1")
    (tmp_path / "esc" / f"link{escape}").symlink_to("nowhere")
    started = Terminal(*(text.format(escape) for text in args), cwd=tmp_path, stdout=subprocess.DEVNULL)
    started.type("n\n")
    started.end()

    assert "\x1b]" not in started.seen
    assert "\x07" not in started.seen


def test_ctrl_c_is_one_line_and_promises_nothing(tmp_path):
    """Nothing stands under the final name; the exit code is 130."""
    with subprocess.Popen(
        [*COMMAND, "cp", "-", "x", "-v"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
    ) as running:
        running.stdin.write(b"x" * 3_000_000)
        running.stdin.flush()
        while not any(name for name in os.listdir(tmp_path)):  # the partial file: it is in the middle of writing
            assert running.poll() is None
        running.send_signal(signal.SIGINT)
        running.stdin.close()
        out, err = running.stdout.read(), running.stderr.read().decode()
        code = running.wait(60)

    assert (code, out) == (130, b"")
    assert [line for line in err.splitlines() if "The same command begins again and copies all of it" in line]
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []
