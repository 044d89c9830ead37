"""What `import persistence_fsspec` costs, against `import fsspec`, in fresh interpreters, interleaved.

Target: a ratio of medians of at most 1.5. Run: ``make bench``.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 25


def seconds(statement: str) -> float:
    """One fresh interpreter, by the wall clock."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - begun


def main() -> None:
    """Print medians and ratios; judge nothing."""
    statements = ("pass", "import fsspec", "from persistence_fsspec import FSSpecPersistence")
    taken: dict[str, list[float]] = {statement: [] for statement in statements}
    for statement in statements:
        seconds(statement)  # warm the file cache
    for _ in range(RUNS):
        for statement in statements:
            taken[statement].append(seconds(statement))
    medians = {statement: statistics.median(times) for statement, times in taken.items()}
    for statement, median in medians.items():
        spread = f"{min(taken[statement]) * 1e3:.0f} to {max(taken[statement]) * 1e3:.0f}"
        print(f"{statement:48} median {median * 1e3:6.1f} ms   ({spread}, {RUNS} runs)")
    empty, fsspec, ours = (medians[statement] for statement in statements)
    print(
        f"whole process: {ours / fsspec:.2f} x import fsspec; without the interpreter's start: {(ours - empty) / (fsspec - empty):.2f} x"
    )


if __name__ == "__main__":
    main()
