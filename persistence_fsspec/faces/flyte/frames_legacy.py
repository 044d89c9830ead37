"""Data frames in older flytekit: its own handlers for structured datasets, for every protocol that we serve.

A handler that names no protocol is for all of them, and flytekit binds it to
those that it knows at that moment; before 1.2 its own ones were bound to three.
We come later. They write and read whole folders through the registered class,
which is all they need to know of a store.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Final

from persistence_fsspec.overrides import Override

_ENGINE: Final = "flytekit.types.structured.structured_dataset"
_ITS_OWN: Final = "flytekit.types.structured.basic_dfs"
_OURS: Final = "the same handlers as for file://"
_WHY: Final = "data frames and tables can be stored under every protocol that files can"

_Handlers = dict[str, Any]
_Table = dict[Any, dict[str, _Handlers]]
_Added = list[tuple[dict[str, _Handlers], str, _Handlers]]


def override(framework: str, protocols: Sequence[str]) -> Iterator[Override]:
    """Let handlers that are for all protocols serve these ones too, where nobody serves them.

    Nothing is imported for it: if flytekit has not loaded its frames yet, it will find the protocols by itself.

    Args:
        framework: Name and version, for the record.
        protocols: Without ``://``.

    Yields:
        One record, if there was anything to add.
    """
    engine: Any = getattr(sys.modules.get(_ENGINE), "StructuredDatasetTransformerEngine", None)
    if engine is None:
        return
    added = [*_added(engine.ENCODERS, protocols), *_added(engine.DECODERS, protocols)]
    if added:
        yield Override(
            framework=framework,
            protocol="",
            before="",
            ours=_OURS,
            why=_WHY,
            look=partial(_look, added),
            restore=partial(_restore, added),
        )


def _added(table: _Table, protocols: Iterable[str]) -> _Added:
    """Fill the gaps of one table.

    Returns:
        For each: the handlers of its type by protocol, the protocol, and what was put there by format.
    """
    added: _Added = []
    for by_protocol in table.values():
        general = _general(by_protocol)
        for protocol in protocols if general else ():
            if not by_protocol.get(protocol):
                by_protocol[protocol] = dict(general)
                added.append((by_protocol, protocol, general))
    return added


def _general(by_protocol: dict[str, _Handlers]) -> _Handlers:
    """By format, the handlers of one type that are for all protocols."""
    return {form: one for handlers in by_protocol.values() for form, one in handlers.items() if _is_general(one)}


def _is_general(handler: Any) -> bool:
    return handler.protocol is None or type(handler).__module__ == _ITS_OWN


def _look(added: _Added) -> str:
    present = (
        by_protocol.get(protocol, {}).get(form) is handler
        for by_protocol, protocol, ours in added
        for form, handler in ours.items()
    )
    return _OURS if any(present) else ""


def _restore(added: _Added) -> None:
    """Take out what we put in, and leave what somebody else has put there since."""
    for by_protocol, protocol, ours in added:
        there = by_protocol.get(protocol, {})
        for form, handler in ours.items():
            if there.get(form) is handler:
                del there[form]
        if not there:
            by_protocol.pop(protocol, None)
