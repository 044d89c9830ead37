"""What ``-v`` shows: the library's events, and with ``-vv`` everybody's; never a secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from persistence_fsspec.cli import output
from persistence_fsspec.redaction import redact

_OURS: Final = "persistence_fsspec"
_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)


_ON_THE_SCREEN: Final = frozenset({"gave_up", "file_failed"})
"""Events that the error at the end tells once more."""


class _Redacting(logging.Formatter):
    """The whole text is redacted, tracebacks and foreign messages included."""

    def __init__(self, verbose: int) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s" if verbose >= 2 else "%(levelname)s %(message)s")
        self._whole = verbose >= 2

    def format(self, record: logging.LogRecord) -> str:
        text = redact(super().format(record))
        return text if self._whole else text.partition("\n")[0]


class _ToStderr(logging.Handler):
    """To what standard error is now: a progress bar takes its place for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        output.tell(output.printable_lines(self.format(record), sys.stderr))


@contextmanager
def shown(verbose: int) -> Iterator[None]:
    """Show log records for the time of the block.

    Args:
        verbose: 0 for warnings of ours, 1 for what happens inside, 2 for everything, the drivers' own records included.
    """
    logger = logging.getLogger(_OURS if verbose < 2 else None)
    handler = _ToStderr()
    handler.setFormatter(_Redacting(verbose))
    if not verbose:
        handler.addFilter(lambda record: getattr(record, "persistence_event", "") not in _ON_THE_SCREEN)
    kept = {one: one.level for one in (logger, logging.getLogger(_OURS))}
    for one in kept:
        one.setLevel(_LEVELS[min(verbose, 2)])
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        for one, level in kept.items():
            one.setLevel(level)
