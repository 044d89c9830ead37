"""Transfers against peers, side by side: the same work on the same server, in turn, each time in a fresh process.

Read the ratios; seconds depend on the machine and drift. Each line says which verification was on: ours always has one.
Run: ``make bench``, or ``python -m tests.benchmarks.transfers --help``.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.peers import find_s5cmd
from tests.benchmarks.yardstick import NoYardstickError, Yardstick, yardstick

MIB = 1024 * 1024
FAR = ("ours", "ours-plain", "s3fs", "obstore", "s5cmd")
HERE = ("ours", "copytree", "fsspec")


@dataclass(frozen=True)
class Case:
    """One thing to do.

    Attributes:
        what: See `peers.Job`.
        milliseconds: How long the server waits before each answer.
        peers: Who does it.
        by: The peer that ratios are told against.
    """

    what: str
    milliseconds: int = 0
    peers: tuple[str, ...] = FAR
    by: str = "s3fs"


CASES = {
    "get-tree": Case("get-tree"),
    "put-tree": Case("put-tree"),
    "get-tree-far": Case("get-tree", 20),
    "put-tree-far": Case("put-tree", 20),
    "get-file": Case("get-file"),
    "put-file": Case("put-file"),
    "list": Case("list"),
    "copy-tree": Case("copy-tree", peers=HERE, by="copytree"),
}

Figures = dict[str, float | str]


class Bench:
    """All cases on one server.

    Args:
        server: The yardstick.
        folder: For files; fast, and empty.
        options: From the command line.
    """

    def __init__(self, server: Yardstick, folder: Path, options: argparse.Namespace) -> None:
        self._server, self._folder, self._options = server, folder, options
        self._number = 0

    def prepare(self) -> None:
        """The things to be moved."""
        body = os.urandom(4096)
        self._server.fill("tree", self._options.files, body)
        self._server.fill("list", self._options.entries, b"")
        self._server.put("large", os.urandom(self._options.size))
        for number in range(self._options.files):
            path = self._folder / "tree" / f"d{number // 20}" / f"f{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
        (self._folder / "large").write_bytes(os.urandom(self._options.size))

    def run(self, case: Case) -> Iterator[tuple[str, list[Figures]]]:
        """Every peer, in turn, as often as asked; then what each took."""
        taken: dict[str, list[Figures]] = {peer: [] for peer in case.peers if self._is_wanted(peer)}
        self._server.answer_after(case.milliseconds)
        for _ in range(self._options.repeats):
            for peer, figures in taken.items():
                figures.append(self._once(case, peer))
        self._server.answer_after(0)
        yield from taken.items()

    def _is_wanted(self, peer: str) -> bool:
        if self._options.peers and peer not in self._options.peers:
            return False
        if peer == "s5cmd":
            return find_s5cmd() is not None
        if peer == "ours-plain":
            return importlib.util.find_spec("obstore") is not None
        return peer in {"ours", "copytree"} or importlib.util.find_spec(peer) is not None

    def _once(self, case: Case, peer: str) -> Figures:
        self._number += 1
        local, name = self._folder / f"out-{self._number}", f"out-{self._number}"
        kind = case.what.partition("-")[2]
        source = {"get": {"tree": "tree", "file": "large"}, "list": {"": "list"}}.get(case.what.partition("-")[0], {}).get(kind)
        source = source or str(self._folder / ("large" if kind == "file" else "tree"))
        target = name if case.what.startswith("put") else str(local)
        environment = {**os.environ, "PERSISTENCE_FSSPEC_STATE_DIR": str(self._folder / "state")}
        if peer == "ours-plain":
            environment["PERSISTENCE_FSSPEC_ACCELERATE"] = "0"
        command = [sys.executable, "-m", "tests.benchmarks.peers", peer, self._server.url, case.what, source, target]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        self._check(case, local)
        if local.is_dir():
            shutil.rmtree(local)
        local.unlink(missing_ok=True)
        shutil.rmtree(self._folder / "state", ignore_errors=True)
        found: Figures = json.loads(done.stdout.splitlines()[-1])
        return found

    def _check(self, case: Case, local: Path) -> None:
        """All of it arrived; nobody wins by leaving something out."""
        if case.what in {"get-tree", "copy-tree"}:
            count = sum(1 for path in local.rglob("*") if path.is_file() and path.stat().st_size == 4096)
            assert count == self._options.files, f"{count} files of {self._options.files} arrived"
        elif case.what == "get-file":
            assert local.stat().st_size == self._options.size


def median(figures: list[Figures], name: str) -> float:
    """The middle one."""
    return statistics.median(float(one[name]) for one in figures)


def show(name: str, case: Case, taken: dict[str, list[Figures]]) -> None:
    """One table."""
    print(f"\n{name}" + (f", {case.milliseconds} ms before each answer" if case.milliseconds else ""))
    heads = ("peer", "seconds", "(least to most)", "cpu", "MiB", "ours / it", f"{case.by} / it", "verified by")
    print(f"  {heads[0]:11}{heads[1]:>9}{heads[2]:>19}{heads[3]:>8}{heads[4]:>8}{heads[5]:>11}{heads[6]:>14}  {heads[7]}")
    for peer, figures in taken.items():
        seconds = [float(one["seconds"]) for one in figures]
        middle = statistics.median(seconds)
        ratios = [f"{median(taken[other], 'seconds') / middle:.2f}" if other in taken else "" for other in ("ours", case.by)]
        spread = f"({min(seconds):.3f} to {max(seconds):.3f})"
        memory, cpu = median(figures, "memory") / MIB, median(figures, "cpu")
        verified = figures[0]["verification"]
        print(f"  {peer:11}{middle:9.3f}{spread:>19}{cpu:8.2f}{memory:8.0f}{ratios[0]:>11}{ratios[1]:>14}  {verified}")


def main() -> None:
    """Run what was asked for; print tables; judge nothing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES), help="default: all")
    parser.add_argument("--peers", nargs="*", choices=sorted({*FAR, *HERE}), help="default: all that are installed")
    parser.add_argument("--repeats", type=int, default=3, help="default: 3")
    parser.add_argument("--files", type=int, default=2000, help="of 4 KiB in a tree; default: 2000")
    parser.add_argument("--entries", type=int, default=10_000, help="to list; default: 10000")
    parser.add_argument("--size", type=int, default=256 * MIB, help="of the large file, in bytes; default: 256 MiB")
    options = parser.parse_args()
    memory = Path("/dev/shm")  # noqa: S108 - so that the disk is not what is measured
    try:
        with (
            yardstick() as server,
            tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder,
        ):
            bench = Bench(server, Path(folder), options)
            bench.prepare()
            print(
                f"Medians of {options.repeats}; {options.files} files of 4 KiB, {options.entries} entries, {options.size / MIB:g} MiB."
            )
            for name in options.cases:
                show(name, CASES[name], dict(bench.run(CASES[name])))
    except NoYardstickError as exc:
        print(f"skipped: {exc}")


if __name__ == "__main__":
    main()
