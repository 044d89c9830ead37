"""Answers one question per line, each about one raw output prefix: importing flytekit once is enough.

A question is JSON: the name of a function below, its arguments, and variables of the environment. So is its answer.
"""

import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow
import tasks  # beside this program
from flyteidl.core import literals_pb2
from flytekit.bin.entrypoint import execute_task_cmd
from flytekit.configuration import DataConfig, S3Config
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.data_persistence import FileAccessProvider
from flytekit.core.type_engine import TypeEngine
from flytekit.loggers import logger
from flytekit.models.literals import LiteralMap
from flytekit.types.directory import FlyteDirectory
from flytekit.types.file import FlyteFile
from flytekit.types.structured import StructuredDataset

from persistence_fsspec import TransferError, on_event

ROWS = 100
EXECUTE = Path(sys.executable).with_name("pyflyte-execute")


@contextmanager
def raw_outputs(prefix, **options):
    """What tasks make goes below that prefix."""
    access = FileAccessProvider(tempfile.mkdtemp(), prefix, **options)
    TypeEngine._LITERAL_CACHE.clear()  # equal frames would be taken from the prefix before
    with FlyteContextManager.with_context(FlyteContextManager.current_context().with_file_access(access)):
        yield access


@contextmanager
def transfers():
    """Those of our engine, as operation and URL of what lies in the store."""
    seen = []

    def hook(event):
        if event.name == "transfer_started":
            put = event.fields["operation"] == "put"
            seen.append([event.fields["operation"], event.fields["target" if put else "source"]])

    end = on_event(hook)
    yield seen
    end()


def told(ask):
    """The answer, or the error as text."""
    try:
        return ask()
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


def scratch(**files):
    """A folder with these files."""
    folder = Path(tempfile.mkdtemp())
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


# --- what a question may name ---


def round_trips(prefix):
    with raw_outputs(prefix) as access, transfers() as seen:
        return {
            "class": type(access.raw_output_fs).__module__,
            "file": told(lambda: tasks.file(text="words")),
            "uri": told(uri),
            "stream": told(lambda: tasks.stream(text="words")),
            "copy": told(lambda: tasks.copy(text="words")),
            "folder": told(tasks.folder),
            "crawled": told(tasks.crawled),
            "listed": told(tasks.listed),
            "frame": told(lambda: tasks.frame(rows=ROWS)),
            "column": told(lambda: tasks.column(rows=ROWS)),
            "table": told(lambda: tasks.table(rows=ROWS)),
            "column of table": told(lambda: tasks.column_of_table(rows=ROWS)),
            "dataset": told(lambda: tasks.dataset(rows=ROWS)),
            "csv": told(lambda: tasks.csv(rows=ROWS)),
            "raw": told(lambda: raw_data(access)),
            "exists": told(lambda: [access.exists(access.join(prefix, name)) for name in ("raw/bytes", "nowhere")]),
            "left here": sorted(os.listdir()),
            "transfers": seen,
        }


def uri():
    """Under which name a file would be found by others."""
    return literal(FlyteFile(__file__)).scalar.blob.uri


def literal(value):
    """What others are told of it, once it is stored."""
    kind = TypeEngine.to_literal_type(type(value))
    return TypeEngine.to_literal(FlyteContextManager.current_context(), value, type(value), kind)


def raw_data(access):
    """Everything that put_raw_data takes, and what is found there."""
    folder = scratch(**{"a.txt": "in a folder"})
    made = {
        "bytes": access.put_raw_data(b"bytes", upload_prefix="raw", file_name="bytes"),
        "stream": access.put_raw_data(io.BytesIO(b"stream"), upload_prefix="raw", file_name="stream"),
        "text": access.put_raw_data(io.StringIO("text"), upload_prefix="raw", file_name="text"),
        "file": access.put_raw_data(str(folder / "a.txt"), upload_prefix="raw"),
        "folder": access.put_raw_data(folder, upload_prefix="raw", file_name="folder").rstrip("/") + "/a.txt",
    }
    found = {}
    for kind, name in made.items():
        access.get_data(name, str(folder / kind / "back"))
        found[kind] = (folder / kind / "back").read_text()
    return found


def written(prefix):
    """Names, texts of errors and the log of one stay; and whether the names lead back."""
    here = scratch(**{"a.txt": "words"})
    with raw_outputs(prefix) as access, logged() as lines:
        file, folder = literal(FlyteFile(str(here / "a.txt"))), literal(FlyteDirectory(str(here)))
        frame = literal(pd.DataFrame({"n": range(ROWS)}))
        names = {
            "prefix": access.raw_output_prefix,
            "file": file.scalar.blob.uri,
            "folder": folder.scalar.blob.uri,
            "frame": frame.scalar.structured_dataset.uri,
            "raw": access.put_raw_data(b"words"),
            "new": FlyteFile.new_remote_file().path,
            "next": access.get_random_remote_directory(),
            "file system": f"{access.raw_output_fs} {access.raw_output_fs!r}",
        }
        context = FlyteContextManager.current_context()
        found = [
            Path(TypeEngine.to_python_value(context, file, FlyteFile)).read_text(),
            Path(TypeEngine.to_python_value(context, folder, FlyteDirectory), "a.txt").read_text(),
            access.get_filesystem_for_path(names["raw"]).cat_file(names["raw"]).decode(),
            int(TypeEngine.to_python_value(context, frame, pd.DataFrame)["n"].sum()),
        ]
        errors = [
            told(lambda: access.get_data(f"{names['next']}/nothing", str(here / "nothing"))),
            told(lambda: access.put_data(str(here / "nothing"), names["next"])),
        ]
    return {"names": names, "found": found, "errors": errors, "log": lines}


@contextmanager
def logged():
    """All that flytekit says of what it does."""
    lines, handler, level = [], logging.Handler(), logger.level
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield lines
    finally:
        logger.setLevel(level)
        logger.removeHandler(handler)


def executed(prefix, alone):
    """The command of Flyte's containers, from written inputs to written outputs."""
    with raw_outputs(prefix) as access:
        here = scratch(**{"question.txt": "who?"})
        access.put_data(str(here / "question.txt"), f"{prefix}/in/question.txt")
        question = {"question": FlyteFile(f"{prefix}/in/question.txt".removeprefix("file://"))}
        given = TypeEngine.dict_to_literal_map(FlyteContextManager.current_context(), question)
        (here / "inputs.pb").write_bytes(given.to_flyte_idl().SerializeToString())
        access.put_data(str(here / "inputs.pb"), f"{prefix}/in/inputs.pb")
        with transfers() as seen:
            execute(
                *("--inputs", f"{prefix}/in/inputs.pb", "--output-prefix", f"{prefix}/out"),
                *("--raw-output-data-prefix", f"{prefix}/raw", "--checkpoint-path", "", "--prev-checkpoint", ""),
                *("--resolver", "flytekit.core.python_auto_container.default_task_resolver"),
                *("--", "task-module", "tasks", "task-name", "answer"),
                alone=alone,
            )
        access.get_data(f"{prefix}/out/outputs.pb", str(here / "outputs.pb"))
        found = LiteralMap.from_flyte_idl(literals_pb2.LiteralMap.FromString((here / "outputs.pb").read_bytes()))
        uri = found.literals["o0"].scalar.blob.uri
        access.get_data(uri, str(here / "answer.txt"))
        return {
            "answer": (here / "answer.txt").read_text(),
            "uri": uri,
            "deck": access.exists(f"{prefix}/out/deck.html"),
            "transfers": seen,
        }


def execute(*arguments, alone):
    """Run it as a process, or in this one, whose memory nobody else sees."""
    if alone:
        path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run([EXECUTE, *arguments], env=path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    else:
        execute_task_cmd.main(arguments, standalone_mode=False)


def metadata(prefix):
    """What flytekit attaches to what a task writes, and the type that it names for a page."""
    with raw_outputs(prefix, execution_metadata={"flyte-execution-name": "f1", "flyte-execution-launchplan": ""}) as access:
        here = scratch(**{"a.html": "<p>", "b.bin": "b"})
        with transfers() as seen:
            access.put_data(str(here / "b.bin"), f"{prefix}/b.bin")
            access.put_data(str(here), f"{prefix}/tree", is_multipart=True)
        access.put_data(str(here / "a.html"), f"{prefix}/deck", ContentType="text/html", content_type="text/html")
        return {"transfers": seen}


def exists(prefix, url):
    """Of what lies elsewhere than raw outputs."""
    with raw_outputs(prefix) as access:
        return {"exists": told(lambda: access.exists(url))}


def public(uri, endpoint):
    """Rows of a table that everybody may read, for somebody who has no credentials."""
    with raw_outputs("memory://public", data_config=DataConfig(s3=S3Config(endpoint=endpoint))):
        return {"rows": told(lambda: StructuredDataset(uri=uri, file_format="parquet").open(pyarrow.Table).all().num_rows)}


def failure(prefix, operation, remote, bad=""):
    """The type and the text of what is raised, and what its causes are and know."""
    here = scratch(**{"a.txt": "a", "b.txt": "b"})
    if bad:
        (here / bad).symlink_to("nowhere")
    with raw_outputs(prefix) as access:
        try:
            if operation == "put":
                access.put_data(str(here), remote, is_multipart=True)
            else:
                access.get_data(remote, str(here / "back" / "x"), is_multipart=operation == "get tree")
        except Exception as exc:
            return {"type": type(exc).__name__, "text": str(exc), "causes": list(causes(exc)), "here": names(here / "back")}
        return {"type": "", "text": "nothing was raised", "causes": [], "here": names(here / "back")}


def causes(exc):
    """Of each: its type, and what its report says."""
    while exc := exc.__cause__ or exc.__context__:
        files = (
            [[re.split(r"[/]", one.source)[-1], one.status] for one in exc.report.files] if isinstance(exc, TransferError) else []
        )
        yield [type(exc).__name__, sorted(files)]


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def main():
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        os.environ.update(question["environment"])
        os.chdir(tempfile.mkdtemp())
        print(json.dumps(told(lambda: globals()[question["ask"]](**question["arguments"]))), file=answers, flush=True)  # noqa: B023


main()
