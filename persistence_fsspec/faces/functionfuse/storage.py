"""`FSSpecStorage`: where a workflow keeps the results of its nodes, on any URL."""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Mapping
from typing import Any, ClassVar

from persistence_fsspec.addresses import Address
from persistence_fsspec.config import StorageOptions
from persistence_fsspec.errors import (
    AuthenticationError,
    InvalidNameError,
    InvalidOptionError,
    IsAFolderError,
    NotAFolderError,
    ObjectNotFoundError,
    PermissionDeniedError,
    PersistenceError,
    UnsupportedPersistenceOp,
)
from persistence_fsspec.faces.functionfuse import pickles
from persistence_fsspec.faces.functionfuse.pickles import InvalidPickle, Kept
from persistence_fsspec.faces.functionfuse.places import (
    BIGDATA,
    NamedPersistence,
    bigdata_key,
    task_key,
    workflow_key,
)
from persistence_fsspec.faces.functionfuse.protocols import BOTH, BigData
from persistence_fsspec.location import is_url, local, parse
from persistence_fsspec.policy import Policy


class FSSpecStorage:
    """Results of workflows as functionfuse's own storages write them: read by these, and reading theirs.

    Nothing is opened by constructing it. It may be pickled; secrets stay here, unless they are given by reference, and so
    does the ``runtime_env`` of *remote_args*, which may hold some.

    Args:
        path: A URL, a local path or a ``UPath``. Results lie at ``<path>/<workflow>/<node>``.
        storage_options: As for `FSSpecPersistence`.
        profile: As for `FSSpecPersistence`.
        policy: As for `FSSpecPersistence`; also its fields in a dictionary.
        remote_args: For Ray: the arguments of ``ray.remote`` for what reads and writes here.
        protocols: What serializers may choose from, of ``FILE_PROTOCOL`` and ``S3_PROTOCOL``. The first decides where both could
            be used.

    Attributes:
        always_read: Whether a workflow goes on with what it reads back, and not with what a node returned.
        reduced_serializers: Its keys are objects with ``serializer_class`` and ``reduce``, as in functionfuse; values do not matter.
        persistent_serializers: By type, what `register_persistent_serializers` was given.
        persistent_classes: The same, by name.

    Examples:
        >>> storage = FSSpecStorage("memory://results")
        >>> storage.save("sums", "one", 1 + 1)
        >>> storage.list_tasks("sums", "*"), storage.read_task("sums", "one")
        (['one'], 2)
    """

    bigdata: ClassVar[str] = BIGDATA
    invalid_exception: ClassVar[type[InvalidPickle]] = InvalidPickle

    def __init__(
        self,
        path: Address,
        storage_options: StorageOptions = None,
        *,
        profile: str | None = None,
        policy: Policy | Mapping[str, Any] | None = None,
        remote_args: Mapping[str, Any] | None = None,
        protocols: tuple[str, ...] = BOTH,
    ) -> None:
        if not protocols or not set(protocols) <= set(BOTH):
            raise InvalidOptionError(f"protocols={protocols!r}: choose from {', '.join(BOTH)}")
        check_address(path)
        if not isinstance(profile, str | None):
            raise InvalidOptionError(f"profile is a name, not {type(profile).__name__}")
        if isinstance(policy, Mapping):
            policy = Policy(**{str(name): value for name, value in policy.items()})
        self._persistence = NamedPersistence(path, storage_options=storage_options, profile=profile, policy=policy)
        self._offered, self.remote_args = tuple(protocols), arguments(remote_args, "remoteArgs")
        self.always_read = False
        self.reduced_serializers: dict[Any, Any] = {}
        self.persistent_serializers: dict[type, Any] = {}
        self.persistent_classes: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def __getstate__(self) -> dict[str, Any]:
        travels = {name: value for name, value in self.remote_args.items() if name != "runtime_env"}
        return {**self.__dict__, "remote_args": travels}

    @property
    def path(self) -> str:
        """The URL below which workflows lie, without a password."""
        return self._persistence.url()

    # --- results ---

    def save(self, workflow_name: str, filename: str, obj: Any) -> None:
        """Keep the result of a node. It is pickled before its file is begun, and appears whole.

        Folders appear with what lies in them: `new_workflow` need not have been called. What serializers have written for
        the object is removed again when it cannot be kept. What an earlier result of the node kept there stays until
        `remove_workflow`: somebody may still be reading it.

        Args:
            workflow_name: Of the workflow.
            filename: Name of the node.
            obj: What it returned.

        Raises:
            InvalidNameError: A name is none, or would leave the workflow.
            pickle.PicklingError: The object cannot be pickled; or what else pickle raises then.
        """
        key, kept = task_key(workflow_name, filename), list[Kept]()
        big = self._big(workflow_name)
        try:
            data = self._dumped(obj, self._given(big), kept)
        except BaseException as exc:
            big.take_back(kept)
            pickles.remark(exc, f"This was the result of {filename!r} in the workflow {workflow_name!r}, which was not saved.")
            raise
        try:
            self._persistence.write_bytes(key, data)
        except PersistenceError:
            if kept and not self._may_have_arrived(key, data):
                big.take_back(kept)
            raise

    def read_task(self, workflow_name: str, task_name: str) -> Any:
        """The result of a node. It is unpickled, which runs what was pickled: read what you would run.

        Raises:
            ObjectNotFoundError: There is none; a ``FileNotFoundError``.
            InvalidPickle: What is stored is not whole.
            pickle.UnpicklingError: A serializer is not registered that wrote a part of it.
        """
        key = task_key(workflow_name, task_name)
        data = self._persistence.read_bytes(key)
        attempts = self._big(workflow_name).attempts if self.persistent_serializers else (None,)
        return pickles.loads(data, self.persistent_classes, attempts, url=self._persistence.url(key))

    def file_exists(self, workflow_name: str, filename: str) -> bool:
        """Whether there is a result of a node.

        Raises:
            PersistenceError: It cannot be known.
        """
        try:
            return not self._persistence.info(task_key(workflow_name, filename)).is_folder
        except (ObjectNotFoundError, NotAFolderError):
            return False

    def list_tasks(self, workflow_name: str, pattern: str) -> list[str]:
        """Names of nodes that have a result.

        Args:
            workflow_name: Of the workflow.
            pattern: As of `glob`, with ``*``, ``?`` and ``[...]``; a name that begins with a dot is found by one that does so. A
                name with slashes is found by a pattern with as many.

        Returns:
            In alphabetical order; nothing of a workflow that is not there.
        """
        if not isinstance(pattern, str):
            raise InvalidOptionError(f"a pattern is text, not {type(pattern).__name__}", hint="'*' finds all names.")
        folder, wanted = workflow_key(workflow_name), pattern.split("/")
        return sorted(name for name in self._names(folder, len(wanted)) if _matches(name.split("/"), wanted))

    def remove_task(self, workflow_name: str, task_name: str | None = None, pattern: str | None = None) -> None:
        """Remove results, and what registered serializers have written for them.

        Args:
            workflow_name: Of the workflow.
            task_name: Name of one node.
            pattern: Of all nodes that `list_tasks` finds by it, whatever *task_name* is.

        Raises:
            ObjectNotFoundError: There is no such result. Nothing that matches a pattern is no error.
            InvalidOptionError: Neither a name nor a pattern.
            Exception: Of the first that could not be removed; it names the others, and what is not named is gone.
        """
        if pattern:
            self._remove_all(workflow_name, self.list_tasks(workflow_name, pattern))
        elif task_name is None:
            raise InvalidOptionError("remove_task takes the name of a node, or a pattern", hint="pattern='*' removes them all.")
        else:
            self._remove(workflow_name, task_name)

    # --- workflows ---

    def new_workflow(self, workflow_name: str) -> None:
        """Make the folder of a workflow; one that is there is fine.

        A store without folders gets nothing, and is asked for its bucket: it had better not be missing after the first node. A
        store that nobody may write to is asked for the folder: a workflow that is finished can be run again from it.
        """
        key = workflow_key(workflow_name)
        if self._persistence.capabilities(key).folders:
            try:
                self._persistence.make_folder(key)
            except UnsupportedPersistenceOp:
                if not self._persistence.exists(key):
                    raise
        else:
            self._require_bucket()

    def remove_workflow(self, workflow_name: str) -> None:
        """Remove a workflow with everything that is kept of it; one that is missing is fine."""
        key = workflow_key(workflow_name)
        with contextlib.suppress(ObjectNotFoundError, NotAFolderError):
            if self._persistence.info(key).is_folder:
                self._persistence.delete(key, recursive=True, missing_ok=True)

    def _test_path(self) -> None:
        """Ask for the path; on a store without folders, for its bucket.

        Raises:
            ObjectNotFoundError: It is not there.
            PersistenceError: It cannot be reached.
        """
        if self._persistence.capabilities().flat:
            self._persistence.store_and_key()[0].info("")
        elif not self._persistence.exists(""):
            raise ObjectNotFoundError("not found", operation="info", url=self.path, hint="new_workflow() makes it.")

    # --- serializers ---

    def have_serializers(self) -> bool:
        """Whether any is registered."""
        return bool(self.persistent_serializers) or bool(self.reduced_serializers)

    def register_persistent_serializers(self, *serializers: Any) -> None:
        """Let serializers write objects of their classes apart from the pickle.

        Args:
            serializers: Each with ``name``, ``serializer_class``, ``pickle(obj, protocols)``, ``unpickle(pid, protocols)`` and
                ``remove(pid, protocols)``.
        """
        self.persistent_serializers.update({one.serializer_class: one for one in serializers})
        self.persistent_classes.update({one.name: one for one in serializers})

    def pickle(self, obj: Any, protocols: pickles.Protocols) -> bytes:
        """Serialise an object, with its checksum."""
        return self._dumped(obj, protocols, [])

    def unpickle(self, data: bytes, protocols: pickles.Protocols) -> Any:
        """Read what `pickle` gave.

        Raises:
            InvalidPickle: It is not whole.
        """
        return pickles.loads(data, self.persistent_classes, (protocols,))

    def remove_persistent_storage(self, data: bytes, protocols: pickles.Protocols) -> None:
        """Remove what serializers have written for an object."""
        pickles.remove(pickles.references(data, self.persistent_classes), (protocols,))

    def get_bigdata_path(self, workflow: str) -> str:
        """URL of the folder in which serializers write."""
        return self._persistence.url(bigdata_key(workflow))

    def get_protocols(self, path: str, s3: object = None) -> dict[str, Any]:  # noqa: ARG002 - see there
        """What serializers are given.

        Args:
            path: From `get_bigdata_path`.
            s3: Not needed. functionfuse's storage on S3 takes a client here.

        Raises:
            InvalidNameError: It does not lie below the path of this storage.
        """
        here, there = parse(self.path), parse(path) if is_url(path) else local(path)
        head = f"{here.key.rstrip('/')}/".lstrip("/")
        if there.root != here.root or not there.key.startswith(head):
            raise InvalidNameError(f"{path!r} does not lie below {self.path}; get_bigdata_path() gives such paths")
        return BigData(self._persistence, there.key[len(head) :].rstrip("/"), self._offered).protocols

    # --- Ray ---

    def get_writer_funcs(self, workflow_name: str) -> tuple[Any, Any, Any]:
        """What ``RayWorkflow`` asks for: each worker reads and writes the URL by itself.

        Returns:
            ``new_workflow`` and ``save_func``, whose ``remote()`` is called, and between them an object with ``remote_args``,
            ``file_exists`` and ``read_task``.

        Raises:
            InvalidOptionError: The URL leads into the memory of this process.
            SecretPicklingError: Options hold secrets themselves.
        """
        from persistence_fsspec.faces.functionfuse.ray import writer_funcs  # noqa: PLC0415 - it knows this class

        return writer_funcs(self, workflow_name, self.remote_args)

    # --- inside ---

    def _big(self, workflow_name: str) -> BigData:
        return BigData(self._persistence, bigdata_key(workflow_name), self._offered)

    def _given(self, big: BigData) -> pickles.Protocols:
        return big.protocols if self.persistent_serializers else None

    def _dumped(self, obj: Any, protocols: pickles.Protocols, kept: list[Kept]) -> bytes:
        return pickles.dumps(obj, self.persistent_serializers, protocols, self.reduced_serializers, kept)

    def _may_have_arrived(self, key: str, data: bytes) -> bool:
        """Whether a write that failed left the object all the same: an answer may be lost on its way."""
        try:
            return self._persistence.read_bytes(key) == data
        except (ObjectNotFoundError, IsAFolderError, NotAFolderError):
            return False
        except PersistenceError:
            return True

    def _names(self, folder: str, depth: int) -> list[str]:
        """What lies in a folder: files, by their names relative to it; without what serializers have written."""
        store, key = self._persistence.store_and_key(folder)
        try:
            found = [
                entry.key[len(key) + 1 :]
                for entry in (store.children(key) if depth == 1 else store.find(key))
                if not entry.is_folder
            ]
        except (ObjectNotFoundError, NotAFolderError):
            self._require_bucket()  # a missing workflow has no results; a missing bucket is an error
            return []
        return [name for name in found if name and BIGDATA not in name.split("/")]

    def _require_bucket(self) -> None:
        """Tell that a bucket is missing, or that there are no credentials. Who may not know may still read and write in it."""
        store, _ = self._persistence.store_and_key()
        if store.capabilities.flat:
            try:
                store.info("")
            except AuthenticationError:
                raise
            except PermissionDeniedError:
                pass

    def _remove_all(self, workflow_name: str, names: list[str]) -> None:
        failed: dict[str, Exception] = {}
        for name in names:
            try:
                self._remove(workflow_name, name)
            except ObjectNotFoundError:  # somebody else has removed it since
                pass
            except Exception as exc:  # noqa: BLE001 - told below
                failed[name] = exc
        if failed:
            first = next(iter(failed.values()))
            pickles.remark(first, f"Not removed: {', '.join(map(repr, failed))}, of {len(names)} that the pattern finds.")
            raise first

    def _remove(self, workflow_name: str, task_name: str) -> None:
        """First the result: nobody is to find one whose big data are gone."""
        key = task_key(workflow_name, task_name)
        kept: list[Kept] = []
        if self.persistent_serializers:
            kept = pickles.references(self._persistence.read_bytes(key), self.persistent_classes)
        self._persistence.delete(key)
        pickles.remove(kept, self._big(workflow_name).attempts)


def arguments(given: Any, name: str) -> dict[str, Any]:
    """Keyword arguments for Ray, as they were given.

    Raises:
        InvalidOptionError: It is something else.
    """
    if not isinstance(given, Mapping | None):
        raise InvalidOptionError(f"{name} are arguments by name, not {type(given).__name__}", hint='{"num_cpus": 1}')
    return dict(given or {})


def check_address(path: Any) -> None:
    """Refuse what is no address at all.

    Raises:
        InvalidOptionError: It is such a thing.
    """
    if not (isinstance(path, str | os.PathLike) or hasattr(path, "protocol")):  # a UPath of some versions is no PathLike
        raise InvalidOptionError(f"path is a URL or a local path, not {type(path).__name__}: {path!r}")


def _matches(parts: list[str], wanted: list[str]) -> bool:
    return len(parts) == len(wanted) and all(map(_is_found, parts, wanted))


def _is_found(name: str, pattern: str) -> bool:
    """As in a shell: what is hidden is found when it is asked for."""
    return fnmatch.fnmatchcase(name, pattern) and (pattern.startswith(".") or not name.startswith("."))
