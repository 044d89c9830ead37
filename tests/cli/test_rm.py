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
