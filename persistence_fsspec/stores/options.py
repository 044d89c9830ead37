"""The options of one place, gathered from everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import fsspec.config

from persistence_fsspec import config
from persistence_fsspec.config import FACTORY, Options, OptionSource
from persistence_fsspec.configtables import is_needless
from persistence_fsspec.errors import MissingDriverError, UnknownProtocolError
from persistence_fsspec.location import Location

FROM_URL: Final = "the URL"
FROM_FSSPEC: Final = "fsspec's configuration"
_GENERIC: Final = "fsspec.generic.GenericFileSystem"  # copies between others, and opens nothing itself
_WEB: Final = frozenset({"http", "https"})


def gather(location: Location, given: Sequence[OptionSource], profile: str | None, class_of: Callable[[str], type]) -> Options:
    """All that is said of one place; see `config` for who wins.

    Args:
        location: With its key: a table of the file may hold for a folder only.
        given: What the caller says, the most important first; of a chain, other links' options below their protocols.
        profile: Of the file.
        class_of: The driver's class for a protocol.

    Raises:
        InvalidOptionError: Something is not shaped like options, or a file is wrong.
        UnknownProtocolError: fsspec knows no such protocol, or what serves it is no store.
        MissingDriverError: The package that serves it is not installed.
    """
    links = config.chain(location.root)
    if len(links) == 1:
        return _of_link(location.protocol, location.url, given, profile, location, class_of)
    inner = {}
    behind = {protocol for protocol, _ in links[1:]}
    for protocol, url in links[1:]:
        sources = [_below(source, protocol) for source in given]
        login = location.userinfo if (protocol, url) == links[-1] else ""
        inner[protocol] = _of_link(protocol, url, sources, profile, None, class_of, userinfo=login)
    flat = [_without(source, behind) for source in given]
    first = _of_link(location.protocol, links[0][1], flat, profile, None, class_of)
    return Options(first.values, first.origins, first.unchecked, inner)


def _of_link(
    protocol: str,
    url: str,
    given: Sequence[OptionSource],
    profile: str | None,
    location: Location | None,
    class_of: Callable[[str], type],
    *,
    userinfo: str = "",
) -> Options:
    sources = [*given, OptionSource(FROM_URL, {}), *_of_files(url, profile)]
    try:
        cls = class_of(protocol)
    except (MissingDriverError, UnknownProtocolError):
        if not any(FACTORY in source.options for source in sources):  # which makes another filesystem
            raise
        return config.merged(sources)
    if f"{cls.__module__}.{cls.__qualname__}" == _GENERIC:
        raise UnknownProtocolError(f"{protocol}:// is no store", hint=f"Leave {protocol}:: away: each URL finds its own store.")
    sources[len(given)] = OptionSource(FROM_URL, _of_url(cls, location, userinfo))
    sources.append(OptionSource(FROM_FSSPEC, _of_fsspec(cls, protocol)))
    return config.merged(sources)


def _of_files(url: str, profile: str | None) -> list[OptionSource]:
    """What ``persistence.toml`` says."""
    if is_needless(profile):
        return []
    from persistence_fsspec.configfile import file_sources  # noqa: PLC0415 - only who has a file pays for reading it

    return file_sources(url, profile)


def _of_url(cls: Any, location: Location | None, userinfo: str) -> dict[str, Any]:
    """What the driver reads in the root of a URL, and the password, which roots have lost.

    fsspec reads the links of a chain by itself, but for that password.
    """
    found = {} if location is None else dict(cls._get_kwargs_from_urls(f"{location.root}/"))
    user, _, password = (userinfo if location is None else location.userinfo).partition(":")
    if password:
        found.update(username=user, password=password)
    return {name: value for name, value in found.items() if value not in (None, "")}


def _of_fsspec(cls: Any, protocol: str) -> dict[str, Any]:
    """What fsspec would add by itself, for every protocol of the class; but see `apart`."""
    cls = apart(cls, protocol)
    names = [cls.protocol] if isinstance(cls.protocol, str) else cls.protocol
    found: dict[str, Any] = {}
    for name in names:
        said = fsspec.config.conf.get(name)
        if isinstance(said, Mapping):
            found.update(said)
    return found


@lru_cache(maxsize=64)
def apart(cls: Any, protocol: str) -> Any:
    """The class itself; of one for both ``http`` and ``https``, its twin for one of them.

    fsspec gives each instance what its configuration says of any protocol of the class, so that a token for ``https`` would
    go over ``http`` in the clear.
    """
    names = [cls.protocol] if isinstance(cls.protocol, str) else list(cls.protocol)
    if protocol not in _WEB or not {*names} >= _WEB:
        return cls
    own = tuple(name for name in names if name == protocol or name not in _WEB)
    return type(cls)(cls.__name__, (cls,), {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "protocol": own})


def _below(source: OptionSource, protocol: str) -> OptionSource:
    found = config.checked_shape(source.options, source.origin).get(protocol, {})
    return OptionSource(source.origin, config.checked_shape(found, f"{protocol!r} in {source.origin}"))


def _without(source: OptionSource, protocols: set[str]) -> OptionSource:
    return OptionSource(source.origin, {name: v for name, v in source.options.items() if name not in protocols})
