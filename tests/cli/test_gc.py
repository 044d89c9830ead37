"""gc: what it says, and how it ends."""

from __future__ import annotations

import os
import time

import pytest

from persistence_fsspec.stores.partial import partial_key


@pytest.fixture
def left(tree):
    """One leftover that is old, and one that is young."""
    old, young = tree / partial_key("a.csv"), tree / "sub" / partial_key("c.csv")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 7200,) * 2)
    return old, young


def test_it_lists_what_it_removed_and_what_it_kept(persist, left):
    """On standard output; the sum goes to standard error."""
    old, young = left
    said = persist("gc", "d")

    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()] == ["removed", "kept"]
    assert old.name in said.out.splitlines()[0]
    assert "younger than 1h" in said.out.splitlines()[1]
    assert said.err == "removed 1 leftover, 4 B, kept 1\n"
    assert (old.exists(), young.exists()) == (False, True)


def test_a_dry_run_says_what_would_go(persist, left):
    """And nothing goes."""
    said = persist("gc", "--dry-run", "--older-than", "0s", "d")

    assert said.err == "would remove 2 leftovers, 8 B\n"
    assert all(path.exists() for path in left)


def test_nothing_to_do_is_said(persist, tree):
    """Also of a folder that is not there."""
    assert persist("gc", "d").err == "nothing is left over\n"
    assert persist("gc", "nowhere").code == 0


def test_it_answers_in_json(persist, left):
    """One object."""
    said = persist("gc", "d", "--json")

    assert said.json["schema"] == 1
    assert [one["kind"] for one in said.json["removed"]] == ["partial"]
    assert len(said.json["kept"]) == 1
    assert said.err == ""


@pytest.mark.parametrize("args", [("--foreign",), ("--older-than", "soon")])
def test_wrong_use_is_said_in_the_words_of_the_command(persist, tree, args):
    """And nothing is touched."""
    said = persist("gc", "d", *args)

    assert said.code == 2
    assert "--older-than" in said.err or "1d" in said.err
    assert "older_than" not in said.err


@pytest.mark.server("s3")
def test_uploads_of_others_are_listed_and_removed_on_demand(persist, s3_server, monkeypatch):
    """They carry no mark, so that nobody knows whose they are."""
    import s3fs

    server = s3_server.new_bucket("gc-by-command")
    fs = s3fs.S3FileSystem(**server.storage_options, skip_instance_cache=True)
    fs.call_s3("create_multipart_upload", Bucket="gc-by-command", Key="a/b")
    options = [f"-oendpoint_url={server.endpoint_url}", "-okey@env=GC_KEY", "-osecret@env=GC_KEY"]
    monkeypatch.setenv("GC_KEY", "any")
    said = persist("gc", "s3://gc-by-command", *options)

    assert said.code == 0
    assert "upload of s3://gc-by-command/a/b" in said.out
    assert "not ours; --foreign --older-than 1d removes it" in said.out
    kept = persist("gc", "s3://gc-by-command", "--foreign", "--older-than", "9999w", *options)  # moto's are of 2010
    assert "younger than 9999w" in kept.out
    removed = persist("gc", "s3://gc-by-command", "--foreign", "--older-than", "1d", *options)
    assert removed.out.startswith("removed")
    assert persist("gc", "s3://gc-by-command", *options).err == "nothing is left over\n"
