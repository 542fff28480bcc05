"""What the README shows is run: every Python block in order, every ``relgraph`` line of a shell block."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from relgraph.demo import generate_shop

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(*languages: str) -> list[tuple[int, str]]:
    """The fenced blocks of these languages with the number of their first line."""
    text = README.read_text()
    found = [(text.count("\n", 0, match.start()) + 2, match) for match in BLOCK.finditer(text)]
    return [(line, match.group(2)) for line, match in found if match.group(1) in languages]


def shell_lines() -> list[str]:
    """The ``relgraph ...`` commands of the shell blocks; a backslash continues a line, ``$(...)`` is not used."""
    joined = "\n".join(body for _, body in blocks("bash", "sh", "console")).replace("\\\n", " ")
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.removeprefix("$ ").startswith("relgraph ")]


def test_readme_starts_with_what_it_is_for_and_the_two_commands() -> None:
    head = README.read_text()[:2500]
    assert head.startswith("# relgraph\n")
    assert "make demo" in head
    assert "make test" in head


@pytest.mark.slow
def test_every_block_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One namespace and one folder for all, as someone who types it in would have; the shell lines come after.

    The shop is a smaller one than the README makes, to be quick.
    """
    python = blocks("python")
    assert python
    monkeypatch.chdir(tmp_path)
    generate_shop("shop.sqlite", customers=400)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, body in python:
        # the block keeps its line numbers, so that a traceback points into the README
        exec(compile("\n" * (line - 1) + body, str(README), "exec"), namespace)  # noqa: S102
    commands = shell_lines()
    assert commands
    for command in commands:
        words = [sys.executable, "-W", "error::UserWarning", "-m", "relgraph", *shlex.split(command, comments=True)[1:]]
        result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=400, env=os.environ)
        assert result.returncode == 0, f"{command}\n{result.stdout[-2000:]}\n{result.stderr[-3000:]}"
        if "--json" in command:
            json.loads(result.stdout)


def test_results_here_and_in_the_docs_are_the_generated_ones() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_and_make_targets_that_the_readme_names_exist() -> None:
    text = README.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"`make ([a-z]+)`", text):
        assert target in targets, f"make {target}"
    for path in re.findall(r"\]\(((?!http|#)[^)]+)\)", text):
        assert (ROOT / path).exists(), path
