"""Our errors as statisfactory's own, which have a code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from persistence_fsspec.errors import ConnectionFailedError, ObjectNotFoundError, PermissionDeniedError, PersistenceError
from persistence_fsspec.faces.statisfactory.lakefs import SLUG, BranchError, BranchNameError
from persistence_fsspec.faces.statisfactory.settings import named_in_conf
from persistence_fsspec.redaction import redact


@contextmanager
def told(errors: Any, code: str, *, missing: str = "", **details: Any) -> Iterator[None]:
    """Raise what fails inside as the framework does. Ctrl-C passes, and what is the framework's own already.

    Args:
        errors: statisfactory's ``Errors``; None raises ours as they are.
        code: For whatever has no code of its own.
        missing: The code for what is not there; the same unless given.
        details: What the framework's messages name.

    Raises:
        Exception: The framework's, with our text in it and our error as its ``__cause__``.
    """
    try:
        yield
    except Exception as exc:
        if errors is None or isinstance(exc, getattr(errors, code).__bases__[0]):
            raise
        if isinstance(exc, BranchNameError):
            code, details = "E0293", {**details, "regex": SLUG.pattern}
        elif isinstance(exc, BranchError):
            code = "E065"
        elif missing and isinstance(exc, ObjectNotFoundError):
            code = missing
        theirs = getattr(errors, code)(**details)
        theirs.args = (f"{theirs}\n{_text(exc)}",)
        raise theirs from exc


def _text(exc: Exception) -> str:
    """Ours; who may not, or finds nobody there, is told where these users say so."""
    if not isinstance(exc, PersistenceError):
        return f"{type(exc).__name__}: {redact(str(exc))}"
    where = named_in_conf(exc.url) if isinstance(exc, (PermissionDeniedError, ConnectionFailedError)) else ""
    return f"{exc}\n{where}" if where else str(exc)
