"""What is installed is what is here: packages, links, light imports, wheel and sdist."""

from __future__ import annotations

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("relgraph", "kge", "adapters")
HEAVY = ("torch", "torch_geometric", "torch_frame", "duckdb", "pykeen", "pandas", "lightning_fabric", "sqlalchemy")


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=120)


def packages_on_disk() -> set[str]:
    """Every folder with an ``__init__.py``, under the name it is installed by; the links are not followed."""
    found = set()
    for top in FOLDERS:
        for init in (ROOT / top).rglob("__init__.py"):
            name = ".".join(init.parent.relative_to(ROOT).parts)
            if not name.startswith(("relgraph.kge", "relgraph.adapters")):
                found.add(name if top == "relgraph" else f"relgraph.{name}")
    return found


def test_package_list_equals_the_folders() -> None:
    setuptools = PROJECT["tool"]["setuptools"]
    assert set(setuptools["packages"]) == packages_on_disk()
    assert len(setuptools["packages"]) == len(set(setuptools["packages"]))
    assert setuptools["package-dir"] == {"relgraph.kge": "kge", "relgraph.adapters": "adapters"}


def test_no_folder_of_modules_lacks_its_init() -> None:
    for top in FOLDERS:
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").is_file(), f"{module.parent} is not a package"


@pytest.mark.parametrize("name", ["kge", "adapters"])
def test_links_for_tools(name: str) -> None:
    link = ROOT / "relgraph" / name
    assert link.is_symlink()
    assert os.readlink(link) == f"../{name}"
    if (ROOT / ".git").exists() and shutil.which("git"):
        entry = subprocess.run(
            ["git", "ls-files", "-s", f"relgraph/{name}"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert entry.startswith("120000 "), f"relgraph/{name} must be committed as a symbolic link"


@pytest.mark.parametrize("name", ["kge", "adapters"])
def test_a_bare_import_says_what_to_use(name: str) -> None:
    result = python("-c", f"import {name}")
    assert result.returncode == 1
    assert f"use 'import relgraph.{name}'" in result.stderr


def test_import_relgraph_is_light() -> None:
    code = (
        f"import sys, json, relgraph, relgraph.errors; dir(relgraph);"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == []


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["--help"], ["inspect", "--help"], ["--version"]])
def test_help_is_light(arguments: list[str]) -> None:
    result = python("-X", "importtime", "-m", "relgraph", *arguments)
    assert result.returncode == 0, result.stderr[-2000:]
    assert result.stdout.strip()
    loaded = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines() if line.startswith("import time:")}
    assert "relgraph.cli" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_every_public_name_loads() -> None:
    import relgraph

    for name in relgraph.__all__:
        assert getattr(relgraph, name) is not None, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = relgraph.nothing


# Numba compiles a function anew when its own file changes, not when a callee's does: one kernel, one file
WHOLE = {"relgraph/sampling/numba_kernel.py"}


def test_files_stay_readable() -> None:
    for top in (*FOLDERS, "tests", "benchmarks"):
        for module in (ROOT / top).rglob("*.py"):
            lines = len(module.read_text().splitlines())
            if str(module.relative_to(ROOT)) in WHOLE:
                continue
            assert lines < 400, f"{module.relative_to(ROOT)} has {lines} lines: two things live in one file"


def test_constraints_are_exact_and_cover_the_requirements() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pinned = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            name, equals, version = line.partition("==")
            assert equals, f"{line!r} is not an exact version"
            assert "+" not in version, f"{line!r}: a local build is to be had from one place only"
            pinned[canonicalize_name(name)] = version
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["test"], *extras["dev"]]
    for requirement in map(Requirement, wanted):
        if requirement.name != "relgraph":
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{requirement.name} is not in constraints.txt"
            assert requirement.specifier.contains(version), f"{requirement}: constraints.txt says {version}"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel built from it, made from a copy so that nothing is left in the tree."""
    source = tmp_path_factory.mktemp("source") / "relgraph"
    made = ("build", "dist", "runs", "demo-out", "site", "notebooks")
    always = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")

    def hidden(folder: str, names: list[str]) -> set[str]:
        return always(folder, names) | (set(made) & set(names) if Path(folder) == ROOT else set())

    shutil.copytree(ROOT, source, symlinks=True, ignore=hidden)
    out = tmp_path_factory.mktemp("dist")
    result = python("-m", "build", "--no-isolation", "--outdir", str(out), cwd=source)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return out


@pytest.mark.slow
def test_wheel_has_the_mapped_packages_and_nothing_on_top(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"relgraph"}
    assert "relgraph/py.typed" in names
    modules = {name for name in names if name.endswith(".py")}
    expected = set()
    for package in PROJECT["tool"]["setuptools"]["packages"]:
        folder = ROOT / package.replace(".", "/")
        expected |= {f"{package.replace('.', '/')}/{file.name}" for file in folder.glob("*.py")}
    assert modules == expected
    assert {"relgraph/kge/__init__.py", "relgraph/adapters/__init__.py"} <= modules


@pytest.mark.slow
def test_sdist_has_what_a_build_needs(distributions: Path) -> None:
    (sdist,) = distributions.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "kge/__init__.py", "adapters/__init__.py"} <= names


@pytest.mark.slow
def test_installed_wheel_imports(distributions: Path, tmp_path: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path)  # noqa: S202 (our own wheel)
    code = "import relgraph, relgraph.kge, relgraph.adapters; print(relgraph.kge.__file__, relgraph.adapters.__file__)"
    result = python("-I", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count(str(tmp_path / "relgraph")) == 2


@pytest.mark.parametrize(
    "package",
    ["relgraph", "relgraph.adapters", "relgraph.kge", "relgraph.nn", "relgraph.runs", "relgraph.sampling"],
)
def test_lazy_names_exist_and_type_checkers_see_the_same(package: str) -> None:
    module = importlib.import_module(package)
    homes: dict[str, str] = module._HOMES
    tree = ast.parse(Path(str(module.__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = {
        alias.name: "" if node.module == package else node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == homes
    for name in homes:
        assert getattr(module, name) is not None
    assert set(homes) <= set(dir(module))
    shadowed = [name for name, home in homes.items() if home == f"{package}.{name}"]
    assert not shadowed, "importing the module would put it in the place of what it holds"


WITH_TORCH_ALONE = """
import sys, tempfile
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in %r:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block())
import torch, relgraph, relgraph.ops
from relgraph.data.statements import Statements, Vocabulary
from relgraph.sampling import sample
i = torch.arange(4)
facts = Statements(i, i %% 2, (i + 1) %% 4, Vocabulary(list("abcd"), ["r", "s"]))
path = relgraph.HeteroGraph.from_statements(facts).save(tempfile.mkdtemp())
facts = relgraph.HeteroGraph.load(path).statements()
scorer = relgraph.kge.LowFER(4, 2, dim=4, rank=2)
relgraph.kge.predict(scorer, facts.vocabulary, head="a", relation="r", k=1)
print(0 < relgraph.kge.evaluate(scorer, facts, known=[facts], progress=False)["mrr"] <= 1)
"""
OTHERS = (
    *("duckdb", "lightning_fabric", "networkx", "pandas", "pyarrow", "pykeen", "rich", "scipy", "sklearn"),
    *("sqlalchemy", "torch_frame", "torch_geometric", "typer"),
)


@pytest.mark.slow
def test_graphs_and_scorers_need_torch_numpy_and_safetensors_only(tmp_path: Path) -> None:
    script = WITH_TORCH_ALONE % (OTHERS,)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "True"), done.stderr
