"""gc: what was left over goes, and nothing that somebody may still need."""

from __future__ import annotations

import json
import os
import time
import uuid
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import fsspec
import pytest

from persistence_fsspec import FSSpecPersistence, InvalidOptionError, Policy, StoreError, UnsupportedPersistenceOp
from persistence_fsspec.layers.layer import Layer
from persistence_fsspec.store import Leftover
from persistence_fsspec.stores.partial import aside_key, fresh_token, owned_by, part_key, partial_key
from persistence_fsspec.transfer import garbage
from persistence_fsspec.transfer.garbage import collect, seconds_of


@pytest.fixture
def place(tmp_path):
    """A local store, and a way to leave something in it."""
    persistence = FSSpecPersistence(tmp_path / "store")
    persistence.write_bytes("a/done", b"done")
    store, root = persistence.store_and_key()

    def leave(name, *, hours=2.0):
        path = tmp_path / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
        return path

    return SimpleNamespace(persistence=persistence, store=store, root=root, leave=leave)


class Told(Layer):
    """A store that tells of leftovers as it was told to."""

    def __init__(self, inner, *found):
        super().__init__(inner)
        self.found, self.discarded = list(found), []

    def leftovers(self, key, *, on_error=None):
        yield from self.found

    def discard(self, leftover):
        if leftover.key == "stuck":
            raise StoreError("does not move")
        self.discarded.append(leftover)


@pytest.fixture
def told():
    store, _ = FSSpecPersistence(f"memory://{uuid.uuid4().hex}").store_and_key()
    return lambda *found: Told(store, *found)


LONG_AGO = datetime.now(tz=timezone.utc) - timedelta(days=3)
UPLOAD = Leftover(kind="upload", key="a/b", token="id-1", modified=LONG_AGO, ours=False)


def test_old_leftovers_are_removed_and_the_rest_stays(place):
    """Nothing that is finished is touched."""
    old = place.leave(f"a/{partial_key('x')}")
    report = place.persistence.gc()

    assert not old.exists()
    assert [one.leftover.kind for one in report.removed] == ["partial"]
    assert (report.bytes, report.kept, report.failed) == (4, (), ())
    assert place.persistence.read_bytes("a/done") == b"done"


def test_young_ones_stay_unless_somebody_says_otherwise(place):
    """Whoever writes them may still be at work."""
    young = place.leave(partial_key("x"), hours=0.5)
    (kept,) = place.persistence.gc().kept
    assert "younger than 1h" in kept.reason
    assert young.exists()
    assert place.persistence.gc(older_than="2h").kept
    assert place.persistence.gc(older_than="20m").removed
    assert not young.exists()


def test_a_dry_run_removes_nothing(place):
    """And says the same."""
    old = place.leave(partial_key("x"))
    foreseen = place.persistence.gc(dry_run=True)
    assert old.exists()

    done = place.persistence.gc()
    assert [one.url for one in foreseen.removed] == [one.url for one in done.removed]
    assert foreseen.dry_run
    assert "would remove 1" in repr(foreseen)


def test_only_below_the_path_is_cleaned(place):
    """A folder, or what was to become one object."""
    here, there, other = (
        place.leave(name) for name in (f"a/{partial_key('x')}", f"b/{partial_key('x')}", f"a/{partial_key('y')}")
    )
    place.persistence.gc("a/x")
    assert (here.exists(), there.exists(), other.exists()) == (False, True, True)
    place.persistence.gc("a")
    assert (there.exists(), other.exists()) == (True, False)


def test_nothing_there_is_nothing_to_do(place):
    """There may have been nothing but leftovers."""
    assert place.persistence.gc("no/such/folder").removed == ()


def test_what_can_be_resumed_is_kept(place):
    """A partial file by its name, a piece and an upload by their tokens, whatever follows the token."""
    with owned_by("0123abcd"):
        token, partial = fresh_token(), partial_key("x")
    half, piece = place.leave(partial), place.leave(part_key("y", token, 0))
    report = collect(place.store, place.root, resumable={partial, f"{token} 16777216"})

    assert half.exists()
    assert piece.exists()
    assert {"resume" in one.reason for one in report.kept} == {True}
    assert collect(place.store, place.root, resumable={f"{token} 16777216"}).removed
    assert (half.exists(), piece.exists()) == (False, True)


def test_the_adapter_asks_the_journals_of_this_machine(place, monkeypatch):
    """Their uploads are kept."""
    partial = partial_key("x")
    half = place.leave(partial)
    monkeypatch.setattr("persistence_fsspec.persistence.known_tokens", lambda: {partial})

    assert place.persistence.gc().kept
    assert half.exists()


def test_uploads_of_others_are_only_told(told):
    """And how they could be removed."""
    store = told(UPLOAD)
    (kept,) = collect(store, "").kept

    assert "foreign=True, older_than='1d'" in kept.reason
    assert store.discarded == []


def test_uploads_of_others_go_when_somebody_insists(told):
    """Those that are old enough."""
    store = told(UPLOAD, replace(UPLOAD, token="id-2", modified=datetime.now(tz=timezone.utc)))
    report = collect(store, "", foreign=True, older_than="1d")

    assert [one.token for one in store.discarded] == ["id-1"]
    assert [one.leftover.token for one in report.kept] == ["id-2"]


def test_an_upload_that_can_be_resumed_is_kept_from_everybody(told):
    """Also from who insists: it is ours."""
    store = told(UPLOAD)
    assert collect(store, "", resumable={"id-1 8388608"}, foreign=True, older_than="1d").kept
    assert store.discarded == []


def test_to_insist_takes_an_age(told):
    """There is no age that is right for others."""
    with pytest.raises(InvalidOptionError, match="older_than"):
        collect(told(), "", foreign=True)


def test_what_has_no_age_stays_unless_any_age_will_do(told):
    """Some servers tell none."""
    store = told(Leftover(kind="partial", key="a"))
    assert "age is not known" in collect(store, "").kept[0].reason
    assert collect(store, "", older_than=0).removed


def test_what_cannot_be_removed_is_told_and_the_rest_goes(told):
    """Not raised: there is nothing that would be lost."""
    store = told(*(Leftover(kind="partial", key=key, modified=LONG_AGO) for key in ("a", "stuck", "b")))
    report = collect(store, "")

    assert {one.key for one in store.discarded} == {"a", "b"}
    assert [str(one.error) for one in report.failed] == ["does not move"]
    assert "1 FAILED" in repr(report)


def test_nothing_is_removed_from_a_store_that_is_only_read(place):
    """A dry run works."""
    old = place.leave(partial_key("x"))
    reader = FSSpecPersistence(place.persistence.url(), policy=Policy(read_only=True))

    assert reader.gc(dry_run=True).removed
    assert isinstance(reader.gc().failed[0].error, UnsupportedPersistenceOp)
    assert old.exists()


@pytest.fixture
def waiting(monkeypatch):
    """A store where old versions wait aside, and a swap is known to be over at once."""
    monkeypatch.setattr(garbage, "_SWAP_SECONDS", 0.0)
    persistence = FSSpecPersistence(f"memory://{uuid.uuid4().hex}")
    _, root = persistence.store_and_key()

    def wait(name):
        fsspec.filesystem("memory").pipe_file(f"/{aside_key(f'{root}/{name}')}", b"old")

    return SimpleNamespace(persistence=persistence, wait=wait)


def test_an_old_version_without_a_successor_gets_its_name_back(waiting):
    """It is the only copy, and so it is told as kept."""
    waiting.wait("a/name")
    (foreseen,) = waiting.persistence.gc(older_than=0, dry_run=True).kept
    (kept,) = waiting.persistence.gc(older_than=0).kept

    assert "only copy" in kept.reason
    assert "only copy" in foreseen.reason
    assert waiting.persistence.read_bytes("a/name") == b"old"
    assert waiting.persistence.gc(older_than=0).kept == ()


def test_an_old_version_that_was_replaced_goes(waiting):
    """Its successor is there."""
    waiting.wait("name")
    waiting.persistence.write_bytes("name", b"new")

    assert len(waiting.persistence.gc(older_than=0).removed) == 1
    assert waiting.persistence.read_bytes("name") == b"new"


def test_an_old_version_that_does_not_tell_its_name_is_kept(waiting):
    """Until its successor is there."""
    waiting.wait("x" * 250)
    (kept,) = waiting.persistence.gc(older_than=0).kept
    assert "only copy" in kept.reason
    waiting.persistence.write_bytes("x" * 250, b"new")
    assert len(waiting.persistence.gc(older_than=0).removed) == 1


@pytest.mark.parametrize(
    ("age", "seconds"),
    [("90s", 90), ("1d", 86400), (" 1.5 H ", 5400), ("2w", 1209600), ("30", 30), (0, 0), (timedelta(minutes=1), 60)],
)
def test_ages_can_be_given_as_people_say_them(age, seconds):
    """Text, a number of seconds, or a timedelta."""
    assert seconds_of(age) == seconds


@pytest.mark.parametrize("age", ["", "x", "1y", "-1h", -1, float("inf"), timedelta(seconds=-1), True, "1h30m"])
def test_other_ages_are_refused(age):
    """Before anything is looked at."""
    with pytest.raises(InvalidOptionError, match="no age"):
        seconds_of(age)


def test_a_report_can_be_shown_and_stored(place):
    """As text, HTML and JSON."""
    place.leave(f"<b>/{partial_key('x')}")
    report = place.persistence.gc()
    told = json.loads(json.dumps(report.as_dict()))

    assert (told["operation"], told["bytes"], len(told["removed"])) == ("gc", 4, 1)
    assert told["removed"][0]["kind"] == "partial"
    assert "removed 1, 4 bytes" in repr(report)
    assert "<b>" not in report._repr_html_()
    assert "&lt;b&gt;" in report._repr_html_() or "%3Cb%3E" in report._repr_html_()


def test_uploads_of_forgotten_transfers_are_ours(tmp_path, monkeypatch):
    """Nobody goes on with them, and nobody else's they were."""
    from datetime import datetime, timezone

    from persistence_fsspec.store import Leftover, Part
    from persistence_fsspec.transfer.garbage import _Judge, _names
    from persistence_fsspec.transfer.journal import Identity, Journal, Unfinished
    from persistence_fsspec.transfer.journals import forget, given_up_tokens, known_tokens

    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path))
    journal = Journal.open(Identity(operation="put", source="file:///a", target="s3://b/a", meaning={}))
    journal.set_state("running")
    journal.note_upload("a", Unfinished(target_key="a", token="upload-id 8388608", part_size=8388608, source="s", parts={}))
    journal.note_part("a", Part(number=0, size=8388608, crc32c="00000000", receipt="e"))
    journal.close()
    assert known_tokens() == {"upload-id 8388608"}
    forget(journal.id)
    upload = Leftover(kind="upload", key="a", token="upload-id", modified=datetime(2020, 1, 1, tzinfo=timezone.utc), ours=False)

    assert known_tokens() == set()
    assert _Judge(frozenset(), _names(given_up_tokens()), foreign=False, seconds=60)(upload) == ""
    assert "not ours" in _Judge(frozenset(), frozenset(), foreign=False, seconds=60)(upload)
