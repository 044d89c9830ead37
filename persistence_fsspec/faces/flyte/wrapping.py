"""Methods of somebody else's class, wrapped by ours for a while."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

Method = Callable[..., Any]


class Wrapped:
    """Puts our methods around those of a class.

    Args:
        cls: Whose.
        wrappers: Name of a method -> what makes ours of the one that is there.

    Attributes:
        on: Whether ours are asked. Somebody may have wrapped them in their turn, so that they cannot be taken away.
    """

    def __init__(self, cls: type, wrappers: Mapping[str, Callable[[Method], Method]]) -> None:
        self.on = True
        self._cls = cls
        self._before: dict[str, Method] = {name: getattr(cls, name) for name in wrappers}
        self._after = {name: self._switched(self._before[name], wrap(self._before[name])) for name, wrap in wrappers.items()}
        for name, method in self._after.items():
            setattr(cls, name, method)

    def restore(self) -> None:
        """Put back what was there, where ours still stands; elsewhere ours only hands calls on from now on."""
        self.on = False
        for name, method in self._after.items():
            if getattr(self._cls, name) is method:
                setattr(self._cls, name, self._before[name])

    def _switched(self, before: Method, ours: Method) -> Method:
        @wraps(before)
        def method(*args: Any, **options: Any) -> Any:
            return (ours if self.on else before)(*args, **options)

        return method
