"""Environments are built while tests run that do not need them yet: building is mostly waiting for a network."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from . import azure, ftp, gcs, http, s3, sftp, webdav
from .environment import environment, node_program
from .process import ServerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

BY_PYTHON = {"s3": s3, "http": http, "ftp": ftp, "webdav": webdav, "gcs": gcs, "sftp": sftp}
"""In the order in which the whole suite needs them."""


def build_ahead(servers: Collection[str], others: Iterable[Callable[[], object]]) -> None:
    """Begin to build, and return.

    Who needs one that is not ready waits for it, and learns why it cannot be had.

    Args:
        servers: Their names, as in the marks of tests.
        others: Build more, each one environment; called after those of the servers.
    """
    node = [partial(node_program, "azurite", azure.REQUIREMENT, "azurite-blob")] if "azure" in servers else []
    python = [partial(environment, name, each.REQUIREMENTS) for name, each in BY_PYTHON.items() if name in servers]
    for builds in (node, [*python, *others]):
        threading.Thread(target=_build, args=(builds,), name="build ahead", daemon=True).start()


def _build(builds: Iterable[Callable[[], object]]) -> None:
    for build in builds:
        with suppress(ServerUnavailable):
            build()
