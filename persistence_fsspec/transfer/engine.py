"""Runs a plan; finishes what can be finished, and tells of the rest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from persistence_fsspec.attempt import require_going_on, stop_event
from persistence_fsspec.errors import ConflictError, PersistenceError
from persistence_fsspec.events import emit
from persistence_fsspec.policy import Policy
from persistence_fsspec.transfer.arrived import Stopped
from persistence_fsspec.transfer.breaker import Breaker
from persistence_fsspec.transfer.copy_object import CopyObject
from persistence_fsspec.transfer.journal import Journal
from persistence_fsspec.transfer.plan import Looking, Plan, Step, Walk
from persistence_fsspec.transfer.pool import Pool, Tuner, in_threads
from persistence_fsspec.transfer.preserve import Attributes
from persistence_fsspec.transfer.progress import Listener
from persistence_fsspec.transfer.remove import delete_emptied, delete_one
from persistence_fsspec.transfer.report import FileOutcome, Outcomes, TransferReport

_FIRST: Final = 8
_PRIVATE: Final = 8
"""Connections of one's own, as FTP has them: servers count them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a plan is carried out.

    Attributes:
        policy: How carefully, and how many at once.
        overwrite: Replace what is there.
        preserve: Of ``mode`` and ``mtime``, what is to be kept.
        max_delete: If there is more to delete, nothing is; None for any number.
    """

    policy: Policy
    overwrite: bool = True
    preserve: Collection[str] = ()
    max_delete: int | None = None


def run(
    plan: Plan,
    settings: Settings,
    progress: Listener,
    *,
    looking: Looking | None = None,
    journal: Journal | None = None,
    resumable: bool = True,
) -> TransferReport:
    """Carry a plan out.

    Args:
        plan: What to move.
        settings: How.
        progress: Told of files and bytes.
        looking: What to compare with; None copies everything.
        journal: Remembers what is done.
        resumable: Without a journal: whether none is needed, and not that none could be kept.

    Returns:
        One outcome for each file, failed ones included.

    Raises:
        ObjectNotFoundError: There is nothing at the source.
        IsAFolderError: A folder, and the plan is not recursive.
    """
    report = _Run(plan, settings, progress, looking, journal)()
    return report if resumable and (journal is None or not journal.broken) else replace(report, resumable=False)


class _Run:
    def __init__(
        self, plan: Plan, settings: Settings, progress: Listener, looking: Looking | None, journal: Journal | None
    ) -> None:
        self._plan, self._settings, self._progress, self._journal = plan, settings, progress, journal
        self._walk = Walk(plan, looking)
        self._stop = stop_event() or threading.Event()  # whoever began this may end it, from another thread
        self._breaker = Breaker()
        self._outcomes = Outcomes()
        self._folders: set[str] = set()
        self._tuner = _tuner(plan, settings.policy)
        self._pool: Pool[Step, FileOutcome | None] = Pool(self._act, self._tuner, self._stop)
        self._copy = CopyObject(
            plan=plan,
            policy=settings.policy,
            overwrite=settings.overwrite,
            attributes=Attributes(plan.source, plan.target, settings.preserve),
            journal=journal,
            progress=progress,
            together=self._together,
            stop=self._stop,
        )

    def __call__(self) -> TransferReport:
        plan, begun = self._plan, time.monotonic()
        source, target = plan.source.url(plan.source_key), plan.target.url(plan.target_key)
        where: dict[str, Any] = {"operation": plan.operation, "source": source, "target": target}
        id_ = self._journal.id if self._journal is not None else ""
        emit("transfer_started", f"{plan.operation} {source} to {target}", id=id_, **where)
        for outcome in self._pool.run(self._steps()):
            self._note(outcome)
        self._delete_extra()
        report = TransferReport(
            **where,
            files=self._outcomes,
            seconds=time.monotonic() - begun,
            id=id_,
        )
        emit("transfer_finished", repr(report), bytes=report.bytes, **where)
        return report

    # --- in the caller's thread ---

    def _steps(self) -> Iterator[Step]:
        """Count each step as it is found; what there is nothing to do for goes straight into the outcomes."""
        found = False
        try:
            for step in self._walk.steps():
                found = True
                require_going_on()
                if isinstance(step, FileOutcome):
                    self._note_unmoved(step)
                elif step.action == "skip":
                    self._note_unmoved(self._skipped(step))
                else:
                    if step.action == "copy":
                        self._progress.expect(1, step.bytes)
                    yield step
            self._progress.listed()
        except PersistenceError as exc:
            if not found:
                raise
            # The listing broke off in the middle: what was found goes on, and the rest is known to be missing.
            source, target = self._plan.source.url(self._plan.source_key), self._plan.target.url(self._plan.target_key)
            self._note_unmoved(FileOutcome(source=source, target=target, status="failed", error=exc))

    def _note_unmoved(self, outcome: FileOutcome) -> None:
        """One that nobody was told to expect."""
        self._progress.expect(1, 0)
        self._note(outcome)

    def _note(self, outcome: FileOutcome | None) -> None:
        if outcome is None:
            return
        self._outcomes.add(outcome)
        self._progress.finish(outcome.target, outcome.status)
        if outcome.error is not None and outcome.status == "failed":
            operation, told = self._plan.operation, {"source": outcome.source, "target": outcome.target}
            text = f"{operation} {outcome.source}: {outcome.error.message}"
            error = type(outcome.error).__name__
            emit("file_failed", text, level=logging.WARNING, operation=operation, error=error, **told)

    def _urls(self, step: Step) -> tuple[str, str]:
        return self._plan.source.url(step.info.key), self._plan.target.url(step.target_key)

    def _skipped(self, step: Step) -> FileOutcome:
        source, target = self._urls(step)
        return FileOutcome(
            key=step.info.key, info=step.info, source=source, target=target, status="skipped", reason=step.reason, attempts=0
        )

    def _untried(self, step: Step, error: PersistenceError) -> FileOutcome:
        source, target = self._urls(step)
        return FileOutcome(key=step.info.key, source=source, target=target, status="failed", attempts=0, error=error)

    # --- in the workers ---

    def _act(self, step: Step) -> FileOutcome | None:
        source, target = self._urls(step)
        refused = self._breaker.refusal(target)
        if refused is not None:
            return self._untried(step, refused)
        if step.action == "make folder":
            return self._make_folder(step)
        resolved = self._walk.resolved(step)
        if resolved.action == "skip":
            self._progress.expect(0, -step.bytes)
            return self._skipped(resolved)
        try:
            outcome = self._copy(resolved, source, target)
        except Stopped:
            return None
        if outcome.status == "failed":
            if self._stop.is_set():  # it is only not done yet
                return None
            self._progress.expect(0, -step.bytes)  # they will not come, and nobody is to wait for them
        self._breaker.note(outcome.error)
        self._tuner.note(0 if resolved.method == "ranged" else outcome.bytes, files=1)
        return outcome

    def _make_folder(self, step: Step) -> FileOutcome | None:
        """A folder that was kept is no file, and is not told."""
        self._folders.add(step.target_key)
        try:
            self._plan.target.make_folder(step.target_key)
        except PersistenceError as exc:
            return self._untried(step, exc)
        return None

    def _together(self, act: Callable[[int], object], numbers: Iterable[int]) -> None:
        part_size = self._settings.policy.part_size

        def counted(number: int) -> None:
            act(number)
            self._tuner.note(part_size)

        self._pool.together(counted, numbers)

    # --- at the end ---

    def _delete_extra(self) -> None:
        """What is not at the source, and only after all that is there has arrived."""
        plan, most = self._plan, self._settings.max_delete
        if not plan.delete or self._outcomes.count("failed"):
            return
        if most is not None:
            count = sum(1 for _ in self._walk.extra())
            if count > most:
                target = plan.target.url(plan.target_key)
                error = ConflictError(
                    f"{count} file{' is' if count == 1 else 's are'} not at the source, and max_delete is {most}: nothing was deleted",
                    operation=plan.operation,
                    url=target,
                    hint="dry_run=True shows them; a larger max_delete, or None, deletes them.",
                )
                self._note_unmoved(FileOutcome(source=target, target=target, status="failed", error=error))
                return
        stop = threading.Event()
        for outcome in in_threads(lambda step: delete_one(plan.target, step.info), self._walk.extra(), self._tuner.allowed, stop):
            self._note_unmoved(outcome)
        gone = (outcome.key for outcome in self._outcomes.of("deleted"))
        delete_emptied(plan.target, plan.target_key, gone, keep=self._folders)


def _tuner(plan: Plan, policy: Policy) -> Tuner:
    ends = (plan.source.capabilities, plan.target.capabilities)
    most = policy.concurrency if all(end.threads == "shared" for end in ends) else min(policy.concurrency, _PRIVATE)
    # Between two places on this machine the processors are what is short, not the time for answers.
    return Tuner(2 if all(end.at_hand for end in ends) else _FIRST, most)
