"""The library speaks of its arguments; whoever types commands knows options."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"storage_options may be a function, which is asked each time", "then give the command again"),
        (r"unchecked=\{'([^']*)': \.\.\.\}", r"-o unchecked.\1=..."),
        (r"\b(\w+)=\{'([^']+)': '?([^'}]*)'?\}", r"-o \1.\2=\3"),
        (r"\bPolicy\((\w+)=True\)", r"-p \1=yes"),
        (r"\bPolicy\((\w+)=([^)]*)\)", r"-p \1=\2"),
        (r"\bfsspec\.available_protocols\(\)", "persist protocols"),
        (r"\bstorage_options\b", "-o"),
        (r"\bforeign=True, older_than='([^']*)'", r"--foreign --older-than \1"),
        (r"\bolder_than='([^']*)'", r"--older-than \1"),
        (r"\bforeign=True\b", "--foreign"),
        (r"\bolder_than\b", "--older-than"),
        (r"\brecursive=True\b", "-r"),
        (r"\boverwrite=False\b", "--no-overwrite"),
        (r"\bdry_run=True\b", "--dry-run"),
        (r"a larger max_delete, or None,", "a larger --max-delete"),
        (r"\bmax_delete is\b", "--max-delete is"),
        (r"\b(links|compare)='(\w+)'", r"--\1 \2"),
    )
)


def in_commands(text: str) -> str:
    """A text of the library, in the words of the command line.

    Examples:
        >>> in_commands("Policy(allow_direct=True) accepts that.")
        '-p allow_direct=yes accepts that.'
        >>> in_commands("unchecked={'x': ...} passes it to the driver without a look.")
        '-o unchecked.x=... passes it to the driver without a look.'
        >>> in_commands("did you mean client_kwargs={'region_name': ...}?")
        'did you mean -o client_kwargs.region_name=...?'
    """
    for pattern, ours in _WORDS:
        text = pattern.sub(ours, text)
    return text
