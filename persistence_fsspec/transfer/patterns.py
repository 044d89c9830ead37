"""``include`` and ``exclude``: gitignore's patterns, on names relative to the tree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

Patterns = str | Sequence[str] | None
"""gitignore patterns: ``*`` stays within a folder, ``**`` does not; a pattern without a slash matches at any depth."""


class Matcher:
    """Tells which names are wanted.

    Args:
        include: Only what matches; None for everything.
        exclude: Nothing that matches.
    """

    def __init__(self, include: Patterns, exclude: Patterns) -> None:
        self._include, self._exclude = _compiled(include), _compiled(exclude)

    def __call__(self, name: str) -> bool:
        if self._include is not None and not self._include.match_file(name):
            return False
        return self._exclude is None or not self._exclude.match_file(name)

    def folder(self, name: str) -> bool:
        """Whether an empty folder is wanted: only where nothing in particular is asked for."""
        return self._include is None and (self._exclude is None or not self._exclude.match_file(f"{name}/"))


def _compiled(patterns: Patterns) -> Any:
    if patterns is None:
        return None
    import pathspec  # noqa: PLC0415 - a tenth of our import time, for what few calls use

    lines: Iterable[str] = [patterns] if isinstance(patterns, str) else patterns
    return pathspec.GitIgnoreSpec.from_lines(lines)
