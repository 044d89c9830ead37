"""statisfactory's interface of backends without statisfactory."""

from __future__ import annotations

import logging
import threading
from abc import ABCMeta, abstractmethod
from typing import Any, ClassVar
from urllib.parse import ParseResult

from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.faces.statisfactory.making import made, protocols
from persistence_fsspec.faces.statisfactory.storage import Registration
from persistence_fsspec.forks import whole_when_forked


class PrefixTakenError(InvalidOptionError, TypeError):
    """A class was to be registered for a prefix that has one."""


class Backend(metaclass=ABCMeta):
    """Bytes to and from a service, one subclass per prefix; those of all protocols that fsspec knows are there.

    Args:
        session: Whose ``settings`` hold, or None.
        logger_name: Where `debug`, `info` and `warn` go.

    Examples:
        >>> from urllib.parse import urlparse
        >>> backend = Backend.backends()["memory"](session=None)
        >>> backend.put(payload=b"rows", fragment=urlparse("memory://artifacts/a #1.csv"))
        >>> backend.get(fragment=urlparse("memory://artifacts/a #1.csv"))
        b'rows'
    """

    _backends: ClassVar[dict[str, type[Backend]]] = {}
    _ours: ClassVar[set[str]] = set()
    """Prefixes that were filled in once; who takes one out does not get it back."""

    def __init__(self, session: Any = None, logger_name: str = __name__) -> None:
        super().__init__()
        self._session, self._logger = session, logging.getLogger(logger_name)

    def __init_subclass__(cls, *, prefix: str, **more: Any) -> None:
        """Register a subclass.

        Raises:
            PrefixTakenError: There is one for that prefix.
            InvalidOptionError: It cannot be one.
            TypeError: No *prefix*.
        """
        super().__init_subclass__(**more)
        if not isinstance(prefix, str):
            raise InvalidOptionError(f"a prefix is text, not {type(prefix).__name__}", hint='"" is that of plain paths.')
        if ":" in prefix:
            raise InvalidOptionError(f"the prefix {prefix!r} is written without ://")
        if prefix not in Backend._ours:
            Backend.backends()
        if prefix in Backend._backends:
            raise PrefixTakenError(
                f"there is a backend for the prefix {prefix!r} already", hint=f"Backend.backends().pop({prefix!r}) takes it out."
            )
        Backend._backends[prefix] = cls

    @classmethod
    def backends(cls) -> dict[str, type[Backend]]:
        """The class of each prefix. It is the mapping itself, so what is taken out of it is gone."""
        if not Backend._ours.issuperset(protocols()):
            with _filling:
                new = [protocol for protocol in protocols() if protocol not in Backend._ours]
                Backend._ours.update(new)
                for protocol in new:
                    if protocol not in Backend._backends:
                        made(Backend, protocol, _registration)
        return Backend._backends

    @abstractmethod
    def put(self, *, payload: Any, fragment: ParseResult, **context: Any) -> None:
        """Write *payload*, bytes or the like, under a parsed path."""

    @abstractmethod
    def get(self, *, fragment: ParseResult, **context: Any) -> bytes:
        """What is stored under a parsed path."""

    def debug(self, message: str) -> None:
        self._logger.debug(message)

    def info(self, message: str) -> None:
        self._logger.info(message)

    def warn(self, message: str) -> None:
        self._logger.warning(message)


_registration = Registration()
_filling = threading.RLock()  # registering one looks whether all are there
whole_when_forked(_filling)
