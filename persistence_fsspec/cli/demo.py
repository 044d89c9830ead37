"""The main job on real input: a tree of thousands of files goes to a store and comes back the same."""

from __future__ import annotations

import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from persistence_fsspec.cli import output
from persistence_fsspec.cli.diagnose import origins_of
from persistence_fsspec.cli.errors import one_screen, wants_json
from persistence_fsspec.cli.options import AsJson, Options, Policies, Profile, Verbose, address, policy, storage_options
from persistence_fsspec.cli.outcome import progress_bar
from persistence_fsspec.errors import ChecksumMismatchError
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.transfer.progress import Progress
from persistence_fsspec.transfer.report import TransferReport

_LEFT_OUT: Final = ("__pycache__/", "site-packages/", "dist-packages/", "config-*/")
FOLDER: Final = "persist-demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """What the demonstration found.

    Attributes:
        put: The way there.
        get: The way back.
        compared: Files whose digest was the same on both ways.
        where: URL of the tree.
        seconds: In all.
    """

    put: TransferReport
    get: TransferReport
    compared: int
    where: str
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": 1,
            "where": self.where,
            "files": len(self.put.copied),
            "bytes": self.put.bytes,
            "put_seconds": round(self.put.seconds, 3),
            "get_seconds": round(self.get.seconds, 3),
            "verification": {"put": self.put.verification, "get": self.get.verification},
            "digests_compared": self.compared,
            "seconds": round(self.seconds, 3),
        }


DEMO_EXAMPLES: Final = """\b
Examples:
  persist demo                                         into a folder .persistence here
  persist demo s3://my-bucket/demo"""


def demo(
    url: Annotated[str | None, typer.Argument(metavar="[URL]", help="Where to; without it, a folder .persistence here.")] = None,
    profile: Profile = None,
    option: Options = None,
    policies: Policies = None,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Try it: a real tree goes there, comes back, is compared.

    Thousands of files: Python's own standard library.
    """
    place = address(url) if url else None
    urls = [place] if place else ["file:///"]
    with one_screen(as_json=as_json, verbose=verbose, origins=origins_of(urls, profile, option)):
        given = storage_options(option or (), urls) or None
        persistence = FSSpecPersistence(place, storage_options=given, profile=profile, policy=policy(policies or ()))
        result = run_demo(persistence, progress=None if wants_json(as_json) else progress_bar)
        if wants_json(as_json):
            output.as_json(result.as_dict())
            return
        output.fields(
            (
                ("files", f"{len(result.put.copied)}"),
                ("bytes", f"{result.put.bytes:,}"),
                ("put", f"{result.put.seconds:.2f} s, verified by {result.put.verification}"),
                ("get", f"{result.get.seconds:.2f} s, verified by {result.get.verification}"),
                ("digests compared", f"{result.compared}, all equal"),
                ("where it lies", result.where),
            )
        )


def source_tree() -> Path:
    """Python's own standard library: there wherever this runs, real, and thousands of files."""
    return Path(sysconfig.get_path("stdlib"))


def run_demo(persistence: FSSpecPersistence, *, progress: Callable[[], Progress | None] | None = None) -> DemoResult:
    """Put the standard library into a store, get it back, and compare digest by digest.

    Args:
        persistence: The store; the tree goes to ``persist-demo`` below its prefix, and stays there.
        progress: Makes a listener for each of both ways.

    Raises:
        ChecksumMismatchError: A file came back different.
        PersistenceError: A file did not arrive, there or back.
    """
    begun = time.monotonic()
    next(persistence.listdir(), None)  # a dead server or a missing bucket is one error, not one per file

    def listener() -> Progress | None:
        return progress() if progress else None

    # All of it each time: the second demonstration is not to be one of skipping.
    put = persistence.put(source_tree(), FOLDER, recursive=True, exclude=_LEFT_OUT, compare="never", progress=listener())
    with tempfile.TemporaryDirectory(prefix="persist-demo-") as back:
        get = persistence.get(FOLDER, back, recursive=True, exclude=_LEFT_OUT, compare="never", progress=listener())
        compared = _compare(put, get)
    return DemoResult(put=put, get=get, compared=compared, where=persistence.url(FOLDER), seconds=time.monotonic() - begun)


def _compare(put: TransferReport, get: TransferReport) -> int:
    """Digests were computed on the way there, of the originals, and on the way back, of what the store holds."""
    returned = {file.source: file.digest for file in get.copied}
    for file in put.copied:
        if file.digest is None or returned.get(file.target) != file.digest:
            raise ChecksumMismatchError(f"came back as {returned.get(file.target)}, was {file.digest}", url=file.target)
    return len(put.copied)
