"""Which tests run where: capabilities choose, and a known deviation is an expected failure, strictly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

import pytest

from persistence_fsspec.testing.harness import Harness

_F = TypeVar("_F", bound=Callable[..., Any])


def needs(*capabilities: str, live: bool = False) -> Callable[[_F], _F]:
    """Run a test only where the store can do something.

    Args:
        capabilities: Fields of `Capabilities`; ``"!copy"`` means that it must not.
        live: The back door must show in an open store.
    """

    def mark(test: _F) -> _F:
        test._needs, test._live = capabilities, live  # type: ignore[attr-defined]
        return test

    return mark


class Gated:
    """Base of the conformance classes."""

    known_deviations: ClassVar[Mapping[str, str]] = {}
    """Test name -> why this store fails it. It complains on the day it is mended."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        inherited = {name for base in cls.__mro__[1:] for name in vars(base) if name.startswith("test_")}
        replaced = inherited & set(vars(cls))
        if replaced:
            raise TypeError(f"{cls.__name__} replaces {sorted(replaced)}: a deviation belongs into known_deviations")
        unknown = set(cls.known_deviations) - inherited - set(vars(cls))
        if unknown:
            raise TypeError(f"{cls.__name__}: no such tests as {sorted(unknown)}")

    @pytest.fixture(autouse=True)
    def _gate(self, request: pytest.FixtureRequest, harness: Harness) -> None:
        test = getattr(request.function, "__wrapped__", request.function)
        wanted = getattr(request.function, "_needs", getattr(test, "_needs", ()))
        can = harness.store.capabilities
        for name in wanted:
            has = getattr(can, name.lstrip("!")) not in (False, None, "none")
            if has == name.startswith("!"):
                pytest.skip(f"{can.driver}: {'has' if has else 'no'} {name.lstrip('!')}")
        if getattr(request.function, "_live", False) and not harness.live:
            pytest.skip(f"{can.driver}: the back door does not show in an open store")
        reason = self.known_deviations.get(request.function.__name__)
        if reason:
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
