"""Options and policies from the command line, and the persistence that follows from them."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from typing import Annotated, Any, Final

import typer

from persistence_fsspec.addresses import refuse_missing_slash
from persistence_fsspec.config import sharing
from persistence_fsspec.errors import InvalidOptionError, PersistenceError
from persistence_fsspec.location import is_url, local
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.registry import DataPersistencePlugins
from persistence_fsspec.secret import SecretReference
from persistence_fsspec.spelling import nearest

_PREFIX: Final = "PERSISTENCE_FSSPEC_"
_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]*)")
_FLOAT: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]*)\.[0-9]+")
_CREDENTIAL: Final = re.compile(
    r"(?i)^(?:.*_)?(?:password|passwd|passphrase|secret|token|key|key_id|pin)$|^user(?:name)?$|^account"
)
"""Names whose values are text, also where they look like numbers."""

AsJson = Annotated[
    bool, typer.Option("--json", help="The result as JSON on standard output, an error as JSON on standard error.")
]
Verbose = Annotated[
    int, typer.Option("-v", "--verbose", count=True, show_default=False, help="Show what happens; -vv shows everything.")
]
Profile = Annotated[str | None, typer.Option("--profile", metavar="NAME", help="Options from this profile of persistence.toml.")]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "-o",
        "--option",
        metavar="NAME=VALUE",
        help="A driver's option: -o endpoint_url=..., -o s3.endpoint_url=... when the URLs differ. "
        "A secret by reference: -o secret@env=VARIABLE, secret@file=PATH, secret@command=PROGRAM.",
    ),
]
Policies = Annotated[
    list[str] | None,
    typer.Option(
        "-p", "--policy", metavar="FIELD=VALUE", help="How to work: -p attempts=10, -p verify=readback, -p bytes_per_second=10MB."
    ),
]


def address(text: str) -> str:
    """The URL of an argument: a URL stays what it is, any plain path is local, and its trailing slash keeps its meaning."""
    if is_url(text):
        return text
    refuse_missing_slash(text)
    return local(text).url


def persistence_for(
    urls: Sequence[str],
    *,
    profile: str | None = None,
    options: Sequence[str] | None = None,
    policies: Sequence[str] | None = None,
) -> FSSpecPersistence:
    """The adapter for one command.

    Args:
        urls: What it will be asked for, from `address`; options without a protocol belong to theirs.
        profile: See `FSSpecPersistence`.
        options: As given with ``-o``.
        policies: As given with ``-p``.

    Raises:
        InvalidOptionError: One of them cannot be understood.
    """
    return FSSpecPersistence(
        storage_options=storage_options(options or (), urls) or None, profile=profile, policy=policy(policies or ())
    )


def storage_options(given: Iterable[str], urls: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Options by protocol.

    Args:
        given: ``name=value``, ``protocol.name=value`` or ``name@env=VARIABLE``; a dot inside a name leads into a table.
        urls: Options without a protocol belong to theirs.

    Raises:
        InvalidOptionError: No ``=``, or no single protocol to give it to.

    Examples:
        >>> storage_options(["anon=true", "client_kwargs.region_name=eu-west-1"], ["s3://b/k", "file:///tmp"])
        {'s3': {'anon': True, 'client_kwargs': {'region_name': 'eu-west-1'}}}
    """
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidOptionError("-o needs NAME=VALUE", hint="For example: -o endpoint_url=https://minio.example")
        plain, _, kind = name.strip().partition("@")
        if not kind:
            _refuse_written_out(plain, value)
        kept = _value(kind, value, plain)
        first, dot, rest = plain.partition(".")
        if dot and DataPersistencePlugins.is_supported_protocol(first):
            protocol, plain = sharing(first), rest
        else:
            protocol = _only_protocol(urls, first)
        names = _path(protocol, plain)
        table: Any = found.setdefault(protocol, {})
        for part in names[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InvalidOptionError(f"-o gives {part} a value, and values inside it")
        table[names[-1]] = kept
    return found


def _refuse_written_out(name: str, text: str) -> None:
    """A table as Python or JSON writes it would go to the driver as text."""
    if not text.lstrip().startswith("{") or not isinstance(from_toml(text), str):
        return
    tables = []
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError):
            tables.append(read(text.strip()))
    for table in tables:
        if isinstance(table, dict) and table:
            said = " ".join(f"-o {name}.{inner}={shlex.quote(_spelled(value))}" for inner, value in table.items())
            raise InvalidOptionError(f"-o {name}=... is a table, and would be passed on as text", hint=f"Write {said}")


def _spelled(value: Any) -> str:
    """A plain value as `from_toml` reads it."""
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _path(protocol: str, name: str) -> list[str]:
    """The tables that a name with dots leads through; some drivers have dots in their names."""
    if "." not in name:
        return [name]
    from persistence_fsspec.stores.opening import driver_class  # noqa: PLC0415 - loads a driver
    from persistence_fsspec.stores.strict import option_path  # noqa: PLC0415 - for names with dots only

    try:
        return option_path(driver_class(protocol), name)
    except PersistenceError:  # which is told when the store is opened
        return name.split(".")


def _only_protocol(urls: Sequence[str], name: str) -> str:
    protocols = {sharing(DataPersistencePlugins.get_protocol(url)) for url in urls}
    distant = protocols - {"file"} or protocols
    if len(distant) != 1:
        choices = " or ".join(f"{protocol}.{name}" for protocol in sorted(distant))
        raise InvalidOptionError(f"-o {name}=... could belong to either URL; say {choices}")
    return distant.pop()


def _value(kind: str, text: str, name: str) -> Any:
    if kind == "env":
        return SecretReference(env=text)
    if kind == "file":
        return SecretReference(file=text)
    if kind == "command":
        try:
            return SecretReference(command=tuple(shlex.split(text)))
        except ValueError as exc:  # its text is about quotes, and quotes nothing
            raise InvalidOptionError(f"-o {name}@command=...: {str(exc).lower()}", hint="Close every quote.") from None
    if kind:
        raise InvalidOptionError(f"-o NAME@{kind}=... is unknown; a secret comes from @env, @file or @command")
    return text if _CREDENTIAL.search(name.rpartition(".")[2]) else from_toml(text)


def from_toml(text: str) -> Any:
    """A value as TOML writes it (``true``, ``10``, ``"10"``, ``[1, 2]``), where nothing else can be meant; else the text itself.

    Examples:
        >>> [from_toml(text) for text in ("true", "10", '"10"', "eu-west-1", "1e5", "1_000", "007", "[1, 2]")]
        [True, 10, '10', 'eu-west-1', '1e5', '1_000', '007', [1, 2]]
    """
    if text in {"true", "false"}:
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if not text.startswith(("[", "{", '"')):
        return text
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only who gives options pays for reading them
    else:
        import tomli as tomllib  # noqa: PLC0415

    try:
        read = tomllib.loads(f"value = [{text}]")["value"]  # in brackets, a comment behind it is no TOML
    except tomllib.TOMLDecodeError:
        return text
    return read[0] if len(read) == 1 else text


def policy(given: Iterable[str]) -> Policy:
    """A policy whose fields are read as from the environment (``8MiB``, ``none``).

    Raises:
        InvalidOptionError: No such field, or no such value.

    Examples:
        >>> policy(["part_size=1MiB"]).part_size
        1048576
    """
    variable_of = {one.name: f"{_PREFIX}{one.name.upper()}" for one in fields(Policy)}
    variables = {}
    for text in given:
        name, equals, value = (part.strip() for part in text.partition("="))
        if name not in variable_of:
            near = nearest(name, variable_of)
            said = f"; did you mean {near!r}?" if near else ""
            raise InvalidOptionError(f"-p has no field {name!r}{said}", hint=f"There are: {', '.join(variable_of)}.")
        if not equals or not value:
            raise InvalidOptionError(f"-p {name} needs a value", hint="For example: -p attempts=10")
        variables[variable_of[name]] = value
    with _environment(variables):
        try:
            return Policy()
        except InvalidOptionError as exc:
            message = exc.message
            for name, variable in variable_of.items():
                if variable in variables:  # another one does stand in the environment
                    # The value is left out: who confuses -p with -o may have typed a secret.
                    message = message.replace(f"{variable}={variables[variable]!r}", f"-p {name}=...")
                    message = message.replace(f"{variable}=", f"-p {name}=").replace(repr(variables[variable]), "...")
            raise InvalidOptionError(message, hint=exc.hint) from None


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
