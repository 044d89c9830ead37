"""flytekit from 1.5 on: it takes filesystems from fsspec, so that is where ours are put."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from fsspec.registry import available_protocols, known_implementations, register_implementation, registry

from persistence_fsspec.dotted import dotted, load
from persistence_fsspec.faces.flyte import frames, hosted, local
from persistence_fsspec.overrides import Override, chosen

_HERE: Final = __name__.rpartition(".")[0]
_CLASSES: Final = {
    protocol: (f"{_HERE}.{module}.{name}", driver)
    for module, driver, name, protocols in (
        ("s3", "s3fs", "S3FileSystem", ("s3", "s3a")),
        ("gs", "gcsfs", "GCSFileSystem", ("gs", "gcs")),
        ("abfs", "adlfs", "AzureBlobFileSystem", ("abfs", "abfss", "az")),
    )
    for protocol in protocols
}
"""Protocol -> our class, and the package of the one it stands for. flytekit takes nothing else than a subclass of that."""


def override(framework: str) -> Iterator[Override]:
    """Override one thing after the other.

    Args:
        framework: For the records.
    """
    for protocol in chosen(_CLASSES):
        yield from _register(framework, protocol)
    yield from hosted.override(framework)
    yield from local.override(framework)
    if chosen(available_protocols()):
        yield from frames.override(framework)


def _register(framework: str, protocol: str) -> Iterator[Override]:
    """By name, so that no driver is imported; where fsspec has the class already, that is replaced as well."""
    ours, package = _CLASSES[protocol]
    known, loaded = known_implementations.get(protocol), registry.get(protocol)
    there = loaded or (known or {}).get("class", "")
    if not known or dotted(there).partition(".")[0] != package:
        return  # somebody's own class: they chose it
    if loaded is None:
        register_implementation(protocol, ours, clobber=True, errtxt=known.get("err"))
    else:
        register_implementation(protocol, load(ours), clobber=True)
    yield Override(
        framework=framework,
        protocol=protocol,
        before=dotted(there),
        ours=ours,
        why=f"a subclass of {package}'s, with verified, resumable and bounded transfers",
        look=_looking(protocol),
        restore=_restoring(protocol, known, loaded),
    )


def _looking(protocol: str) -> Callable[[], str]:
    return lambda: dotted(registry.get(protocol) or known_implementations.get(protocol, {}).get("class", ""))


def _restoring(protocol: str, known: dict[str, Any], loaded: type | None) -> Callable[[], None]:
    def restore() -> None:
        known_implementations[protocol] = known
        if protocol in registry:  # ours, loaded since
            register_implementation(protocol, loaded or load(known["class"]), clobber=True)

    return restore
