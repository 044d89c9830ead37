"""A tree of which some files cannot be read, and one name is forbidden: the rest arrives, and nobody is told otherwise."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.sites import S3Site, random_tree
from tests.servers.meter import HttpMeter

ROOT = Path(__file__).resolve().parents[2]
UNREADABLE = ("locked-1.bin", "a/locked-2.bin", "b/c/locked-3.bin")
FORBIDDEN = "b/forbidden.bin"

# Linux: what root may do besides all others, CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, can be given up for good.
GIVE_UP = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""
COMMON = [sys.executable, "-c", GIVE_UP] if os.geteuid() == 0 and sys.platform == "linux" else []
"""Before a command: makes permissions mean something to it."""

pytestmark = [pytest.mark.server("s3"), pytest.mark.slow]


@pytest.fixture
def place(s3_server):
    """An S3 server that forbids one name."""
    with HttpMeter(s3_server.process.port, forbidden=lambda method, target: method == "PUT" and "forbidden" in target) as meter:
        yield S3Site(s3_server, meter.port, meter)


def persist(arguments, folder):
    """The command, as somebody to whom permissions mean something."""
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PERSISTENCE_FSSPEC_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }
    command = [*COMMON, sys.executable, "-m", "persistence_fsspec", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment, timeout=120, check=False)


@pytest.fixture
def failing(place, tmp_path):
    """Puts a tree with three unreadable files and a forbidden name."""
    tree = random_tree(random.Random("fails"), 40, 4000)
    source = tmp_path / "tree"
    for name, data in {**tree, **dict.fromkeys((*UNREADABLE, FORBIDDEN), b"never arrives")}.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(data)
    for name in UNREADABLE:
        (source / name).chmod(0o000)
    if subprocess.run([*COMMON, "cat", source / UNREADABLE[0]], capture_output=True, check=False).returncode == 0:
        pytest.skip("whoever runs this may read everything, and cannot give that up here")
    options = [word for name, value in place.options.items() for word in ("-o", f"{name}={value}")]

    def put(folder, *more):
        return persist(["cp", "-r", str(source), place.address(folder), *options, *more], tmp_path)

    put.tree = tree
    put.source = source
    return put


def test_the_rest_arrives_and_the_error_names_the_four(failing, place):
    """Each failed file is named with its own reason; whatever could arrive did; the exit code is not 0."""
    # When the tree is copied
    said = failing("fails-json", "--json")
    report = json.loads(said.stdout)

    # then four are named as failed, all others are there, and the command says so.
    failed = {Path(one["source"]).name: one["error"] for one in report["files"] if one["status"] == "failed"}
    names = {Path(name).name for name in (*UNREADABLE, FORBIDDEN)}
    assert set(failed) == names
    assert all("permission" in error.lower() or "denied" in error.lower() for error in failed.values()), failed
    assert (report["copied"], report["failed"]) == (40, 4)
    assert place.tree("fails-json") == failing.tree
    assert said.returncode == 3, said.stderr


def test_people_are_told_of_all_four(failing):
    """On a terminal the names stand in the message."""
    said = failing("fails-text")

    assert said.returncode == 3
    for name in (*UNREADABLE, FORBIDDEN):
        assert Path(name).name in said.stderr, said.stderr
    assert "Traceback" not in said.stderr


def test_once_the_causes_are_gone_the_same_command_brings_the_four(failing, place, s3_server):
    """Only they are missing; the others are not sent again."""
    # Given a run that failed for four,
    failing("fails-again")
    for name in UNREADABLE:
        (failing.source / name).chmod(0o644)
    (failing.source / FORBIDDEN).unlink()
    place.meter.traffic.reset()

    # when it runs again without the causes,
    said = failing("fails-again")

    # then just the three arrive.
    assert said.returncode == 0, said.stderr
    assert place.tree("fails-again") == {**failing.tree, **dict.fromkeys(UNREADABLE, b"never arrives")}
    assert set(place.meter.traffic.by_name) == {f"fails-again/{name}" for name in UNREADABLE}
