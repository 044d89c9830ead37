"""ls and stat; and JSON as the equal of what people see."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import uuid

import pytest

from persistence_fsspec import FSSpecPersistence


def test_names_can_be_handed_back(persist, tree):
    """Paths for a path, URLs for a URL; folders end in a slash."""
    url = f"memory://{uuid.uuid4().hex}"
    FSSpecPersistence(url).put(tree, "", recursive=True)

    assert sorted(persist("ls", "d").out.split()) == ["d/a.csv", "d/b.txt", "d/sub/"]
    assert persist("ls").out.split() == ["d/"]
    assert sorted(persist("ls", "-r", url).out.split()) == [f"{url}/a.csv", f"{url}/b.txt", f"{url}/sub/c.csv"]
    for name in persist("ls", "-r", "d").out.split():
        assert persist("stat", name).code == 0
    assert persist("ls", "d/a.csv").out == "d/a.csv\n"


def test_long_means_size_and_time(persist, tree):
    """In bytes, and in UTC."""
    line = persist("ls", "-l", "d/sub").out.split()

    assert line[0] == "3"
    assert line[1].endswith("Z")
    assert line[2] == "d/sub/c.csv"


def test_a_missing_folder_is_not_an_empty_one(persist):
    """Its exit code, and with --json no list."""
    said = persist("ls", "nope", "--json")

    assert (said.code, said.out) == (4, "")
    assert said.error["class"] == "ObjectNotFoundError"


def test_a_listing_is_one_object_with_one_entry_per_line(persist, tree):
    """So that it can be read while it grows."""
    said = persist("ls", "-r", "d", "--json")

    assert said.json["complete"] is True
    assert said.json["count"] == len(said.json["entries"]) == 3
    lines = [line.lstrip(",").strip() for line in said.out.splitlines()[1:-1]]
    assert {json.loads(line)["name"] for line in lines} == {"d/a.csv", "d/b.txt", "d/sub/c.csv"}
    assert persist("ls", "-r", f"memory://{uuid.uuid4().hex}", "--json").code == 4


def test_a_listing_that_breaks_off_says_so(persist, tree, monkeypatch):
    """What was found is printed, the object is whole, and its field "complete" is false."""
    from persistence_fsspec.errors import ConnectionFailedError
    from persistence_fsspec.stores.local import LocalStore

    real = LocalStore.children

    def breaking(self, key):
        yield next(iter(real(self, key)))
        raise ConnectionFailedError("gone", operation="list")

    monkeypatch.setattr(LocalStore, "children", breaking)
    said = persist("ls", "d", "--json")

    assert said.code == 1
    assert (said.json["complete"], said.json["count"]) == (False, 1)
    assert said.error["retryable"] is True


@pytest.mark.parametrize(
    "args",
    [
        ("cp", "d/a.csv", "x"), ("cp", "-r", "d", "e"), ("cp", "-", "x"), ("mv", "d/a.csv", "x"), ("rm", "d/a.csv"), ("ls",), ("ls", "-r", "d"),
        ("stat", "d/a.csv"), ("stat", "d"), ("explain", "d"), ("doctor", "d"), ("doctor", "memory://x", "--write"), ("config", "init"),
        ("config", "validate"), ("protocols",),
    ],
    ids=" ".join,
)  # fmt: skip
def test_every_command_speaks_json(persist, tree, args):
    """One object with a schema on standard output, nothing else there, and nothing on standard error."""
    said = persist(*args, "--json", stdin=b"x")

    assert said.code == 0, said.err
    assert said.json["schema"] == 1
    assert said.err == ""
    assert persist("--json", "ls").json["schema"] == 1


@pytest.mark.parametrize(
    ("args", "code", "name"),
    [
        (("cp", "nope", "x"), 4, "ObjectNotFoundError"), (("cp", "d", "x"), 1, "IsAFolderError"), (("rm", "-r", "d"), 2, "InvalidOptionError"),
        (("cat", "nope"), 4, "ObjectNotFoundError"), (("ls", "nope://x"), 2, "UnknownProtocolError"), (("stat", "dropbox://x"), 7, "MissingDriverError"),
        (("cp",), 2, "UsageError"), (("bogus",), 2, "UsageError"), (("ls", "--bogus"), 2, "UsageError"), (("ls", "-o", "x"), 2, "InvalidOptionError"),
        (("ls", "s3://b", "-o", "endpont_url=x"), 2, "InvalidOptionError"), (("ls", "-p", "attempts=many"), 2, "InvalidOptionError"),
        (("ls", "--profile", "none"), 2, "InvalidOptionError"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)  # fmt: skip
def test_every_error_speaks_json(persist, tree, args, code, name):
    """One line on standard error with all of its facts; the exit code is the same with and without."""
    said = persist(*args, "--json")

    assert said.code == code
    assert said.out == ""
    assert said.error["class"] == name
    assert set(said.error) >= {"class", "operation", "url", "message", "hint", "retryable", "exit_code"}
    assert said.error["exit_code"] == code
    assert persist(*args).code == code


def test_a_report_is_printed_also_when_it_failed_in_part(persist, tree):
    """Standard output has the files, standard error the error."""
    (tree / "gone").symlink_to("nowhere")
    said = persist("cp", "-r", "d", "e", "--json")

    assert said.code == 3
    assert (said.json["copied"], said.json["failed"]) == (3, 1)
    assert said.error["class"] == "TransferError"


def test_stat_tells_what_the_store_knows(persist):
    """For people and for machines alike."""
    url = f"memory://{uuid.uuid4().hex}"
    FSSpecPersistence(url).write_bytes("x", b"hello")
    told = persist("stat", f"{url}/x", "--json").json

    assert (told["url"], told["size"], told["kind"]) == (f"{url}/x", 5, "file")
    for part in ("url", "kind", "size", "modified"):
        assert part in persist("stat", f"{url}/x").out


def test_a_terminal_sees_no_control_characters(tmp_path):
    """A name cannot move the cursor; elsewhere it stays as it is."""
    (tmp_path / "evil\x1b[2Jname").write_bytes(b"")
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "persistence_fsspec", "ls", str(tmp_path)]
    subprocess.run(command, stdout=follower, stderr=subprocess.PIPE, check=True, timeout=60)
    os.close(follower)
    shown = os.read(leader, 10_000)
    os.close(leader)

    assert b"evil\\x1b[2Jname" in shown
    assert b"\x1b" not in shown
