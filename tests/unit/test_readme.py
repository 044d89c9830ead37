"""What the README shows is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from persistence_fsspec.stores.quirks import DRIVERS, traits

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BEGIN, END = "<!-- capabilities: made by tests/unit/test_readme.py -->\n", "<!-- /capabilities -->"
_SHOWN = [
    "local", "memory", "s3fs", "gcsfs", "adlfs", "ftp", "paramiko", "sshfs", "webdav", "http", "archive",
    "smb", "hdfs-native", "webhdfs", "pyarrow", "lakefs",
]  # fmt: skip
_WORDS = {"version": "its version", "weak": "size and time", "none": "its size"}


def capabilities_table() -> str:
    """The matrix, from the same rows that the code acts on."""
    from persistence_fsspec.stores.local import _CAPABILITIES

    rows = []
    for driver in _SHOWN:
        can = _CAPABILITIES if driver == "local" else traits(driver)[0]
        create = "atomic" if can.create else "refused"
        cells = [can.publish, create, can.append, _WORDS[can.pin], can.digest or "—"]
        rows.append(
            f"| {driver} | " + " | ".join("read-only" if not can.write and i < 3 else c for i, c in enumerate(cells)) + " |\n"
        )
    return "".join(rows)


def test_the_matrix_is_what_the_code_does():
    """It is made from the quirks; run this file as a script to write it anew."""
    assert set(_SHOWN) | {"reference", "object-store"} == set(DRIVERS.values())
    assert README.partition(BEGIN)[2].partition(END)[0] == capabilities_table()


@pytest.mark.server("s3")
def test_the_python_blocks_run(s3_server, tmp_path, monkeypatch):
    """Against a real S3 server, with the bucket's name and the environment filled in, and nothing else changed."""
    options = s3_server.storage_options
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a.txt").write_text("a")
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    script = tmp_path / "blocks.py"
    script.write_text("".join(blocks).replace("s3://my-bucket", f"{s3_server.url}/readme"), encoding="utf-8")
    environment = {
        **os.environ,
        "FSSPEC_S3_ENDPOINT_URL": options["endpoint_url"],
        "AWS_ACCESS_KEY_ID": options["key"],
        "AWS_SECRET_ACCESS_KEY": options["secret"],
    }
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "back" / "a.txt").read_text() == "a"
    assert s3_server.raw_read("readme/results/run-1/DONE") == b"ok"
    assert s3_server.raw_read("readme/t.parquet")


def test_the_commands_are_in_the_makefile():
    """Every make target that the documents name exists."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))

    assert named - {"what"} <= targets


if __name__ == "__main__":
    head, _, rest = README.partition(BEGIN)
    (ROOT / "README.md").write_text(head + BEGIN + capabilities_table() + END + rest.partition(END)[2], encoding="utf-8")
