"""Types of elements of arrays in plain words, of which a pickle makes no classes, and back."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def described(dtype: Any) -> Any:
    """A type of elements in plain words: as text, of records a dictionary, of arrays in these a tuple.

    Raises:
        TypeError: Its elements are of no fixed size, and so at no known place; or words do not tell what it is.
    """
    if dtype.hasobject:
        raise TypeError(f"elements of the type {dtype} have no fixed size in HDF5; convert them, with array.astype(...)")
    words = _words(dtype)
    if built(words) != dtype:
        raise TypeError(f"elements of the type {dtype} would come back as {built(words)}; convert them, with array.astype(...)")
    return words


def _words(dtype: Any) -> Any:
    if dtype.subdtype is not None:
        return _words(dtype.base), dtype.shape
    if dtype.names is None:
        return dtype.str
    fields = [dtype.fields[name] for name in dtype.names]
    known = {
        "names": list(dtype.names),
        "formats": [_words(field[0]) for field in fields],
        "offsets": [field[1] for field in fields],
        "itemsize": dtype.itemsize,
    }
    titles = [field[2] if len(field) > 2 else None for field in fields]
    return {**known, "titles": titles} if any(titles) else known


def built(words: Any) -> Any:
    """The type of elements that `described` tells of, without what h5py may have remarked on it."""
    np = import_module("numpy")
    if isinstance(words, str):
        return np.dtype(words)
    if isinstance(words, tuple):
        return np.dtype((built(words[0]), words[1]))
    return np.dtype({**words, "formats": [built(one) for one in words["formats"]]})
