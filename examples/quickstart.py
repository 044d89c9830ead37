"""Put a folder into a store, look at it, get it back. Run it with a URL, or without one for a folder here."""

import sys
import tempfile
from pathlib import Path

from persistence_fsspec import FSSpecPersistence, ObjectNotFoundError


def main(url: str | None = None) -> None:
    persistence = FSSpecPersistence(url)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "outputs")
        (source / "plots").mkdir(parents=True)
        (source / "metrics.json").write_text('{"loss": 0.25}')
        (source / "plots" / "loss.svg").write_text("<svg/>")

        report = persistence.put(source, "run-1", recursive=True)
        print(report)
        print("stored:", sorted(persistence.listdir("run-1", recursive=True)))

        persistence.get("run-1", Path(folder, "back"), recursive=True)
        print("came back:", Path(folder, "back", "metrics.json").read_text())

    with persistence.open("run-1/notes.txt", "w") as file:
        file.write("written whole, or not at all\n")
    try:
        persistence.read_bytes("run-2/metrics.json")
    except ObjectNotFoundError as error:
        print("as expected:", error.message)


if __name__ == "__main__":
    main(*sys.argv[1:])
