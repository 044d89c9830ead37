"""What became of each file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from persistence_fsspec.errors import PersistenceError, TransferError
from persistence_fsspec.redaction import redact, redact_places
from persistence_fsspec.store import Digest, ObjectInfo

Status = Literal["copied", "skipped", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """One file of a transfer.

    Attributes:
        key: Its key in the store it came from; empty when none was found.
        info: What it was when it was copied.
        source: URL it came from, without credentials.
        target: URL it went to, or should have gone to.
        status: ``copied``, ``skipped`` (nothing to do) or ``failed``.
        bytes: Moved for it.
        digest: Of the bytes that were moved, computed on the way.
        verification: What was compared with the stores: a digest's name, ``readback``, ``size``; empty for nothing.
        attempts: How often it was begun.
        seconds: Spent on it.
        error: Why it failed, or why it was skipped.
    """

    key: str = ""
    info: ObjectInfo | None = field(default=None, repr=False, compare=False)
    source: str
    target: str
    status: Status
    bytes: int = 0
    digest: Digest | None = None
    verification: str = ""
    attempts: int = 1
    seconds: float = 0.0
    error: PersistenceError | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", redact_places(self.source))
        object.__setattr__(self, "target", redact_places(self.target))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "source": self.source,
            "target": self.target,
            "status": self.status,
            "bytes": self.bytes,
            "digest": ":".join(self.digest) if self.digest else None,
            "verification": self.verification,
            "attempts": self.attempts,
            "seconds": round(self.seconds, 6),
            "error": redact(str(self.error)) if self.error else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class TransferReport:
    """What a transfer did, file by file.

    Attributes:
        operation: ``put``, ``get``, ``copy``, ``move`` or ``delete``.
        source: URL, without credentials.
        target: URL, without credentials.
        files: One outcome each, in the order they ended.
        seconds: From the beginning to the end.
    """

    operation: str
    source: str
    target: str
    files: tuple[FileOutcome, ...] = field(default_factory=tuple)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", redact_places(self.source))
        object.__setattr__(self, "target", redact_places(self.target))

    @property
    def copied(self) -> tuple[FileOutcome, ...]:
        """Those that arrived."""
        return self._with("copied")

    @property
    def skipped(self) -> tuple[FileOutcome, ...]:
        """Those there was nothing to do for."""
        return self._with("skipped")

    @property
    def failed(self) -> tuple[FileOutcome, ...]:
        """Those that did not arrive."""
        return self._with("failed")

    @property
    def bytes(self) -> int:
        """Moved in all."""
        return sum(file.bytes for file in self.files)

    @property
    def verification(self) -> str:
        """What the copied files were verified by, each way once: ``"md5"``, ``"md5, size"``."""
        return ", ".join(sorted({file.verification for file in self.copied if file.verification}))

    def raise_for_failures(self) -> None:
        """Raise if any file failed.

        Raises:
            TransferError: With this report.
        """
        failed = self.failed
        if not failed:
            return
        first = failed[0]
        count = f"{len(failed)} of {len(self.files)} files failed"
        why = first.error.message if first.error else "unknown"
        where = first.error.url if first.error and first.error.url else first.source
        more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
        raise TransferError(
            f"{count}: {where}: {why}{more}", report=self, operation=self.operation, url=self.target
        ) from first.error

    def as_dict(self) -> dict[str, Any]:
        """For JSON; `schema` changes when a field changes its meaning."""
        return {
            "schema": 1,
            "operation": self.operation,
            "source": self.source,
            "target": self.target,
            "copied": len(self.copied),
            "skipped": len(self.skipped),
            "failed": len(self.failed),
            "bytes": self.bytes,
            "seconds": round(self.seconds, 6),
            "verification": self.verification,
            "files": [file.as_dict() for file in self.files],
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """As JSON text."""
        return json.dumps(self.as_dict(), indent=indent)

    def __repr__(self) -> str:
        parts = [f"{len(self.copied)} copied"]
        parts += [f"{len(self.skipped)} skipped"] if self.skipped else []
        parts += [f"{len(self.failed)} FAILED"] if self.failed else []
        verified = f", verified by {self.verification}" if self.verification else ""
        return f"<{self.operation} to {self.target}: {', '.join(parts)}, {self.bytes} bytes in {self.seconds:.2f} s{verified}>"

    def _repr_html_(self) -> str:
        import html  # noqa: PLC0415 - for notebooks

        shown = [*self.failed, *self.copied, *self.skipped][:50]
        rows = "".join(
            f"<tr><td>{html.escape(f.target)}</td><td>{f.status}</td><td>{f.bytes}</td>"
            f"<td>{html.escape(f.verification)}</td><td>{html.escape(redact(str(f.error or '')))}</td></tr>"
            for f in shown
        )
        more = f"<p>… and {len(self.files) - len(shown)} more</p>" if len(self.files) > len(shown) else ""
        head = "<tr><th>target</th><th>status</th><th>bytes</th><th>verified by</th><th>error</th></tr>"
        return f"<p>{html.escape(repr(self))}</p><table>{head}{rows}</table>{more}"

    def _with(self, status: Status) -> tuple[FileOutcome, ...]:
        return tuple(file for file in self.files if file.status == status)
