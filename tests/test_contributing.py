"""A stranger follows CONTRIBUTING.md: its blocks are applied to a copy of the tree, and the tests it names run."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"# (?P<path>[\w/.]+), (?:a new file|(?P<side>above|below) the line: (?P<line>.+))\n")
COPIED = ("relgraph", "kge", "adapters", "tests", "docs", "pyproject.toml")
SECTIONS = re.findall(r"^## (Add an? \w+)$", TEXT, re.MULTILINE)


def section(name: str) -> str:
    return TEXT.split(f"\n## {name}\n")[1].split("\n## ")[0]


def apply(tree: Path, body: str) -> Path:
    """Do what the first line of a block says."""
    match = PLACE.match(body)
    assert match is not None, f"the block does not say where it goes:\n{body[:200]}"
    path, text = tree / match["path"], body[match.end() :]
    if match["line"] is None:
        assert not path.exists(), f"{match['path']} is there already"
        path.write_text(text)
        return path
    if text.startswith("def "):
        text += "\n\n"  # the formatter of Markdown takes these away
    line = f"{match['line']}\n"
    before = path.read_text()
    assert before.count(f"\n{line}") == 1, f"{match['path']} has no such line, or several: {line}"
    path.write_text(before.replace(f"\n{line}", f"\n{text}{line}" if match["side"] == "above" else f"\n{line}{text}"))
    return path


@pytest.mark.slow
@pytest.mark.docs
@pytest.mark.parametrize("name", SECTIONS)
def test_a_stranger_adds_it_as_the_text_says(name: str, tmp_path: Path) -> None:
    for part in COPIED:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tmp_path / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, tmp_path / part)
    blocks = BLOCK.findall(section(name))
    changed = [apply(tmp_path, body) for language, body in blocks if language in ("python", "markdown")]
    commands = [line for language, body in blocks if language == "bash" for line in body.splitlines()]
    assert changed
    assert commands
    for command in commands:
        words = shlex.split(command)
        assert words[:3] == ["python", "-m", "pytest"], command
        check = "import relgraph, pathlib; assert pathlib.Path(relgraph.__file__).is_relative_to(pathlib.Path.cwd())"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        for arguments in (["-c", check], [*words[1:], "-q", "-p", "no:cacheprovider"]):
            done = subprocess.run(
                [sys.executable, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300, env=environment
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
        assert re.search(r"\d+ passed", done.stdout), done.stdout
    if importlib.util.find_spec("ruff") is not None:
        files = sorted({str(path.relative_to(tmp_path)) for path in changed if path.suffix == ".py"})
        for arguments in (["check", "--no-cache"], ["format", "--no-cache", "--check"]):
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *arguments, *files], cwd=tmp_path, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_three_things_to_add_are_described() -> None:
    assert SECTIONS == ["Add a scorer", "Add an adapter", "Add a kernel"]


def test_what_is_in_one_file_and_one_line_stays_so() -> None:
    """Of the package itself: a new file, the line in the list, and its import where the list holds classes."""
    for name, most in (("Add a scorer", 3), ("Add an adapter", 5), ("Add a kernel", 4)):
        places = [PLACE.match(body) for language, body in BLOCK.findall(section(name)) if language == "python"]
        paths = [match["path"] for match in places if match is not None and not match["path"].startswith("tests/")]
        assert len(paths) == most, f"{name}: {paths}"
