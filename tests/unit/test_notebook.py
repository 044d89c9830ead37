"""In a notebook: a real kernel draws the progress, shows the report, and awaits."""

from __future__ import annotations

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.servers.environment import environment
from tests.servers.process import PROGRAMS, NotInstalled

ROOT = Path(__file__).parents[2]
OURS = ("fsspec>=2025.10.0", "google-crc32c>=1.5", "pathspec>=0.12", "platformdirs>=4", "tenacity>=9", "tomli>=2")
KERNEL = ("ipykernel==7.1.0", "nbclient==0.10.4", *OURS)
BUILT_AHEAD = [partial(environment, "notebook", KERNEL)]

pytestmark = pytest.mark.slow


@pytest.fixture
def run(tmp_path):
    """Run cells; neither rich nor a widget is installed there."""
    try:
        python = environment("notebook", KERNEL)
    except NotInstalled as exc:
        pytest.skip(f"a kernel cannot be installed here: {str(exc)[-300:]}")

    def call(*cells):
        done = subprocess.run(
            [str(python), str(PROGRAMS / "notebook.py")],
            input=json.dumps(cells),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "1"},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.strip().splitlines()[-1])

    return call


BEGIN = """
import pathlib
from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.layers.limit import LimitLayer
class Slow(FSSpecPersistence):
    def wrap(self, store):
        return LimitLayer(store, Policy(bytes_per_second=20_000))
folder = pathlib.Path("folder"); folder.mkdir()
for i in range(20): (folder / f"{i}.txt").write_bytes(b"x" * 3000)
p = Slow("memory://notebook")
"""


def test_a_transfer_is_drawn_below_its_cell(run):
    """While it runs, again and again in one place; in the end a full bar; the report is a table; nothing is on standard error."""
    told = run(BEGIN, "p.put('folder', 'there', recursive=True, progress=True)")
    drawn, report = told["cells"][1]

    assert drawn["output_type"] == "display_data"
    assert '<progress value="1.0000"' in drawn["data"]["text/html"]
    assert "20/20 files, 60.0/60.0 kB" in drawn["data"]["text/html"]
    assert "20/20 files" in drawn["data"]["text/plain"]
    assert told["redrawn"] >= 2
    assert report["output_type"] == "execute_result"
    assert "<table>" in report["data"]["text/html"]
    assert "there/0.txt" in report["data"]["text/html"]


def test_what_fails_is_red(run):
    """And the bar says how many."""
    told = run(
        BEGIN,
        "(folder / 'gone').symlink_to('nowhere')\np.put('folder', 'there', recursive=True, progress=True)",
    )
    drawn = told["cells"][1][0]["data"]["text/html"]

    assert '<span style="color: red">1 failed</span>' in drawn


def test_a_cell_can_await(run):
    """In the kernel's own loop, which goes on running."""
    told = run(BEGIN, "await p.aio.put('folder', 'there', recursive=True)\nlen([name async for name in p.aio.listdir('there')])")

    assert told["cells"][1][-1]["data"]["text/plain"] == "20"
