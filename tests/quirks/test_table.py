"""The table itself: complete, consistent, and proven row by row."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from persistence_fsspec.capabilities import Capabilities
from persistence_fsspec.stores.quirks import DRIVERS, QUIRKS, Habits, traits

HERE = Path(__file__).parent
KNOWN = {*DRIVERS.values(), "unknown"} - {"local"}


def _is_quirk_mark(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "quirk"


def _collected(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Tests as pytest would collect them: functions of the module, and of its classes."""
    for node in tree.body:
        inside = node.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test") else [node]
        yield from (n for n in inside if isinstance(n, ast.FunctionDef) and n.name.startswith("test_"))


def _marks(nodes: list[ast.expr]) -> list[str]:
    calls = (n for node in nodes for n in ast.walk(node) if _is_quirk_mark(n))
    return [arg.value for call in calls for arg in call.args if isinstance(arg, ast.Constant)]


def _proofs() -> dict[str, list[str]]:
    """Row name -> tests that carry it, by their decorators."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.glob("test_*.py")):
        for test in _collected(ast.parse(path.read_text(encoding="utf-8"))):
            for name in _marks(test.decorator_list):
                found.setdefault(name, []).append(f"{path.name}::{test.name}")
    return found


def _everything_marked() -> list[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in HERE.glob("test_*.py"))
    return [name for tree in trees for name in _marks([n for n in ast.walk(tree) if _is_quirk_mark(n)])]


def test_row_names_are_unique():
    """A name stands for one finding."""
    names = [quirk.name for quirk in QUIRKS]

    assert sorted(names) == sorted(set(names))


def test_every_row_is_proven():
    """Each row has a collected test that carries its name."""
    assert {quirk.name for quirk in QUIRKS} - set(_proofs()) == set()


def test_every_mark_names_a_row():
    """No test proves a row that is not there, nor hides its mark where pytest does not collect it."""
    marked = set(_everything_marked())

    assert marked - {quirk.name for quirk in QUIRKS} == set()
    assert marked == set(_proofs())


def test_test_names_are_unique_in_their_file():
    """A test that another one replaces proves nothing."""
    for path in HERE.glob("test_*.py"):
        names = [test.name for test in _collected(ast.parse(path.read_text(encoding="utf-8")))]
        assert sorted(names) == sorted(set(names)), path.name


def test_settings_are_fields():
    """What a row sets exists."""
    known = {f.name for cls in (Capabilities, Habits) for f in fields(cls)}

    assert {name for quirk in QUIRKS for name in quirk.settings} - known == set()


def test_no_setting_means_two_things():
    """Capabilities and habits share no field, so a row's setting goes to one of them."""
    assert {f.name for f in fields(Capabilities)} & {f.name for f in fields(Habits)} == set()


def test_rows_concern_drivers_we_know():
    """No row is lost to a misspelt driver."""
    assert {name for quirk in QUIRKS for name in quirk.drivers} - KNOWN - {"*", "local"} == set()


@pytest.mark.parametrize("driver", sorted(KNOWN - {"unknown"}))
def test_every_driver_has_rows_of_its_own(driver):
    """A driver with a name has been met, and something is known of it."""
    assert [quirk.name for quirk in QUIRKS if driver in quirk.drivers]


PUBLISH = {
    "s3fs": "atomic",
    "gcsfs": "atomic",
    "adlfs": "atomic",
    "ftp": "atomic",
    "paramiko": "atomic",
    "sshfs": "atomic",
    "hdfs-native": "atomic",
    "webhdfs": "atomic",
    "memory": "atomic",
    "lakefs": "atomic",
    "object-store": "atomic",
    "smb": "swap",
    "webdav": "swap",
    "pyarrow": "swap",
    "http": "none",
    "archive": "none",
    "reference": "none",
    "unknown": "direct",
}


def test_how_each_driver_publishes():
    """Atomic, swapped, directly or not at all: as measured, for every driver."""
    assert {driver: traits(driver)[0].publish for driver in KNOWN} == PUBLISH


# --- the recommendations that the measurements ended in ---

CREATE = {
    "s3fs": True, "gcsfs": True, "adlfs": True, "ftp": False, "paramiko": True, "sshfs": True, "smb": True, "webdav": True,
    "hdfs-native": True, "pyarrow": False, "webhdfs": True, "http": False, "archive": False, "lakefs": False, "memory": True,
}  # fmt: skip
PIN = {
    "s3fs": "version", "gcsfs": "version", "adlfs": "version", "ftp": "weak", "paramiko": "weak", "sshfs": "weak", "smb": "weak",
    "webdav": "weak", "hdfs-native": "version", "pyarrow": "weak", "webhdfs": "version", "http": "version", "memory": "version",
    "archive": "none",
}  # fmt: skip
THREADS = {
    "s3fs": "shared", "gcsfs": "shared", "adlfs": "shared", "ftp": "pooled", "paramiko": "pooled", "sshfs": "shared",
    "smb": "shared", "webdav": "shared", "hdfs-native": "shared", "pyarrow": "shared", "webhdfs": "shared", "http": "shared",
    "memory": "shared", "archive": "shared", "lakefs": "shared", "unknown": "serial",
}  # fmt: skip
APPEND = {
    "s3fs": "rewrite", "gcsfs": "rewrite", "adlfs": "rewrite", "ftp": "native", "paramiko": "native", "sshfs": "native",
    "smb": "native", "webdav": "none", "hdfs-native": "native", "pyarrow": "native", "webhdfs": "none", "lakefs": "none",
    "unknown": "none",
}  # fmt: skip
GIVES_UP = {
    "s3fs": True, "gcsfs": False, "adlfs": False, "ftp": True, "paramiko": True, "sshfs": True, "smb": True, "webdav": True,
    "hdfs-native": False, "pyarrow": False, "webhdfs": False, "http": True,
}  # fmt: skip


@pytest.mark.parametrize(
    ("field", "measured"), [("create", CREATE), ("pin", PIN), ("threads", THREADS), ("append", APPEND), ("own_timeout", GIVES_UP)]
)
def test_capabilities_follow_the_recommendation(field, measured):
    """Exclusive creation, pins, threads, append and timeouts are what the measurements recommend."""
    assert {driver: getattr(traits(driver)[0], field) for driver in measured} == measured


def test_fork_is_never_used_where_it_hangs():
    """Spawn only: smb, hdfs-native and pyarrow, and nobody else."""
    assert {d for d in KNOWN if traits(d)[0].fork == "never"} == {"smb", "hdfs-native", "pyarrow"}


def test_caches_are_off_where_they_are_stale():
    """The listings of the object stores and of ftp are not cached; no other driver gets an option it would choke on."""
    off = {d for d in KNOWN if traits(d)[1].options.get("use_listings_cache") is False}

    assert off == {"s3fs", "gcsfs", "adlfs", "ftp"}


def test_smb_opens_shared():
    """Readers that lock others out make replacing fail."""
    assert traits("smb")[1].options["share_access"] == "rwd"


def test_broken_connections_are_replaced_where_they_do_not_heal():
    """Ftp, both SFTP drivers and smb."""
    assert {d for d in KNOWN if not traits(d)[1].heals} == {"ftp", "paramiko", "sshfs", "smb"}


def test_objects_are_looked_at_where_deleting_says_nothing():
    """Where deleting a missing object was seen to return None, or a folder to go with its tree, the type is asked first."""
    needing = {"s3fs", "hdfs-native", "webhdfs", "webdav", "pyarrow"}

    assert {d for d in KNOWN if traits(d)[1].check_before_delete} >= needing


def test_moving_onto_a_folder_is_checked_where_it_would_replace_it():
    """MOVE with Overwrite replaces a whole collection by a file."""
    assert traits("webdav")[1].replace_onto_folder


def test_parents_are_made_where_the_driver_does_not():
    """Implicit parents: the object stores, HDFS, memory; elsewhere making them when they are missing is always right."""
    by_themselves = {"s3fs", "gcsfs", "adlfs", "hdfs-native", "pyarrow", "webhdfs", "memory"}

    assert {d for d in KNOWN if traits(d)[1].makes_parents} >= by_themselves
    assert not any(traits(d)[1].makes_parents for d in ("ftp", "paramiko", "smb"))


def test_later_rows_win():
    """The order of the rows is their precedence, and a row for one driver leaves the others alone."""
    assert traits("webdav")[0].if_match is False
    assert traits("s3fs")[0].if_match is True
    assert traits("pyarrow")[0].append == "native"
