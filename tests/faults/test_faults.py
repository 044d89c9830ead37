"""Under seeded faults nothing is lost, nothing happens twice, and nobody is told what is not so.

Each seed draws one operation, its contents, and what goes wrong. The same
operation runs first without faults, which tells how many events it causes.
A failing seed is repeated alone by ``-k s3-0017``.
"""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from persistence_fsspec.errors import (
    ChecksumMismatchError,
    ConflictError,
    ConnectionFailedError,
    ObjectExistsError,
    OperationTimeoutError,
    PersistenceError,
    ServerFailedError,
    StoreError,
    ThrottledError,
    TransferError,
    TruncatedError,
)
from persistence_fsspec.stores.dialects.s3 import S3Dialect
from persistence_fsspec.testing.strategies import counted
from tests.faults.operations import OPERATIONS, SMALL
from tests.faults.rig import PART_OF_AN_UPLOAD, rig

SCENARIOS = counted(20, 200).max_examples
"""Seeds of each protocol; the last sixth are races, where a store can create exclusively at all."""

CHANCE = 2
"""Scenarios: threads decide which request is the fifth, and whether it has what a fault is about."""

RACES = SCENARIOS // 6
PROTOCOLS = {"s3": RACES, "ftp": 0, "sftp": RACES, "webdav": RACES}

HONEST = (
    ChecksumMismatchError,
    ConflictError,  # of an append: "it cannot be known"
    ConnectionFailedError,
    OperationTimeoutError,
    ServerFailedError,
    StoreError,
    ThrottledError,
    TruncatedError,
)
"""What may be said when the network failed. "Not found", "exists already" or "forbidden" would be untrue."""


@pytest.fixture(scope="module")
def rigs(request):
    """The rigs made so far, by protocol; ended with the module."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(S3Dialect, "object_part_size", PART_OF_AN_UPLOAD)
        made = {}

        def get(protocol):
            if protocol not in made:
                made[protocol] = stack.enter_context(rig(protocol, request.getfixturevalue(f"{protocol}_server")))
            return made[protocol]

        get.made = made
        yield get


def seeds(*, racing):
    """The seeds of every protocol, as parameters."""
    return pytest.mark.parametrize(
        ("protocol", "seed"),
        [
            pytest.param(protocol, seed, id=f"{protocol}-{seed:04}", marks=pytest.mark.server(protocol))
            for protocol, races in PROTOCOLS.items()
            for seed in range(SCENARIOS)
            if (seed >= SCENARIOS - races) == racing
        ],
    )


def drawn(place, rng, seed, persistence):
    """The operation of a seed: each in its turn, as often as its weight says."""
    can = persistence.capabilities()
    able = [each for each in OPERATIONS if not each.needs or getattr(can, each.needs) not in (False, "none")]
    turns = [each for each in able for _ in range(each.weight)]
    random.Random(place.name).shuffle(turns)
    return turns[seed % len(turns)]


def shown(state):
    """A state, short enough for a message."""
    return {name: f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:6]}" for name, data in sorted(state.items())}


def is_honest(error):
    """Whether an error, or each error of a report, is about what really happened."""
    if isinstance(error, TransferError) and error.report is not None:
        return all(isinstance(file.error, HONEST) for file in error.report.failed)
    return isinstance(error, HONEST)


@seeds(racing=False)
def test_one_operation_under_faults(rigs, protocol, seed, tmp_path_factory):
    """Success means done, exactly once; an error means done or not done, and never in between."""
    place = rigs(protocol)
    persistence = place.persistences[seed % len(place.persistences)]
    rng = random.Random(f"{protocol}-{seed}")
    kind = drawn(place, rng, seed, persistence)
    content = rng.random()

    events = rehearse(place, persistence, kind(random.Random(content), tmp_path_factory.mktemp("rehearsal")), f"r{seed:04}")
    folder = f"f{seed:04}"
    operation = kind(random.Random(content), tmp_path_factory.mktemp("scenario"))
    place.fill(folder, operation.before)
    operation.prepare(persistence, folder)
    faults = place.faults(rng, events)
    stale = rng.random() < 0.15 and place.proxy.drop() > 0

    error = None
    place.proxy.arm(*faults)
    try:
        operation.act(persistence, folder)
    except Exception as exc:
        error = exc
        place.settle()
    fired = [*(["idle connections were closed"] if stale else []), *place.proxy.fired]
    place.proxy.arm()
    state = place.state(folder)
    story = (
        f"{protocol} seed {seed}: {kind.__name__} by {persistence.capabilities().driver}\nfaults: {fired}\n"
        f"before: {shown(operation.before)}\nwanted: {shown(operation.after)}\nfound:  {shown(state)}\nerror:  {error!r}"
    )
    record(place, folder, state, fired, error)

    if error is None:
        assert state == operation.after, f"false success\n{story}"
        assert not operation.wrong_answer(), f"wrong answer: {operation.wrong_answer()}\n{story}"
    else:
        assert isinstance(error, PersistenceError), f"a foreign error\n{story}"
        assert is_honest(error), f"an untrue error\n{story}"
        assert operation.allowed(state, error), f"a mixture\n{story}"
        assert fired, f"an error without a fault\n{story}"
    assert persistence.read_bytes(f"{folder}/bystander") == operation.before["bystander"], f"damage is left\n{story}"


def rehearse(place, persistence, operation, folder):
    """Do it without faults; return how many events the proxy counted."""
    place.proxy.arm()
    place.fill(folder, operation.before)
    operation.prepare(persistence, folder)
    place.proxy.arm()
    operation.act(persistence, folder)
    assert place.state(folder) == operation.after
    assert not operation.wrong_answer()
    return place.proxy.seen


def record(place, folder, state, fired, error):
    """Count for the summary."""
    place.final[folder] = state
    place.tally.leftovers += place.leftovers(folder)
    place.tally.outcomes["nothing struck" if not fired else "healed" if error is None else "error"] += 1
    if error is not None:
        place.tally.errors[type(error).__name__] += 1


@seeds(racing=True)
def test_two_create_the_same_name_under_faults(rigs, protocol, seed):
    """At most one succeeds, its content stands, and the other is not told of a success that was not his."""
    place = rigs(protocol)
    persistence = place.persistences[seed % len(place.persistences)]
    rng = random.Random(f"{protocol}-race-{seed}")
    folder = f"f{seed:04}"
    first = rng.randbytes(SMALL)
    contents = [first, first if seed % 2 else rng.randbytes(SMALL)]
    place.fill(folder, {"bystander": b"here"})
    place.proxy.arm(*place.faults(rng, 8 if place.name != "sftp" else 6000))

    def create(data):
        try:
            persistence.write_bytes(f"{folder}/a", data, overwrite=False)
        except Exception as exc:
            return exc
        return None

    with ThreadPoolExecutor(2) as pool:
        errors = list(pool.map(create, contents))
    fired = place.proxy.fired
    place.proxy.arm()
    place.settle()
    state = place.state(folder)
    story = (
        f"{protocol} seed {seed}: create by {persistence.capabilities().driver}\nfaults: {fired}\n"
        f"contents: {shown(dict(zip('12', contents, strict=True)))}\nfound:  {shown(state)}\nerrors: {errors}"
    )
    record(place, folder, state, fired, next((each for each in errors if isinstance(each, HONEST)), None))

    winners = [data for data, error in zip(contents, errors, strict=True) if error is None]
    assert all(isinstance(each, (*HONEST, ObjectExistsError)) for each in errors if each is not None), f"untrue\n{story}"
    assert len(winners) <= 1, f"two winners\n{story}"
    assert state.get("a") in (winners or [None, *contents]), f"not the winner's content\n{story}"
    told_no = [data for data, error in zip(contents, errors, strict=True) if isinstance(error, ObjectExistsError)]
    denied = not winners and told_no.count(state.get("a")) == contents.count(state.get("a"))
    assert not (told_no and denied), f"somebody's own write was denied\n{story}"


@pytest.mark.parametrize("protocol", [pytest.param(each, marks=pytest.mark.server(each), id=each) for each in PROTOCOLS])
def test_faults_were_real_and_mostly_healed(rigs, protocol, tell):
    """Most scenarios met a fault, most of those healed by repeating, and nothing changed after it was judged."""
    place = rigs.made.get(protocol)
    if place is None or place.tally.outcomes.total() < SCENARIOS:
        pytest.skip("only part of the scenarios ran")
    outcomes = place.tally.outcomes
    struck = outcomes["healed"] + outcomes["error"]
    tell(f"{protocol}: {place.tally}")
    assert place.changed() == []
    assert struck >= 0.8 * outcomes.total() - CHANCE, str(place.tally)
    assert outcomes["healed"] >= 0.6 * struck, str(place.tally)
