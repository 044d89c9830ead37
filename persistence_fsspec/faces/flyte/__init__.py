"""The front door for Flyte: ``pip install`` is enough, and both generations of flytekit persist through `FSSpecPersistence`.

flytekit loads `flyte_plugin` by its entry point, and that calls `install`. What was
put in the place of what: ``persist overrides``. ``PERSISTENCE_FSSPEC_OVERRIDE=0``
leaves flytekit alone, ``=s3,gs`` limits it to protocols.

* `legacy`: flytekit up to 1.4, which has a registry of persistence plug-ins.
* `current`: flytekit from 1.5 on, which works with fsspec itself.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.metadata import version

from persistence_fsspec import overrides
from persistence_fsspec.overrides import Override

_NAME = "flytekit"
_lock = threading.Lock()


def install() -> tuple[Override, ...]:
    """Put our classes in the place of flytekit's storage, in this process. A second time does nothing.

    Returns:
        What was overridden; empty where `overrides.VARIABLE` says so.

    Raises:
        ImportError: There is no flytekit here.
    """
    import flytekit  # noqa: F401 - its entry points may do all that follows

    with _lock:
        if not (_installed() or overrides.is_off()):
            framework, begun = f"{_NAME} {version(_NAME)}", len(overrides.active())
            try:
                for override in _overrides(framework):
                    overrides.note(override)
            except BaseException:
                if len(overrides.active()) > begun:
                    overrides.undo(_NAME)
                raise
        return _installed()


def uninstall() -> None:
    """Put back what `install` found, but for what somebody else has replaced since."""
    with _lock:
        overrides.undo(_NAME)


def _installed() -> tuple[Override, ...]:
    return tuple(one for one in overrides.active() if one.framework.startswith(_NAME))


def _overrides(framework: str) -> Iterator[Override]:
    """Override one thing after the other. Versions tell nothing: the old registry is absent from some that are old."""
    from flytekit.core import data_persistence

    if hasattr(data_persistence, "DataPersistencePlugins"):
        from persistence_fsspec.faces.flyte import legacy  # noqa: PLC0415 - one of the two

        yield from legacy.override(framework)
    else:
        from persistence_fsspec.faces.flyte import current  # noqa: PLC0415 - one of the two

        yield from current.override(framework)
