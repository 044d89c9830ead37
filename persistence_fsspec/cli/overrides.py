"""``overrides``: what is ours in the frameworks that are installed here, and how to undo it."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from persistence_fsspec import overrides as records
from persistence_fsspec.cli import output
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.options import AsJson, Verbose
from persistence_fsspec.overrides import Override

_FACES: Final = {"flytekit": "persistence_fsspec.faces.flyte"}
"""A framework's distribution -> our face for it, whose ``install()`` overrides, in each program that imports the framework."""

_ASKED: Final = {
    "xtlib": "xt_config.yaml names persistence_fsspec.faces.xt.FSSpecStore",
    "statisfactory": "pyproject.toml of the project names persistence_fsspec.faces.statisfactory_plugin",
    "functionfuse": "the program imports persistence_fsspec.faces.functionfuse",
}
"""Those that ask for ours by a line of the user's -> when they do."""

OVERRIDES_EXAMPLES: Final = """\b
Examples:
  persist overrides
  persist overrides --json | jq '.overrides[] | select(.active | not)'     what somebody else has taken over since
  PERSISTENCE_FSSPEC_OVERRIDE=s3,gs persist overrides                     what it would be

It imports flytekit as a program of yours would, in this environment."""

_MOST_PROTOCOLS: Final = 8
"""So many are named in one line of the table; ``--json`` names all."""


@dataclass(frozen=True, slots=True)
class _Framework:
    """One that we can serve.

    Attributes:
        name: Its distribution.
        version: Empty where it is not installed.
        problem: Why nothing of it could be overridden.
        overrides: What was.
        unless: What makes it use ours, where being installed is not enough.
    """

    name: str
    version: str
    problem: str
    overrides: tuple[Override, ...]
    unless: str = ""

    @property
    def state(self) -> str:
        """For people."""
        if not self.version:
            return f"{self.name}: not installed here"
        if self.unless:
            return f"{self.name} {self.version}: its own storage, unless {self.unless}"
        if self.problem:
            return f"{self.name} {self.version}: keeps its own storage: {self.problem}"
        if not self.overrides:
            return f"{self.name} {self.version}: nothing is overridden ({records.VARIABLE})"
        return f"{self.name} {self.version}: {records.VARIABLE}=0 switches off what is overridden, =s3,gs limits it to protocols"


def overrides(as_json: AsJson = False, verbose: Verbose = 0) -> None:
    """Show what is overridden in workflow frameworks: class now, class before, why, how to switch it off."""
    with one_screen(as_json=as_json, verbose=verbose, verb="overrides"):
        found = [_framework(name, face) for name, face in _FACES.items()]
        found += [_asked(name, unless) for name, unless in _ASKED.items()]
        if wants_json(as_json):
            output.as_json(_as_dict(found))
            return
        for problem in records.unknown():
            output.write(problem)
        for framework in found:
            output.write(framework.state)
            if framework.overrides:
                output.table(_rows(framework.overrides), ("protocol", "class now", "class before", "why"))


def _framework(name: str, face: str) -> _Framework:
    found = _version(name)
    if not found:
        return _Framework(name, "", "", ())
    try:
        made = importlib.import_module(face).install()
    except Exception as exc:  # noqa: BLE001 - whatever it is, this command tells it
        return _Framework(name, found, f"{type(exc).__name__}: {exc}", ())
    return _Framework(name, found, "", made)


def _asked(name: str, unless: str) -> _Framework:
    """One that is found as a program would find it; it may be a folder on the path, or an installation without a module."""
    said, there = _version(name), find_spec(name) is not None
    if said and not there:
        return _Framework(name, said, f"it cannot be imported: what is installed holds no module {name!r}", ())
    return _Framework(name, said or ("(a folder on the path)" if there else ""), "", (), unless)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _as_dict(found: Iterable[_Framework]) -> dict[str, Any]:
    found = list(found)
    return {
        "frameworks": [{name: getattr(one, name) for name in ("name", "version", "problem", "unless")} for one in found],
        "overrides": [override.as_dict() for one in found for override in one.overrides],
        "problems": records.unknown(),
    }


def _rows(overridden: Iterable[Override]) -> Iterable[tuple[str, str, str, str]]:
    """One line for all protocols of which the same is to be said."""
    same: dict[tuple[str, str, str], list[str]] = {}
    for one in overridden:
        why = one.why if one.now == one.ours else "somebody else has replaced ours"
        same.setdefault((one.now, one.before, why), []).append(one.protocol)
    for (now, before, why), protocols in same.items():
        yield _shortened([protocol for protocol in protocols if protocol]) or "-", now, before or "-", why


def _shortened(protocols: Sequence[str]) -> str:
    more = len(protocols) - _MOST_PROTOCOLS
    return " ".join([*protocols[:_MOST_PROTOCOLS], *([f"and {more} more"] if more > 0 else [])])
