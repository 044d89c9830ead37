"""The command: what a person sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from persistence_fsspec.cli.exitcodes import explain
from persistence_fsspec.testing.strategies import SOAK

pytestmark = pytest.mark.slow


IN_SMALL = """
from pathlib import Path
from persistence_fsspec.cli import demo
from persistence_fsspec.__main__ import main
whole = demo.source_tree()
demo.source_tree = lambda: whole / "asyncio"
main()
"""


def persist(*args, cwd, program=("-m", "persistence_fsspec"), **environment):
    """Run the command as a person would."""
    command = [sys.executable, *program, *args]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env={**os.environ, **environment}, timeout=300, check=False
    )


def test_the_demo_needs_nothing(tmp_path):
    """No account, no service: thousands of real files go, come back, and are compared."""
    done = persist("demo", "--json", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["files"] > 500
    assert told["digests_compared"] == told["files"]
    assert told["where"].endswith("/.persistence/data/persist-demo")
    stored = [f for _, _, names in os.walk(tmp_path / ".persistence" / "data") for f in names]
    assert len(stored) == told["files"]
    assert not [name for name in stored if name.startswith(".~persist")]


def test_the_demo_prints_its_report(tmp_path):
    """Files, bytes, seconds, digests compared, and where it lies."""
    done = persist("demo", f"{tmp_path.as_uri()}/x", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    for word in ("files", "bytes", "put", "get", "digests compared", "all equal", "where it lies", "verified by"):
        assert word in done.stdout


@pytest.mark.server("s3")
def test_the_demo_on_a_real_s3_server(s3_server, tmp_path):
    """A URL in its place, and the driver's own environment for the rest."""
    server = s3_server.new_bucket("demo")  # many objects in one bucket make everything slow that lists it
    options = server.storage_options
    environment = {
        "FSSPEC_S3_ENDPOINT_URL": options["endpoint_url"],
        "AWS_ACCESS_KEY_ID": options["key"],
        "AWS_SECRET_ACCESS_KEY": options["secret"],
    }
    program = {} if SOAK else {"program": ("-c", IN_SMALL)}
    done = persist("demo", "--json", f"{server.url}/demo", cwd=tmp_path, **program, **environment)

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["verification"] == {"put": "md5", "get": "md5"}
    assert len(server.raw_keys("demo/")) == told["files"] > 20


@pytest.mark.parametrize(
    ("url", "code", "words"), [("nope://x", 2, "no driver is known for nope://"), ("file:///dev/null/x", 1, "/dev/null")]
)
def test_errors_are_one_screen_with_a_code(tmp_path, url, code, words):
    """Operation, URL, cause; no traceback."""
    done = persist("demo", url, cwd=tmp_path)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") < 25


def test_help_prints_the_exit_codes(tmp_path):
    """The one table from error to status."""
    done = persist("--help", cwd=tmp_path, COLUMNS="300")

    assert done.returncode == 0
    assert "Exit codes" in done.stdout
    assert "3 some files did not arrive" in explain()


def test_version(tmp_path):
    """The package's."""
    from persistence_fsspec import __version__

    assert persist("--version", cwd=tmp_path).stdout.strip() == __version__
