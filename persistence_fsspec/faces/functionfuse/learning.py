"""What functionfuse's own ``storage_factory`` learns from us: the kind ``fsspec``, and an error for kinds that there are not."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Final

from persistence_fsspec import overrides
from persistence_fsspec.dotted import dotted
from persistence_fsspec.events import emit
from persistence_fsspec.faces.functionfuse.factory import KINDS, storage_factory, unknown_kind
from persistence_fsspec.faces.functionfuse.ray import RayStorage
from persistence_fsspec.faces.functionfuse.storage import FSSpecStorage
from persistence_fsspec.overrides import Override

_NAME: Final = "functionfuse"
_STORAGE: Final = "functionfuse.storage"
_CLASSES: Final = {
    "file": ("file", "functionfuse.storage.filestorage.FileStorage", dotted(FSSpecStorage)),
    "S3": ("s3", "functionfuse.storage.s3storage.S3FileStorage", dotted(FSSpecStorage)),
    "ray": ("file", "functionfuse.storage.rayfilestorage.FileStorage", dotted(RayStorage)),
}
"""Kind -> the protocol that it is about, the class that functionfuse has for it, and ours."""

_lock = threading.Lock()
_before: list[Any] = []
_kinds: set[str] = set()
_covered = threading.Event()
"""Set when somebody has put a function on top of ours, which goes on calling ours."""


def install(*, override: bool = False) -> tuple[Override, ...]:
    """Let functionfuse's ``storage_factory`` make our storages, in this process. Importing this package has done it already.

    It is replaced in ``functionfuse.storage``; a module that has imported the function before goes on with the old one.

    Args:
        override: Also for its own kinds, ``file``, ``S3`` and ``ray``.

    Returns:
        What was overridden; empty where `overrides.VARIABLE` says so.

    Raises:
        ImportError: There is no functionfuse here.
    """
    import_module(_STORAGE)
    with _lock:
        if not overrides.is_off():
            framework = f"{_NAME} {_version()}".strip()
            for one in _overrides(framework, override=override):
                overrides.note(one)
        return _installed()


def uninstall() -> None:
    """Put back what `install` found, but for what somebody else has replaced since."""
    with _lock:
        _undo()


def _undo() -> None:
    if any(one.now not in {one.ours, one.before} for one in _factories()):
        _covered.set()
    overrides.undo(_NAME)


def learn() -> None:
    """Do what `install` does, if there is a functionfuse; whatever is wrong with it is one line in the log."""
    try:
        if find_spec(_NAME) is not None:
            install()
    except Exception as exc:  # noqa: BLE001 - whoever only wants our storage has no trouble with it
        why = f"{type(exc).__name__}: {exc}"
        emit("override_skipped", f"functionfuse has not learned of our storage: {why}", level=logging.WARNING)


def taught_factory(opt: Any) -> Any:
    """What stands in the place of functionfuse's ``storage_factory``: it, and our kinds.

    Args:
        opt: ``{"kind": ..., "options": {...}}``; see our `storage_factory`.

    Raises:
        InvalidOptionError: There is no such kind, or there are no such options.
    """
    kind = opt.get("kind") if isinstance(opt, Mapping) else None
    ours = bool(_installed())  # a module may have imported this, and keeps it
    if ours and (not isinstance(kind, str) or kind in _kinds | {"fsspec"}):
        return storage_factory(opt)
    found = _before[0](opt)
    if ours and found is None:
        raise unknown_kind(kind, KINDS)
    return found


def _installed() -> tuple[Override, ...]:
    return tuple(one for one in overrides.active() if one.framework.startswith(_NAME))


def _factories() -> list[Override]:
    """Those of the functions, not of the kinds."""
    return [one for one in _installed() if not one.protocol]


def _version() -> str:
    try:
        return version(_NAME)
    except PackageNotFoundError:  # run from its sources
        return ""


def _modules() -> tuple[Any, Any]:
    """Where the function is found: in the package, and in the module of the same name."""
    return sys.modules[_STORAGE], sys.modules[f"{_STORAGE}.storage_factory"]


def _overrides(framework: str, *, override: bool) -> Iterator[Override]:
    if any(one.now == one.before for one in _factories()):  # the module was loaded anew
        override = override or bool(_kinds)
        _undo()
    if not _installed():
        for module in _modules():
            yield _taught(framework, module)
    if override:
        yield from _replaced(framework)


def _taught(framework: str, module: Any) -> Override:
    theirs = module.storage_factory
    if not _before or (module is _modules()[0] and not _covered.is_set()):  # what is on top of ours would call ours
        _before[:] = [theirs]
    module.storage_factory = taught_factory
    return Override(
        framework=framework,
        protocol="",
        before=dotted(theirs),
        ours=dotted(taught_factory),
        why=f"{module.__name__}.storage_factory makes storages of kind 'fsspec', and refuses kinds that there are not",
        look=lambda: dotted(module.storage_factory),
        restore=partial(setattr, module, "storage_factory", theirs),
    )


def _replaced(framework: str) -> Iterator[Override]:
    for kind, (protocol, theirs, ours) in _CLASSES.items():
        if kind not in _kinds and overrides.chosen([protocol]):
            _kinds.add(kind)
            yield Override(
                framework=framework,
                protocol=protocol,
                before=theirs,
                ours=ours,
                why=f"storage of kind {kind!r} is ours: the same files, whole or not there, verified and repeated",
                look=partial(_class_of, kind),
                restore=partial(_kinds.discard, kind),
            )


def _class_of(kind: str) -> str:
    _, theirs, ours = _CLASSES[kind]
    return ours if kind in _kinds else theirs
