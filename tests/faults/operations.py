"""What is done under faults, one class per operation, and what may be true afterwards.

Every operation works in one folder. It says what lies there beforehand, what
must lie there after success, and what else may lie there after an error: the
state before is always allowed then, a mixture never.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, ClassVar

from persistence_fsspec.errors import TransferError

State = dict[str, bytes]
"""Name in the folder -> content."""

SMALL, SEVERAL_PARTS = 3_000, 200_000
MULTIPART = 6 * 1024 * 1024


class Operation:
    """One operation on one folder.

    Args:
        rng: Draws contents and sizes.
        local: An empty local folder.
    """

    weight: ClassVar[int] = 1
    needs: ClassVar[str] = ""
    """A field of `Capabilities` that must be true."""

    def __init__(self, rng: random.Random, local: Path) -> None:
        self.rng, self.local = rng, local
        self.before: State = {"bystander": rng.randbytes(100)}
        self.after: State = {}
        self.given: Any = None
        self.setup()

    def setup(self) -> None:
        """Fill `before` and `after`."""
        raise NotImplementedError

    def prepare(self, persistence: Any, folder: str) -> None:
        """What has to be asked of the store before faults begin."""

    def act(self, persistence: Any, folder: str) -> None:
        """Do it; what is returned to us is checked by `wrong_answer`."""
        raise NotImplementedError

    def wrong_answer(self) -> str:
        """What is wrong with the answer of a success; empty if nothing is."""
        return ""

    def allowed(self, state: State, error: Exception) -> bool:
        """Whether this state may be found after an error."""
        return state in (self.before, self.after)

    def bytes(self, size: int | None = None) -> bytes:
        """Random content, of a random size unless one is given."""
        return self.rng.randbytes(self.rng.choice((0, 1, SMALL, SMALL, SEVERAL_PARTS)) if size is None else size)


class Write(Operation):
    weight = 2

    def setup(self):
        self.old, self.new = self.bytes(SMALL), self.bytes()
        if self.rng.random() < 0.7:
            self.before["a"] = self.old
        self.after = {**self.before, "a": self.new}

    def act(self, persistence, folder):
        self.given = persistence.write_bytes(f"{folder}/a", self.new)

    def wrong_answer(self):
        return "" if self.given.size == len(self.new) else f"says that it wrote {self.given.size} of {len(self.new)} bytes"


class WriteInNewFolder(Write):
    def setup(self):
        self.new = self.bytes(SMALL)
        self.after = {**self.before, "deep/down/a": self.new}

    def act(self, persistence, folder):
        self.given = persistence.write_bytes(f"{folder}/deep/down/a", self.new)


class Create(Operation):
    weight = 2
    needs = "create"

    def setup(self):
        self.new = self.bytes()
        self.after = {**self.before, "a": self.new}

    def act(self, persistence, folder):
        persistence.write_bytes(f"{folder}/a", self.new, overwrite=False)


class WriteIfMatch(Operation):
    weight = 2
    needs = "if_match"

    def setup(self):
        self.old, self.new = self.bytes(SMALL), self.bytes()
        self.before["a"] = self.old
        self.after = {**self.before, "a": self.new}

    def prepare(self, persistence, folder):
        self.version = persistence.info(f"{folder}/a").version

    def act(self, persistence, folder):
        self.given = persistence.write_bytes(f"{folder}/a", self.new, if_match=self.version)


class OpenForWriting(Operation):
    weight = 2

    def setup(self):
        self.pieces = [self.bytes(50_000) for _ in range(self.rng.randint(1, 4))]
        if self.rng.random() < 0.7:
            self.before["a"] = self.bytes(SMALL)
        self.after = {**self.before, "a": b"".join(self.pieces)}

    def act(self, persistence, folder):
        with persistence.open(f"{folder}/a", "wb") as file:
            for piece in self.pieces:
                file.write(piece)


class OpenForMultipart(OpenForWriting):
    needs = "if_match"  # of the stores here, S3: it alone has uploads by parts

    def setup(self):
        super().setup()
        self.pieces = [self.bytes(1024 * 1024)] * (MULTIPART // (1024 * 1024))
        self.after["a"] = b"".join(self.pieces)


class Append(Operation):
    """One to three times, up to the first error."""

    weight = 3
    needs = "append"

    def setup(self):
        if self.rng.random() < 0.8:
            self.before["a"] = self.bytes(SMALL)
        self.pieces = [self.bytes(self.rng.choice((1, SMALL, SEVERAL_PARTS))) for _ in range(self.rng.randint(1, 3))]
        self.after = {**self.before, "a": self.before.get("a", b"") + b"".join(self.pieces)}

    def act(self, persistence, folder):
        self.native = persistence.capabilities().append == "native"
        self.sure = self.before.get("a", b"")
        for piece in self.pieces:
            self.doubtful = piece
            persistence.append(f"{folder}/a", piece)
            self.sure += piece

    def allowed(self, state, error):
        found = state.get("a", b"")
        rest = {**state, "a": b""} == {**self.before, "a": b""}
        whole = (self.sure + self.doubtful).startswith(found) if self.native else found in (self.sure, self.sure + self.doubtful)
        return rest and found.startswith(self.sure) and whole


class Read(Operation):
    weight = 2

    def setup(self):
        self.before["a"] = self.bytes()
        self.after = dict(self.before)
        self.wanted = self.before["a"]

    def act(self, persistence, folder):
        self.given = persistence.read_bytes(f"{folder}/a")

    def wrong_answer(self):
        return "" if self.given == self.wanted else f"gave {len(self.given)} bytes that are not the {len(self.wanted)} stored"


class ReadRange(Read):
    def setup(self):
        super().setup()
        start, end = sorted(self.rng.randint(0, len(self.wanted)) for _ in range(2))
        self.start, self.end = start, end + 1
        self.wanted = self.wanted[self.start : self.end]

    def act(self, persistence, folder):
        self.given = persistence.read_bytes(f"{folder}/a", start=self.start, end=self.end)


class OpenForReading(Read):
    def act(self, persistence, folder):
        with persistence.open(f"{folder}/a") as file:
            self.given = file.read()


class Get(Read):
    weight = 2

    def act(self, persistence, folder):
        target = self.local / "a"
        try:
            persistence.get(f"{folder}/a", str(target))
        finally:
            self.found = sorted(path.name for path in self.local.iterdir())
            self.given = target.read_bytes() if target.exists() else None

    def wrong_answer(self):
        return super().wrong_answer() or ("" if self.found == ["a"] else f"left {self.found} here")

    def allowed(self, state, error):
        return super().allowed(state, error) and self.found in ([], ["a"]) and self.given in (None, self.wanted)


class GetTree(Operation):
    def setup(self):
        self.before |= {f"tree/{name}": self.bytes() for name in ("x", "y/z", "y/w", "v")}
        self.after = dict(self.before)

    def act(self, persistence, folder):
        target = self.local / "tree"
        try:
            persistence.get(f"{folder}/tree", str(target), recursive=True)
        finally:
            files = (path for path in target.rglob("*") if path.is_file())
            self.given = {f"tree/{path.relative_to(target).as_posix()}": path.read_bytes() for path in files}

    def wrong_answer(self):
        wanted = {name: data for name, data in self.before.items() if name.startswith("tree/")}
        return "" if self.given == wanted else f"fetched {sorted(self.given)}, or something else under these names"

    def allowed(self, state, error):
        return super().allowed(state, error) and self.given.items() <= self.before.items()


class Put(Operation):
    weight = 2

    def setup(self):
        if self.rng.random() < 0.7:
            self.before["a"] = self.bytes(SMALL)
        self.after = {**self.before, "a": self.bytes()}
        (self.local / "source").write_bytes(self.after["a"])

    def act(self, persistence, folder):
        persistence.put(str(self.local / "source"), f"{folder}/a")


class PutTree(Operation):
    weight = 2

    def setup(self):
        tree = {f"tree/{name}": self.bytes() for name in ("x", "y/z", "y/w", "v", "u/t/s")}
        self.before["tree/x"] = self.bytes(SMALL)
        self.after = self.before | tree
        for name, data in tree.items():
            path = self.local / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def act(self, persistence, folder):
        persistence.put(str(self.local / "tree"), f"{folder}/tree", recursive=True)

    def allowed(self, state, error):
        whole = all(data in (self.before.get(name), self.after.get(name)) for name, data in state.items())
        nothing_lost = self.before.keys() <= state.keys()
        arrived = error.report.copied if isinstance(error, TransferError) and error.report is not None else ()
        names = [f"tree/{file.target.partition('/tree/')[2]}" for file in arrived]
        return whole and nothing_lost and all(state[name] == self.after[name] for name in names)


class Delete(Operation):
    weight = 2

    def setup(self):
        self.after = dict(self.before)
        self.before["a"] = self.bytes(SMALL)

    def act(self, persistence, folder):
        persistence.delete(f"{folder}/a")


class DeleteTree(Operation):
    def setup(self):
        self.after = dict(self.before)
        self.before |= {f"tree/{name}": self.bytes(10) for name in ("x", "y/z", "y/w")}

    def act(self, persistence, folder):
        persistence.delete(f"{folder}/tree", recursive=True)

    def allowed(self, state, error):
        return self.after.items() <= state.items() <= self.before.items()


class Move(Operation):
    weight = 3

    def setup(self):
        data = self.bytes()
        if self.rng.random() < 0.5:
            self.before["b"] = self.bytes(SMALL)
        self.after = {**self.before, "b": data}
        self.both = {**self.after, "a": data}
        self.before["a"] = data

    def act(self, persistence, folder):
        self.rename = persistence.capabilities().rename
        persistence.move(f"{folder}/a", f"{folder}/b")

    def allowed(self, state, error):
        return super().allowed(state, error) or (not self.rename and state == self.both)


class Copy(Operation):
    weight = 2

    def setup(self):
        self.before["a"] = self.bytes()
        if self.rng.random() < 0.5:
            self.before["b"] = self.bytes(SMALL)
        self.after = {**self.before, "b": self.before["a"]}

    def act(self, persistence, folder):
        persistence.copy(f"{folder}/a", f"{folder}/b")


class ListFolder(Operation):
    weight = 2
    names: ClassVar[tuple[str, ...]] = ("x", "y", "f/z", "f/g/w")
    wanted: ClassVar[list[str]] = ["bystander", "f", "x", "y"]

    def setup(self):
        self.before |= {name: self.bytes(10) for name in self.names}
        self.after = dict(self.before)

    def act(self, persistence, folder):
        self.given = sorted(name[len(folder) + 1 :].rstrip("/") for name in persistence.listdir(folder))

    def wrong_answer(self):
        return "" if self.given == self.wanted else f"lists {self.given}"


class Find(ListFolder):
    wanted: ClassVar[list[str]] = ["bystander", "f/g/w", "f/z", "x", "y"]

    def act(self, persistence, folder):
        self.given = sorted(info.key[len(folder) + 1 :] for info in persistence.find(folder))


class Exists(Operation):
    weight = 2

    def setup(self):
        self.wanted = self.rng.random() < 0.5
        if self.wanted:
            self.before["a"] = b"here"
        self.after = dict(self.before)

    def act(self, persistence, folder):
        self.given = persistence.exists(f"{folder}/a")

    def wrong_answer(self):
        return "" if self.given is self.wanted else f"says {self.given}"


OPERATIONS: tuple[type[Operation], ...] = (
    Write, WriteInNewFolder, Create, WriteIfMatch, OpenForWriting, OpenForMultipart, Append, Read, ReadRange, OpenForReading,
    Get, GetTree, Put, PutTree, Delete, DeleteTree, Move, Copy, ListFolder, Find, Exists,
)  # fmt: skip
