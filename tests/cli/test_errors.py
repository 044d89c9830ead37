"""One screen per error, and nothing that should not be seen."""

from __future__ import annotations

import os

import pytest

from persistence_fsspec.cli.exitcodes import exit_code, explain
from persistence_fsspec.cli.options import policy, storage_options
from persistence_fsspec.errors import InvalidOptionError, PersistenceError
from persistence_fsspec.secret import SecretReference


def test_a_bug_looks_like_a_bug(persist, monkeypatch):
    """One line; the traceback only for who asks; never a secret."""

    def broken(*_, **__):
        raise KeyError("https://me:hunter2hunter2@host")

    monkeypatch.setattr("persistence_fsspec.persistence.FSSpecPersistence.info", broken)
    said, told, traced = persist("stat", "x"), persist("stat", "x", "--json"), persist("stat", "x", "-vv")

    assert (said.code, told.code, traced.code) == (1, 1, 1)
    assert "This is a bug" in said.err
    assert "Traceback" not in said.err
    assert told.error["class"] == "KeyError"
    assert "Traceback" in traced.err
    assert "hunter2hunter2" not in said.err + told.err + traced.err


def test_no_traceback_without_vv(persist):
    """-v before the command or after it."""
    assert "Traceback" not in persist("cat", "nope").err
    assert "Traceback" not in persist("cat", "nope", "-v").err
    assert "Traceback" in persist("cat", "nope", "-vv").err
    assert "Traceback" in persist("-vv", "cat", "nope").err
    assert "Traceback" not in persist("cat", "nope").err  # the one before is forgotten


def test_a_missing_driver_is_one_line_to_paste(persist):
    """With its own exit code."""
    said = persist("ls", "dropbox://x")

    assert said.code == 7
    assert '-m pip install "persistence-fsspec[dropbox]"' in said.err


def test_errors_speak_in_options_not_in_arguments(persist):
    """What can be typed."""
    said = persist("ls", "s3://b", "-o", "endpont_url=x")

    assert "-o unchecked.endpont_url=..." in said.err
    assert "persist protocols" in persist("ls", "nope://x").err


def test_many_failures_are_counted_not_listed(persist, tmp_path):
    """The first ones, the number of the others, and that it can be tried again."""
    (tmp_path / "work" / "d").mkdir()
    for i in range(25):
        (tmp_path / "work" / "d" / f"gone{i}").symlink_to("nowhere")
    said = persist("cp", "-r", "d", "e")

    assert said.code == 3
    assert "25 of 25 files failed" in said.err
    assert "and 15 more" in said.err
    assert "same command again" in said.err
    assert said.err.count("\n") < 20


def test_every_error_has_a_code_that_the_help_explains():
    """One table."""
    todo, seen = [PersistenceError], set()
    while todo:
        cls = todo.pop()
        todo += cls.__subclasses__()
        seen.add(exit_code(cls("x")))

    assert seen == {1, 2, 3, 4, 5, 6, 7}
    for code in {*seen, 0, 130, 141}:
        assert f"{code} " in explain()


def test_the_help_leads_from_nothing_to_a_bucket_and_back(persist):
    """Installing, credentials, doctor, there, back, quoting, codes."""
    said = persist("--help")

    for part in (
        "pip install",
        "AWS_PROFILE",
        "persist doctor",
        "cp -r results s3://",
        "cp -r s3://",
        "'https://",
        "Exit codes",
        "--json",
    ):
        assert part in said.out, part
    assert persist("-h").out == said.out
    for command in ("cp", "mv", "rm", "cat", "ls", "stat", "doctor", "explain", "protocols", "demo"):
        shown = persist(command, "--help").out
        assert "Examples:" in shown
        assert "..." not in said.out.partition(f"  {command} ")[2].partition("\n")[0], "its sentence is cut off"


def test_completion_is_there(process):
    """Typer's own."""
    said = process("ls", _PERSIST_COMPLETE="complete_bash", COMP_WORDS="persist pro", COMP_CWORD="1")

    assert said.out.split() == ["protocols"]


def test_a_working_folder_that_is_gone(persist, tmp_path):
    """Is said, and is no bug."""
    folder = tmp_path / "gone"
    folder.mkdir()
    os.chdir(folder)
    folder.rmdir()
    said = persist("ls", "memory://x")

    assert said.code == 2
    assert "working folder" in said.err


# --- options ---


def test_options_are_read_as_toml_or_as_text():
    """Dots lead into tables, or name the protocol."""
    given = [
        "anon=true",
        "s3.key=AKIA",
        "ftp.port=2121",
        "client_kwargs.region_name=eu-west-1",
        'session="10"',
        "root=a=b",
        "empty=",
    ]

    assert storage_options(given, ["s3a://b", "file:///x"]) == {
        "s3": {
            "anon": True,
            "key": "AKIA",
            "client_kwargs": {"region_name": "eu-west-1"},
            "session": "10",
            "root": "a=b",
            "empty": "",
        },
        "ftp": {"port": 2121},
    }


def test_secrets_are_referred_to():
    """By variable, file or program."""
    found = storage_options(["a@env=A", "b@file=~/b", "c@command=pass show 'my bucket'"], ["s3://b"])["s3"]

    assert found["a"] == SecretReference(env="A")
    assert found["b"] == SecretReference(file="~/b")
    assert found["c"] == SecretReference(command=("pass", "show", "my bucket"))


@pytest.mark.parametrize("text", ["anon", "=x", "a@nope=x", "a@env="])
def test_what_is_no_option_is_refused(text):
    """Before anything happens."""
    with pytest.raises(InvalidOptionError):
        storage_options([text], ["s3://b"])


def test_a_policy_is_read_as_from_the_environment(monkeypatch):
    """And leaves nothing in it."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ATTEMPTS", "7")
    found = policy(["part_size=1MiB", "timeout_seconds=none", "verify=readback"])

    assert (found.part_size, found.timeout_seconds, found.verify, found.attempts) == (1024 * 1024, None, "readback", 7)
    assert "PERSISTENCE_FSSPEC_PART_SIZE" not in os.environ
    for wrong in ("bogus=1", "attempts", "attempts=many", "attempts=0"):
        with pytest.raises(InvalidOptionError):
            policy([wrong])


def test_a_policy_holds(persist, tree):
    """For the whole command."""
    said = persist("cp", "-r", "d", "memory://policies", "-p", "read_only=yes")

    assert said.code != 0
    assert "read-only" in said.err or "read_only" in said.err
