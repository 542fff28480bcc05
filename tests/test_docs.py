"""The documentation site: it builds without a warning, needs nothing from elsewhere, and has every public name."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PACKAGES = (
    "relgraph",
    *(f"relgraph.{name}" for name in ("adapters", "baselines", "demo", "errors", "kge", "metrics", "nn", "ops")),
    *(f"relgraph.{name}" for name in ("pictures", "runs", "sampling", "tabular", "tasks", "training")),
)
FETCHED = re.compile(r"""(?:<(?:script|img|iframe)[^>]*\ssrc|<link(?![^>]*canonical)[^>]*\shref)=["']?https?:""")


def documented() -> dict[str, object]:
    """What the API pages show, by the names they use."""
    names = re.findall(r"^::: ([\w.]+)$", "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md")), re.M)
    assert len(names) == len(set(names)), "a name stands twice"
    for name in names:
        path = ROOT / f"{name.replace('.', '/')}.py"
        assert not path.exists(), f"{name} is also a module, and its page would show that: write {name}.NAME"
    return {name: _found(name) for name in names}


def _found(name: str) -> object:
    home, _, attribute = name.rpartition(".")
    try:
        return getattr(importlib.import_module(home), attribute)
    except ModuleNotFoundError:
        return getattr(_found(home), attribute)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_on_an_api_page(package: str) -> None:
    shown = list(documented().items())
    module = importlib.import_module(package)
    names = [name for name in module.__all__ if name != "__version__"]
    assert names
    for name in names:
        value = getattr(module, name)
        assert any(value is other for _, other in shown), f"{package}.{name} is on no page of docs/api"


def test_every_package_with_public_names_is_looked_at() -> None:
    for init in sorted((ROOT / "relgraph").glob("*/__init__.py")):
        package = f"relgraph.{init.parent.name}"
        module: ModuleType = importlib.import_module(package)
        if package not in ("relgraph.cli", "relgraph.data"):  # commands; modules only
            assert package in PACKAGES
        else:
            assert package == "relgraph.cli" or not hasattr(module, "__all__")


def test_every_page_is_in_the_navigation() -> None:
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert set(re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)) == pages


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_needs_no_network(tmp_path: Path) -> None:
    for library in ("mkdocs", "material", "mkdocstrings_handlers", "latex2mathml"):
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed; pip install 'relgraph[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert result.returncode == 0, result.stderr[-4000:]
    assert "WARNING" not in result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    for page in pages:
        text = page.read_text()
        assert not FETCHED.search(text), f"{page.name} fetches {FETCHED.search(text)}"
        for left in (":class:`", ":func:`", ":meth:`", ":math:`", ".. math::"):
            assert left not in text, f"{page.name} shows {left}"


@pytest.mark.slow
def test_names_of_other_libraries_are_those_that_are_installed() -> None:
    for library in ("relbench", "torch_geometric", "pykeen"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    rows = [line.split("|")[1] for line in (DOCS / "coming-from.md").read_text().splitlines() if line.startswith("| ")]
    names = [name for row in rows for name in re.findall(r"`((?:relbench|torch_geometric|pykeen)\.[\w.]+)`", row)]
    assert len(names) > 25
    for name in names:
        assert _found(name) is not None, name


def test_docstrings_become_markdown(tmp_path: Path) -> None:
    griffe = pytest.importorskip("griffe", reason="griffe is not installed")
    pytest.importorskip("latex2mathml", reason="latex2mathml is not installed")
    spec = importlib.util.spec_from_file_location("docstrings", DOCS / "docstrings.py")
    assert spec is not None
    assert spec.loader is not None
    docstrings = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(docstrings)
    (tmp_path / "toy.py").write_text(
        "class Base:\n    def save(self): ...\nclass Toy(Base):\n    def load(self): ...\n"
    )
    toy = griffe.load("toy", search_paths=[str(tmp_path)])

    def link(path: str, title: str) -> str:
        return f'<autoref optional identifier="{path}"><code>{title}</code></autoref>'

    for text, expected in (
        (":class:`Toy`", link("toy.Toy", "Toy")),
        (":class:`~relgraph.tasks.LinkTask`", link("relgraph.tasks.LinkTask", "LinkTask")),
        (":meth:`Scorer.factors <relgraph.kge.Scorer.factors>`", link("relgraph.kge.Scorer.factors", "Scorer.factors")),
        (":func:`relgraph.ops.rank`", link("relgraph.ops.rank.rank", "relgraph.ops.rank")),
        ("a\n\nExample:\n    >>> 1\n    1", "a\n\nExamples:\n    >>> 1\n    1"),
        ("``:class:``", "``:class:``"),
    ):
        assert docstrings.to_markdown(text, toy) == expected
    assert docstrings.to_markdown(":meth:`save`", toy["Toy"]) == link("toy.Base.save", "save")
    assert docstrings.to_markdown(":meth:`save`", toy["Toy.load"]) == link("toy.Base.save", "save")
    inline = docstrings.to_markdown("with :math:`a_i`,\nthe", toy)
    assert inline.startswith("with <span><math")
    assert inline.endswith("</math></span>,\nthe")
    block = docstrings.to_markdown("Sum.\n\n.. math:: a_i \\\\\n          + b\n\nMore.", toy)
    assert re.fullmatch(r'Sum\.\n\n<div class="formula"><p><math.*</math></p></div>\n\nMore\.', block, re.DOTALL), block
