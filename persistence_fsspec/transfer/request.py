"""From what a caller asks for to a report: the journal is opened, the target looked at, the plan made and run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final

from persistence_fsspec.errors import (
    ConflictError,
    InvalidOptionError,
    NotAFolderError,
    ObjectNotFoundError,
    PersistenceError,
)
from persistence_fsspec.events import emit
from persistence_fsspec.policy import Policy
from persistence_fsspec.store import Leftover, ObjectInfo, Store
from persistence_fsspec.stores.partial import as_leftover, noticing, owned_by
from persistence_fsspec.transfer.breaker import OF_THE_STORE
from persistence_fsspec.transfer.compare import Compare, Comparison
from persistence_fsspec.transfer.engine import Settings, run
from persistence_fsspec.transfer.index import Index
from persistence_fsspec.transfer.journal import Identity, Journal, Unfinished
from persistence_fsspec.transfer.names import folded
from persistence_fsspec.transfer.patterns import Patterns
from persistence_fsspec.transfer.plan import LOOKED_FOR, Looking, Plan, TreeLinks
from persistence_fsspec.transfer.progress import Listener
from persistence_fsspec.transfer.report import TransferReport

_FILES: Final = 100
_BYTES: Final = 64 * 1024 * 1024

_CHOICES: Final = {
    "compare": ("never", "digest", "mtime", "auto"),
    "links": ("follow", "skip", "error"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One transfer, as it was asked for.

    Attributes:
        operation: ``put``, ``get``, ``copy``, ``move`` or ``sync``.
        source: Where from.
        source_key: A file or a folder.
        target: Where to.
        target_key: See `Plan.target_key`.
        into_folder: See `Plan`.
        recursive: A folder may be given.
        overwrite: Replace what is there.
        include: See `Matcher`.
        exclude: See `Matcher`.
        links: See `TreeLinks`.
        preserve: See `Attributes`.
        compare: See `Compare`.
        delete: Delete what only the target has.
        max_delete: See `Settings.max_delete`.
        exclusive: Another process that is doing the same is an error. Otherwise both do it, and this one without a journal.

    Raises:
        InvalidOptionError: A value that does not exist, or options that contradict each other.
    """

    operation: str
    source: Store
    source_key: str
    target: Store
    target_key: str
    into_folder: bool = False
    recursive: bool = False
    overwrite: bool = True
    include: Patterns = None
    exclude: Patterns = None
    links: TreeLinks = "follow"
    preserve: Collection[str] = ()
    compare: Compare = "digest"
    delete: bool = False
    max_delete: int | None = None
    exclusive: bool = True

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise InvalidOptionError(f"{name}={value!r} is unknown; choose one of {', '.join(choices)}")
        if self.operation == "move" and self.compare in {"mtime", "auto"}:
            raise InvalidOptionError(
                f"compare={self.compare!r} is a guess, and move deletes by it", hint="compare='digest' proves."
            )

    @property
    def meaning(self) -> dict[str, Any]:
        """What else names this transfer in its journal, and carries it out again."""
        patterns = {name: _listed(getattr(self, name)) for name in ("include", "exclude")}
        names = ("recursive", "overwrite", "links", "compare", "delete", "max_delete")
        said = {name: getattr(self, name) for name in names}
        # Of a tree it says nothing; and a folder that is there the second time is not another transfer.
        into_folder = self.into_folder and not self.recursive
        return {**said, **patterns, "into_folder": into_folder, "preserve": sorted(self.preserve)}

    @property
    def identity(self) -> Identity:
        """Names it in the journals."""
        source, target = self.source.url(self.source_key), self.target.url(self.target_key)
        return Identity(operation=self.operation, source=source, target=target, meaning=self.meaning)

    def plan(self, known: ObjectInfo | None = None) -> Plan:
        """What would be done; looks when it is iterated.

        Args:
            known: What the source is, for who has just looked.
        """
        return Plan(
            known=known,
            operation=self.operation,
            source=self.source,
            source_key=self.source_key,
            target=self.target,
            target_key=self.target_key,
            into_folder=self.into_folder,
            recursive=self.recursive,
            include=self.include,
            exclude=self.exclude,
            links=self.links,
            delete=self.delete,
            max_delete=self.max_delete,
            looking=self._dry,
        )

    def carry_out(self, policy: Policy, progress: Listener) -> TransferReport:
        """Do it.

        Raises:
            ConflictError: Another process on this machine is doing it.
            ObjectNotFoundError: There is nothing at the source.
            IsAFolderError: A folder, and the request is not recursive.
        """
        settings = Settings(
            policy=policy, overwrite=self.overwrite, preserve=self.preserve, max_delete=self.max_delete if self.delete else None
        )
        with contextlib.ExitStack() as stack:
            stack.callback(progress.close)
            known = None if self.recursive else self.source.info(self.source_key)
            journal = self._journal(known)
            resumable = journal is not None or not self._wants_journal(known)
            if journal is not None:
                stack.callback(journal.close)
                journal.set_state("running")
                stack.enter_context(owned_by(self.identity.owner))
            report = run(
                self.plan(known), settings, progress, looking=self._looking(journal), journal=journal, resumable=resumable
            )
            if journal is not None:
                self._conclude(journal, report)
        return report

    # --- the journal ---

    def _journal(self, known: ObjectInfo | None) -> Journal | None:
        if not self._wants_journal(known):
            return None
        try:
            return Journal.open(self.identity)
        except ConflictError:
            if self.exclusive:
                raise
            return None

    def _wants_journal(self, known: ObjectInfo | None) -> bool:
        """A tree has one from the beginning, a single file where its parts are worth remembering."""
        return self.recursive or (known is not None and (known.size or 0) > LOOKED_FOR)

    @contextlib.contextmanager
    def _dry(self) -> Iterator[Looking | None]:
        """A dry run reads the journal, where nobody else is at work with it."""
        try:
            journal = self._journal(None if self.recursive else self.source.info(self.source_key))
        except ConflictError:
            journal = None
        try:
            yield self._looking(journal)
        finally:
            if journal is not None:
                journal.close()

    def _conclude(self, journal: Journal, report: TransferReport) -> None:
        """What is done and small needs no journal: looking once more is as quick."""
        if report.failed:
            journal.set_state("failed")
            return
        for begun in journal.uploads():  # of files that the source has no more
            self._give_up(begun)
        journal.uploads_over()
        if len(report.files) <= _FILES and report.bytes <= _BYTES:
            journal.discard()
        else:
            journal.set_state("complete")

    def _give_up(self, begun: Unfinished) -> None:
        folder, slash, _ = begun.target_key.rpartition("/")
        partial = as_leftover(f"{folder}{slash}{begun.token}")
        with contextlib.suppress(PersistenceError):
            if partial is not None:  # a file, which only who knows its size could take up
                self.target.discard(partial)
                return
            self.target.upload(begun.target_key, size=begun.part_size, part_size=begun.part_size, token=begun.token).abort()

    # --- the target ---

    def _looking(self, journal: Journal | None) -> Looking | None:
        if self.compare == "never" and not self.delete:
            return None
        comparison = Comparison(self.source, self.target, self.compare, journal, moving=self.operation == "move")
        return Looking(lambda: self._existing(journal), comparison)

    def _existing(self, journal: Journal | None) -> Index | None:
        """The target tree, as it is listed now; None where it may not be listed, and need not be."""
        leftovers: list[Leftover] = []
        found, begin = Index(), len(self.target_key) + 1 if self.target_key else 0
        try:
            with noticing(leftovers.append):
                for info in self.target.find(self.target_key):
                    found.add(folded(self.target, info.key[begin:]), info)
        except (ObjectNotFoundError, NotAFolderError):
            pass
        except PersistenceError as exc:
            if self.delete or isinstance(exc, OF_THE_STORE):
                raise
            emit("target_not_listed", f"{self.target.url(self.target_key)} cannot be listed, so all is copied: {exc.message}")
            return None
        if journal is not None:
            self._clean_up(leftovers, journal)
        return found

    def _clean_up(self, leftovers: list[Leftover], journal: Journal) -> None:
        """What a run of this same transfer left that did not live to its end; nobody else works on it, the journal is ours.

        A journal that begins says nothing of the kind: in two containers of one name two runs may have one each.
        """
        if not journal.was_left:
            return
        kept = {upload.token.partition(" ")[0] for upload in journal.uploads()}  # what the store calls it comes first
        for leftover in leftovers:
            ours = leftover.owner == self.identity.owner and leftover.kind in {"partial", "part"}
            if ours and not any(token and token in leftover.key for token in kept):
                with contextlib.suppress(PersistenceError):
                    self.target.discard(leftover)


def _listed(patterns: Patterns) -> list[str] | None:
    return [patterns] if isinstance(patterns, str) else None if patterns is None else list(patterns)
