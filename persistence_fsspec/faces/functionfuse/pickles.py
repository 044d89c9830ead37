"""The format of a stored result: a pickle, and behind it the SHA-1 of that pickle."""

from __future__ import annotations

import contextlib
import copyreg
import hashlib
import io
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple, cast

from persistence_fsspec.errors import PersistenceError

_HASH_BYTES: Final = 20
_THEIRS: Final = ("functionfuse.storage.base", "functionfuse.storage.rayfilestorage")

Protocols = Mapping[str, Any] | None
"""What serializers get to reach their files, by name; None where none is registered."""


class InvalidPickle(PersistenceError, ValueError):  # noqa: N818 - functionfuse's name
    """What is stored is no whole result: its checksum differs.

    Where functionfuse is loaded, what is raised is its own ``InvalidPickle`` as well.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _invalid_again, (self.message, dict(self.__dict__))


class Kept(NamedTuple):
    """What a serializer has written apart from the pickle.

    Attributes:
        serializer: Whose.
        pid: What it wants to know to find it again.
    """

    serializer: Any
    pid: Any


def dumps(obj: Any, persistent: Mapping[type, Any], protocols: Protocols, reduced: Iterable[Any], kept: list[Kept]) -> bytes:
    """Serialise an object, with its checksum.

    Args:
        obj: Anything that pickle takes.
        persistent: By exact type, the serializers that write apart from the pickle.
        protocols: For these.
        reduced: Serializers that say what a pickle takes along, by their ``serializer_class`` and ``reduce``.
        kept: Gets all that serializers have written, also when an error follows.
    """
    stream = io.BytesIO()
    # A pickler that asks for each object takes twice as long.
    pickler = _Pickler(stream, persistent, protocols, kept) if persistent else pickle.Pickler(stream)
    if reduced := tuple(reduced):
        pickler.dispatch_table = {**copyreg.dispatch_table, **{one.serializer_class: one.reduce for one in reduced}}
    pickler.dump(obj)
    data = stream.getvalue()
    return data + _checksum(data)


def loads(data: bytes, classes: Mapping[str, Any], attempts: Sequence[Protocols], *, url: str = "") -> Any:
    """Read what `dumps` wrote.

    Args:
        data: All of it.
        classes: Serializers by name.
        attempts: Protocols to find big data by, one after the other.
        url: For errors.

    Raises:
        InvalidPickle: The checksum differs.
        pickle.UnpicklingError: A serializer is not registered.
    """
    stream = io.BytesIO(_checked(data, url))
    return _Unpickler(stream, classes, lambda one: _first(one.serializer.unpickle, one.pid, attempts)).load()


def references(data: bytes, classes: Mapping[str, Any]) -> list[Kept]:
    """What serializers have written for an object; nothing, when the checksum differs.

    Nothing of the object is imported, or run, unless a serializer's own words are made of such classes.

    Raises:
        pickle.UnpicklingError: A serializer is not registered.
    """
    found: list[Kept] = []
    try:
        body = _checked(data, "")
    except InvalidPickle:
        return found
    _Scanner(io.BytesIO(body), classes, found.append).load()
    if any(_has_inert(one.pid) for one in found):
        found.clear()
        _Unpickler(io.BytesIO(body), classes, found.append).load()
    return found


def remove(kept: Iterable[Kept], attempts: Sequence[Protocols]) -> None:
    """Let serializers remove what they have written; what is gone already is fine."""
    for one in kept:
        with contextlib.suppress(FileNotFoundError, KeyError):
            _first(one.serializer.remove, one.pid, attempts)


def _first(call: Any, pid: Any, attempts: Sequence[Protocols]) -> Any:
    """Ask with the first protocols; what is missing may have been written with others, by functionfuse's other storage."""
    try:
        return call(pid, attempts[0])
    except (FileNotFoundError, KeyError) as exc:
        first = exc
    for protocols in attempts[1:]:
        try:
            return call(pid, protocols)
        except Exception:  # noqa: BLE001, S110 - it is not there either, and the first error tells why
            pass
    raise first


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, serializers: Mapping[type, Any], protocols: Protocols, kept: list[Kept]) -> None:
        super().__init__(stream)
        self._serializers, self._protocols, self._kept = serializers, protocols, kept

    def persistent_id(self, obj: Any) -> Any:
        serializer = self._serializers.get(type(obj))
        if serializer is None:
            return None
        pid = serializer.pickle(obj, self._protocols)
        self._kept.append(Kept(serializer, pid[1]))
        return pid


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, classes: Mapping[str, Any], meet: Any) -> None:
        super().__init__(stream)
        self._classes, self._meet = classes, meet

    def persistent_load(self, pid: Any) -> Any:
        name, inner = pid
        if name not in self._classes:
            raise pickle.UnpicklingError(
                f"a part of it was written by the serializer {name!r}; register_persistent_serializers() takes that one"
            )
        return self._meet(Kept(self._classes[name], inner))


class _Scanner(_Unpickler):
    """Goes through a pickle without making anything of it: classes that are gone are no trouble, and no code runs."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ARG002 - whatever it is
        return type("Inert", (_Inert,), {})


class _Inert:
    """Stands for any class, function and object; takes whatever a pickle does with one."""

    def __new__(cls, *_: Any, **__: Any) -> Any:
        return super().__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> Any:
        return _Inert()

    def _take(self, *_: Any) -> None:
        """Forget it."""

    __init__ = __setstate__ = __setitem__ = append = extend = add = _take


def _has_inert(obj: Any) -> bool:
    if isinstance(obj, Mapping):
        obj = [*obj, *obj.values()]
    if isinstance(obj, list | tuple | set | frozenset):
        return any(map(_has_inert, obj))
    return isinstance(obj, _Inert) or (isinstance(obj, type) and issubclass(obj, _Inert))


def remark(error: BaseException, text: str) -> None:
    """Let an error say more, whatever its type is."""
    if isinstance(error, PersistenceError):
        error.hint = f"{error.hint}\n{text}".lstrip()
    elif hasattr(error, "add_note"):  # from Python 3.11 on
        error.add_note(text)
    elif len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (f"{error.args[0]}\n{text}",)


def _checksum(data: bytes) -> bytes:
    return hashlib.sha1(data, usedforsecurity=False).digest()


def _checked(data: bytes, url: str) -> bytes:
    """The pickle alone."""
    body = data[:-_HASH_BYTES]
    if _checksum(body) != data[-_HASH_BYTES:]:
        raise _invalid_class()(
            f"{len(data)} bytes that are no whole result: their checksum differs",
            operation="read",
            url=url,
            hint="remove_task() removes it, and the next run of the workflow calculates it again.",
        )
    return body


def _invalid_class() -> type[InvalidPickle]:
    """Our error, and also functionfuse's: of those of its modules that are loaded."""
    theirs = (getattr(sys.modules.get(name), "InvalidPickle", None) for name in _THEIRS)
    return _joined(tuple(cls for cls in theirs if isinstance(cls, type)))


@cache
def _joined(theirs: tuple[type, ...]) -> type[InvalidPickle]:
    if not theirs:
        return InvalidPickle
    named = {"__module__": InvalidPickle.__module__, "__doc__": InvalidPickle.__doc__}
    return cast("type[InvalidPickle]", type("InvalidPickle", (InvalidPickle, *theirs), named))


def _invalid_again(message: str, state: dict[str, Any]) -> InvalidPickle:
    error = _invalid_class()(message)
    error.__dict__.update(state)
    return error
