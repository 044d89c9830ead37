"""What fsspec's ``put`` and ``get`` mean by a whole tree, and where it goes: their rules, for one transfer of the engine."""

from __future__ import annotations

import glob
import os
from typing import Any

from persistence_fsspec.transfer.progress import NoProgress


def is_whole(source: Any, target: Any, *, recursive: bool, maxdepth: int | None, literal: bool = False) -> bool:
    """Whether all of one folder, if it is one, goes to one place; patterns, lists and a part of a tree are fsspec's to expand.

    Args:
        source: Where from.
        target: Where to.
        recursive: As for ``put``.
        maxdepth: As for ``put``.
        literal: Something has exactly the name *source*, so that it is no pattern.
    """
    names = isinstance(source, str) and isinstance(target, str)
    return recursive and maxdepth is None and names and (literal or not is_pattern(source))


def is_pattern(name: Any) -> bool:
    """Whether fsspec would look for what a name matches. It does so even if something has that very name."""
    return isinstance(name, str) and glob.has_magic(name)


def names_folder(path: str) -> bool:
    """Whether a path ends in a slash."""
    return path.endswith(("/", os.sep))


def inside(source: str, target: str, *, exists: bool) -> str:
    """Where a tree goes: a folder that is there (or is named with a slash) receives the folder itself, not its contents.

    Args:
        source: A slash at its end means its contents.
        target: The folder.
        exists: Whether *target* is there.

    Examples:
        >>> inside("data", "bucket/x", exists=False), inside("data", "bucket/x", exists=True), inside("data/", "bucket/x", exists=True)
        ('bucket/x', 'bucket/x/data', 'bucket/x')
    """
    if names_folder(source) or not (exists or names_folder(target)):
        return target
    return f"{target.rstrip('/')}/{os.path.basename(source)}"


class FilesCounted(NoProgress):
    """Tells an ``fsspec.Callback`` of a tree what fsspec tells it: files, not bytes."""

    def __init__(self, callback: Any) -> None:
        self._callback, self._files = callback, 0

    def expect(self, files: int, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Grow the total."""
        self._files += files
        self._callback.set_size(self._files)

    def finish(self, key: str, status: str) -> None:  # noqa: ARG002 - the interface's
        """Count one."""
        self._callback.relative_update(1)
