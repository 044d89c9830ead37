"""``kill -9`` at any instant: nothing half-written is ever seen, and the same command continues.

Each seed is a chain of runs of one transfer, all but the last one killed; a failing one is repeated alone by
``-k put-s3-tree-0000``. A soak has the full sizes, and fifty kills of every transfer.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass

import pytest

from persistence_fsspec.testing.strategies import SOAK
from tests.faults.chains import Chain, watched
from tests.faults.child import Call
from tests.faults.sites import SITES, Tree, local_site, random_tree, write_large

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
FILES = 2000 if SOAK else 300
LARGEST = {"local": 64 * 1024}
USUAL_LARGEST = 16 * 1024
LARGE = (1024 if SOAK else 80) * MIB
KILLS = 50 if SOAK else 2
"""Of each transfer: both ways, trees and large files, on every site."""

WORKERS, PART = 4, 5 * MIB
POLICY = {"concurrency": WORKERS, "part_size": PART}

IN_FLIGHT = WORKERS + 16
"""Files of a tree: those that were on their way, and those that the journal writes down together."""

LARGE_IN_FLIGHT = WORKERS * PART
"""Parts that were on their way: some have arrived, and nobody heard of it."""

FRAMING = 0.01
"""Of the bytes moved."""

JOURNALED = 4 * 1024
"""Bytes for each file on the local disk, where the journal's own are counted, too."""


def chains():
    """Seeds, each with its number of kills; together `KILLS`."""
    rng, left, found = random.Random("chains"), KILLS, []
    while left:
        found.append(min(left, rng.randint(1, 8) if SOAK else KILLS))
        left -= found[-1]
    return list(enumerate(found))


ROUTES = [*((way, name) for name in SITES for way in ("put", "get")), ("copy", "s3-to-ftp")]
CASES = [
    pytest.param(
        way,
        name,
        seed,
        kills,
        id=f"{way}-{name}-{seed:04}",
        marks=[pytest.mark.server(one) for one in ("s3", "ftp") if one in name],
    )
    for way, name in ROUTES
    for seed, kills in chains()
]


@dataclass
class Ends:
    """Source and target of one chain.

    Attributes:
        there: The site whose meter counts.
        source: Where the transfer comes from.
        target: Where it goes.
        folder: Of the target; that of the source is called after it.
    """

    there: object
    source: object
    target: object
    folder: str

    def call(self, way, name=""):
        """The transfer of the tree, or of one file in it."""
        options = {one.name: one.options for one in (self.source, self.target) if one.options}
        source, target = f"{self.folder}-source{name}", f"{self.folder}{name}"
        return Call(
            operation=way,
            source=self.source.address(source),
            target=self.target.address(target),
            recursive=not name,
            prefix=self.there.prefix,
            options=options,
            policy=POLICY,
        )


@pytest.fixture
def ends(sites, tmp_path, request):
    """Gives the ends of a transfer, and clears them afterwards."""
    made = []

    def get(name, way, what):
        if way == "copy":
            source, there = map(sites, name.split("-to-"))
            target = there
        else:
            here, there = local_site(tmp_path / "here"), sites(name)
            source, target = (here, there) if way == "put" else (there, here)
        made.append(Ends(there, source, target, f"killed-{what}-{request.node.callspec.id}"))
        return made[-1]

    yield get
    for at in made:
        at.source.remove(f"{at.folder}-source")
        at.target.remove(at.folder)


@pytest.mark.parametrize(("way", "name", "seed", "kills"), CASES)
def test_a_tree_survives_kills(ends, way, name, seed, kills, tmp_path, tell):
    """No file is ever seen in part; what is done stays done; at the end the trees are the same, and nothing else is there."""
    # Given a tree, and a target where a few of its files stand in old versions.
    rng = random.Random(f"{way}-{name}-{seed}")
    at = ends(name, way, "tree")
    largest = LARGEST.get(name, USUAL_LARGEST)
    tree = random_tree(rng, FILES, largest)
    old = {key: rng.randbytes(largest + 1) for key in rng.sample(sorted(tree), FILES // 20)}
    at.source.fill(f"{at.folder}-source", tree)
    at.target.fill(at.folder, old)
    chain = Chain(at.call(way), tmp_path / "state", at.there, sum(map(len, tree.values())))

    def complete(key, size):
        return size in {len(each[key]) for each in (tree, old) if key in each}

    in_flight = IN_FLIGHT * largest + (JOURNALED * FILES if name == "local" else 0)

    # When it is killed again and again,
    missing = chain.total
    with watched(at.target, at.folder, complete) as wrong:
        for _ in range(kills):
            done = chain.kill_at(rng)
            found = at.target.tree(at.folder)
            story = "\n".join([f"seed {seed}", *chain.story])
            assert done.killed or done.status == 0, story
            assert in_part(found, tree, old) == [], f"in part under a final name\n{story}"
            assert chain.moved[-1] <= allowed(missing, in_flight), f"moved again what was there: {missing} missing\n{story}"
            missing = sum(len(data) for key, data in tree.items() if found.get(key) != data)
        done = chain.finish()

    # then the last run brings what is missing, and nothing more.
    story = "\n".join([f"seed {seed}", *chain.story])
    assert wrong == [], story
    assert done.status == 0, story
    assert at.target.tree(at.folder) == tree, story
    assert at.target.unfinished(at.folder) == [], story
    assert chain.moved[-1] <= allowed(missing, in_flight), f"moved again what was there: {missing} missing\n{story}"
    tell(f"kill -9, {way} of {FILES} files, {name}, seed {seed}: {chain.kills} of {kills} kills inside, moved {shares(chain)}")


@pytest.mark.parametrize(("way", "name", "seed", "kills"), CASES)
def test_a_large_file_survives_kills(ends, way, name, seed, kills, tmp_path, tell):
    """It is absent, or old, until it is whole; parts that arrived are not sent again."""
    # Given a large file, and half of the time an old version of it at the target.
    rng = random.Random(f"{way}-{name}-{seed}-large")
    at = ends(name, way, "large")
    source, target = f"{at.folder}-source/file", f"{at.folder}/file"
    digest = given_large(at, source, f"{way}-{name}-{seed}", tmp_path)
    old = b"an old version" if rng.random() < 0.5 else None
    if old is not None:
        at.target.write(target, old)
    chain = Chain(at.call(way, "/file"), tmp_path / "state", at.there, LARGE)

    # When it is killed again and again,
    missing, in_flight = LARGE, 0
    with watched(at.target, target, lambda _, size: size in {LARGE, len(old or b"-")}) as wrong:
        for _ in range(kills):
            done = chain.kill_at(rng)
            story = "\n".join([f"seed {seed}", *chain.story])
            assert done.killed or done.status == 0, story
            assert stands(at.target, target) in ({old, digest} if done.killed else {digest}), f"in part under its name\n{story}"
            assert chain.moved[-1] <= allowed(missing, in_flight), f"moved again: {missing} missing\n{story}"
            missing, in_flight = left_over(at, target, way, chain)
        done = chain.finish()

    # then the last run brings what is missing, and nothing more.
    story = "\n".join([f"seed {seed}", *chain.story])
    assert wrong == [], story
    assert done.status == 0, story
    assert stands(at.target, target) == digest, story
    assert at.target.unfinished(at.folder) == [], story
    assert chain.moved[-1] <= allowed(missing, in_flight), f"moved again: {missing} missing\n{story}"
    assert max(chain.back) <= allowed(0, LARGE_IN_FLIGHT), f"read back more than was in doubt\n{story}"
    tell(
        f"kill -9, {way} of {LARGE // MIB} MiB, {name}, seed {seed}: {chain.kills} of {kills} kills inside, moved {shares(chain)}"
    )


def given_large(at, key, seed, folder):
    """A large file at the source; return its digest."""
    if hasattr(at.source, "files"):
        return write_large(at.source.files / key, LARGE, seed)
    path = folder / "large"
    digest = write_large(path, LARGE, seed)
    at.source.write(key, path.read_bytes())
    path.unlink()
    return digest


def stands(place, key):
    """What stands under a name: the digest of something large, something small as it is, or None."""
    data = place.read(key)
    return data if data is None or len(data) < MIB else hashlib.sha256(data).hexdigest()


def left_over(at, key, way, chain):
    """Bytes that the next run has to move, and how many more it may: of what was on its way, nobody knows if it arrived."""
    if stands(at.target, key) not in (None, b"an old version"):
        return 0, 0
    if way != "get" and at.target.meter is not None:
        return LARGE - at.target.whole_parts(key), LARGE_IN_FLIGHT
    kills = len(chain.moved)
    return max(0, LARGE - sum(chain.moved) + (kills - 1) * LARGE_IN_FLIGHT), LARGE_IN_FLIGHT


def in_part(found: Tree, new: Tree, old: Tree) -> list[str]:
    """Names that hold neither the new content nor the old one."""
    return [f"{name}: {len(data)} bytes" for name, data in found.items() if data not in (new.get(name), old.get(name))]


def allowed(missing, in_flight):
    """Bytes that a run may move."""
    return missing + in_flight + int(FRAMING * missing) + 64 * 1024


def shares(chain):
    """Of the runs, in hundredths of the whole."""
    return " + ".join(f"{100 * moved / chain.total:.0f}" for moved in chain.moved) + " %"
