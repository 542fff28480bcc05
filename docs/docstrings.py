"""Docstrings for the API pages: Sphinx roles become links, formulas become MathML that a browser draws by itself."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from textwrap import dedent
from typing import Any

import griffe
from latex2mathml.converter import convert

__all__ = ["SphinxRoles", "to_markdown"]

_ROLE = re.compile(r":(?P<role>class|func|meth|data|attr|mod|exc|math):`(?P<text>[^`]+)`")
_TITLED = re.compile(r"^(?P<title>.*?)\s*<(?P<target>[^<>]+)>$", re.DOTALL)
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)  # griffe knows the plural only
_MATH = re.compile(
    r"^(?P<indent>[ ]*)\.\. math::[ ]*(?P<first>[^\n]*)\n(?P<rest>(?:(?P=indent)[ ]+[^\n]*\n|[ ]*\n)*)", re.MULTILINE
)


def to_markdown(text: str, scope: griffe.Object) -> str:
    """The text of a docstring with links in place of roles and MathML in place of formulas.

    Args:
        text: Google style, with the roles and the one directive that the docstrings of relgraph use.
        scope: What the docstring describes; names are looked up from there.
    """
    text = _EXAMPLE.sub("Examples:", text)
    text = _MATH.sub(_formula, text + "\n").rstrip("\n")
    return _ROLE.sub(lambda match: _role(match, scope), text)


def _formula(match: re.Match[str]) -> str:
    lines = [match["first"].strip(), *dedent(match["rest"]).strip().splitlines()]
    formulas = "\n".join(lines).strip()
    shown = "".join(f"<p>{convert(' '.join(part.split()), display='block')}</p>" for part in formulas.split("\n\n"))
    return f'{match["indent"]}<div class="formula">{shown}</div>\n\n'


def _role(match: re.Match[str], scope: griffe.Object) -> str:
    text = match["text"]
    if match["role"] == "math":
        # a line that begins with <math> would end the paragraph
        return f"<span>{convert(' '.join(text.split()))}</span>"
    titled = _TITLED.match(text)
    target = titled["target"] if titled else text
    path = target.lstrip("~.")
    title = titled["title"] if titled else path.rpartition(".")[2] if target.startswith("~") else path
    try:
        path = scope.resolve(path)
    except griffe.NameResolutionError:
        inner = scope if scope.is_class or scope.is_module else scope.parent
        if inner is not None and path in inner.all_members:
            path = inner.all_members[path].canonical_path
    package, _, name = path.rpartition(".")
    if package == "relgraph.ops" and Path("relgraph", "ops", f"{name}.py").exists():
        path = f"{path}.{name}"  # most operations stand in a module of their own name
    # optional: what is not public has no page, and stays code
    return f'<autoref optional identifier="{escape(path)}"><code>{escape(title)}</code></autoref>'


class SphinxRoles(griffe.Extension):
    """Rewrites every docstring of the package once it is loaded."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Go through the package."""
        self._rewrite(pkg, set())

    def _rewrite(self, obj: griffe.Object, seen: set[int]) -> None:
        if id(obj) in seen:
            return
        seen.add(id(obj))
        if obj.docstring is not None:
            obj.docstring.value = to_markdown(obj.docstring.value, obj)
        for member in obj.members.values():
            if not member.is_alias:
                self._rewrite(member, seen)
