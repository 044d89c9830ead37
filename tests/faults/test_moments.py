"""``kill -9`` at the moments that matter: just before, and just after, a request that begins, ends or publishes something."""

from __future__ import annotations

import hashlib
import random

import pytest

from persistence_fsspec.testing.strategies import SOAK
from tests.faults.chains import Chain
from tests.faults.child import Call
from tests.faults.sites import local_site, random_tree, write_large

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
LARGE, PART, WORKERS = (80 if SOAK else 40) * MIB, 8 * MIB, 3
FILES, LARGEST = 120, 4000

LARGE_MOMENTS = {
    "s3": {
        "before POST .*uploads": LARGE,
        "after POST .*uploads": LARGE,
        "after PUT .*partNumber=3(&|$)": LARGE - PART,
        "before POST .*uploadId": 0,
        "after POST .*uploadId": 0,
    },
    "ftp": {
        "before (STOR|APPE)": LARGE,
        "after (STOR|APPE)": LARGE,
        "before RNFR": 0,
        "before RNTO": 0,
        # A file under its final name does not tell who brought it there, and FTP has no digests: it may have to come again.
        "after RNTO": LARGE,
    },
}
"""By protocol: the moment of the kill, and the most that may be left to be moved then."""

SMALL_MOMENTS = {"s3": ("before PUT", "after PUT"), "ftp": ("before STOR", "after STOR", "before RNTO", "after RNTO")}


def moments(table):
    """As parameters."""
    return [
        pytest.param(protocol, moment, id=f"{protocol}-{moment}", marks=pytest.mark.server(protocol))
        for protocol in table
        for moment in table[protocol]
    ]


def sha(moment):
    """A name for a folder."""
    return hashlib.sha256(moment.encode()).hexdigest()[:8]


def transfer(there, source, target, state, total, *, recursive):
    """A put that can be killed."""
    policy = {"part_size": PART, "concurrency": WORKERS}
    where = {"prefix": there.prefix, "options": there.options, "policy": policy}
    call = Call(operation="put", source=str(source), target=there.address(target), recursive=recursive, **where)
    return Chain(call, state, there, total)


@pytest.mark.parametrize(("protocol", "moment"), moments(LARGE_MOMENTS))
def test_a_large_file_killed_at_a_moment(sites, protocol, moment, tmp_path):
    """Nothing stands there in part; the rerun brings what was missing, knows what was published, and leaves nothing else."""
    there, folder = sites(protocol), f"moment-{sha(moment)}"
    target = f"{folder}/file"
    digest = write_large(tmp_path / "file", LARGE, moment)
    chain = transfer(there, tmp_path / "file", target, tmp_path / "state", LARGE, recursive=False)

    killed = chain.kill_at_moment(moment)
    stands = there.read(target)
    assert killed.killed, chain.story
    assert stands is None or hashlib.sha256(stands).hexdigest() == digest

    done = chain.finish()
    story = "\n".join(chain.story)
    assert done.status == 0, story
    assert hashlib.sha256(there.read(target)).hexdigest() == digest
    assert there.unfinished(folder) == [], story
    assert chain.moved[-1] <= LARGE_MOMENTS[protocol][moment] + MIB, story


@pytest.mark.parametrize(("protocol", "moment"), moments(SMALL_MOMENTS))
def test_a_tree_killed_at_a_moment(sites, protocol, moment, tmp_path):
    """In the middle of a tree of small files."""
    there, folder = sites(protocol), f"moment-tree-{sha(moment)}"
    tree = random_tree(random.Random(moment), FILES, LARGEST)
    local_site(tmp_path).fill("tree", tree)
    chain = transfer(there, tmp_path / "tree", folder, tmp_path / "state", sum(map(len, tree.values())), recursive=True)

    killed = chain.kill_at_moment(moment, FILES // 2)
    found = there.tree(folder)
    missing = sum(len(data) for name, data in tree.items() if name not in found)
    assert killed.killed, chain.story
    assert {name: data for name, data in found.items() if tree.get(name) != data} == {}
    assert FILES // 4 < len(found) < FILES

    done = chain.finish()
    story = "\n".join(chain.story)
    assert done.status == 0, story
    assert there.tree(folder) == tree
    assert there.unfinished(folder) == [], story
    assert chain.moved[-1] <= missing + (WORKERS + 16) * LARGEST, story
