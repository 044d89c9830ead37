"""Options that mean nothing to a driver are refused before the driver is made of them.

The constructors of ftp, sftp and smb connect, and others drop what they do not
know, so what is misspelt must be found here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from persistence_fsspec import config
from persistence_fsspec.config import FACTORY, UNCHECKED, Options
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.spelling import POSSIBLE, nearest
from persistence_fsspec.stores.known import TRANSLATED, known_options, switches
from persistence_fsspec.stores.options import FROM_URL
from persistence_fsspec.stores.quirks import driver_name
from persistence_fsspec.stores.suggestions import suggestion

_warned: set[tuple[str, str]] = set()


def require_known(cls: type, protocol: str, options: Options, class_of: Callable[[str], type]) -> None:
    """Refuse what the drivers of a place do not know.

    Args:
        cls: The driver of the first link.
        protocol: Its protocol.
        options: Of the place.
        class_of: The driver's class for the protocol of another link.

    Raises:
        InvalidOptionError: The first option that means nothing to its driver.
    """
    for link, its, found in ((protocol, cls, options), *((p, class_of(p), o) for p, o in options.links.items())):
        for wrong in unknown(its, link, found):
            raise wrong


def unknown(cls: type, protocol: str, options: Options) -> list[InvalidOptionError]:
    """One error for each option that a driver does not know; and a warning for each that it may know."""
    judge = _Judge(cls, protocol)
    return [
        wrong
        for name, value in options.values.items()
        if not (name in options.unchecked or options.origins[name] == FROM_URL or name == FACTORY)
        for wrong in judge.objections(name, value, options)
    ]


def option_path(cls: type, name: str) -> list[str]:
    """The way that an option's name with dots leads, table by table: one step when the dots belong to the name.

    Args:
        cls: The driver that the option is for.
        name: As written: ``"client_kwargs.verify"``, ``"dfs.blocksize"``, ``"extra_conf.dfs.blocksize"``.
    """
    first, dot, rest = name.partition(".")
    if known_options(cls).dotted and first not in known_options(cls).names:
        return [name]
    if driver_name(cls) == "pyarrow" and first == "extra_conf" and dot:  # what is in it is Hadoop's configuration
        return [first, rest]
    return name.split(".")


class _Judge:
    """What is known of one driver, and how to say that something is not."""

    def __init__(self, cls: type, protocol: str) -> None:
        known = known_options(cls)
        self._cls, self._protocol, self._driver = cls, protocol, driver_name(cls)
        self._known = replace(known, names=known.names | TRANSLATED.get(self._driver, frozenset()))

    def objections(self, name: str, value: Any, options: Options) -> list[InvalidOptionError]:
        origin = options.origins[name]
        if self._driver == "paramiko" and name == "known_hosts" and value is not None:  # None is the dialect's to translate
            return [self._error(name, name, "did you mean 'host_key_policy'?", origin)]
        if name in self._known.names or (self._known.dotted and "." in name):
            return self._wrong_value(name, value, origin, checked="get_client" not in options.values)
        if not self._known.open:
            return [self._error(name, name, suggestion(name, self._driver, self._known), origin)]
        near = nearest(name, self._known.names)
        if near is not None:
            return [self._error(name, name, f"did you mean {near!r}?", origin)]
        self._warn(name)
        return []

    def _wrong_value(self, name: str, value: Any, origin: str, *, checked: bool) -> list[InvalidOptionError]:
        """No value is shown: it may be a secret that went into the wrong place."""
        if name in self._known.nested and value is not None and not callable(value):
            if not isinstance(value, Mapping):
                return [self._misfit(name, "a mapping, such as {'name': value}", value, origin)]
            return list(self._inside(name, value, origin)) if checked else []
        if name in switches(self._cls) and isinstance(value, str):
            return [self._misfit(name, "true or false", value, origin)]
        return []

    def _misfit(self, name: str, wanted: str, value: Any, origin: str) -> InvalidOptionError:
        place = "" if origin == config.KEYWORD else f"It comes from {origin}."
        return InvalidOptionError(f"option {name!r} for {self._protocol} is {wanted}, not {type(value).__name__}", hint=place)

    def _inside(self, name: str, value: Mapping[Any, Any], origin: str) -> Iterator[InvalidOptionError]:
        names = self._known.nested[name]()
        for inner in value:
            if names is None or inner in names:
                continue
            near = nearest(str(inner), names, POSSIBLE)
            said = f"did you mean {near!r}?" if near else ""
            if near is None and inner in self._known.names:
                said = f"{inner!r} stands beside {name!r}, not in it"
            yield self._error(f"{name}[{inner!r}]", name, said, origin)

    def _warn(self, name: str) -> None:
        """Once for each class and name."""
        maker = f"{self._cls.__module__}.{self._cls.__qualname__}"
        if (maker, name) in _warned:
            return
        _warned.add((maker, name))
        warnings.warn(
            f"option {name!r} is passed on to {maker}, whose constructor takes any name and does not say which it knows; "
            f"{UNCHECKED}={{{name!r}: ...}} says that it is meant",
            UserWarning,
            stacklevel=2,
        )

    def _error(self, shown: str, option: str, said: str, origin: str) -> InvalidOptionError:
        foreign = self._driver == "unknown" or self._known.open
        maker = f"{self._cls.__module__}.{self._cls.__qualname__}" if foreign else self._driver
        text = f"unknown option {shown!r} for {self._protocol} ({maker})" + (f"; {said}" if said else "")
        place = "" if origin == config.KEYWORD else f"It comes from {origin}. "
        return InvalidOptionError(text, hint=f"{place}{UNCHECKED}={{{option!r}: ...}} passes it to the driver without a look.")
