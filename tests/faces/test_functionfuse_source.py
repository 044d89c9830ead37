"""Function Fuse itself, from a clone: its workflows skip what is stored, and its own scripts pass with our storages.

``PERSISTENCE_FSSPEC_FUNCTIONFUSE_SOURCE`` names the clone; it is on no package index.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest

from tests.servers.environment import environment, find_python
from tests.servers.process import NotInstalled

PROGRAMS = Path(__file__).parent / "functionfuse"
SOURCE = os.environ.get("PERSISTENCE_FSSPEC_FUNCTIONFUSE_SOURCE", "")
REQUIREMENTS = (
    *("numpy>=2", "dask[array]==2025.12.0", "zarr==2.18.7", "numcodecs<0.16", "h5py>=3.11"),
    *("s3fs>=2025.10.0", "paramiko>=3.4", "ray==2.54.1", "pyyaml>=6"),
)
WITH_PREFECT = ("prefect==2.20.26", "griffe<1", "setuptools<81", "pydantic<2.11", "s3fs>=2025.10.0", "paramiko>=3.4")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SOURCE, reason="PERSISTENCE_FSSPEC_FUNCTIONFUSE_SOURCE names no clone of Function Fuse"),
]


def python_for(backend):
    try:
        if backend == "prefect":
            return environment("functionfuse-prefect", WITH_PREFECT, base=find_python("3.10"), project=True)
        return environment("functionfuse", REQUIREMENTS, project=True)
    except NotInstalled as exc:
        pytest.skip(f"what Function Fuse needs cannot be installed here: {str(exc)[-300:]}")


def run(backend, program, *arguments, said="", cwd=None, **variables):
    """Run a program; its last line is the answer."""
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp", ignore_cleanup_errors=True) as short:  # sockets have short names
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        home = {"PREFECT_HOME": str(Path(short) / "prefect"), "PREFECT_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1"}
        done = subprocess.run(
            [str(python_for(backend)), str(PROGRAMS / program), *(one.format(short=short) for one in arguments)],
            input=said,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
            cwd=cwd or short,
            env={**ours, **home, "PYTHONPATH": SOURCE, "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1", **variables},
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def stores(s3_server, sftp_server, ftp_server, tmp_path_factory):
    """Options for the factory, and the variables that hold the secrets in them."""
    name, variables = uuid.uuid4().hex, {}

    def served(server):
        given = dict(server.storage_options)
        for option in {"key", "secret", "password"} & given.keys():
            variable = f"TEST_{len(variables)}"
            variables[variable], given[option] = given[option], {"env": variable}
        return {"kind": "fsspec", "options": {"path": f"{server.url}/{name}", "storage_options": given}}

    return {
        "memory": {"kind": "fsspec", "options": {"path": f"memory://{name}"}},
        "file": {"kind": "fsspec", "options": {"path": str(tmp_path_factory.mktemp("results"))}},
        "s3": served(s3_server),
        "sftp": served(sftp_server),
        "ftp": served(ftp_server),
    }, variables


@pytest.fixture(scope="module", params=["local", "ray", "prefect"])
def told(request, stores):
    options, variables = copy.deepcopy(stores)
    for one in options.values():
        one["options"]["path"] += f"/{request.param}"
    chosen = {name: one for name, one in options.items() if (request.param, name) != ("ray", "memory")}
    if request.param == "ray":
        at_node = {"path": f"{options['file']['options']['path']}-node", "remoteArgs": {"num_cpus": 1}}
        chosen["node"] = {"kind": "ray", "options": at_node}
    return request.param, run(request.param, "reruns.py", request.param, "{short}", said=json.dumps(chosen), **variables)


@pytest.mark.server("s3")
@pytest.mark.server("sftp")
@pytest.mark.server("ftp")
def test_what_is_stored_is_skipped(told):
    """On every store: all four nodes at first, none again, those that were removed, and all when the workflow was."""
    backend, stores = told
    assert len(stores) == 5
    every = ["both", "high", "low", "result"]
    partly = [] if backend == "prefect" else [["both", "result"]]
    for name, found in stores.items():
        assert found["calculated"] == [every, [], *partly, every], (backend, name)


@pytest.mark.server("s3")
@pytest.mark.server("sftp")
@pytest.mark.server("ftp")
def test_results_are_right(told):
    """Each time, and for who reads them later."""
    backend, stores = told
    for name, found in stores.items():
        assert set(found["results"]) == {105}, (backend, name)
        assert found["listed"] == ["both", "high", "low", "result"], (backend, name)
        assert found["read"] == {"sum": 110}, (backend, name)


# --- its own scripts ---


def test_local_script():
    """``tests/built-in/test_local_workflow.py``, whose storage is of kind ``file``."""
    asked = run("local", "their_script.py", f"{SOURCE}/tests/built-in/test_local_workflow.py")

    assert asked == {"new_workflow": 2, "save": 3, "read_task": 3}


@pytest.fixture
def with_s3(s3_server, tmp_path):
    """The working folder that its scripts for S3 want."""
    options = {"path": f"/{s3_server.bucket}/{uuid.uuid4().hex}", "s3fs": s3_server.storage_options}
    (tmp_path / "s3credentials.yaml").write_text(json.dumps(options))  # which is YAML
    return tmp_path


@pytest.mark.server("s3")
def test_s3_script(with_s3):
    """``tests/file_storage/s3storage.py``, whose storage is of kind ``S3``."""
    asked = run("local", "their_script.py", f"{SOURCE}/tests/file_storage/s3storage.py", cwd=with_s3)

    assert asked == {"new_workflow": 2, "save": 3, "read_task": 3}


@pytest.mark.server("s3")
def test_dask_script_on_s3(with_s3):
    """``tests/built-in/serializers/dask_array_s3.py``: the original serializer writes by our filesystem."""
    asked = run("local", "their_script.py", f"{SOURCE}/tests/built-in/serializers/dask_array_s3.py", cwd=with_s3)

    assert asked == {"new_workflow": 2, "save": 4, "read_task": 4}


def test_dask_script_on_files():
    """``dask_array_local_storage.py``, which imports a name that is gone: the original serializer writes by our files."""
    script = f"{SOURCE}/tests/built-in/serializers/dask_array_local_storage.py"
    asked = run("local", "their_script.py", script, "HDFSerializer", "DaskArraySerializer")

    assert asked == {"new_workflow": 2, "save": 4, "read_task": 4}


def test_prefect_script():
    """``tests/addons/test_prefect_workflow.py``, all of it."""
    asked = run("prefect", "their_script.py", f"{SOURCE}/tests/addons/test_prefect_workflow.py")

    assert asked == {"new_workflow": 2, "save": 3, "read_task": 3}


# --- arrays, from storage to storage ---


@pytest.mark.server("s3")
def test_arrays_from_storage_to_storage(s3_server, tmp_path):
    """What its storages write with its serializer or ours, ours read and remove, and the other way round."""
    s3 = {"path": f"/{s3_server.bucket}/{uuid.uuid4().hex}", "s3fs": s3_server.storage_options}
    told = run("local", "interchange.py", said=json.dumps({"file": str(tmp_path / "results"), "S3": s3}))

    assert len(told) == 11
    assert all(told.values()), told
