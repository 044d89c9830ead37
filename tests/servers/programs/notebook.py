"""Run cells in a kernel as a notebook does; prints as JSON what each of them shows in the end, and how often it was redrawn.

Arguments: none. The cells come on standard input, as a JSON list of texts.
"""

import json
import sys

import nbformat
from nbclient import NotebookClient


class Client(NotebookClient):
    """Counts what is drawn again."""

    redrawn = 0

    def process_message(self, msg, cell, cell_index):
        self.redrawn += msg["msg_type"] == "update_display_data"
        return super().process_message(msg, cell, cell_index)


def main() -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in json.load(sys.stdin)])
    client = Client(notebook, timeout=60, kernel_name="python3", allow_errors=True)
    client.execute()
    print(json.dumps({"cells": [cell["outputs"] for cell in notebook.cells], "redrawn": client.redrawn}))


if __name__ == "__main__":
    main()
