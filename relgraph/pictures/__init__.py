"""Pictures as inline SVG and pages as one file, of plain numbers and names; needs no other program or library.

What relgraph makes draws itself with them: ``History.picture()``, ``Metrics.picture()``, ``Schema.picture()``.
"""

from relgraph.pictures.bar_charts import bars, columns
from relgraph.pictures.line_charts import curves
from relgraph.pictures.page import Section, page_html, paragraph, preformatted, side_by_side
from relgraph.pictures.point_charts import scatter
from relgraph.pictures.svg import Svg, clip, escape, write_whole
from relgraph.pictures.tree_charts import Branch, tree

__all__ = [
    "Branch",
    "Section",
    "Svg",
    "bars",
    "clip",
    "columns",
    "curves",
    "escape",
    "page_html",
    "paragraph",
    "preformatted",
    "scatter",
    "side_by_side",
    "tree",
    "write_whole",
]
