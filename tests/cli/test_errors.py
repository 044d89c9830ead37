"""One screen per error, and nothing that should not be seen."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import uuid

import pytest
import typer

from persistence_fsspec import FSSpecPersistence
from persistence_fsspec.cli.causes import causes, sole_cause
from persistence_fsspec.cli.errors import advice, one_screen
from persistence_fsspec.cli.exitcodes import exit_code, explain
from persistence_fsspec.cli.options import from_toml, policy, storage_options
from persistence_fsspec.errors import (
    ConnectionFailedError,
    InvalidOptionError,
    ObjectNotFoundError,
    PersistenceError,
    TransferError,
)
from persistence_fsspec.secret import SecretReference
from persistence_fsspec.transfer.report import FileOutcome, TransferReport


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


def test_every_file_that_failed_is_named(persist, tree):
    """Each on a line with its reason, beside what has arrived, and the way on."""
    for name in ("gone1", "gone2", "gone3"):
        (tree / name).symlink_to("nowhere")
    said = persist("cp", "-r", "d", "e")

    assert said.code == 3
    assert "3 of 6 files failed" in said.err.splitlines()[0]
    assert sorted(line.split(":")[0] for line in said.err.splitlines()[1:4]) == ["  gone1", "  gone2", "  gone3"]
    assert "The rest has arrived. Once that is mended, the same command again copies what is missing." in said.err
    assert said.err.count("\n") == 5


def test_of_many_failures_the_first_are_named(persist, tree):
    """And the others counted; JSON has them all."""
    for i in range(25):
        (tree / f"gone{i}").symlink_to("nowhere")
    said, told = persist("cp", "-r", "d", "e"), persist("cp", "-r", "d", "e", "--json")

    assert said.code == 3
    assert "25 of 28 files failed" in said.err
    assert len([line for line in said.err.splitlines() if line.startswith("  gone")]) == 20
    assert "... and 5 more, for the same reasons; --json lists all files" in said.err
    assert sum(file["status"] == "failed" for file in told.json["files"]) == 25


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
    said = persist("cp", "-r", "d", "e", "-p", "read_only=yes")

    assert said.code != 0
    assert "read-only" in said.err or "read_only" in said.err


# --- a transfer that failed ---


def test_nothing_copied_for_one_reason_is_one_line_with_its_code(persist, tree):
    """The reason, how many files, the way out; and not as if some had arrived."""
    (tree.parent / "e").mkdir()
    for name in ("a.csv", "b.txt", "sub/c.csv"):
        (tree.parent / "e" / name).parent.mkdir(exist_ok=True)
        (tree.parent / "e" / name).write_bytes(b"kept")
    said = persist("cp", "-r", "d", "e", "--no-overwrite")
    told = persist("cp", "-r", "d", "e", "--no-overwrite", "--json")

    assert (said.code, told.code) == (1, 1)
    assert "nothing was copied: " in said.err.splitlines()[0]
    assert "3 files" in said.err.splitlines()[0]
    assert "Without --no-overwrite" in said.err
    assert "The rest" not in said.err
    assert "again" not in said.err
    assert told.error["causes"][0]["files"] == 3


@pytest.mark.server("s3")
def test_a_missing_bucket_is_told_once(persist, tmp_path, s3_server):
    """Whether each file was tried or not: one line, the bucket's code, the doctor."""
    (tmp_path / "work" / "many").mkdir()
    for i in range(30):
        (tmp_path / "work" / "many" / f"{i}").write_bytes(b"1")
    options = [word for name, value in s3_server.storage_options.items() for word in ("-o", f"{name}={value}")]
    said = persist("cp", "-r", "many", "s3://no-such-bucket-at-all/x", *options)

    assert said.code == 4, said.err
    assert "nothing was copied: bucket not found" in said.err
    assert "(30 files)" in said.err
    assert "Next: persist doctor s3://no-such-bucket-at-all" in said.err
    assert "not tried" not in said.err
    assert said.err.count("\n") < 5


def failed(key, error, **more):
    """One file's outcome."""
    return FileOutcome(key=key, source=f"s3://b/{key}", target=f"ftp://h/{key}", status="failed", error=error, **more)


def transfer(*files, operation="copy"):
    """The error of a transfer."""
    report = TransferReport(operation=operation, source="s3://b", target="ftp://h", files=files)
    with pytest.raises(TransferError) as caught:
        report.raise_for_failures()
    return caught.value


def test_equal_reasons_are_one_whatever_the_file_is_called():
    """What was not tried counts with what it was not tried for."""
    tried = [ConnectionFailedError(f"refused at https://h/deep/path%20{i}?x=1", url=f"https://h/{i}") for i in range(3)]
    untried = ConnectionFailedError("not tried: refused at https://h/deep/path%200?x=1")
    error = transfer(*(failed(f"k{i}", one) for i, one in enumerate([*tried, untried])))

    assert [(one.message, one.files, one.example) for one in causes(error)] == [("refused at https://h/...", 4, "k0")]
    assert sole_cause(error).files == 4
    assert exit_code(error) == 1


def test_each_reason_is_among_the_files_that_are_named(capsys):
    """Also when it is that of a single file behind many others."""
    arrived = FileOutcome(key="k", source="s3://b/k", target="ftp://h/k", status="copied")
    files = [failed(f"k{i}", PersistenceError("the frequent reason")) for i in range(300)]
    error = transfer(arrived, *files, failed("z", ObjectNotFoundError("not found")))
    with pytest.raises(typer.Exit) as ended, one_screen(as_json=False, verbose=0):
        raise error
    shown = capsys.readouterr().err

    assert ended.value.exit_code == 3
    assert "301 of 302 files failed" in shown
    assert "k0: the frequent reason" in shown
    assert "z: not found" in shown
    assert "... and 281 more, for the same reasons" in shown
    assert shown.count("\n") == 23


def test_more_reasons_than_lines_are_counted(capsys):
    """Nothing is left unsaid."""
    files = [failed(f"k{i}", PersistenceError(f"reason number {i // 2}")) for i in range(60)]
    with pytest.raises(typer.Exit), one_screen(as_json=False, verbose=0):
        raise transfer(FileOutcome(key="k", source="s3://b/k", target="ftp://h/k", status="copied"), *files)

    assert "... and 40 more, for 10 other reasons too; --json lists all files" in capsys.readouterr().err


@pytest.mark.parametrize(("operation", "words"), [("copy", "copies what is missing"), ("delete", "deletes what is left")])
def test_the_way_on_is_told(operation, words):
    """With what may pass by itself, and with what somebody has to mend."""
    arrived = FileOutcome(key="k", source="s3://b/k", target="ftp://h/k", status="copied")
    passing = transfer(arrived, failed("a", ConnectionFailedError("reset")), operation=operation)
    staying = transfer(arrived, failed("a", ObjectNotFoundError("not found")), operation=operation)

    assert f"This may pass: the same command {words}".replace("command copies", "command again copies") in " ".join(
        advice(passing)
    )
    assert "Once that is mended, the same command" in " ".join(advice(staying))
    assert words in " ".join(advice(staying))


def test_the_most_different_failures_keep_their_code(persist, tree):
    """Some for one reason, some for another, none copied: still a transfer's code."""
    error = transfer(failed("a", ObjectNotFoundError("not found")), failed("b", ConnectionFailedError("reset")))

    assert exit_code(error) == 3


# --- names that are not there ---


@pytest.mark.parametrize("verb", ["ls", "stat", "cat"])
def test_a_missing_name_is_told_in_the_words_that_were_typed(persist, verb):
    """And where to look."""
    url = f"memory://{uuid.uuid4().hex}"
    FSSpecPersistence(url).write_bytes("in/a", b"1")
    said = persist(verb, f"{url}/in/b")

    assert said.code == 4
    assert said.err.startswith(f"error: {verb} {url}/in/b: not found")
    assert f"Next: persist ls {url}/in" in said.err
    assert persist("ls", f"{url}/in").code == 0


def test_a_name_with_a_star_is_a_name(persist, tree):
    """The patterns are elsewhere."""
    for typed in ("d/*.csv", "d/a?csv", "d/[ab].csv"):
        said = persist("cat", typed)
        assert said.code == 4
        assert "literal" in said.err
        assert "--include" in said.err
    assert "literal" not in persist("cat", "d/none").err


# --- what other tools would understand ---


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("put", "a", "b"), "persist cp"),
        (("get", "a", "b"), "persist cp"),
        (("rsync", "a", "b"), "persist sync"),
        (("mirror", "a", "b"), "persist sync --delete"),
        (("ls", "--endpoint-url", "https://x"), "-o endpoint_url="),
        (("cp", "a", "b", "--region", "x"), "-o client_kwargs.region_name="),
    ],
    ids=" ".join,
)
def test_words_of_other_tools_are_understood_well_enough(persist, args, words):
    """To say how it is called here."""
    said = persist(*args)

    assert said.code == 2
    assert f"Did you mean: {words}" in said.err
    assert words in persist(*args, "--json").error["message"]


@pytest.mark.parametrize("text", ["{'region_name': 'x'}", '{"region_name": "x"}'])
def test_a_table_written_out_is_refused_with_the_way_to_write_it(persist, text):
    """As Python or JSON would."""
    said = persist("ls", "s3://b", "-o", f"client_kwargs={text}")

    assert said.code == 2
    assert "-o client_kwargs.region_name=x" in said.err


def test_a_secret_in_a_table_is_not_shown(persist):
    """Whatever the way out."""
    said = persist("ls", "s3://b", "-o", "client_kwargs={'aws_secret_access_key': 'hunter2hunter2'}")

    assert said.code == 2
    assert "hunter2hunter2" not in said.err


def test_a_policy_is_refused_in_the_words_of_the_command(persist, monkeypatch):
    """Not of the environment, unless it stands there."""
    wrong, misspelt, empty = (persist("ls", "-p", text) for text in ("attempts=two", "atempts=2", "attempts"))

    assert "-p attempts=... cannot be understood" in wrong.err
    assert "PERSISTENCE_FSSPEC" not in wrong.err
    assert "did you mean 'attempts'?" in misspelt.err
    assert "needs a value" in empty.err
    monkeypatch.setenv("PERSISTENCE_FSSPEC_ATTEMPTS", "two")
    assert "PERSISTENCE_FSSPEC_ATTEMPTS='two'" in persist("ls", "-p", "verify=size").err


def test_urls_that_are_none(persist, tree):
    """A slash too few, or no bucket: one screen, wrong use, and nothing written here."""
    one_slash, no_bucket = persist("cp", "-r", "d", "s3:/my-bucket/x"), persist("ls", "s3://")

    assert (one_slash.code, no_bucket.code) == (2, 2)
    assert "s3://my-bucket/x" in one_slash.err
    assert "no bucket" in no_bucket.err
    assert "regex" not in no_bucket.err
    assert os.listdir(tree.parent) == ["d"]


def test_the_help_says_what_becomes_of_an_interrupted_transfer(persist):
    """It goes on; only a stream begins again."""
    for command in ("cp", "sync"):
        assert "the same command goes on where it was" in " ".join(persist(command, "--help").out.lower().split())
    assert "persist resume" in persist("--help").out


# --- what was typed may hold a secret ---


@pytest.mark.parametrize(
    "args",
    [
        ("ls", "x", "ftp://me:hunter2hunter2@host/x"),
        ("ftp://me:hunter2hunter2@host/x",),
        ("--ftp://me:hunter2hunter2@host/x",),
        ("ls", "--ftp://me:hunter2hunter2@host/x"),
        ("ls", ".", "-p", "key=hunter2hunter2"),
        ("ls", ".", "-p", "attempts=hunter2hunter2"),
    ],
)
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_wrong_use_shows_no_secret(persist, args, json):
    """Neither the password of a URL nor the value of a policy."""
    said = persist(*args, *json)

    assert said.code == 2
    assert said.err
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    "text", ["1e5", "1_000", "0x10", "007", "inf", "2026-01-01", "'a' # b", '"a" # b', "[1] # b", "True", " 10", ""]
)
def test_a_value_that_may_mean_something_else_stays_text(text):
    """Exactly as it was typed."""
    assert from_toml(text) == text


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), ("-10", -10), ("0.5", 0.5), ('"10"', "10"), ("[1, 2]", [1, 2]), ("{a = 1}", {"a": 1})]
)
def test_a_value_that_can_mean_only_one_thing_is_that(text, value):
    """And of its type."""
    assert (from_toml(text), type(from_toml(text))) == (value, type(value))


@pytest.mark.parametrize(
    "name", ["password", "secret", "token", "key", "account_key", "passphrase", "username", "account_name", "a.password"]
)
@pytest.mark.parametrize("text", ["123456", "true", "1.5", '"x"', "[1]"])
def test_credentials_are_text(name, text):
    """A password of digits is no number."""
    found = storage_options([f"ftp.{name}={text}"], [])["ftp"]
    for part in name.split("."):
        found = found[part]

    assert found == text


def test_a_quote_that_is_not_closed(persist):
    """In a command for a secret: wrong use, no bug."""
    said = persist("ls", ".", "-o", 'password@command=pass "show')

    assert said.code == 2
    assert "password@command" in said.err
    assert "bug" not in said.err


def test_no_home_is_told(persist, monkeypatch):
    """With the variable that would name it."""

    def unknown():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("pathlib.Path.home", unknown)
    said = persist("rm", "x")

    assert said.code == 2
    assert "HOME" in said.err
    assert "bug" not in said.err


# --- standard streams ---


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_names_that_the_encoding_lacks_are_escaped(process, tmp_path, encoding):
    """Those that it has are not, and bytes that were no Unicode are bytes."""
    for name in ("caf\u00e9", "\u65e5", os.fsdecode(b"raw\xff")):
        (tmp_path / name).write_bytes(b"1")
    said, error = process("ls", ".", PYTHONIOENCODING=encoding), process("ls", "caf\u00e9\u65e5", PYTHONIOENCODING=encoding)

    assert (said.code, error.code) == (0, 4), said.err
    assert sorted(said.out_bytes.split()) == sorted(
        ["caf\u00e9".encode(encoding, "backslashreplace"), "\u65e5".encode(encoding, "backslashreplace"), b"raw\xff"]
    )
    assert "bug" not in error.err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
@pytest.mark.parametrize("redirection", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["ls .", "ls --json .", "cat full", "doctor .", "protocols", "stat full"])
def test_an_output_that_cannot_be_written_is_no_bug(tmp_path, command, redirection):
    """One line, and status 1."""
    (tmp_path / "full").write_bytes(b"1" * 1000)
    line = f"{shlex.quote(sys.executable)} -m persistence_fsspec {command} {redirection}"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert "standard output" in done.stderr
    assert "bug" not in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "full").read_bytes() == b"1" * 1000


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="only Linux has it")
def test_help_that_cannot_be_written_is_no_traceback(tmp_path):
    """One line, and status 1."""
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "persistence_fsspec", "--help"]
        done = subprocess.run(command, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output cannot be written")
    assert done.stderr.count("\n") == 1


def test_a_closed_input_is_not_an_empty_one(tmp_path):
    """Nothing is stored."""
    line = f"{shlex.quote(sys.executable)} -m persistence_fsspec cp - x <&-"
    done = subprocess.run(["sh", "-c", line], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 2
    assert "standard input" in done.stderr
    assert os.listdir(tmp_path) == []
