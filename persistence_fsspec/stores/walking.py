"""All files below a folder, where there is no listing of them all: folder by folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from persistence_fsspec.errors import PersistenceError
from persistence_fsspec.store import ObjectInfo, OnError
from persistence_fsspec.stores.driver import Driver


class Walk:
    """Depth first.

    Args:
        driver: Of the store.
        children: Lists one folder.
        on_error: See `Store.find`.
        follow: Enter folders by links, except those that are entered already.
        folders: See `Store.find`.
    """

    def __init__(
        self,
        driver: Driver,
        children: Callable[[str], Iterator[ObjectInfo]],
        on_error: OnError | None,
        *,
        follow: bool,
        folders: bool,
    ) -> None:
        self._driver, self._children, self._on_error = driver, children, on_error
        self._follow, self._folders = follow, folders
        self._real: dict[str, str] = {}
        """Key of a folder around the one that is listed -> its path through all links."""

    def below(self, key: str) -> Iterator[ObjectInfo]:
        """Walk below a folder, which must be there."""
        return self._folder(key, None, (), by_link=False)

    def _folder(self, key: str, entry: ObjectInfo | None, above: tuple[str, ...], *, by_link: bool) -> Iterator[ObjectInfo]:
        """One folder and what is below it.

        Args:
            key: Of the folder.
            entry: As the folder above lists it; None for the outermost one.
            above: Keys of the folders around it.
            by_link: Whether there is a link on the way.
        """
        inside, empty = [], True
        try:
            for child in self._children(key):
                empty = False
                if child.is_folder and (self._follow or not child.link):
                    inside.append(child)
                else:
                    yield child
        except PersistenceError as exc:
            if self._on_error is None or entry is None:
                raise
            self._on_error(key, exc)
            empty = False
        if self._folders and empty and entry is not None:
            yield entry
        around = (*above, key)
        for child in inside:
            linked = by_link or child.link
            new = not linked or self._is_new(child, around)
            if new:
                yield from self._folder(child.key, child, around, by_link=linked)
            elif new is False and self._folders:  # who asks for all there is hears of the link, too
                yield replace(child, link=True)
            self._real.pop(child.key, None)

    def _is_new(self, folder: ObjectInfo, around: tuple[str, ...]) -> bool | None:
        """Whether it is none of the folders around it, reached once more; None where that could not be found out."""
        try:
            known = [self._real_path(key, around[0], link=False) for key in around]
            return self._real_path(folder.key, around[0], link=folder.link) not in known
        except PersistenceError as exc:
            if self._on_error is None:
                raise
            self._on_error(folder.key, exc)
            return None

    def _real_path(self, key: str, outermost: str, *, link: bool) -> str:
        found = self._real.get(key)
        if found is None:
            if link or key == outermost:
                found = self._driver.do("list", key, self._driver.dialect.real_path) if key else self._driver.path(key)
            else:
                folder, _, name = key.rpartition("/")
                found = f"{self._real_path(folder, outermost, link=False).rstrip('/')}/{name}"
            self._real[key] = found
        return found
