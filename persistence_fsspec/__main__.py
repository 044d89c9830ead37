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
    except KeyboardInterrupt:
        sys.exit(130)
    import logging  # noqa: PLC0415 - typer has it already
    import warnings  # noqa: PLC0415

    logging.captureWarnings(capture=True)  # what drivers warn of is for -vv
    if not sys.warnoptions:
        warnings.simplefilter("default")
    from persistence_fsspec.cli import streams  # noqa: PLC0415 - optional, too

    streams.prepare()
    app(prog_name="persist")


if __name__ == "__main__":
    main()
