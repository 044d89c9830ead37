"""Listeners that draw: lines for a log, a bar for a terminal, a bar for a notebook.

Counting is all that happens in the workers of a transfer; a thread of the
picture's own looks at the counts a few times each second.
"""

from __future__ import annotations

import contextlib
import html
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from persistence_fsspec.transfer.counts import Counts, bytes_of, files_of, percent, size, time_of

_TERMINAL_PER_SECOND: Final = 10
_NOTEBOOK_SECONDS: Final = 0.25
_BAR_WIDTH: Final = 40
_BAR_NARROWEST: Final = 6
_SPINNER_WIDTH: Final = 2
_PERCENT: Final = 9

_screen: Final = threading.Lock()


class Counting:
    """What all pictures have in common: they count."""

    def __init__(self) -> None:
        self.counts = Counts()

    def expect(self, files: int, n_bytes: int) -> None:
        """Count what is to come."""
        self.counts.expect(files, n_bytes)

    def listed(self) -> None:
        """From now on there are totals."""
        self.counts.listed = True

    def advance(self, key: str, n_bytes: int) -> None:  # noqa: ARG002 - the interface's
        """Count bytes."""
        self.counts.advance(n_bytes)

    def finish(self, key: str, status: str) -> None:  # noqa: ARG002 - the interface's
        """Count a file."""
        self.counts.finish(status)

    def close(self) -> None:
        """The transfer is over."""
        self.counts.close()


class LineProgress(Counting):
    """A line on standard error every two seconds: what can be had without any drawing library, and what a log can hold.

    Args:
        write: Takes a line.
        every_seconds: Between two lines.
    """

    def __init__(self, write: Callable[[str], Any] | None = None, *, every_seconds: float = 2.0) -> None:
        super().__init__()
        self._write = write or _to_stderr
        self._every = every_seconds
        self._next = time.monotonic() + every_seconds

    def expect(self, files: int, n_bytes: int) -> None:
        """Count what is to come, and speak when it is time."""
        super().expect(files, n_bytes)
        self._say_if_due()

    def advance(self, key: str, n_bytes: int) -> None:
        """Count bytes, and speak when it is time."""
        super().advance(key, n_bytes)
        self._say_if_due()

    def finish(self, key: str, status: str) -> None:
        """Count a file, and speak when it is time."""
        super().finish(key, status)
        self._say_if_due()

    def close(self) -> None:
        """The last line."""
        super().close()
        self._write(f"{_line(self.counts, closed=True)}\n")

    def _say_if_due(self) -> None:
        if time.monotonic() >= self._next:
            self._write(f"{_line(self.counts)}\n")
            self._next = time.monotonic() + self._every


def _to_stderr(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)


def _line(counts: Counts, *, closed: bool = False) -> str:
    """``12/34 files, 1.2/3.4 GB, 10.0 MB/s, 4:05 left, 1 failed, 3 skipped``."""
    rate, left = (counts.average(), None) if closed else counts.sample()
    parts = [files_of(counts), bytes_of(counts), f"{size(rate)}/s", time_of(left) if counts.final else "", *_troubles(counts)]
    return ", ".join(part for part in parts if part)


def _troubles(counts: Counts) -> tuple[str, str]:
    failed = f"{counts.failed:,} failed" if counts.failed else ""
    return failed, f"{counts.skipped:,} skipped" if counts.skipped else ""


class RichProgress(Counting):
    """Drawn by rich, on a terminal. While it is listed: a spinner, files, bytes, rate. Then: a bar, percentage, totals, time left.

    While a tree is listed nobody knows how much there is: a percentage of what was found so far would stand near its end
    from the beginning.

    Args:
        console: Of rich; standard error unless said otherwise.
        doing: What is being done, in one word.
    """

    def __init__(self, console: Any = None, *, doing: str = "copying") -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live
        from rich.spinner import Spinner

        self._doing, self._closed = doing, False
        self._spinner, self._console = Spinner("dots"), console or Console(stderr=True)
        self._live = Live(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=_TERMINAL_PER_SECOND,
            transient=False,
        )
        self.drawing = _screen.acquire(blocking=False)
        """Whether the screen was free. Two pictures at once would paint over each other."""
        if self.drawing:
            self._live.start()

    def close(self) -> None:
        """Leave the last state on the screen, with nothing in it that still turns."""
        super().close()
        if self.drawing and not self._closed:
            self._closed = True
            try:
                self._live.stop()
            finally:
                _screen.release()

    def _picture(self) -> Any:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        counts = self.counts
        rate, left = (counts.average(), None) if self._closed else counts.sample()
        failed, skipped = _troubles(counts)
        # The first number says what goes first where the terminal is narrow; the bar takes what is left.
        words = [
            (3, self._doing, ""),
            (_PERCENT, percent(counts) if counts.final else "", "magenta"),
            (6, "" if counts.one_file else files_of(counts), ""),
            (7, bytes_of(counts), "green"),
            (2, f"{size(rate)}/s", "yellow"),
            (4, time_of(left) if counts.final else "", "cyan"),
            (8, failed, "bold red"),
            (1, skipped, "dim"),
        ]
        shown = _fitting([word for word in words if word[1]], self._console.width - _SPINNER_WIDTH)
        told: list[Any] = [Text(text, style=style) for _, text, style in shown]
        room = self._console.width - sum(len(text) + 1 for _, text, _ in shown)
        if counts.final and room >= _BAR_NARROWEST:
            told.insert(
                next(i for i, word in enumerate(shown) if word[0] == _PERCENT),
                ProgressBar(total=1.0, completed=counts.fraction, width=min(room, _BAR_WIDTH)),
            )
        elif not counts.final and not self._closed:
            told.insert(0, self._spinner)
        grid = Table.grid(padding=(0, 1))
        grid.add_row(*told)
        return grid


def _fitting(words: list[tuple[int, str, str]], width: int) -> list[tuple[int, str, str]]:
    """Those that one line can hold, the most important ones at least."""
    while len(words) > 1 and sum(len(text) + 1 for _, text, _ in words) > width:
        words = [word for word in words if word[0] != min(words)[0]]
    return words


class NotebookProgress(Counting):
    """Drawn below a notebook's cell by what every kernel has; neither rich nor a widget is needed.

    Args:
        doing: What is being done, in one word.

    Raises:
        ImportError: There is no IPython.
    """

    def __init__(self, *, doing: str = "copying") -> None:
        super().__init__()
        from IPython.display import display  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - of the kernel

        self._doing, self._closed = doing, threading.Event()
        self._shown: Any = display(_Cell(self.counts, doing), display_id=True)
        self._thread = threading.Thread(target=self._draw, name="persistence-fsspec-progress", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Leave the last state below the cell."""
        super().close()
        self._closed.set()
        self._thread.join()
        self._update(closed=True)

    def _draw(self) -> None:
        while not self._closed.wait(_NOTEBOOK_SECONDS):
            self._update()

    def _update(self, *, closed: bool = False) -> None:
        with contextlib.suppress(Exception):  # a notebook that went away does not end the transfer
            self._shown.update(_Cell(self.counts, self._doing, closed=closed))


class _Cell:
    """One state of a transfer, as a notebook shows it."""

    def __init__(self, counts: Counts, doing: str, *, closed: bool = False) -> None:
        self._text = f"{doing}: {_line(counts, closed=closed)}"
        bar = f'<progress value="{counts.fraction:.4f}" max="1"></progress> {percent(counts)} ' if counts.final else ""
        failed = _troubles(counts)[0]
        told = html.escape(_line(counts, closed=closed))
        if failed:
            told = told.replace(failed, f'<span style="color: red">{failed}</span>')
        self._html = f"<div>{html.escape(doing)} {bar}{told}</div>"

    def __repr__(self) -> str:
        return self._text

    def _repr_html_(self) -> str:
        return self._html


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = sys.modules.get("IPython")
    running = getattr(shell, "get_ipython", lambda: None)()
    return getattr(running, "kernel", None) is not None


def picture() -> Any:
    """The listener that suits where this process stands: a notebook, a terminal, a log.

    Only one at a time draws on the terminal; another one beside it writes lines.
    """
    if in_notebook():
        return NotebookProgress()
    if sys.stderr is not None and sys.stderr.isatty():
        with contextlib.suppress(ImportError):
            drawn = RichProgress()
            if drawn.drawing:
                return drawn
    return LineProgress()
