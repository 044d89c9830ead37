"""Which class persists which protocol: Flyte's plug-in registry without Flyte.

The names and rules are those of flytekit's ``DataPersistencePlugins`` up to
1.4, so that a class written for it can be registered here, and ours there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from fsspec.registry import available_protocols

from persistence_fsspec.dotted import dotted, load
from persistence_fsspec.errors import UnknownProtocolError, UnsupportedPersistenceOp

_DEFAULT: Final = "persistence_fsspec.persistence.FSSpecPersistence"


class DataPersistence:
    """What a framework asks of a persistence layer: the least, in five operations.

    Args:
        name: For messages.
        default_prefix: Where keys without a protocol lie.
    """

    def __init__(self, name: str = "", default_prefix: str | None = None, **_: Any) -> None:
        self._name, self._default_prefix = name, default_prefix

    @property
    def name(self) -> str:
        """For messages."""
        return self._name

    @property
    def default_prefix(self) -> str | None:
        """Where keys without a protocol lie."""
        return self._default_prefix

    def listdir(self, path: str, recursive: bool = False) -> Iterator[str]:  # noqa: ARG002, FBT001, FBT002 - Flyte's signature
        """List a folder.

        Raises:
            UnsupportedPersistenceOp: This class cannot.
        """
        raise UnsupportedPersistenceOp(f"{type(self).__name__} cannot list", operation="list", url=str(path))

    def exists(self, path: str) -> bool:
        """Whether something is stored there."""
        raise UnsupportedPersistenceOp(f"{type(self).__name__} has no exists()", operation="exists", url=str(path))

    def get(self, from_path: str, to_path: str, recursive: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
        """Fetch a file or a tree to this machine."""
        raise UnsupportedPersistenceOp(f"{type(self).__name__} has no get()", operation="get", url=str(from_path))

    def put(self, from_path: str, to_path: str, recursive: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002
        """Store a file or a tree of this machine."""
        raise UnsupportedPersistenceOp(f"{type(self).__name__} has no put()", operation="put", url=str(to_path))

    def construct_path(self, add_protocol: bool, add_prefix: bool, *paths: str) -> str:  # noqa: ARG002, FBT001
        """Join names below the prefix."""
        raise UnsupportedPersistenceOp(f"{type(self).__name__} has no construct_path()", operation="construct_path")


class DataPersistencePlugins:
    """The classes registered for protocols; `FSSpecPersistence` serves every protocol of fsspec that has none."""

    _plugins: ClassVar[dict[str, type[Any] | str]] = {}

    @classmethod
    def register_plugin(cls, protocol: str, plugin: type[Any] | str, force: bool = False) -> None:  # noqa: FBT001, FBT002
        """Serve a protocol by a class.

        Args:
            protocol: ``"cf"`` or ``"cf://"``.
            plugin: A class with the operations of `DataPersistence`, or its dotted name, which is imported when needed.
            force: Replace another class.

        Raises:
            TypeError: Another class is registered, and *force* was not given.
        """
        name = _bare(protocol)
        present = cls._plugins.get(name)
        if present is not None and dotted(present) == dotted(plugin):
            return
        if present is not None and not force:
            raise TypeError(f"{name}:// is served by {dotted(present)}; pass force=True to replace it by {dotted(plugin)}")
        cls._plugins[name] = plugin

    @classmethod
    def unregister_plugin(cls, protocol: str) -> None:
        """Give a protocol back to `FSSpecPersistence`."""
        cls._plugins.pop(_bare(protocol), None)

    @staticmethod
    def get_protocol(url: str) -> str:
        """The protocol of a URL or path; a chain has that of its first link.

        Examples:
            >>> DataPersistencePlugins.get_protocol("simplecache::s3://b/x")
            'simplecache'
            >>> DataPersistencePlugins.get_protocol("/tmp/x")
            'file'
        """
        parts = re.split(r"::|://", str(url), maxsplit=1)
        return parts[0].lower() if len(parts) > 1 else "file"

    @classmethod
    def find_plugin(cls, path: str) -> type[Any]:
        """The class that serves a URL or path.

        Raises:
            UnknownProtocolError: No class is registered, and fsspec does not know the protocol.
        """
        protocol = cls.get_protocol(path)
        found = cls._plugins.get(protocol)
        if found is None and protocol not in available_protocols():
            raise UnknownProtocolError(
                f"no persistence class and no driver is known for {protocol}://",
                hint="Register one with DataPersistencePlugins.register_plugin, or install its driver.",
            )
        cls_found: type[Any] = load(found or _DEFAULT)
        return cls_found

    @classmethod
    def is_supported_protocol(cls, protocol: str) -> bool:
        """Whether a URL of this protocol can be served; a missing driver package is only found out when used."""
        return _bare(protocol) in cls._plugins or _bare(protocol) in available_protocols()

    @classmethod
    def supported_protocols(cls) -> list[str]:
        """All protocols, registered or known to fsspec."""
        return sorted({*cls._plugins, *available_protocols()})


def _bare(protocol: str) -> str:
    return "file" if protocol == "/" else protocol.removesuffix("://").lower()
