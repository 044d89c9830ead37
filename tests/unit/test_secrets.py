"""Secrets: referred to, looked up, never shown, never pickled."""

from __future__ import annotations

import base64
import copy
import enum
import json
import logging
import os
import pickle
import sys
import traceback
import urllib.parse
import uuid
from collections import namedtuple
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from persistence_fsspec import (
    FileOutcome,
    FSSpecPersistence,
    InvalidOptionError,
    ObjectInfo,
    Policy,
    SecretPicklingError,
    SecretReference,
    StorageFullError,
    StoreError,
    TransferError,
    TransferReport,
)
from persistence_fsspec import secret as references
from persistence_fsspec.diagnosis.credentials import credentials
from persistence_fsspec.diagnosis.endpoints import Endpoint, endpoint_of
from persistence_fsspec.diagnosis.network import proxies
from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.foreign import translated
from persistence_fsspec.location import parse
from persistence_fsspec.redaction import RedactedError, protect, protect_url, redact, redact_places, stand_in
from persistence_fsspec.secret import as_tables, forget_answers, referenced
from persistence_fsspec.sensitive import filesystem_secrets, literal_secrets, resolved, shown

SIGNED = "https://host/x?list-type=2&X-Amz-Credential=AKIA%2F1&X-Amz-Signature={}"


@pytest.fixture
def canary():
    """A secret that no other test has."""
    return f"Canary7/{uuid.uuid4().hex}+x"


def script(tmp_path, text):
    """A program for a reference to run."""
    path = tmp_path / "program.py"
    path.write_text(text)
    return (sys.executable, "-I", str(path))


def memory_options(url):
    """A module-level function for storage_options."""
    return {"skip_instance_cache": True} if url.startswith("memory:") else {}


# --- references -----------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"env": "A", "file": "b"}, {"env": ""}, {"command": ()}, {"command": "ls"}, {"file": 3}])
def test_a_reference_is_exactly_one_thing(given):
    """Nothing, two, an empty one, or one of the wrong kind is refused at once."""
    with pytest.raises(InvalidOptionError):
        SecretReference(**given)


def test_a_reference_to_a_variable(monkeypatch):
    """Looked up each time, so a new value counts."""
    reference = SecretReference(env="TEST_SECRET_VARIABLE")
    monkeypatch.setenv("TEST_SECRET_VARIABLE", "one")
    assert reference.resolve() == "one"
    monkeypatch.setenv("TEST_SECRET_VARIABLE", "two ")

    assert reference.resolve() == "two "


def test_a_missing_variable_is_named(monkeypatch):
    """Unset and empty alike; the option is named too."""
    monkeypatch.setenv("TEST_SECRET_VARIABLE", "")

    with pytest.raises(InvalidOptionError, match=r"client_kwargs\.auth\[1\]: .*TEST_SECRET_VARIABLE is not set"):
        resolved({"client_kwargs": {"auth": ("me", SecretReference(env="TEST_SECRET_VARIABLE"))}})


@pytest.mark.parametrize("text", ["s3cr3t", "s3cr3t\n", "s3cr3t\r\n"])
def test_a_reference_to_a_file(tmp_path, text):
    """Without the newline that editors put at the end."""
    (tmp_path / "key").write_bytes(text.encode())

    assert SecretReference(file=tmp_path / "key").resolve() == "s3cr3t"


def test_a_reference_to_a_file_at_home(tmp_path, monkeypatch):
    """``~`` is the home of whoever looks it up."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("a b\nc\n")

    assert SecretReference(file="~/key").resolve() == "a b\nc"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"], ids=["missing", "empty", "newline", "binary"])
def test_a_file_without_a_secret_is_named(tmp_path, content):
    """And nothing of what is in it."""
    if content is not None:
        (tmp_path / "key").write_bytes(content)

    with pytest.raises(InvalidOptionError, match=r"file .*key"):
        SecretReference(file=str(tmp_path / "key")).resolve()


@pytest.fixture
def streams(monkeypatch):
    """Streams that were read; forgotten afterwards."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no named pipes here")
    known = {}
    monkeypatch.setattr(references, "_streams", known)
    return known


def test_a_pipe_is_read_once_and_remembered(streams):
    """As a shell's ``<(program)`` is: everybody gets what it said, also after it was closed."""
    reading, writing = os.pipe()
    os.write(writing, b"s3cr3t\n")
    os.close(writing)
    reference = SecretReference(file=f"/dev/fd/{reading}")
    assert reference.resolve() == "s3cr3t"
    assert reference.resolve() == "s3cr3t"
    forget_answers()
    os.close(reading)

    assert reference.resolve() == "s3cr3t"


def test_a_pipe_that_nobody_writes_to_does_not_hang(streams, tmp_path, monkeypatch):
    """It is named; who writes late is still heard, because somebody goes on listening."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    monkeypatch.setattr(references, "STREAM_TIMEOUT_SECONDS", 0.01)
    with pytest.raises(InvalidOptionError, match=r"pipe.* said nothing within"):
        SecretReference(file=path).resolve()
    path.write_text("s3cr3t\n")
    streams[str(path)].result(30)

    assert SecretReference(file=path).resolve() == "s3cr3t"


def test_a_stream_without_an_end_is_refused(streams):
    """Instead of filling the memory."""
    with pytest.raises(InvalidOptionError, match="/dev/zero, which says more than"):
        SecretReference(file="/dev/zero").resolve()


def test_a_reference_to_a_program(tmp_path):
    """Its output, without a shell in between."""
    command = (*script(tmp_path, "import sys; print(sys.argv[1])"), "$HOME; x")

    assert SecretReference(command=command).resolve() == "$HOME; x"


def test_a_program_is_asked_again_when_told_to(tmp_path):
    """Otherwise a thousand small files would start it a thousand times."""
    log = tmp_path / "log"
    reference = SecretReference(command=script(tmp_path, f"open({str(log)!r}, 'a').write('x'); print('s3cr3t')"))
    reference.resolve()
    reference.resolve()
    assert log.read_text() == "x"
    forget_answers()
    reference.resolve()

    assert log.read_text() == "xx"


def test_a_program_that_fails_is_named_and_not_quoted(tmp_path, canary):
    """What it printed may be the secret."""
    text = f"import sys; print({canary!r}); print({canary!r}, file=sys.stderr); sys.exit(3)"
    with pytest.raises(InvalidOptionError, match="status 3") as caught:
        SecretReference(command=script(tmp_path, text)).resolve()

    assert sys.executable in str(caught.value)
    assert canary not in "".join(traceback.format_exception(caught.value))


def test_a_program_that_is_not_there_is_named():
    """Instead of an error about a file."""
    with pytest.raises(InvalidOptionError, match="no-such-program-7"):
        SecretReference(command=("no-such-program-7",)).resolve()


def test_references_print_copy_pickle_and_compare():
    """They are what may be shown."""
    reference = SecretReference(command=["pass", "show", "x"])

    assert repr(reference) == "SecretReference(command=('pass', 'show', 'x'))"
    assert pickle.loads(pickle.dumps(reference)) == copy.deepcopy(reference) == reference
    assert hash(reference) == hash(SecretReference(command=("pass", "show", "x")))


def test_tables_stand_for_references():
    """As in TOML and JSON, at any depth, and back."""
    tables = {"key": {"env": "A"}, "deep": {"auth": ["me", {"command": ["pass", "x"]}]}, "port": {"env": "A", "file": "b"}}
    options = referenced(tables)

    assert options["key"] == SecretReference(env="A")
    assert options["deep"]["auth"] == ["me", SecretReference(command=("pass", "x"))]
    assert options["port"] == {"env": "A", "file": "b"}
    assert as_tables(options) == tables


# --- what is shown ----------------------------------------------------------------------

Login = namedtuple("Login", ["login", "password", "encoding"])


class Color(enum.Enum):
    RED = 1


HARMLESS = {
    "anon": True,
    "port": 21,
    "timeout": 2.5,
    "endpoint_url": "http://host:9000",
    "host": "ftp.example",
    "proxy": "proxy.example:3128",
    "username": "me",
    "client_kwargs": {"region_name": "eu-west-1", "verify": None},
    "config_kwargs": {"signature_version": "s3v4", "retries": {"max_attempts": 1}},
    "default_cache_type": "readahead",
    "token": "anon",
    "auth": ("me", SecretReference(env="PASSWORD")),
    "client_keys": ["/home/me/.ssh/id_ed25519"],
    "key_filename": Path("/home/me/.ssh/id_ed25519"),
    "get_client": memory_options,
    "color": Color.RED,
    "dfs.client.read.shortcircuit": "false",
}
SECRET = {
    "secret": "x",
    "key": "AKIA",
    "password": 1234,
    "token": {"refresh_token": "y"},
    "account_key": b"z",
    "auth": ["me", "z"],
    "something_new": "value",
    "session": object(),
    "credential": object(),
    "endpoint_url": "http://me:pw@host:9000",
    "base_url": "https://host/x?nobody-knows=1",
    "client_kwargs": {"headers": {"Authorization": "Basic x"}},
    "get_credentials": lambda: None,
    "client_keys": [b"-----BEGIN", "-----BEGIN\nabc", object()],
    "proxy": "me:pw@proxy:3128",
    "proxies": ["proxy:3128", "me:pw@proxy:3128"],
    "host": "me@corp:pw@host",
}
WHERE = [
    "secret", "key", "password", "token.refresh_token", "account_key", "auth[1]", "something_new", "session", "credential",
    "endpoint_url", "base_url", "client_kwargs.headers.Authorization", "get_credentials",
    "client_keys[0]", "client_keys[1]", "client_keys[2]", "proxy", "proxies[1]", "host",
]  # fmt: skip


def test_what_is_known_to_be_harmless_is_shown():
    """And may travel."""
    assert literal_secrets(HARMLESS) == []
    assert shown(HARMLESS)["client_kwargs"] == {"region_name": "eu-west-1", "verify": None}
    assert "***" not in str(shown(HARMLESS))


def test_everything_else_is_not():
    """Also what nobody has heard of yet; the names say where."""
    assert literal_secrets(SECRET) == WHERE
    assert literal_secrets({"s3": SECRET})[:2] == ["s3.secret", "s3.key"]
    text = str(shown(SECRET))
    assert not any(value in text for value in ("AKIA", "1234", "'y'", "'z'", "'value'", "object at", "Basic", "pw@"))
    assert shown({"auth": ["me", "z"]}) == {"auth": ["me", "***"]}


def test_named_tuples_are_judged_by_their_names():
    """As aiohttp's BasicAuth is one; and they stay what they are."""
    given = {"client_kwargs": {"auth": Login("me", SecretReference(env="HOME"), "latin1")}}

    assert literal_secrets({"auth": Login("me", "x", "latin1")}) == ["auth[1]"]
    assert isinstance(resolved(given)["client_kwargs"]["auth"], Login)


def test_resolving_leaves_the_given_options_alone(monkeypatch):
    """They may be shown, pickled and resolved again."""
    monkeypatch.setenv("TEST_SECRET_VARIABLE", "two")
    given = {"s3": {"secret": SecretReference(env="TEST_SECRET_VARIABLE"), "list": [1, {"a": None}]}}

    assert resolved(given) == {"s3": {"secret": "two", "list": [1, {"a": None}]}}
    assert given["s3"]["secret"] == SecretReference(env="TEST_SECRET_VARIABLE")


def test_a_ready_filesystem_is_judged_by_its_arguments():
    """Positional ones and filesystems inside of it included."""
    secret = MemoryFileSystem(token="tok", skip_instance_cache=True)
    outer = fsspec.filesystem("dir", path="/x", fs=secret, skip_instance_cache=True)

    assert filesystem_secrets(secret) == ["token"]
    assert filesystem_secrets(outer) == ["fs.token"]
    assert filesystem_secrets(MemoryFileSystem(skip_instance_cache=True)) == []


# --- values that are known ---------------------------------------------------------------


def spellings(secret):
    raw = secret.encode()
    quoted = (urllib.parse.quote(secret, safe=""), urllib.parse.quote(secret), urllib.parse.quote_plus(secret))
    return (secret, *quoted, base64.b64encode(raw).decode().rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="))


def test_known_secrets_are_hidden_wherever_they_stand(canary):
    """In every spelling that drivers and servers send."""
    resolved({"secret": canary})

    for spelling in spellings(canary):
        assert redact(f"a{spelling}b") == "a***b"


@pytest.mark.parametrize(
    "make", [lambda c: {"username": "me", "password": c}, lambda c: {"auth": ("me", c)}], ids=["two", "pair"]
)
def test_a_login_is_hidden_as_the_web_sends_it(canary, make):
    """User and password in one word of base64."""
    resolved(make(canary))

    assert canary not in redact(base64.b64encode(f"me:{canary}".encode()).decode())
    assert redact(f"<{base64.b64encode(f'me:{canary}'.encode()).decode()}>") == "<***>"


@pytest.mark.parametrize(
    "option",
    [
        {"connection_string": "AccountName=me;AccountKey={};BlobEndpoint=http://host/me"},
        {"sas_token": "?sv=2024-01-01&sig={}"},
        {"headers": {"X-Auth": "Bearer {raw}"}},
        {"endpoint_url": "https://me:{}@host"},
        {"proxy": "https://{}@host"},
    ],
    ids=["connection string", "sas", "header", "login", "token"],
)
def test_parts_of_a_secret_are_secrets(canary, option):
    """Drivers take them apart."""
    quoted = urllib.parse.quote(canary, safe="")
    resolved(json.loads(json.dumps(option).replace("{}", quoted).replace("{raw}", canary)))

    assert redact(f"it is {canary} and {quoted}") == "it is *** and ***"


def test_references_are_hidden_once_they_are_looked_up(canary, monkeypatch):
    """Before, nobody knows them."""
    monkeypatch.setenv("TEST_SECRET_VARIABLE", canary)
    resolved({"a": [{"secret": SecretReference(env="TEST_SECRET_VARIABLE")}]})

    assert redact(f"token {canary} refused") == "token *** refused"


def test_harmless_options_stay_readable(monkeypatch):
    """An endpoint is what people look for in an error; also when a variable says it."""
    monkeypatch.setenv("TEST_SECRET_VARIABLE", "http://minio.example:9000")
    resolved({"endpoint_url": SecretReference(env="TEST_SECRET_VARIABLE"), "region_name": "eu-central-7"})

    assert redact("http://minio.example:9000 in eu-central-7") == "http://minio.example:9000 in eu-central-7"


@pytest.mark.parametrize("password", [987654321, 1234567.5])
def test_numbers_are_secrets_too(password):
    """A command line makes a number of a password of digits; numbers that are known to be harmless stay readable."""
    resolved({"username": "me", "password": password, "block_size": 5242881})
    pair = base64.b64encode(f"me:{password}".encode()).decode()

    assert redact(f"{password} {pair} 5242881") == "*** *** 5242881"


def test_a_proxy_without_a_scheme_has_a_login(canary):
    """Drivers name the password alone."""
    resolved({"proxy": f"me@corp:{canary}@proxy:3128"})

    assert redact(f"407 {canary}") == "407 ***"


def test_a_password_with_a_slash_is_hidden_where_it_became_a_name():
    """A driver takes what stands behind the slash for a folder, and says it is not there."""
    tail = uuid.uuid4().hex
    protect_url(f"zip://a::ftp://me@corp.example:9/{tail}@host/y")

    assert redact(f"550 /{tail}@host/y: no such file") == "550 /***@host/y: no such file"


def test_a_key_file_is_hidden_line_by_line():
    """Texts are folded and cut."""
    lines = [f"MIIEowIBAAKCAQEA{uuid.uuid4().hex}" for _ in range(3)]
    protect("-----BEGIN KEY-----\n" + "\n".join(lines) + "\n-----END KEY-----\n")

    assert redact(f"cannot read {lines[1]}") == "cannot read ***"


def test_words_are_not_torn():
    """A password that is a word leaves longer words alone, and short ones are not hidden at all."""
    protect("sesamo")
    protect("abc")

    assert redact("sesamo sesamopolis open_sesamo sesamo-x abc") == "*** sesamopolis open_sesamo sesamo-x abc"
    assert redact("'sesamo', x=sesamo&y, sesamo: 7sesamo7 %3Dsesamo") == "'***', x=***&y, ***: 7***7 %3D***"
    assert redact(repr("\nsesamo")) == repr("\n***")


def test_what_a_url_holds_is_hidden(canary):
    """Its password, its token and its signature; of chains too."""
    quoted = urllib.parse.quote(canary, safe="")
    protect_url(f"zip://a::ftp://me:{quoted}@host/x")
    protect_url(SIGNED.format("0123456789abcdef-signature"))
    protect_url("https://0123456789-token@host/x")

    assert redact(f"530 {canary} 0123456789abcdef-signature 0123456789-token") == "530 *** *** ***"


def test_texts_that_are_handed_on_do_not_depend_on_what_is_known(canary):
    """A URL stays the same URL after somebody's password has become known."""
    protect(canary)

    assert redact_places(f"s3://{canary}/x") == f"s3://{canary}/x"


# --- errors -------------------------------------------------------------------------------


def chain(canary):
    """As drivers build them: in the text, in an argument, in a note, in a context that is hidden behind the cause."""
    deep = ValueError("bad", {"password": canary})
    middle = RuntimeError(f"https://host/?sig={canary}")
    middle.__context__ = deep
    outer = OSError(28, "No space left")
    outer.__cause__ = middle
    if hasattr(outer, "add_note"):
        outer.add_note(f"Authorization: {canary}")
    return outer


def everything(exc, seen=None):
    """All texts of an error and of whatever it refers to."""
    seen = set() if seen is None else seen
    if exc is None or id(exc) in seen:
        return ""
    seen.add(id(exc))
    own = [str(exc), repr(exc), str(exc.args), *map(str, getattr(exc, "__notes__", ()))]
    lines = traceback.format_exception(type(exc), exc, exc.__traceback__)
    return "\n".join([*own, *lines, everything(exc.__cause__, seen), everything(exc.__context__, seen)])


def test_no_cause_of_an_error_shows_a_secret(canary):
    """The classes and the tracebacks of the causes stay."""
    with pytest.raises(StorageFullError) as caught, translated("write", "s3://b/k"):
        try:
            raise chain(canary)
        finally:
            pass
    text = everything(caught.value)

    assert canary not in text
    assert isinstance(caught.value.__cause__, RedactedError)
    assert "builtins.OSError: [Errno 28] No space left" in text
    assert "builtins.RuntimeError: https://host/?sig=***" in text
    assert "raise chain(canary)" in text


def test_a_bug_that_shows_a_secret_becomes_ours(canary):
    """Which class it was can still be read."""
    with pytest.raises(StoreError) as caught, translated("write", "s3://b/k"):
        raise KeyError(f"password={canary}")

    assert canary not in everything(caught.value)
    assert "builtins.KeyError" in everything(caught.value)


def test_the_context_of_a_bug_counts(canary):
    """It is printed with it."""
    with pytest.raises(StoreError) as caught, translated("write", "s3://b/k"):
        try:
            raise ValueError(f"password={canary}")
        except ValueError:
            raise TypeError("innocent")  # noqa: B904 - as drivers do

    assert canary not in everything(caught.value)


def test_our_own_errors_lose_causes_that_show_a_secret(canary):
    """Those that were raised from a foreign error below."""
    with pytest.raises(StoreError) as caught, translated("write", "s3://b/k"):
        try:
            raise chain(canary)
        except OSError as exc:
            raise StoreError("ours") from exc

    assert str(caught.value) == "write s3://b/k: ours"
    assert canary not in everything(caught.value)


def test_a_group_of_errors(canary):
    """Of which each is printed (since Python 3.11)."""
    if sys.version_info < (3, 11):
        pytest.skip("no groups before Python 3.11")
    with pytest.raises(StoreError) as caught, translated("write", "s3://b/k"):
        raise ExceptionGroup("several", [ValueError(f"password={canary}"), TypeError("x")])  # noqa: F821 - not in 3.10

    assert canary not in everything(caught.value)
    assert "TypeError: x" in everything(caught.value)


def test_an_innocent_chain_stays_as_it_is():
    """For whoever debugs it."""
    error = chain("short")
    error.__cause__ = ValueError("x")
    error.__notes__ = ["innocent"]

    assert stand_in(error) is error


def test_a_circle_of_causes_ends(canary):
    """Two errors may name one another."""
    one, two = ValueError(f"password={canary}"), ValueError("x")
    one.__context__, two.__context__ = two, one

    assert canary not in everything(stand_in(two))


def test_our_errors_redact_what_they_are_told(canary):
    """Message, URL and hint."""
    protect(canary)
    error = PersistenceError(f"m {canary}", url=SIGNED.format("abc"), hint=f"h {canary}")

    assert canary not in everything(error)
    assert error.url == SIGNED.format("***").replace("AKIA%2F1", "***")


# --- log records, reports and the rest -----------------------------------------------------


def test_log_records_hold_no_secret(canary, caplog):
    """Their text, their fields, and the error they come with."""
    protect(canary)
    caplog.set_level(logging.DEBUG, "persistence_fsspec")
    log = logging.getLogger("persistence_fsspec")
    try:
        raise chain(canary)
    except OSError as exc:
        log.warning("it is %s", canary, exc_info=True, extra={"persistence_error": exc, "persistence_url": f"s3://{canary}"})
    (record,) = caplog.records

    assert canary not in record.getMessage() + str(vars(record)) + logging.Formatter().format(record)
    assert "builtins.OSError" in logging.Formatter().format(record)


def report_of(url, error):
    outcome = FileOutcome(key="x", info=ObjectInfo(key=url), source=url, target=url, status="failed", error=error)
    return TransferReport(operation="put", source=url, target=url, files=(outcome,))


def test_reports_hold_no_secret(canary):
    """Printed, as JSON, as HTML and pickled; also inside the error that carries one."""
    protect(canary)
    report = report_of(SIGNED.format(canary), StoreError(f"password={canary}", url=SIGNED.format(canary)))
    with pytest.raises(TransferError) as caught:
        report.raise_for_failures()
    texts = [repr(report), str(report), report.to_json(), report._repr_html_(), repr(report.files), everything(caught.value)]

    assert not any(spelling in text for text in texts for spelling in spellings(canary))
    for pickled in (pickle.dumps(report), pickle.dumps(caught.value)):
        assert not any(spelling.encode() in pickled for spelling in spellings(canary))
    assert json.loads(report.to_json())["files"][0]["error"].endswith("password=***")


@pytest.mark.parametrize(
    "make", [lambda url: parse(url), lambda url: ObjectInfo(key=url), lambda _: Policy()], ids=["at", "info", "policy"]
)
def test_values_pickle_without_secrets(canary, make):
    """What names an object by a signed URL, and what has a login."""
    for url in (SIGNED.format(canary), f"ftp://me:{canary.replace('/', '')}@host/x"):
        value = make(url)
        again = pickle.loads(pickle.dumps(value))

        assert canary.replace("/", "").encode() not in pickle.dumps(value).replace(b"/", b"")
        assert canary not in repr(value)
        assert type(again) is type(value)
        assert repr(again) == repr(value)
        assert copy.copy(value) == copy.deepcopy(value) == value


# --- what the diagnosis shows --------------------------------------------------------------


@pytest.mark.parametrize("login", ["me:{}@", "me@corp:{}@", "http://me:{}@", "{}@"])
def test_the_login_of_a_proxy_is_not_shown(canary, monkeypatch, login):
    """With and without a scheme, as curl takes both."""
    monkeypatch.setenv("HTTPS_PROXY", login.format(canary.replace("/", "")) + "proxy.example:3128")
    check = proxies(Endpoint(host="host.example", port=443, origin="test", tls=True, web=True))

    assert "***@proxy.example:3128" in str(check)
    assert canary.replace("/", "") not in str(check)


@pytest.mark.parametrize("wrap", ['{{"private_key": "{}"}}', "{}", "/9j/{}", "{}" * 200], ids=["json", "text", "slash", "long"])
def test_a_key_in_place_of_its_file_is_not_shown(canary, monkeypatch, wrap):
    """Some set the variable to the key itself, as CI systems do; a name of a file is shown, to be corrected."""
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", wrap.format(*[canary] * 200))
    hidden = credentials("gcsfs", parse("gs://bucket"), {}, {})
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/no/such/key.json")
    named = credentials("gcsfs", parse("gs://bucket"), {}, {})

    assert canary not in str(hidden)
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(hidden)
    assert "/no/such/key.json" in str(named)


def test_an_endpoint_that_cannot_be_understood_is_not_quoted(canary):
    """What stands where the port should be is a password with a slash."""
    with pytest.raises(InvalidOptionError, match="base_url in options is no address") as caught:
        endpoint_of("webdav4", parse("webdav://"), {"base_url": f"https://me:{canary}@host"}, {})

    assert canary.partition("/")[0] not in everything(caught.value)


# --- pickling ------------------------------------------------------------------------------

WAYS_OUT = ("SecretReference(env=", "persistence.toml", "function")


@pytest.mark.parametrize(
    ("prefix", "options", "named"),
    [
        ("memory://x", {"secret": "literal7"}, "storage_options.secret"),
        ("memory://x", {"s3": {"key": SecretReference(env="A"), "secret": "literal7"}}, "storage_options.s3.secret"),
        ("memory://x", {"memory": {"deep": {"list": [{"token": "literal7"}]}}}, "storage_options.memory.deep.list[0].token"),
        ("ftp://me:literal7@host/x", None, "default_prefix"),
        ("ftp://me@corp.example:literal7@host/x", None, "default_prefix"),
        ("zip://::ftp://me@corp.example:literal7@host/x.zip", None, "default_prefix"),
        ("zip://a::ftp://me:literal7/x@host/x.zip", None, "default_prefix"),
        ("ftp://me:9/literal7@host/y", None, "default_prefix"),
        ("memory://x", {"s3": {"proxy": "me:literal7@proxy:3128"}}, "storage_options.s3.proxy"),
        ("zip://a::ftp://me:literal7@host/x.zip", None, "default_prefix"),
        ("https://host/x?X-Amz-Signature=literal7", None, "default_prefix"),
        ("https://literal7@host/x", None, "default_prefix"),
        ("memory://x", lambda _: {"secret": "literal7"}, "storage_options"),
    ],
    ids=[
        *("flat", "nested", "deep", "login", "hosted login", "hosted login in a chain", "slash in a chain", "slash", "proxy"),
        *("chain", "signed", "token", "closure"),
    ],
)
def test_secrets_are_not_pickled(prefix, options, named):
    """The error names where they are, and three ways out; multiprocessing and dask report a TypeError well."""
    persistence = FSSpecPersistence(prefix, storage_options=options)
    with pytest.raises(SecretPicklingError) as caught:
        pickle.dumps(persistence)

    assert isinstance(caught.value, TypeError)
    assert named in str(caught.value)
    assert all(way in str(caught.value) for way in WAYS_OUT)
    assert "literal7" not in everything(caught.value) + repr(persistence)


def test_a_upath_with_a_secret_is_not_pickled():
    """Its options are the persistence's."""
    upath = pytest.importorskip("upath")
    persistence = FSSpecPersistence(upath.UPath("memory://x", token="literal7"))

    with pytest.raises(SecretPicklingError, match=r"storage_options\.token"):
        pickle.dumps(persistence)


def test_a_ready_filesystem_with_a_secret_is_not_pickled():
    """It would hand its arguments on."""
    persistence = FSSpecPersistence("memory://x", filesystem=MemoryFileSystem(token="literal7", skip_instance_cache=True))

    with pytest.raises(SecretPicklingError, match=r"filesystem\.token"):
        pickle.dumps(persistence)


@pytest.mark.parametrize(
    "options",
    [None, {"skip_instance_cache": True}, {"memory": {}, "s3": {"secret": SecretReference(env="A")}}, memory_options],
    ids=["none", "harmless", "reference", "function"],
)
def test_everything_else_is_pickled(options):
    """References travel as what they are."""
    persistence = FSSpecPersistence(
        f"memory://{uuid.uuid4().hex}", storage_options=options, profile=None, policy=Policy(attempts=2)
    )
    persistence.write_bytes("k", b"1")
    again = pickle.loads(pickle.dumps(persistence))

    assert again.read_bytes("k") == b"1"
    assert (again._storage_options, again._policy) == (options, persistence._policy)


def test_a_profile_travels_as_its_name(tmp_path, monkeypatch):
    """What it says stays where it is."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(tmp_path / "persistence.toml"))
    (tmp_path / "persistence.toml").write_text('[profiles.work.s3]\nsecret = "literal7"\n')
    pickled = pickle.dumps(FSSpecPersistence("s3://b/x", profile="work"))

    assert b"literal7" not in pickled
    assert b"work" in pickled


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_copies_inside_a_process_may_hold_secrets(how):
    """They go nowhere; and a deep copy is not changed by changing the original's options."""
    options = {"memory": {"token": "literal7", "list": ["x"]}}
    twin = how(FSSpecPersistence("memory://x", storage_options=options))
    options["memory"]["list"].append("y")

    assert twin._storage_options["memory"]["token"] == "literal7"
    assert (twin._storage_options["memory"]["list"] == ["x"]) == (how is copy.deepcopy)


# --- the door into fsspec -----------------------------------------------------------------


def test_the_door_does_not_pickle_secrets():
    """Neither itself, nor a file it opened, nor as JSON."""
    fs = fsspec.filesystem("persist", target_protocol="memory", target_options={"unchecked": {"token": "literal7"}})
    file = fsspec.open("persist::memory://x/y", unchecked={"token": "literal7"})

    for attempt in (lambda: pickle.dumps(fs), lambda: pickle.dumps(file), fs.to_json, fs.to_dict):
        with pytest.raises(SecretPicklingError, match="token") as caught:
            attempt()
        assert "literal7" not in everything(caught.value)


def test_the_door_of_a_persistence_has_its_rule():
    """Whose secrets they are makes no difference."""
    fs = FSSpecPersistence("memory://x", storage_options={"token": "literal7"}).fsspec_filesystem()

    with pytest.raises(SecretPicklingError, match="token"):
        pickle.dumps(fs)


@pytest.mark.parametrize(
    "token", [SecretReference(env="TEST_SECRET_VARIABLE"), {"env": "TEST_SECRET_VARIABLE"}], ids=["object", "table"]
)
def test_the_door_takes_references(canary, monkeypatch, token):
    """As dask and pandas hand options on; they are looked up on arrival."""
    monkeypatch.setenv("TEST_SECRET_VARIABLE", canary)
    folder = uuid.uuid4().hex
    file = fsspec.open(f"persist::memory://{folder}/x", "rb", unchecked={"token": token})
    FSSpecPersistence("memory://").write_bytes(f"memory://{folder}/x", b"1")
    pickled = pickle.dumps(file)

    assert file.fs._target.storage_options["token"] == canary
    assert canary.encode() not in pickled
    with pickle.loads(pickled) as opened:
        assert opened.read() == b"1"
    written = file.fs.to_json()
    assert canary not in written
    assert fsspec.AbstractFileSystem.from_json(written)._target.storage_options["token"] == canary


def test_the_door_takes_a_profile(tmp_path, monkeypatch):
    """Flat, as dask's and pandas' storage_options are."""
    monkeypatch.setenv("PERSISTENCE_FSSPEC_CONFIG", str(tmp_path / "persistence.toml"))
    (tmp_path / "persistence.toml").write_text("[profiles.work.memory]\nuse_listings_cache = true\n")
    fs, _ = fsspec.core.url_to_fs("persist::memory://x", profile="work", policy=Policy(read_only=True))

    assert fs._target.storage_options["use_listings_cache"] is True
    assert b"use_listings_cache" not in pickle.dumps(fs)
    assert fs.adapter._policy.read_only


@pytest.mark.parametrize("where", ["options", "deep", "target"])
@pytest.mark.parametrize("kind", ["command", "file"])
def test_options_that_are_data_run_no_program_and_read_no_file(tmp_path, kind, where):
    """A catalog or a notebook of somebody else may hold them; only a `SecretReference` may, which is code."""
    made = tmp_path / "made"
    (tmp_path / "key").write_text("s3cr3t")
    command = [*script(tmp_path, f"open({str(made)!r}, 'w'); print('s3cr3t')")]
    table = {"command": command} if kind == "command" else {"file": str(tmp_path / "key")}
    options = {
        "options": {"username": table},
        "deep": {"unchecked": {"headers": [{"x": table}]}},
        "target": {"target_options": {"username": table}},
    }[where]

    with pytest.raises(InvalidOptionError, match=rf"(?s)names a {kind}.*SecretReference\({kind}=") as caught:
        fsspec.filesystem("persist", target_protocol="ftp", **options)
    assert "username" in str(caught.value) or "unchecked.headers[0].x" in str(caught.value)
    assert not made.exists()


def test_the_door_takes_references_to_programs_from_code(tmp_path):
    """They are pickled, and not written as JSON, which is data."""
    reference = SecretReference(command=script(tmp_path, "print('s3cr3t')"))
    fs = fsspec.filesystem("persist", target_protocol="memory", target_options={"unchecked": {"token": reference}})

    assert fs._target.storage_options["token"] == "s3cr3t"
    assert pickle.loads(pickle.dumps(fs))._target.storage_options["token"] == "s3cr3t"
    with pytest.raises(InvalidOptionError, match="names a command"):
        fs.to_json()
