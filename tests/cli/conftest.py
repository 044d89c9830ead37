"""The command, called in this process or as a person would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner


@dataclass
class Said:
    """What a command left: its exit code, and both of its outputs."""

    code: int
    out: str
    err: str
    out_bytes: bytes = b""

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """The error under --json: the last line of standard error."""
        return json.loads(self.err.strip().splitlines()[-1])["error"]


@pytest.fixture
def persist(tmp_path, monkeypatch):
    """Calls the command in this process, in an empty folder, with a home of its own."""
    from persistence_fsspec.cli.app import app

    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / ".config"))
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(home / "state"))

    def call(*args, stdin=None):
        done = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin, prog_name="persist")
        return Said(done.exit_code, done.stdout, done.stderr, done.stdout_bytes)

    return call


@pytest.fixture
def process(tmp_path):
    """Calls the command as a person would, in a process of its own."""

    def call(*args, stdin=None, **environment):
        command = [sys.executable, "-m", "persistence_fsspec", *map(str, args)]
        done = subprocess.run(
            command, input=stdin, capture_output=True, cwd=tmp_path, env={**os.environ, **environment}, timeout=120, check=False
        )
        return Said(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.stdout)

    return call


@pytest.fixture
def tree(persist, tmp_path):
    """A small tree in the working folder."""
    for name, data in {"d/a.csv": b"aa", "d/b.txt": b"b", "d/sub/c.csv": b"ccc"}.items():
        (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "work" / name).write_bytes(data)
    return tmp_path / "work" / "d"
