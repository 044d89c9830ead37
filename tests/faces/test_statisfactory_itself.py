"""statisfactory itself, in an environment of its own: its pipelines and its tests store and find everything through us.

It is on no package index, so the tests run where ``PERSISTENCE_FSSPEC_STATISFACTORY_SOURCE`` names a clone of its repository.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import server_fixture
from tests.servers.environment import environment, find_python

VARIABLE = "PERSISTENCE_FSSPEC_STATISFACTORY_SOURCE"
SOURCE = os.environ.get(VARIABLE, "")
ROOT = Path(__file__).parents[2]
PROGRAMS = Path(__file__).parent / "statisfactory"

MORE = ("setuptools<80", "pytest", "s3fs>=2025.10.0", "paramiko>=3.4", "lakefs-spec==0.15.1")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOURCE, reason=f"{VARIABLE} names no clone of statisfactory"),
]


def requirements():
    """What the README says to install; its own pins of PyYAML and datapane cannot be installed any more."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8").replace("\\\n", "")
    return shlex.split(re.search(r'pip install "persistence-fsspec\[s3\]" (boto3 .*)', readme)[1])


@contextmanager
def _statisfactory(folder):
    """Python 3.10 is the last that all of these were built for."""
    yield environment("statisfactory", [*requirements(), *MORE], base=find_python("3.10"), project=True)


python310 = server_fixture("statisfactory_python", _statisfactory)


@pytest.fixture(scope="module")
def run(statisfactory_python, tmp_path_factory):
    """Run something with statisfactory; its last line is the answer."""
    package = tmp_path_factory.mktemp("source")
    shutil.copytree(
        Path(SOURCE) / "statisfactory", package / "statisfactory"
    )  # nothing else of the clone, its tests least of all

    def call(*arguments, cwd, **variables):
        more = {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", "LOG_LEVEL": "ERROR", "HOME": str(cwd)}
        done = subprocess.run(
            [str(statisfactory_python), *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=cwd,
            env={**os.environ, **more, **variables},
        )
        assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        return done.stdout.strip().splitlines()[-1]

    return call


def _place(name, request, folder):
    """Where the artifacts go, what the project's settings say, and the variables that lead there."""
    if name == "plain":
        return "data/of [mine]", {}, {}
    if name == "file":
        return f"file://{folder}", {}, {}
    if name == "memory":
        return "memory://artifacts", {}, {}
    server = request.getfixturevalue(f"{name}_server")
    options = server.storage_options
    if name in {"s3", "lakefs"}:
        return f"{name}://st-{uuid.uuid4().hex}/artifacts", _settings(name, options), {}
    login = {f"FSSPEC_{name.upper()}_{word.upper()}": options[word] for word in ("username", "password")}
    return f"{server.url}/st-{uuid.uuid4().hex}", {}, login


def _settings(name, options):
    """What ``conf/`` says of a server."""
    s3 = {"aws_access_key": "key", "aws_secret_access_key": "secret", "aws_s3_endpoint": "endpoint_url"}
    lake = {"lakefs_access_key": "username", "lakefs_secret_access_key": "password", "lakefs_endpoint": "host"}
    return {setting: options[option] for setting, option in (s3 if name == "s3" else lake).items()}


@pytest.fixture(
    scope="module",
    params=[
        "plain",
        "file",
        "memory",
        "lakefs",
        *(pytest.param(name, marks=pytest.mark.server(name)) for name in ("s3", "ftp", "sftp")),
    ],
)
def told(request, run, tmp_path_factory):
    """What went through one store."""
    project, data = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("data")
    base, settings, variables = _place(request.param, request, data)
    answer = json.loads(run(PROGRAMS / "pipeline.py", base, json.dumps(settings), cwd=project, **variables))
    return {**answer, "store": request.param}


def test_all_backends_are_ours(told):
    """The one line in pyproject.toml is enough."""
    assert told["classes"] == ["FSSpecBackend"]


def test_frames_go_from_craft_to_craft(told):
    """As CSV, under a name with a variable of the context in it."""
    assert told["rows"] == [[2, 3], [2, 3]]
    assert told["count"] == [2, 2]


def test_objects_go_from_craft_to_craft(told):
    """As a pickle."""
    assert told["model"] == {"mean": 3.75}


def test_feather(told):
    """A frame as Feather."""
    assert told["frame"] == {"day": [2, 3], "degrees": [3.0, 4.5]}


def test_workbooks(told):
    """A frame as a workbook, whose name has a ``#`` in it."""
    assert told["book"] == {"day": [2, 3], "degrees": [3.0, 4.5]}


def test_binary(told):
    """Bytes as they are."""
    assert told["blob"] == "2 warm days, 3.75"


def test_what_is_missing_is_told(told):
    """Their code, our text, and our error as the cause."""
    (theirs, text), (ours, _) = told["missing"][:2]

    assert theirs == ("E024" if told["store"] in {"plain", "file"} else "E0291")
    assert "by day/sunday.csv: not found" in text
    assert ours == "ObjectNotFoundError"


def test_nothing_is_left_beside_the_store(told):
    """Only a path of this machine leaves files in the project."""
    assert [Path(name).parts[0] for name in told["left"]] == (["data"] * 3 if told["store"] == "plain" else [])


@pytest.mark.server("s3")
def test_theirs_and_ours_read_each_other(run, s3_server, lakefs_server, tmp_path):
    """On S3 with ``leading_slash``, on lakeFS' stand-in, and in files, both ways; a branch that cannot be made is E065 there, too."""
    settings = {**_settings("s3", s3_server.storage_options), **_settings("lakefs", lakefs_server.storage_options)}
    paths = (f"s3://st-{uuid.uuid4().hex}/dir", "lakefs://any/dir", "dir")
    found = json.loads(run(PROGRAMS / "interop.py", json.dumps(settings), *paths, cwd=tmp_path))

    assert found.pop("no repository") == "E065"
    assert found == {f"{label} {scheme}": label for label in ("theirs", "ours") for scheme in ("s3", "lakefs", "")}


def test_our_promises_hold_on_the_real_one(run, tmp_path):
    """What is tested with the stand-in is true of statisfactory itself."""
    options = ("-q", "-c", os.devnull, f"--rootdir={ROOT}", "--noconftest", "-p", "no:cacheprovider", "--import-mode=importlib")
    last = run("-m", "pytest", *options, Path(__file__).with_name("test_statisfactory_registry.py"), cwd=tmp_path)

    assert re.match(r"\d\d passed", last), last
    assert "skipped" not in last


def test_the_example_runs(run, tmp_path):
    """The same file that does without statisfactory."""
    last = run(ROOT / "examples" / "statisfactory_pipeline.py", cwd=tmp_path)

    assert last == "the model: {'mean': 3.0}"


def test_their_own_tests_pass_with_ours(run, tmp_path):
    """All of statisfactory's tests, with every backend of its own taken out, and ours for files."""
    clone = tmp_path / "clone"
    shutil.copytree(SOURCE, clone, ignore=shutil.ignore_patterns(".git"))
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@localhost")
    subprocess.run(["git", "init", "--quiet", "."], cwd=clone, check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=x"], cwd=clone, check=True)
    (clone / "conftest.py").write_text(
        "from statisfactory.IO import Backend\n"
        "from persistence_fsspec.faces.statisfactory import register\n"
        "Backend.backends().clear()\n"
        "register('')\n"
    )
    last = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=clone)

    assert re.match(r"62 passed", last), last
