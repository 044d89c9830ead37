"""The command against real servers: both ways, across stores, and when something is wrong."""

from __future__ import annotations

import pytest

from persistence_fsspec import FSSpecPersistence
from tests.servers.process import HOST, free_port

pytestmark = [pytest.mark.server("s3"), pytest.mark.server("ftp")]


def options(server, prefix=""):
    """A server's options as arguments, secrets among them."""
    return [word for name, value in server.storage_options.items() for word in ("-o", f"{prefix}{name}={value}")]


def test_a_tree_goes_to_s3_and_comes_back(persist, tree, s3_server):
    """With options on the command line."""
    url, given = f"{s3_server.url}/cli-tree", options(s3_server)
    sent = persist("cp", "-r", "d", url, *given, "--json")
    back = persist("cp", "-r", url, "back", *given, "--json")

    assert (sent.code, back.code) == (0, 0), sent.err + back.err
    assert sent.json["verification"] == "md5"
    assert s3_server.raw_keys("cli-tree/") == ["cli-tree/a.csv", "cli-tree/b.txt", "cli-tree/sub/c.csv"]
    assert (tree.parent / "back" / "sub" / "c.csv").read_bytes() == b"ccc"
    assert sorted(persist("ls", url, *given).out.split()) == [f"{url}/{name}" for name in ("a.csv", "b.txt", "sub/")]
    assert persist("rm", "-r", "--yes", url, *given).code == 0
    assert s3_server.raw_keys("cli-tree/") == []


def test_from_one_store_to_another(persist, tree, s3_server, ftp_server, monkeypatch):
    """Options by protocol, the password by reference."""
    s3_server.raw_write("cli-cross/x", b"across")
    monkeypatch.setenv("FTP_PASSWORD", ftp_server.storage_options["password"])
    ftp = ["-o", f"ftp.username={ftp_server.storage_options['username']}", "-o", "ftp.password@env=FTP_PASSWORD"]
    both = [*options(s3_server, "s3."), *ftp]
    there = persist("cp", "-r", f"{s3_server.url}/cli-cross", f"{ftp_server.url}/cli-cross", *both)
    back = persist("mv", f"{ftp_server.url}/cli-cross/x", f"{s3_server.url}/cli-back/", *both)

    assert (there.code, back.code) == (0, 0), there.err + back.err
    assert s3_server.raw_read("cli-back/x") == b"across"
    assert ftp_server.raw_read("cli-cross/x") is None


def test_one_store_is_made_like_another(persist, s3_server, ftp_server):
    """Planned, then done: what is new or different is copied, what is too much deleted; and twice does nothing."""
    both = [*options(s3_server, "s3."), *options(ftp_server, "ftp.")]
    for name, data in {"same": b"1", "new": b"22", "sub/new": b"333"}.items():
        s3_server.raw_write(f"cli-sync/{name}", data)
    ftp_server.raw_write("cli-sync/same", b"1")
    ftp_server.raw_write("cli-sync/old", b"old")
    args = ("sync", f"{s3_server.url}/cli-sync", f"{ftp_server.url}/cli-sync", "--delete", *both)
    planned = persist(*args, "--dry-run", "--json").json
    assert ftp_server.raw_read("cli-sync/new") is None
    done, again = persist(*args, "--json"), persist(*args)

    assert (done.code, again.code) == (0, 0), done.err + again.err
    assert planned["summary"] | {"bytes": 0} == {"copy": 2, "skip": 1, "make_folder": 0, "delete": 1, "failed": 0, "bytes": 0}
    assert sorted(file["status"] for file in done.json["files"]) == ["copied", "copied", "deleted", "skipped"]
    assert ftp_server.raw_read("cli-sync/sub/new") == b"333"
    assert ftp_server.raw_read("cli-sync/old") is None
    assert again.err == "nothing to do: 3 files already there\n"


def test_an_option_without_a_protocol_must_be_clear(persist, s3_server, ftp_server):
    """With two stores it belongs to neither."""
    said = persist("cp", f"{s3_server.url}/x", f"{ftp_server.url}/x", "-o", "anon=true")

    assert said.code == 2
    assert "ftp.anon or s3.anon" in said.err


def test_wrong_credentials_name_where_they_come_from(persist, strict_s3_server, monkeypatch):
    """Their origin, the next command, the exit code; not the credentials."""
    wrong = strict_s3_server.wrong_options
    monkeypatch.setenv("THE_SECRET", "not-the-secret-at-all")
    given = ["-o", f"endpoint_url={wrong['endpoint_url']}", "-o", f"key={wrong['key']}", "-o", "secret@env=THE_SECRET"]
    said = persist("ls", strict_s3_server.url, *given)
    told = persist("ls", strict_s3_server.url, *given, "--json")

    assert (said.code, told.code) == (5, 5), said.err
    assert "secret from -o" in said.err
    assert "storage_options" not in said.err
    assert f"persist doctor {strict_s3_server.url}" in said.err
    assert "secret from storage_options" in told.error["credentials"][0]
    for secret in ("not-the-secret-at-all", wrong["key"]):
        assert secret not in said.err + said.out + told.err + told.out


@pytest.mark.parametrize("verbose", [(), ("-v",), ("-vv",)], ids=["quiet", "v", "vv"])
def test_a_dead_endpoint_is_one_screen(persist, verbose):
    """Operation, URL, cause, the next command; more only for who asks, and the secrets never."""
    endpoint = f"http://{HOST}:{free_port()}"
    given = ["-o", f"endpoint_url={endpoint}", "-o", "key=AKIAABCDEFGHIJ", "-o", "secret=hunter2hunter2", "-p", "attempts=2"]
    said = persist("cp", "s3://bucket/x", "y", *given, "-p", "backoff_seconds=0", *verbose)

    assert said.code == 1
    assert "error: copy s3://bucket/x:" in said.err
    assert "persist doctor s3://bucket" in said.err
    assert ("attempt 1 failed" in said.err) is bool(verbose)
    assert ("Traceback" in said.err) is ("-vv" in verbose)
    assert ("botocore" in said.err.lower()) is ("-vv" in verbose)
    if not verbose:
        assert said.err.count("\n") < 8
    for secret in ("hunter2hunter2", "AKIAABCDEFGHIJ"):
        assert secret not in said.err + said.out


def test_the_most_talkative_log_shows_no_credentials(process, s3_server):
    """Of the environment, which only the driver reads; botocore prints what it signs."""
    secrets = {"AWS_ACCESS_KEY_ID": "AKIAABCDEFGHIJKLMNOP", "AWS_SECRET_ACCESS_KEY": "hunter2/hunter2+hunter2"}
    secrets["AWS_SESSION_TOKEN"] = "IQoJb3JpZ2luX2VjEXAMPLEtoken//////////wEaCXVzLWVhc3QtMSJHMEUCIQ=="
    said = process("ls", s3_server.url, "-vv", **secrets, AWS_ENDPOINT_URL=s3_server.endpoint_url)

    assert said.code == 0, said.err
    assert "botocore" in said.err
    for secret in (secrets["AWS_SECRET_ACCESS_KEY"], secrets["AWS_SESSION_TOKEN"]):
        assert secret not in said.err
        assert secret[:16] not in said.err


def test_cat_streams_from_a_server(persist, ftp_server):
    """Bytes as they are."""
    ftp_server.raw_write("cli-cat", bytes(range(256)))

    assert persist("cat", f"{ftp_server.url}/cli-cat", *options(ftp_server)).out_bytes == bytes(range(256))


def test_a_pipe_into_a_server(persist, s3_server):
    """Under a name that appears when all has arrived."""
    assert persist("cp", "-", f"{s3_server.url}/cli-pipe", *options(s3_server), stdin=b"x" * 100_000).code == 0

    assert s3_server.raw_read("cli-pipe") == b"x" * 100_000
    persistence = FSSpecPersistence(s3_server.url, storage_options=s3_server.storage_options)
    assert persistence.info("cli-pipe").size == 100_000
