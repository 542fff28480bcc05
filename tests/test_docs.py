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
    *(f"relgraph.{name}" for name in ("sampling", "tabular", "tasks", "training")),
)
FETCHED = re.compile(r"""(?:<(?:script|img|iframe)[^>]*\ssrc|<link(?![^>]*canonical)[^>]*\shref)=["']?https?:""")


def documented() -> dict[str, object]:
    """What the API pages show, by the names they use."""
    names = re.findall(r"^::: ([\w.]+)$", "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md")), re.M)
    assert len(names) == len(set(names)), "a name stands twice"
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
