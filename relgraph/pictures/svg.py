"""What all pictures are made of: one inline SVG element, readable without colour, script or anything from elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from html import escape as _escape
from html import unescape
from pathlib import Path

from relgraph.errors import AdapterError

__all__ = ["COLOURS", "SOFT", "TEXT", "Svg", "clip", "escape", "svg", "ticks", "width_of", "write_whole"]

TEXT = 'font-family="system-ui,sans-serif" font-size="12" fill="#1d2733"'
SOFT = 'font-family="system-ui,sans-serif" font-size="11" fill="#66748a"'
COLOURS = ("#1d4f91", "#a4541c", "#2f7d4f", "#7a3f8f", "#8a6d1a", "#43717c")
_CHARACTER = 6.6  # of 12 px text, on average
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")


class Svg(str):
    """A picture: one ``<svg>`` element. It shows itself in a notebook, and :meth:`save` writes it to a file."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def __repr__(self) -> str:
        title = re.search(r"<title>(.*?)</title>", self, re.DOTALL)
        return f"Svg({unescape(title.group(1)) if title else ''!r}, {len(self):,} characters)"

    def save(self, path: str | Path) -> Path:
        """Write the picture to a ``.svg`` file.

        Raises:
            AdapterError: If the file cannot be written.
        """
        return write_whole(Path(path), f'<?xml version="1.0" encoding="UTF-8"?>\n{self}\n')


def svg(width: float, height: float, title: str, parts: Sequence[str]) -> Svg:
    """The element around finished parts; ``title`` is what a screen reader says."""
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" style="max-width:100%;height:auto">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def escape(text: str) -> str:
    """Text as it may stand in HTML and XML; characters that XML does not have become U+FFFD."""
    return _escape(_NO_XML.sub("\ufffd", text))


def clip(text: str, longest: int = 40) -> str:
    """The text, or its beginning and its end around an ellipsis."""
    if len(text) <= longest:
        return text
    back = longest // 3
    return f"{text[: longest - back - 1]}…{text[-back:]}"


def width_of(text: str) -> float:
    """About how wide 12 px text is, in px."""
    return _CHARACTER * len(text)


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers that span the values: steps of 1, 2 or 5 times a power of ten."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step), math.ceil(high / step)
    return [i * step for i in range(first, last + 1)]


def write_whole(path: Path, text: str) -> Path:
    """Write a file, whole or not at all.

    Raises:
        AdapterError: If the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise AdapterError(f"{path} could not be written: {error}; choose a writable folder") from error
    return path
