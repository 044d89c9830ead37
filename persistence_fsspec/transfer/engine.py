"""Runs a plan with a few threads; finishes what can be finished, and tells of the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.policy import Policy
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
    outcomes: list[FileOutcome] = []
    try:
        for outcome in in_threads(copy, _announced(plan, progress, outcomes), policy.concurrency, stop):
            outcomes.append(outcome)
            progress.finish(outcome.target, outcome.status)
    finally:
        progress.close()
    return TransferReport(
        operation=operation,
        source=plan.source.url(plan.source_key),
        target=plan.target.url(plan.target_key),
        files=tuple(outcomes),
        seconds=time.monotonic() - begun,
    )


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
        stop: Set when the caller gives up or anything raises, so that work in flight ends early.
    """
    pending: set[Future[_R]] = set()
    with ThreadPoolExecutor(workers, thread_name_prefix="persistence-fsspec") as pool:
        try:
            for item in items:
                pending.add(pool.submit(act, item))
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
