"""To a signed URL and back, as ``pyflyte run --remote`` sends code; prints what came back, as JSON."""

import json
import sys
import tempfile
from pathlib import Path

from flytekit.core.context_manager import FlyteContextManager


def main(upload, download):
    access = FlyteContextManager.current_context().file_access
    scratch = Path(tempfile.mkdtemp())
    (scratch / "code.tar").write_text("code")
    access.put_data(str(scratch / "code.tar"), upload)
    access.get_data(download, str(scratch / "back.tar"))
    print(json.dumps((scratch / "back.tar").read_text()))  # noqa: T201 - the answer


main(*sys.argv[1:])
