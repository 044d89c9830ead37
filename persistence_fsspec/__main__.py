"""``python -m persistence_fsspec`` is the command ``persist``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command; say in one line what is missing when the extra ``cli`` is."""
    try:
        from persistence_fsspec.cli.app import app  # noqa: PLC0415 - optional
    except ImportError as exc:
        if exc.name not in {"typer", "rich"}:
            raise
        sys.exit(f'the command needs {exc.name}: {sys.executable} -m pip install "persistence-fsspec[cli]"')
    app()


if __name__ == "__main__":
    main()
