"""rm: nothing goes that was not meant."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest

from persistence_fsspec import FSSpecPersistence


def test_one_object_goes_without_a_question(persist, tree):
    """And nothing is said about it."""
    said = persist("rm", "d/a.csv")

    assert (said.code, said.out, said.err) == (0, "", "")
    assert sorted(os.listdir(tree)) == ["b.txt", "sub"]


@pytest.mark.parametrize("args", [("-r", "d"), ("d/a.csv", "d/b.txt")])
def test_more_than_one_needs_a_yes(persist, tree, args):
    """Where nobody can be asked it is refused, with the number and the names, and nothing is deleted."""
    said = persist("rm", *args)

    assert said.code == 2
    assert f"{3 if '-r' in args else 2} objects would be deleted" in said.err
    assert "d/a.csv" in said.err
    assert "--yes" in said.err
    assert (tree / "a.csv").exists()
    assert persist("rm", "--yes", *args).code == 0
    assert not (tree / "a.csv").exists()


def test_a_tree_of_one_object_needs_no_yes(persist, tree):
    """It is one object."""
    assert persist("rm", "-r", "d/sub").code == 0
    assert not (tree / "sub").exists()


def test_roots_are_refused_always(persist, tree):
    """Whatever their spelling, and with --yes."""
    home, work = Path.home(), tree.parent
    (home / "precious").write_bytes(b"1")
    link = tree / "link"
    link.symlink_to(home)
    for url in (
        "/",
        "file:///",
        ".",
        "..",
        str(work),
        f"{work}/",
        "~",
        "~/",
        str(home),
        work.as_uri(),
        "s3://bucket",
        "memory://",
        "memory:///",
    ):
        said = persist("rm", "-r", "--yes", url)
        assert said.code == 2, url
        assert "never deleted" in said.err

    assert (home / "precious").exists()
    assert (tree / "a.csv").exists()
    assert persist("rm", "d/link").code == 0
    assert (home / "precious").exists()


def test_what_is_missing_is_an_error_unless_that_is_fine(persist, tree):
    """The rest goes, and the exit code tells."""
    said = persist("rm", "--yes", "nope", "d/a.csv")

    assert said.code == 4
    assert not (tree / "a.csv").exists()
    assert persist("rm", "nope").code == 4
    assert persist("rm", "nope", "--missing-ok").code == 0


def test_names_are_literal(persist):
    """A star is a star."""
    url = f"memory://{uuid.uuid4().hex}"
    store = FSSpecPersistence(url)
    store.write_bytes("a*", b"1")
    store.write_bytes("ab", b"1")
    assert persist("rm", f"{url}/a*").code == 0

    assert list(store.listdir()) == ["ab"]


def test_a_folder_needs_r(persist, tree):
    """Also with --yes."""
    said = persist("rm", "--yes", "d")

    assert said.code == 1
    assert "Add -r" in said.err
    assert (tree / "a.csv").exists()


def test_a_tree_that_is_gone_is_counted(persist, tree):
    """Objects, not folders; as JSON, too; one named object is not worth a line."""
    persist("cp", "-r", "d", "e")
    said, told = persist("rm", "-r", "--yes", "d"), persist("rm", "-r", "--yes", "e", "--json")

    assert (said.code, said.out, said.err) == (0, "", "deleted 3 objects\n")
    assert told.json["count"] == 3
    assert persist("rm", "-r", "--missing-ok", "d").err == "deleted 0 objects\n"


def test_a_tree_in_a_flat_store_is_counted(persist):
    """With the object of the same name."""
    url = f"memory://{uuid.uuid4().hex}"
    store = FSSpecPersistence(url)
    for name in ("t/a", "t/b/c"):
        store.write_bytes(name, b"1")

    assert persist("rm", "-r", "--yes", f"{url}/t").err == "deleted 2 objects\n"


@pytest.mark.parametrize("args", [("-ry",), ("-r",), ("-r", "--yes", "--missing-ok")])
@pytest.mark.parametrize(
    "url",
    [
        "dir://{home}::file:///",
        "dir::file://{home}",
        "dir://{home}::local://",
        "simplecache::file://{home}",
        "dir://::dir://{home}::file://",
        "zip://x::{home}/a.zip",
        "dir://{home}/below::file:///",
    ],
)
def test_no_tree_goes_through_a_chain_that_ends_here(persist, url, args):
    """What its names mean is up to each link; the home folder was deleted that way."""
    home = Path.home()
    (home / "below").mkdir()
    (home / "below" / "precious").write_bytes(b"1")
    said = persist("rm", *args, url.format(home=home))

    assert said.code == 2
    assert "Name the local path itself" in said.err
    assert (home / "below" / "precious").exists()


@pytest.mark.parametrize("option", ["target_protocol=file", "dir.target_protocol=local"])
def test_no_tree_goes_through_an_option_that_leads_here(persist, option):
    """It is a chain by another name."""
    (Path.home() / "precious").write_bytes(b"1")
    said = persist("rm", "-ry", f"dir://{Path.home()}", "-o", option)

    assert said.code == 2
    assert (Path.home() / "precious").exists()
