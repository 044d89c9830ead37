"""Which options hold for a URL, and where each comes from.

There is one rule. For each option, the first of these that names it decides:

1. the keyword: ``storage_options``, or what `FSSpecPersistence.options_for` returns;
2. the URL itself: ``sftp://me@host:2222``;
3. the user's own ``persistence.toml``, and below it the one in the working folder (`configfile`);
4. fsspec's own configuration;
5. the driver's own environment, by itself: it fills what is still open.

One option is one value: a mapping such as ``client_kwargs`` is replaced whole, never mixed of two sources.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fsspec.registry import known_implementations, registry

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.location import ALIASES, is_chain

StorageOptions = Mapping[str, Any] | Callable[[str], Mapping[str, Any]] | None

KEYWORD: Final = "storage_options"
"""Origin of what the caller gave."""

UNCHECKED: Final = "unchecked"
"""The option whose members go to the driver without a look."""

FACTORY: Final = "filesystem_factory"
"""The option that names a function which makes the fsspec filesystem."""


@dataclass(frozen=True, slots=True)
class OptionSource:
    """What one place says.

    Attributes:
        origin: The place, for people: ``"storage_options"``, ``"the URL"``, a file and the table in it.
        options: Name to value. A secret may still be a reference.
    """

    origin: str
    options: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Options:
    """What all places say together.

    Attributes:
        values: Name to value; secrets are still references.
        origins: Name to the origin of that value.
        unchecked: Names that go to the driver without a look.
        links: Of a chained URL, the options of the links behind the first, by protocol.
    """

    values: Mapping[str, Any] = field(default_factory=dict, repr=False)
    origins: Mapping[str, str] = field(default_factory=dict)
    unchecked: frozenset[str] = frozenset()
    links: Mapping[str, Options] = field(default_factory=dict)


def merged(sources: Iterable[OptionSource]) -> Options:
    """Put sources on top of one another.

    Args:
        sources: The most important first.

    Raises:
        InvalidOptionError: Something is not a mapping, or an option's name is not a string.

    Examples:
        >>> options = merged([OptionSource("storage_options", {"a": 1}), OptionSource("the URL", {"a": 2, "b": 3})])
        >>> dict(options.values), options.origins["b"]
        ({'a': 1, 'b': 3}, 'the URL')
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    trusted: set[str] = set()
    for source in sources:
        options = checked_shape(source.options, source.origin)
        free = checked_shape(options.get(UNCHECKED) or {}, f"{UNCHECKED} in {source.origin}")
        for name, value in {**options, **free}.items():
            if name in values or name == UNCHECKED:
                continue
            values[name], origins[name] = value, source.origin
            if name in free:
                trusted.add(name)
    return Options(values, origins, frozenset(trusted))


def checked_shape(options: Any, origin: str) -> Mapping[str, Any]:
    """Options that are a mapping with strings for names.

    Raises:
        InvalidOptionError: They are not. No value is shown: it may be a secret.
    """
    if not isinstance(options, Mapping):
        raise InvalidOptionError(f"{origin} must be a mapping, not {type(options).__name__}")
    for name in options:
        if not isinstance(name, str):
            raise InvalidOptionError(f"{origin}: the names of options are strings, not {type(name).__name__}")
    return options


def canonical(protocol: str) -> str:
    """The protocol under whose name this one's stores are known; see `sharing` for their options.

    Examples:
        >>> canonical("s3a"), canonical("ftp")
        ('s3', 'ftp')
    """
    return ALIASES.get(protocol, protocol)


def sharing(protocol: str) -> str:
    """The protocol whose options this one shares.

    That is `canonical`, but for ``https``: what is meant for it must not be sent in the clear, so ``http`` has its own.

    Examples:
        >>> sharing("s3a"), sharing("https"), sharing("http")
        ('s3', 'https', 'http')
    """
    return protocol if protocol == "https" else canonical(protocol)


def chain(url: str) -> list[tuple[str, str]]:
    """The links of a URL, each with its protocol; one link when it is not a chain.

    Examples:
        >>> chain("simplecache::s3://b/x")
        [('simplecache', 'simplecache://'), ('s3', 's3://b/x')]
    """
    links = []
    for link in url.split("::") if is_chain(url) else [url]:
        bare = "://" not in link and is_protocol(link)
        whole = link if "://" in link else f"{link}://" if bare else f"file://{link}"
        links.append((whole.partition("://")[0].lower(), whole))
    return links


def is_protocol(name: str) -> bool:
    """Whether a driver is known under this name, installed or not."""
    return name in known_implementations or name in registry or name in ALIASES


def known_protocols() -> list[str]:
    """The names of all drivers that fsspec has heard of."""
    return sorted({*known_implementations, *registry, *ALIASES})


def resolve_options(given: StorageOptions, url: str, protocol: str, default_protocol: str | None) -> dict[str, Any]:
    """What the keyword says of one URL.

    Args:
        given: Flat, for the default prefix's protocol; nested, by protocol; or a function of the URL.
        url: Without credentials; what a function is asked with.
        protocol: Of the URL.
        default_protocol: Of the default prefix, if there is one.

    Returns:
        The options of the first link, and of a chain those of the other links below their protocols.

    Raises:
        InvalidOptionError: They are neither a mapping nor a function of one.
    """
    if given is None or (callable(given) and canonical(protocol) == "file"):  # who answers for a store means that store
        return {}
    options = checked_shape(given(url) if callable(given) else given, KEYWORD)
    behind = [link for link, _ in chain(url)[1:]]
    if _is_nested(options):
        own = dict(_of_protocol(options, protocol))
        return {**own, **{link: found for link in behind if (found := _of_protocol(options, link))}}
    if callable(given) or default_protocol is None or sharing(default_protocol) == sharing(protocol):
        return dict(options)
    return {link: options for link in behind if sharing(link) == sharing(default_protocol)}


def _of_protocol(options: Mapping[str, Any], protocol: str) -> Mapping[str, Any]:
    wanted = sharing(protocol)
    found: Mapping[str, Any] = next((value for name, value in options.items() if sharing(name) == wanted), {})
    return found


def check_options(given: StorageOptions, default_protocol: str | None) -> None:
    """Refuse what could not apply to anything.

    Raises:
        InvalidOptionError: It is neither a mapping nor a function, or there is no default prefix to say whose flat options
            they are.
    """
    if given is None or callable(given):
        return
    checked_shape(given, KEYWORD)
    if given and default_protocol is None and not _is_nested(given):
        raise InvalidOptionError(
            "flat storage_options need a default_prefix, whose protocol they belong to",
            hint='Nest them by protocol instead: storage_options={"s3": {...}}.',
        )


def _is_nested(options: Mapping[str, Any]) -> bool:
    return bool(options) and all(isinstance(value, Mapping) and is_protocol(name) for name, value in options.items())


class Answers:
    """What a function of the URL said, once per URL: a new answer means new credentials, and so a new connection.

    A copy or a pickle of it remembers nothing.
    """

    def __init__(self) -> None:
        self._said: dict[str, Mapping[str, Any]] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Answers, ()

    def of(self, ask: Callable[[str], Mapping[str, Any]], url: str) -> Mapping[str, Any]:
        """The answer for a URL; the first of two threads that ask at once is kept."""
        if url not in self._said:
            return self._said.setdefault(url, ask(url))
        return self._said[url]

    def forget(self, url: str) -> None:
        """Ask again the next time."""
        self._said.pop(url, None)
