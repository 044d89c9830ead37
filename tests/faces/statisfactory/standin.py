"""As much of statisfactory as its backends and their callers see, written from its contract: it is on no package index.

It is not statisfactory; where the real one is, the tests run on that.
"""

from __future__ import annotations

from abc import ABCMeta, abstractmethod
from types import ModuleType

_MESSAGES = {
    "E0201": "there is a backend for {prefix} already",
    "E024": "{path} does not exist",
    "E0290": "{backend} failed to write",
    "E0291": "{backend} failed to read",
    "E0292": "no backend for {scheme}",
    "E0293": "the branch's name must match {regex}",
    "E064": "no git repository",
    "E065": "lakeFS cannot be reached",
}


class ErrorPrototype(Exception):  # noqa: N818 - its name there
    msg = ""

    def __init__(self, **details):
        super().__init__(self.msg.format(**details))


class _Codes(type):
    def __getattr__(cls, code):
        if code not in _MESSAGES:
            raise AttributeError(code)
        found = type(code, (ErrorPrototype,), {"msg": f"statisfactory : {code} - {_MESSAGES[code]}"})
        setattr(cls, code, found)
        return found


class Errors(metaclass=_Codes):
    """One class per code, made when it is asked for."""


class Backend(metaclass=ABCMeta):
    _backends = {}

    def __init__(self, session, logger_name="statisfactory"):
        super().__init__()
        self._session = session

    def __init_subclass__(cls, prefix, **more):
        super().__init_subclass__(**more)
        if Backend._backends.get(prefix):
            raise Errors.E0201(prefix=prefix)
        Backend._backends[prefix] = cls

    @classmethod
    def backends(cls):
        return cls._backends

    @abstractmethod
    def put(self, *, payload, fragment, **context): ...

    @abstractmethod
    def get(self, *, fragment, **context): ...


class _Theirs:
    def put(self, *, payload, fragment, **context):
        raise NotImplementedError

    def get(self, *, fragment, **context):
        raise NotImplementedError


class S3Backend(_Theirs, Backend, prefix="s3"):
    """There to be replaced."""


class LocalFS(_Theirs, Backend, prefix=""):
    """There to be replaced."""


class LakeFSBackend(_Theirs, Backend, prefix="lakefs"):
    """There to be replaced."""


def modules():
    """What ``import statisfactory`` finds, by name."""
    package, io, errors = (ModuleType(name) for name in ("statisfactory", "statisfactory.IO", "statisfactory.errors"))
    package.__path__ = []
    io.Backend, errors.Errors = Backend, Errors
    package.IO, package.errors = io, errors
    return {module.__name__: module for module in (package, io, errors)}
