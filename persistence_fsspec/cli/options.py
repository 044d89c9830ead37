"""Options and policies from the command line, and the persistence that follows from them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Annotated, Any, Final

import typer

from persistence_fsspec.addresses import refuse_missing_slash
from persistence_fsspec.config import canonical
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import is_url, local
from persistence_fsspec.persistence import FSSpecPersistence
from persistence_fsspec.policy import Policy
from persistence_fsspec.registry import DataPersistencePlugins
from persistence_fsspec.secret import SecretReference

_PREFIX: Final = "PERSISTENCE_FSSPEC_"
_PLAIN: Final = (str, bool, int, float, list, dict)

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
        names, kept = name.strip().partition("@")[0].split("."), _value(name.strip().partition("@")[2], value)
        if len(names) > 1 and DataPersistencePlugins.is_supported_protocol(names[0]):
            protocol, names = canonical(names[0]), names[1:]
        else:
            protocol = _only_protocol(urls, names[0])
        table: Any = found.setdefault(protocol, {})
        for part in names[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                raise InvalidOptionError(f"-o gives {part} a value, and values inside it")
        table[names[-1]] = kept
    return found


def _only_protocol(urls: Sequence[str], name: str) -> str:
    protocols = {canonical(DataPersistencePlugins.get_protocol(url)) for url in urls}
    distant = protocols - {"file"} or protocols
    if len(distant) != 1:
        choices = " or ".join(f"{protocol}.{name}" for protocol in sorted(distant))
        raise InvalidOptionError(f"-o {name}=... could belong to either URL; say {choices}")
    return distant.pop()


def _value(kind: str, text: str) -> Any:
    if kind == "env":
        return SecretReference(env=text)
    if kind == "file":
        return SecretReference(file=text)
    if kind == "command":
        return SecretReference(command=tuple(shlex.split(text)))
    if kind:
        raise InvalidOptionError(f"-o NAME@{kind}=... is unknown; a secret comes from @env, @file or @command")
    return from_toml(text)


def from_toml(text: str) -> Any:
    """A value as TOML writes it (``true``, ``10``, ``"10"``, ``[1, 2]``); anything else is the text itself.

    Examples:
        >>> [from_toml(text) for text in ("true", "10", '"10"', "eu-west-1", "2026-01-01")]
        [True, 10, '10', 'eu-west-1', '2026-01-01']
    """
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415 - only who gives options pays for reading them
    else:
        import tomli as tomllib  # noqa: PLC0415

    try:
        read = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return read["value"] if set(read) == {"value"} and isinstance(read["value"], _PLAIN) else text


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
        name, _, value = text.partition("=")
        if name.strip() not in variable_of or not value.strip():
            raise InvalidOptionError(
                f"-p {text} is no field of a policy and its value", hint=f"There are: {', '.join(variable_of)}."
            )
        variables[variable_of[name.strip()]] = value
    with _environment(variables):
        return Policy()


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
