"""Older flytekit itself, in an environment of its own: its workflows store and find everything through us."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from pathlib import Path

import fsspec
import pytest

from tests.conftest import server_fixture
from tests.faces.programs import answer
from tests.servers.environment import environment, find_python
from tests.servers.process import NotInstalled, ServerUnavailable

PROGRAMS = Path(__file__).parent / "flyte_legacy"
REQUIREMENTS = ("flytekit==1.4.2", "marshmallow-enum==1.5.1", "s3fs>=2025.10.0")

pytestmark = pytest.mark.slow


@contextmanager
def _flytekit(folder):
    """An environment that holds it: Python 3.10 is the last that it takes, and all that a machine may be excused for."""
    base = find_python("3.10")
    try:
        python = environment("flytekit-legacy", REQUIREMENTS, base=base, project=True)
    except NotInstalled as exc:
        raise ServerUnavailable(str(exc)) from exc
    yield python


python310 = server_fixture("python3.10", _flytekit)


@pytest.fixture(scope="module")
def run(request, tmp_path_factory):
    """Run a program below `PROGRAMS`; its last line is the answer."""
    python = request.getfixturevalue("python3.10")

    def call(program, *arguments, **variables):
        home = tmp_path_factory.mktemp("home")
        return answer(python, PROGRAMS / program, *arguments, home=home, without="FLYTE", **variables)

    return call


def _place(name, request, folder):
    """A raw output prefix, and the variables that lead to it."""
    if name == "file":
        return folder.as_uri(), {}
    if name == "memory":
        return "memory://raw", {}
    server = request.getfixturevalue(f"{name}_server")
    options = server.storage_options
    prefix = f"{server.url}/flyte-{uuid.uuid4().hex}"
    if name == "s3":
        names = {"ENDPOINT": "endpoint_url", "ACCESS_KEY_ID": "key", "SECRET_ACCESS_KEY": "secret"}
        return prefix, {f"FLYTE_AWS_{theirs}": options[ours] for theirs, ours in names.items()}
    return prefix, {f"FSSPEC_FTP_{word.upper()}": options[word] for word in ("username", "password")}


@pytest.fixture(
    scope="module",
    params=["file", "memory", *(pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "ftp"))],
)
def told(request, run, tmp_path_factory):
    """What came back from one store, and the prefix."""
    prefix, variables = _place(request.param, request, tmp_path_factory.mktemp("raw"))
    return {**run("round_trips.py", prefix, **variables), "prefix": prefix, "store": request.param}


def test_our_class_is_found(told):
    """Installing the package is enough."""
    assert told["class"] == "FlytePersistence"


def test_a_file_goes_from_task_to_task(told):
    """A FlyteFile arrives with its content."""
    assert told["file"] == "words"


def test_names_lie_below_the_raw_output_prefix(told):
    """What flytekit writes down is one full name, protocol once, the file's own name at its end."""
    assert told["uri"].startswith(told["prefix"].removeprefix("file://"))
    assert told["uri"].count("://") == (0 if told["store"] == "file" else 1)
    assert told["uri"].endswith("/round_trips.py")


def test_a_folder_goes_from_task_to_task(told):
    """A FlyteDirectory arrives whole: its contents, hidden files, and names that are patterns elsewhere."""
    assert told["folder"]["files"] == {
        "a[1].txt": "brackets",
        "b #1.txt": "hash",
        ".hidden": "dot",
        "sub/deep/c%20d.txt": "percent",
        "sub/e.sh": "program",
    }


def test_empty_folders_inside_are_kept(told):
    """An empty folder in a FlyteDirectory arrives, where the store has folders."""
    assert told["folder"]["empty"] == (told["store"] != "s3")


def test_an_empty_folder_comes_back(told):
    """An empty FlyteDirectory arrives, where the store has folders; elsewhere its absence is told."""
    assert told["empty"] == 0 if told["store"] != "s3" else "not found" in told["empty"]


def test_a_frame_goes_from_task_to_task(told):
    """A pandas DataFrame arrives."""
    assert told["frame"] == 4950


def test_one_column_of_a_frame(told):
    """An annotated DataFrame arrives with the columns that were asked for."""
    assert told["column"] == "n"


def test_a_table_goes_from_task_to_task(told):
    """A pyarrow Table arrives."""
    assert told["table"] == 4950


def test_a_structured_dataset_goes_from_task_to_task(told):
    """A StructuredDataset is opened as a DataFrame and as a Table."""
    assert told["dataset"] == 9900


def test_the_command_of_the_containers(told):
    """pyflyte-execute reads its inputs, and leaves its outputs where they are found."""
    assert told["executed"] == "WHO?"


def test_failures_tell_ours_inside_of_theirs(told):
    """What is missing raises flytekit's own error, and that says what we know."""
    theirs, _, ours = told["missing"].partition("Original exception: ")
    assert theirs.startswith("FlyteAssertion: Failed to get data from")
    assert "nowhere.txt: not found" in ours


@pytest.mark.server("s3")
def test_signed_urls(run, s3_server):
    """What is sent to a signed URL, as ``pyflyte run --remote`` does, arrives, and is fetched from another."""
    fs = fsspec.filesystem("s3", **s3_server.storage_options)
    name = f"{s3_server.bucket}/signed-{uuid.uuid4().hex}"

    assert run("signed.py", *(fs.sign(name, client_method=f"{verb}_object") for verb in ("put", "get"))) == "code"
    assert s3_server.raw_read(name.partition("/")[2]) == b"code"


# --- the registries ---


@pytest.fixture(scope="module")
def registry(run):
    return run("registry.py")


@pytest.fixture(scope="module")
def fresh(run):
    """As flytekit makes them by itself."""
    return run("registry.py", PERSISTENCE_FSSPEC_OVERRIDE="0")["fresh"]


def test_every_protocol_is_ours(registry, fresh):
    """All that flytekit knew, and all that fsspec knows; only what flytekit speaks and we have no package for stays as it was."""
    classes = dict(registry["installed"]["classes"])
    assert classes.pop("gs://") == "GCSPersistence"  # gcsfs is not installed there
    assert set(classes.values()) == {"FlytePersistence"}
    assert {*dict(fresh["classes"]), "/", "file://", "s3://", "abfs://", "ftp://", "memory://"} <= {*classes, "gs://"}


def test_no_driver_is_loaded(registry):
    """Importing flytekit loads nothing that it has no use for yet."""
    assert registry["drivers"] == []


def test_frames_have_handlers_for_every_protocol(registry):
    """Data frames and tables, both ways; the raw output prefix decides where to, as before."""
    protocols = {name.removesuffix("://") for name, _ in registry["installed"]["classes"]} - {"/"}
    for table in ("encoders", "decoders"):
        for frame in ("DataFrame", "Table"):
            assert {*registry["installed"][table][frame]} == protocols
    assert registry["installed"]["defaults"] == []


def test_uninstalling_leaves_no_trace(registry, fresh):
    """Each class and handler as it was, in the order it was."""
    assert registry["uninstalled"] == fresh
    assert [name for name, _ in registry["uninstalled"]["classes"]] == [name for name, _ in fresh["classes"]]


def test_the_environment_limits_it(registry, fresh):
    """``PERSISTENCE_FSSPEC_OVERRIDE=s3`` leaves all other protocols as they were."""
    ours = {name for name, cls in registry["only s3"]["classes"] if cls == "FlytePersistence"}
    assert ours == {"s3://", "s3a://"}
    assert {*registry["only s3"]["encoders"]["DataFrame"]} == {*fresh["encoders"]["DataFrame"], "s3a"}


def test_the_environment_forbids_it(fresh):
    """``PERSISTENCE_FSSPEC_OVERRIDE=0`` leaves everything as it was."""
    assert "FlytePersistence" not in dict(fresh["classes"]).values()
    assert "memory" not in fresh["encoders"]["DataFrame"]


def test_handlers_of_others_stay(registry):
    """A handler that somebody registered for a protocol is not replaced, and not removed."""
    assert registry["own handler"] == {"parquet": "Parquet"}
    assert registry["own handler left"] == {"parquet": "Parquet"}


def test_classes_that_came_after_us_stay(registry):
    """Uninstalling leaves what somebody registered in our place."""
    assert registry["own class left"] == "Own"


def test_each_override_is_told(registry):
    """Framework, protocol, what was there, what is there now, and how to switch it off."""
    s3 = next(one for one in registry["told"] if one["protocol"] == "s3")
    assert s3["framework"] == "flytekit 1.4.2"
    assert s3["before"] == "flytekit.extras.persistence.s3_awscli.S3Persistence"
    assert s3["now"] == "persistence_fsspec.faces.flyte.legacy.FlytePersistence"
    assert s3["active"]
    assert s3["switch_off"] == "PERSISTENCE_FSSPEC_OVERRIDE=0"
    assert any(not one["protocol"] and one["active"] for one in registry["told"])
