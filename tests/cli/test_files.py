"""cp, mv, cat: bytes get where they should, and standard output is for machines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from persistence_fsspec import FSSpecPersistence


@pytest.fixture
def memory():
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def store(tmp_path):
    return (tmp_path / "store").as_uri()


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_tree_goes_to_a_store_and_comes_back(persist, tree, store):
    """Twice gives the same tree."""
    for _ in (1, 2):
        assert persist("cp", "-r", "d", f"{store}/d").code == 0
        assert persist("cp", "-r", f"{store}/d", "back").code == 0

    assert names(tree.parent / "back") == names(tree)
    assert (tree.parent / "back" / "sub" / "c.csv").read_bytes() == b"ccc"


@pytest.mark.parametrize(("target", "lands"), [("new", "new"), ("new/", "new/a.csv"), ("d/sub", "d/sub/a.csv"), ("./x/y", "x/y")])
def test_a_trailing_slash_keeps_its_meaning(persist, tree, target, lands):
    """As everywhere in this library; an existing folder receives the file."""
    assert persist("cp", "d/a.csv", target).code == 0

    assert (tree.parent / lands).read_bytes() == b"aa"


def test_plain_paths_are_local(persist, tree):
    """A relative name is never a key of an embedded store."""
    persist("cp", "d/a.csv", "copy.csv")

    assert (tree.parent / "copy.csv").is_file()
    assert not (tree.parent / ".persistence").exists()


def test_patterns_choose(persist, tree):
    """Both may be repeated."""
    persist("cp", "-r", "d", "e", "--include", "*.csv", "--include", "*.txt", "--exclude", "sub/", "--exclude", "b*")

    assert names(tree.parent / "e") == ["a.csv"]


def test_nothing_is_replaced_unless_it_may(persist, tree):
    """The exit code of a tree that arrived in part, and of one file."""
    (tree.parent / "e").mkdir()
    (tree.parent / "e" / "a.csv").write_bytes(b"kept")
    tree_said, file_said = persist("cp", "-r", "d", "e", "--no-overwrite"), persist("cp", "d/a.csv", "e/a.csv", "--no-overwrite")

    assert (tree_said.code, file_said.code) == (3, 1)
    assert (tree.parent / "e" / "a.csv").read_bytes() == b"kept"
    assert names(tree.parent / "e") == names(tree)
    assert "1 of 3 files failed" in tree_said.err
    assert "The rest has arrived." in tree_said.err
    assert "Without --no-overwrite" in tree_said.err


def test_a_folder_needs_r(persist, tree):
    """And the error says so in the command's own words."""
    said = persist("cp", "d", "e")

    assert said.code == 1
    assert "Add -r" in said.err
    assert "recursive=True" not in said.err


def test_moving_deletes_what_was_moved_and_nothing_else(persist, tree):
    """With patterns, what they leave out stays."""
    assert persist("mv", "-r", "d", "e", "--include", "*.csv").code == 0

    assert names(tree) == ["b.txt"]
    assert names(tree.parent / "e") == ["a.csv", "sub/c.csv"]


def test_standard_input_is_stored_whole(persist, store):
    """Of any bytes."""
    data = bytes(range(256)) * 10
    said = persist("cp", "-", f"{store}/x", stdin=data)

    assert said.code == 0, said.err
    assert FSSpecPersistence(store).read_bytes("x") == data
    assert persist("cp", "-", f"{store}/x", "--no-overwrite", stdin=b"other").code == 1
    assert FSSpecPersistence(store).read_bytes("x") == data


def test_standard_output_gets_the_bytes_and_nothing_else(persist, memory):
    """From cat, and from cp to a dash; several objects one after the other."""
    store = FSSpecPersistence(memory)
    store.write_bytes("x", bytes(range(256)))
    store.write_bytes("y", b"\r\n")

    assert persist("cat", f"{memory}/x", f"{memory}/y").out_bytes == bytes(range(256)) + b"\r\n"
    assert persist("cp", f"{memory}/x", "-").out_bytes == bytes(range(256))


@pytest.mark.parametrize("args", [("-", "-"), ("-r", "-", "x"), ("x", "-", "--include", "*")])
def test_a_stream_is_one_stream(persist, args):
    """What makes no sense with it is refused."""
    assert persist("cp", *args).code == 2


def test_a_closed_pipe_ends_cat_quietly(tmp_path):
    """As it ends cat; nothing is printed about it."""
    (tmp_path / "large").write_bytes(b"x" * 50_000_000)
    command = [sys.executable, "-m", "persistence_fsspec", "cat", str(tmp_path / "large")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as running:
        assert running.stdout.read(10) == b"x" * 10
        running.stdout.close()
        err = running.stderr.read()
        code = running.wait(60)

    assert (code, err) == (141, b"")


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="only Linux tells it so")
def test_cat_needs_little_memory(tmp_path):
    """Whatever the size of the object."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(600_000_000)
    # Not ru_maxrss: after exec it still knows how large the process was that started this one.
    measure = "import sys; from persistence_fsspec.cli.app import app\ntry: app(['cat', sys.argv[1]])\n"
    measure += "finally: sys.stderr.write(open('/proc/self/status').read())"
    command = [sys.executable, "-c", measure, str(tmp_path / "large")]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True, timeout=120)

    most = re.search(r"VmHWM:\s*(\d+) kB", done.stderr)
    assert int(most[1]) * 1024 < 300_000_000


@pytest.mark.slow
def test_away_from_a_terminal_it_is_quiet(process, tmp_path):
    """One summary line on standard error, no progress, no colours."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"a")
    said = process("cp", "-r", "d", "e")

    assert said.out == ""
    assert said.err.startswith("copied 1 file, 1 B in ")
    assert " s to e, verified by " in said.err
    assert said.err.count("\n") == 1
    assert "\x1b" not in said.err + process("cp", "nope", "x").err + process("ls", "d").out


@pytest.mark.slow
def test_names_that_are_no_unicode_are_printed(process, tmp_path):
    """As the bytes they are."""
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"1")

    assert b"caf\xe9" in process("ls", ".").out_bytes
    assert process("ls", "--json").json["entries"][0]["name"] == os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("verb", ["cp", "mv"])
def test_the_summary_names_the_target(persist, tree, store, verb):
    """As a URL without a secret, or as the path that was typed."""
    assert f" to {store}/t" in persist("cp", "-r", "d", f"{store}/t").err
    assert " to e" in persist(verb, "-r", "d", "e").err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("d", "e", "--include", "*.none"), "no file in d is left by --include '*.none'"),
        (("empty", "e"), "there are no files in empty"),
    ],
)
def test_copying_nothing_says_why(persist, tree, args, words):
    """It is no error; as JSON, too."""
    (tree.parent / "empty").mkdir()
    said, told = persist("cp", "-r", *args), persist("cp", "-r", *args, "--json")

    assert (said.code, told.code) == (0, 0)
    assert said.err == f"nothing was copied: {words}\n"
    assert words in told.err
    assert told.json["copied"] == 0


@pytest.mark.parametrize("args", [("-r", "d", "d"), ("d/a.csv", "d/a.csv")])
def test_moving_onto_itself_is_nothing_to_do(persist, tree, args):
    """And no number of files."""
    said = persist("mv", *args)

    assert (said.code, said.err) == (0, "nothing to do: source and target are the same\n")
    assert names(tree) == ["a.csv", "b.txt", "sub/c.csv"]


@pytest.mark.parametrize("target", ["memory://lost/x", "dir://x::memory://lost"])
@pytest.mark.parametrize("args", [("mv", "d/a.csv"), ("mv", "-r", "d"), ("cp", "-r", "d"), ("cp", "-")])
def test_nothing_goes_into_memory_that_ends_with_the_command(persist, tree, args, target):
    """It is refused before anything is touched, with a way out."""
    said = persist(*args, target, stdin=b"1")

    assert said.code == 2
    assert "Name a file or another store" in said.err
    assert names(tree) == ["a.csv", "b.txt", "sub/c.csv"]
    assert list(FSSpecPersistence("memory://lost").find()) == []


def test_memory_may_be_copied_inside_of_memory(persist, memory):
    """Nothing is lost that would not be lost anyway."""
    FSSpecPersistence(memory).write_bytes("x", b"1")

    assert persist("cp", f"{memory}/x", f"{memory}/y").code == 0


@pytest.mark.parametrize("source", [".", "..", "~", "/", "dir://{home}::file:///", "dir::file://{home}"])
def test_moving_takes_no_root_and_no_home(persist, tree, source):
    """As deleting does not; a chain that ends here is refused as such."""
    (Path.home() / "precious").write_bytes(b"1")
    said = persist("mv", "-r", source.format(home=Path.home()), tree.parent.parent / "elsewhere")

    assert said.code == 2
    assert "never deleted" in said.err or "Name the local path itself" in said.err
    assert (Path.home() / "precious").exists()
    assert not (tree.parent.parent / "elsewhere").exists()
