"""The door back: what speaks fsspec reads and writes through us."""

from __future__ import annotations

import gc
import pickle
import sys
import uuid

import fsspec
import pytest

from persistence_fsspec import FSSpecPersistence, InvalidNameError, TransferError
from persistence_fsspec.faces.fsspec import PersistFileSystem

pd = pytest.importorskip("pandas")

pytestmark = [
    # Libraries that come in through the door; their own warnings are theirs.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

needs_chains = pytest.mark.skipif(int(pd.__version__.split(".")[0]) < 3, reason="pandas before 3 takes no chained URL for one")

FRAME = pd.DataFrame({"n": range(1000), "name": [f"row {i}" for i in range(1000)]})


class Base:
    def __init__(self, url, options):
        self.url, self.options = url, options


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.server("s3"))])
def base(request, tmp_path):
    """A fresh folder as a ``persist::`` URL, and the options that go with it."""
    if request.param == "memory":
        return Base(f"persist::memory://door-{uuid.uuid4().hex}", {})
    if request.param == "file":
        return Base(f"persist::{tmp_path.as_uri()}", {})
    server = request.getfixturevalue("s3_server")
    return Base(f"persist::{server.url}/door-{uuid.uuid4().hex}", {"s3": server.storage_options})


def test_the_entry_point_names_the_door():
    """Installing the package is enough: fsspec knows the protocol."""
    assert fsspec.get_filesystem_class("persist") is PersistFileSystem


def test_our_own_class_takes_the_same_urls(base):
    """What is behind the prefix is meant, by every operation, and by no other bucket or folder that is named alike."""
    url, options = f"{base.url}/deep", base.options
    persistence = FSSpecPersistence("memory://", storage_options=options)
    persistence.write_bytes(f"{url}/k", b"right")

    assert FSSpecPersistence(url.removeprefix("persist::"), storage_options=options).read_bytes("k") == b"right"
    assert persistence.read_bytes(f"{url}/k") == b"right"
    assert list(FSSpecPersistence(url, storage_options=options).listdir()) == ["k"]
    persistence.move(f"{url}/k", f"{url}/moved")
    assert list(persistence.listdir(url)) == [f"{url.removeprefix('persist::')}/moved"]
    assert persistence.delete(f"{url}/moved") == 1
    assert not persistence.exists(f"{url}/moved")


@pytest.mark.parametrize("url", ["persist://k", "persist://s3://bucket/k", "persist://a::s3://bucket/k"])
def test_the_prefix_is_no_store(url):
    """The error says how it is written."""
    with pytest.raises(InvalidNameError, match="in front of it"):
        FSSpecPersistence("memory://").write_bytes(url, b"1")


@needs_chains
def test_pandas_parquet(base):
    """A table goes out and comes back."""
    FRAME.to_parquet(f"{base.url}/t.parquet", storage_options=base.options)

    pd.testing.assert_frame_equal(pd.read_parquet(f"{base.url}/t.parquet", storage_options=base.options), FRAME)


@needs_chains
def test_pandas_csv(base):
    """Text goes out and comes back."""
    FRAME.to_csv(f"{base.url}/t.csv", index=False, storage_options=base.options)

    pd.testing.assert_frame_equal(pd.read_csv(f"{base.url}/t.csv", storage_options=base.options), FRAME, check_dtype=False)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 needs Python 3.11")
def test_zarr(base):
    """An array of many chunks goes out and comes back."""
    import numpy as np
    import zarr

    data = np.arange(10_000, dtype="i8").reshape(100, 100)
    array = zarr.create_array(f"{base.url}/a.zarr", data=data, chunks=(30, 30), storage_options=base.options)

    assert array.shape == (100, 100)
    again = zarr.open_array(f"{base.url}/a.zarr", mode="r", storage_options=base.options)
    assert (again[:] == data).all()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr 3 needs Python 3.11")
def test_xarray(base):
    """A data set goes out and comes back."""
    import numpy as np
    import xarray as xr

    data = xr.Dataset({"t": (("x", "y"), np.random.default_rng(0).random((20, 30)))}, coords={"x": range(20)})
    data.to_zarr(f"{base.url}/d.zarr", storage_options=base.options, consolidated=False)

    xr.testing.assert_identical(xr.open_zarr(f"{base.url}/d.zarr", storage_options=base.options, consolidated=False).load(), data)


def test_xarray_netcdf_file_object(base, tmp_path):
    """A file object that seeks is enough for HDF5."""
    import numpy as np
    import xarray as xr

    data = xr.Dataset({"t": ("x", np.arange(50.0))})
    data.to_netcdf(tmp_path / "d.nc", engine="h5netcdf")
    raw = (tmp_path / "d.nc").read_bytes()
    with fsspec.open(f"{base.url}/d.nc", "wb", **base.options) as file:
        file.write(raw)
    gc.collect()  # h5py's objects among the garbage could make it hang: it says so itself, of all file objects in Python
    with fsspec.open(f"{base.url}/d.nc", "rb", **base.options) as file:
        xr.testing.assert_identical(xr.open_dataset(file, engine="h5netcdf").load(), data)


def test_upath(base):
    """Paths write, list, read and unlink."""
    from upath import UPath

    folder = UPath(base.url, **base.options)
    (folder / "sub" / "a.txt").write_text("hello")

    assert (folder / "sub" / "a.txt").read_text() == "hello"
    assert [path.name for path in (folder / "sub").iterdir()] == ["a.txt"]
    (folder / "sub" / "a.txt").unlink()
    assert not (folder / "sub" / "a.txt").exists()


def test_upath_is_an_address(base):
    """A UPath names a place, with its options, wherever an address is asked for."""
    from upath import UPath

    plain = UPath(base.url.removeprefix("persist::"), **base.options.get("s3", {}))
    FSSpecPersistence(plain).write_bytes("k", b"1")
    other = FSSpecPersistence("memory://elsewhere")

    assert other.read_bytes(plain / "k") == b"1"
    assert other.exists(plain / "missing") is False


def test_an_exception_publishes_nothing(base):
    """Our promise holds through the door."""
    with pytest.raises(ZeroDivisionError), fsspec.open(f"{base.url}/k", "wb", **base.options) as file:
        file.write(b"half")
        raise ZeroDivisionError

    fs, path = fsspec.core.url_to_fs(f"{base.url}/k", **base.options)
    assert not fs.exists(path)


def test_text_publishes_nothing_either(base):
    """Also where fsspec would wrap the file for text."""
    with pytest.raises(ZeroDivisionError), fsspec.open(f"{base.url}/k", "w", **base.options) as file:
        file.write("half")
        raise ZeroDivisionError

    fs, path = fsspec.core.url_to_fs(f"{base.url}/k", **base.options)
    assert not fs.exists(path)


@needs_chains
def test_a_table_that_fails_leaves_the_old_one(base, monkeypatch):
    """pandas and pyarrow close their files on the way out, which must not publish."""
    import pyarrow.parquet

    if "file:" in base.url:
        pytest.skip("pyarrow removes a local path by the operating system's call, past every file system")
    FRAME.to_parquet(f"{base.url}/t.parquet", storage_options=base.options)

    def fails(*_, **__):
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(pyarrow.parquet.ParquetWriter, "write_table", fails)
        with pytest.raises(ZeroDivisionError):
            FRAME.head(1).to_parquet(f"{base.url}/t.parquet", storage_options=base.options)

    assert len(pd.read_parquet(f"{base.url}/t.parquet", storage_options=base.options)) == len(FRAME)


def test_closing_while_an_older_exception_is_handled_publishes(base):
    """What came before the file was opened is none of its business."""
    try:
        raise KeyError
    except KeyError:
        with fsspec.open(f"{base.url}/k", "wb", **base.options) as file:
            file.write(b"whole")

    fs, path = fsspec.core.url_to_fs(f"{base.url}/k", **base.options)
    assert fs.cat_file(path) == b"whole"


@pytest.mark.server("s3")
def test_flat_options_are_the_wrapped_stores(s3_server):
    """Not swallowed: that would send the request, and what it carries, to another server."""
    url = f"persist::{s3_server.url}/flat-{uuid.uuid4().hex}"
    with fsspec.open(url, "wb", **s3_server.storage_options) as file:
        file.write(b"1")

    with fsspec.open(url, "rb", **s3_server.storage_options) as file:
        assert file.read() == b"1"


def test_putting_onto_a_folder_is_an_error(base, tmp_path):
    """Not a silent nothing."""
    (tmp_path / "a.txt").write_bytes(b"1")
    fs, root = fsspec.core.url_to_fs(f"{base.url}/t", **base.options)
    fs.pipe_file(f"{root}/inside", b"1")
    if "memory:" not in base.url:
        pytest.skip("a flat store has both, and an existing local folder receives the file")

    with pytest.raises(IsADirectoryError):
        fs.put_file(str(tmp_path / "a.txt"), root)


def test_trees_by_fsspec_calls(base, tmp_path):
    """put, find, get and rm, recursively, by fsspec's own walking."""
    source = tmp_path / "src"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_bytes(b"1")
    (source / "sub" / "b").write_bytes(b"2")
    fs, root = fsspec.core.url_to_fs(f"{base.url}/tree", **base.options)
    fs.put(f"{source}/", f"{root}/", recursive=True)

    assert sorted(name[len(root) + 1 :] for name in fs.find(root)) == ["a", "sub/b"]
    fs.get(f"{root}/", f"{tmp_path}/back/", recursive=True)
    assert (tmp_path / "back" / "sub" / "b").read_bytes() == b"2"
    fs.rm(root, recursive=True)
    assert not fs.exists(root)


def test_a_tree_nests_where_fsspec_nests_it(base, tmp_path):
    """Into a folder that is there goes the folder itself; with a slash behind it, its contents."""
    source = tmp_path / "src"
    source.mkdir()
    (source / "a").write_bytes(b"1")
    fs, root = fsspec.core.url_to_fs(f"{base.url}/nest", **base.options)
    for _ in range(2):
        fs.put(str(source), f"{root}/to", recursive=True)
    fs.put(f"{source}/", f"{root}/to", recursive=True)

    assert sorted(name[len(root) + 1 :] for name in fs.find(root)) == ["to/a", "to/src/a"]
    for _ in range(2):
        fs.get(f"{root}/to/src", f"{tmp_path}/back", recursive=True)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("back/**/a")) == ["back/a", "back/src/a"]


def test_a_tree_is_one_transfer(base, tmp_path):
    """What can arrive does, and one error tells of the rest; a callback counts files, as fsspec's own does."""
    (tmp_path / "src" / "sub").mkdir(parents=True)
    (tmp_path / "src" / "sub" / "good").write_bytes(b"1")
    (tmp_path / "src" / "gone").symlink_to("nowhere")
    fs, root = fsspec.core.url_to_fs(f"{base.url}/one", **base.options)
    counted = fsspec.Callback()

    with pytest.raises(TransferError) as caught:
        fs.put(f"{tmp_path}/src", root, recursive=True, callback=counted)
    assert [one.source.rpartition("/")[2] for one in caught.value.report.failed] == ["gone"]
    assert fs.cat_file(f"{root}/sub/good") == b"1"
    assert counted.size == counted.value == 2


def test_a_persistence_as_a_filesystem():
    """Its paths are keys below the default prefix."""
    persistence = FSSpecPersistence(f"memory://door-{uuid.uuid4().hex}")
    fs = persistence.fsspec_filesystem()
    fs.pipe_file("d/k", b"hello")

    assert persistence.read_bytes("d/k") == b"hello"
    assert fs.ls("d", detail=False) == ["d/k"]
    assert fs.cat("d/k") == b"hello"
    assert fs.info("d/k")["size"] == 5
    assert fs.cat_file("d/k", -3, None) == b"llo"


def test_the_door_pickles():
    """Dask and multiprocessing send filesystems around."""
    persistence = FSSpecPersistence(f"memory://door-{uuid.uuid4().hex}")
    persistence.write_bytes("k", b"1")
    fs = pickle.loads(pickle.dumps(persistence.fsspec_filesystem()))

    assert fs.cat_file("k") == b"1"


def test_missing_is_the_builtin_error(base):
    """What fsspec's users catch is what they get."""
    with pytest.raises(FileNotFoundError):
        fsspec.open(f"{base.url}/missing", **base.options).open()
