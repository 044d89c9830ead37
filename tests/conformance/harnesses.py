"""Harnesses whose back door never uses the driver under test."""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path

import fsspec

from persistence_fsspec import SecretReference
from persistence_fsspec.sensitive import literal_secrets
from persistence_fsspec.testing import Harness


def in_environment(options):
    """The same options with their secrets in variables, from where every worker can take them."""
    found = dict(options)
    for name in literal_secrets(options):
        if isinstance(options.get(name), str):
            variable = f"TEST_SECRET_{hashlib.sha256(options[name].encode()).hexdigest()[:12]}"
            os.environ[variable] = options[name]
            found[name] = SecretReference(env=variable)
    return found


class ServerHarness(Harness):
    """A folder on one of the servers in tests/servers."""

    def __init__(self, server, url=None, storage_options=None, **more):
        base = url or server.url
        super().__init__(
            f"{base}{'' if base.endswith('://') else '/'}{{folder}}",
            None if more else in_environment(storage_options or server.storage_options),
            **more,
        )
        self._server = server

    def raw_read(self, name):
        return self._server.raw_read(f"{self.folder}/{name}")

    def raw_write(self, name, data):
        self._server.raw_write(f"{self.folder}/{name}", data)

    def raw_names(self):
        cut = len(self.folder) + 1
        return [key[cut:] for key in self._server.raw_keys(f"{self.folder}/")]

    def raw_delete(self, name):
        self._server.raw_delete(f"{self.folder}/{name}")


class LocalHarness(Harness):
    """A folder of this machine, seen by pathlib."""

    def __init__(self, folder: Path):
        super().__init__(f"{folder.as_uri()}/{{folder}}")
        self._root = folder / self.folder

    def raw_read(self, name):
        path = self._root / name
        return path.read_bytes() if path.is_file() else None

    def raw_write(self, name, data):
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def raw_names(self):
        return sorted(p.relative_to(self._root).as_posix() for p in self._root.rglob("*") if not p.is_dir())

    def raw_delete(self, name):
        (self._root / name).unlink()


class MemoryHarness(Harness):
    """fsspec's memory, seen through its own dictionary."""

    def __init__(self):
        super().__init__("memory://{folder}")
        self._fs = fsspec.filesystem("memory")

    def raw_read(self, name):
        file = self._fs.store.get(f"/{self.folder}/{name}")
        return None if file is None else file.getvalue()

    def raw_write(self, name, data):
        self._fs.pipe_file(f"/{self.folder}/{name}", data)

    def raw_names(self):
        prefix = f"/{self.folder}/"
        return sorted(path[len(prefix) :] for path in self._fs.store if path.startswith(prefix))

    def raw_delete(self, name):
        self._fs.rm_file(f"/{self.folder}/{name}")


class ZipHarness(Harness):
    """Members of a local archive, written by zipfile before it is opened."""

    live = False

    def __init__(self, folder: Path):
        self._archive = folder / "archive.zip"
        with zipfile.ZipFile(self._archive, "w"):
            pass
        super().__init__(f"zip://{{folder}}::{self._archive.as_uri()}")

    def raw_read(self, name):
        with zipfile.ZipFile(self._archive) as archive:
            return archive.read(f"{self.folder}/{name}")

    def raw_write(self, name, data):
        with zipfile.ZipFile(self._archive, "a") as archive:
            archive.writestr(f"{self.folder}/{name}", data)

    def raw_names(self):
        cut = len(self.folder) + 1
        with zipfile.ZipFile(self._archive) as archive:
            return sorted(name[cut:] for name in archive.namelist())

    def raw_delete(self, name):
        raise AssertionError("an archive is not changed in place")
