"""Run notebooks from top to bottom, each in a folder of its own that is thrown away.

    python notebooks/execute.py                    all of them; nothing in the tree changes
    python notebooks/execute.py --write 2_*.ipynb  these, and keep what they print

What is kept is what a reader needs: text, HTML and numbers, no warnings, no times, no counts of executions.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

HERE = Path(__file__).parent
SECONDS = 300  # of a cell, on a slow machine
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def execute(path: Path) -> Any:
    """The notebook with its outputs.

    Raises:
        CellExecutionError: If a cell raises.
    """
    book = nbformat.read(path, as_version=4)
    # the interpreter that runs this, whatever kernels are installed
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Python 3"}
    with tempfile.TemporaryDirectory() as folder:
        kernels = Path(folder) / "jupyter" / "kernels" / "python3"
        kernels.mkdir(parents=True)
        (kernels / "kernel.json").write_text(json.dumps({**spec, "language": "python"}))
        work = Path(folder) / "work"
        work.mkdir()
        os.environ["JUPYTER_PATH"] = str(Path(folder) / "jupyter")
        client = NotebookClient(
            book, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(work)}}
        )
        client.execute()
    return tidy(book)


def tidy(book: Any) -> Any:
    """Leave out what changes from run to run or is no result."""
    book.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    )
    for number, cell in enumerate(book.cells):
        cell.id, cell.metadata = f"cell-{number}", nbformat.from_dict({})
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = None
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
    return book


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(HERE.glob("*.ipynb")))
    parser.add_argument("--write", action="store_true", help="keep the outputs in the notebooks")
    asked = parser.parse_args()
    for path in asked.notebooks:
        start = time.monotonic()
        try:
            book = execute(path)
        except CellExecutionError as error:
            sys.exit(f"{path.name} failed:\n{_COLOURS.sub('', str(error))}")
        if asked.write:
            path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")
        sys.stdout.write(f"{path.name}: {time.monotonic() - start:.0f} s\n")


if __name__ == "__main__":
    main()
