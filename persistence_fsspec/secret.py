"""Secrets among options: referred to instead of written down, and never shown.

Which options are secret is decided by what is known to be harmless: a name that
this list has never seen is hidden, so that a new driver's new kind of key is
not the first to be printed.
"""

from __future__ import annotations

import datetime
import enum
import inspect
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from persistence_fsspec.errors import InvalidOptionError, SecretPicklingError
from persistence_fsspec.redaction import MASK, protect, protect_login, protect_url, redact, redact_places

COMMAND_TIMEOUT_SECONDS: Final = 30.0
_ANSWER_SECONDS: Final = 60.0

_answers: dict[tuple[str, ...], tuple[float, str]] = {}
_asking = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SecretReference:
    """Where a secret is, in place of the secret: it may be printed, pickled and written into files.

    It is looked up where it is used, so each worker finds its own.

    Attributes:
        env: Name of an environment variable.
        file: Path of a file that holds the secret as text; ``~`` is the home. A newline at its end does not count.
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
        text = Path(name).expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError) as exc:  # no home is a RuntimeError
        reason = getattr(exc, "strerror", None) or type(exc).__name__
        raise InvalidOptionError(f"a secret is expected in the file {name}: {reason}") from None
    except UnicodeDecodeError:
        raise InvalidOptionError(f"a secret is expected in the file {name}, which is not text in UTF-8") from None
    return _stripped(text, f"the file {name}")


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
    """Ask programs again, as after credentials have expired."""
    with _asking:
        _answers.clear()


def _after_fork_in_child() -> None:
    global _asking
    _asking = threading.Lock()  # another thread of the parent may hold the old one


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


# --- which options are secret ---------------------------------------------------

_HARMLESS: Final = frozenset(
    """
    protocol target_protocol fo path paths root key_prefix name names url base_url endpoint endpoint_url api_endpoint proxy proxies
    host hosts hostname port ports server servers scheme share region region_name default_location location bucket container project
    project_id account_name account_host tenant_id client_id user username login user_name domain workgroup kerb_user
    effective_user proxy_to repository repo org ref branch sha catalog dataset storage_class acl
    block_size blocksize default_block_size default_cache_type cache_type cache_storage cache_check compression encoding mode
    access consistency retry retry_mode addressing_style signature_version api_version version use_ssl verify ca_bundle cafile
    capath ssl_verify timeout timeouts location_mode size_policy pool_type encrypt tempdir tmpdir temp_dir kerb_ticket ticket_cache
    key_filename key_file keyfile cert_file certfile client_keys known_hosts config config_file ssh_config hostkey_algorithms
    server_host_key_algs kex_algs encryption_algs mac_algs compression_algs preferred_auth disabled_algorithms term_type
    profile profile_name share_access replication fs_name kerberos_service content_type content_encoding accept user_agent range
    cache_control filesystem_factory serversideencryption storageclass requestpayer tls_version
    """.split()  # noqa: SIM905 - a hundred quotes and commas would not make it clearer
)
"""Options whose text is no secret."""

_SUSPICIOUS: Final = re.compile(r"(?i)pass|secret|token|key|credential|auth|sig|sas|pin$|cookie|cert|private|jwt|bearer")
_PATHS: Final = re.compile(r"(?s)^(?:/|~|[A-Za-z]:[\\/]).*\.(?:json|pem|key|crt|toml|ini|conf)$")
# What gcsfs takes instead of a token, and s3fs and adlfs instead of a key.
_WORDS: Final = frozenset({"", "anon", "anonymous", "anonymous@", "browser", "cache", "cloud", "default", "google_default"})
_USERS: Final = ("username", "user", "login")
_PASSWORDS: Final = ("password", "passwd", "pass")


def resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options as a driver takes them: every reference looked up, also in nested tables and lists.

    What is secret in them is hidden from texts from now on.

    Raises:
        InvalidOptionError: A secret is not where it should be; the message names the option.
    """
    return _resolve_mapping("", options)


def _resolve_mapping(dotted: str, options: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: _resolve(str(name), _join(dotted, name), value) for name, value in options.items()}
    # Drivers send user and password as one word, which neither of the two is part of.
    user = next((found[name] for name in _USERS if isinstance(found.get(name), str)), None)
    for password in [found.get(name) for name in _PASSWORDS] if user is not None else ():
        if isinstance(password, str):
            protect_login(f"{user}:{password}")
    return found


def _resolve(name: str, dotted: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return _resolve_mapping(dotted, value)
    if isinstance(value, (list, tuple)):
        items = [_resolve(own, path, one) for own, path, one in _items(name, dotted, value)]
        if name == "auth" and len(items) == 2 and all(isinstance(one, str) for one in items):
            protect_login(":".join(items))
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, SecretReference):
        value = _look_up(value, dotted)
    if isinstance(value, (str, bytes)) and not _harmless(name, value):
        _hide(value)
    return value


def _hide(value: str | bytes) -> None:
    """Hide a secret, and the parts of it that drivers and servers name alone."""
    protect(value)
    if isinstance(value, bytes):
        return
    if "://" in value:
        protect_url(value)
    for part in re.split(r"[;&?]", value):  # a connection string, or a signature for a URL
        name, equals, inner = part.partition("=")
        if equals and _SUSPICIOUS.search(name):
            protect(inner)
            protect(unquote(inner))
    kind, _, rest = value.partition(" ")  # as in the header of a request: "Bearer ..."
    if kind.lower() in {"basic", "bearer", "token", "negotiate", "digest"}:
        protect(rest)


def _look_up(reference: SecretReference, dotted: str) -> str:
    try:
        return reference.resolve()
    except InvalidOptionError as exc:
        raise InvalidOptionError(f"{dotted}: {exc.message}", hint=exc.hint) from None


def rebuilt(value: Any) -> Any:
    """A copy of options that shares nothing which could be changed, except objects that are not ours to copy."""
    if isinstance(value, Mapping):
        return {name: rebuilt(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rebuilt(one) for one in value]
    return value


def referenced(value: Any) -> Any:
    """Options in which tables that stand for references (`SecretReference.from_table`) have become references."""
    if isinstance(value, Mapping):
        return SecretReference.from_table(value) or {name: referenced(one) for name, one in value.items()}
    return [referenced(one) for one in value] if isinstance(value, list) else value


def as_tables(value: Any) -> Any:
    """The other way round: options that JSON and TOML can hold."""
    if isinstance(value, SecretReference):
        return value.table()
    if isinstance(value, Mapping):
        return {name: as_tables(one) for name, one in value.items()}
    return [as_tables(one) for one in value] if isinstance(value, (list, tuple)) else value


def protect_filesystem(filesystem: Any) -> None:
    """Hide the secrets in the arguments that a ready fsspec instance was made of."""
    _resolve_mapping("", _arguments(filesystem))


def shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options for people to look at: what is not known to be harmless is ``***``.

    Examples:
        >>> shown({"endpoint_url": "http://host:9000", "secret": "x", "key": SecretReference(env="KEY"), "anon": False})
        {'endpoint_url': 'http://host:9000', 'secret': '***', 'key': SecretReference(env='KEY'), 'anon': False}
    """
    return {name: _show(str(name), value) for name, value in options.items()}


def _show(name: str, value: Any) -> Any:
    if isinstance(value, SecretReference):
        return value
    if isinstance(value, Mapping):
        return shown(value)
    if isinstance(value, (list, tuple)):
        return [_show(own, one) for own, _, one in _items(name, name, value)]
    if not _harmless(name, value):
        return MASK
    return redact(value if isinstance(value, str) else repr(value)) if not isinstance(value, _PLAIN) else value


def literal_secrets(options: Mapping[str, Any]) -> list[str]:
    """The names of options that hold a secret, or something that may hold one, instead of a reference to it.

    Args:
        options: Flat, or nested by protocol.

    Returns:
        Dotted where they are nested, in order: ``["s3.secret", "webdav.auth[1]"]``.

    Examples:
        >>> literal_secrets({"s3": {"key": SecretReference(env="KEY"), "secret": "x", "use_ssl": True}})
        ['s3.secret']
    """
    return [found for name, value in options.items() for found in _literals(str(name), str(name), value)]


def option_secrets(given: Any) -> list[str]:
    """As `literal_secrets`, of ``storage_options``: a mapping, None, or a function, which must be found by its name."""
    if given is None or callable(given):
        return [] if given is None or _has_a_name(given) else ["storage_options (a function that no module names)"]
    return [f"storage_options.{name}" for name in literal_secrets(given)]


def filesystem_secrets(filesystem: Any) -> list[str]:
    """As `literal_secrets`, of the arguments that a ready fsspec instance keeps, and hands on when it is pickled."""
    return literal_secrets(_arguments(filesystem))


def _arguments(filesystem: Any) -> dict[str, Any]:
    given = tuple(getattr(filesystem, "storage_args", ()))
    try:
        names = [name for name in inspect.signature(type(filesystem)).parameters if name != "self"]
    except (TypeError, ValueError):
        names = []
    positional = {names[i] if i < len(names) else f"args[{i}]": value for i, value in enumerate(given)}
    return {**positional, **dict(getattr(filesystem, "storage_options", {}))}


def _literals(name: str, dotted: str, value: Any) -> Iterator[str]:
    if isinstance(value, SecretReference):
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _literals(str(key), _join(dotted, key), one)
    elif isinstance(value, (list, tuple)):
        for own, path, one in _items(name, dotted, value):
            yield from _literals(own, path, one)
    elif hasattr(value, "storage_options") and hasattr(value, "protocol"):  # a filesystem inside of another
        yield from (f"{dotted}.{inner}" for inner in filesystem_secrets(value))
    elif not _harmless(name, value):
        yield dotted


def _join(dotted: str, name: object) -> str:
    return f"{dotted}.{name}" if dotted else str(name)


def _items(name: str, dotted: str, values: list[Any] | tuple[Any, ...]) -> Iterator[tuple[str, str, Any]]:
    """Name, dotted name and value of each; a pair called *auth* begins with the user, as in every library for the web."""
    fields = getattr(values, "_fields", None)
    for i, value in enumerate(values):
        own = fields[i] if fields else ("username" if name == "auth" and i == 0 and len(values) == 2 else name)
        yield own, f"{dotted}[{i}]", value


_PLAIN: Final = (bool, int, float, type(None))


def _harmless(name: str, value: Any) -> bool:
    """Whether an option may be printed, pickled and written down."""
    plain = name.lower().replace("-", "_")
    if value is None or isinstance(value, bool):
        return True
    known = plain in _HARMLESS or ("." in name and not _SUSPICIOUS.search(name))  # dfs.client.x: Hadoop's own
    if isinstance(value, (int, float)):
        return known or not _SUSPICIOUS.search(plain)
    if isinstance(value, str):
        return value.lower() in _WORDS or bool(_PATHS.match(value)) or (known and _is_one_word(value))
    if isinstance(value, (enum.Enum, os.PathLike, datetime.date, datetime.time, datetime.timedelta)):
        return True
    # A key where the name of its file is expected may be an object, or bytes.
    return _has_a_name(value) or (known and not isinstance(value, bytes) and not _SUSPICIOUS.search(plain))


def _is_one_word(value: str) -> bool:
    """Not a whole key file, and not a URL with a login or a signature."""
    return "\n" not in value and redact_places(value) == value


def _has_a_name(value: Any) -> bool:
    """A class or function of a module: pickling keeps its name, and nothing that it holds."""
    found: Any = sys.modules.get(getattr(value, "__module__", None) or "")
    for part in str(getattr(value, "__qualname__", "<none>")).split("."):
        found = getattr(found, part, None)
    return found is not None and found is value


_WAYS_OUT: Final = (
    'Put SecretReference(env="NAME") in place of the value, and set NAME where it is used; or keep the options in a profile of '
    "persistence.toml, and say profile=...; or let a module-level function be the storage_options, or the driver's own "
    "environment hold the credentials. Each process then finds its own."
)


def check_portable(what: str, names: list[str]) -> None:
    """Refuse to pickle what would take secrets along.

    Args:
        what: What is being pickled.
        names: What it holds secrets in; nothing, when it may travel.

    Raises:
        SecretPicklingError: There are any.
    """
    if names:
        raise SecretPicklingError(
            f"{what} holds secrets, which are not pickled: {', '.join(names)}", operation="pickle", hint=_WAYS_OUT
        )
