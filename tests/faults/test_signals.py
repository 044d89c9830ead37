"""SIGTERM and Ctrl-C while ``persist cp -r`` is at work: nothing half-written, and the same command continues."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persistence_fsspec.testing.strategies import SOAK
from tests.faults.sites import SITES, local_site, random_tree

ROOT = Path(__file__).resolve().parents[2]
FILES, LARGEST = 300, 16 * 1024
IN_FLIGHT = (8 + 16) * LARGEST
"""At eight files at once: those on their way, and those that the journal writes down together."""

ENDS = {"SIGTERM": (signal.SIGTERM, -signal.SIGTERM), "SIGINT": (signal.SIGINT, 130)}
CASES = [
    pytest.param(protocol, way, name, id=f"{name}-{way}-{protocol}", marks=[pytest.mark.server(protocol)] * (protocol != "local"))
    for number, protocol in enumerate(SITES)
    for way in ("put", "get")
    for name in ENDS
    if SOAK or (number + (way == "put") + (name == "SIGINT")) % 2
]
"""Each signal, each site and both ways; in a sample not all of them with each other."""

pytestmark = pytest.mark.slow


def persist(arguments, folder):
    """The command, running."""
    environment = {
        **os.environ,
        "HOME": str(folder),
        "PERSISTENCE_FSSPEC_STATE_DIR": str(folder / "state"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "persistence_fsspec", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


@pytest.mark.parametrize(("protocol", "way", "name"), CASES)
def test_interrupted_and_done_again(sites, protocol, way, name, tmp_path):
    """It ends at once with the code of its signal; all that stands is whole; the next run brings the rest, and only that."""
    # Given a command at work on a tree,
    here, there = local_site(tmp_path / "here"), sites(protocol)
    source, target = (here, there) if way == "put" else (there, here)
    folder = f"interrupted-{name}-{way}"
    tree = random_tree(random.Random(folder), FILES, LARGEST)
    source.fill(f"{folder}-source", tree)
    options = [word for option, value in there.options.items() for word in ("-o", f"{option}={value}")]
    command = ["cp", "-r", source.address(f"{folder}-source"), target.address(folder), *options, "-p", "concurrency=8"]
    running = persist(command, tmp_path)
    while running.poll() is None and arrived(target, folder) < FILES // 8:
        time.sleep(0.001)

    # when a signal ends it,
    number, code = ENDS[name]
    sent = time.monotonic()
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    took = time.monotonic() - sent
    there.settle()
    found = target.tree(folder)

    # then it says so, nothing is there in part, and Ctrl-C has cleaned up behind itself;
    assert running.returncode == code, errors
    assert "Traceback" not in errors
    assert took < 10.0
    assert {key: data for key, data in found.items() if tree.get(key) != data} == {}
    assert found.keys() < tree.keys(), "it was through before the signal came"
    if name == "SIGINT":
        assert target.unfinished(folder) == []

    # and the same command brings what is missing.
    missing = sum(len(data) for key, data in tree.items() if key not in found)
    if there.meter is not None:
        there.meter.traffic.reset()
    again = persist(command, tmp_path)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert target.tree(folder) == tree
    assert target.unfinished(folder) == []
    if there.meter is not None:
        assert there.meter.traffic.content <= missing + IN_FLIGHT + 64 * 1024


def arrived(place, folder):
    """How many files stand there."""
    found = place.sizes(folder)
    return len(place.keys(folder) if found is None else found)
