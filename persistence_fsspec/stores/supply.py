"""The options that a store's connections are made with: secrets looked up when needed, asked for again when they expire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from fsspec.spec import AbstractFileSystem

from persistence_fsspec import secret, sensitive
from persistence_fsspec.config import FACTORY, Options
from persistence_fsspec.errors import InvalidOptionError, PersistenceError
from persistence_fsspec.foreign import classify

Ask = Callable[[], Options]
"""Asks all sources again."""


class Supply:
    """The options of one store. Never printed: they hold secrets.

    Args:
        options: As they were gathered; secrets are references.
        ask: Gathers them again; None when nothing else could come of it.

    Attributes:
        defaults: What holds where the options say nothing.
        check: Refuses options that cannot be used.
    """

    def __init__(self, options: Options, ask: Ask | None = None) -> None:
        self._options, self._ask = options, ask
        self.defaults: Mapping[str, Any] = {}
        self.check: Callable[[Options], None] = _nothing_to_check
        self._last: dict[str, Any] | None = None
        self._next: dict[str, Any] | None = None

    def take(self) -> dict[str, Any]:
        """What the next connection is made with, those of a chain's other links below their protocols."""
        found, self._next = self._next, None
        self._last = found if found is not None else _resolved(self._options)
        return {**self.defaults, **{name: dict(v) if name in self._options.links else v for name, v in self._last.items()}}

    def renew(self) -> bool:
        """Ask all sources, and look all secrets up again.

        Returns:
            Whether anything has changed, so that trying once more may help.

        Raises:
            InvalidOptionError: What the sources say now cannot be used.
        """
        secret.forget_answers()
        options = self._options if self._ask is None else self._ask()
        self.check(options)
        found = _resolved(options)
        changed = self._last is None or not _same(found, self._last) or FACTORY in found
        self._options, self._next = options, found
        return changed


def _nothing_to_check(_: Options) -> None:
    """A factory decides by itself what it takes."""


def _resolved(options: Options) -> dict[str, Any]:
    return sensitive.resolved({**options.values, **{protocol: _resolved(link) for protocol, link in options.links.items()}})


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether nothing has changed; what cannot be compared, or refuses to say so in one word, has."""
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001 - anything may be an option, arrays too
        return False


def made_by_factory(factory: Any, url: str, options: Mapping[str, Any]) -> Any:
    """Let the user's own function make the filesystem.

    Args:
        factory: A callable, or the dotted name of one: ``package.module:function``.
        url: Of the store's root, without a password.
        options: All other options; an URL's user and password are among them.

    Raises:
        InvalidOptionError: There is no such function, it fails, or what it returns is no fsspec filesystem. What fsspec's
            drivers raise when they connect passes as it is.
    """
    name = factory if isinstance(factory, str) else getattr(factory, "__qualname__", type(factory).__name__)
    try:
        fs = _function(factory)(url, **{key: value for key, value in options.items() if key != FACTORY})
    except PersistenceError:
        raise
    except Exception as exc:
        if classify(exc) is not None and not isinstance(exc, (TypeError, ValueError)):
            raise
        raise InvalidOptionError(
            f"{FACTORY} {name} failed: {type(exc).__name__}", hint="Its own error stands above this one."
        ) from exc
    if not isinstance(fs, AbstractFileSystem):
        raise InvalidOptionError(f"{FACTORY} {name} returned {type(fs).__name__}, which is no fsspec filesystem")
    return fs


def _function(factory: Any) -> Callable[..., Any]:
    if isinstance(factory, str):
        module, colon, name = factory.partition(":")
        if not (colon and module and name):
            raise InvalidOptionError(f"{FACTORY} must look like 'package.module:function', not {factory!r}")
        try:
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
        except ImportError as exc:
            raise InvalidOptionError(f"{FACTORY} {factory!r}: {module!r} cannot be imported: {exc}") from exc
        except AttributeError as exc:
            raise InvalidOptionError(f"{FACTORY} {factory!r}: {module!r} has no {name!r}") from exc
        factory = found
    if not callable(factory):
        raise InvalidOptionError(f"{FACTORY} must be a function or its dotted name, not {type(factory).__name__}")
    call: Callable[..., Any] = factory
    return call
