"""What the README and the documentation show is run: every Python block in order, every ``relgraph`` line of a shell.

A block that cannot run here says so where a reader sees it: its first line is ```` ```bash title="not run: why" ````.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest

from relgraph.demo import generate_shop
from tests.cli.tools import run

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)
NOT_RUN = "not run: "
MOST_NOT_RUN = 8


class Block(NamedTuple):
    line: int
    language: str
    title: str
    body: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The fenced blocks of these languages that are to be run, with the number of their first line."""
    text = page.read_text()
    found = [Block(text.count("\n", 0, m.start()) + 2, m[1], m[2] or "", m[3]) for m in BLOCK.finditer(text)]
    return [block for block in found if block.language in languages and not block.title.startswith(NOT_RUN)]


def shell_lines(page: Path) -> list[str]:
    """The commands of the shell blocks; a backslash continues a line, ``$(...)`` is not used."""
    joined = "\n".join(block.body for block in blocks(page, "bash", "sh", "console")).replace("\\\n", " ")
    lines = [line.removeprefix("$ ").strip() for line in joined.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


RUN = [page for page in PAGES if blocks(page, "python", "bash", "sh", "console")]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller shop than the README makes, to be quick."""
    path = tmp_path_factory.mktemp("pages") / "shop.sqlite"
    generate_shop(path, customers=400)
    return path


def test_readme_starts_with_what_it_is_for_and_the_two_commands() -> None:
    head = README.read_text()[:2500]
    assert head.startswith("# relgraph\n")
    assert "make demo" in head
    assert "make test" in head


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [pytest.param(page, id=name_of(page), marks=() if page == README else pytest.mark.docs) for page in RUN]
)
def test_every_block_runs(page: Path, shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One namespace and one folder for a page, as someone who types it in would have; the shell lines come after."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(shop, "shop.sqlite")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line, _, _, body in blocks(page, "python"):
        # the block keeps its line numbers, so that a traceback points into the page
        exec(compile("\n" * (line - 1) + body, str(page), "exec"), namespace)  # noqa: S102
    for command in shell_lines(page):
        if not command.startswith("relgraph "):
            continue
        result = run(*shlex.split(command, comments=True)[1:])
        if "--json" in command:
            json.loads(result.stdout)


def test_blocks_that_are_not_run_are_few_and_have_a_reason() -> None:
    titles = [(name_of(page), match[2]) for page in PAGES for match in BLOCK.finditer(page.read_text()) if match[2]]
    marked = [(page, title) for page, title in titles if title.startswith(NOT_RUN)]
    assert all(len(title) > len(NOT_RUN) for _, title in marked)
    assert len(marked) <= MOST_NOT_RUN, marked


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_shell_lines_are_of_kinds_that_are_checked(page: Path) -> None:
    """Besides ``relgraph``: targets of make, extras of pip, and the making of the shop, which a fixture stands for."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for command in shell_lines(page):
        words = shlex.split(command, comments=True)
        if words[0] == "make":
            assert set(words[1:]) <= targets, command
        elif words[:2] == ["pip", "install"]:
            named = re.findall(r"\[([\w,]+)\]", command)
            assert {extra for names in named for extra in names.split(",")} <= extras.keys(), command
        else:
            assert words[0] == "relgraph" or words[:2] == ["python", "-c"], f"{command}: nothing checks this"
            assert words[0] == "relgraph" or "generate_shop" in command, command


def test_results_here_and_in_the_docs_are_the_generated_ones() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_and_make_targets_that_a_page_names_exist(page: Path) -> None:
    text = page.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for target in re.findall(r"`make ([a-z]+)`", text):
        assert target in targets, f"make {target}"
    for path in re.findall(r"\]\(((?!http|#)[^)#]+)[^)]*\)", BLOCK.sub("", text)):
        assert (page.parent / path).exists(), path
    for path in re.findall(r"`((?:tests|benchmarks|docs|notebooks|relgraph|kge|adapters)/[\w/.]+\.\w+)`", text):
        assert (ROOT / path).exists(), path
