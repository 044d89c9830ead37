"""Workflows of two tasks: what the first makes goes through the raw output prefix to the second."""

import os
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
from flytekit import current_context, kwtypes, task, workflow
from flytekit.core.context_manager import FlyteContextManager
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from flytekit.types.structured import StructuredDataset
from flytekit.types.structured.structured_dataset import CSV

NAMES = {
    "a[1].txt": "brackets",
    "b #1.txt": "hash",
    "what?*.txt": "patterns",
    ".hidden": "dot",
    "sub/deep/c%20d.txt": "percent",
    "sub/e f": "space",
}


def _folder():
    folder = Path(current_context().working_directory, os.urandom(4).hex())
    folder.mkdir(parents=True)
    return folder


def _there(name=None):
    """Where to keep what would stay where it is, as long as a workflow runs on one machine."""
    return FlyteContextManager.current_context().file_access.get_random_remote_path(name)


@task
def make_file(text: str) -> FlyteFile:
    path = _folder() / "model.bin"
    path.write_bytes(text.encode() * 1000)
    return FlyteFile(str(path), remote_path=_there(path.name))


@task
def read_file(file: FlyteFile) -> str:
    data = Path(file).read_bytes()
    return data.decode()[: len(data) // 1000]


@task
def stream_file(file: FlyteFile) -> str:
    """Never on the disk here."""
    with file.open("rb", cache_type="readahead") as source:
        assert source.read(1)
        source.seek(0)
        data = source.read()
    return data.decode()[: len(data) // 1000]


@task
def copy_file(file: FlyteFile) -> FlyteFile:
    made = FlyteFile.new_remote_file()
    with file.open("rb") as source, made.open("wb") as target:
        target.write(source.read())
    return made


@task
def make_folder() -> FlyteDirectory:
    folder = _folder()
    for name, text in NAMES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return FlyteDirectory(str(folder), remote_directory=_there())


@task
def read_folder(folder: FlyteDirectory) -> dict:
    root = Path(folder)
    return {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}


@task
def crawl_folder(folder: FlyteDirectory) -> list[str]:
    return sorted(name for _, name in folder.crawl())


@task
def list_folder(folder: FlyteDirectory) -> list[str]:
    return sorted(Path(str(one.remote_source or one.path)).name for one in FlyteDirectory.listdir(folder))


@task
def make_frame(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"n": range(rows), "name": [f"row {i}" for i in range(rows)]})


@task
def read_frame(frame: pd.DataFrame) -> int:
    assert list(frame["name"])[:1] == ["row 0"]
    return int(frame["n"].sum())


@task
def read_one_column(frame: Annotated[pd.DataFrame, kwtypes(n=int)]) -> str:
    return ",".join(frame.columns)


@task
def make_table(rows: int) -> pa.Table:
    return pa.table({"n": list(range(rows)), "name": [f"row {i}" for i in range(rows)]})


@task
def read_table(table: pa.Table) -> int:
    assert table.column_names == ["n", "name"]
    return sum(table.column("n").to_pylist())


@task
def read_column_of_table(table: Annotated[pa.Table, kwtypes(n=int)]) -> str:
    return ",".join(table.column_names)


@task
def make_dataset(rows: int) -> StructuredDataset:
    return StructuredDataset(dataframe=pd.DataFrame({"n": range(rows)}))


@task
def read_dataset(dataset: StructuredDataset) -> int:
    return int(dataset.open(pd.DataFrame).all()["n"].sum()) + sum(dataset.open(pa.Table).all().column("n").to_pylist())


@task
def make_csv(rows: int) -> Annotated[StructuredDataset, CSV]:
    return StructuredDataset(dataframe=pd.DataFrame({"n": range(rows)}), file_format=CSV)


@task
def read_csv(dataset: Annotated[StructuredDataset, CSV]) -> int:
    return int(dataset.open(pd.DataFrame).all()["n"].sum())


@task(enable_deck=True)
def answer(question: FlyteFile) -> FlyteFile:
    """For pyflyte-execute: reads one file, writes another."""
    path = _folder() / "answer.txt"
    path.write_text(Path(question).read_text().upper())
    return FlyteFile(str(path))


@workflow
def file(text: str) -> str:
    return read_file(file=make_file(text=text))


@workflow
def stream(text: str) -> str:
    return stream_file(file=make_file(text=text))


@workflow
def copy(text: str) -> str:
    return read_file(file=copy_file(file=make_file(text=text)))


@workflow
def folder() -> dict:
    return read_folder(folder=make_folder())


@workflow
def crawled() -> list[str]:
    return crawl_folder(folder=make_folder())


@workflow
def listed() -> list[str]:
    return list_folder(folder=make_folder())


@workflow
def frame(rows: int) -> int:
    return read_frame(frame=make_frame(rows=rows))


@workflow
def column(rows: int) -> str:
    return read_one_column(frame=make_frame(rows=rows))


@workflow
def table(rows: int) -> int:
    return read_table(table=make_table(rows=rows))


@workflow
def column_of_table(rows: int) -> str:
    return read_column_of_table(table=make_table(rows=rows))


@workflow
def dataset(rows: int) -> int:
    return read_dataset(dataset=make_dataset(rows=rows))


@workflow
def csv(rows: int) -> int:
    return read_csv(dataset=make_csv(rows=rows))
