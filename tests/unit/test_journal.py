"""The journal of a transfer: what it remembers is true, whatever became of who wrote it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from datetime import datetime, timezone
from pathlib import Path

import pytest

from persistence_fsspec import ConflictError, InvalidOptionError, ObjectNotFoundError
from persistence_fsspec.events import on_event
from persistence_fsspec.store import Part
from persistence_fsspec.testing.strategies import SOAK
from persistence_fsspec.transfer import journal as journals
from persistence_fsspec.transfer.journal import Done, Identity, Journal, Unfinished, entry, forget, known, known_tokens, tidy
from persistence_fsspec.transfer.journal_files import JournalFiles

ROOT = Path(__file__).resolve().parents[2]
KILLS = 200 if SOAK else 5
NOTES, MEMORY = (1_000_000 if SOAK else 100_000), 50 * 1024 * 1024

IDENTITY = Identity("put", "file:///here", "ftp://host/there", {"recursive": True, "include": None})
DONE = Done("version 1, 5 bytes", "version 2, 5 bytes", ("crc32c", "00000000"), "crc32c")
BEGUN = Unfinished("there/big", "a token", 8, "version 1", {})


def part(number):
    return Part(number=number, size=8, crc32c=f"{number:08x}", receipt=f'"{number}"')


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """The folder of the journals."""
    folder = tmp_path / "state" / "transfers"
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def told():
    """Names of the events."""
    names = []
    end = on_event(lambda event: names.append(event.name))
    yield names
    end()


@pytest.fixture
def begin():
    """Opens journals, and closes them at the end."""
    with contextlib.ExitStack() as stack:

        def open_journal(identity=IDENTITY, state="running"):
            found = Journal.open(identity)
            assert found is not None
            stack.callback(found.close)
            if state:
                found.set_state(state)
            return found

        yield open_journal


def python(code, *arguments, **more):
    """Code in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], env=environment, text=True, **more)


def left(folder):
    """What lies there besides the file that everybody locks to open or remove any other."""
    return {path.name for path in folder.iterdir()} - {"gate"}


# --- what it remembers ---


def test_what_has_arrived_is_remembered(begin):
    """In this run and in the next, of odd names and without a digest."""
    files = {"a": DONE, "ä\udc80": Done("", "", None, "size"), "": Done("s", "t", ("md5", "ab:c"), "")}
    journal = begin()
    for key, done in files.items():
        journal.note_done(key, done)
    here = {key: journal.done(key) for key in files}
    journal.close()
    again = begin()

    assert here == {key: again.done(key) for key in files} == files
    assert again.done("unknown") is None


def test_the_last_that_was_noted_of_a_file_holds(begin):
    """Within a batch, and after it."""
    journal = begin()
    for number in range(50):
        journal.note_done("a", Done(f"{number}", "t", None, ""))
        journal.note_done(f"other {number}", DONE)
    journal.close()

    assert begin().done("a").source == "49"
    assert known()[0].files == 51


def test_a_file_can_be_forgotten(begin):
    """Whether it was written already, or not."""
    journal = begin()
    journal.note_done("written", DONE)
    journal.flush()
    journal.note_done("pending", DONE)
    journal.forget("written")
    journal.forget("pending")
    journal.forget("unknown")
    journal.note_done("stays", DONE)
    journal.close()
    again = begin()

    assert [again.done(key) for key in ("written", "pending", "stays")] == [None, None, DONE]


def test_parts_are_remembered(begin):
    """Of uploads that are not over, and only of the last of a file."""
    journal = begin()
    journal.note_upload("big", BEGUN)
    journal.note_part("big", part(0))
    journal.note_upload("big", Unfinished("there/big", "another", 8, "version 2", {3: part(3)}))
    for number in (2, 0, 2):
        journal.note_part("big", part(number))
    journal.note_upload("over", Unfinished("there/over", "third", 8, "version 1", {}))
    journal.upload_over("over")
    journal.upload_over("unknown")
    journal.close()
    again = begin()

    wanted = Unfinished("there/big", "another", 8, "version 2", {number: part(number) for number in (0, 2, 3)})
    assert again.upload_of("big") == wanted
    assert again.uploads() == [wanted]
    assert again.upload_of("over") is None


def test_tokens_are_known_while_a_transfer_runs(begin):
    """To everybody, and without opening its journal; those of uploads that are over are not."""
    journal = begin()
    for name in ("one", "two", "three"):
        journal.note_upload(name, Unfinished(name, f"token\n{name}", 8, "", {}))
    journal.upload_over("two")
    running = known_tokens()
    journal.close()

    assert running == known_tokens() == {"token\none", "token\nthree"}
    begin().close()
    assert known_tokens() == running


def test_it_holds_no_secret(begin, state):
    """Neither in its name, nor in a key, nor beside it."""
    url = "https://me:password1@host/x?X-Amz-Signature=signature1"
    identity = Identity("get", url, "ftp://me:password1@host/y", {})
    journal = begin(identity)
    journal.note_done("x?X-Amz-Signature=signature1", DONE)
    journal.note_upload("y?X-Amz-Signature=signature1", Unfinished("y?sig=signature1", "t", 8, "", {}))
    same = Identity("get", url.replace("signature1", "signature2"), "ftp://me:password1@host/y", {})
    noted = journal.done("x?X-Amz-Signature=signature2")
    journal.close()
    kept = b"".join(path.read_bytes() for path in state.iterdir())

    assert b"password1" not in kept
    assert b"signature1" not in kept
    assert same.id == identity.id
    assert noted == DONE
    assert "***" in known()[0].source


def test_an_identity_is_what_is_asked_for(monkeypatch):
    """The operation's name is no part of it, the machine is; eight of the digits own what lies at the target."""
    same = Identity("copy", IDENTITY.source, IDENTITY.target, dict(reversed(IDENTITY.meaning.items())))
    other = Identity("put", IDENTITY.source, IDENTITY.target, {"recursive": False})

    assert same.id == IDENTITY.id != other.id
    assert len(IDENTITY.id) == 16
    assert IDENTITY.owner == IDENTITY.id[:8]
    monkeypatch.setattr("socket.gethostname", lambda: "elsewhere")
    assert Identity("put", IDENTITY.source, IDENTITY.target, IDENTITY.meaning).id != IDENTITY.id


def test_only_its_owner_may_read_it(begin, state):
    """Whatever the process usually does."""
    before = os.umask(0)
    try:
        journal = begin()
        journal.note_upload("big", BEGUN)
        modes = {stat.S_IMODE(path.stat().st_mode) for path in state.iterdir()}
    finally:
        os.umask(before)

    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert modes == {0o600}


def test_no_write_ahead_log_ever_appears(begin, state):
    """It does not work on network file systems."""
    journal = begin()
    for number in range(100):
        journal.note_part("big", part(number))
        assert not {path.name.partition("-")[2] for path in state.iterdir()} & {"wal", "shm"}


def test_from_many_threads(begin):
    """Nothing is lost, and nothing is mixed up."""
    journal = begin()

    def work(number):
        for i in range(200):
            journal.note_done(f"{number}/{i}", Done(f"{number} {i}", "t", None, ""))
            assert journal.done(f"{number}/{i}").source == f"{number} {i}"
        journal.note_upload(f"{number}", BEGUN)
        journal.note_part(f"{number}", part(number))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    again = begin()

    assert known()[0].files == 1600
    assert all(again.done(f"{n}/{i}").source == f"{n} {i}" for n in range(8) for i in range(200))
    assert [again.upload_of(f"{n}").parts for n in range(8)] == [{n: part(n)} for n in range(8)]


# --- one at a time ---


def test_a_second_run_is_refused_at_once(begin, monkeypatch):
    """It is told which process has it; afterwards it may."""
    monkeypatch.setattr(journals, "_PATIENCE_SECONDS", 3600.0)
    journal = begin()
    with pytest.raises(ConflictError, match=f"another run of this transfer is going on .process {os.getpid()} on ") as caught:
        Journal.open(IDENTITY)
    journal.close()

    assert caught.value.hint
    assert begin(state="") is not None


_HOLD = """
import sys, time
from tests.unit.test_journal import IDENTITY, Journal
journal = Journal.open(IDENTITY)
journal.set_state("running")
print("ready", flush=True)
sys.stdin.read()
journal.close()
"""


def test_a_run_in_another_process_is_refused_until_it_is_gone(begin):
    """Killed is gone; what it left says that it was interrupted."""
    with python(_HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(ConflictError, match=f"process {process.pid} on"):
            Journal.open(IDENTITY)
        running = known()[:1]
        process.kill()
        process.wait()
    killed = known()[:1]
    journal = begin(state="")

    assert [(one.state, one.process) for one in running] == [("running", process.pid)]
    assert [(one.state, one.process) for one in killed] == [("interrupted", None)]
    assert journal.was_interrupted


def test_who_only_looks_is_no_other_run(begin):
    """Listing holds a journal for a moment."""
    journal = begin()
    journal.note_done("a", DONE)
    journal.close()
    looking = sqlite3.connect(
        JournalFiles(journals.journal_folder(), IDENTITY.id).database, isolation_level=None, check_same_thread=False
    )
    looking.execute("BEGIN")
    looking.execute("SELECT count(*) FROM done").fetchone()
    done = threading.Timer(0.2, looking.close)
    done.start()

    assert begin().done("a") == DONE
    done.join()


def test_where_nothing_can_be_locked_there_is_no_journal(begin, told, monkeypatch):
    """Some network file systems say for ever that somebody else has it."""
    monkeypatch.setattr(journals, "_PATIENCE_SECONDS", 0.1)
    journal = begin()
    journal.note_done("a", DONE)
    journal.close()
    files = JournalFiles(journals.journal_folder(), IDENTITY.id)
    with contextlib.closing(sqlite3.connect(files.database, isolation_level=None)) as nobody:
        nobody.execute("BEGIN EXCLUSIVE")
        assert Journal.open(IDENTITY) is None

    assert told == ["journal_unavailable"]
    assert begin().done("a") == DONE


_COMPETE = """
import os, random, sys, time
from persistence_fsspec import ConflictError
from tests.unit.test_journal import DONE, IDENTITY, Journal, on_event
on_event(lambda event: sys.exit(event.message))
mine = 0
while mine < int(sys.argv[2]):
    try:
        journal = Journal.open(IDENTITY)
    except ConflictError:
        time.sleep(random.random() / 100)
        continue
    assert journal is not None
    os.close(os.open(sys.argv[1], os.O_CREAT | os.O_EXCL))  # nobody else is here
    journal.set_state("running")
    journal.note_done(str(mine), DONE)
    mine += 1
    os.unlink(sys.argv[1])
    journal.discard() if mine % 2 else journal.close()
"""


@pytest.mark.slow
def test_of_many_runs_only_one_has_it(tmp_path):
    """Also while others remove it."""
    processes = [python(_COMPETE, tmp_path / "here", 300 if SOAK else 40, stderr=subprocess.PIPE) for _ in range(4)]
    ended = [(process.communicate()[1], process.returncode) for process in processes]

    assert ended == [("", 0)] * 4


def test_a_forked_child_leaves_it_alone(begin):
    """It remembers nothing there, and its end does not damage the parent's."""
    journal = begin()
    journal.note_done("a", DONE)
    journal.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # other tests have left threads, which the child has no use for
        child = os.fork()
    if child == 0:
        journal.note_done("child", DONE)
        journal.flush()
        journal.close()
        del journal
        os._exit(0)
    os.waitpid(child, 0)
    journal.note_done("b", DONE)
    journal.close()
    again = begin()

    assert [again.done(key) for key in ("a", "b", "child")] == [DONE, DONE, None]


_FORK = """
import os, sys
from tests.unit.test_journal import DONE, IDENTITY, Journal
journal = Journal.open(IDENTITY)
journal.set_state("running")
for number in range(100):
    journal.note_done(str(number), DONE)
journal.flush()
if os.fork() == 0:
    sys.exit()  # all of the interpreter is taken down, also what it inherited
os.wait()
path = journal._files.database
assert os.path.exists(f"{path}-journal")
for number in range(100, 200):
    journal.note_done(str(number), DONE)
journal.flush()
os.kill(os.getpid(), 9)
"""


@pytest.mark.slow
def test_the_end_of_a_forked_child_does_not_close_it(begin):
    """SQLite would remove the parent's rollback journal, and a kill later on would damage the database."""
    with python(_FORK) as process:
        assert process.wait() == -signal.SIGKILL
    again = begin(state="")

    assert all(again.done(str(number)) == DONE for number in range(200))


# --- how a transfer ended ---


def test_how_it_stands_is_told(begin):
    """By everything that asks for it."""
    before = datetime.now(tz=timezone.utc).replace(microsecond=0)
    journal = begin()
    journal.note_done("a", DONE)
    first = entry(IDENTITY.id[:4])
    journal.set_state("failed")
    journal.close()
    second = entry(IDENTITY.id)
    journal = begin()
    third = entry(IDENTITY.id)
    journal.set_state("complete")
    journal.close()

    assert Identity(first.operation, first.source, first.target, first.meaning) == IDENTITY
    assert [(one.state, one.process) for one in (first, second, third, entry(IDENTITY.id))] == [
        ("running", os.getpid()),
        ("failed", None),
        ("running", os.getpid()),
        ("complete", None),
    ]
    assert second.files == 1
    assert before <= first.begun == third.begun <= datetime.now(tz=timezone.utc)


def test_a_run_that_did_not_say_how_it_ended_was_interrupted(begin):
    """But one that did nothing has left nothing."""
    journal = begin()
    journal.note_done("a", DONE)
    journal.close()
    failed = [one.state for one in known()]
    begin(Identity("put", "file:///elsewhere", "ftp://host/there", {})).close()

    assert failed == ["interrupted"]
    assert [one.state for one in known()] == failed


def test_looking_changes_nothing(begin, state):
    """A dry run opens it, too."""
    begin(state="").close()
    nothing = left(state)
    journal = begin()
    journal.note_done("a", DONE)
    journal.set_state("failed")
    journal.close()
    begin(state="").close()

    assert nothing == set()
    assert [one.state for one in known()] == ["failed"]


def test_nothing_is_left_of_one_that_is_discarded(begin, state):
    """Closing it afterwards does no harm, nor does noting."""
    journal = begin()
    journal.note_done("a", DONE)
    journal.note_upload("big", BEGUN)
    journal.discard()
    journal.note_done("b", DONE)
    journal.set_state("complete")
    journal.close()

    assert left(state) == set()
    assert journal.done("a") is None
    assert known_tokens() == set()


def test_unknown_transfers_are_an_error(begin):
    """With a hint; so are several that begin alike."""
    for number in range(40):
        journal = begin(Identity("put", f"file:///{number}", "x", {}))
        journal.note_done("a", DONE)
        journal.close()
    first = known()[0].id[0]
    several = next(one.id[0] for one in known() if sum(other.id[0] == one.id[0] for other in known()) > 1)

    assert first
    with pytest.raises(InvalidOptionError, match="begin with"):
        entry(several)
    for unknown in ("", "0123456789abcdef0", "../x", "*", "xyz"):
        with pytest.raises(ObjectNotFoundError) as caught:
            entry(unknown)
        assert "persist resume" in caught.value.hint


def test_a_transfer_is_forgotten_unless_it_runs(begin, state):
    """Its journal would be missing in the middle of its work."""
    journal = begin()
    journal.note_upload("big", BEGUN)
    with pytest.raises(ConflictError, match="is running"):
        forget(IDENTITY.id)
    journal.close()
    forget(IDENTITY.id[:6])

    assert left(state) == {"given-up.tokens"}  # what it left at the store can be told from others' uploads
    with pytest.raises(ObjectNotFoundError):
        forget(IDENTITY.id)


def test_old_journals_are_tidied_away(begin, state):
    """Complete ones that nobody touched for a month, and what belongs to none; never one that can be resumed, or runs."""
    kept = []
    for number, (how, days) in enumerate([("complete", 31), ("complete", 29), ("failed", 400), ("running", 31)]):
        journal = begin(Identity("put", f"file:///{number}", "x", {}))
        journal.note_done("a", DONE)
        journal.set_state(how)
        if how != "running":
            journal.close()
        kept += [journal.id] if number else []
        for path in state.glob(f"{journal.id}*"):
            os.utime(path, (time.time() - days * 86400,) * 2)
    for name in ("0123456789abcdef.aside", "0123456789abcdef.json", "0123456789abcdef.json.1.tmp"):
        (state / name).write_text("{}")
        os.utime(state / name, (0, 0))
    (state / "notes.txt").write_text("of somebody else")
    os.utime(state / "notes.txt", (0, 0))
    tidy()

    assert {one.id for one in known()} == set(kept)
    assert {name.partition(".")[0] for name in left(state)} == {*kept, "notes"}


# --- what can go wrong ---


_WRITE = """
import itertools, sys
from tests.unit.test_journal import Done, Identity, Journal, Unfinished, part
journal = Journal.open(Identity("put", sys.argv[1], "x", {}))
journal.set_state("running")
print("ready", flush=True)
for number in itertools.count(int(sys.argv[2])):
    for i in range(7):
        journal.note_done(f"file {number} {i}", Done(f"source {number}", f"target {i}", ("md5", f"{number:x}"), "md5"))
    journal.note_upload(f"big {number}", Unfinished(f"to {number}", f"token {number}", 8, "v", {}))
    journal.note_part(f"big {number}", part(number))
    if number % 3 == 0:
        journal.upload_over(f"big {number}")
    print(number, flush=True)
"""
RUN = 1_000_000


def killed(source, run, seconds):
    """Let a run of a transfer write for so long; the last number it told."""
    with python(_WRITE, source, run * RUN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
        time.sleep(seconds)
        process.kill()
        return max([run * RUN - 1, *map(int, process.stdout.read().splitlines())])


@pytest.mark.slow
def test_a_killed_run_loses_nothing_that_was_written(begin, seed):
    """Killed at random instants, again and again: what was written is there, and all that is there is right."""
    rng = random.Random(seed)
    for trial in range(KILLS):
        source = f"file:///{trial}"
        told = [killed(source, run, rng.random() * 0.1) for run in range(1 + trial % 3)]
        journal = begin(Identity("put", source, "x", {}), state="")
        tokens, uploads = known_tokens(), {begun.target_key: begun for begun in journal.uploads()}

        assert journal.was_interrupted
        for run, last in enumerate(told):
            for number in range(run * RUN, last + 1):  # files are written along with the parts, at the latest
                done = [Done(f"source {number}", f"target {i}", ("md5", f"{number:x}"), "md5") for i in range(7)]
                assert [journal.done(f"file {number} {i}") for i in range(7)] == done
                begun = Unfinished(f"to {number}", f"token {number}", 8, "v", {number: part(number)})
                assert uploads.pop(f"to {number}", None) == (begun if number % 3 else None)
                assert not number % 3 or f"token {number}" in tokens
            begun = uploads.pop(f"to {last + 1}", None)  # it was in the works
            assert begun is None or begun.parts in ({}, {last + 1: part(last + 1)})
            assert begun is None or begun.token in tokens
        assert uploads == {}
        journal.discard()


@pytest.fixture
def seed():
    """Shown when a test fails."""
    seed = random.SystemRandom().randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    return seed


@pytest.mark.parametrize("what", [b"no database at all", b"SQLite format 3\0" + bytes(5000), bytes(4096)])
def test_a_damaged_journal_is_begun_anew(begin, state, told, what):
    """An event says so; the other is put aside."""
    files = JournalFiles(state, IDENTITY.id)
    files.create()
    files.database.write_bytes(what)
    journal = begin()
    journal.note_done("a", DONE)
    journal.close()

    assert told.count("journal_begun_anew") == 1
    assert begin().done("a") == DONE
    assert (state / f"{IDENTITY.id}.aside").read_bytes() == what


@pytest.mark.parametrize("statement", ["PRAGMA user_version = 99", "PRAGMA application_id = 1", "DROP TABLE done"])
def test_a_journal_of_something_else_is_begun_anew(begin, state, told, statement):
    """By a later release, or by another program."""
    journal = begin()
    journal.note_done("a", DONE)
    journal.note_upload("big", BEGUN)
    journal.close()
    with contextlib.closing(sqlite3.connect(JournalFiles(state, IDENTITY.id).database)) as other:
        other.execute(statement)
        other.commit()
    again = begin()

    assert told == ["journal_begun_anew"]
    assert again.done("a") is None
    assert known_tokens() == set()


def test_damage_that_shows_later_is_no_failure(begin, state, told):
    """The journal gives up, and the next run begins anew."""
    journal = begin()
    for number in range(2000):
        journal.note_done(f"{number:05}", DONE)
    journal.close()
    path = JournalFiles(state, IDENTITY.id).database
    data = bytearray(path.read_bytes())
    data[5 * 4096 : -4096] = os.urandom(len(data) - 6 * 4096)
    path.write_bytes(data)
    journal = begin()
    found = [journal.done(f"{number:05}") for number in range(2000)]
    journal.note_done("x", DONE)
    journal.set_state("complete")
    journal.close()

    assert set(found) <= {DONE, None}
    assert journal.broken or told == ["journal_begun_anew"]
    assert len(told) == 1
    assert begin().done("00000") in {None, DONE}
    assert not begin_is_broken(state)


def begin_is_broken(state):
    with contextlib.closing(sqlite3.connect(JournalFiles(state, IDENTITY.id).database, timeout=0)) as other:
        try:
            return other.execute("PRAGMA quick_check").fetchone()[0] != "ok"
        except sqlite3.OperationalError:  # in use, as it should be
            return False


@pytest.mark.parametrize("where", ["in a file", "nowhere", "relative"])
def test_without_a_folder_there_is_no_journal(tmp_path, monkeypatch, told, where):
    """The transfer goes on without; an event says why."""
    (tmp_path / "file").write_text("x")
    if where == "relative":
        monkeypatch.delenv("PERSISTENCE_FSSPEC_STATE_DIR")
        monkeypatch.delenv("XDG_STATE_HOME", raising=False)
        monkeypatch.setattr("platformdirs.user_state_path", lambda *_, **__: Path("~/.local/state"))
    else:
        folder = tmp_path / "file" / "state" if where == "in a file" else Path("/proc/nothing/here")
        monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(folder))

    assert Journal.open(IDENTITY) is None
    assert told == ["journal_unavailable"]
    assert known() == []
    assert known_tokens() == set()
    tidy()


def test_unwanted_there_is_none(state):
    """And nothing of it."""
    assert Journal.open(IDENTITY, wanted=False) is None
    assert not state.exists()


_AS_NOBODY = """
import os, sys
from tests.unit.test_journal import IDENTITY, Journal, on_event
os.setuid(65534)
on_event(lambda event: print(event.name))
print(Journal.open(IDENTITY))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody who may do less")
@pytest.mark.parametrize("what", ["folder", "database"])
def test_what_may_not_be_written_is_no_failure(monkeypatch, begin, what):
    """A read-only folder, or a journal of another user."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", folder)
        if what == "database":
            journal = begin()
            journal.note_done("a", DONE)
            journal.close()
            JournalFiles(Path(folder), IDENTITY.id).database.chmod(0o644)
        with python(_AS_NOBODY, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            out, err = process.communicate()
    if "Permission" in err:
        pytest.skip("nobody may not even read this program")

    assert out.splitlines() == ["journal_unavailable", "None"], err


_FULL = """
import json, sys
from tests.unit.test_journal import DONE, IDENTITY, Journal, Unfinished, known, on_event, part
if sys.argv[1] == "limit":
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
names = []
on_event(lambda event: names.append(event.name))
journal = Journal.open(IDENTITY)
journal.set_state("running")
journal.note_upload("big", Unfinished("to", "token", 8, "v", {}))
for number in range(5000):
    journal.note_done(f"{number:06}", DONE)
    journal.note_part("big", part(number))
remembered = sum(journal.done(f"{number:06}") is not None for number in range(5000))
broken = journal.broken
journal.set_state(sys.argv[2])
journal.close()
print(json.dumps({"names": names, "broken": broken, "remembered": remembered, "known": [one.state for one in known()]}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["limit", "disk"])
@pytest.mark.parametrize("ended", ["failed", "complete"])
def test_a_full_disk_is_no_failure(request, state, begin, monkeypatch, how, ended):
    """The journal stops where it is, once, and what is in it stays true; it does not claim that something is left to do."""
    if how == "disk":
        monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(request.getfixturevalue("small_disk") / "state"))
    with python(_FULL, how, ended, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    said = json.loads(out)

    assert said["names"] == ["journal_unavailable"]
    assert said["broken"]
    assert 0 < said["remembered"] < 5000
    assert "complete" not in said["known"]
    assert "running" not in said["known"]
    if ended == "complete":
        assert said["known"] == []
    else:
        journal = begin(state="")
        found = [number for number in range(5000) if journal.done(f"{number:06}") == DONE]
        parts = journal.upload_of("big").parts
        journal.broken = False
        assert found == list(range(len(found)))
        assert parts == {number: part(number) for number in range(len(parts))}
        assert len(found) > 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where this process may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_journal_that_is_removed_under_way_is_no_failure(begin, state):
    """By somebody who tidies up by hand."""
    journal = begin()
    for path in state.iterdir():
        path.unlink()
    state.rmdir()
    for number in range(100):
        journal.note_done(str(number), DONE)
    journal.note_upload("big", BEGUN)
    journal.set_state("complete")
    journal.close()

    assert begin().done("1") is None


# --- how much ---


_MANY = """
import json, sys, time
from tests.faults.child import status
from tests.unit.test_journal import IDENTITY, Done, Journal
journal = Journal.open(IDENTITY)
journal.set_state("running")
count, before, begun = int(sys.argv[1]), status("VmRSS"), time.monotonic()
for number in range(count):
    done = Done(f"version {number:032x}, 100 bytes", f"version {number:032x}, 100 bytes", ("crc32c", "00000000"), "crc32c")
    journal.note_done(f"folder/{number // 1000:06}/{number:09}.bin", done)
written = time.monotonic() - begun
for number in range(0, count, 10):
    assert journal.done(f"folder/{number // 1000:06}/{number:09}.bin").source == f"version {number:032x}, 100 bytes"
journal.close()
begun = time.monotonic()
Journal.open(IDENTITY).close()
told = {"grown": status("VmHWM") - before, "written": written, "opened": time.monotonic() - begun}
print(json.dumps({**told, "size": journal._files.database.stat().st_size}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is what Linux says of a process")
def test_very_many_notes_need_little_memory(state):
    """Measured by the system, in a process of its own."""
    with python(_MANY, NOTES, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    told = json.loads(out)
    rate, size = NOTES / told["written"], told["size"] / 2**20
    sys.stdout.write(
        f"{NOTES:,} notes: {told['grown'] / 2**20:.0f} MiB, {rate:,.0f} per second, {size:.0f} MiB on disk, "
        f"opened in {told['opened']:.2f} s\n"
    )

    assert told["grown"] < MEMORY
