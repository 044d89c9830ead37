"""A Flyte workflow on s3://. Nothing in it is ours: installing persistence-fsspec beside flytekit is enough.

Run it here with a prefix, or with FLYTE_RAW_PREFIX in the environment; its bucket's endpoint and credentials are where
flytekit looks for them: FLYTE_AWS_ENDPOINT, FLYTE_AWS_ACCESS_KEY_ID ..., or AWS's own. Flyte runs it as it is.
"""

import os
import sys
import tempfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
from flytekit import FlyteContextManager, StructuredDataset, current_context, task, workflow
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile


@task
def measure(days: int) -> FlyteDirectory:
    """A folder."""
    folder = Path(current_context().working_directory, "measured")
    (folder / "raw [1]").mkdir(parents=True, exist_ok=True)
    for day in range(days):
        (folder / "raw [1]" / f"day {day}.csv").write_text(f"day,degrees\n{day},{day * 1.5}\n")
    return FlyteDirectory(str(folder), remote_directory=stored("measured"))


@task
def collect(folder: FlyteDirectory) -> pd.DataFrame:
    """A data frame of all files in it."""
    return pd.concat([pd.read_csv(file) for file in sorted(Path(folder).rglob("*.csv"))], ignore_index=True)


@task
def warm(frame: pd.DataFrame) -> pa.Table:
    """A table of what was warm."""
    return pa.Table.from_pandas(frame[frame["degrees"] > 2], preserve_index=False)


@task
def publish(table: pa.Table) -> StructuredDataset:
    """A dataset, for whatever library opens it."""
    return StructuredDataset(dataframe=table)


@task
def report(dataset: StructuredDataset, folder: FlyteDirectory) -> FlyteFile:
    """A file."""
    frame = dataset.open(pd.DataFrame).all()
    path = Path(current_context().working_directory, "report.txt")
    path.write_text(f"{len(frame)} of {len(list(Path(folder).rglob('*.csv')))} days were warm: {list(frame['day'])}\n")
    return FlyteFile(str(path), remote_path=stored("report.txt"))


@workflow
def weather(days: int) -> FlyteFile:
    folder = measure(days=days)
    return report(dataset=publish(table=warm(frame=collect(folder=folder))), folder=folder)


def stored(name: str) -> str:
    """Where to put it. Flyte knows by itself; without a cluster flytekit leaves files where they are unless it is told."""
    return FlyteContextManager.current_context().file_access.get_random_remote_path(name)


def main(prefix: str) -> None:
    access = FileAccessProvider(tempfile.mkdtemp(), prefix)
    with FlyteContextManager.with_context(FlyteContextManager.current_context().with_file_access(access)):
        file = weather(days=4)
        print("stored as", file.remote_source)
        print(Path(file).read_text(), end="")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.environ["FLYTE_RAW_PREFIX"])
