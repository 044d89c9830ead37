"""What became of one object on the way, as the recipes tell each other."""

from __future__ import annotations

from dataclasses import dataclass

from persistence_fsspec.store import Digest, ObjectInfo


class Stopped(Exception):  # noqa: N818 - not an error: the caller asked for it
    """The transfer was told to stop; this file was left as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """One object at its target.

    Attributes:
        info: What the target says of it.
        moved: Bytes that passed through us in this run.
        digest: Of the whole object.
        verification: What was compared: a digest's name, ``readback`` or ``size``.
    """

    info: ObjectInfo
    moved: int
    digest: Digest | None
    verification: str
