"""Results written and read on the workers of a Ray cluster, or all of them on one node."""

from __future__ import annotations

import atexit
import pickle
import warnings
from collections import namedtuple
from collections.abc import Mapping
from functools import partial
from importlib import import_module
from typing import Any, ClassVar

from persistence_fsspec.addresses import Address
from persistence_fsspec.config import StorageOptions
from persistence_fsspec.errors import InvalidOptionError
from persistence_fsspec.faces.functionfuse.pickles import InvalidPickle
from persistence_fsspec.faces.functionfuse.places import workflow_key
from persistence_fsspec.faces.functionfuse.storage import FSSpecStorage, arguments
from persistence_fsspec.policy import Policy

ReadObject = namedtuple("ReadObject", ["remote_args", "file_exists", "read_task"])


def writer_funcs(
    storage: FSSpecStorage, workflow_name: str, remote_args: Mapping[str, Any]
) -> tuple[Beginner, ReadObject, Saver]:
    """What ``RayWorkflow.set_storage`` asks a storage for.

    Args:
        storage: Goes to the workers.
        workflow_name: Of the workflow.
        remote_args: Of ``ray.remote``.

    Returns:
        ``new_workflow``, what reads, and what saves.

    Raises:
        InvalidOptionError: The storage lies in the memory of this process.
        SecretPicklingError: Its options hold secrets themselves.
    """
    ray = import_module("ray")
    workflow_key(workflow_name)
    check_travels(storage)
    given = dict(remote_args) or {"num_cpus": 1}  # ray.remote() takes no empty ones; a task has this by itself

    def new_workflow() -> None:
        storage.new_workflow(workflow_name)

    def save(filename: str, obj: tuple[Any]) -> None:
        if not storage.file_exists(workflow_name, filename):
            storage.save(workflow_name, filename, ray.get(obj[0]))

    def read_task(task_name: str) -> Any:
        return storage.read_task(workflow_name, task_name)

    def file_exists(filename: str) -> bool:
        return storage.file_exists(workflow_name, filename)

    remote = ray.remote(**given)
    return Beginner(remote(new_workflow)), ReadObject(given, file_exists, read_task), Saver(remote(save))


def check_travels(storage: FSSpecStorage) -> None:
    """Refuse now what the first worker would fail with.

    Raises:
        InvalidOptionError: The storage lies in the memory of this process.
        SecretPicklingError: Its options hold secrets themselves.
    """
    if "memory://" in storage.path:
        raise InvalidOptionError(
            f"{storage.path} is the memory of one process, and each worker of Ray is another one",
            hint="Take a URL that all workers reach, or with one machine alone, a path on it.",
        )
    pickle.dumps(storage._persistence)  # the rest is Ray's to pickle, which takes more than pickle does


class Beginner:
    """Begins a workflow, on a worker.

    Nobody looks at what comes of it, so that it is looked at here: a store that workers do not reach is told before anything runs.

    Args:
        new_workflow: A remote function.
    """

    def __init__(self, new_workflow: Any) -> None:
        self._new_workflow = new_workflow

    def remote(self) -> Any:
        """Make the folder of the workflow, and wait for it.

        Returns:
            A reference to None.

        Raises:
            PersistenceError: It could not be made; as Ray's error, too.
        """
        ray = import_module("ray")
        done = self._new_workflow.remote()
        ray.get(done)
        return done


class Saver:
    """Saves results by tasks of Ray.

    A workflow waits for the last of them alone, so that each stands for all before it: it is ready when these are, and
    fails when one of them has failed. As nobody looks at that, a result that could not be saved is told by a warning. Where
    its last node is a class or a method, it waits for nothing: then the end of the program does, before Ray's.

    Args:
        save: A remote function of a name and a reference in a tuple.
    """

    def __init__(self, save: Any) -> None:
        self._save, self._before = save, None
        atexit.unregister(_wait_at_exit)
        atexit.register(_wait_at_exit)  # called before what was registered before: Ray's own

    def remote(self, filename: str, obj: tuple[Any]) -> Any:
        """Save what a reference will stand for, unless it is saved already.

        Returns:
            A reference to None.
        """
        ray = import_module("ray")
        saved = self._save.remote(filename, obj)
        _unfinished[saved] = filename, _cluster(ray)
        saved.future().add_done_callback(partial(_finished, saved))
        self._before = ray.remote(num_cpus=0)(_after).remote(self._before, saved)
        return self._before


def _after(_before: None, _saved: None) -> None:
    """Ray calls it when both are there."""


_unfinished: dict[Any, tuple[str, Any]] = {}
"""What is being saved: reference -> name of the node, and the cluster."""


def _cluster(ray: Any) -> tuple[str, str]:
    """Tells one connection of this process from another: a reference means nothing to the next one."""
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def _wait_at_exit() -> None:
    ray = import_module("ray")
    if not (_unfinished and ray.is_initialized()):
        return
    here = _cluster(ray)
    for saved, (_, cluster) in list(_unfinished.items()):
        if cluster == here:
            try:
                ray.get(saved)
            except Exception as exc:  # noqa: BLE001 - told, as all of them
                _tell(saved, exc)


def _finished(saved: Any, future: Any) -> None:
    _tell(saved, future.exception())


def _tell(saved: Any, error: Any) -> None:
    """Once, whoever comes first."""
    filename, _ = _unfinished.pop(saved, (None, None))
    if filename is None or error is None:
        return
    error = getattr(error, "cause", error)  # without the stack of the worker
    said = "; ".join(str(error).splitlines())  # a warning is one line
    text = f"the result of {filename!r} was not saved: {type(error).__name__}: {said}"
    if "__main__" in text:
        text += "; define the class in a module that the workers import"
    warnings.warn(text, RuntimeWarning, stacklevel=1)


class RayStorage:
    """Results on one node of a Ray cluster, for example on its disk; or at any URL that this node reaches.

    ``remote_args`` name the node: it was started with a resource of its own (``_disk: 1``), of which all that is called here takes
    a bit (``{"resources": {"_disk": 0.001}}``). A relative path begins in the working folder of this process.

    Args:
        path: As for `FSSpecStorage`.
        storage_options: As for `FSSpecStorage`.
        remote_args: Of ``ray.remote``.
        ray_init_args: Of ``ray.init``, which is called now; whatever connection there was is closed. For reading results, without
            a workflow that has done this.
        more: As for `FSSpecStorage`.

    Raises:
        InvalidOptionError: The path lies in the memory of a process.
        SecretPicklingError: Options hold secrets themselves, which would travel.
    """

    invalid_exception: ClassVar[type[InvalidPickle]] = InvalidPickle

    def __init__(
        self,
        path: Address,
        storage_options: StorageOptions = None,
        *,
        remote_args: Mapping[str, Any] | None = None,
        ray_init_args: Mapping[str, Any] | None = None,
        profile: str | None = None,
        policy: Policy | Mapping[str, Any] | None = None,
    ) -> None:
        self.remote_args = arguments(remote_args, "remoteArgs")
        init = arguments(ray_init_args, "rayInitArgs")
        self._storage = FSSpecStorage(path, storage_options, profile=profile, policy=policy, remote_args=self.remote_args)
        self._actor: Any = None
        self._at: tuple[str, str] | None = None
        check_travels(self._storage)
        if ray_init_args is not None:
            ray = import_module("ray")
            ray.shutdown()
            ray.init(**init)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Without secrets of ``runtime_env``, and without the actor, which is one of this connection."""
        return {**self.__dict__, "remote_args": self._storage.__getstate__()["remote_args"], "_actor": None}

    @property
    def path(self) -> str:
        """The URL below which workflows lie, without a password."""
        return self._storage.path

    @property
    def actor(self) -> Any:
        """The remote actor, for calls that do not wait: ``storage.actor.read_task.remote(workflow_name, task_name)``."""
        ray = import_module("ray")
        if self._actor is None or not ray.is_initialized() or self._at != _cluster(ray):  # else it is of an earlier cluster
            remote = ray.remote(StorageActor)
            self._actor = (remote.options(**self.remote_args) if self.remote_args else remote).remote(self._storage)
            self._at = _cluster(ray)
        return self._actor

    def register_persistent_serializers(self, *serializers: Any) -> None:
        """As `FSSpecStorage.register_persistent_serializers`; the actor of before is not told, and given up."""
        self._storage.register_persistent_serializers(*serializers)
        self._actor = None

    def get_writer_funcs(self, workflow_name: str) -> tuple[Beginner, ReadObject, Saver]:
        """See `FSSpecStorage.get_writer_funcs`; all of them run where ``remote_args`` say."""
        return writer_funcs(self._storage, workflow_name, self.remote_args)

    def list_tasks(self, workflow_name: str, pattern: str) -> list[str]:
        """See `FSSpecStorage.list_tasks`."""
        found: list[str] = self._asked("list_tasks", workflow_name, pattern)
        return found

    def read_task(self, workflow_name: str, task_name: str) -> Any:
        """See `FSSpecStorage.read_task`."""
        return self._asked("read_task", workflow_name, task_name)

    def remove_task(self, workflow_name: str, task_name: str | None = None, pattern: str | None = None) -> None:
        """See `FSSpecStorage.remove_task`. It has been done, or has failed, when this returns."""
        self._asked("remove_task", workflow_name, task_name, pattern)

    def remove_workflow(self, workflow_name: str) -> None:
        """See `FSSpecStorage.remove_workflow`. It has been done, or has failed, when this returns."""
        self._asked("remove_workflow", workflow_name)

    def _asked(self, method: str, *arguments: Any) -> Any:
        ray = import_module("ray")
        try:
            return ray.get(getattr(self.actor, method).remote(*arguments))
        except ray.exceptions.RayActorError:  # it died, perhaps with its node
            self._actor = None
            return ray.get(getattr(self.actor, method).remote(*arguments))


class StorageActor:
    """A storage that lives on a node.

    Args:
        storage: It.
    """

    def __init__(self, storage: FSSpecStorage) -> None:
        self._storage = storage

    def save(self, workflow_name: str, filename: str, obj: tuple[Any]) -> None:
        """Save what the reference in the tuple stands for, unless it is saved already."""
        ray = import_module("ray")
        if not self._storage.file_exists(workflow_name, filename):
            self._storage.save(workflow_name, filename, ray.get(obj[0]))

    def file_exists(self, workflow_name: str, filename: str) -> bool:
        """See `FSSpecStorage.file_exists`."""
        return self._storage.file_exists(workflow_name, filename)

    def list_tasks(self, workflow_name: str, pattern: str) -> list[str]:
        """See `FSSpecStorage.list_tasks`."""
        return self._storage.list_tasks(workflow_name, pattern)

    def read_task(self, workflow_name: str, task_name: str) -> Any:
        """See `FSSpecStorage.read_task`."""
        return self._storage.read_task(workflow_name, task_name)

    def remove_task(self, workflow_name: str, task_name: str | None = None, pattern: str | None = None) -> None:
        """See `FSSpecStorage.remove_task`."""
        self._storage.remove_task(workflow_name, task_name, pattern)

    def remove_workflow(self, workflow_name: str) -> None:
        """See `FSSpecStorage.remove_workflow`."""
        self._storage.remove_workflow(workflow_name)

    def new_workflow(self, workflow_name: str) -> None:
        """See `FSSpecStorage.new_workflow`."""
        self._storage.new_workflow(workflow_name)
