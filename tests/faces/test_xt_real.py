"""XT itself, in an environment of its own: its Store keeps everything through us, on client and compute node."""

from __future__ import annotations

import json
import re
import shlex
import sys
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import server_fixture
from tests.faces.programs import answer
from tests.servers.environment import environment, find_python
from tests.servers.process import NotInstalled, ServerUnavailable

PROGRAMS = Path(__file__).parent / "xt"

# Half of what xtlib asks for is for Azure's services, and can no longer be installed; its store needs only these.
REQUIREMENTS = (
    *(
        "numpy<2",
        "arrow==0.14.0",
        "pymongo<4",
        "PyYAML",
        "psutil",
        "python-interface==1.6.1",
        "mongomock==4.3.0",
        "setuptools<81",
    ),
    *("s3fs>=2025.10.0", "paramiko>=3.4"),
)


def _base():
    """The last Python that xtlib runs on, if this one is too new for it."""
    return find_python("3.12") if sys.version_info >= (3, 13) else None


def _environment():
    return environment("xt", REQUIREMENTS, no_deps=("xtlib==1.0.0",), base=_base(), project=True)


BUILT_AHEAD = [_environment]

pytestmark = pytest.mark.slow


@contextmanager
def _xtlib(folder):
    """An environment that holds it; a Python for it is all that a machine may be excused for."""
    _base()
    try:
        python = _environment()
    except NotInstalled as exc:
        raise ServerUnavailable(str(exc)) from exc
    yield python


xtlib = server_fixture("xtlib", _xtlib)


@pytest.fixture(scope="module")
def run(xtlib, tmp_path_factory):
    """Run a program below `PROGRAMS` in a folder of its own; its last line is the answer."""

    def call(program, *arguments, **variables):
        home = tmp_path_factory.mktemp("home")
        return answer(xtlib, PROGRAMS / program, *arguments, home=home, without="XT_", **variables)

    return call


def _service(name, request, folder):
    """The path and key of a service, and the variables that its references name."""
    if name == "file":
        return str(folder / "xt"), "", {}
    if name == "memory":
        return "memory://xt", "", {}
    server = request.getfixturevalue(f"{name}_server")
    options = dict(server.storage_options)
    secret = {"s3": "secret", "sftp": "password"}[name]
    hidden, options[secret] = options[secret], {"env": "XT_SECRET"} if name == "s3" else options[secret]
    return f"{server.url}/xt-{uuid.uuid4().hex}", json.dumps(options), {"XT_SECRET": hidden}


STORES = ["file", "memory", *(pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "sftp"))]


@pytest.fixture(scope="module", params=STORES)
def told(request, run, tmp_path_factory):
    """What came back from one service."""
    path, key, variables = _service(request.param, request, tmp_path_factory.mktemp("store"))
    return {**run("client.py", path, key, **variables), "path": path, "key": key, "store": request.param}


def test_the_configuration_leads_to_our_class(told):
    """Four lines of YAML are enough: XT makes the class that its configuration names, and hands its retry function over."""
    assert told["class"] == "persistence_fsspec.faces.xt.store.FSSpecStore"
    assert told["retry"]


def test_the_service_has_our_name(told):
    """XT pairs its database with the URL, which says where; what the key holds besides the server is not in it."""
    assert told["name"].startswith(told["path"] if "://" in told["path"] else f"file://{told['path']}")
    assert "secret" not in told["name"]
    assert "password" not in told["name"]


def test_xt_prepares_the_store(told):
    """What XT needs is created when it first comes."""
    assert told["prepared"] == ["xt-store-info", "xts-data-xts", "xts-models-xts"]


def test_workspaces(told):
    """They are created once, found by their names, and told from other containers."""
    assert told["workspaces"] == {"names": ["ws1", "ws2"], "twice": "StoreError", "exists": [True, False], "log": "created"}


def test_workspace_files(told):
    """Text is written, appended to and read as it was; one that is missing is XT's own error."""
    assert told["workspace file"] == "ä\r\nb\nc"
    assert told["missing file"] == "StoreError"


def test_runs(told):
    """XT finds those it has started, each once, and what they have logged."""
    names = [f"run{number}" for number in range(1, 13)]
    assert told["runs"] == {"started": names, "listed": names, "log": ["created", "metrics"], "exists": [True, False]}


def test_a_binary_file_comes_back(told):
    """Byte for byte."""
    assert told["binary"]


def test_a_folder_comes_back(told):
    """With its folders, and with names that are patterns elsewhere."""
    names = {"train.py": "train", "data [1].txt": "brackets", "lib/util.py": "util", "lib/deep/x.py": "deep"}
    assert told["uploaded"] == sorted(f"code/{name}" for name in names)
    assert told["all below"] == names


def test_one_level_comes_back(told):
    """A pattern with a folder among what it matches fetches the files, and makes the folder."""
    assert told["one level"] == {"train.py": "train", "data [1].txt": "brackets"}
    assert told["folders of it"] == ["lib"]


def test_files_of_a_run(told):
    """They are listed, exist, and are deleted; a folder is none."""
    assert told["file names"] == [["lib"], ["data [1].txt", "train.py"]]
    assert told["run file"] == [True, False, False]
    assert told["file deleted"]


def test_an_empty_file(told):
    """An empty text, and no error."""
    assert told["empty"] == ""


def test_a_snapshot_is_fetched_and_goes(told):
    """XT takes one, fetches it, deletes it, and tells its progress; the original stays, and nothing else."""
    status = [f"{word}-snapshot" for word in ("creating", "downloading", "deleting", "deleted")]
    expected = {"same": True, "original": True, "status": status, "bytes": [3_000_000, 3_000_000], "files": ["model.bin"]}
    assert told["snapshot"] == expected


def test_folders_are_listed_with_sizes(told):
    """What ``xt list blobs`` shows."""
    assert told["listing"] == {
        "/ws1/runs/run1/code": [["lib"], {"data [1].txt": 8}],
        "/ws1/runs/run1/code/lib": [["deep"], {"util.py": 4}],
        "/ws1/runs/run1/code/lib/deep": [[], {"x.py": 4}],
    }


def test_events_for_tensorboard(told):
    """What is new is fetched once, by its time."""
    assert told["tensorboard"] == [1, 0, {"board": "an event"}]


def test_experiments(told):
    """They exist, and collect runs and files."""
    assert told["experiment"] == {"exists": [True, False], "runs": ["run1", "run2"], "file": "lr: 1"}


def test_jobs(told):
    """They are found by their names, and collect runs and code."""
    code = [f"jobs/job1/before/code/{name}" for name in ("data [1].txt", "lib/deep/x.py", "lib/util.py", "train.py")]
    assert told["job"] == {"names": ["job1"], "runs": ["ws1/run1", "ws1/run2"], "code": code}


def test_shares(told):
    """They are created, listed, filled, fetched, and deleted once."""
    assert told["share"] == {
        "names": ["data", "data1", "models"],
        "exists": [True, False],
        "back": {"a.csv": "1,2", "part/b.csv": "3,4"},
        "deleted": True,
        "left": False,
        "twice": "StoreError",
    }


def test_a_run_is_copied(told):
    """To another workspace, file by file."""
    assert told["copied"]


def test_a_run_is_deleted(told):
    """It is not listed any more, and the one whose name begins the same is."""
    assert told["run deleted"] == [False, [], True]


def test_a_workspace_is_deleted(told):
    """Once; the second time is XT's own error."""
    assert told["workspace deleted"] == [["ws1"], "StoreError"]


def test_a_compute_node_finds_the_same_service(told, run, request):
    """By XT_STORE_CREDS and XT_STORE_CODE_PATH alone, under the same name, with what the client left there."""
    if told["store"] == "memory":
        pytest.skip("the memory of another process")
    _, _, variables = _service(told["store"], request, Path())
    node = run("node.py", **told["node"], **variables)

    assert node == {"name": told["name"], "workspace": True, "files": ["result.txt"], "log": "one\ntwo\n"}


@pytest.mark.server("s3")
def test_the_vault_holds_the_options(run, s3_server):
    """``key: "$vault"`` is filled in by XT before we see it."""
    options = s3_server.storage_options
    name = run("vault.py", f"{s3_server.url}/xt-{uuid.uuid4().hex}", json.dumps(options))

    assert name.endswith(f" at {options['endpoint_url']}")


def test_the_readme_is_right(run, tmp_path):
    """With its four lines, and only the place changed, XT keeps a workspace there."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    lines = re.search(r"```yaml\n# xt_config.yaml\n(.*?)```", text, re.DOTALL)[1].replace("s3://my-bucket/xt", f"{tmp_path}/xt")

    assert run("readme.py", lines) == ["ws1"]
    assert (tmp_path / "xt" / "ws1" / "__ws__").is_dir()


def test_the_readme_says_what_to_install():
    """The very packages that these tests run with, besides a database in memory, and drivers."""
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    named = shlex.split(re.search(r"and `pip install ([^`]*arrow[^`]*)`", text)[1])

    assert {re.split("[=<>]", name)[0] for name in named} == {re.split("[=<>]", name)[0] for name in REQUIREMENTS} - {
        "mongomock",
        "s3fs",
        "paramiko",
    }
    assert "pip install --no-deps xtlib==1.0.0" in text


def test_xts_interface_accepts_our_classes(run):
    """A class that derives from ours and declares XT's interface is made; one that lacks a method is not."""
    assert run("interface_check.py") == {"FSSpecStore": [], "UnguardedStore": [], "Less": "InvalidImplementation"}
