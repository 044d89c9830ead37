"""flytekit with this package and without it: the same workflow on the same server, in turn, each time in a fresh process.

A task returns a `FlyteDirectory` or a `FlyteFile` (it is uploaded), and somebody downloads it. Run: ``make bench``, or
``python -m tests.benchmarks.flyte --help``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
from pathlib import Path

from tests.benchmarks.yardstick import BUCKET, NoYardstickError, Yardstick, yardstick
from tests.servers.environment import environment

MIB = 1024 * 1024
WORKLOAD = Path(__file__).with_name("flyte_workload.py")
SIDES = {
    "without": {"PERSISTENCE_FSSPEC_OVERRIDE": "0"},
    "with": {"PERSISTENCE_FSSPEC_ACCELERATE": "0"},
    "with, fast": {},
}
"""flytekit by itself; with this package; and with its extra ``fast``."""

Figures = dict[str, dict[str, float]]


def once(
    python: str, server: Yardstick, what: str, variables: dict[str, str], folder: Path, options: argparse.Namespace
) -> Figures:
    """One fresh process; what it prints."""
    with tempfile.TemporaryDirectory(dir=folder) as own:
        surroundings = {
            **os.environ,
            "PERSISTENCE_FSSPEC_STATE_DIR": f"{own}/state",
            "FLYTE_AWS_ENDPOINT": server.url,
            "FLYTE_AWS_ACCESS_KEY_ID": "any",
            "FLYTE_AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "TMPDIR": own,
            "HOME": own,
            **variables,
        }
        command = [python, str(WORKLOAD), what, f"s3://{BUCKET}/{Path(own).name}", str(options.files), str(options.size)]
        done = subprocess.run(command, env=surroundings, stdout=subprocess.PIPE, text=True, check=True)
    found: Figures = json.loads(done.stdout.splitlines()[-1])
    return found


def show(what: str, taken: dict[str, list[Figures]]) -> None:
    """One table."""
    print(f"\n{what}")
    print(f"  {'':10}{'':11}{'seconds':>9}{'(least to most)':>19}{'peak MiB':>10}{'without / it':>14}")
    for step in ("upload", "download"):
        base = statistics.median(one[step]["seconds"] for one in taken["without"])
        for side, figures in taken.items():
            seconds = [one[step]["seconds"] for one in figures]
            middle, memory = statistics.median(seconds), statistics.median(one[step]["memory"] for one in figures) / MIB
            spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
            print(f"  {step:10}{side:11}{middle:9.3f}{spread:>19}{memory:10.0f}{base / middle:14.2f}")


def main() -> None:
    """Print tables; judge nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", help="of an environment with flytekit and this package; default: one is made")
    parser.add_argument("--repeats", type=int, default=5, help="default: 5")
    parser.add_argument("--files", type=int, default=1000, help="of 16 KiB in the directory; default: 1000")
    parser.add_argument("--size", type=int, default=1024 * MIB, help="of the file, in bytes; default: 1 GiB")
    parser.add_argument("--milliseconds", type=float, default=0, help="the server waits before each answer; default: 0")
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 - so that the disk is not what is measured
    try:
        with yardstick() as server, tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
            python = options.python or _environment()
            server.answer_after(options.milliseconds)
            print(f"Medians of {options.repeats}; {options.files} files of 16 KiB, a file of {options.size / MIB:g} MiB.")
            for what in ("directory", "file"):
                taken: dict[str, list[Figures]] = {side: [] for side in SIDES}
                for _ in range(options.repeats):
                    for side, variables in SIDES.items():
                        taken[side].append(once(python, server, what, variables, Path(folder), options))
                show(what, taken)
    except NoYardstickError as exc:
        print(f"skipped: {exc}")


def _environment() -> str:
    from tests.faces.test_flyte_current import REQUIREMENTS

    return str(environment("flytekit-bench", (*REQUIREMENTS, "obstore==0.12.1"), project=True))


if __name__ == "__main__":
    main()
