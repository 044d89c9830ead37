"""Current flytekit itself, in an environment of its own: installing the package is enough, and it does no harm."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import uuid
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.conftest import server_fixture
from tests.servers.environment import environment

PROGRAMS = Path(__file__).parent / "flyte_current"
EXAMPLES = Path(__file__).parents[2] / "examples"
REQUIREMENTS = (
    "flytekit==1.16.31",
    "fsspec==2026.9.0",
    "s3fs==2026.9.0",
    "gcsfs==2026.10.1",
    "adlfs==2026.8.0",
    "pandas==3.1.1; python_version >= '3.11'",
    "pandas==2.3.3; python_version < '3.11'",
    "pyarrow==26.0.1; python_version >= '3.11'",
    "pyarrow==21.0.0; python_version < '3.11'",
    "typer==0.29.1",
)
NAMES = {
    "a[1].txt": "brackets",
    "b #1.txt": "hash",
    "what?*.txt": "patterns",
    ".hidden": "dot",
    "sub/deep/c%20d.txt": "percent",
    "sub/e f": "space",
}

BUILT_AHEAD = [partial(environment, "flytekit-current", REQUIREMENTS, project=True)]

pytestmark = pytest.mark.slow


@contextmanager
def _flytekit(folder):
    yield BUILT_AHEAD[0]()


flytekit = server_fixture("flytekit", _flytekit)


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory):
    """Variables for a process that knows nothing of whoever runs the tests."""

    def make(**variables):
        home = tmp_path_factory.mktemp("home")
        ours = {name: value for name, value in os.environ.items() if not name.startswith("FLYTE")}
        own = {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1", "FLYTE_SDK_RICH_TRACEBACKS": "0"}
        return {**ours, **own, **variables}

    return make


# --- round trips: one process answers all questions ---


@pytest.fixture(scope="module")
def ask(flytekit, surroundings, tmp_path_factory):
    """Ask the program below `PROGRAMS` that imports flytekit once."""
    log = tmp_path_factory.mktemp("worker") / "log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [flytekit, PROGRAMS / "worker.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=surroundings(AWS_EC2_METADATA_DISABLED="true"),
        ) as worker,
    ):

        def call(what, environment, **arguments):
            print(json.dumps({"ask": what, "arguments": arguments, "environment": environment}), file=worker.stdin, flush=True)
            line = worker.stdout.readline()
            assert line, log.read_text()[-4000:]
            answer = json.loads(line)
            assert not isinstance(answer, str), answer
            return answer

        assert worker.stdout.readline() == "ready\n", log.read_text()[-4000:]
        yield call
        worker.stdin.close()
        worker.wait(60)


def aws(server):
    """Where flytekit looks for the endpoint and the credentials."""
    names = {"ENDPOINT": "endpoint_url", "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}
    return {f"FLYTE_AWS_{theirs}": server.storage_options[ours] for theirs, ours in names.items()}


def place(name, request, folder):
    """A raw output prefix, and the variables that lead to it."""
    if name == "memory":
        return "memory://raw", {}
    if name in {"path", "file"}:
        return (str(folder) if name == "path" else folder.as_uri()), {}
    server = request.getfixturevalue(f"{name}_server")
    below = f"flyte-{uuid.uuid4().hex}"
    if name == "s3":
        return f"{server.url}/{below}", aws(server)
    options = server.storage_options
    login = f"{options['username']}:{options['password']}@"
    return f"ftp://{login}{options['host']}:{options['port']}/{below}", {}


def shown(url):
    """Without the password, as flytekit writes it down."""
    return re.sub(r"(?<=://)([^:@/]+):[^@/]+@", r"\1@", url)


PLACES = ["path", "file", "memory", *(pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "ftp"))]


@pytest.fixture(scope="module", params=PLACES)
def store(request, tmp_path_factory):
    """Name, prefix, variables."""
    return request.param, *place(request.param, request, tmp_path_factory.mktemp("raw"))


@pytest.fixture(scope="module")
def told(ask, store):
    """What came back from one store, and where it was."""
    name, prefix, variables = store
    return {**ask("round_trips", variables, prefix=prefix), "prefix": shown(prefix), "store": name}


def test_a_file_goes_from_task_to_task(told):
    """A FlyteFile arrives with its content."""
    assert told["file"] == "words"


def test_names_lie_below_the_raw_output_prefix(told):
    """What flytekit writes down begins with the prefix, and ends with the file's own name."""
    assert told["uri"].startswith(f"{told['prefix']}/".removeprefix("file://"))
    assert told["uri"].endswith("/worker.py")


def test_a_file_is_streamed(told):
    """A FlyteFile is opened where it lies, and read without a local copy."""
    assert told["stream"] == "words"


def test_a_file_is_written_where_it_will_lie(told):
    """FlyteFile.new_remote_file is opened, written, and found by the next task."""
    assert told["copy"] == "words"


def test_a_folder_goes_from_task_to_task(told):
    """A FlyteDirectory arrives whole: hidden files, and names that are patterns or escapes elsewhere."""
    assert told["folder"] == NAMES


def test_a_folder_is_crawled(told):
    """FlyteDirectory.crawl names all that is below, where it lies."""
    assert told["crawled"] == sorted(NAMES)


def test_a_folder_is_listed(told):
    """FlyteDirectory.listdir names what is in it."""
    assert told["listed"] == sorted({name.partition("/")[0] for name in NAMES})


def test_a_frame_goes_from_task_to_task(told):
    """A pandas DataFrame arrives."""
    assert told["frame"] == 4950


def test_one_column_of_a_frame(told):
    """An annotated DataFrame arrives with the columns that were asked for."""
    assert told["column"] == "n"


def test_a_table_goes_from_task_to_task(told):
    """A pyarrow Table arrives."""
    assert told["table"] == 4950


def test_one_column_of_a_table(told):
    """An annotated Table arrives with the columns that were asked for."""
    assert told["column of table"] == "n"


def test_a_structured_dataset_goes_from_task_to_task(told):
    """A StructuredDataset is opened as a DataFrame and as a Table."""
    assert told["dataset"] == 9900


def test_a_dataset_as_csv(told):
    """A StructuredDataset of another format arrives."""
    assert told["csv"] == 4950


def test_raw_data_is_put(told):
    """Bytes, streams, files and folders, under the name that put_raw_data gives."""
    assert told["raw"] == {"bytes": "bytes", "stream": "stream", "text": "text", "file": "in a folder", "folder": "in a folder"}


def test_exists_is_true_or_false(told):
    """Of what is there, and of what is not."""
    assert told["exists"] == [True, False]


def test_nothing_is_left_in_the_working_folder(told):
    """``file://`` is not the name of a folder."""
    assert told["left here"] == []


def test_it_is_the_engine_that_moves_files(told):
    """Each upload and download of a file or a folder, where we stand for the driver."""
    ours = told["store"] in {"s3", "ftp"}
    assert told["class"].startswith("persistence_fsspec.faces.flyte.") == ours
    if ours:
        # Up: three files, three folders, the file that `uri` tells of, a file and a folder as raw data. Down: two files, a folder, raw data.
        assert len([url for what, url in told["transfers"] if what == "put"]) >= 9
        assert len([url for what, url in told["transfers"] if what == "get"]) >= 8
    else:
        assert told["transfers"] == []


@pytest.fixture(scope="module")
def executed(ask, store):
    name, prefix, variables = store
    return ask("executed", variables, prefix=f"{prefix}/container", alone=name == "s3")


def test_the_command_of_the_containers(executed, store):
    """pyflyte-execute reads its inputs, and leaves its outputs and its deck where they are found."""
    assert executed["answer"] == "WHO?"
    assert executed["uri"].startswith(f"{shown(store[1])}/container/raw/".removeprefix("file://"))
    assert executed["deck"]


@pytest.fixture(scope="module")
def s3(s3_server):
    """A prefix in a bucket, the server, the variables that lead to it."""
    below = f"flyte-{uuid.uuid4().hex}"
    return f"{s3_server.url}/{below}", below, s3_server, aws(s3_server)


@pytest.mark.server("s3")
def test_the_engine_moves_what_belongs_to_an_execution(ask, s3):
    """flytekit names the execution with each upload from a container, and these are ours as well."""
    prefix, below, server, variables = s3
    seen = ask("metadata", variables, prefix=f"{prefix}/metadata")

    assert seen["transfers"] == [["put", f"{prefix}/metadata/b.bin"], ["put", f"{prefix}/metadata/tree"]]
    assert server.raw_keys(f"{below}/metadata/tree") == [f"{below}/metadata/tree/a.html", f"{below}/metadata/tree/b.bin"]


@pytest.mark.server("s3")
def test_a_deck_is_a_page(ask, s3):
    """The type that flytekit names for it is kept, so that a browser shows it."""
    prefix, below, server, variables = s3
    ask("metadata", variables, prefix=f"{prefix}/page")

    assert server._demand("HEAD", server._path(f"{below}/page/deck")).headers["Content-Type"] == "text/html"


@pytest.mark.server("s3")
def test_a_public_table_needs_no_credentials(ask, s3_server):
    """Where there are none, a table is asked for once more as anybody may."""
    server = s3_server.new_bucket(f"public-{uuid.uuid4().hex}")
    file = io.BytesIO()
    parquet.write_table(pa.table({"n": [1, 2, 3]}), file)
    server.raw_write("table/00000", file.getvalue())
    arguments = {"uri": f"{server.url}/table", "endpoint": server.endpoint_url}
    refused = ask("public", {}, **arguments)
    fs = fsspec.filesystem("s3", **server.storage_options)
    fs.call_s3("put_bucket_acl", Bucket=server.bucket, ACL="public-read")
    fs.call_s3("put_object_acl", Bucket=server.bucket, Key="table/00000", ACL="public-read")

    assert "Error" in str(refused["rows"])
    assert ask("public", {}, **arguments) == {"rows": 3}


# --- errors: flytekit's own types, with what we know inside ---


@pytest.mark.server("s3")
def test_an_upload_of_which_one_file_fails(ask, s3):
    """The rest arrives; the text names the file, and the cause has the report."""
    prefix, below, server, variables = s3
    told = ask("failure", variables, prefix=prefix, operation="put", remote=f"{prefix}/half", bad="bad.txt")

    assert told["type"] == "FlyteUploadDataException"
    assert "1 of 3 files failed" in told["text"]
    assert "bad.txt: not found: it is a symbolic link that leads nowhere" in told["text"]
    assert ["TransferError", [["a.txt", "copied"], ["b.txt", "copied"], ["bad.txt", "failed"]]] in told["causes"]
    assert server.raw_keys(f"{below}/half/") == [f"{below}/half/a.txt", f"{below}/half/b.txt"]


@pytest.mark.server("s3")
def test_a_download_of_which_one_file_fails(ask, s3):
    """As for an upload: here, one name is longer than the disk takes."""
    prefix, below, server, variables = s3
    for name in ("a.txt", "n/b.txt", "x" * 300):
        server.raw_write(f"{below}/long/{name}", b"data")
    told = ask("failure", variables, prefix=prefix, operation="get tree", remote=f"{prefix}/long")

    assert told["type"] == "FlyteDownloadDataException"
    assert "1 of 3 files failed" in told["text"]
    report = [["a.txt", "copied"], ["b.txt", "copied"], ["x" * 300, "failed"]]
    assert ["TransferError", report] in told["causes"]
    assert told["here"] == ["x/a.txt", "x/n/b.txt"]


@pytest.mark.server("s3")
@pytest.mark.parametrize("operation", ["get", "get tree"])
def test_what_is_missing(ask, s3, operation):
    """Flytekit's own type for it, which it does not repeat."""
    prefix, _, _, variables = s3
    told = ask("failure", variables, prefix=prefix, operation=operation, remote=f"{prefix}/nowhere")

    assert told["type"] == "FlyteDataNotFoundException"
    assert told["here"] == []


@pytest.mark.server("s3")
@pytest.mark.parametrize("operation", ["put", "get", "get tree"])
def test_what_is_forbidden(ask, strict_s3_server, operation):
    """Wrong credentials are Python's PermissionError inside of flytekit's own type; nothing is called missing."""
    server = strict_s3_server
    server.raw_write("there/a.txt", b"a")
    variables = aws(server) | {"FLYTE_AWS_SECRET_ACCESS_KEY": "wrong"}
    told = ask("failure", variables, prefix=server.url, operation=operation, remote=f"{server.url}/there")

    assert told["type"] == ("FlyteUploadDataException" if operation == "put" else "FlyteDownloadDataException")
    assert {name for name, _ in told["causes"]} & {"PermissionError", "AuthenticationError"}
    assert told["here"] == []


@pytest.mark.server("ftp")
def test_what_is_missing_on_a_host(ask, ftp_server):
    """As on S3."""
    options = ftp_server.storage_options
    prefix = f"ftp://{options['username']}:{options['password']}@{options['host']}:{options['port']}"
    told = ask("failure", {}, prefix=prefix, operation="get", remote=f"{prefix}/nowhere")

    assert told["type"] == "FlyteDataNotFoundException"


@pytest.mark.server("ftp")
def test_what_a_host_refuses(ask, ftp_server):
    """A wrong password is said to be wrong, and what we add to flytekit's text does not hold it."""
    options = ftp_server.storage_options
    prefix = f"ftp://{options['username']}:not-this-one@{options['host']}:{options['port']}"
    told = ask("failure", {}, prefix=prefix, operation="put", remote=f"{prefix}/tree")
    ours = told["text"].partition("Original exception: ")[2]

    assert told["type"] == "FlyteUploadDataException"
    assert "Authentication failed" in ours
    assert "not-this-one" not in ours


# --- passwords ---


@pytest.fixture(scope="module")
def written(ask, ftp_server):
    """What flytekit writes down where the prefix holds a password, and that prefix."""
    options = ftp_server.storage_options
    host, password = f"{options['host']}:{options['port']}", options["password"]
    prefix = f"ftp://{options['username']}:{password}@{host}/flyte-{uuid.uuid4().hex}"
    return {**ask("written", {}, prefix=prefix), "prefix": prefix, "password": password}


@pytest.mark.server("ftp")
def test_a_password_in_the_prefix_is_in_no_name(written):
    """Neither of files, folders and frames, nor of what is still to be written; the user is."""
    names = written["names"]

    assert {*names} == {"prefix", "file", "folder", "frame", "raw", "new", "file system", "next"}
    assert [name for name in names.values() if written["password"] in name] == []
    assert all(name.startswith(shown(written["prefix"])) for kind, name in names.items() if kind != "file system")


@pytest.mark.server("ftp")
def test_what_has_no_password_in_its_name_is_found(written):
    """In the process that was given the prefix."""
    assert written["found"] == ["words", "words", "words", 4950]


@pytest.mark.server("ftp")
def test_a_password_in_the_prefix_is_in_no_error(written):
    """Flytekit's texts and ours, of what is missing and of what cannot be put; nor in its log."""
    missing, unreadable = written["errors"]

    assert missing.startswith("FlyteDataNotFoundException")
    assert unreadable.startswith("FlyteUploadDataException")
    assert [text for text in written["errors"] if written["password"] in text] == []
    assert any("Getting ftp://" in line for line in written["log"])
    assert [line for line in written["log"] if f"{written['password']}@" in line] == []


# --- what is changed, and what is not ---


@pytest.fixture(scope="module")
def process(flytekit, surroundings):
    """What a fresh process says of itself once it has imported flytekit; asked once for each question."""
    known = {}

    def call(*before, **variables):
        asked = (before, *variables.items())
        if asked not in known:
            command = [flytekit, PROGRAMS / "installing.py", *before]
            done = subprocess.run(
                command, env=surroundings(**variables), capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stderr[-4000:]
            known[asked] = json.loads(done.stdout.splitlines()[-1])
        return known[asked]

    return call


def ours(found):
    """The protocols that are."""
    return {protocol for protocol, one in found["now"]["known"].items() if one["class"].startswith("persistence_fsspec.")}


def changed(found, plain):
    return {name for name in plain["now"] if found["now"][name] != plain["now"][name]}


def test_importing_flytekit_loads_no_driver(process):
    """Nor a library for frames, nor much else than us."""
    with_us, plain = process()["modules"], process("without")["modules"]

    assert {*with_us} - {*plain} <= {"persistence_fsspec", "google_crc32c", *sys.stdlib_module_names}
    assert with_us["pandas"] == plain["pandas"] == with_us["pyarrow"] == "_LazyModule"
    assert not {"s3fs", "gcsfs", "adlfs", "botocore"} & {*with_us}


def test_one_line_tells_of_it(process):
    """In flytekit's own log, where its level lets it."""
    (level, text), *more = process()["told"]

    assert level == "INFO"
    assert text.startswith("persistence_fsspec moves the files of abfs,")
    assert "persist overrides" in text
    assert not more


@pytest.mark.parametrize("what", ["broken", "halfway"])
def test_flytekit_is_imported_whatever_happens_to_us(process, what):
    """One line tells it, and everything is as flytekit makes it."""
    found = process(what)
    (level, text), *more = found["told"]

    assert level == "WARNING"
    assert "flytekit keeps its own storage: ModuleNotFoundError" in text
    assert not more
    assert changed(found, process("without")) == set()
    assert found["overrides"] == []


def test_drivers_are_stood_for_by_name(process):
    """Three of them, under all their protocols; the rest of fsspec is as it was."""
    assert ours(process()) == {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
    assert process()["now"]["classes"] == process("without")["now"]["classes"]


def test_a_driver_in_use_is_stood_for_by_class(process):
    """fsspec has the class already; another one takes its place, and gives it back."""
    found = process("resolved")

    assert found["now"]["classes"]["s3"] == "persistence_fsspec.faces.flyte.s3.S3FileSystem"
    assert found["at the end"]["classes"]["s3"] == "s3fs.core.S3FileSystem"


def test_a_class_of_somebody_else_is_left_alone(process):
    """Registered before us, it is what they chose."""
    found = process("own")

    assert found["now"]["classes"]["s3"] == "__main__.own.<locals>.Own"
    assert found["at the end"]["classes"]["s3"] == "__main__.own.<locals>.Own"
    assert "s3" not in {one["protocol"] for one in found["overrides"]}


def test_the_host_of_somebody_else_is_left_alone(process):
    """As above; and of a protocol that no driver has, nothing is said."""
    found, plain = process("own"), process("hosts")

    assert (found["hosts"]["sftp"], plain["hosts"]["sftp"]) == ("Own", "HostedFileSystem")
    assert found["hosts"]["ftp"] == "HostedFileSystem"
    assert {"ftp", "ssh"} <= {one["protocol"] for one in found["overrides"]}
    assert not {"sftp", "dav"} & {one["protocol"] for one in found["overrides"]}


def test_a_class_that_came_after_us_is_left_alone(process):
    """Uninstalling restores what is still ours; the overview tells who is there now."""
    found = process()
    gs = next(one for one in found["overrides"] if one["protocol"] == "gs")

    assert found["at the end"]["classes"]["gs"] == "mine.Own"
    assert (gs["now"], gs["active"]) == ("mine.Own", False)


def test_uninstalling_leaves_no_trace(process):
    """Nothing at once; and with a driver and handlers in use, those that flytekit would have."""
    found, plain = process(), process("without")

    assert found["uninstalled"] == plain["now"]
    assert found["uninstalled again"] == found["theirs in use"]
    assert len([name for name in found["ours in use"]["handlers"] if name.startswith("persistence_fsspec.")]) == 6


def test_methods_that_somebody_has_wrapped_since(process):
    """Theirs stay, ours are never asked again, and the records say so; what nobody has wrapped is as before."""
    found = process("wrapped")["wrapped"]

    assert found["ours"] == {"prefix": "/data/", "host": "HostedFileSystem", "asked": True, "still": []}
    assert found["uninstalled"]["prefix"] == "file:///data/"
    assert found["uninstalled"]["host"] != "HostedFileSystem"
    assert found["uninstalled"]["asked"]
    assert found["uninstalled"]["still"] == ["get_filesystem_for_path"]
    assert found["told"] == [False]
    assert found["installed again"] == found["ours"]
    assert found["uninstalled again"] == found["uninstalled"]
    assert found["depths"] == [found["depths"][0]] * 4


def test_the_environment_forbids_it(process):
    """``PERSISTENCE_FSSPEC_OVERRIDE=0`` leaves everything as it was."""
    found = process("resolved", PERSISTENCE_FSSPEC_OVERRIDE="0")

    assert changed(found, process("resolved", "without")) == set()
    assert found["overrides"] == []


def test_the_environment_limits_it(process):
    """``PERSISTENCE_FSSPEC_OVERRIDE=s3,gs`` leaves all other protocols as they were; other names of these are meant, too."""
    found = process("resolved", PERSISTENCE_FSSPEC_OVERRIDE="s3,gs")

    assert ours(found) | {*found["now"]["classes"]} - {"file"} == {"s3", "s3a", "gs", "gcs"}
    assert found["now"]["methods"] == process("without")["now"]["methods"]


def test_a_misspelt_protocol_is_told(process):
    """It chooses nothing, and flytekit's log says once what may have been meant."""
    found = process("resolved", PERSISTENCE_FSSPEC_OVERRIDE="gs,abfss3,s4")

    assert ours(found) == {"gs", "gcs"}
    assert [text for level, text in found["told"] if level == "WARNING"] == [
        "PERSISTENCE_FSSPEC_OVERRIDE: there is no protocol 'abfss3'. Did you mean 'abfss'?",
        "PERSISTENCE_FSSPEC_OVERRIDE: there is no protocol 's4'.",
    ]


def test_a_misspelt_protocol_is_shown(flytekit, surroundings, tmp_path):
    """Nobody needs to ask flytekit for a longer log."""
    variables = surroundings(PERSISTENCE_FSSPEC_OVERRIDE="s3,gss", FLYTE_SDK_LOGGING_FORMAT="json", COLUMNS="200")
    command = [flytekit, "-c", "import flytekit"]
    done = subprocess.run(command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)

    assert (done.stdout + done.stderr).count("there is no protocol 'gss'. Did you mean 'gs'?") == 1


def test_each_override_is_told(process):
    """Framework, protocol, what was there, what is there now, why, and how to switch it off."""
    s3 = next(one for one in process("resolved")["overrides"] if one["protocol"] == "s3")

    assert s3 == {
        "framework": "flytekit 1.16.31",
        "protocol": "s3",
        "before": "s3fs.core.S3FileSystem",
        "now": "persistence_fsspec.faces.flyte.s3.S3FileSystem",
        "active": True,
        "why": "a subclass of s3fs's, with verified, resumable and bounded transfers",
        "switch_off": "PERSISTENCE_FSSPEC_OVERRIDE=0",
    }
    assert all(one["active"] and one["before"] != one["now"] for one in process("resolved")["overrides"])


# --- the command, and the examples ---


@pytest.fixture(scope="module")
def run(flytekit, surroundings, tmp_path_factory):
    """What a program prints there."""

    def call(*command, **variables):
        done = subprocess.run(
            [flytekit, *command],
            env=surroundings(**variables),
            cwd=tmp_path_factory.mktemp("work"),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    return call


def test_the_command_shows_what_is_overridden(run):
    """Class now, class before, why, how to switch it off."""
    said = run("-m", "persistence_fsspec", "overrides")
    row = next(line for line in said.splitlines() if line.startswith("s3 s3a "))

    assert said.startswith("flytekit 1.16.31: PERSISTENCE_FSSPEC_OVERRIDE=0 switches off what is overridden")
    assert row.split()[2:4] == ["persistence_fsspec.faces.flyte.s3.S3FileSystem", "s3fs.S3FileSystem"]
    assert "verified, resumable and bounded transfers" in row


def test_the_command_answers_in_json(run):
    """One object; each override with all that is known of it."""
    said = json.loads(run("-m", "persistence_fsspec", "overrides", "--json", PERSISTENCE_FSSPEC_OVERRIDE="gs"))

    assert said["schema"] == 1
    assert said["problems"] == []
    assert said["frameworks"][0] == {"name": "flytekit", "version": "1.16.31", "problem": "", "unless": ""}
    assert {one["protocol"] for one in said["overrides"]} == {"gs", "gcs", ""}
    assert {"framework", "protocol", "now", "before", "why", "active", "switch_off"} == {*said["overrides"][0]}


def test_the_command_says_that_nothing_is_overridden(run):
    """And what is to blame."""
    said = run("-m", "persistence_fsspec", "overrides", PERSISTENCE_FSSPEC_OVERRIDE="0")

    assert said.splitlines()[0] == "flytekit 1.16.31: nothing is overridden (PERSISTENCE_FSSPEC_OVERRIDE)"


@pytest.mark.server("s3")
def test_the_workflow_of_the_examples(run, s3):
    """A folder, a frame, a table, a dataset and a file, each handed on through the bucket."""
    prefix, below, server, variables = s3
    said = run(EXAMPLES / "flyte_workflow.py", f"{prefix}/example", **variables)

    assert "2 of 4 days were warm: [2, 3]" in said
    assert f"stored as {prefix}/example/" in said
    tails = [key.partition("/example/")[2].partition("/")[2] for key in server.raw_keys(f"{below}/example/")]
    days = [f"measured/raw [1]/day {day}.csv" for day in range(4)]
    assert sorted(tails) == sorted([*days, *["00000"] * 3, "report.txt"])


def test_the_protocol_of_the_examples(run):
    """A dozen lines, and Flyte has a protocol more."""
    assert run(EXAMPLES / "flyte_custom_protocol.py") == "1000000 bytes came back of 991 that are kept\n"


@pytest.mark.server("ftp")
def test_one_host_does_not_answer_for_another(ask, ftp_server, ftp_list_server):
    """Where a password is wrong, flytekit tries once more as nobody; that is not to be asked of the host of raw outputs."""
    name = uuid.uuid4().hex
    ftp_server.raw_write(name, b"here")
    login, there = ftp_server.storage_options, ftp_list_server.storage_options
    prefix = f"ftp://{login['username']}:{login['password']}@{login['host']}:{login['port']}"
    told = ask("exists", {}, prefix=prefix, url=f"ftp://{there['username']}:wrong@{there['host']}:{there['port']}/{name}")

    assert told["exists"].startswith("AuthenticationError: ")
