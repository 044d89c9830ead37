"""Our backends in statisfactory's registry: on a stand-in made from its contract, and on itself where it is installed."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pytest

from persistence_fsspec import InvalidOptionError, ObjectNotFoundError, Policy, UnknownProtocolError, overrides
from persistence_fsspec.errors import InvalidNameError
from persistence_fsspec.faces.statisfactory import register, unregister
from persistence_fsspec.faces.statisfactory.lakefs import BranchNameError
from persistence_fsspec.faces.statisfactory.storage import Storage

ROOT = Path(__file__).parents[2]
REAL = find_spec("statisfactory") is not None


@pytest.fixture(autouse=True)
def framework(monkeypatch):
    """statisfactory, or the stand-in; its registry is afterwards what it was."""
    if not REAL:
        from tests.faces.statisfactory import standin

        for name, module in standin.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    from statisfactory.errors import Errors
    from statisfactory.IO import Backend

    before = dict(Backend.backends())
    yield SimpleNamespace(Backend=Backend, Errors=Errors, backends=Backend.backends())
    unregister()
    Backend.backends().clear()
    Backend.backends().update(before)


@pytest.fixture
def own(framework):
    """A backend of somebody's own for gs."""

    class Own(framework.Backend, prefix="gs"):
        def put(self, *, payload, fragment, **context):
            """Nothing."""

        def get(self, *, fragment, **context):
            return b"own"

    return Own


def ours(framework):
    return {prefix for prefix, cls in framework.backends.items() if issubclass(cls, Storage)}


def put_and_get(framework, path, payload, session=None, /, **context):
    fragment = urlparse(path)
    framework.backends[fragment.scheme](session=session).put(payload=payload, fragment=fragment, **context)
    return framework.backends[fragment.scheme](session=session).get(fragment=fragment, **context)


def git(branch):
    """A session on that branch, with nothing else."""
    return SimpleNamespace(git=SimpleNamespace(head=SimpleNamespace(shorthand=branch)), settings={"project_slug": "lake"})


# --- registering ---


def test_every_protocol_is_ours(framework):
    """One call serves all that fsspec knows, files of this machine with and without a protocol, and lakeFS."""
    register()

    assert ours(framework) == set(framework.backends)
    assert {"", "file", "s3", "gs", "abfs", "ftp", "sftp", "hdfs", "memory", "zip", "lakefs"} <= set(framework.backends)


def test_every_prefix_is_a_scheme(framework):
    """What is registered is what ``urlparse`` makes of a path."""
    register()

    assert all(urlparse(f"{prefix}://b/k").scheme == prefix for prefix in framework.backends if prefix)


def test_only_those_that_are_named(framework):
    """With schemes, nothing else is touched."""
    register("s3", "memory")

    assert ours(framework) == {"s3", "memory"}


def test_each_is_a_backend_of_theirs(framework):
    """Each is a class of its own, derived from theirs, and knows its session."""
    register("s3", "memory")
    s3, memory = framework.backends["s3"], framework.backends["memory"]
    session = object()

    assert s3 is not memory
    assert issubclass(s3, framework.Backend)
    assert s3(session=session)._session is session


def test_what_is_there_can_stay(framework, own):
    """With ``override=False``, backends that are there stay; all others are added."""
    before = dict(framework.backends)
    register(override=False)

    assert {prefix: framework.backends[prefix] for prefix in before} == before
    assert {"file", "ftp", "memory"} <= ours(framework)


def test_a_second_call_does_nothing(framework):
    """Classes and records are those of the first."""
    first, classes = register(), dict(framework.backends)

    assert register() == first
    assert framework.backends == classes


def test_a_second_call_adds_what_is_new(framework, own):
    """Schemes that the first did not name, or left alone, are registered by the second."""
    register(override=False)
    told = register("gs")

    assert "gs" in ours(framework)
    assert told[-1].protocol == "gs"


def test_a_second_call_changes_what_it_says(framework):
    """Options said anew hold from then on; those not said stay."""
    register("s3", storage_options={"key": "one"}, leading_slash=True)
    register("s3", storage_options={"key": "two"})
    registration = framework.backends["s3"].registration

    assert registration.persistence(None).options_for("s3://b")["key"] == "two"
    assert registration.leading_slash


def test_the_environment_limits_it(framework, monkeypatch):
    """``PERSISTENCE_FSSPEC_OVERRIDE=s3`` leaves all else as it was."""
    monkeypatch.setenv(overrides.VARIABLE, "s3")
    register()

    assert ours(framework) == {"s3", "s3a"}


def test_paths_without_a_protocol_are_those_of_file(framework, monkeypatch):
    """``PERSISTENCE_FSSPEC_OVERRIDE=file`` also means paths of this machine."""
    monkeypatch.setenv(overrides.VARIABLE, "file")
    register()

    assert ours(framework) == {"", "file", "local"}


def test_the_environment_forbids_it(framework, monkeypatch):
    """``PERSISTENCE_FSSPEC_OVERRIDE=0`` leaves everything as it was."""
    monkeypatch.setenv(overrides.VARIABLE, "0")
    before = dict(framework.backends)

    assert register() == ()
    assert framework.backends == before


def test_unregistering_leaves_no_trace(framework, own):
    """Each class as it was, and nothing added."""
    before = dict(framework.backends)
    register()
    unregister()

    assert framework.backends == before
    assert not [one for one in overrides.active() if one.framework.startswith("statisfactory")]


def test_classes_that_came_after_us_stay(framework, own):
    """Unregistering leaves what somebody put in our place."""
    register("s3")
    framework.backends["s3"] = own
    unregister()

    assert framework.backends["s3"] is own


def test_each_override_is_told(framework):
    """Framework, protocol, what was there, what is there now, and how to switch it off."""
    s3, local = (one.as_dict() for one in register("s3", ""))

    assert s3["framework"].startswith("statisfactory")
    assert s3["protocol"] == "s3"
    assert s3["before"].endswith("S3Backend")
    assert s3["now"].startswith("persistence_fsspec.faces.statisfactory")
    assert s3["active"]
    assert local["protocol"] == "file"
    assert local["before"].endswith("LocalFS")


def test_what_was_not_there_has_no_before(framework):
    """An added protocol replaces nothing."""
    (told,) = register("memory")

    assert told.before == ""


def test_flat_options_belong_to_one_scheme():
    """Options that could be anybody's are refused, and the error shows how to say it."""
    with pytest.raises(InvalidOptionError, match="Nest them by protocol"):
        register(storage_options={"key": "a"})


def test_a_misspelt_scheme_is_told():
    """What no driver speaks is refused, with what may have been meant."""
    with pytest.raises(UnknownProtocolError, match=r"(?s)'memroy'.*'memory'"):
        register("memroy")


def test_a_slash_without_s3_is_told():
    """``leading_slash`` for schemes that have none is refused."""
    with pytest.raises(InvalidOptionError, match="about s3"):
        register("gs", leading_slash=True)


def slashing(framework):
    return {prefix for prefix in ours(framework) if framework.backends[prefix].registration.leading_slash}


def test_a_slash_reaches_all_that_is_registered(framework):
    """Also caches and archives over S3, and S3 by another name; and it is taken back everywhere."""
    register()
    register("s3", leading_slash=True)
    then = slashing(framework)
    register("s3a", leading_slash=False)

    assert then == ours(framework)
    assert slashing(framework) == set()


def test_a_slash_reaches_what_is_registered_later(framework):
    """Until all is unregistered."""
    register("s3", leading_slash=True)
    register("simplecache", "s3a")
    then = slashing(framework)
    unregister()
    register("s3", "simplecache")

    assert then == {"s3", "s3a", "simplecache"}
    assert slashing(framework) == set()


@pytest.mark.parametrize("url", ["simplecache::s3://b/k", "filecache::s3a://b/k", "zip://k::s3://b/a.zip"])
def test_a_chain_that_was_registered_before_the_slash(framework, url):
    """It is refused from then on, and no other key is read."""
    register()
    register("s3", leading_slash=True)
    fragment = urlparse(url)
    with pytest.raises(framework.Errors.E0291, match="does not reach into a chain") as caught:
        framework.backends[fragment.scheme](session=None).get(fragment=fragment)

    assert isinstance(caught.value.__cause__, InvalidNameError)


def test_a_slash_leaves_other_options(framework):
    """Only what is said anew is changed."""
    register("gs", storage_options={"token": "anon"})
    register("s3", leading_slash=True)

    assert framework.backends["gs"].registration.persistence(None).options_for("gs://b")["token"] == "anon"


@pytest.mark.parametrize("said", [3, ["s3"], None])
def test_a_scheme_that_is_no_text_is_told(framework, said):
    """Names are said one by one, and the error shows how."""
    with pytest.raises(InvalidOptionError, match=r'register\("s3", "gs"\)'):
        register(said)

    assert ours(framework) == set()


@pytest.mark.parametrize("said", ["yes", 1, []])
def test_a_slash_is_yes_or_no(framework, said):
    """Anything else is refused."""
    with pytest.raises(InvalidOptionError, match="leading_slash is True or False"):
        register("s3", leading_slash=said)

    assert ours(framework) == set()


def test_a_policy_that_is_none_is_told(framework):
    """At once, and not by the first artifact."""
    with pytest.raises(InvalidOptionError, match="policy must be a Policy"):
        register(policy="eager")

    assert ours(framework) == set()


def test_nothing_is_registered_when_something_is_refused(framework):
    """All is checked first."""
    before = dict(framework.backends)
    with pytest.raises(UnknownProtocolError):
        register("s3", "memroy")

    assert framework.backends == before


def test_secrets_are_not_shown(framework):
    """What was said at registration stands in no repr."""
    told = register("s3", storage_options={"key": "AKIA", "secret": "hunter2"})
    cls = framework.backends["s3"]

    assert "hunter2" not in f"{told} {cls.registration!r} {cls(session=None)!r} {cls.registration.persistence(None)!r}"


def test_no_driver_is_imported():
    """Registering every protocol loads no package that speaks one."""
    stand_in = "" if REAL else "from tests.faces.statisfactory import standin; sys.modules.update(standin.modules())\n"
    program = (
        f"import sys\n{stand_in}"
        "from statisfactory.IO import Backend\n"
        "before = set(sys.modules)\n"
        "import persistence_fsspec.faces.statisfactory_plugin\n"
        "[cls(session=None) for cls in Backend.backends().values()]\n"
        "drivers = {'s3fs', 'gcsfs', 'adlfs', 'paramiko', 'sshfs', 'ftplib', 'smbclient', 'webdav4', 'aiohttp', 'pyarrow',"
        " 'requests', 'lakefs_spec', 'aiobotocore'}\n"
        "print(len(Backend.backends()), sorted(drivers & (set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
    )
    count, _, drivers = done.stdout.strip().splitlines()[-1].partition(" ")

    assert int(count) > 40
    assert drivers == "[]"


def test_one_line_registers(framework, monkeypatch):
    """Importing the plugin, which is what ``entrypoints`` does, is enough."""
    monkeypatch.delitem(sys.modules, "persistence_fsspec.faces.statisfactory_plugin", raising=False)
    import persistence_fsspec.faces.statisfactory_plugin  # noqa: F401

    assert ours(framework) == set(framework.backends)


def test_a_misspelt_override_is_told(monkeypatch, caplog):
    """A name in the variable that is no protocol chooses nothing, and the log says so."""
    monkeypatch.setenv(overrides.VARIABLE, "s4")
    monkeypatch.delitem(sys.modules, "persistence_fsspec.faces.statisfactory_plugin", raising=False)
    import persistence_fsspec.faces.statisfactory_plugin  # noqa: F401

    assert "no protocol 's4'" in caplog.text


# --- bytes, and errors with their codes ---


def test_a_round_trip(framework):
    """What was put is what one gets, whatever the craft's context holds."""
    register()
    context = {"index": False, "overwrite": False, "data": 1, "path": "x", "lake_ref": "b", "storage_options": {"no": "such"}}

    assert put_and_get(framework, "memory://registry/a #1?b.csv", io.BytesIO(b"rows").getbuffer(), **context) == b"rows"


def test_a_missing_local_file(framework, tmp_path):
    """It is their E024, which names the path; ours is the cause."""
    register()
    with pytest.raises(framework.Errors.E024) as caught:
        framework.backends[""](session=None).get(fragment=urlparse(f"{tmp_path}/none.csv"))

    assert f"{tmp_path}/none.csv" in str(caught.value)
    assert isinstance(caught.value.__cause__, ObjectNotFoundError)


def test_a_missing_file_with_a_protocol(framework, tmp_path):
    """A ``file://`` URL is a local file, too."""
    register()
    with pytest.raises(framework.Errors.E024, match=r"none\.csv"):
        framework.backends["file"](session=None).get(fragment=urlparse(f"file://{tmp_path}/none.csv"))


def test_a_missing_object(framework):
    """It is their E0291; our text stands in it, and ours is the cause."""
    register()
    with pytest.raises(framework.Errors.E0291) as caught:
        framework.backends["memory"](session=None).get(fragment=urlparse("memory://registry/none.csv"))

    assert "E0291" in str(caught.value)
    assert "memory://registry/none.csv: not found" in str(caught.value)
    assert isinstance(caught.value.__cause__, ObjectNotFoundError)


@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_working_folder_that_is_gone(framework, tmp_path, monkeypatch, operation):
    """It is their code, and not a bare error of the operating system."""
    register()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here").rmdir()
    backend, code = framework.backends[""](session=None), framework.Errors.E0290 if operation == "put" else framework.Errors.E024
    with pytest.raises(code, match="working folder"):
        getattr(backend, operation)(fragment=urlparse("a.csv"), **({"payload": b""} if operation == "put" else {}))


@pytest.mark.parametrize("path", ["{}/", "", "file://{}/"])
@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_name_that_is_too_long(framework, tmp_path, monkeypatch, operation, path):
    """It is their code with our cause, and not a bare error of the operating system."""
    register()
    monkeypatch.chdir(tmp_path)
    fragment = urlparse(path.format(tmp_path) + "x" * 300)
    code = framework.Errors.E0290 if operation == "put" else framework.Errors.E0291
    with pytest.raises(code, match="long") as caught:
        backend = framework.backends[fragment.scheme](session=None)
        getattr(backend, operation)(fragment=fragment, **({"payload": b""} if operation == "put" else {}))

    assert isinstance(caught.value.__cause__, InvalidNameError)


@pytest.mark.parametrize("url", ["s3:projb/a.pkl", "memory:a", "data:,x"])
@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_protocol_without_slashes(framework, operation, url):
    """It is their code with our cause, which shows how to write it."""
    register()
    fragment = urlparse(url)
    code = framework.Errors.E0290 if operation == "put" else framework.Errors.E0291
    with pytest.raises(code, match=f"Write {fragment.scheme}://") as caught:
        backend = framework.backends[fragment.scheme](session=None)
        getattr(backend, operation)(fragment=fragment, **({"payload": b""} if operation == "put" else {}))

    assert isinstance(caught.value.__cause__, InvalidNameError)


def test_where_an_endpoint_is_said(framework):
    """Where nobody listens, the settings of conf/ that lead there are named."""
    register("s3", policy=Policy(attempts=1))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        settings = {"aws_access_key": "a", "aws_secret_access_key": "b"}
        settings["aws_s3_endpoint"] = f"http://127.0.0.1:{taken.getsockname()[1]}"
        backend = framework.backends["s3"](session=SimpleNamespace(settings=settings))
        with pytest.raises(framework.Errors.E0291) as caught:
            backend.get(fragment=urlparse("s3://b/k"))

    assert "In conf/ it is said by aws_access_key, aws_secret_access_key, aws_region, aws_s3_endpoint." in str(caught.value)


def test_a_failed_put(framework, tmp_path):
    """It is their E0290; ours is the cause."""
    register()
    (tmp_path / "file").write_text("")
    with pytest.raises(framework.Errors.E0290) as caught:
        framework.backends[""](session=None).put(payload=b"", fragment=urlparse(f"{tmp_path}/file/below.csv"))

    assert "below.csv" in str(caught.value)
    assert isinstance(caught.value.__cause__, NotADirectoryError)


@pytest.mark.parametrize("payload", ["text", 5, None])
def test_a_payload_that_is_no_bytes(framework, tmp_path, payload):
    """It is their E0290, and nothing is written."""
    register()
    with pytest.raises(framework.Errors.E0290) as caught:
        framework.backends[""](session=None).put(payload=payload, fragment=urlparse(f"{tmp_path}/a.csv"))

    assert isinstance(caught.value.__cause__, TypeError)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_leaves_its_root(framework):
    """``..`` in a URL is their code with our cause."""
    register()
    with pytest.raises(framework.Errors.E0290) as caught:
        framework.backends["memory"](session=None).put(payload=b"", fragment=urlparse("memory://registry/../a"))

    assert isinstance(caught.value.__cause__, InvalidNameError)


@pytest.mark.parametrize("operation", ["put", "get"])
def test_a_branch_that_lakefs_cannot_have(framework, operation):
    """git's branch must match their slug, once its slashes are dashes: E0293."""
    register()
    backend = framework.backends["lakefs"](session=git("feat/y_z"))
    payload = {"payload": b""} if operation == "put" else {}
    with pytest.raises(framework.Errors.E0293) as caught:
        getattr(backend, operation)(fragment=urlparse("lakefs://any/a.csv"), **payload)

    assert isinstance(caught.value.__cause__, BranchNameError)
    assert "feat/y_z" in str(caught.value)


def test_ctrl_c_passes(framework):
    """It is no failure of a backend."""
    register()

    def interrupt(_):
        raise KeyboardInterrupt

    session = SimpleNamespace(settings=SimpleNamespace(get=interrupt))
    with pytest.raises(KeyboardInterrupt):
        framework.backends["s3"](session=session).get(fragment=urlparse("s3://b/k"))


def test_theirs_stay_theirs(framework):
    """An error that is the framework's already is not wrapped in another."""
    register()

    def fail(_):
        raise framework.Errors.E064

    session = SimpleNamespace(settings=SimpleNamespace(get=fail))
    with pytest.raises(framework.Errors.E064):
        framework.backends["s3"](session=session).get(fragment=urlparse("s3://b/k"))


def test_a_second_backend_for_a_prefix(framework):
    """Theirs still refuses two for one prefix."""
    register()
    with pytest.raises(framework.Errors.E0201, match="memory"):
        type("Mine", (framework.Backend,), {}, prefix="memory")
