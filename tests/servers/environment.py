"""Environments for servers, of Python or of node, away from the libraries under test.

One environment for everything cannot work: moto's botocore is newer than the
one that s3fs pins through aiobotocore.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .process import NotInstalled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venvs"
BUILD_TIMEOUT_SECONDS = 900.0


def environment(
    name: str,
    requirements: Sequence[str],
    *,
    no_deps: Sequence[str] = (),
    base: Path | None = None,
    project: bool = False,
) -> Path:
    """Return the interpreter of an environment that holds *requirements*.

    The first use builds it, which takes seconds to half a minute and needs a
    package index; later ones only look. Safe across parallel test runs.

    Args:
        name: Short name, for people who look into the folder.
        requirements: What to install, as for pip; pin the exact versions.
        no_deps: What to install without its own requirements, some of which cannot be had any more.
        base: The interpreter to make it with, from `find_python`; the one that runs the tests unless given.
        project: This project is installed there, too: its files as they are
            now, its entry points and requirements as `pyproject.toml` says.

    Returns:
        The Python executable inside the environment.

    Raises:
        NotInstalled: It could not be built.
    """
    # The base interpreter counts: an environment does not outlive it.
    origin = (platform.python_version(), sys.base_prefix) if base is None else (str(base),)
    alone = ("--no-deps", *sorted(no_deps)) if no_deps else ()
    folder = ENVIRONMENTS / f"{name}-{_fingerprint(*sorted(requirements), *alone, *origin)}"
    python = folder / "bin" / "python"

    installs = [requirements, alone]
    _build_once(folder, python, lambda lock: _build(folder, installs, lock, base or Path(sys.executable)))
    if project:
        _install_project(folder, python)
    return python


def find_python(version: str) -> Path:
    """Find an interpreter of another version: ``python3.10`` on the path, or one that pyenv installed.

    Args:
        version: ``"3.10"``.

    Raises:
        NotInstalled: There is none.
    """
    named = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = [Path(named)] if named else []
    for versions in (pyenv, Path(sys.base_prefix).parent):  # where this one may have been installed as well
        found += sorted(versions.glob(f"{version}.*/bin/python"), reverse=True)
    question = "import sys; print(sys.executable, *sys.version_info[:2])"
    for candidate in found:  # pyenv puts a script of that name on the path, which may only say that it is not chosen
        answer = subprocess.run([candidate, "-I", "-c", question], capture_output=True, text=True, check=False)  # noqa: S603
        if answer.returncode == 0 and answer.stdout.split()[-2:] == version.split("."):
            return Path(answer.stdout.rsplit(maxsplit=2)[0]).resolve()
    message = f"there is no Python {version}: neither python{version} on the path, nor one in {pyenv}"
    raise NotInstalled(message)


def node_program(name: str, requirement: str, program: str) -> list[str]:
    """Return the command that runs *program* of an npm package.

    Built by the first use and kept, as `environment` does, in a folder of its
    own: nothing is installed for the whole machine.

    Args:
        name: Short name, for people who look into the folder.
        requirement: The package, as for npm; pin the exact version.
        program: What the package calls its command.

    Raises:
        NotInstalled: There is no node here, or npm failed.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        message = f"{requirement} needs node and npm: apt-get install nodejs npm (Debian), brew install node (macOS)"
        raise NotInstalled(message)
    folder = ENVIRONMENTS / f"{name}-{_fingerprint(requirement)}"
    script = folder / "node_modules" / ".bin" / program
    _build_once(folder, script, lambda lock: _npm(npm, folder, requirement, lock))
    # Named outright, so that the script's own first line does not choose.
    return [node, str(script)]


def _fingerprint(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _build_once(folder: Path, program: Path, build: Callable[[int], None]) -> None:
    if not _is_ready(folder, program):
        with _locked(folder) as lock:
            # Perhaps the one we waited for has just built it.
            if not _is_ready(folder, program):
                build(lock)


def _is_ready(folder: Path, program: Path) -> bool:
    return (folder / ".ready").exists() and program.exists()


@contextmanager
def _locked(folder: Path) -> Iterator[int]:
    ENVIRONMENTS.mkdir(exist_ok=True)
    (ENVIRONMENTS / ".gitignore").write_text("*\n")
    with folder.with_name(f"{folder.name}.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock.fileno()


def _install_project(folder: Path, python: Path) -> None:
    """Install this project as links to its files, again whenever what it says of itself has changed."""
    wanted = _fingerprint((ROOT / "pyproject.toml").read_text())
    marker = folder / ".project"
    with _locked(folder) as lock:
        if marker.exists() and marker.read_text() == wanted:
            return
        _pip(python, ["--editable", str(ROOT)], lock)
        marker.write_text(wanted)


def _build(folder: Path, installs: Iterable[Sequence[str]], lock: int, base: Path) -> None:
    # In place, because scripts and configuration hold the path; the marker,
    # written last, tells a finished environment from an interrupted one.
    (folder / ".ready").unlink(missing_ok=True)
    _run([str(base), "-I", "-m", "venv", "--clear", "--without-pip", str(folder)], lock)
    for requirements in filter(None, installs):
        _pip(folder / "bin" / "python", requirements, lock)
    (folder / ".ready").touch()


def _pip(python: Path, requirements: Sequence[str], lock: int) -> None:
    # By the pip of the tests, from outside; and most of a server's files are never run, so none is compiled before it is.
    options = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-compile"]
    _run([sys.executable, "-I", "-m", "pip", "--python", str(python), "install", *options, *requirements], lock)


def _npm(npm: str, folder: Path, requirement: str, lock: int) -> None:
    (folder / ".ready").unlink(missing_ok=True)
    folder.mkdir(exist_ok=True)
    # Packages get to run nothing of their own while they are being installed.
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--save-exact"]
    _run([npm, "install", "--prefix", str(folder), *options, requirement], lock)
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
        raise NotInstalled(message) from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise NotInstalled(str(exc)) from exc
