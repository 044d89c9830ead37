"""Run one of functionfuse's own scripts with our storages in the place of its own; prints as JSON how often ours were asked.

Arguments: the script, and pairs of text to replace in it, for what its own authors have to replace as well.
"""

import json
import sys
from collections import Counter
from pathlib import Path

from persistence_fsspec.faces.functionfuse import FSSpecStorage, install

asked: Counter[str] = Counter()


def counted(name):
    method = getattr(FSSpecStorage, name)

    def ours(*arguments, **options):
        result = method(*arguments, **options)
        asked[name] += 1
        return result

    setattr(FSSpecStorage, name, ours)


def main() -> None:
    script, *pairs = sys.argv[1:]
    install(override=True)
    for name in ("new_workflow", "save", "read_task"):
        counted(name)
    text = Path(script).read_text()
    for before, after in zip(pairs[::2], pairs[1::2], strict=True):
        assert before in text, f"{script} has changed: {before!r} is not in it"
        text = text.replace(before, after)
    exec(compile(text, script, "exec"), {"__name__": "__main__"})  # noqa: S102 - it is what we came for
    print(json.dumps(asked))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
