"""What XT's interfaces compare: names and defaults of parameters, and no types, because XT declares none."""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import TypeVar

C = TypeVar("C", bound=type)


def untyped(cls: C) -> C:
    """Let a class's public methods tell their signatures without types.

    python-interface, by which XT declares what it expects, refuses a parameter of a type where it has declared none.
    Type checkers read the source, and see the types.
    """
    for name, function in vars(cls).items():
        if isinstance(function, FunctionType) and not name.startswith("_"):
            told = inspect.signature(function)
            plain = [one.replace(annotation=inspect.Parameter.empty) for one in told.parameters.values()]
            vars(function)["__signature__"] = told.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    return cls
