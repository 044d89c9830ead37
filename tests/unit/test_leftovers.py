"""What unfinished writes leave: named so that it can be told whose it is, hidden, found, and removed."""

from __future__ import annotations

import os
import threading
import time
import uuid
from contextvars import copy_context
from datetime import datetime, timezone

import fsspec
import pytest

from persistence_fsspec import ConflictError, FSSpecPersistence, InvalidNameError, PermissionDeniedError, Policy
from persistence_fsspec.attempt import Attempt
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.layers.retry import RetryLayer
from persistence_fsspec.store import Leftover, ObjectInfo
from persistence_fsspec.stores.leftovers import in_folders
from persistence_fsspec.stores.partial import (
    MARK,
    NOBODY,
    aside_key,
    aside_target,
    fresh_token,
    is_leftover,
    is_reserved,
    kept_folder,
    noticing,
    owned_by,
    owner_of,
    part_key,
    partial_key,
    reserved_part,
    token_of,
)


@pytest.fixture(params=["memory", "local"])
def place(request, tmp_path):
    """A persistence, its store, and the key of its root."""
    where = f"memory://{uuid.uuid4().hex}" if request.param == "memory" else tmp_path / "store"
    persistence = FSSpecPersistence(where)
    store, key = persistence.store_and_key()
    return persistence, store, key


def plant(store, key, data=b"half"):
    """Put something under a reserved name, which no store of ours would."""
    if store.url("").startswith("memory"):
        fsspec.filesystem("memory").pipe_file(f"/{key}", data)
        return
    path = f"/{key}"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


# --- names ---


def test_a_partial_name_carries_its_owner():
    """Of the transfer that made it; outside of one, of nobody."""
    with owned_by("0123abcd"):
        inside = partial_key("folder/name")
    outside = partial_key("folder/name")

    assert (owner_of(inside), owner_of(outside)) == ("0123abcd", NOBODY)
    assert inside.startswith(f"folder/{MARK}")
    assert len(inside) == len(partial_key("folder/" + "x" * 200))


def test_an_owner_is_one_of_this_thread():
    """Another thread has its own, unless it runs in a copy of this one's context."""
    seen = []
    with owned_by("0123abcd"):
        context = copy_context()
        for act in (lambda: seen.append(fresh_token()), lambda: context.run(lambda: seen.append(fresh_token()))):
            thread = threading.Thread(target=act)
            thread.start()
            thread.join()

    assert [token[:8] for token in seen] == [NOBODY, "0123abcd"]


@pytest.mark.parametrize("owner", ["", "123", "0123ABCD", "0123abcde", "xxxxxxxx"])
def test_an_owner_is_eight_digits(owner):
    """Anything else could not be found again."""
    with pytest.raises(ValueError, match="eight"), owned_by(owner):
        pass


def test_names_without_an_owner_are_ours_too():
    """Earlier releases wrote them."""
    name = f"{MARK}0123456789ab-89abcdef.part"

    assert owner_of(name) == ""
    assert token_of(name) == "89abcdef"
    assert is_leftover(f"a/{name}")


def test_a_piece_belongs_to_one_upload_of_one_object():
    """Its name tells which, and its number."""
    with owned_by("0123abcd"):
        token = fresh_token()
    names = [part_key("a/b", token, number) for number in (0, 1, 9999)]

    assert {token_of(name) for name in names} == {token}
    assert {owner_of(name) for name in names} == {"0123abcd"}
    assert names == sorted(names)
    assert all(is_leftover(name) for name in names)


def test_an_old_version_tells_whose_place_it_waits_for():
    """As long as there is room in the name."""
    assert aside_target(aside_key("a/b c.txt")) == "a/b c.txt"
    assert aside_target(aside_key("top")) == "top"
    assert aside_target(aside_key("a/" + "x" * 250)) is None
    assert len(aside_key("x" * 255)) < 255
    assert aside_target(f"a/{MARK}0123456789ab-other.old") is None
    assert not is_leftover(aside_key("a/b"))


def test_names_stay_the_same_when_their_folder_moves():
    """They are made of the last part of the key alone."""
    assert aside_key("a/b").removeprefix("a/") == aside_key("x/y/b").removeprefix("x/y/")
    assert kept_folder("a/b").removeprefix("a/") == kept_folder("b")


def test_reserved_parts_are_found_anywhere():
    """But only below the folder that is listed."""
    inside = f"a/{MARK}kept/x/y"

    assert reserved_part(inside) == f"a/{MARK}kept"
    assert reserved_part(inside, "a") == f"a/{MARK}kept"
    assert reserved_part(inside, f"a/{MARK}kept") is None
    assert reserved_part("a/b") is None
    assert reserved_part(f"a{MARK}b") is None
    assert reserved_part(MARK) == MARK
    assert not is_reserved(inside)


# --- listing ---


def test_leftovers_are_found_and_hidden(place):
    """At and below a key, wherever they lie; what they are is told by their names."""
    persistence, store, root = place
    persistence.write_bytes("a/done", b"done")
    with owned_by("0123abcd"):
        planted = {partial_key(f"{root}/a/one"): "partial", part_key(f"{root}/a/b/c/two", fresh_token(), 3): "part"}
    planted[aside_key(f"{root}/a/old")] = "aside"
    for key in planted:
        plant(store, key)
    found = {one.key: one for one in store.leftovers(root)}

    assert {key: one.kind for key, one in found.items()} == planted
    assert {one.owner for one in found.values()} == {"0123abcd", ""}
    assert all(one.ours and one.size == 4 and one.modified is not None for one in found.values())
    assert list(persistence.listdir(recursive=True)) == ["a/done"]
    assert {one.key for one in store.leftovers(f"{root}/a/b")} == {key for key in planted if "/b/c/" in key}


def test_of_one_object_only_its_own_are_found(place):
    """Also before the object is there."""
    _, store, root = place
    mine, other = partial_key(f"{root}/a/one"), partial_key(f"{root}/a/two")
    plant(store, mine)
    plant(store, other)

    assert [one.key for one in store.leftovers(f"{root}/a/one")] == [mine]
    plant(store, f"{root}/a/one")
    assert [one.key for one in store.leftovers(f"{root}/a/one")] == [mine]


def test_a_missing_folder_holds_none(place):
    """That is no error: there may have been nothing but them."""
    _, store, root = place

    assert list(store.leftovers(f"{root}/nothing/here")) == []


def test_links_are_not_followed(tmp_path):
    """What lies elsewhere is found from elsewhere."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / partial_key("x")).write_bytes(b"1")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "elsewhere")
    store, key = FSSpecPersistence(tmp_path / "store").store_and_key()

    assert list(store.leftovers(key)) == []


def test_a_folder_that_cannot_be_listed_is_told():
    """The others are searched; without somebody to tell, it is raised."""
    half = partial_key("top/open/x")
    tree = {
        "top": [ObjectInfo(key="top/closed", kind="folder"), ObjectInfo(key="top/open", kind="folder")],
        "top/open": [ObjectInfo(key=half, size=4)],
    }

    def listing(key):
        if key not in tree:
            raise PermissionDeniedError("is closed")
        return iter(tree[key])

    told = []
    found = list(in_folders("top", listing, lambda folder, exc: told.append((folder, type(exc)))))

    assert [one.key for one in found] == [half]
    assert told == [("top/closed", PermissionDeniedError)]
    with pytest.raises(PermissionDeniedError):
        list(in_folders("top", listing, None))


def test_what_cannot_be_listed_at_first_is_listed_once_more(place):
    """And an error of the uploads, which are asked for last, is told once."""
    _, store, root = place
    found = Leftover(kind="partial", key=partial_key("closed/x"))

    class Shy(Layer):
        def leftovers(self, key, *, on_error=None):
            if key == root:
                on_error(f"{root}/closed", PermissionDeniedError("is closed"))
                on_error(root, PermissionDeniedError("uploads are not listed"))
                return
            yield found

    told = []
    again = RetryLayer(Shy(store), Policy())

    assert list(again.leftovers(root, on_error=lambda folder, exc: told.append((folder, exc.message)))) == [found]
    assert told == [(root, "uploads are not listed")]
    with pytest.raises(PermissionDeniedError):
        list(again.leftovers(root))


def test_a_long_walk_is_no_silence():
    """Each folder that was listed gives it as much time again."""
    attempt, times = Attempt(), []

    def listing(key):
        times.append(attempt._deadline)
        time.sleep(0.01)
        return iter([ObjectInfo(key=f"{key}/x", kind="folder")] if len(times) < 4 else [])

    with attempt.working(60.0):
        assert list(in_folders("top", listing, None)) == []
    assert times == sorted(set(times))
    assert len(times) == 4


def test_who_lists_learns_of_them_for_free(place):
    """A transfer that lists its target anyway need not list it again."""
    persistence, store, root = place
    persistence.write_bytes("a/done", b"done")
    key = partial_key(f"{root}/a/one")
    plant(store, key)
    told = []
    with noticing(told.append):
        names = [info.key for info in store.find(root)]
    list(store.find(root))

    assert names == [f"{root}/a/done"]
    assert [(one.kind, one.key, one.size) for one in told] == [("partial", key, 4)]


# --- discarding ---


def test_a_leftover_is_discarded_once_or_twice(place):
    """What is gone is fine; nothing else goes."""
    persistence, store, root = place
    persistence.write_bytes("a/done", b"done")
    plant(store, partial_key(f"{root}/a/one"))
    (found,) = store.leftovers(root)
    store.discard(found)
    store.discard(found)

    assert list(store.leftovers(root)) == []
    assert persistence.read_bytes("a/done") == b"done"


@pytest.mark.parametrize("kind", ["partial", "part", "aside"])
def test_only_what_carries_our_mark_is_discarded(place, kind):
    """A name of the caller's own is refused, and a snapshot too."""
    persistence, store, root = place
    persistence.write_bytes("a.part", b"mine")
    for key in (f"{root}/a.part", f"{root}/a.old", f"{kept_folder(f'{root}/a')}/20260101T000000.000000Z-01234567"):
        with pytest.raises(InvalidNameError):
            store.discard(Leftover(kind=kind, key=key))

    assert persistence.read_bytes("a.part") == b"mine"


def test_an_old_version_whose_successor_arrived_is_removed():
    """The swap was done, but for the last step."""
    persistence = FSSpecPersistence(f"memory://{uuid.uuid4().hex}")
    store, root = persistence.store_and_key()
    persistence.write_bytes("name", b"new")
    plant(store, aside_key(f"{root}/name"), b"old")
    (found,) = store.leftovers(root)
    store.discard(found)

    assert list(store.leftovers(root)) == []
    assert persistence.read_bytes("name") == b"new"


def test_an_old_version_whose_successor_is_missing_gets_its_name_back():
    """The swap was killed between its two steps; this is the only copy."""
    persistence = FSSpecPersistence(f"memory://{uuid.uuid4().hex}")
    store, root = persistence.store_and_key()
    plant(store, aside_key(f"{root}/a/name"), b"old")
    (found,) = store.leftovers(root)
    store.discard(found)

    assert list(store.leftovers(root)) == []
    assert persistence.read_bytes("a/name") == b"old"


def test_an_old_version_that_does_not_tell_its_name_stays_until_its_successor_is_there():
    """It may be the only copy."""
    persistence = FSSpecPersistence(f"memory://{uuid.uuid4().hex}")
    store, root = persistence.store_and_key()
    name = "x" * 250
    plant(store, aside_key(f"{root}/{name}"), b"old")
    (found,) = store.leftovers(root)
    with pytest.raises(ConflictError, match="only copy"):
        store.discard(found)
    assert len(list(store.leftovers(root))) == 1
    plant(store, f"{root}/{name}", b"new")
    store.discard(found)

    assert list(store.leftovers(root)) == []
    assert persistence.read_bytes(name) == b"new"


def test_nothing_is_discarded_from_a_store_that_is_only_read(place):
    """A policy says so."""
    persistence, store, root = place
    key = partial_key(f"{root}/one")
    plant(store, key)
    reader, _ = FSSpecPersistence(persistence.url(), policy=Policy(read_only=True)).store_and_key()
    (found,) = reader.leftovers(root)
    with pytest.raises(Exception, match="read_only"):
        reader.discard(found)

    assert len(list(store.leftovers(root))) == 1


def test_a_folder_goes_with_the_unfinished_objects_in_it(place):
    """As before; but not with an old version that may be the only copy."""
    persistence, store, root = place
    persistence.write_bytes("a/done", b"done")
    plant(store, partial_key(f"{root}/a/one"))
    plant(store, part_key(f"{root}/a/one", fresh_token(), 0))
    persistence.delete("a", recursive=True)

    assert list(store.leftovers(root)) == []


def test_times_have_a_time_zone(place):
    """So that ages can be computed."""
    _, store, root = place
    plant(store, partial_key(f"{root}/one"))
    (found,) = store.leftovers(root)

    assert abs((datetime.now(tz=timezone.utc) - found.modified).total_seconds()) < 3600
