"""Whole transfers under faults, those among them that no protocol notices: flipped bits, and objects replaced while they are read.

Each seed draws a transfer and what goes wrong. Then the same transfer runs once more, in peace. A failing seed is repeated
alone by ``-k s3-0017``. S3 is verified by digests, as old servers have them (``s3``: ETags), and new ones (``s3-sums``:
checksums); FTP, which has none, by reading back.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from persistence_fsspec import FSSpecPersistence, Policy
from persistence_fsspec.errors import ChangedDuringReadError, PersistenceError, TransferError
from persistence_fsspec.testing.strategies import counted
from persistence_fsspec.transfer import copy_object, plan
from tests.faults.rig import SLOW_DOWN
from tests.faults.sites import S3Site, ftp_site_at, local_site, random_tree
from tests.faults.test_faults import HONEST
from tests.servers.faults import Fault
from tests.servers.faults_bits import FtpCorruption, HttpCorruption
from tests.servers.s3_checksums import ChecksumS3

pytestmark = pytest.mark.slow

SCENARIOS = {
    name: counted(sample, full).max_examples
    for name, (sample, full) in {"s3": (10, 350), "s3-sums": (5, 300), "ftp": (10, 350)}.items()
}
"""Seeds of each place."""

MIB = 1024 * 1024
LARGE = {"s3": 11 * MIB, "s3-sums": 11 * MIB, "ftp": 3 * MIB}
"""Of several parts; S3 takes none below 5 MiB."""

IN_PARTS = MIB
"""What is larger is moved in parts, here."""

PATIENCE = {
    "attempts": 6,
    "backoff_seconds": 0.01,
    "backoff_max_seconds": 0.1,
    "timeout_seconds": 2.0,
    "stall_seconds": 0.6,
    "slowest": MIB,
    "concurrency": 4,
}
BY_DIGEST = Policy(verify="digest", part_size=MIB, **PATIENCE)
POLICIES = {
    "s3": BY_DIGEST,
    "s3-sums": BY_DIGEST,
    "ftp": Policy(verify="readback", part_size=512 * 1024, **PATIENCE),
}

KINDS = ("put-tree", "get-tree", "put-file", "get-file", "get-own")
"""The last one is a large file that was put there by ourselves before, in parts: S3 has no MD5 of it as a whole."""

FLIPS = {"put": "flip-request", "get": "flip-answer"}


@dataclass
class Place:
    """A server behind a proxy."""

    name: str
    site: object
    proxy: object
    events: dict[str, int] = field(default_factory=dict)
    tally: Counter = field(default_factory=Counter)


@pytest.fixture(scope="module")
def places(request):
    """By name."""
    with ExitStack() as stack:
        made = {}
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for module in (plan, copy_object):
            patch.setattr(module, "RANGED_FROM", IN_PARTS)

        def get(name):
            if name not in made:
                server = request.getfixturevalue(f"{name.partition('-')[0]}_server")
                if name != "ftp":
                    port = server.process.port
                    if name == "s3-sums":
                        port = stack.enter_context(ChecksumS3(port)).port
                    proxy = stack.enter_context(HttpCorruption(port, refusal=SLOW_DOWN))
                    made[name] = Place(name, S3Site(server, proxy.port), proxy)
                else:
                    proxy = stack.enter_context(FtpCorruption(server.process.port))
                    made[name] = Place(name, ftp_site_at(server, proxy.port), proxy)
            return made[name]

        get.made = made
        yield get


class Scenario:
    """One transfer: what is there, what has to be there afterwards, and the second version of its files."""

    def __init__(self, place, kind, folder, here, rng):
        self.way, _, what = kind.partition("-")
        self.place, self.folder, self.tree_like = place, folder, what == "tree"
        local = local_site(here)
        self.source, self.target = (local, place.site) if self.way == "put" else (place.site, local)
        large = {"large": rng.randbytes(LARGE[place.name])}
        self.tree = {**random_tree(rng, 10, 20_000), **large} if self.tree_like else large
        self.second = dict(self.tree)
        self.old = {name: rng.randbytes(777) for name in self.tree if rng.random() < 0.3}
        self.source.fill(f"{folder}-source", self.tree)
        self.target.fill(folder, self.old)
        self.own = what == "own"
        self.persistence = FSSpecPersistence(place.site.prefix, storage_options=place.site.options, policy=POLICIES[place.name])

    def prepare(self, here):
        """What has to be done before anything goes wrong."""
        if self.own:
            (here / "own").write_bytes(self.tree["large"])
            self.persistence.put(here / "own", self.source.address(f"{self.folder}-source/large"))

    def act(self):
        """The transfer."""
        source, target = self.source.address(f"{self.folder}-source"), self.target.address(self.folder)
        if self.tree_like:
            return getattr(self.persistence, self.way)(source, target, recursive=True)
        return getattr(self.persistence, self.way)(f"{source}/large", f"{target}/large")

    def swapper(self, rng):
        """Replaces the large file, in place or by renaming, by another one of the same size."""
        new, renamed = rng.randbytes(len(self.tree["large"])), rng.random() < 0.5
        key = f"{self.folder}-source/large"

        def swap():
            self.second["large"] = new
            if not hasattr(self.source, "files"):
                self.source.write(key, new)
                return
            path = self.source.files / key
            if renamed:
                other = path.with_name("the other")
                other.write_bytes(new)
                os.replace(other, path)
            else:
                path.write_bytes(new)

        return swap

    def found(self):
        """What stands at the target."""
        return self.target.tree(self.folder)

    def wrong(self, found, *, after_success):
        """Names at the target that hold what they must not hold."""
        allowed = {name: {self.tree[name], self.second[name]} for name in self.tree}
        if not after_success:
            for name in allowed:
                allowed[name] |= {None, self.old.get(name)}
        strangers = found.keys() - self.tree.keys()
        return sorted(strangers | {name for name, contents in allowed.items() if found.get(name) not in contents})


def draw(place, scenario, rng, events):
    """What goes wrong: something that no protocol notices, most often, and other things besides."""
    flip = "flip-content" if place.name == "ftp" else FLIPS[scenario.way]
    kinds = [rng.choice((flip, "swap"))] if rng.random() < 0.8 else []
    kinds += rng.choices(place.proxy.kinds, k=rng.choice((0, 0, 1, 2)) if kinds else 1)
    swaps = kinds.count("swap")
    kinds = [kind for kind in kinds if kind != "swap"] + ["swap"] * min(1, swaps)
    return [Fault(kind=kind, at=rng.randint(1, events), amount=amount(place, kind, rng)) for kind in kinds]


def amount(place, kind, rng):
    """Where in a content it strikes: near the beginning, in the first part, anywhere."""
    return 0 if kind == "unavailable" else rng.randrange(rng.choice((5_000, 400_000, LARGE[place.name])))


def events_of(place, kind, tmp_path_factory):
    """How many events the transfer causes in peace."""
    if kind not in place.events:
        scenario = Scenario(
            place, kind, f"{place.name}-rehearsal-{kind}", tmp_path_factory.mktemp("rehearsal"), random.Random(kind)
        )
        scenario.prepare(tmp_path_factory.mktemp("own"))
        place.proxy.arm()
        scenario.act()
        place.events[kind] = place.proxy.seen
        assert scenario.found() == scenario.tree
    return place.events[kind]


def honest(error):
    """Whether it is about what happened."""
    kinds = (*HONEST, ChangedDuringReadError)
    if isinstance(error, TransferError) and error.report is not None:
        return all(isinstance(file.error, kinds) for file in error.report.failed)
    return isinstance(error, kinds)


@pytest.mark.parametrize(
    ("name", "seed"),
    [
        pytest.param(name, seed, id=f"{name}-{seed:04}", marks=pytest.mark.server(name.partition("-")[0]))
        for name, scenarios in SCENARIOS.items()
        for seed in range(scenarios)
    ],
)
def test_no_silent_corruption(places, name, seed, tmp_path_factory, monkeypatch):
    """What returns normally left one version of each file; an error left nothing wrong; the same again brings the rest."""
    # Given a transfer, and what will go wrong.
    monkeypatch.setenv("PERSISTENCE_FSSPEC_STATE_DIR", str(tmp_path_factory.mktemp("state")))
    place, rng, kind = places(name), random.Random(f"corruption-{name}-{seed}"), KINDS[seed % len(KINDS)]
    events = events_of(place, kind, tmp_path_factory)
    scenario = Scenario(place, kind, f"{name}-corruption-{seed:04}", tmp_path_factory.mktemp("here"), rng)
    place.proxy.arm()
    scenario.prepare(tmp_path_factory.mktemp("own"))
    faults = draw(place, scenario, rng, events)
    place.proxy.swap = scenario.swapper(rng)

    # When it runs,
    error = None
    place.proxy.arm(*faults)
    try:
        scenario.act()
    except Exception as exc:
        error = exc
    fired = place.proxy.fired
    place.proxy.arm()
    found = scenario.found()
    story = f"{name} seed {seed}: {kind}\nfaults: {faults}\nfired: {fired}\nerror: {error!r}"
    place.tally["nothing struck" if not fired else "healed" if error is None else "error"] += 1
    place.tally.update(one.partition(" ")[0] for one in fired)

    # then nothing wrong stands anywhere,
    assert scenario.wrong(found, after_success=error is None) == [], f"corrupt\n{story}"
    assert error is None or isinstance(error, PersistenceError), f"a foreign error\n{story}"
    assert error is None or honest(error), f"an untrue error\n{story}"
    assert error is None or fired, f"an error without a fault\n{story}"

    # and once more, in peace, everything arrives as it is now, and nothing of the first run is left.
    scenario.act()
    assert scenario.found() == scenario.second, f"not the present version\n{story}"
    assert scenario.target.unfinished(scenario.folder) == [], f"left behind\n{story}"


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.server(each.partition("-")[0]), id=each) for each in SCENARIOS]
)
def test_corruption_was_real(places, name, tell):
    """Bits did flip and objects were replaced, and most of it healed."""
    place, scenarios = places.made.get(name), SCENARIOS[name]
    if place is None or place.tally["nothing struck"] + place.tally["healed"] + place.tally["error"] < scenarios:
        pytest.skip("only part of the scenarios ran")
    tell(f"corruption, {name}: {scenarios} transfers, {dict(sorted(place.tally.items()))}")
    flips = sum(count for fired, count in place.tally.items() if fired.startswith("flip"))
    assert place.tally["nothing struck"] < scenarios
    if scenarios < 100:  # a sample has no shares
        return
    assert flips >= scenarios // 5
    assert place.tally["swap"] >= scenarios // 10
    assert place.tally["healed"] >= place.tally["error"]
