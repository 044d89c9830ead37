"""Dask arrays in Function Fuse's storage, in environments that have dask: as HDF5, and by both generations of zarr."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path

import pytest

from persistence_fsspec.testing.strategies import SOAK
from tests.servers.environment import environment
from tests.servers.process import NotInstalled

PROGRAM = Path(__file__).parent / "functionfuse" / "arrays.py"
OURS = ("dask[array]==2025.12.0", "h5py>=3.11", "s3fs>=2025.10.0")
GENERATIONS = {"zarr 3": (*OURS, "zarr>=3"), "zarr 2": (*OURS, "zarr<3", "numcodecs<0.16")}
BUILT_AHEAD = [partial(environment, "dask-array", requirements, project=True) for requirements in GENERATIONS.values()]

pytestmark = pytest.mark.slow


EVERY = [(generation, store) for generation in GENERATIONS for store in ("memory", "file", "s3", "ftp")]
SAMPLE = [("zarr 3", "file"), ("zarr 3", "s3"), ("zarr 2", "s3")]


def _marked(case):
    _, store = case
    marks = [pytest.mark.server(store)] if store in {"s3", "ftp"} else []
    return pytest.param(case, marks=marks, id="-".join(case))


def _python(generation):
    if generation == "zarr 3" and sys.version_info < (3, 11):
        pytest.skip("zarr 3 needs Python 3.11")
    try:
        return environment("dask-array", GENERATIONS[generation], project=True)
    except NotInstalled as exc:
        pytest.skip(f"dask and zarr cannot be installed here: {str(exc)[-300:]}")


@pytest.fixture(scope="module", params=map(_marked, EVERY if SOAK else SAMPLE))
def told(request, tmp_path_factory):
    """What the program says of one store."""
    generation, store = request.param
    python, url, options = _python(generation), f"memory://{uuid.uuid4().hex}", None
    if store == "file":
        url = tmp_path_factory.mktemp("results").as_uri()
    elif store != "memory":
        server = request.getfixturevalue(f"{store}_server")
        url, options = f"{server.url}/{uuid.uuid4().hex}", server.storage_options
    done = subprocess.run(
        [str(python), str(PROGRAM), url],
        input=json.dumps(options),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
        cwd=tmp_path_factory.mktemp("work"),
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


WAYS = pytest.mark.parametrize("way", ["HDF5Serializer", "ZarrSerializer", "by the filesystem alone"])


@WAYS
def test_arrays_come_back(told, way):
    """Every element, of any shape, type and division into chunks; two of them are not mixed up."""
    assert told[way]["wrong"] == []
    assert told[way]["added"]


@WAYS
def test_arrays_lie_in_the_workflow(told, way):
    """Below its ``bigdata``, which is no node."""
    assert told[way]["nodes"]
    assert told[way]["elsewhere"] == []


@WAYS
def test_arrays_go_with_the_result(told, way):
    """Nothing is left of them."""
    assert told[way]["left"] == []


@WAYS
def test_what_fails_leaves_nothing(told, way):
    """An array that cannot be calculated takes those along that were written before it."""
    assert told[way]["failed"].startswith("RuntimeError: not this block")
    assert told[way]["unknown"].startswith("InvalidOptionError")
    assert "compute_chunk_sizes" in told[way]["unknown"]
    assert told[way]["late"].startswith("RuntimeError: not this block")
    assert told[way]["left by failures"] == []


@WAYS
def test_masked_arrays_are_refused(told, way):
    """Neither format keeps the mask; the error says what to return instead."""
    assert told[way]["masked"].startswith("InvalidOptionError")
    assert "getmaskarray" in told[way]["masked"]


def test_a_missing_chunk_is_told(told):
    """Zarr by itself reads zeros; the other chunks, which are zeros here, are all there and read."""
    gone = told["chunk gone"]
    assert (gone["chunks"], gone["left"]) == (4, 0)
    assert gone["held"].startswith("TruncatedError")
    assert gone["read"].startswith("TruncatedError")


def test_arrays_on_a_cluster_are_told(told):
    """`HDF5Serializer` cannot have them; the error says which can."""
    assert told["elsewhere"].startswith("InvalidOptionError")
    assert "ZarrSerializer" in told["elsewhere"]


def test_processes_save_what_is_read_here(told):
    """In the memory of this process, too, where those of dask would write into their own."""
    if "by processes" not in told:
        pytest.skip("the options for tests are literal secrets, which do not travel")
    assert told["by processes"] == 2400 * 2399 / 2


def test_a_part_is_read_for_a_part(told):
    """Of 32 MB, the 1.6 MB that are asked for, and nothing for the array itself; also where a storage offers files alone."""
    assert told["lazily"] == [{"total": 200_000, "opened": 0, "read": 1_600_000}] * 2


def test_files_of_other_storages_will_do(told):
    """Of which nothing is asked but to be opened and removed."""
    assert told["by their files"] == {"wrong": [], "missing": True}


PROTOCOLS = pytest.mark.parametrize("at", [0, 1], ids=["both protocols", "files alone"])


@PROTOCOLS
def test_damage_is_told(told, at):
    """Zeros in the place of a chunk are not taken for numbers; the error names the file, and the other chunks are read."""
    damaged = told["damaged"][at]
    assert damaged["zeros"][:3] == ["ChecksumMismatchError", damaged["url"], False]
    assert "remove_task()" in damaged["zeros"][3]
    assert damaged["rest"]


@PROTOCOLS
@pytest.mark.parametrize("how", ["ends in it", "ends before"])
def test_a_missing_end_is_told(told, at, how):
    """The error names the file by its URL, says what may have happened, and is not to be tried again."""
    damaged = told["damaged"][at]
    assert damaged[how][:3] == ["TruncatedError", damaged["url"], False]
    assert "removed meanwhile" in damaged[how][3]


SERIALIZERS = pytest.mark.parametrize("serializer", ["HDF5Serializer", "ZarrSerializer"])
LIES = {
    "shape": "the shape (1,), and is said to have (4,)",
    "dimensions": "the shape (1, 4), and is said to have (4,)",
    "cut later": "the shape (9,), and is said to have (6,)",
    "empty": "the shape (0,), and is said to have (4,)",
    "dtype": "of float64, and is said to be of int64",
    "complex": "of complex128, and is said to be of float64",
    "text": "of <U1, and is said to be of float64",
    "too large": "of int64, with values that int8, which it is said to be of, has not",
    "masked": "getmaskarray",
    "foreign": "of __main__.Foreign, and would come back as a plain one",
    "list": "of builtins.list, and would come back as a plain one",
}


@SERIALIZERS
@pytest.mark.parametrize("lie", LIES)
def test_blocks_are_what_dask_says_of_them(told, serializer, lie):
    """Else what is stored would not be what is calculated; the error says what the block is, and what is said of it."""
    error = told["lies"][serializer]["told"][lie]
    assert error.startswith("InvalidOptionError: a block of this array")
    assert LIES[lie] in error


@SERIALIZERS
def test_wrong_blocks_leave_nothing(told, serializer):
    """What was written of the array before them is taken back."""
    assert told["lies"][serializer]["left"] == []


@SERIALIZERS
def test_a_number_is_a_block(told, serializer):
    """Of no dimensions, and of the type that is said."""
    assert told["lies"][serializer]["number"] == [7, "float64"]


def test_places_of_chunks_are_found_in_one_pass(told):
    """Not by a search for each of them, but where h5py knows nothing else; both find the same."""
    assert told["places"] == {"same": True, "asked": 0, "one by one": 12}


def test_names_of_workflows_are_no_patterns(told):
    """Zarr arrays lie in their own workflow, and none is read or removed for another."""
    assert told["patterns"] == {"sums": [0, 1, 2, 3, 4, 5, 6], "left": []}


def test_records_come_back(told):
    """What has a fixed size has a known place in the file, however the fields lie in it."""
    assert told["elements"]["wrong"] == []


def test_remarks_of_h5py_are_no_trouble(told):
    """Elements of text in UTF-8 and of enumerations come back, without a warning."""
    assert told["remarked"] == [True, True, True]


@pytest.mark.parametrize("kind", ["datetimes", "text", "nothing", "dimensions"])
def test_what_hdf5_has_not_is_refused(told, kind):
    """The error gives the reason, and says what takes such arrays."""
    error = told["elements"][kind]
    assert error.startswith("TypeError: HDF5 has no place for an array of ")
    assert "ZarrSerializer takes" in error
    assert told["elements"].get(f"{kind} by zarr", True)
    assert told["elements"]["left"] == []


def test_elements_of_no_fixed_size_are_refused(told):
    """The error says what the array is made of."""
    assert told["elements"]["objects"].startswith("TypeError: elements of the type object have no fixed size")


def test_later_versions_are_told(told):
    """What this version cannot read, it does not guess."""
    assert all(error.startswith("UnpicklingError") and "version 2" in error for error in told["later"]["later"])


def test_missing_arrays_are_not_found(told):
    """A FileNotFoundError, so that a workflow calculates the node again."""
    assert told["later"]["missing"] == [True, True]
    assert told["later"]["remove missing"] == [True, True]


def test_a_storage_without_a_filesystem_is_told(told):
    """Zarr needs one."""
    assert told["later"]["no filesystem"].startswith("InvalidOptionError")


def test_arrays_travel(told):
    """Other processes read what they need by themselves."""
    if "travels" not in told:
        pytest.skip("memory is that of one process, and the options for tests are literal secrets")
    assert told["travels"] == [2400 * 2399 / 2] * 4


def test_forked_processes_read_the_right_rows(told):
    """What they read by turns has no place in a file that they would share."""
    if "forked" not in told:
        pytest.skip("once is enough")
    assert told["forked"] == []


def test_arrays_hold_no_open_files(told):
    """However many there are."""
    if "open files" not in told:
        pytest.skip("once is enough")
    assert told["open files"] == 0
