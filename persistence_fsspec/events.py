"""What happens inside, told to whoever listens: one logger, one hook.

Every event is a record of the logger ``persistence_fsspec`` with its fields as
``extra``, and is given to the hooks that `on_event` added.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from persistence_fsspec.redaction import redact

_log: Final = logging.getLogger("persistence_fsspec")
_log.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        name: What, for machines: ``retry``, ``gave_up``, ``timeout``, ``throttled``, ``credentials_renewed``,
            ``driver_replaced``, ``transfer_started``, ``transfer_finished``, ``file_failed``, ``write_discarded``,
            ``journal_unavailable``, ``journal_begun_anew``, ``spilling_failed``, ``anonymous``, ``override_skipped``.
        message: What, for people; without secrets.
        level: As in `logging`.
        fields: What else is known: ``operation``, ``url``, ``attempt``, ``wait_seconds``, ``error`` ...
    """

    name: str
    message: str
    level: int = logging.INFO
    fields: Mapping[str, Any] = field(default_factory=dict)


Hook = Callable[[Event], None]
_hooks: list[Hook] = []


def on_event(hook: Hook) -> Callable[[], None]:
    """Tell a function of every event of this process, from whichever thread it happens in.

    Args:
        hook: Should return soon; what it raises is logged and otherwise ignored.

    Returns:
        Ends it.

    Examples:
        >>> seen = []
        >>> end = on_event(lambda event: seen.append(event.name))
        >>> emit("retry", "again in 1 s", operation="read")
        >>> end()
        >>> seen
        ['retry']
    """
    _hooks.append(hook)

    def end() -> None:
        with contextlib.suppress(ValueError):
            _hooks.remove(hook)

    return end


def emit(name: str, message: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event and tell the hooks.

    Args:
        name: See `Event`.
        message: See `Event`.
        level: Of the log record.
        fields: See `Event`; in log records each stands as an attribute ``persistence_NAME``.
    """
    if not _hooks and not _log.isEnabledFor(level):
        return
    text = redact(message)
    told = {key: redact(value) if isinstance(value, str) else value for key, value in fields.items()}
    _log.log(level, "%s", text, extra={f"persistence_{key}": value for key, value in {"event": name, **told}.items()})
    event = Event(name=name, message=text, level=level, fields=told)
    for hook in tuple(_hooks):
        try:
            hook(event)
        except Exception:  # noqa: BLE001 - somebody else's code must not break a transfer
            _log.exception("an event hook failed")
