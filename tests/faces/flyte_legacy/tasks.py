"""Workflows of two tasks: what the first makes goes through the raw output prefix to the second."""

import os
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa
from flytekit import current_context, kwtypes, task, workflow
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from flytekit.types.structured import StructuredDataset

NAMES = {"a[1].txt": "brackets", "b #1.txt": "hash", ".hidden": "dot", "sub/deep/c%20d.txt": "percent", "sub/e.sh": "program"}


def _folder():
    folder = Path(current_context().working_directory, os.urandom(4).hex())
    folder.mkdir(parents=True)
    return folder


@task
def make_file(text: str) -> FlyteFile:
    path = _folder() / "model.bin"
    path.write_text(text)
    return FlyteFile(str(path))


@task
def read_file(file: FlyteFile) -> str:
    return Path(file).read_text()


@task
def make_folder() -> FlyteDirectory:
    folder = _folder()
    for name, text in NAMES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "empty").mkdir()
    return FlyteDirectory(str(folder))


@task
def read_folder(folder: FlyteDirectory) -> dict:
    root = Path(folder)
    found = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*") if path.is_file()}
    return {"files": found, "empty": (root / "empty").is_dir()}


@task
def make_empty_folder() -> FlyteDirectory:
    return FlyteDirectory(str(_folder()))


@task
def look_into(folder: FlyteDirectory) -> int:
    return len(os.listdir(folder))


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
    return pa.table({"n": list(range(rows))})


@task
def read_table(table: pa.Table) -> int:
    return sum(table.column("n").to_pylist())


@task
def make_dataset(rows: int) -> StructuredDataset:
    return StructuredDataset(dataframe=pd.DataFrame({"n": range(rows)}))


@task
def read_dataset(dataset: StructuredDataset) -> int:
    return int(dataset.open(pd.DataFrame).all()["n"].sum()) + sum(dataset.open(pa.Table).all().column("n").to_pylist())


@task
def answer(question: FlyteFile) -> FlyteFile:
    """For pyflyte-execute: reads one file, writes another."""
    path = _folder() / "answer.txt"
    path.write_text(Path(question).read_text().upper())
    return FlyteFile(str(path))


@workflow
def file(text: str) -> str:
    return read_file(file=make_file(text=text))


@workflow
def folder() -> dict:
    return read_folder(folder=make_folder())


@workflow
def empty_folder() -> int:
    return look_into(folder=make_empty_folder())


@workflow
def frame(rows: int) -> int:
    return read_frame(frame=make_frame(rows=rows))


@workflow
def one_column(rows: int) -> str:
    return read_one_column(frame=make_frame(rows=rows))


@workflow
def table(rows: int) -> int:
    return read_table(table=make_table(rows=rows))


@workflow
def dataset(rows: int) -> int:
    return read_dataset(dataset=make_dataset(rows=rows))
