"""Every notebook tells a story, ends with something that can fail, and keeps no trace of a machine.

``make notebooks`` runs them from top to bottom, as CI does.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 100_000  # bytes
PLACE = re.compile(r"/(?:home|root|tmp|work|Users|check)/|0x[0-9a-f]{8,}|\x1b\[")


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


def test_there_are_seven() -> None:
    assert [path.name[0] for path in NOTEBOOKS] == [*"1234567"]


def test_what_is_kept_is_what_a_reader_needs(path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    first, *_, last = book.cells
    assert first.cell_type == "markdown"
    assert first.source.startswith("# ")
    assert "assert " in last.source
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) >= len(code) // 2, "the outputs are not kept: execute.py --write"
    for cell in code:
        assert cell.execution_count is None
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr"
            assert not PLACE.search(json.dumps(output)), output
    assert path.stat().st_size < LARGEST


def test_the_readme_names_it(path: Path) -> None:
    assert f"notebooks/{path.name}" in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_a_failing_cell_is_named(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 + 1 == 3, 'sums'")])
    bad = tmp_path / "bad.ipynb"
    bad.write_text(nbformat.writes(book))
    words = [sys.executable, str(ROOT / "notebooks" / "execute.py"), str(bad)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "bad.ipynb failed" in done.stderr
    assert "AssertionError: sums" in done.stderr
    assert "\x1b" not in done.stderr
