"""References to secrets: written down, printed and pickled in place of them, and looked up where they are used."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.redaction import redact_places

if TYPE_CHECKING:
    from concurrent.futures import Future

COMMAND_TIMEOUT_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 60.0
STREAM_TIMEOUT_SECONDS: Final = 30.0
_STREAM_BYTES: Final = 1 << 20

_answers: dict[tuple[str, ...], tuple[float, str]] = {}
_streams: dict[str, Future[bytes]] = {}
_asking = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SecretReference:
    """Where a secret is, in place of the secret: it may be printed, pickled and written into files.

    It is looked up where it is used, so each worker finds its own.

    Attributes:
        env: Name of an environment variable.
        file: Path of a file that holds the secret as text; ``~`` is the home. A newline at its end does not count. A pipe
            (``/dev/stdin``, ``<(program)`` of a shell) is read once per process.
        command: A program and its arguments, run without a shell, that prints the secret.

    Raises:
        InvalidOptionError: Not exactly one of them is given.

    Examples:
        >>> SecretReference(env="BUCKET_KEY")
        SecretReference(env='BUCKET_KEY')
    """

    env: str | None = None
    file: str | None = None
    command: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        given = [name for name in ("env", "file", "command") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidOptionError(
                f"a secret reference is exactly one of env, file and command, not {' and '.join(given) or 'nothing'}"
            )
        value = getattr(self, given[0])
        if self.command is not None and isinstance(value, (list, tuple)):
            object.__setattr__(self, "command", tuple(value))
            value = " ".join(value) if all(isinstance(part, str) for part in value) else None
        elif self.file is not None and isinstance(value, os.PathLike):
            value = os.fspath(value)
            object.__setattr__(self, "file", value)
        elif self.command is not None:
            value = None
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            shape = "a list of strings" if self.command is not None else "a string"
            raise InvalidOptionError(f"the {given[0]} of a secret reference must be {shape}, and not empty")

    def __repr__(self) -> str:
        name = next(name for name in ("env", "file", "command") if getattr(self, name) is not None)
        return f"{type(self).__name__}({name}={redact_places(repr(getattr(self, name)))})"

    @classmethod
    def from_table(cls, value: object) -> SecretReference | None:
        """The reference that a table of a configuration file stands for.

        Args:
            value: ``{"env": "NAME"}``, ``{"file": "~/key"}`` or ``{"command": ["program", "argument"]}``.

        Returns:
            None when it is anything else.

        Examples:
            >>> SecretReference.from_table({"command": ["pass", "show", "bucket"]})
            SecretReference(command=('pass', 'show', 'bucket'))
            >>> SecretReference.from_table({"env": "A", "port": 21}) is None
            True
        """
        if not isinstance(value, Mapping) or len(value) != 1:
            return None
        name, what = next(iter(value.items()))
        if isinstance(what, str) and name in {"env", "file"}:
            return cls(env=what) if name == "env" else cls(file=what)
        return cls(command=tuple(what)) if name == "command" and isinstance(what, (list, tuple)) else None

    def table(self) -> dict[str, Any]:
        """As a table of a configuration file; `from_table` backwards."""
        values = {"env": self.env, "file": self.file, "command": list(self.command) if self.command else None}
        return {name: value for name, value in values.items() if value is not None}

    def resolve(self) -> str:
        """Look the secret up.

        Raises:
            InvalidOptionError: It is not there. The message names the variable, file or program, never what it said.
        """
        if self.env is not None:
            return _from_environment(self.env)
        return _from_file(self.file) if self.file is not None else _from_command(self.command or ())


def _from_environment(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise InvalidOptionError(f"the environment variable {name} is not set, and a secret is expected in it")
    return value


def _from_file(name: str) -> str:
    try:
        path = Path(name).expanduser()
        text = (_read_once(path) if _is_stream(path) else path.read_bytes()).decode("utf-8").replace("\r\n", "\n")
    except (OSError, RuntimeError) as exc:  # no home is a RuntimeError
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise InvalidOptionError(f"a secret is expected in the file {name}: {reason}") from None
    except UnicodeDecodeError:
        raise InvalidOptionError(f"a secret is expected in the file {name}, which is not text in UTF-8") from None
    return _stripped(text, f"the file {name}")


def _is_stream(path: Path) -> bool:
    """A pipe or a terminal, such as ``<(program)`` of a shell: it says what it says once, whoever asks how often."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return str(path) in _streams  # closed after it was read; otherwise reading it says what is wrong
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


def _read_once(path: Path) -> bytes:
    """What a stream says, kept for the life of the process.

    Raises:
        InvalidOptionError: It says nothing for too long, or does not end.
        OSError: It cannot be read.
    """
    from concurrent import futures  # noqa: PLC0415 - for the few who have one

    with _asking:
        answer = _streams.get(str(path))
        if answer is None:
            answer = _streams[str(path)] = futures.Future()
            # Opening a pipe blocks until somebody writes, and cannot be interrupted; the thread goes on waiting.
            threading.Thread(target=_read_into, args=(answer, path), name="secret", daemon=True).start()
    try:
        said = answer.result(STREAM_TIMEOUT_SECONDS)
    except futures.TimeoutError:
        raise InvalidOptionError(
            f"a secret is expected in {path}, a pipe or terminal that said nothing within {STREAM_TIMEOUT_SECONDS:g} s"
        ) from None
    except OSError:
        with _asking:
            _streams.pop(str(path), None)
        raise
    if len(said) > _STREAM_BYTES:
        raise InvalidOptionError(f"a secret is expected in {path}, which says more than {_STREAM_BYTES} bytes")
    return said


def _read_into(answer: Future[bytes], path: Path) -> None:
    try:
        with path.open("rb") as file:
            answer.set_result(file.read(_STREAM_BYTES + 1))
    except OSError as exc:
        answer.set_exception(exc)


def _from_command(command: tuple[str, ...]) -> str:
    """Ask the program; an answer holds for a minute, or a thousand small files would start it a thousand times."""
    with _asking:
        asked, answer = _answers.get(command, (0.0, ""))
        if not answer or time.monotonic() - asked > _ANSWER_SECONDS:
            answer = _stripped(_run(command), f"what {command[0]} prints")
            _answers[command] = (time.monotonic(), answer)
        return answer


def _run(command: tuple[str, ...]) -> str:
    program = command[0]
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            [os.path.expanduser(program), *command[1:]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise InvalidOptionError(f"{program} did not give a secret within {COMMAND_TIMEOUT_SECONDS:g} s") from None
    except OSError as exc:
        raise InvalidOptionError(f"{program}, which gives a secret, cannot be run: {exc.strerror}") from None
    if done.returncode:
        raise InvalidOptionError(
            f"{program}, which gives a secret, ended with status {done.returncode}",
            hint="Run it by hand to see why; what it prints is not shown here.",
        )
    try:
        return done.stdout.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidOptionError(f"what {program} prints is not text in UTF-8") from None


def _stripped(text: str, where: str) -> str:
    value = text.removesuffix("\n").removesuffix("\r")
    if not value:
        raise InvalidOptionError(f"{where} is empty, and a secret is expected there")
    return value


def forget_answers() -> None:
    """Ask programs again, as after credentials have expired. Pipes are not: what they said is gone."""
    with _asking:
        _answers.clear()


def _after_fork_in_child() -> None:
    global _asking
    _asking = threading.Lock()  # another thread of the parent may hold the old one
    for name in [name for name, answer in _streams.items() if not answer.done()]:
        del _streams[name]  # the thread that waits for it is the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# --- as tables ------------------------------------------------------------------


def referenced(value: Any) -> Any:
    """Options in which tables that stand for references (`SecretReference.from_table`) have become references.

    Only for what its owner wrote: a reference may run programs.
    """
    if isinstance(value, Mapping):
        return SecretReference.from_table(value) or {name: referenced(one) for name, one in value.items()}
    return [referenced(one) for one in value] if isinstance(value, list) else value


def referenced_variables(value: Any, dotted: str = "") -> Any:
    """As `referenced`, for options that may come from anywhere, such as a catalog: only tables that name a variable.

    Args:
        value: Options.
        dotted: Where they are, for the error.

    Raises:
        InvalidOptionError: A table names a file, or a program to run.
    """
    if isinstance(value, Mapping):
        reference = SecretReference.from_table(value)
        if reference is None:
            return {name: referenced_variables(one, f"{dotted}.{name}".lstrip(".")) for name, one in value.items()}
        if reference.env is None:
            (kind,) = reference.table()
            raise InvalidOptionError(
                f'option {dotted}: a plain table that names a {kind} is not followed here; only {{"env": "NAME"}} is',
                hint=f"Options may come from data, which must neither run programs nor read files. "
                f"In a program, write SecretReference({kind}=...); or keep it in a profile of persistence.toml.",
            )
        return reference
    if isinstance(value, list):
        return [referenced_variables(one, f"{dotted}[{i}]") for i, one in enumerate(value)]
    return value


def as_tables(value: Any) -> Any:
    """The other way round: options that JSON and TOML can hold."""
    if isinstance(value, SecretReference):
        return value.table()
    if isinstance(value, Mapping):
        return {name: as_tables(one) for name, one in value.items()}
    return [as_tables(one) for one in value] if isinstance(value, (list, tuple)) else value
