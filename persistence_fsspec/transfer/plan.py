"""Which file goes where, and how. Looks, and changes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from persistence_fsspec.errors import (
    InvalidNameError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
)
from persistence_fsspec.redaction import redact_places
from persistence_fsspec.store import ObjectInfo, Store
from persistence_fsspec.transfer.compare import Comparison
from persistence_fsspec.transfer.index import Index
from persistence_fsspec.transfer.names import TreeNames, folded, real_url
from persistence_fsspec.transfer.patterns import Matcher, Patterns
from persistence_fsspec.transfer.report import FileOutcome

TreeLinks = Literal["follow", "skip", "error"]
"""Symbolic links in a tree: copy what they lead to, leave them out, or fail them; each is told in the report."""

Action = Literal["copy", "skip", "make folder", "delete"]
Method = Literal["server-side", "ranged", "streamed", "local", ""]

RANGED_FROM: Final = 16 * 1024 * 1024
"""Larger objects are moved in parts, where that is possible."""

LOOKED_FOR: Final = RANGED_FROM
"""A single file that is larger is looked for at the target, and its parts are journaled: whatever a killed run leaves is known."""

_LINKS_KNOWN: Final = 10_000
_NO_FOLDERS: Final = "an empty folder cannot be kept there"


@dataclass(frozen=True, slots=True)
class Step:
    """One file of a plan: what it is, the key it gets, and what is done with it.

    Attributes:
        info: At the source; of a deletion, at the target.
        target_key: Where it goes.
        action: ``copy``, ``skip``, ``make folder`` or ``delete``.
        method: Of a copy: ``server-side`` (inside the store), ``ranged`` (in parts), ``streamed`` or ``local``.
        reason: Of a skip.
        there: What stands at the target; None for nothing, or where nobody looked.
        doubtful: It may turn out to be the same; that takes reading, and is done when it is its turn.
    """

    info: ObjectInfo
    target_key: str
    action: Action = "copy"
    method: Method = ""
    reason: str = ""
    there: ObjectInfo | None = None
    doubtful: bool = False

    @property
    def bytes(self) -> int:
        """To be moved; None is known of some HTTP servers' files, and counts nothing."""
        return (self.info.size or 0) if self.action == "copy" else 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "action": self.action,
            "key": redact_places(self.info.key),
            "target_key": redact_places(self.target_key),
            "bytes": self.bytes,
            "method": self.method,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One transfer; iterating it looks at the source, each time anew.

    Attributes:
        operation: ``put``, ``get``, ``copy``, ``move`` or ``sync``.
        source: Where from.
        source_key: A file, or a folder when *recursive*.
        target: Where to.
        target_key: The file's exact key, or the folder that receives the contents.
        into_folder: A single file goes into *target_key* under its own name.
        recursive: A folder may be given.
        include: Only what matches.
        exclude: Nothing that matches.
        links: Of a tree.
        delete: Plan to delete what the target has and the source has not.
        max_delete: If there is more to delete, nothing will be; None for any number.
        known: What the source is, where somebody has just looked.
        looking: Opens what a dry run compares with.
    """

    operation: str = "copy"
    source: Store
    source_key: str
    target: Store
    target_key: str
    into_folder: bool = False
    recursive: bool = False
    include: Patterns = None
    exclude: Patterns = None
    links: TreeLinks = "follow"
    delete: bool = False
    max_delete: int | None = None
    known: ObjectInfo | None = field(default=None, repr=False, compare=False)
    looking: Callable[[], AbstractContextManager[Looking | None]] = field(default=nullcontext, repr=False, compare=False)

    def __iter__(self) -> Iterator[Step | FileOutcome]:
        """Every step, with its doubts resolved; deletions last."""
        with self.looking() as looking:
            walk = Walk(self, looking)
            for step in walk.steps():
                yield step if isinstance(step, FileOutcome) else walk.resolved(step)
            yield from walk.extra()

    def summary(self) -> dict[str, int]:
        """How many of each action, and the bytes to be moved: ``{"copy": 3, "skip": 1, ..., "bytes": 1234}``."""
        counts = {"copy": 0, "skip": 0, "make folder": 0, "delete": 0, "failed": 0, "bytes": 0}
        for step in self:
            counts["failed" if isinstance(step, FileOutcome) else step.action] += 1
            counts["bytes"] += 0 if isinstance(step, FileOutcome) else step.bytes
        return counts

    def __repr__(self) -> str:
        source, target = self.source.url(self.source_key), self.target.url(self.target_key)
        return f"<plan to {self.operation} {redact_places(source)} to {redact_places(target)}>"


@dataclass(frozen=True, slots=True)
class Looking:
    """What a walk compares with.

    Attributes:
        existing: Lists the target tree, by name below `Plan.target_key`; None takes nothing for there.
        comparison: Tells what is there already.
    """

    existing: Callable[[], Index | None]
    comparison: Comparison


class Walk:
    """One pass over a plan.

    Args:
        plan: That one.
        looking: None copies without looking at the target.
    """

    def __init__(self, plan: Plan, looking: Looking | None = None) -> None:
        self._plan, self._looking = plan, looking
        self._comparison = looking.comparison if looking is not None else None
        self._existing: Index | None = None
        self._failures: list[FileOutcome] = []
        self._begin, self._end = (
            f"{real_url(*one)}/" for one in ((plan.source, plan.source_key), (plan.target, plan.target_key))
        )
        self._may_overlap = self._begin.startswith(self._end)
        self._skipped_links: set[str] = set()
        self._linked: dict[str, bool] = {}
        self.complete = True
        """All of the source was listed; otherwise nothing is taken for missing there."""

    def steps(self) -> Iterator[Step | FileOutcome]:
        """The files one by one; those that can never arrive come as failed outcomes.

        Raises:
            ObjectNotFoundError: There is nothing at the source. Raised by the first step.
            IsAFolderError: A folder, and not *recursive*.
        """
        plan = self._plan
        entries, info = self._look()
        if not info.is_folder:
            yield self._single(info)
            return
        if not plan.recursive:
            raise IsAFolderError("is a folder", url=plan.source.url(plan.source_key), hint="recursive=True takes its contents.")
        self._refuse_copy_into_itself()
        self._existing = self._looking.existing() if self._looking is not None else None
        yield from self._tree(entries if entries is not None else self._entries())

    def extra(self) -> Iterator[Step]:
        """What the target has and the source has not; nothing unless the plan is to delete, and saw all of the source."""
        plan = self._plan
        if not plan.delete or self._existing is None or not self.complete:
            return
        wanted, begin = Matcher(plan.include, plan.exclude), len(plan.target_key) + 1 if plan.target_key else 0
        for _, info in self._existing.rest():
            name = info.key[begin:]
            if wanted(name) and not self._is_kept(info.key, name):
                yield Step(info, info.key, "delete", reason="not at the source")

    def _is_kept(self, key: str, name: str) -> bool:
        """What the target has and the source has not, but nobody meant: deleted, it would be missing elsewhere."""
        if self._may_overlap and self._is_source(key):
            return True
        folders = [name[:end] for end, one in enumerate(name) if one == "/"]
        if not self._skipped_links.isdisjoint(folders):
            return True
        return not self._plan.target.capabilities.flat and any(map(self._is_link, folders))

    def _is_link(self, folder: str) -> bool:
        """Whether a folder of the target is a link to another place, or may be one. They come in order, so few are remembered."""
        if folder not in self._linked:
            if len(self._linked) > _LINKS_KNOWN:
                self._linked.clear()
            plan = self._plan
            try:
                self._linked[folder] = plan.target.info(f"{plan.target_key}/{folder}" if plan.target_key else folder).link
            except PersistenceError:
                return True
        return self._linked[folder]

    def resolved(self, step: Step) -> Step:
        """A step that is not in doubt: it may take reading to see that a file is there already."""
        if not step.doubtful or step.there is None or self._comparison is None:
            return step
        verdict, reason = self._comparison.closely(step.info, step.there)
        if verdict == "same":
            return Step(step.info, step.target_key, "skip", reason=reason, there=step.there)
        return Step(step.info, step.target_key, method=step.method, there=step.there)

    # --- the source ---

    def _look(self) -> tuple[Iterator[ObjectInfo] | None, ObjectInfo]:
        """On a flat store an object and a folder may share a name; *recursive* says which is meant.

        There, the listing that tells is handed over, already begun.
        """
        plan = self._plan
        if plan.known is not None:
            return None, plan.known
        if not (plan.recursive and plan.source.capabilities.flat):
            return None, plan.source.info(plan.source_key)
        entries = self._entries()
        try:
            first = next(entries, None)
        except (ObjectNotFoundError, NotAFolderError):
            return None, plan.source.info(plan.source_key)
        return _again(first, entries), ObjectInfo(key=plan.source_key, kind="folder")

    def _entries(self) -> Iterator[ObjectInfo]:
        plan = self._plan
        return plan.source.find(
            plan.source_key, on_error=self._missed, links="follow" if plan.links == "follow" else "list", folders=True
        )

    def _missed(self, key: str, error: PersistenceError) -> None:
        self.complete = False
        self._failures.append(self._failed(key, error))

    def _tree(self, entries: Iterator[ObjectInfo]) -> Iterator[Step | FileOutcome]:
        plan = self._plan
        names, wanted = TreeNames(plan.target), Matcher(plan.include, plan.exclude)
        begin = len(plan.source_key) + 1 if plan.source_key else 0
        empty = True
        try:
            for info in entries:
                empty = False
                below = info.key[begin:]
                if wanted.folder(below) if info.is_folder and not info.link else wanted(below):
                    yield self._step(info, below, names)
                yield from self._told()
        except PersistenceError:
            self.complete = False
            raise
        yield from self._told()
        if empty and self.complete and plan.target_key:
            yield self._folder(ObjectInfo(key=plan.source_key, kind="folder"), plan.target_key)

    def _folder(self, info: ObjectInfo, key: str) -> Step:
        """A folder with nothing in it is kept where there are such things."""
        return Step(info, key, *(("make folder",) if self._plan.target.capabilities.folders else ("skip", "", _NO_FOLDERS)))

    def _told(self) -> Iterator[FileOutcome]:
        yield from self._failures
        self._failures.clear()

    # --- one step ---

    def _step(self, info: ObjectInfo, below: str, names: TreeNames) -> Step | FileOutcome:
        plan = self._plan
        key = f"{plan.target_key}/{below}" if plan.target_key else below
        if info.is_folder and info.link and plan.links == "follow":
            return Step(info, key, "skip", reason="is a symbolic link to a folder that contains it")
        if info.link and plan.links == "skip":
            if self._existing is not None:
                self._existing.take(folded(plan.target, below))  # it is at the source, whatever stands for it at the target
                self._skipped_links.add(below)
            return Step(info, key, "skip", reason="is a symbolic link, links='skip'")
        try:
            names.claim(below)
            if info.link and plan.links == "error":
                raise InvalidNameError("is a symbolic link, links='error'", url=plan.source.url(info.key))
            if self._may_overlap and self._is_source(key):
                raise InvalidNameError(f"{plan.target.url(key)} is part of the source, and would be overwritten")
        except PersistenceError as exc:
            return self._failed(info.key, exc, below)
        if info.is_folder:
            return self._folder(info, key)
        return self._checked(info, key, self._existing.take(folded(plan.target, below)) if self._existing is not None else None)

    def _single(self, info: ObjectInfo) -> Step:
        """One file; only a large one is worth a request to see whether it is there."""
        key, there = self._single_target(), None
        if self._comparison is not None and (info.size or 0) > LOOKED_FOR:
            with contextlib.suppress(PersistenceError):
                there = self._plan.target.info(key)
        return self._checked(info, key, there)

    def _checked(self, info: ObjectInfo, key: str, there: ObjectInfo | None) -> Step:
        """Skip what is there already."""
        method = method_of(self._plan.source, self._plan.target, info)
        if there is None or self._comparison is None:
            return Step(info, key, method=method)
        verdict, reason = self._comparison.at_once(info, there)
        if verdict == "same":
            return Step(info, key, "skip", reason=reason, there=there)
        return Step(info, key, method=method, there=there, doubtful=verdict == "unknown")

    def _failed(self, key: str, error: PersistenceError, below: str = "") -> FileOutcome:
        plan = self._plan
        target = f"{plan.target_key}/{below}" if plan.target_key and below else below or plan.target_key
        return FileOutcome(key=key, source=plan.source.url(key), target=plan.target.url(target), status="failed", error=error)

    # --- refusals ---

    def _single_target(self) -> str:
        plan = self._plan
        name = plan.source_key.rpartition("/")[2]
        if plan.into_folder or not plan.target_key:
            return f"{plan.target_key}/{name}" if plan.target_key else name
        return plan.target_key

    def _refuse_copy_into_itself(self) -> None:
        plan = self._plan
        if self._end.startswith(self._begin) and self._end != self._begin:
            begin, end = plan.source.url(plan.source_key), plan.target.url(plan.target_key)
            raise InvalidNameError(
                f"{end} lies inside {begin}: the copy would contain itself",
                operation="copy",
                url=end,
                hint="Choose a target outside.",
            )

    def _is_source(self, key: str) -> bool:
        """Whether a target lies in the tree that is being copied, which may not have been read yet."""
        return f"{real_url(self._plan.target, key)}/".startswith(self._begin)


def method_of(source: Store, target: Store, info: ObjectInfo) -> Method:
    """How an object is moved; see `Step`."""
    if source is target and source.capabilities.copy:
        return "server-side"
    if info.size is not None and info.size > RANGED_FROM and target.capabilities.parts != "none":
        return "ranged"
    return "local" if source.capabilities.driver == target.capabilities.driver == "local" else "streamed"


def _again(first: ObjectInfo | None, rest: Iterator[ObjectInfo]) -> Iterator[ObjectInfo]:
    if first is not None:
        yield first
    yield from rest
