"""Loaded by ``import flytekit``, through its entry points. Whatever goes wrong here, flytekit must go on as if we were not installed.

It lies beside the package `flyte`, because that one would be imported first, and may be what goes wrong.
"""

from __future__ import annotations

import logging

# Below flytekit's own logger, so that its settings hold.
_log = logging.getLogger("flytekit.persistence_fsspec")

try:
    from persistence_fsspec.faces.flyte import install
    from persistence_fsspec.overrides import unknown

    for _problem in unknown():
        _log.warning("%s", _problem)
    _protocols = sorted({override.protocol for override in install()} - {""})
    _log.info("persistence_fsspec moves the files of %s; `persist overrides` tells more", ", ".join(_protocols) or "no protocol")
except Exception as exc:  # noqa: BLE001 - an exception would end the import of flytekit
    _log.warning("persistence_fsspec is not used, flytekit keeps its own storage: %s: %s", type(exc).__name__, exc)
