"""What each peer does in each case; run by `transfers`, one case in one fresh process, which prints its figures.

The process imports what it needs, makes one small request so that it is connected, and then begins to measure. Memory is
the highest resident size during the case, above that before it. s5cmd is a program: its figures are those of a whole process.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BUCKET = "bench"
THREADS = 16
RANGE = 8 * 1024 * 1024
LOGIN = {"key": "any", "secret": "any"}


@dataclass
class Job:
    """One case for one peer.

    Attributes:
        url: Of the server.
        what: ``get-tree``, ``put-tree``, ``get-file``, ``put-file``, ``list`` or ``copy-tree``.
        source: A prefix or key for getting and listing; a local path for putting and copying.
        target: The other end; fresh.
    """

    url: str
    what: str
    source: str
    target: str


Action = Callable[[], str]
"""Does it, and tells which verification was on."""


def ours(job: Job) -> Action:
    """This package."""
    from persistence_fsspec import FSSpecPersistence

    store = FSSpecPersistence(f"s3://{BUCKET}", storage_options={**LOGIN, "endpoint_url": job.url})
    if job.what == "copy-tree":
        return lambda: told(store.put(job.source, Path(job.target).as_uri(), recursive=True))
    store.exists("warm")
    recursive = job.what.endswith("-tree")
    return {
        "get": lambda: told(store.get(job.source, job.target, recursive=recursive)),
        "put": lambda: told(store.put(job.source, job.target, recursive=recursive)),
        "list": lambda: f"{sum(1 for _ in store.find(job.source))} entries",
    }[job.what.partition("-")[0]]


def told(report: Any) -> str:
    """The verifications of a report."""
    return " ".join(sorted({outcome.verification or "nothing" for outcome in report.files}))


def s3fs(job: Job) -> Action:
    """The driver as it comes."""
    import s3fs as driver

    fs = driver.S3FileSystem(**LOGIN, endpoint_url=job.url, use_listings_cache=False, skip_instance_cache=True)
    fs.exists(f"{BUCKET}/warm")
    far = f"{BUCKET}/{job.source}" if job.what.startswith(("get", "list")) else f"{BUCKET}/{job.target}"

    def act() -> str:
        if job.what == "list":
            return f"{len(fs.find(far))} entries"
        if job.what == "get-tree":
            fs.get(f"{far}/", f"{job.target}/", recursive=True)
        elif job.what == "put-tree":
            fs.put(f"{job.source}/", f"{far}/", recursive=True)
        elif job.what == "get-file":
            fs.get_file(far, job.target)
        else:
            fs.put_file(job.source, far)
        return "nothing"

    return act


def obstore(job: Job) -> Action:
    """The library that the accelerator uses, by threads, and with nothing around it."""
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        endpoint=job.url,
        access_key_id="any",
        secret_access_key="any",
        region="us-east-1",
        client_options={"allow_http": True},
    )
    store.put("warm", b"")

    def get_one(key: str) -> None:
        path = Path(job.target) / key[len(job.source) + 1 :]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(key).bytes())

    def get_range(file: int, start: int, size: int) -> None:
        os.pwrite(file, store.get_range(job.source, start=start, end=min(start + RANGE, size)), start)

    def act() -> str:
        with ThreadPoolExecutor(THREADS) as pool:
            if job.what == "list":
                return f"{sum(len(page) for page in store.list(job.source))} entries"
            if job.what == "get-tree":
                list(pool.map(get_one, [found["path"] for page in store.list(job.source) for found in page]))
            elif job.what == "put-tree":
                paths = [path for path in Path(job.source).rglob("*") if path.is_file()]
                list(pool.map(lambda p: store.put(f"{job.target}/{p.relative_to(job.source)}", p.read_bytes()), paths))
            elif job.what == "get-file":
                size = store.head(job.source)["size"]
                file = os.open(job.target, os.O_WRONLY | os.O_CREAT)
                list(pool.map(lambda start: get_range(file, start, size), range(0, size, RANGE)))
                os.close(file)
            else:
                store.put(job.target, Path(job.source), use_multipart=True, chunk_size=2 * RANGE, max_concurrency=8)
        return "nothing"

    return act


def s5cmd(job: Job) -> Action:
    """The program of that name."""
    program = find_s5cmd()
    if program is None:
        raise ModuleNotFoundError("s5cmd")
    far = f"s3://{BUCKET}/"
    arguments = {
        "get-tree": ["cp", f"{far}{job.source}/*", f"{job.target}/"],
        "put-tree": ["cp", f"{job.source}/", f"{far}{job.target}/"],
        "get-file": ["cp", f"{far}{job.source}", job.target],
        "put-file": ["cp", job.source, f"{far}{job.target}"],
        "list": ["ls", f"{far}{job.source}/*"],
    }[job.what]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_REGION": "us-east-1"}

    def act() -> str:
        subprocess.run([program, "--endpoint-url", job.url, *arguments], env=environment, check=True, stdout=subprocess.DEVNULL)
        return "nothing"

    return act


def find_s5cmd() -> str | None:
    """On the path, or in the package of that name, whose program lacks its run bit."""
    for folder in map(Path, sys.path):
        program = folder / "s5cmd" / "bin" / "s5cmd"
        if program.is_file():
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
            return str(program)
    return shutil.which("s5cmd")


def copytree(job: Job) -> Action:
    """Python's own, on this machine."""

    def act() -> str:
        shutil.copytree(job.source, job.target)
        return "nothing"

    return act


def fsspec(job: Job) -> Action:
    """fsspec's own, on this machine."""
    import fsspec as library

    fs = library.filesystem("file", skip_instance_cache=True)

    def act() -> str:
        fs.put(f"{job.source}/", f"{job.target}/", recursive=True)
        return "nothing"

    return act


PEERS: dict[str, Callable[[Job], Action]] = {
    "ours": ours,
    "ours-plain": ours,  # with the accelerator switched off, by its variable
    "s3fs": s3fs,
    "obstore": obstore,
    "s5cmd": s5cmd,
    "copytree": copytree,
    "fsspec": fsspec,
}


def _resident(name: str) -> int:
    """``VmRSS`` now, or the highest so far, ``VmHWM``, in bytes; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)


def _cpu() -> float:
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    """Measure one action, and print its figures as JSON."""
    peer, *rest = sys.argv[1:]
    act = PEERS[peer](Job(*rest))
    idle = _resident("VmRSS")
    with contextlib.suppress(OSError):  # elsewhere than on Linux
        Path("/proc/self/clear_refs").write_text("5")  # the highest so far is the present, from here on
    cpu, begun = _cpu(), time.perf_counter()
    verification = act()
    seconds, cpu = time.perf_counter() - begun, _cpu() - cpu
    memory = max(0, _resident("VmHWM") - idle)
    if peer == "s5cmd":
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "memory": memory, "verification": verification}))


if __name__ == "__main__":
    main()
