"""Programs that run where a framework is installed, and tell what they saw."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def answer(python: Path, program: Path, *arguments: str, home: Path, without: str, **variables: str) -> Any:
    """Run a program in a home of its own; its last line is JSON.

    Args:
        python: The interpreter of the framework's environment.
        program: The script.
        arguments: Its arguments.
        home: An empty folder: its home, its working folder, and its place for temporary files.
        without: It sees no variable of ours whose name begins so.
        variables: More of them.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith(without)}
    done = subprocess.run(  # noqa: S603 - our own program
        [str(python), str(program), *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=home,
        env={**ours, "HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1", **variables},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])
