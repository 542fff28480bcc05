"""Reports of a run: a page for people, and a model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from relgraph.errors import ProtocolError
from relgraph.pictures import write_whole
from relgraph.runs.findings import Findings, card, page
from relgraph.runs.link_report import link_findings
from relgraph.runs.links import LinkRun
from relgraph.runs.row_report import row_findings
from relgraph.runs.rows import RowRun

__all__ = ["ENDINGS", "write_report"]

ENDINGS: dict[str, Callable[[Findings], str]] = {".html": page, ".md": card}


def write_report(
    run: LinkRun | RowRun,
    path: str | Path,
    split: str = "test",
    *,
    licence: str | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Evaluate a run and write what was found.

    Args:
        run: What :func:`relgraph.load` gave.
        path: A file that ends in ``.html`` (one self-contained page with pictures) or ``.md`` (a model card: model,
            data, protocol, regime, metrics, limits).
        split: What is evaluated.
        licence: Under which terms the data may be used; the report says that none was stated if there is none.
        seed: Of the map of entities.
        progress: Show progress on stderr.

    Returns:
        The file.

    Raises:
        ProtocolError: If the file has another ending, or the run has no such split.
        AdapterError: If the file cannot be written.
    """
    target = Path(path)
    make = ENDINGS.get(target.suffix.lower())
    if make is None:
        raise ProtocolError(f"expected a name that ends in {' or '.join(ENDINGS)}, got {target}")
    if isinstance(run, LinkRun):
        found = link_findings(run, split, licence, seed, progress)
    else:
        found = row_findings(run, split, licence, progress)
    return write_whole(target, make(found))
