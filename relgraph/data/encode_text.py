"""Text columns as vectors: every different text is encoded once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.data.arrays import Arrays
from relgraph.data.columns import ColumnMeaning
from relgraph.data.narrow import Source, narrowed
from relgraph.data.progress import track
from relgraph.data.stream import numbers, stream
from relgraph.data.text import TextEncoder, encoder_name
from relgraph.errors import ShapeError

if TYPE_CHECKING:
    import duckdb

__all__ = ["encode_texts"]

_TEXTS = 1 << 14  # given to the encoder at a time
_TABLE = "temp.main.__relgraph_texts"


def encode_texts(
    connection: duckdb.DuckDBPyConnection,
    numbered: Source,
    columns: Sequence[ColumnMeaning],
    encoder: TextEncoder,
    num_rows: int,
    arrays: Arrays,
    progress: bool = False,
    given: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Tensor, dict[str, dict[str, Any]]]:
    """Encode columns of text.

    Args:
        connection: Where the table is; used for nothing else meanwhile.
        numbered: All rows, with their number in ``"__row"``.
        columns: The text columns, of which each holds a text.
        encoder: Given all different texts of a column in sorted order, some thousands at a time.
        num_rows: Rows of the table.
        arrays: Where the result lies. Besides it 16 bytes per row are used for a moment.
        progress: Show progress on stderr.
        given: Their statistics, if they were encoded before.

    Returns:
        float32 ``[num_rows, total width]``, the columns side by side and zeros for NULL: 4 bytes per row, column and
        dimension; and statistics per column.

    Raises:
        ShapeError: If the encoder does not give finite floats ``[number of texts, dim]`` with one ``dim``.
    """
    out: Tensor | None = None
    width = 0
    if given is not None:
        width = int(given[columns[0].name]["emb_dim"])
        out = arrays.full((num_rows, width * len(columns)), 0.0, torch.float32)
    for i, meaning in enumerate(columns):
        order, bounds = _sort_rows(connection, narrowed(numbered, [meaning.name]), meaning, num_rows)
        blocks = _blocks(connection, len(bounds) - 1)
        for start, texts in track(blocks, f"text of {meaning.where}", progress, total=-(-len(bounds) // _TEXTS)):
            vectors = _encode(encoder, texts, meaning.where, width if out is not None else None)
            if out is None:
                width = vectors.size(1)
                out = arrays.full((num_rows, width * len(columns)), 0.0, torch.float32)
            rows = order[bounds[start] : bounds[start + len(texts)]]
            times = np.diff(bounds[start : start + len(texts) + 1])
            out.numpy()[rows, i * width : (i + 1) * width] = vectors.numpy()[np.repeat(np.arange(len(texts)), times)]
        connection.execute(f"DROP TABLE {_TABLE}")
    stats = {m.name: {"emb_dim": width, "encoder": encoder_name(encoder)} for m in columns}
    return torch.zeros(num_rows, 0) if out is None else out, stats


def _sort_rows(
    connection: duckdb.DuckDBPyConnection, numbered: str, meaning: ColumnMeaning, num_rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Make the table of different texts; rows ordered by text, and where the rows of each text start among them."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE __relgraph_texts AS "
        "SELECT value, row_number() OVER (ORDER BY value) - 1 AS code "
        f"FROM (SELECT DISTINCT {meaning.sql} AS value FROM {numbered}) WHERE value IS NOT NULL"
    )
    count = connection.execute(f"SELECT count(*) FROM {_TABLE}").fetchall()[0][0]
    code = np.full(num_rows, -1, dtype=np.int64)
    sql = (
        f'SELECT t."__row", c.code FROM (SELECT "__row", {meaning.sql} AS value FROM {numbered}) t '
        f"JOIN {_TABLE} c ON t.value = c.value"
    )
    for places, (part,) in stream(connection, sql):
        code[places] = numbers(part)
    order = np.argsort(code, kind="stable")
    return order, np.searchsorted(code, np.arange(count + 1), sorter=order)


def _blocks(connection: duckdb.DuckDBPyConnection, count: int) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, count, _TEXTS):
        found = connection.execute(
            f"SELECT value FROM {_TABLE} WHERE code >= {start} AND code < {start + _TEXTS} ORDER BY code"
        )
        yield start, [row[0] for row in found.fetchall()]


def _encode(encoder: TextEncoder, texts: list[str], where: str, width: int | None) -> Tensor:
    expected = f"float [{len(texts)}, {'dim' if width is None else width}]"
    try:
        given: object = encoder(texts)
    except Exception as error:
        error.add_note(f"raised by the text encoder {encoder_name(encoder)} for {where}")
        raise
    what = f"text encoder {encoder_name(encoder)} for {where}"
    if not isinstance(given, Tensor):
        raise ShapeError(f"{what}: expected a tensor {expected}, got {type(given).__name__}")
    shape = list(given.shape)
    if not given.is_floating_point() or given.dim() != 2 or shape[0] != len(texts) or width not in (None, shape[1]):
        raise ShapeError(f"{what}: expected {expected} for {len(texts)} texts, got {given.dtype} {shape}")
    vectors = given.detach().to("cpu", torch.float32)
    bad = (~vectors.isfinite()).any(dim=1).nonzero().flatten()
    if bad.numel():
        raise ShapeError(
            f"{what}: expected finite numbers, got NaN or infinity for the text {texts[int(bad[0])]!r:.200}"
        )
    return vectors
