"""Each example runs, and prints what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("quickstart.py", ["2 copied", "run-1/plots/loss.svg", '{"loss": 0.25}', "as expected: not found"]),
        (
            "patient_and_portable.py",
            ["secret in the pickle: False", "[retry]", "given up: ConnectionFailedError", "did you mean 'username'"],
        ),
        (
            "xt_store.py",
            ["runs: ['runs/run1/', 'runs/run2/']", "as expected: ObjectExistsError", "came back: True (1048576, 1048576)"],
        ),
        (
            "functionfuse_workflow.py",
            ["calculated: load, mean", "skipped: load, mean", "['load', 'mean'] 4.5", "skipped: load\n"],
        ),
        ("statisfactory_pipeline.py", ["statisfactory is not installed", "the model: {'mean': 3.0}", "the line: module = "]),
        ("wrap_a_filesystem.py", ["weights at memory://private/model.bin", "publish: atomic"]),
    ],
)
def test_example_runs(script, words, tmp_path):
    """In an empty folder, without arguments."""
    done = subprocess.run([sys.executable, EXAMPLES / script], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert all(word in done.stdout for word in words), done.stdout


def test_every_example_is_run():
    """None is forgotten here."""
    named = {
        *("functionfuse_workflow.py", "patient_and_portable.py", "quickstart.py"),
        *("statisfactory_pipeline.py", "wrap_a_filesystem.py", "xt_store.py"),
    }
    in_environments_of_their_own = {"flyte_workflow.py", "flyte_custom_protocol.py"}  # tests/faces

    assert {path.name for path in EXAMPLES.glob("*.py")} == named | in_environments_of_their_own
