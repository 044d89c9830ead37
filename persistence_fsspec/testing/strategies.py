"""Names, sizes and trees that break things."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from persistence_fsspec.testing.harness import PART_SIZE

SOAK = os.environ.get("PERSISTENCE_FSSPEC_SOAK") == "1"
"""Full counts instead of samples: one setting for every costly test."""


def counted(sample: int, full: int) -> settings:
    """Settings of one property test.

    Args:
        sample: Examples in an ordinary run.
        full: Examples in a soak.
    """
    # The harness gives each example a name of its own, so one folder may serve them all.
    quiet = [
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
    ]
    return settings(max_examples=full if SOAK else sample, deadline=None, suppress_health_check=quiet, print_blob=True)


ODD = (
    "a[1]?.txt", "*", "**", "?", "[!a]", "{x,y}", "100%", "%41", "a%20b", "%2F", "a#b", "a?b=c", "a;b", "a&b", "a+b", "a=b",
    "a b", " leading", "trailing ", "trailing.", ".hidden", "..twice", "~tilde", "-dash", "quote'", 'double"', "back\\slash",
    "a:b", "a|b", "<a>", "tab\there", "line\nfeed", "carriage\rreturn", "bell\a", "Grüße", "Gru\u0308ße", "日本語", "🦆", "e\u0301",
    "İstanbul", "CON", "nul.txt", "Case", "case", "http_x", "http:x", "a::b", "@at", "$dollar", "!bang", "(x)", "con.", "\x7f",
)  # fmt: skip
"""Names that some store or driver is known to trip over."""

_PART = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=12),
).filter(lambda part: part not in {".", ".."} and not part.startswith(".~persist-"))

NAMES = st.lists(_PART, min_size=1, max_size=3).map("/".join).filter(lambda name: not name.startswith("~"))
"""Relative names of one to three parts."""

SIZES = st.one_of(
    st.sampled_from([0, 1, PART_SIZE - 1, PART_SIZE, PART_SIZE + 1, 2 * PART_SIZE, 3 * PART_SIZE + 7]),
    st.integers(0, 4 * PART_SIZE),
)
"""Bytes, with every border between parts."""

_SAFE_PART = st.text("abcXYZ019._-", min_size=1, max_size=6).filter(
    lambda part: part[0] not in ".-" and part[-1] != "." and part.upper() not in {"CON"}
)
TREES = st.dictionaries(
    st.lists(_SAFE_PART, min_size=1, max_size=3).map(lambda parts: "/".join(parts).lower()),
    st.binary(max_size=200),
    min_size=1,
    max_size=8,
).filter(lambda tree: not any(f"{other}/" in f"{name}/" and other != name for name in tree for other in tree))
"""Relative name -> content, in which no file is also a folder."""
