"""What the README shows is true."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from persistence_fsspec import Policy
from persistence_fsspec.diagnosis.configuration import validate
from persistence_fsspec.stores.opening import _EXTRAS
from persistence_fsspec.stores.quirks import DRIVERS, traits

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BEGIN, END = "<!-- capabilities: made by tests/unit/test_readme.py -->\n", "<!-- /capabilities -->"
_SHOWN = [
    "local", "memory", "s3fs", "gcsfs", "adlfs", "ftp", "paramiko", "sshfs", "webdav", "http", "archive",
    "smb", "hdfs-native", "webhdfs", "pyarrow", "lakefs",
]  # fmt: skip
_GOES_ON = {"any": "by its parts", "ordered": "by appending", "none": "from its beginning"}
_WORDS = {"version": "its version", "weak": "size and time", "none": "its size"}


def capabilities_table() -> str:
    """The matrix, from the same rows that the code acts on."""
    from persistence_fsspec.stores.local import _CAPABILITIES

    rows = []
    for driver in _SHOWN:
        can = _CAPABILITIES if driver == "local" else traits(driver)[0]
        create = "atomic" if can.create else "refused"
        cells = [can.publish, create, can.append, _GOES_ON[can.parts], _WORDS[can.pin], can.digest or "—"]
        rows.append(
            f"| {driver} | " + " | ".join("read-only" if not can.write and i < 4 else c for i, c in enumerate(cells)) + " |\n"
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


@pytest.mark.server("s3")
def test_the_shell_block_brings_a_tree_to_the_bucket_and_back(s3_server, tmp_path):
    """As it stands, but for the bucket's name, and with the endpoint in the environment."""
    block = next(block for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "persist cp" in block)
    lines = [line for line in block.splitlines() if line.startswith("persist ")]
    (tmp_path / "results" / "deep").mkdir(parents=True)
    (tmp_path / "results" / "deep" / "a b.txt").write_text("a")
    environment = {
        **os.environ,
        "AWS_ENDPOINT_URL": s3_server.storage_options["endpoint_url"],
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
    }
    for line in lines:
        words = shlex.split(line.replace("s3://my-bucket", s3_server.url), comments=True)[1:]
        command = [sys.executable, "-m", "persistence_fsspec", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"

    assert len(lines) == 4
    assert (tmp_path / "back" / "deep" / "a b.txt").read_text() == "a"


def test_the_configuration_file_is_right(tmp_path):
    """Every option in it is one that its driver knows."""
    file = tmp_path / "persistence.toml"
    file.write_text(re.search(r"```toml\n(.*?)```", README, re.DOTALL)[1], encoding="utf-8")

    assert validate(file) == []


def test_the_policy_table_names_every_field_with_its_default():
    """In the order of the table's own columns."""
    table = README.partition("| field | default | |")[2].partition("```")[0]
    rows = [row.split("|")[1:3] for row in table.splitlines() if row.startswith("| `")]
    said = {}
    for names, defaults in rows:
        said |= dict(zip(re.findall(r"`(\w+)`", names), defaults.split(","), strict=True))
    words = {False: "no", None: "none", 8 * 2**20: "8 MiB", 256 * 2**20: "256 MiB", 16 * 1024: "16 KiB/s"}
    defaults = {name: p.default for name, p in inspect.signature(Policy).parameters.items()} | {"max_memory": 256 * 2**20}

    assert {name: text.strip() for name, text in said.items()} == {
        name: words[value] if value in words else f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in defaults.items()
    }


def test_every_extra_that_is_advised_exists():
    """What a missing driver tells people to install can be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert {extra for extra, _ in _EXTRAS.values()} <= set(project["optional-dependencies"])


def test_the_commands_are_in_the_makefile():
    """Every make target that the documents name exists."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))

    assert named - {"what"} <= targets


if __name__ == "__main__":
    head, _, rest = README.partition(BEGIN)
    (ROOT / "README.md").write_text(head + BEGIN + capabilities_table() + END + rest.partition(END)[2], encoding="utf-8")
