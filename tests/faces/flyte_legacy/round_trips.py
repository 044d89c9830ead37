"""What workflows do with files, folders and frames under one raw output prefix; prints what came back, as JSON."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import tasks  # beside this program
from click.testing import CliRunner
from flyteidl.core import literals_pb2
from flytekit.bin.entrypoint import execute_task_cmd
from flytekit.core.context_manager import FlyteContextManager
from flytekit.core.data_persistence import DataPersistencePlugins, FileAccessProvider
from flytekit.core.type_engine import TypeEngine
from flytekit.models.literals import LiteralMap
from flytekit.types.file import FlyteFile


@contextmanager
def raw_outputs(prefix):
    """What tasks make goes below that prefix."""
    access = FileAccessProvider(tempfile.mkdtemp(), prefix)
    with FlyteContextManager.with_context(FlyteContextManager.current_context().with_file_access(access)):
        yield access


def told(ask):
    """The answer, or the error as text."""
    try:
        return ask()
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"


def uri():
    """Under which name a file would be found by others."""
    kind = TypeEngine.to_literal_type(FlyteFile)
    context = FlyteContextManager.current_context()
    return TypeEngine.to_literal(context, FlyteFile(__file__), FlyteFile, kind).scalar.blob.uri


def executed(access, prefix):
    """The command of Flyte's containers, from written inputs to written outputs."""
    scratch = Path(tempfile.mkdtemp())
    (scratch / "question.txt").write_text("who?")
    access.put_data(str(scratch / "question.txt"), f"{prefix}/in/question.txt")
    question = {"question": FlyteFile(f"{prefix}/in/question.txt")}
    given = TypeEngine.dict_to_literal_map(FlyteContextManager.current_context(), question)
    (scratch / "inputs.pb").write_bytes(given.to_flyte_idl().SerializeToString())
    access.put_data(str(scratch / "inputs.pb"), f"{prefix}/in/inputs.pb")

    execute(
        *("--inputs", f"{prefix}/in/inputs.pb", "--output-prefix", f"{prefix}/out", "--raw-output-data-prefix", f"{prefix}/raw"),
        *("--checkpoint-path", "", "--prev-checkpoint", ""),
        *("--resolver", "flytekit.core.python_auto_container.default_task_resolver"),
        *("--", "task-module", "tasks", "task-name", "answer"),
        alone=not prefix.startswith("memory://"),
    )

    access.get_data(f"{prefix}/out/outputs.pb", str(scratch / "outputs.pb"))
    found = LiteralMap.from_flyte_idl(literals_pb2.LiteralMap.FromString((scratch / "outputs.pb").read_bytes()))
    access.get_data(found.literals["o0"].scalar.blob.uri, str(scratch / "answer.txt"))
    return (scratch / "answer.txt").read_text()


def execute(*arguments, alone):
    """Run it as a process, or in this one, whose memory nobody else sees."""
    if alone:
        program = Path(sys.executable).with_name("pyflyte-execute")
        path = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        done = subprocess.run([program, *arguments], env=path, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    else:
        result = CliRunner().invoke(execute_task_cmd, arguments)
        assert result.exit_code == 0, result.output


def main(prefix):
    with raw_outputs(prefix) as access:
        found = {
            "file": told(lambda: tasks.file(text="words")),
            "uri": told(uri),
            "folder": told(tasks.folder),
            "empty": told(tasks.empty_folder),
            "frame": told(lambda: tasks.frame(rows=100)),
            "column": told(lambda: tasks.one_column(rows=100)),
            "table": told(lambda: tasks.table(rows=100)),
            "dataset": told(lambda: tasks.dataset(rows=100)),
            "executed": told(lambda: executed(access, f"{prefix}/container")),
            "missing": told(lambda: access.get_data(f"{prefix}/nowhere.txt", f"{tempfile.mkdtemp()}/x")),
            "class": DataPersistencePlugins.find_plugin(prefix).__name__,
        }
    print(json.dumps(found))  # noqa: T201 - the answer


main(sys.argv[1])
