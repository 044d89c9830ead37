"""What this process has overridden in a framework: instead of what, why, and how to undo it.

Faces note here what they replaced; ``persist overrides`` shows it. Nothing is
overridden without a framework that asks for it through an entry point, or a
call of a face's ``install()``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fsspec.registry import available_protocols, registry

from persistence_fsspec.location import ALIASES
from persistence_fsspec.spelling import did_you_mean

VARIABLE: Final = "PERSISTENCE_FSSPEC_OVERRIDE"
"""``0`` for nothing, ``1`` (or not set) for everything, ``s3,gs`` for these protocols."""

_ALL: Final = frozenset({"", "1", "true", "yes", "on", "all"})
_NONE: Final = frozenset({"0", "false", "no", "off", "none"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One thing that was put in the place of another.

    Attributes:
        framework: In which: ``flytekit 1.16.31``.
        protocol: For which URLs, without ``://``; empty where it is not about one.
        before: Dotted name of what was there; empty when nothing was.
        ours: Dotted name of what we put there.
        why: One sentence.
        look: Tells the dotted name of what is there now, which somebody else may have replaced in their turn.
        restore: Puts back what was there.
    """

    framework: str
    protocol: str
    before: str
    ours: str
    why: str
    look: Callable[[], str] = field(repr=False, compare=False)
    restore: Callable[[], None] = field(repr=False, compare=False)

    @property
    def now(self) -> str:
        """Dotted name of what is there."""
        return self.look()

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("framework", "protocol", "now", "before", "why")
        return {**{name: getattr(self, name) for name in names}, "active": self.now == self.ours, "switch_off": self.switch_off}

    @property
    def switch_off(self) -> str:
        """What to do against it."""
        return f"{VARIABLE}=0"


_active: list[Override] = []


def note(override: Override) -> None:
    """Remember what was overridden."""
    _active.append(override)


def active() -> tuple[Override, ...]:
    """What was overridden and not undone, in the order it happened."""
    return tuple(_active)


def undo(framework: str) -> None:
    """Put back what was there before, the latest first; what somebody else has replaced meanwhile stays theirs.

    Args:
        framework: What the name of the framework begins with.
    """
    for override in reversed(_active):
        if override.framework.startswith(framework) and override.now == override.ours:
            override.restore()
    _active[:] = [override for override in _active if not override.framework.startswith(framework)]


def chosen(protocols: Iterable[str]) -> list[str]:
    """Those that the environment allows to be overridden; a protocol stands for its other names as well.

    A name that no driver has chooses nothing; `unknown` tells of it.

    Args:
        protocols: Without ``://``.
    """
    said = _said()
    if said in _ALL:
        return list(protocols)
    if said in _NONE:
        return []
    wanted = {ALIASES.get(name, name) for name in _names(said)}
    return [one for one in protocols if ALIASES.get(one, one) in wanted]


def unknown() -> list[str]:
    """A sentence for each name in the environment that is no protocol, with the one that may have been meant."""
    said = _said()
    if said in _ALL | _NONE:
        return []
    known = {*available_protocols(), *registry, *ALIASES}
    return [
        f"{VARIABLE}: there is no protocol {name!r}. {did_you_mean(name, known)}".rstrip()
        for name in sorted(_names(said) - known)
    ]


def is_off() -> bool:
    """Whether the environment allows nothing to be overridden."""
    return _said() in _NONE


def _said() -> str:
    return os.environ.get(VARIABLE, "").strip().lower()


def _names(said: str) -> set[str]:
    return {name.strip().removesuffix("://") for name in said.split(",") if name.strip()}
