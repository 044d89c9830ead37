"""The store of local files: parts, attributes, links, and what it refuses."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from persistence_fsspec import (
    FSSpecPersistence,
    InvalidNameError,
    IsAFolderError,
    ObjectExistsError,
    PersistenceError,
    Policy,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.crc32c import combined, crc32c
from persistence_fsspec.errors import (
    ChangedDuringReadError,
    ChecksumMismatchError,
    ObjectNotFoundError,
    StorageFullError,
    StoreError,
    TruncatedError,
)
from persistence_fsspec.store import Part
from persistence_fsspec.stores import local_append
from persistence_fsspec.stores.local import LocalStore
from persistence_fsspec.stores.local_writer import Staging
from persistence_fsspec.testing.conformance import pattern, write
from persistence_fsspec.testing.harness import PART_SIZE

PART = 1000
DATA = pattern(3 * PART + 17)


@pytest.fixture
def store():
    return LocalStore(Policy())


@pytest.fixture
def key(tmp_path):
    """The key of a name in a fresh folder."""
    return lambda name: f"{tmp_path}/{name}".lstrip("/")


def begin(store, key, token="", **options):
    return store.upload(key, size=len(DATA), part_size=PART, token=token, **options)


def send(upload, number):
    piece = DATA[number * PART : (number + 1) * PART]
    return upload.send(number, piece, crc32c(piece))


# --- parts ---


def test_parts_are_written_by_several_threads(store, key, tmp_path):
    """Each to its place, in any order; the digest of the whole follows from theirs."""
    upload = begin(store, key("d/k"))
    with ThreadPoolExecutor(4) as pool:
        parts = sorted(pool.map(lambda n: send(upload, n), (3, 1, 0, 2)), key=lambda part: part.number)
    info = upload.commit(parts, combined((part.size, part.crc32c) for part in parts))

    assert (tmp_path / "d" / "k").read_bytes() == DATA
    assert store.info(key("d/k")).same_content(info)
    assert os.listdir(tmp_path / "d") == ["k"]


def test_another_process_takes_an_upload_up(store, key, tmp_path):
    """By its token; a file does not tell what arrived, but it can be read back."""
    program = (
        "import os, sys; from persistence_fsspec import Policy; from persistence_fsspec.stores.local import LocalStore;"
        f"u = LocalStore(Policy()).upload({key('k')!r}, size={len(DATA)}, part_size={PART});"
        f"u.send(1, {DATA[PART : 2 * PART]!r}, ''); print(u.token, flush=True); os._exit(9)"
    )
    token = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False).stdout.strip()
    upload = begin(store, key("k"), token)

    assert upload.token == token
    assert upload.parts() == []
    done = Part(number=1, size=PART)
    assert upload.read_back(done) == DATA[PART : 2 * PART]
    assert upload.read_back(Part(number=0, size=PART)) == bytes(PART)
    upload.commit([send(upload, 0), done, send(upload, 2), send(upload, 3)], crc32c(DATA))
    assert (tmp_path / "k").read_bytes() == DATA
    assert os.listdir(tmp_path) == ["k"]


def test_a_partial_file_of_another_size_is_another_upload(store, key):
    """The source has changed meanwhile."""
    upload = begin(store, key("k"))
    upload.leave()

    with pytest.raises(ObjectNotFoundError):
        store.upload(key("k"), size=len(DATA) + 1, part_size=PART, token=upload.token)


@pytest.mark.parametrize("token", ["k", "../k", ".~persist-kept", "/etc/passwd", ".~persist-000000000000-0000000000000000.part"])
def test_no_other_file_is_taken_for_an_upload(store, key, tmp_path, token):
    """Whatever the token says."""
    (tmp_path / "k").write_bytes(DATA)

    with pytest.raises(ObjectNotFoundError):
        begin(store, key("k"), token)
    assert (tmp_path / "k").read_bytes() == DATA


def test_parts_that_are_none_of_the_object_are_refused(store, key, tmp_path):
    """Too short, too long, behind the end; a part too few, and one that is none of these."""
    upload = begin(store, key("k"))
    for number, size in ((0, PART - 1), (0, PART + 1), (3, PART), (4, 0), (-1, PART)):
        with pytest.raises(ValueError, match="are not part"):
            upload.send(number, bytes(size), "")
    parts = [send(upload, number) for number in range(4)]

    for wrong in (parts[:3], [*parts[:3], parts[0]], parts[::-1]):
        with pytest.raises(ValueError, match="are not the 4 parts"):
            upload.commit(wrong, "")
    with pytest.raises(ChecksumMismatchError):
        upload.commit(parts, crc32c(b"something else"))
    assert not (tmp_path / "k").exists()
    upload.commit(parts, crc32c(DATA))


def test_a_partial_file_that_somebody_cut_is_not_published(store, key, tmp_path):
    """Its size is looked at last."""
    upload = begin(store, key("k"))
    parts = [send(upload, number) for number in range(4)]
    os.truncate(tmp_path / upload.token, 5)

    with pytest.raises(TruncatedError):
        upload.commit(parts, crc32c(DATA))
    assert not (tmp_path / "k").exists()
    upload.abort()
    assert os.listdir(tmp_path) == []


def test_an_upload_that_ended_writes_nowhere(store, key, tmp_path):
    """Its descriptor may be another file's by then."""
    upload = begin(store, key("k"))
    upload.abort()
    other = begin(store, key("other"))

    with pytest.raises(StoreError, match="given up"):
        send(upload, 0)
    assert other.read_back(Part(number=0, size=PART)) == bytes(PART)
    other.abort()
    assert os.listdir(tmp_path) == []


def test_an_upload_may_end_while_parts_are_sent(store, key, tmp_path):
    """Each part is written to its own file or refused; nothing stays."""
    for _ in range(20):
        upload, started = begin(store, key("k")), threading.Barrier(5)

        def work(upload=upload, started=started):
            started.wait(5)
            for number in range(4):
                try:
                    send(upload, number)
                except StoreError:
                    return

        with ThreadPoolExecutor(4) as pool:
            working = [pool.submit(work) for _ in range(4)]
            started.wait(5)
            upload.abort()
            for each in working:
                each.result(5)
        assert upload._descriptor is None
    assert os.listdir(tmp_path) == []


def test_an_upload_does_not_replace_what_came_meanwhile(store, key, tmp_path):
    """With overwrite=False, the name is taken only if it is free at the end; a folder is never replaced."""
    upload = begin(store, key("k"), overwrite=False)
    parts = [send(upload, number) for number in range(4)]
    (tmp_path / "k").write_bytes(b"first")
    with pytest.raises(ObjectExistsError):
        upload.commit(parts, crc32c(DATA))
    upload.abort()
    upload = begin(store, key("folder"))
    parts = [send(upload, number) for number in range(4)]
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsAFolderError):
        upload.commit(parts, crc32c(DATA))
    upload.abort()

    assert sorted(os.listdir(tmp_path)) == ["folder", "k"]
    assert (tmp_path / "k").read_bytes() == b"first"


def test_a_dropped_upload_is_left(store, key, tmp_path):
    """Whoever has the token takes it up."""
    upload = begin(store, key("k"))
    token = upload.token
    send(upload, 2)
    del upload

    again = begin(store, key("k"), token)
    assert again.read_back(Part(number=2, size=PART)) == DATA[2 * PART : 3 * PART]
    again.abort()
    assert os.listdir(tmp_path) == []


def test_an_empty_object_has_no_parts(store, key, tmp_path):
    """And is made all the same."""
    upload = store.upload(key("k"), size=0, part_size=PART)
    info = upload.commit([], crc32c(b""))

    assert info.size == 0
    assert (tmp_path / "k").read_bytes() == b""


# --- attributes ---


@pytest.mark.parametrize("name", ["k", "new/k"])
def test_mode_and_time_are_set_before_the_file_is_seen(store, key, tmp_path, name):
    """To the nanosecond; what the commit returns describes the file as it stands there."""
    writer = store.writer(key(name), metadata={"mode": "0604", "mtime": "1732190000.123456789"})
    writer.write(b"hello")
    info = writer.commit()
    found = os.stat(tmp_path / name)

    assert stat.S_IMODE(found.st_mode) == 0o604
    assert found.st_mtime_ns == 1732190000123456789
    assert store.info(key(name)).same_content(info)
    assert store.info(key(name)).metadata == {"mode": "0604", "mtime": "1732190000.123456789"}


@pytest.mark.parametrize("mtime", ["-1.5", "0", "1732190000", "4102444800.000000001"])
def test_a_time_comes_back_as_it_was(store, key, mtime):
    """Also one before 1970."""
    write(store, key("k"), b"", metadata={"mtime": mtime})

    assert float(store.info(key("k")).metadata["mtime"]) == float(mtime)


def test_special_permissions_are_never_given(store, key, tmp_path):
    """Neither asked for, nor taken over from a file that is replaced."""
    write(store, key("asked"), b"", metadata={"mode": "4755"})
    (tmp_path / "replaced").write_bytes(b"old")
    (tmp_path / "replaced").chmod(0o6711)
    write(store, key("replaced"), b"new")

    assert stat.S_IMODE((tmp_path / "asked").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "replaced").stat().st_mode) == 0o711


@pytest.mark.parametrize(
    "metadata",
    [{"run": "42"}, {"mode": "0644", "run": "42"}, {"mode": "33188"}, {"mode": "rw"}, {"mtime": "yesterday"}, {"mtime": "nan"}],
)
def test_other_metadata_are_refused(store, key, tmp_path, metadata):
    """Before anything is written."""
    for act in (store.writer, lambda *a, **o: begin(*(store, *a), **o)):
        with pytest.raises(UnsupportedPersistenceOp):
            act(key("k"), metadata=metadata)

    assert os.listdir(tmp_path) == []


# --- links and folders ---


@pytest.fixture
def linked(tmp_path):
    """A folder with every kind of link in it."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "k").write_bytes(b"12345")
    top = tmp_path / "top"
    (top / "inside").mkdir(parents=True)
    (top / "k").write_bytes(b"1")
    (top / "inside" / "up").symlink_to(top)
    (top / "file").symlink_to("k")
    (top / "folder").symlink_to(tmp_path / "elsewhere")
    (top / "gone").symlink_to("nowhere")
    (top / "loop").symlink_to("loop")
    return top


def test_links_are_listed_as_what_they_are(store, key, linked):
    """Each once, none entered; said of it is what it leads to."""
    found = {e.key.rpartition("/top/")[2]: (e.kind, e.link, e.size) for e in store.find(key("top"), links="list")}

    assert found == {
        "k": ("file", False, 1),
        "file": ("file", True, 1),
        "folder": ("folder", True, None),
        "gone": ("file", True, None),
        "loop": ("file", True, None),
        "inside/up": ("folder", True, None),
    }


def test_links_are_followed_otherwise(store, key, linked):
    """But not into the folder around them; those that lead nowhere are listed, as somebody may miss them."""
    found = {e.key.rpartition("/top/")[2]: e.size for e in store.find(key("top"))}

    assert found == {"k": 1, "file": 1, "folder/k": 5, "gone": None, "loop": None}


def test_an_unreadable_folder_is_reported_and_is_not_empty(store, key, tmp_path, monkeypatch):
    """Nobody knows what is in it."""
    (tmp_path / "d" / "locked").mkdir(parents=True)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    missed = []

    assert list(store.find(key("d"), folders=True, on_error=lambda folder, error: missed.append(folder))) == []
    assert missed == [key("d/locked")]


# --- reading and writing ---


@pytest.mark.skipif(not os.path.exists("/proc/version"), reason="a file that has content, and says that it is empty")
def test_a_file_that_claims_to_be_empty_is_read(store):
    """As those in /proc do."""
    assert store.read("proc/version").startswith(b"Linux")
    assert b"".join(store.stream("proc/version")).startswith(b"Linux")


def test_a_file_that_grows_while_it_is_read_is_an_error(tmp_path, key):
    """Neither the old content nor a mixture of both."""
    store = LocalStore(Policy(part_size=64 * 1024))
    (tmp_path / "k").write_bytes(bytes(200_000))
    pieces = store.stream(key("k"))
    next(pieces)
    with (tmp_path / "k").open("ab") as file:
        file.write(b"more")

    with pytest.raises(OSError, match="while it was being read"):
        list(pieces)


def test_a_link_that_is_written_to_is_replaced(store, key, tmp_path):
    """And what it led to stays; also where it led nowhere."""
    (tmp_path / "old").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("old")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        write(store, key(name), b"new")

    assert (tmp_path / "old").read_bytes() == b"precious"
    assert [(tmp_path / name).read_bytes() for name in ("link", "dangling")] == [b"new", b"new"]
    assert not (tmp_path / "link").is_symlink()
    with pytest.raises(ObjectExistsError):
        (tmp_path / "again").symlink_to("nowhere")
        store.writer(key("again"), overwrite=False)


@pytest.fixture
def pipe(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes here")
    os.mkfifo(tmp_path / "pipe")
    yield tmp_path / "pipe"
    assert stat.S_ISFIFO(os.lstat(tmp_path / "pipe").st_mode)


@pytest.mark.parametrize("way", ["writer", "upload", "rename", "copy"])
def test_a_pipe_is_not_replaced(store, key, tmp_path, pipe, way):
    """Nor is anything written beside it; the error says what it is, and what to do."""
    (tmp_path / "source").write_bytes(b"1")
    ways = {
        "writer": lambda: store.writer(key("pipe")),
        "upload": lambda: begin(store, key("pipe")),
        "rename": lambda: store.rename(key("source"), key("pipe")),
        "copy": lambda: store.copy(key("source"), key("pipe")),
    }
    with pytest.raises(UnsupportedPersistenceOp, match="a pipe stands there, and a file would take its place") as caught:
        ways[way]()

    assert "/pipe" in str(caught.value)
    assert "persist cat" in caught.value.hint
    assert sorted(os.listdir(tmp_path)) == ["pipe", "source"]


@pytest.mark.skipif(not stat.S_ISCHR(os.stat(os.devnull).st_mode), reason="no devices here")
def test_a_device_is_not_replaced(store):
    """Looked at only: a test that fails must not harm this machine."""
    with pytest.raises(UnsupportedPersistenceOp, match="a device stands there"):
        Staging(os.devnull.lstrip("/"), "dev/none", overwrite=True, fsync=False)


def test_a_socket_is_not_replaced(store, monkeypatch, tmp_path, key):
    """It is no file either."""
    monkeypatch.chdir(tmp_path)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
        with pytest.raises(UnsupportedPersistenceOp, match="a socket stands there"):
            store.writer(key("s"))


def test_a_link_to_a_pipe_is_not_replaced_either(store, key, tmp_path, pipe):
    """``/dev/stdout`` is one."""
    (tmp_path / "link").symlink_to("pipe")
    with pytest.raises(UnsupportedPersistenceOp, match="a pipe stands there"):
        write(store, key("link"), b"new")

    assert (tmp_path / "link").is_symlink()


def test_what_is_fetched_does_not_replace_a_pipe(pipe, tmp_path):
    """Nor is there anything left of the attempt."""
    persistence = FSSpecPersistence("memory://pipes")
    persistence.write_bytes("k", b"1")
    with pytest.raises(PersistenceError, match="a pipe stands there"):
        persistence.get("k", str(pipe))

    assert os.listdir(tmp_path) == ["pipe"]


def test_a_folder_that_is_missing_is_made_once(store, key, monkeypatch):
    """Not looked for with each file."""
    made = []
    real = os.mkdir
    monkeypatch.setattr(os, "mkdir", lambda path, *more: made.append(os.path.basename(path)) or real(path, *more))
    for number in range(10):
        write(store, key(f"a/b/{number}"), b"1")

    assert made == ["a", "b"]


@pytest.mark.parametrize("area", [(None, None), (0, 3)])
def test_a_pinned_read_notices_a_write_in_its_middle(store, key, tmp_path, monkeypatch, area):
    """Half of the old bytes and half of the new ones are nobody's content."""
    (tmp_path / "a").write_bytes(b"old")
    pin, read = store.info(key("a")), os.read

    def reading(descriptor, size):
        data = read(descriptor, size)
        (tmp_path / "a").write_bytes(b"newer")
        return data

    with monkeypatch.context() as patched, pytest.raises(ChangedDuringReadError):
        patched.setattr(os, "read", reading)
        store.read(key("a"), *area, pin=pin)


@pytest.mark.parametrize("name", ["n" * 300, f"{'n' * 300}/k"])
def test_a_name_that_is_too_long_is_told(name, tmp_path):
    """By one error of ours, whatever was asked."""
    persistence = FSSpecPersistence(tmp_path)
    persistence.write_bytes("k", b"1")

    for act in (
        lambda: persistence.write_bytes(name, b"1"),
        lambda: persistence.read_bytes(name),
        lambda: persistence.exists(name),
        lambda: persistence.delete(name),
        lambda: persistence.put(tmp_path / "k", name),
        lambda: persistence.get("k", tmp_path / name),
        lambda: persistence.copy("k", name),
        lambda: persistence.move("k", name),
        lambda: persistence.put(tmp_path / name, "j"),
    ):
        with pytest.raises(InvalidNameError):
            act()
    assert os.listdir(tmp_path) == ["k"]


# --- appends ---


@pytest.mark.skipif(sys.platform == "win32", reason="nothing limits the size of files there")
def test_an_append_that_finds_no_room_is_taken_back(tmp_path):
    """Nobody reads half of it, and the next one does not stand behind it."""
    import resource

    (tmp_path / "log").write_bytes(b"before\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        with pytest.raises(StorageFullError):
            FSSpecPersistence(tmp_path).append("log", b"x" * 2_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert (tmp_path / "log").read_bytes() == b"before\n"


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_an_append_does_not_wait_for_ever(tmp_path, monkeypatch):
    """Whoever else locks a file for long does not keep others from appending."""
    import fcntl

    monkeypatch.setattr(local_append, "_PATIENCE_SECONDS", 0.05)
    with open(tmp_path / "log", "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        FSSpecPersistence(tmp_path).append("log", b"line\n")

    assert (tmp_path / "log").read_bytes() == b"line\n"


def test_what_is_read_whole_is_read_again(tmp_path, monkeypatch):
    """When it was replaced meanwhile: it is one version, or the other; with a version, it is an error."""
    persistence = FSSpecPersistence(tmp_path, policy=Policy(part_size=PART_SIZE))
    old, new = b"a" * (3 * PART_SIZE), b"b" * (3 * PART_SIZE)
    persistence.write_bytes("k", old)
    version = persistence.info("k")
    real, replaced = LocalStore.stream, []

    def stream(self, key, *, pin=None):
        for number, piece in enumerate(real(self, key, pin=pin)):
            yield piece
            if number == 0 and len(replaced) < 1:
                replaced.append((tmp_path / "k").write_bytes(new))

    monkeypatch.setattr(LocalStore, "stream", stream)

    assert persistence.read_bytes("k") == new
    replaced.clear()
    with pytest.raises(ChangedDuringReadError):
        persistence.read_bytes("k", version=version)
