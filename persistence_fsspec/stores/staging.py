"""An object under its partial name at a store of files, and how it takes its own."""

from __future__ import annotations

from dataclasses import replace

from persistence_fsspec.errors import ObjectNotFoundError, TruncatedError
from persistence_fsspec.store import ObjectInfo
from persistence_fsspec.stores.attributes import NO_ATTRIBUTES, Attributes
from persistence_fsspec.stores.driver import Driver


class Staged:
    """Publishes once; when the answer to that got lost, it notices that it was done.

    Args:
        driver: Of the store.
        key: The object's name.
        partial: The name its bytes are under; the same where a store has no safe way to publish.
        overwrite: Replace what is there; otherwise renaming refuses it.
        attributes: What the file is given before it gets its name.
    """

    def __init__(
        self, driver: Driver, key: str, partial: str, *, overwrite: bool, attributes: Attributes = NO_ATTRIBUTES
    ) -> None:
        self._attributes = attributes
        self._driver, self._key, self.partial, self._overwrite = driver, key, partial, overwrite
        self._direct = partial == key
        self._publishing = False
        self.incomplete = False
        """Other bytes than should be are known to stand there."""

    def publish(self, size: int) -> ObjectInfo:
        """See that all bytes are there, then rename.

        Args:
            size: How many there should be.

        Raises:
            TruncatedError: There are others.
        """
        if self._was_published(size):
            return self._driver.info(self._key)
        if self._attributes != NO_ATTRIBUTES:
            give, attributes = self._driver.dialect.set_attributes, self._attributes
            self._driver.do("write", self.partial, lambda fs, path: give(fs, path, attributes))
        staged = self._driver.info(self.partial)
        self.incomplete = staged.size is not None and staged.size != size
        if self.incomplete:
            raise TruncatedError(
                f"{staged.size} bytes stand at the store of {size} written", operation="write", url=self._driver.url(self._key)
            )
        self._publishing = True
        if self._direct:
            return staged
        self._driver.publish(self.partial, self._key, overwrite=self._overwrite)
        if self._driver.habits.rename_keeps_info:
            return replace(staged, key=self._key)
        return self._driver.info(self._key)

    def _was_published(self, size: int) -> bool:
        """Nobody else knows the partial name: if it is gone, and the target is there, our own renaming was done unheard."""
        if not self._publishing or self._direct or self._driver.exists(self.partial):
            return False
        try:
            return self._driver.info(self._key).size in {None, size}
        except ObjectNotFoundError:
            return False
