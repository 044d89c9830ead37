"""Function Fuse's storage on the workers of a Ray cluster, in an environment that has Ray."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import uuid
from functools import partial
from pathlib import Path

import pytest

from persistence_fsspec.faces.functionfuse import FSSpecStorage
from persistence_fsspec.testing.strategies import SOAK
from tests.servers.environment import environment
from tests.servers.process import NotInstalled
from tests.unit.test_travel import SCHEDULERS

PROGRAM = Path(__file__).parent / "functionfuse" / "on_ray.py"
ROOT = Path(__file__).parents[2]
BUILT_AHEAD = [partial(environment, "ray", SCHEDULERS["ray"])]

pytestmark = pytest.mark.slow


def ray_python():
    try:
        return environment("ray", SCHEDULERS["ray"])
    except NotInstalled as exc:
        pytest.skip(f"Ray cannot be installed here: {str(exc)[-300:]}")


@pytest.fixture(scope="module", params=[*(["file"] if SOAK else []), pytest.param("ftp", marks=pytest.mark.server("ftp"))])
def told(request, tmp_path_factory):
    """What the program says, of a folder that all workers share, and of a server whose password only they know."""
    python = ray_python()
    url, user, password = tmp_path_factory.mktemp("results").as_uri(), "", ""
    if request.param == "ftp":
        options = request.getfixturevalue("ftp_server").storage_options
        url = f"ftp://{options['host']}:{options['port']}/{uuid.uuid4().hex}"
        user, password = options["username"], options["password"]
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as short:  # sockets have short names
        done = subprocess.run(
            [str(python), str(PROGRAM), url, user, f"TEST_{uuid.uuid4().hex}", short],
            input=password,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            cwd=tmp_path_factory.mktemp("work"),
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_second_run_calculates_nothing(told):
    """Workers save by themselves, and find by themselves what is saved."""
    assert told["workers"] == {"first": 3, "second": 3, "calculated": [3, 3]}


def test_secrets_are_looked_up_by_the_workers(told):
    """This process did not have the password."""
    assert not told["secret here"]


def test_literal_secrets_do_not_travel(told):
    """The error names the option and the way out, before anything is sent."""
    assert "password" in told["literal"]
    assert "SecretReference(env=" in told["literal"]
    assert "hidden-one" not in told["literal"]


def test_the_memory_of_one_process_is_refused(told):
    """Each worker has its own."""
    assert "memory of one process" in told["memory"]


def test_a_store_that_workers_do_not_reach(told):
    """It is told when the workflow begins, not lost with the results."""
    assert told["unreachable"].startswith("['ConnectionError']")


def test_names_are_checked_at_once(told):
    """A workflow that would leave the path does not begin."""
    assert "cannot be the name of a workflow" in told["name"]


def test_the_last_save_stands_for_all(told):
    """A workflow waits for it alone: then all are there; and when one of them failed it says so, and the others are there."""
    assert told["saving"]["there"] == [True, True]
    assert told["saving"]["failed"].startswith("['TypeError']")
    assert "not this one" in told["saving"]["failed"]
    assert told["saving"]["others"] == [True, True]


def test_the_end_of_the_program_waits():
    """For all that is being saved, where the workflow itself waits for nothing; and tells what could not be saved."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as short:
        done = subprocess.run(
            [str(ray_python()), str(PROGRAM.with_name("ending.py")), f"{short}/results", short],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=short,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore,default::RuntimeWarning"},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        assert done.stdout.strip().splitlines()[-1] == "[]"
        assert FSSpecStorage(f"{short}/results").read_task("wf", "late") == 0
    assert done.stderr.count("'never' was not saved: TypeError: not this one") == 1
    (said,) = (line for line in done.stderr.splitlines() if "'script' was not saved" in line)
    assert said.endswith("define the class in a module that the workers import")


def test_what_was_not_saved_is_told(told):
    """Once, by name: a workflow on Ray asks nobody."""
    (said,) = told["saving"]["warned"]
    assert said == "the result of 'never' was not saved: TypeError: not this one"


def test_a_storage_on_one_node(told):
    """Made by the factory's kind ``ray``: lists, reads, and removes by name, by pattern, and all."""
    node = told["node"]
    assert told["kind"] == "RayStorage"
    assert (node["list"], node["read"], node["left"], node["gone"]) == (["a1", "a2"], "b1", ["c"], True)
    assert node["by the actor"] == 7


def test_errors_of_the_node_arrive(told):
    """What is missing is a FileNotFoundError here, what is not whole an InvalidPickle; nothing fails unnoticed."""
    node = told["node"]
    assert node["missing"].startswith("['FileNotFoundError']")
    assert node["remove missing"].startswith("['FileNotFoundError']")
    assert node["broken"].startswith("['InvalidPickle']")


def test_a_node_is_found_again(told):
    """After the actor has died, and after Ray was ended and begun again, by the same storage."""
    assert told["node"]["after its end"] == 7
    assert told["on the next cluster"] == ["a"]


def test_a_workflow_on_the_node(told):
    """A storage on one node serves workflows as well."""
    assert told["node's workers"] == 41
