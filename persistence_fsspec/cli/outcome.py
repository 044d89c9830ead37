"""A transfer on the screen: drawn while it runs, told when it is over, or only planned."""

from __future__ import annotations

import itertools
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.exitcodes import exit_code
from persistence_fsspec.errors import TransferError
from persistence_fsspec.events import Event, on_event
from persistence_fsspec.location import is_url
from persistence_fsspec.redaction import redact
from persistence_fsspec.transfer.plan import Plan, Step
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.report import FileOutcome, TransferReport

Typed = tuple[str, str, Sequence[str], Sequence[str]]
"""Of a command: source, target, what is included, what is excluded."""

_WHY_NOT_COPIED: Final = (("symbolic link", "symbolic link", "symbolic links"), ("empty folder", "empty folder", "empty folders"))


class Begun:
    """Under which id a transfer has begun, for who interrupts it."""

    def __init__(self) -> None:
        self._id = ""

    def hear(self, event: Event) -> None:
        """Of a transfer that starts."""
        if event.name == "transfer_started":
            self._id = str(event.fields.get("id") or "")

    def interrupted(self) -> str:
        """What is true after Ctrl-C."""
        also = f", and so does: persist resume {self._id}" if self._id else ""
        return f"interrupted; nothing half-written stands under a final name. The same command goes on where it was{also}"


@contextmanager
def beginning() -> Iterator[Begun]:
    """Hear of the transfer that the block begins."""
    begun = Begun()
    end = on_event(begun.hear)
    try:
        yield begun
    finally:
        end()


def carry_out(run: Callable[..., Any], typed: Typed, *, doing: str, dry_run: bool, as_json: bool) -> None:
    """Run a transfer with progress on a terminal and tell what it did, or print what it would do.

    Args:
        run: A method of the adapter with its arguments; takes ``progress`` and ``dry_run``.
        typed: What the person typed.
        doing: For the progress.
        dry_run: Only plan.
        as_json: Draw nothing, and print the report, also that of one that failed in part.

    Raises:
        TransferError: Some files did not arrive.
        typer.Exit: Of a plan, some files could not arrive.
    """
    if dry_run:
        show_plan(run(dry_run=True), typed, as_json=as_json)
        return
    report = reported(lambda: run(progress=None if as_json else progress_bar(doing)), as_json=as_json)
    if not as_json:
        tell(report, typed)
    elif not report.files:
        _tell_why_nothing(typed)


def reported(run: Callable[[], TransferReport], *, as_json: bool) -> TransferReport:
    """Run it; as JSON, print its report, also that of one that failed in part."""
    try:
        report = run()
    except TransferError as exc:
        if as_json and exc.report is not None:
            output.as_json(exc.report.as_dict())
        raise
    if as_json:
        output.as_json(report.as_dict())
    return report


def progress_bar(doing: str = "copying") -> Progress | None:
    """A bar on a terminal, nothing elsewhere.

    Args:
        doing: What is being done, in one word.
    """
    if not sys.stderr.isatty():
        return None
    from persistence_fsspec.transfer.drawing import RichProgress  # noqa: PLC0415 - for who wants to see something

    return RichProgress(doing=doing)


# --- what it did ---


def tell(report: TransferReport, typed: Typed) -> None:
    """One line about what was done, or why nothing was; and one about what could not be kept."""
    target = typed[1]
    if not report.files:
        _tell_why_nothing(typed)
        return
    if not report.copied and report.source == report.target:
        output.tell("nothing to do: source and target are the same")
        return
    there, left_out = _skipped(report)
    where = output.printable(report.target if is_url(target) else target, sys.stderr)
    deleted = sum(1 for file in report.files if file.status == "deleted")
    if not report.copied and not deleted:
        output.tell(f"nothing to do: {', '.join([*([f'{output.files(there)} already there'] if there else []), *left_out])}")
        return
    verified = f", verified by {report.verification}" if report.verification else ""
    count, done = len(report.copied), "moved" if report.operation == "move" else "copied"
    moved = f"{done} {output.files(count)}, {output.size(report.bytes)} in {report.seconds:.1f} s"
    told = [f"{moved} to {where}{verified}"] if count else [f"copied nothing to {where}"]
    told += [f"{output.files(there)} already there"] if there else []
    told += [f"deleted {output.files(deleted)}"] if deleted else []
    output.tell(", ".join([*told, *left_out]))
    for reason in _not_kept(report):
        output.tell(reason)


def _skipped(report: TransferReport) -> tuple[int, list[str]]:
    """How many files were there already, and what was left out."""
    left_out: Counter[str] = Counter()
    there = 0
    for file in report.skipped:
        why = next((word for word, _, _ in _WHY_NOT_COPIED if word in file.reason), "")
        left_out[why] += 1
        there += not why
    words = [
        f"{left_out[word]:,} {one if left_out[word] == 1 else many} left out"
        for word, one, many in _WHY_NOT_COPIED
        if left_out[word]
    ]
    return there, words


def _not_kept(report: TransferReport) -> list[str]:
    """What of copied files could not be kept, each way once."""
    reasons = Counter(file.reason for file in report.copied if file.reason)
    return [f"{output.files(count)}: {reason}" for reason, count in reasons.most_common(3)]


def _tell_why_nothing(typed: Typed) -> None:
    source, _, include, exclude = typed
    where = output.printable(redact(source), sys.stderr)
    patterns = [*(f"--include {shlex.quote(one)}" for one in include), *(f"--exclude {shlex.quote(one)}" for one in exclude)]
    if patterns:
        output.tell(f"nothing was copied: no file in {where} is left by {' '.join(patterns)}")
    else:
        output.tell(f"nothing was copied: there are no files in {where}")


# --- what it would do ---


def show_plan(plan: Plan, typed: Typed, *, as_json: bool) -> None:
    """One line for each file, as it is found; then how many there are of each.

    Raises:
        typer.Exit: Some of them cannot arrive.
    """
    counts: Counter[str] = Counter()
    steps = iter(plan)
    first = next(steps, None)  # what cannot be planned at all is an error, and no list
    found = steps if first is None else itertools.chain([first], steps)
    counted = (_counted(step, counts) for step in found)
    if as_json:
        _print_plan(plan, counted, counts)
    else:
        for step in counted:
            output.write(output.printable(_line(plan, step)))
        _tell_plan(plan, counts, typed)
    if counts["failed"]:
        output.flush()
        raise typer.Exit(exit_code(TransferError("some files cannot arrive")))


def _counted(step: Step | FileOutcome, counts: Counter[str]) -> Step | FileOutcome:
    if isinstance(step, FileOutcome):
        counts["failed"] += 1
    else:
        counts[step.action] += 1
        counts["bytes"] += step.bytes
    return step


def _line(plan: Plan, step: Step | FileOutcome) -> str:
    """What is done, the size, the name below the tree, why."""
    if isinstance(step, FileOutcome):
        why = redact(step.error.message) if step.error is not None else "unknown"
        return f"{'fail':<18}  {'':>9}  {redact(step.source)}   ({why})"
    what = f"{step.action} {step.method}" if step.method else step.action
    sized = output.size(step.info.size) if step.info.size is not None and not step.info.is_folder else ""
    why = f"   ({step.reason})" if step.reason else ""
    return f"{what:<18}  {sized:>9}  {_name(plan, step)}{why}"


def _name(plan: Plan, step: Step) -> str:
    """Below the tree that it belongs to; of a single file, its own."""
    key, root = (step.target_key, plan.target_key) if step.action == "delete" else (step.info.key, plan.source_key)
    below = key[len(root) :].lstrip("/") if root and key.startswith(root) else key
    slash = "/" if step.info.is_folder else ""
    return redact(below or key.rpartition("/")[2]) + slash


def _tell_plan(plan: Plan, counts: Counter[str], typed: Typed) -> None:
    if not sum(counts.values()):
        output.tell(f"nothing would be done: there are no files in {output.printable(redact(typed[0]), sys.stderr)}")
        return
    verb = "move" if plan.operation == "move" else "copy"
    parts = [f"{verb} {output.files(counts['copy'])} ({output.size(counts['bytes'])})"]
    parts += [f"skip {counts['skip']:,}"] if counts["skip"] else []
    folders = counts["make folder"]
    parts += [f"make {folders:,} empty folder{'' if folders == 1 else 's'}"] if folders else []
    parts += [f"delete {output.files(counts['delete'])}"] if counts["delete"] else []
    parts += [f"fail {output.files(counts['failed'])}"] if counts["failed"] else []
    output.tell(f"would {', '.join(parts)}; nothing was changed (--dry-run)")
    if plan.delete and plan.max_delete is not None and counts["delete"] > plan.max_delete:
        output.tell(f"without --dry-run nothing would be deleted: that is more than --max-delete {plan.max_delete}")


def _print_plan(plan: Plan, steps: Iterable[Step | FileOutcome], counts: Counter[str]) -> None:
    head = {
        "operation": plan.operation,
        "source": redact(plan.source.url(plan.source_key)),
        "target": redact(plan.target.url(plan.target_key)),
        "dry_run": True,
    }
    listing = output.JsonList(head, "steps")
    complete = False
    try:
        for step in steps:
            listing.add(_step_as_dict(step))
        complete = True
    finally:
        listing.close(complete=complete, summary=_summary(counts))


def _step_as_dict(step: Step | FileOutcome) -> dict[str, Any]:
    if isinstance(step, FileOutcome):
        error = redact(str(step.error)) if step.error is not None else None
        return {"action": "fail", "source": step.source, "target": step.target, "reason": error}
    return step.as_dict()


def _summary(counts: Counter[str]) -> dict[str, int]:
    return {name.replace(" ", "_"): counts[name] for name in ("copy", "skip", "make folder", "delete", "failed", "bytes")}
