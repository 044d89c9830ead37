"""The known name that a misspelt one stands for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

LIKELY: Final = 0.8
"""From this likeness on (0 to 1), a name is taken for a typing error of another."""

POSSIBLE: Final = 0.6
"""From this likeness on, it is worth a question."""


def nearest(name: str, names: Iterable[str], likeness: float = LIKELY) -> str | None:
    """The known name that a typing error most likely stands for; capitals and hyphens count as none.

    Examples:
        >>> nearest("enpoint_url", ["endpoint_url", "token"]), nearest("colour", ["endpoint_url"])
        ('endpoint_url', None)
    """
    import difflib  # noqa: PLC0415 - for who has misspelt something

    by_plain = {_plain(known): known for known in sorted(names)}
    found = difflib.get_close_matches(_plain(name), by_plain, 1, likeness)
    return by_plain[found[0]] if found else None


def did_you_mean(name: str, names: Iterable[str], likeness: float = POSSIBLE) -> str:
    """A question, or nothing when no name is near.

    Examples:
        >>> did_you_mean("wrok", ["work"]), did_you_mean("wrok", ["home"])
        ("Did you mean 'work'?", '')
    """
    near = nearest(name, names, likeness)
    return "" if near is None else f"Did you mean {near!r}?"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_")
