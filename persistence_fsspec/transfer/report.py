"""What a transfer did, and how that is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Final, TextIO, cast

from persistence_fsspec.errors import TransferError
from persistence_fsspec.redaction import redact_places
from persistence_fsspec.transfer.outcomes import FileOutcome, Outcomes, Status

__all__ = ["FileOutcome", "Outcomes", "Status", "TransferReport"]

_NAMED: Final = 5
"""Failed files in the message of an error."""

_SHOWN: Final = 50
"""Files in a table."""

_STATUSES: Final[tuple[Status, ...]] = ("failed", "copied", "deleted", "skipped")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TransferReport:
    """What a transfer did, file by file. Needs little memory however many there are.

    Attributes:
        operation: ``put``, ``get``, ``copy``, ``move``, ``sync`` or ``delete``.
        source: URL, without credentials.
        target: URL, without credentials.
        files: One outcome each, in the order they ended.
        seconds: From the beginning to the end.
        id: Names the transfer for ``resume``; empty when it has no journal.
        resumable: Its journal could be kept to the end. Otherwise another run of it compares, but knows nothing.
    """

    operation: str
    source: str
    target: str
    files: Sequence[FileOutcome] = field(default=(), hash=False)
    seconds: float = 0.0
    id: str = ""
    resumable: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", redact_places(self.source))
        object.__setattr__(self, "target", redact_places(self.target))
        if not isinstance(self.files, Outcomes):
            object.__setattr__(self, "files", Outcomes(self.files))

    @property
    def copied(self) -> Sequence[FileOutcome]:
        """Those that arrived."""
        return self._outcomes.of("copied")

    @property
    def skipped(self) -> Sequence[FileOutcome]:
        """Those there was nothing to do for."""
        return self._outcomes.of("skipped")

    @property
    def failed(self) -> Sequence[FileOutcome]:
        """Those that did not arrive."""
        return self._outcomes.of("failed")

    @property
    def deleted(self) -> Sequence[FileOutcome]:
        """Those that were deleted because the source has them not."""
        return self._outcomes.of("deleted")

    @property
    def bytes(self) -> int:
        """Moved in all."""
        return self._outcomes.bytes

    @property
    def verification(self) -> str:
        """What the copied files were verified by, each way once: ``"md5"``, ``"md5, size"``."""
        return ", ".join(sorted(self._outcomes.verifications))

    def raise_for_failures(self) -> None:
        """Raise if any file failed.

        Raises:
            TransferError: With this report; the message names the first of them, each with its reason.
        """
        failed = self.failed
        if not failed:
            return
        named = failed[:_NAMED]
        told = "; ".join(f"{_where(one)}: {one.why or 'unknown'}" for one in named)
        more = f"; and {len(failed) - _NAMED:,} more" if len(failed) > _NAMED else ""
        count = f"{len(failed):,} of {len(self.files):,} files failed"
        raise TransferError(f"{count}: {told}{more}", report=self, operation=self.operation, url=self.target) from named[0].error

    # --- as data ---

    def as_dict(self) -> dict[str, Any]:
        """For JSON, all of it; `schema` changes when a field changes its meaning."""
        return {**self._head(), "files": [file.as_dict() for file in self.files]}

    def to_json(self, *, indent: int | None = None) -> str:
        """As JSON text; `write_json` needs no memory for it."""
        return json.dumps(self.as_dict(), indent=indent)

    def write_json(self, file: TextIO | str | os.PathLike[str]) -> None:
        """Write what `as_dict` returns, with one file on each line.

        Args:
            file: Open for text, or its path.
        """
        if isinstance(file, str | os.PathLike):
            with open(file, "w", encoding="utf-8") as opened:
                self._write(opened)
        else:
            self._write(file)

    def _write(self, file: TextIO) -> None:
        file.write(json.dumps(self._head())[:-1] + ', "files": [')
        between = "\n"
        for outcome in self.files:
            file.write(between + json.dumps(outcome.as_dict()))
            between = ",\n"
        file.write("\n]}\n")

    def _head(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "operation": self.operation,
            "source": self.source,
            "target": self.target,
            "copied": len(self.copied),
            "skipped": len(self.skipped),
            "failed": len(self.failed),
            "deleted": len(self.deleted),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 6),
            "verification": self.verification,
            "id": self.id,
            "resumable": self.resumable,
        }

    # --- for people ---

    def __repr__(self) -> str:
        parts = [f"{len(self.copied)} copied"]
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        parts += [f"{len(self.deleted)} deleted"] if self.deleted else []
        parts += [f"{len(self.failed)} FAILED"] if self.failed else []
        verified = f", verified by {self.verification}" if self.verification else ""
        return f"<{self.operation} to {self.target}: {', '.join(parts)}, {self.bytes} bytes in {self.seconds:.2f} s{verified}>"

    def table(self) -> str:
        """As text, one line for each file, those that failed first; the first fifty.

        Examples:
            >>> copied = FileOutcome(source="file:///a", target="s3://b/a", status="copied", bytes=5, verification="md5")
            >>> print(TransferReport(operation="put", source="file:///", target="s3://b", files=[copied], seconds=1).table())
            <put to s3://b: 1 copied, 5 bytes in 1.00 s, verified by md5>
            status  bytes  method  verified by  target    why
            copied      5          md5          s3://b/a
        """
        rows = [_HEADINGS, *map(_cells, self._shown())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        lines = [repr(self)]
        for row in rows if self.files else ():
            cells = (
                cell.rjust(width) if name == "bytes" else cell.ljust(width)
                for name, cell, width in zip(_HEADINGS, row, widths, strict=True)
            )
            lines.append("  ".join(cells).rstrip())
        return "\n".join([*lines, *self._more()])

    def _repr_html_(self) -> str:
        import html  # noqa: PLC0415 - for notebooks

        rows = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in _cells(one))}</tr>" for one in self._shown())
        head = "".join(f"<th>{name}</th>" for name in _HEADINGS)
        more = "".join(f"<p>{line}</p>" for line in self._more())
        return f"<p>{html.escape(repr(self))}</p><table><tr>{head}</tr>{rows}</table>{more}"

    def _shown(self) -> Iterator[FileOutcome]:
        return islice(chain.from_iterable(map(self._outcomes.of, _STATUSES)), _SHOWN)

    def _more(self) -> Iterable[str]:
        return (f"… and {len(self.files) - _SHOWN:,} more",) if len(self.files) > _SHOWN else ()

    @property
    def _outcomes(self) -> Outcomes:
        return cast("Outcomes", self.files)


_HEADINGS: Final = ("status", "bytes", "method", "verified by", "target", "why")


def _cells(one: FileOutcome) -> tuple[str, ...]:
    return one.status, str(one.bytes), one.method, one.verification, one.target or one.source, one.why


def _where(one: FileOutcome) -> str:
    return one.error.url if one.error is not None and one.error.url else one.source
