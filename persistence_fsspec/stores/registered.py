"""Who stands behind a protocol: the class, the package it comes from, and whom it replaced."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fsspec.registry import known_implementations, registry

from persistence_fsspec.errors import MissingDriverError, UnknownProtocolError
from persistence_fsspec.stores.opening import driver_class, install_command


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolInfo:
    """One protocol.

    Attributes:
        protocol: What stands before ``://``.
        driver: Dotted name of the class that serves it.
        package: Name and version of the distribution that the class comes from; empty when it is not known.
        registered_by: Who named that class: ``"fsspec"``, a distribution, or ``"this process"``.
        replaced: Dotted name of the class that fsspec itself would use; empty when it is the same.
        installed: Whether the driver can be loaded here.
        missing: What is missing, when it is not.
        install: The command that brings it; empty when no extra of ours does, or nothing is missing.
    """

    protocol: str
    driver: str
    package: str
    registered_by: str
    replaced: str = ""
    installed: bool = True
    missing: str = ""
    install: str = ""


def protocols() -> list[ProtocolInfo]:
    """Every protocol that fsspec's registry knows, by name. Loads the drivers, to know which can be."""
    return [registration(name) for name in sorted({*known_implementations, *registry})]


def registration(protocol: str) -> ProtocolInfo:
    """Who serves one protocol.

    Raises:
        UnknownProtocolError: fsspec knows no such protocol.
    """
    driver, registered_by = _registered(protocol)
    missing, install = "", ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a driver says when it is loaded is not about us
            cls = driver_class(protocol)
        driver = f"{cls.__module__}.{cls.__qualname__}"
    except UnknownProtocolError:
        raise
    except MissingDriverError as exc:
        missing, install = exc.message, install_command(protocol)
    except Exception as exc:  # noqa: BLE001 - a package that breaks when it is loaded; installing it again would not help
        missing = f"{type(exc).__name__} when it is loaded"
    original = _originals().get(protocol, {}).get("class", "")
    return ProtocolInfo(
        protocol=protocol,
        driver=driver,
        package="" if missing else distribution(driver),
        registered_by=registered_by,
        replaced=original if original and registered_by != "fsspec" else "",
        installed=not missing,
        missing=missing,
        install=install,
    )


def _registered(protocol: str) -> tuple[str, str]:
    """The class as it was registered, and by whom."""
    named = known_implementations.get(protocol, {}).get("class", "")
    cls = registry.get(protocol)
    said = _plain(named) or (f"{cls.__module__}.{cls.__qualname__}" if cls is not None else "")
    for entry in _entry_points():
        if entry.name == protocol and _plain(entry.value) == said:
            owner = entry.dist
            return said, f"{owner.name} {owner.version}" if owner is not None else "an installed package"
    original = _plain(_originals().get(protocol, {}).get("class", ""))
    if cls is not None and original and not _is(cls, original):
        return f"{cls.__module__}.{cls.__qualname__}", "this process"
    return said, "fsspec" if original and said == original else "this process"


def _is(cls: type, dotted: str) -> bool:
    """Whether a dotted name means this class; packages export theirs under shorter names."""
    module, _, name = dotted.rpartition(".")
    return name == cls.__qualname__ and module.partition(".")[0] == cls.__module__.partition(".")[0]


def _plain(name: str) -> str:
    return name.replace(":", ".")


@cache
def _entry_points() -> tuple[Any, ...]:
    return tuple(importlib.metadata.entry_points(group="fsspec.specs"))


@cache
def _originals() -> Mapping[str, Mapping[str, str]]:
    """The table of fsspec itself, before any package wrote into it: of a second copy of its module, which nobody else sees."""
    spec = importlib.util.spec_from_file_location("_pristine_registry", sys.modules["fsspec.registry"].__file__)
    if spec is None or spec.loader is None:
        return {}
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    table: Mapping[str, Mapping[str, str]] = module.known_implementations
    return table


@cache
def _distributions() -> Mapping[str, list[str]]:
    return importlib.metadata.packages_distributions()


def distribution(dotted: str) -> str:
    """Name and version of the distribution that a class comes from; empty when it is not known."""
    package = dotted.partition(".")[0]
    name = next(iter(_distributions().get(package, ())), package)  # before 3.11 Python only knows some of them
    try:
        return f"{name} {importlib.metadata.version(name)}"
    except importlib.metadata.PackageNotFoundError:
        return ""
