"""Rows as one cell each: Python's drivers of MySQL take a microsecond or more for every cell, Arrow splits them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from relgraph.adapters.servers.mysql_columns import Reading
from relgraph.adapters.servers.mysql_values import TextKind

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Packing"]

_NUMBER = 80  # bytes that a value which is no text takes at most


class Packing:
    """Which columns of a table come in one cell, a line of CSV, and which in cells of their own.

    Bytes, and text that may be long, come on their own.

    Args:
        readings: How each column is read.
        octets: The longest value of each text column in bytes of UTF-8.
        room: How many bytes a packed cell may have.
    """

    def __init__(self, readings: Mapping[str, Reading], octets: Mapping[str, int], room: int) -> None:
        import pyarrow

        self._packed: list[str] = []
        for name, each in readings.items():
            size = 2 * octets[name] + 2 if isinstance(each.kind, TextKind) else _NUMBER
            if not pyarrow.types.is_large_binary(each.kind.arrow()) and (size <= room or size == _NUMBER):
                self._packed.append(name)
                room -= size
        self._alone = [name for name in readings if name not in self._packed]
        cells = ", ".join(["'1'", *(_cell(readings[name]) for name in self._packed)])  # a line is never empty
        line = f"CAST(CONCAT_WS(',', {cells}) AS BINARY)"
        self.sql = ", ".join([line, *(readings[name].sql for name in self._alone)])
        """What to select."""

    def columns(self, rows: Sequence[Sequence[Any]]) -> dict[str, pyarrow.Array | tuple[Any, ...]]:
        """The cells of each column: as an array of bytes, or as the driver's values."""
        lines, *alone = zip(*rows, strict=True)
        return {**self._split(lines), **dict(zip(self._alone, alone, strict=True))}

    def _split(self, lines: Sequence[bytes]) -> dict[str, pyarrow.Array]:
        import pyarrow
        from pyarrow import csv

        data = b"\n".join((*lines, b""))
        names = ["", *self._packed]
        table = csv.read_csv(
            io.BytesIO(data),
            csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1024, column_names=[str(i) for i in range(len(names))]
            ),
            csv.ParseOptions(newlines_in_values=True),
            csv.ConvertOptions(
                check_utf8=False,
                column_types={str(i): pyarrow.binary() for i in range(len(names))},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        arrays = (column.combine_chunks() for column in table.columns[1:])
        return dict(zip(self._packed, arrays, strict=True))


def _cell(reading: Reading) -> str:
    """SQL of a field of CSV: nothing for NULL, text in quotes."""
    if isinstance(reading.kind, TextKind):
        return f"""IFNULL(CONCAT('"', REPLACE({reading.sql}, '"', '""'), '"'), '')"""
    return f"IFNULL({reading.sql}, '')"
