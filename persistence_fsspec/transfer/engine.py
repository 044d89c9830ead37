"""Runs a plan with a few threads; finishes what can be finished, and tells of the rest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from persistence_fsspec.attempt import stopped_by
from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.events import emit
from persistence_fsspec.policy import Policy
from persistence_fsspec.transfer.breaker import Breaker
from persistence_fsspec.transfer.copy_object import CopyObject
from persistence_fsspec.transfer.plan import Plan, Step
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

_T = TypeVar("_T")
_R = TypeVar("_R")


def run(plan: Plan, *, operation: str, policy: Policy, overwrite: bool, progress: Progress) -> TransferReport:
    """Carry a plan out.

    Args:
        plan: What to move.
        operation: For the report.
        policy: How carefully, and how many at once.
        overwrite: Replace what is there.
        progress: Told of files and bytes.

    Returns:
        One outcome for each file, failed ones included.

    Raises:
        ObjectNotFoundError: There is nothing at the source.
        IsAFolderError: A folder, and the plan is not recursive.
    """
    begun = time.monotonic()
    stop = threading.Event()
    copy = CopyObject(source=plan.source, target=plan.target, policy=policy, overwrite=overwrite, progress=progress, stop=stop)
    breaker = Breaker()

    def act(step: Step) -> FileOutcome:
        url = plan.target.url(step.target_key)
        refused = breaker.refusal(url)
        if refused is not None:
            key = step.info.key
            return FileOutcome(key=key, source=plan.source.url(key), target=url, status="failed", attempts=0, error=refused)
        outcome = copy(step)
        breaker.note(outcome.error)
        return outcome

    outcomes: list[FileOutcome] = []
    source, target = plan.source.url(plan.source_key), plan.target.url(plan.target_key)
    emit("transfer_started", f"{operation} {source} to {target}", operation=operation, source=source, target=target)
    try:
        for outcome in in_threads(act, _announced(plan, progress, outcomes), policy.workers, stop):
            outcomes.append(outcome)
            progress.finish(outcome.target, outcome.status)
            if outcome.error is not None:
                _tell_of_failure(operation, outcome, outcome.error)
    finally:
        progress.close()
    files, seconds = tuple(outcomes), time.monotonic() - begun
    report = TransferReport(operation=operation, source=source, target=target, files=files, seconds=seconds)
    emit("transfer_finished", repr(report), operation=operation, source=source, target=target, bytes=report.bytes)
    return report


def _tell_of_failure(operation: str, outcome: FileOutcome, error: PersistenceError) -> None:
    told = {"operation": operation, "source": outcome.source, "target": outcome.target, "error": type(error).__name__}
    emit("file_failed", f"{operation} {outcome.source}: {error.message}", level=logging.WARNING, **told)


def _announced(plan: Plan, progress: Progress, failed: list[FileOutcome]) -> Iterator[Step]:
    """Count each step as it is found; what cannot even be begun goes straight into the outcomes."""
    found = 0
    try:
        for step in plan.steps():
            found += 1
            if isinstance(step, FileOutcome):
                failed.append(step)
                continue
            progress.expect(1, step.info.size or 0)
            yield step
    except PersistenceError as exc:
        if not found:
            raise
        # The listing broke off in the middle: what was found goes on, and the rest is known to be missing.
        source, target = plan.source.url(plan.source_key), plan.target.url(plan.target_key)
        failed.append(FileOutcome(source=source, target=target, status="failed", error=exc))


def in_threads(act: Callable[[_T], _R], items: Iterable[_T], workers: int, stop: threading.Event) -> Iterator[_R]:
    """Results in the order they come; few items are taken ahead, so that endless listings need little memory.

    Args:
        act: Called in the workers.
        items: Taken in the caller's thread, as workers become free.
        workers: At once.
        stop: Set when the caller gives up or anything raises: what is in flight is ended, and nothing is repeated.
    """

    def acting(item: _T) -> _R:
        with stopped_by(stop):
            return act(item)

    pending: set[Future[_R]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="persistence-fsspec") as pool:
        try:
            for item in items:
                pending.add(pool.submit(acting, item))
                if len(pending) >= 2 * workers:
                    done, pending = wait(pending, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in done)
            while pending:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BaseException:
            stop.set()
            for future in pending:
                future.cancel()
            raise
