"""sync, plans, links, attributes: what is asked for is done, and nothing else; what was cut off goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from persistence_fsspec.cli.words import in_commands
from persistence_fsspec.transfer.journal import Identity, Journal
from persistence_fsspec.transfer.journals import entry


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def other(persist, tree):
    """A copy of the tree, and one file more."""
    assert persist("cp", "-r", "d", "e").code == 0
    (tree.parent / "e" / "extra").write_bytes(b"extra")
    return tree.parent / "e"


# --- sync ---


def test_sync_copies_what_is_new_or_different(persist, tree, other):
    """And deletes nothing unless it is told to."""
    (tree / "new").write_bytes(b"new")
    (tree / "a.csv").write_bytes(b"longer than before")
    said = persist("sync", "d", "e")

    assert said.code == 0, said.err
    assert said.err.startswith("copied 2 files, 21 B in ")
    assert said.err.rstrip().endswith(", 2 files already there")
    assert names(other) == ["a.csv", "b.txt", "extra", "new", "sub/c.csv"]
    assert (other / "a.csv").read_bytes() == b"longer than before"


def test_sync_of_the_same_does_nothing(persist, tree, other):
    """And says so."""
    assert persist("sync", "d", "e").err == "nothing to do: 3 files already there\n"


def test_sync_deletes_when_told_to(persist, tree, other):
    """What the target has and the source has not."""
    said = persist("sync", "d", "e", "--delete", "--json")

    assert said.code == 0, said.err
    assert names(other) == names(tree)
    assert [file["status"] for file in said.json["files"]].count("deleted") == 1


def test_sync_tells_what_it_deleted(persist, tree, other):
    """In its summary."""
    assert persist("sync", "d", "e", "--delete").err == "copied nothing to e, 3 files already there, deleted 1 file\n"


def test_sync_deletes_no_more_than_it_may(persist, tree, other):
    """Then nothing; the way out is told in options."""
    said = persist("sync", "d", "e", "--delete", "--max-delete", "0")

    assert said.code == 3
    assert names(other) == ["a.csv", "b.txt", "extra", "sub/c.csv"]
    assert "1 file is not at the source, and --max-delete is 0: nothing was deleted" in said.err.splitlines()[0]
    assert "files failed" not in said.err
    assert said.err.splitlines()[-1] == "  --dry-run shows them; a larger --max-delete deletes them."


@pytest.mark.parametrize(("target", "words"), [("~", "home folder"), ("/", "home folder"), ("dir::file://{home}", "chain")])
def test_sync_deletes_nothing_at_home(persist, tree, target, words):
    """What only the home folder has was not meant."""
    (Path.home() / "precious").write_bytes(b"1")
    said = persist("sync", "d", target.format(home=Path.home()), "--delete", "--max-delete", "100000")

    assert said.code == 2
    assert words in said.err
    assert (Path.home() / "precious").exists()
    assert names(Path.home()) == ["precious"]


def test_sync_is_for_trees(persist, tree):
    """One file is copied by cp; memory ends with the command."""
    assert persist("sync", "d/a.csv", "e").code != 0
    assert persist("sync", "d", "memory://x").code == 2


# --- plans ---


def test_a_plan_is_a_line_for_each_file(persist, tree, other):
    """What is done, how, the size, the name, the reason; then the sum; and nothing is changed."""
    (tree / "new").write_bytes(b"123")
    said = persist("sync", "d", "e", "--delete", "--dry-run")
    lines = sorted(" ".join(line.split()) for line in said.out.splitlines())

    assert said.code == 0
    assert lines[0] == "copy local 3 B new"
    assert lines[1] == "delete 5 B extra (not at the source)"
    assert [line.split()[0] for line in lines[2:]] == ["skip"] * 3
    assert "skip 2 B a.csv (not newer, and of the same size)" in lines
    assert said.err == "would copy 1 file (3 B), skip 3, delete 1 file; nothing was changed (--dry-run)\n"
    assert names(other) == ["a.csv", "b.txt", "extra", "sub/c.csv"]


@pytest.mark.parametrize("verb", ["cp", "mv"])
def test_copies_and_moves_are_planned_too(persist, tree, verb):
    """Trees and single files."""
    many, one = persist(verb, "-r", "d", "e", "--dry-run"), persist(verb, "d/a.csv", "f", "--dry-run")

    assert (many.code, one.code) == (0, 0), many.err + one.err
    assert len(many.out.splitlines()) == 3
    assert one.out.split()[-1] == "a.csv"
    assert names(tree.parent) == ["d/a.csv", "d/b.txt", "d/sub/c.csv"]
    assert f"would {'move' if verb == 'mv' else 'copy'} 3 files (6 B)" in many.err


def test_a_plan_as_json_is_a_list(persist, tree, other):
    """With its head, its sum, and whether it is complete."""
    said = persist("sync", "d", "e", "--delete", "--dry-run", "--json").json

    assert (said["schema"], said["operation"], said["dry_run"], said["complete"]) == (1, "sync", True, True)
    assert said["count"] == len(said["steps"]) == 4
    assert said["summary"] == {"copy": 0, "skip": 3, "make_folder": 0, "delete": 1, "failed": 0, "bytes": 0}
    assert {step["action"] for step in said["steps"]} == {"skip", "delete"}


def test_a_plan_knows_what_will_fail(persist, tree):
    """With the exit code that the transfer would have."""
    (tree / "gone").symlink_to("nowhere")
    said = persist("cp", "-r", "d", "e", "--links", "error", "--dry-run")

    assert said.code == 3
    assert [line.split()[0] for line in said.out.splitlines()].count("fail") == 1
    assert "fail 1 file" in said.err


def test_a_plan_of_nothing_says_why(persist, tree):
    """It is no error; what is not there is one. An empty folder is something."""
    (tree.parent / "empty").mkdir()
    nothing, missing = (
        persist("cp", "-r", "d", "e", "--include", "*.x", "--dry-run"),
        persist("cp", "-r", "none", "e", "--dry-run"),
    )
    folder = persist("cp", "-r", "empty", "e", "--dry-run")

    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "nothing would be done: there are no files in d\n"
    assert (missing.code, missing.out) == (4, "")
    assert folder.err == "would copy 0 files (0 B), make 1 empty folder; nothing was changed (--dry-run)\n"


# --- links, attributes, comparing ---


def test_links_are_followed_skipped_or_refused(persist, tree):
    """As asked for; what was left out is told."""
    (tree / "link").symlink_to("a.csv")
    followed = persist("cp", "-r", "d", "followed")
    skipped = persist("cp", "-r", "d", "skipped", "--links", "skip")
    refused = persist("cp", "-r", "d", "refused", "--links", "error")

    assert (followed.code, skipped.code, refused.code) == (0, 0, 3)
    assert (tree.parent / "followed" / "link").read_bytes() == b"aa"
    assert "link" not in names(tree.parent / "skipped")
    assert ", 1 symbolic link left out" in skipped.err
    assert "--links error" in refused.err
    assert len(names(tree.parent / "refused")) == 3


def test_mode_and_time_are_kept(persist, tree):
    """On request."""
    (tree / "a.csv").chmod(0o640)
    os.utime(tree / "a.csv", (1_000_000_000, 1_000_000_000))
    assert persist("cp", "-r", "d", "e", "--preserve", "mtime,mode").code == 0
    found = (tree.parent / "e" / "a.csv").stat()

    assert (found.st_mode & 0o777, found.st_mtime) == (0o640, 1_000_000_000)
    assert persist("cp", "-r", "d", "f", "--preserve", "owner").code == 2


@pytest.mark.parametrize(("compare", "copied"), [("never", 3), ("digest", 0), ("mtime", 0)])
def test_what_is_there_is_skipped_or_not(persist, tree, other, compare, copied):
    """By proof, by size and time, or never."""
    assert persist("cp", "-r", "d", "e", "--compare", compare, "--json").json["copied"] == copied


@pytest.mark.parametrize(
    "args", [("cp", "--compare", "auto"), ("mv", "--compare", "mtime"), ("sync", "--compare", "never"), ("cp", "--links", "x")]
)
def test_what_does_not_exist_is_refused(persist, args):
    """With what there is."""
    said = persist(args[0], "d", "e", *args[1:])

    assert said.code == 2
    assert args[2] in said.err


@pytest.mark.parametrize("extra", [("--dry-run",), ("--preserve", "mode")])
def test_a_stream_has_no_plan_and_no_mode(persist, extra):
    """It is refused before anything is read."""
    assert persist("cp", "-", "x", *extra, stdin=b"1").code == 2


def test_the_librarys_words_become_options():
    """In every text that reaches the screen."""
    hint = "dry_run=True shows them; a larger max_delete, or None, deletes them."

    assert in_commands(hint) == "--dry-run shows them; a larger --max-delete deletes them."
    assert in_commands("is a symbolic link, links='error'") == "is a symbolic link, --links error"


# --- interrupted ---


@pytest.mark.slow
def test_ctrl_c_says_that_the_same_command_goes_on(tmp_path):
    """It does: nothing stands half-written, and what has arrived is not copied again."""
    (tmp_path / "d").mkdir()
    for i in range(3000):
        (tmp_path / "d" / f"{i:04}").write_bytes(b"x" * 2000)
    command = [sys.executable, "-m", "persistence_fsspec", "cp", "-r", "d", "e", "-p", "concurrency=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as running:
        while not (tmp_path / "e").exists() or len(os.listdir(tmp_path / "e")) < 20:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.001)
        running.send_signal(signal.SIGINT)
        out, err = running.stdout.read(), running.stderr.read().decode()
        code = running.wait(60)
    there = names(tmp_path / "e")

    assert (code, out) == (130, b""), err
    assert "The same command goes on where it was" in err
    assert err.count("\n") == 1
    assert 19 <= len(there) < 3000  # of the twenty that were seen, one may have had its partial name
    assert all((tmp_path / "e" / name).stat().st_size == 2000 for name in there)
    again = subprocess.run([*command, "--json"], capture_output=True, cwd=tmp_path, check=True)
    assert f'"skipped": {len(there)},'.encode() in again.stdout
    assert len(names(tmp_path / "e")) == 3000


# --- resume ---


@pytest.fixture
def failed(persist, tree):
    """The id of a transfer, one of whose files failed."""
    (tree / "gone").symlink_to("nowhere")
    assert persist("cp", "-r", "d", "e").code == 3
    listed = persist("resume", "--json").json["transfers"]
    assert len(listed) == 1
    return listed[0]["id"]


def test_transfers_that_did_not_end_well_are_listed(persist, tree, failed):
    """With what is needed to know them again."""
    said = persist("resume")
    header, line = said.out.splitlines()

    assert header.split() == ["id", "operation", "source", "target", "state", "begun", "files", "done"]
    assert line.split()[:5] == [failed, "copy", tree.as_uri(), (tree.parent / "e").as_uri(), "failed"]
    assert line.split()[-1] == "3"
    found = persist("resume", "--json").json
    assert (found["count"], found["complete"]) == (1, True)
    assert found["transfers"][0]["files_done"] == 3


def test_a_transfer_goes_on(persist, tree, failed):
    """By its id, or the beginning of it; only what is missing is copied; then it is not listed any more."""
    (tree / "nowhere").write_bytes(b"found")
    said = persist("resume", failed[:6])

    assert said.code == 0, said.err
    assert said.err.startswith("copied 2 files, 10 B in ")
    assert ", 3 files already there" in said.err
    assert (tree.parent / "e" / "gone").read_bytes() == b"found"
    assert persist("resume").err == "nothing to resume: every transfer that this machine remembers ended well\n"


def test_a_transfer_that_fails_again_fails_as_before(persist, tree, failed):
    """With the same screen and the same exit code; JSON, too."""
    said, told = persist("resume", failed), persist("resume", failed, "--json")

    assert (said.code, told.code) == (3, 3)
    assert "gone: not found" in said.err
    assert told.json["failed"] == 1


def test_a_transfer_can_be_forgotten(persist, tree, failed):
    """Then nobody knows it; its files stay where they are."""
    assert persist("resume", "--forget", failed).err == f"forgotten: {failed}\n"
    assert persist("resume", "--json").json["transfers"] == []
    assert persist("resume", failed).code == 4
    assert "persist resume" in persist("resume", "--forget", failed).err
    assert len(names(tree.parent / "e")) == 3


def test_a_transfer_that_runs_is_not_forgotten(persist, tree, failed):
    """It would lose its journal in the middle of its work."""
    found = entry(failed)
    running = Journal.open(Identity(operation=found.operation, source=found.source, target=found.target, meaning=found.meaning))
    try:
        running.set_state("running")
        assert running.id == failed
        assert "running" in persist("resume").out
        assert persist("resume", "--forget", failed).code == 1
        assert persist("resume", failed).code == 1
    finally:
        running.close()
    assert persist("resume", "--json").json["count"] == 1


def test_a_move_from_home_is_refused_here_too(persist):
    """What the command refuses to delete is not deleted by resuming it."""
    (Path.home() / "precious").write_bytes(b"1")
    meaning = {"recursive": True}
    began = Journal.open(Identity(operation="move", source=Path.home().as_uri(), target="file:///elsewhere", meaning=meaning))
    began.set_state("failed")
    began.close()

    said = persist("resume", began.id)
    assert (said.code, "never deleted" in said.err) == (2, True)
    assert (Path.home() / "precious").exists()


def test_one_thing_at_a_time(persist):
    """--forget stands alone."""
    assert persist("resume", "a", "--forget", "b").code == 2


@pytest.mark.slow
def test_after_ctrl_c_a_transfer_can_be_resumed_by_its_id(tmp_path):
    """The id stands in the message."""
    (tmp_path / "d").mkdir()
    for i in range(3000):
        (tmp_path / "d" / f"{i:04}").write_bytes(b"x" * 2000)
    environment = {**os.environ, "PERSISTENCE_FSSPEC_STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-m", "persistence_fsspec"]
    start = [*command, "cp", "-r", "d", "e", "-p", "concurrency=1"]
    with subprocess.Popen(start, stderr=subprocess.PIPE, cwd=tmp_path, env=environment) as running:
        while not (tmp_path / "e").exists() or len(os.listdir(tmp_path / "e")) < 20:
            assert running.poll() is None, running.stderr.read()
            time.sleep(0.001)
        running.send_signal(signal.SIGINT)
        err = running.stderr.read().decode()
        assert running.wait(60) == 130
    transfer = err.split()[-1]

    assert f"persist resume {transfer}" in err
    listed = subprocess.run([*command, "resume"], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert listed.stdout.splitlines()[1].split()[4] in {"interrupted", "failed"}
    assert int(listed.stdout.split()[-1].replace(",", "")) >= 20
    subprocess.run([*command, "resume", transfer], capture_output=True, cwd=tmp_path, env=environment, check=True)
    assert len(names(tmp_path / "e")) == 3000
