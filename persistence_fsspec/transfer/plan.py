"""Which file goes where. Looks, and changes nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from persistence_fsspec.errors import (
    InvalidNameError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
)
from persistence_fsspec.store import ObjectInfo, Store
from persistence_fsspec.transfer.report import FileOutcome

Patterns = str | Sequence[str] | None
"""gitignore patterns: ``*`` stays within a folder, ``**`` does not; a pattern without a slash matches at any depth."""


@dataclass(frozen=True, slots=True)
class Step:
    """One file to move: what it is, and the key it gets."""

    info: ObjectInfo
    target_key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One transfer.

    Attributes:
        source: Where from.
        source_key: A file, or a folder when *recursive*.
        target: Where to.
        target_key: The file's exact key, or the folder that receives the contents.
        into_folder: A single file goes into *target_key* under its own name.
        recursive: A folder may be given.
        include: Only what matches.
        exclude: Nothing that matches.
    """

    source: Store
    source_key: str
    target: Store
    target_key: str
    into_folder: bool = False
    recursive: bool = False
    include: Patterns = None
    exclude: Patterns = None

    def steps(self) -> Iterator[Step | FileOutcome]:
        """The files one by one; those that can never arrive come as failed outcomes.

        Raises:
            ObjectNotFoundError: There is nothing at the source. Raised by the first step.
            IsAFolderError: A folder, and not *recursive*.
        """
        info = self._look()
        if not info.is_folder:
            yield Step(info, self._single_target())
            return
        if not self.recursive:
            raise IsAFolderError("is a folder", url=self.source.url(self.source_key), hint="recursive=True takes its contents.")
        self._refuse_copy_into_itself()
        yield from self._tree()

    def _look(self) -> ObjectInfo:
        """On a flat store an object and a folder may share a name; *recursive* says which is meant."""
        if self.recursive and self.source.capabilities.flat:
            try:
                next(self.source.find(self.source_key), None)
            except (ObjectNotFoundError, NotAFolderError):
                return self.source.info(self.source_key)
            return ObjectInfo(key=self.source_key, kind="folder")
        return self.source.info(self.source_key)

    def _single_target(self) -> str:
        name = self.source_key.rpartition("/")[2]
        if self.into_folder or not self.target_key:
            return f"{self.target_key}/{name}" if self.target_key else name
        return self.target_key

    def _refuse_copy_into_itself(self) -> None:
        begin, end = self.source.url(self.source_key), self.target.url(self.target_key)
        if end.startswith(f"{begin.rstrip('/')}/"):
            raise InvalidNameError(
                f"{end} lies inside {begin}: the copy would contain itself",
                operation="copy",
                url=end,
                hint="Choose a target outside.",
            )

    def _tree(self) -> Iterator[Step | FileOutcome]:
        failures: list[FileOutcome] = []
        names = _Names(self.target)
        wanted = _Filter(self.include, self.exclude)
        for info in self.source.find(self.source_key, on_error=lambda key, exc: failures.append(self._failed(key, exc))):
            below = info.key[len(self.source_key) + 1 :] if self.source_key else info.key
            if wanted(below):
                yield self._step(info, below, names)
            yield from failures
            failures.clear()
        yield from failures

    def _step(self, info: ObjectInfo, below: str, names: _Names) -> Step | FileOutcome:
        key = f"{self.target_key}/{below}" if self.target_key else below
        try:
            names.claim(below)
            if self._is_source(key):
                raise InvalidNameError(f"{self.target.url(key)} is part of the source, and would be overwritten")
        except PersistenceError as exc:
            return self._failed(info.key, exc, below)
        return Step(info, key)

    def _is_source(self, key: str) -> bool:
        """Whether a target lies in the tree that is being copied, which may not have been read yet."""
        begin = self.source.url(self.source_key).rstrip("/")
        return f"{self.target.url(key)}/".startswith(f"{begin}/")

    def _failed(self, key: str, error: PersistenceError, below: str = "") -> FileOutcome:
        target = f"{self.target_key}/{below}" if self.target_key and below else below or self.target_key
        return FileOutcome(key=key, source=self.source.url(key), target=self.target.url(target), status="failed", error=error)


class _Names:
    """The names that a tree takes at its target; none may take another's."""

    def __init__(self, target: Store) -> None:
        self._flat, self._sensitive = target.capabilities.flat, target.capabilities.case_sensitive
        self._taken: dict[str, str] = {}

    def claim(self, name: str) -> None:
        if not self._flat and "" in name.split("/"):
            raise InvalidNameError(f"{name!r} has an empty part, which a folder cannot hold")
        if {".", ".."} & set(name.split("/")):
            raise InvalidNameError(f"{name!r} has a part that would leave its folder")
        if self._sensitive:
            return
        folded = unicodedata.normalize("NFC", name).casefold()
        other = self._taken.setdefault(folded, name)
        if other != name:
            raise InvalidNameError(f"{name!r} and {other!r} are the same name at the target")


class _Filter:
    def __init__(self, include: Patterns, exclude: Patterns) -> None:
        self._include, self._exclude = _compiled(include), _compiled(exclude)

    def __call__(self, name: str) -> bool:
        if self._include is not None and not self._include.match_file(name):
            return False
        return self._exclude is None or not self._exclude.match_file(name)


def _compiled(patterns: Patterns) -> Any:
    if patterns is None:
        return None
    import pathspec  # noqa: PLC0415 - a tenth of our import time, for what few calls use

    lines: Iterable[str] = [patterns] if isinstance(patterns, str) else patterns
    return pathspec.GitIgnoreSpec.from_lines(lines)


def matcher(include: Patterns, exclude: Patterns) -> _Filter:
    """A test of relative names against both lists, for listings."""
    return _Filter(include, exclude)
