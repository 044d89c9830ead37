"""overrides, where there is no framework: what it says of those that are is shown beside them, in tests/faces."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from types import ModuleType

import pytest

from persistence_fsspec import overrides
from persistence_fsspec.overrides import Override

pytestmark = pytest.mark.skipif(importlib.util.find_spec("flytekit") is not None, reason="there is flytekit in this environment")


def test_a_framework_that_is_not_there_is_said(persist):
    """One line each, and it is no failure."""
    said = persist("overrides")

    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == [
        f"{name}: not installed here" for name in ("flytekit", "xtlib", "statisfactory", "functionfuse")
    ]


@pytest.mark.parametrize("name", ["xtlib", "statisfactory", "functionfuse"])
def test_what_makes_a_framework_use_ours_is_said(persist, monkeypatch, name, tmp_path):
    """Where being there beside it is not enough."""
    (tmp_path / f"{name}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = [line for line in persist("overrides").out.splitlines() if "unless" in line]
    ours = line.rpartition(" ")[2]

    assert line.startswith(f"{name} (a folder on the path): its own storage, unless ")
    module, _, member = ours.rpartition(".")
    assert importlib.util.find_spec(ours) if member.islower() else hasattr(importlib.import_module(module), member)


def test_it_answers_in_json(persist):
    """One object."""
    said = persist("overrides", "--json")

    assert {name: value for name, value in said.json.items() if name != "frameworks"} == {
        "schema": 1,
        "overrides": [],
        "problems": [],
    }
    assert said.json["frameworks"][0] == {"name": "flytekit", "version": "", "problem": "", "unless": ""}
    assert [one["name"] for one in said.json["frameworks"] if one["unless"]] == ["xtlib", "statisfactory", "functionfuse"]


@pytest.fixture
def broken(monkeypatch):
    """A framework that is installed, and cannot be imported."""
    version = importlib.metadata.version
    monkeypatch.setattr("persistence_fsspec.cli.overrides.version", lambda name: "9.9" if name == "flytekit" else version(name))


def test_a_framework_that_does_not_work_is_said(persist, broken):
    """It keeps its own storage; the reason stands beside it."""
    said = persist("overrides")

    assert said.code == 0
    assert said.out.splitlines()[0] == "flytekit 9.9: keeps its own storage: ModuleNotFoundError: No module named 'flytekit'"


def test_the_reason_is_in_the_json(persist, broken):
    """For machines, too."""
    framework = persist("overrides", "--json").json["frameworks"][0]

    assert (framework["version"], framework["problem"]) == ("9.9", "ModuleNotFoundError: No module named 'flytekit'")


def test_an_installation_without_a_module_is_said(persist, monkeypatch):
    """As pip makes one of the sources of Function Fuse."""
    version = importlib.metadata.version
    monkeypatch.setattr(
        "persistence_fsspec.cli.overrides.version", lambda name: "0.0.1" if name == "functionfuse" else version(name)
    )
    (line,) = [line for line in persist("overrides").out.splitlines() if "0.0.1" in line]

    assert "functionfuse 0.0.1: keeps its own storage: it cannot be imported" in line


# --- the records behind it ---


@pytest.fixture
def place():
    """A place where one thing stands at a time, ours among them; how it is overridden."""
    stands = {"x": "theirs"}

    def override():
        before, stands["x"] = stands["x"], "ours"
        overrides.note(
            Override(
                framework="test 1",
                protocol="x",
                before=before,
                ours="ours",
                why="a test",
                look=lambda: stands["x"],
                restore=lambda: stands.update(x=before),
            )
        )

    yield stands, override
    overrides.undo("test")


def test_what_was_overridden_is_undone(place):
    """What was there is there again, and nothing is left to undo."""
    stands, override = place
    override()
    assert [(one.now, one.as_dict()["active"]) for one in overrides.active()] == [("ours", True)]
    overrides.undo("test")

    assert stands == {"x": "theirs"}
    assert overrides.active() == ()


def test_what_somebody_else_put_there_since_stays(place):
    """It is shown as no longer ours, and not undone."""
    stands, override = place
    override()
    stands["x"] = "another's"
    (one,) = overrides.active()
    assert (one.now, one.as_dict()["active"]) == ("another's", False)
    overrides.undo("test")

    assert stands == {"x": "another's"}


def test_other_frameworks_are_not_undone(place):
    """Each has its own."""
    stands, override = place
    override()
    overrides.undo("other")

    assert stands == {"x": "ours"}


PROTOCOLS = ("s3", "s3a", "gs", "gcs", "abfs", "ftp", "file")


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        (None, PROTOCOLS),
        ("", PROTOCOLS),
        ("1", PROTOCOLS),
        ("true", PROTOCOLS),
        ("0", ()),
        ("off", ()),
        ("NO", ()),
        ("s3,gs", ("s3", "s3a", "gs", "gcs")),
        (" S3:// , ftp", ("s3", "s3a", "ftp")),
        ("gcs", ("gs", "gcs")),
        ("http", ()),
        (",", ()),
    ],
)
def test_the_environment_chooses(monkeypatch, said, chosen):
    """Everything, nothing, or these protocols under all their names."""
    if said is None:
        monkeypatch.delenv(overrides.VARIABLE, raising=False)
    else:
        monkeypatch.setenv(overrides.VARIABLE, said)

    assert overrides.chosen(PROTOCOLS) == list(chosen)


def test_an_unknown_protocol_chooses_nothing(monkeypatch, caplog):
    """And nothing is told by the way."""
    monkeypatch.setenv(overrides.VARIABLE, "gss,ftp")

    assert overrides.chosen(PROTOCOLS) == ["ftp"]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", []),
        ("1", []),
        ("off", []),
        ("S3://, az,dav, hdfs,file", []),
        ("s4", ["there is no protocol 's4'."]),
        (
            "webdaf,gss,s3",
            ["there is no protocol 'gss'. Did you mean 'gs'?", "there is no protocol 'webdaf'. Did you mean 'webdav'?"],
        ),
    ],
)
def test_unknown_protocols_are_told(monkeypatch, said, told):
    """A sentence for each, with the one that may have been meant."""
    monkeypatch.setenv(overrides.VARIABLE, said)

    assert overrides.unknown() == [f"{overrides.VARIABLE}: {sentence}" for sentence in told]


def test_unknown_protocols_are_printed(persist, monkeypatch):
    """Above all else; and for machines."""
    monkeypatch.setenv(overrides.VARIABLE, "gss")
    told = "PERSISTENCE_FSSPEC_OVERRIDE: there is no protocol 'gss'. Did you mean 'gs'?"

    assert persist("overrides").out.splitlines()[:2] == [told, "flytekit: not installed here"]
    assert persist("overrides", "--json").json["problems"] == [told]


@pytest.fixture
def sixty(monkeypatch):
    """A framework with one class for sixty protocols, and another one for eight."""

    def one(protocol, ours):
        told = {"framework": "pytest 1", "protocol": protocol, "before": "theirs", "ours": ours, "why": "a test"}
        return Override(**told, look=lambda: ours, restore=lambda: None)

    face = ModuleType("face_of_pytest")
    face.install = lambda: (*(one(f"p{i:02}", "ours") for i in range(60)), *(one(f"q{i}", "others") for i in range(8)))
    monkeypatch.setitem(sys.modules, face.__name__, face)
    monkeypatch.setattr("persistence_fsspec.cli.overrides._FACES", {"pytest": face.__name__})


def test_many_protocols_are_not_all_named_in_the_table(persist, sixty):
    """Eight, and how many there are besides; JSON has them all."""
    _, _, *rows = persist("overrides").out.splitlines()

    assert rows[0].split("  ")[0] == "p00 p01 p02 p03 p04 p05 p06 p07 and 52 more"
    assert rows[1].split("  ")[0] == "q0 q1 q2 q3 q4 q5 q6 q7"
    assert len(persist("overrides", "--json").json["overrides"]) == 68
