"""XT's record of a service, and what XT knows of the service by it; no store is needed for this, nor XT."""

from __future__ import annotations

import inspect
import json
import pickle
import re
import subprocess
import sys
import textwrap
import traceback
from pathlib import Path

import pytest

from persistence_fsspec.errors import InvalidNameError, InvalidOptionError, SecretPicklingError
from persistence_fsspec.faces.xt import FSSpecStore, UnguardedStore

ROOT = Path(__file__).parents[2]
SECRET = "hush-hush-0815"


def store(path="memory://xt-none", **entries):
    return FSSpecStore({"type": "storage", "provider": "store-fsspec", "path": path, **entries})


# --- loading it ---


def test_it_is_imported_without_any_framework():
    """Neither XT, nor what XT declares interfaces with, nor a driver, is needed to import the class."""
    code = "import sys, persistence_fsspec.faces.xt; print([m for m in ('xtlib', 'interface', 's3fs', 'paramiko') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("cls", [FSSpecStore, UnguardedStore])
def test_the_parameters_are_those_of_the_interface(cls):
    """All 21 methods, with the names and defaults that XT calls them by, and without types, which XT declares none of."""
    wanted = {
        "get_service_name": "",
        "get_retry": "",
        "set_retry": "value",
        "does_container_exist": "container",
        "create_container": "container",
        "list_containers": "",
        "delete_container": "container",
        "get_container_properties": "container",
        "get_container_metadata": "container",
        "does_blob_exist": "container blob_path",
        "create_blob": "container blob_path text fail_if_exists=False",
        "create_blob_from_path": "container blob_path source_fn progress_callback=None",
        "append_blob": "container blob_path text append_with_rewrite=False",
        "list_blobs": "container path=None return_names=True recursive=True",
        "delete_blob": "container blob_path snapshot=None",
        "get_blob_text": "container blob_path",
        "get_blob_to_path": "container blob_path dest_fn snapshot=None progress_callback=None",
        "get_blob_properties": "container blob_path",
        "get_blob_metadata": "container blob_path",
        "copy_blob": "source_container source_blob_path dest_container dest_blob_path",
        "snapshot_blob": "container blob_path",
    }
    assert len(wanted) == 21
    for name, parameters in wanted.items():
        assert str(inspect.signature(getattr(cls, name))) == f"({', '.join(['self', *parameters.split()])})"


# --- the record ---


def test_nothing_is_opened_by_constructing_it():
    """A server that does not answer is no hindrance, nor is a driver that is not installed."""
    assert repr(store("ftp://127.0.0.1:1/x")) == "FSSpecStore('ftp://127.0.0.1:1/x')"


def test_the_readme_and_the_example_show_one_record():
    """The four lines of YAML are the same in both."""
    block = re.search(r"```yaml\n# xt_config.yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]

    assert len(block.splitlines()) == 4
    assert textwrap.indent(block, "    ") in (ROOT / "examples" / "xt_store.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("entries", [{}, {"key": ""}, {"key": " "}, {"key": None}, {"key": "{}"}, {"name": "n"}])
def test_options_may_be_absent(entries):
    """No key, an empty one, and an empty object all mean no options."""
    assert store(**entries).list_containers() == []


@pytest.mark.parametrize("record", [{}, {"provider": "p"}, {"path": ""}])
def test_a_path_is_required(record):
    """A record without a place is an error that says so."""
    with pytest.raises(InvalidOptionError, match="has no 'path'"):
        FSSpecStore(record)


@pytest.mark.parametrize("record", [None, "s3://bucket", ["path", "x"]])
def test_a_record_is_a_table(record):
    """Anything else is said."""
    with pytest.raises(InvalidOptionError, match="is a table"):
        FSSpecStore(record)


def test_an_unknown_entry_is_refused():
    """It is named, and what it says is not shown."""
    with pytest.raises(InvalidOptionError, match="no entry 'account'") as told:
        store(account=SECRET)

    assert SECRET not in "".join(traceback.format_exception(told.value))


def test_an_entry_is_a_text():
    """A number or a table is refused; what it says is not shown."""
    with pytest.raises(InvalidOptionError, match="'key' of a storage service of XT is a text, not dict") as told:
        store(key={"secret": SECRET})

    assert SECRET not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("key", [f"{SECRET}==", f'{{"secret": "{SECRET}"', f'["{SECRET}"]', f'"{SECRET}"', "7"])
def test_a_key_that_is_no_json_object_is_refused(key):
    """The error shows how it should look, and neither it nor its causes show what was there."""
    with pytest.raises(InvalidOptionError, match="not the text of a JSON object") as told:
        store("s3://bucket", key=key)

    assert "endpoint_url" in told.value.hint
    assert SECRET not in "".join(traceback.format_exception(told.value))
    assert told.value.__cause__ is None
    assert told.value.__context__ is None


@pytest.mark.parametrize("name", ["1", "null", "true", '["A"]', '{"env": "A"}'])
def test_a_variable_is_named_by_a_text(name):
    """Anything else is refused, and is no part of the service's name."""
    with pytest.raises(InvalidOptionError, match="names a variable by a text") as told:
        store("s3://bucket", key=f'{{"client_kwargs": {{"endpoint_url": {{"env": {name}}}}}}}')

    assert "MINIO_SECRET" in told.value.hint


@pytest.mark.parametrize(
    "key",
    [
        '{"key": "SECRET", "key": "b"}',
        '{"client_kwargs": {"key": 1, "a": 2, "key": 1}}',
        '{"key": {"env": "A", "env": "B"}, "a": 1}',
    ],
)
def test_nothing_is_said_twice(key):
    """Which of the two was meant cannot be known; the error names it, and shows neither."""
    with pytest.raises(InvalidOptionError, match=r"says '(key|env)' twice") as told:
        store("s3://bucket", key=key.replace("SECRET", SECRET))

    assert SECRET not in "".join(traceback.format_exception(told.value))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_a_number_is_one_of_json(number):
    """What Python reads besides is refused."""
    with pytest.raises(InvalidOptionError, match="a number that JSON has not"):
        store("s3://bucket", key=f'{{"client_kwargs": {{"a": [1.5, {number}]}}}}')


def test_a_program_is_not_run_for_a_secret():
    """A configuration may come from anywhere: a table in it may name a variable, and no program and no file."""
    with pytest.raises(InvalidOptionError, match="names a command is not followed here"):
        store("s3://bucket", key=json.dumps({"secret": {"command": ["false"]}}))


def test_a_misspelt_option_is_refused():
    """Before any traffic, and with what was meant."""
    with pytest.raises(InvalidOptionError, match="did you mean 'username'"):
        store("ftp://127.0.0.1:1/x", key='{"usernam": "me"}').list_containers()


def test_the_home_folder(monkeypatch, tmp_path):
    """``~`` is the user's."""
    monkeypatch.setenv("HOME", str(tmp_path))
    store("~/xt").create_container("ws1")

    assert (tmp_path / "xt" / "ws1").is_dir()


# --- its name ---


@pytest.mark.parametrize(
    ("path", "key", "name"),
    [
        ("s3://bucket/xt", "", "s3://bucket/xt"),
        ("s3://bucket/xt/", "", "s3://bucket/xt"),
        ("s3://bucket", '{"endpoint_url": "http://one:9000/"}', "s3://bucket at http://one:9000"),
        ("s3://bucket", '{"s3": {"endpoint_url": "http://one:9000"}, "ftp": {"host": "x"}}', "s3://bucket at http://one:9000"),
        ("s3://bucket", '{"client_kwargs": {"endpoint_url": "http://two"}}', "s3://bucket at http://two"),
        ("s3://bucket", '{"key": "AKIA", "secret": "hush-hush-0815"}', "s3://bucket"),
        ("s3://bucket", '{"endpoint_url": "http://me:hush-hush-0815@one?sig=hush-hush-0815"}', "s3://bucket at http://one"),
        ("abfs://c/xt", '{"account_name": "acc", "account_key": "hush-hush-0815"}', "abfs://c/xt at acc"),
        ("abfs://c", '{"connection_string": "AccountName=acc;AccountKey=hush-hush-0815=="}', "abfs://c at acc"),
        ("ftp://me:hush-hush-0815@host:2121/xt", "", "ftp://me@host:2121/xt"),
        ("ftp://host:2121/xt", '{"host": "host", "port": 2121, "username": "me"}', "ftp://host:2121/xt"),
        ("sftp:///xt", '{"host": "h", "port": 22, "username": "me", "password": "hush-hush-0815"}', "sftp:///xt at h, 22"),
        ("/data/xt/", "", "file:///data/xt"),
        ("file:///data/xt", "", "file:///data/xt"),
    ],
)
def test_the_service_has_a_name(path, key, name):
    """The URL and the server that the options name, without credentials: what XT pairs with its database."""
    assert store(path, key=key).get_service_name() == name


def test_the_name_is_found_by_reference(monkeypatch):
    """A server that a variable names is named as itself: client and node may spell it differently."""
    monkeypatch.setenv("XT_TEST_ENDPOINT", "http://one:9000")
    referred = store("s3://b", key='{"endpoint_url": {"env": "XT_TEST_ENDPOINT"}}')

    assert referred.get_service_name() == store("s3://b", key='{"endpoint_url": "http://one:9000"}').get_service_name()


def test_the_name_tells_nothing_of_xts_own_entries():
    """The same place under another name in the configuration is the same service."""
    assert store(name="a").get_service_name() == store(name="b", type="storage").get_service_name()


# --- secrets, and what XT hands over ---


def test_a_secret_is_not_shown():
    """Neither by repr nor by the attributes that one looks at in a debugger."""
    guarded = store("s3://bucket", key=json.dumps({"key": "AKIA", "secret": SECRET}))

    assert SECRET not in repr(guarded)
    assert SECRET not in repr(vars(guarded))


def test_a_secret_is_not_pickled():
    """It is an error that names the option."""
    guarded = store("s3://bucket", key=json.dumps({"key": "AKIA", "secret": SECRET}))

    with pytest.raises(SecretPicklingError, match=r"storage_options\.secret") as told:
        pickle.dumps(guarded)

    assert SECRET not in str(told.value)


def test_a_reference_is_pickled():
    """The store may travel; the variable is looked up where it arrives."""
    travelled = pickle.loads(pickle.dumps(store("s3://bucket/xt", key='{"secret": {"env": "MINIO_SECRET"}}')))

    assert travelled.get_service_name() == "s3://bucket/xt"


def test_the_retry_function_comes_back():
    """The very object, whatever it is; None before there is one."""
    there = store()
    before, policy = there.get_retry(), lambda context: None
    there.set_retry(policy)

    assert before is None
    assert there.get_retry() is policy


def test_the_retry_function_stays_behind():
    """It is no hindrance to pickling: nothing here calls it."""
    there = store()
    there.set_retry(lambda context: None)

    assert pickle.loads(pickle.dumps(there)).get_retry() is None


# --- names ---


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "../a", "/a", "a\\b", "~", "~me", "s3://b", "C:\\x", "c:", "zip::a", "a\0b"]
)
def test_a_container_stays_in_its_place(name):
    """What would lead anywhere else is no name of a container, for any method."""
    there = store()
    for call in (there.create_container, there.does_container_exist, there.delete_container, there.list_blobs):
        with pytest.raises(InvalidNameError):
            call(name)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "a/..", "./../x", "s3://b/x", "a://x", "zip:://x", ".xt-container"])
def test_a_blob_stays_in_its_container(name, tmp_path):
    """What would leave it, or means something else, is refused by reading and writing alike, and touches nothing."""
    there = store(str(tmp_path / "xt"))
    (tmp_path / "x").write_text("not yours")
    calls = [
        lambda: there.create_blob("ws", name, "text"),
        lambda: there.append_blob("ws", name, "text"),
        lambda: there.get_blob_text("ws", name),
        lambda: there.delete_blob("ws", name),
        lambda: there.does_blob_exist("ws", name),
        lambda: there.copy_blob("ws", "a", "ws", name),
        lambda: there.get_blob_to_path("ws", name, str(tmp_path / "copy")),
    ]
    for call in calls:
        with pytest.raises(InvalidNameError):
            call()

    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x"]


def test_a_listing_stays_in_its_container():
    """A path with ``..`` is refused."""
    there = store("memory://xt-dots")
    there.create_container("ws1")

    for path in ("../ws2", "a/../../ws2", "../*"):
        with pytest.raises(InvalidNameError):
            there.list_blobs("ws1", path)
