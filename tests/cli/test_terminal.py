"""On a terminal there is progress, a question before much is deleted, and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys

import pytest

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


def test_progress_is_drawn(terminal, two):
    """And the summary follows."""
    started = terminal("cp", "-r", "d", "e")

    assert started.end() == 0
    assert "copying" in started.seen
    assert "2 files" in started.seen
    assert "copied 2 files" in started.seen
    assert "\x1b[" in started.seen


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


def test_ctrl_c_is_one_line_and_tells_how_to_go_on(tmp_path):
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
    assert [line for line in err.splitlines() if "same command again" in line]
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []
