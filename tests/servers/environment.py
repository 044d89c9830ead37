"""Virtual environments for servers, away from the libraries under test.

One environment for everything cannot work: moto's botocore is newer than the
one that s3fs pins through aiobotocore.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .process import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENVIRONMENTS = Path(__file__).resolve().parents[2] / ".venvs"
BUILD_TIMEOUT_SECONDS = 900.0


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Return the interpreter of an environment that holds *requirements*.

    The first use builds it, which takes seconds to half a minute and needs a
    package index; later ones only look. Safe across parallel test runs.

    Args:
        name: Short name, for people who look into the folder.
        requirements: What to install, as for pip; pin the exact versions.

    Returns:
        The Python executable inside the environment.

    Raises:
        ServerUnavailable: It could not be built.
    """
    folder = ENVIRONMENTS / f"{name}-{_fingerprint(requirements)}"
    python = folder / "bin" / "python"
    if not _is_ready(folder):
        with _locked(folder) as lock:
            # Perhaps the one we waited for has just built it.
            if not _is_ready(folder):
                _build(folder, requirements, lock)
    return python


def _fingerprint(requirements: Sequence[str]) -> str:
    # The base interpreter counts: an environment does not outlive it.
    parts = [*sorted(requirements), platform.python_version(), sys.base_prefix]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _is_ready(folder: Path) -> bool:
    return (folder / ".ready").exists() and (folder / "bin" / "python").exists()


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    with folder.with_name(f"{folder.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _build(folder: Path, requirements: Sequence[str], lock: int) -> None:
    # In place, because scripts and configuration hold the path; the marker,
    # written last, tells a finished environment from an interrupted one.
    (folder / ".ready").unlink(missing_ok=True)
    _run([sys.executable, "-I", "-m", "venv", "--clear", str(folder)], lock)
    python = str(folder / "bin" / "python")
    options = ["--quiet", "--no-input", "--disable-pip-version-check"]
    _run([python, "-I", "-m", "pip", "install", *options, *requirements], lock)
    (folder / ".ready").touch()


def _run(command: list[str], lock: int) -> None:
    try:
        subprocess.run(  # noqa: S603 - our own command, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=True,
            timeout=BUILD_TIMEOUT_SECONDS,
            # If this test run is killed, its pip goes on writing; holding the
            # lock too, it keeps the next run out until it is through.
            pass_fds=(lock,),
        )
    except subprocess.CalledProcessError as exc:
        message = f"failed: {' '.join(command)}\n{exc.stdout[-4000:].strip()}"
        raise ServerUnavailable(message) from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ServerUnavailable(str(exc)) from exc
