"""What a file is besides its bytes: its mode, and when it was last written to. Kept on request, where they can be."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, Literal, get_args

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.store import ObjectInfo, Store

Attribute = Literal["mode", "mtime"]
_FORM: Final = {"mode": re.compile(r"0?[0-7]{3,4}"), "mtime": re.compile(r"-?[0-9]+(?:\.[0-9]+)?")}
"""Entries of these names that look otherwise are other tools', and mean something else."""

NAMES: Final[tuple[str, ...]] = get_args(Attribute)


class Attributes:
    """Reads them at the source, for the target.

    Args:
        source: Where from. Object stores keep them as metadata, which takes one request more for each file.
        target: Where to.
        wanted: Which.

    Raises:
        InvalidOptionError: There is no such attribute.
    """

    def __init__(self, source: Store, target: Store, wanted: Collection[str]) -> None:
        unknown = set(wanted) - set(NAMES)
        if isinstance(wanted, str) or unknown:
            raise InvalidOptionError(
                f"preserve={wanted!r} is not a list of {' and '.join(NAMES)}", hint="For example: preserve=['mode', 'mtime']."
            )
        self._source = source
        self._kept = [name for name in NAMES if name in wanted and name in target.capabilities.attributes]
        self.are_kept = bool(self._kept)
        """Whether there are any that can be kept."""
        lost = [name for name in NAMES if name in wanted and name not in self._kept]
        self.lost = f"{' and '.join(lost)} cannot be kept there" if lost else ""
        """What cannot be kept, for the report."""

    def of(self, info: ObjectInfo) -> Mapping[str, str] | None:
        """As metadata entries; None when nothing is wanted."""
        if not self._kept:
            return None
        told = dict(self._source.info(info.key).metadata) if self._source.capabilities.attributes else {}
        if "mtime" not in told and info.modified is not None:
            told["mtime"] = f"{info.modified.timestamp():.6f}"
        return {name: told[name] for name in self._kept if _FORM[name].fullmatch(told.get(name, ""))}
