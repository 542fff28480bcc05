"""The source's own row keys, held as tensors so that they save, map and load like everything else."""

from __future__ import annotations

import itertools
import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from relgraph.errors import SchemaError, ShapeError

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Key", "Keys", "TextColumn", "key_table"]

Key = int | str | tuple[int | str, ...]


@dataclass(frozen=True, eq=False)
class TextColumn(Sequence[str]):
    """Strings as UTF-8 bytes: string ``i`` is ``data[offsets[i]:offsets[i + 1]]``.

    Args:
        offsets: int64 ``[N + 1]``.
        data: uint8, all strings one after the other.
    """

    offsets: Tensor
    data: Tensor

    @classmethod
    def from_strings(cls, values: Iterable[str]) -> TextColumn:
        """Encode strings."""
        encoded = [value.encode() for value in values]
        offsets = torch.zeros(len(encoded) + 1, dtype=torch.int64)
        if encoded:
            offsets[1:] = torch.tensor([len(value) for value in encoded]).cumsum(0)
        data = torch.from_numpy(np.frombuffer(b"".join(encoded), dtype=np.uint8).copy())
        return cls(offsets, data)

    def __len__(self) -> int:
        return self.offsets.numel() - 1

    def __getitem__(self, index: int) -> str:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, end = int(self.offsets[index]), int(self.offsets[index + 1])
        return self.data[start:end].numpy().tobytes().decode()

    def tolist(self) -> list[str]:
        """All strings."""
        whole = self.data.numpy().tobytes()
        ends = self.offsets.tolist()
        return [whole[a:b].decode() for a, b in itertools.pairwise(ends)]


@dataclass(frozen=True, eq=False)
class Keys:
    """The primary key of every row of a table; one column, or several for a composite key.

    Args:
        names: Column names, one per column.
        columns: Each an int64 tensor ``[N]`` or a :class:`TextColumn` of ``N`` strings.
    """

    names: tuple[str, ...]
    columns: tuple[Tensor | TextColumn, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.columns) or not self.names:
            raise ShapeError(f"keys: expected one column per name, got {len(self.columns)} for {list(self.names)}")
        lengths = {len(column) for column in self.columns}
        if len(lengths) != 1:
            raise ShapeError(f"keys: expected columns of one length, got {sorted(lengths)}")

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: int) -> Key:
        values = tuple(int(c[index]) if isinstance(c, Tensor) else c[index] for c in self.columns)
        return values[0] if len(values) == 1 else values

    def tolist(self) -> list[Key]:
        """All keys; a tuple each when the key is composite."""
        columns: list[Any] = [column.tolist() for column in self.columns]
        return list(columns[0]) if len(columns) == 1 else list(zip(*columns, strict=True))

    def label(self, index: int) -> str:
        """One key as text: the value itself, or a JSON list for a composite key."""
        key = self[index]
        return json.dumps(key, ensure_ascii=False) if isinstance(key, tuple) else str(key)

    def labels(self) -> list[str]:
        """All keys as text; see :meth:`label`."""
        return [json.dumps(k, ensure_ascii=False) if isinstance(k, tuple) else str(k) for k in self.tolist()]

    @cached_property
    def _index(self) -> dict[Key, int]:
        return {key: number for number, key in enumerate(self.tolist())}

    def index(self, keys: Iterable[Key]) -> Tensor:
        """Row numbers of keys, int64.

        Raises:
            SchemaError: If a key is not there.
        """
        keys = list(keys)
        try:
            return torch.tensor([self._index[key] for key in keys], dtype=torch.int64)
        except KeyError as error:
            kinds = ["a whole number" if isinstance(column, Tensor) else "text" for column in self.columns]
            raise SchemaError(
                f"there is no row with {'+'.join(self.names)} = {error.args[0]!r}; a key is {' + '.join(kinds)}"
            ) from None
        except TypeError:
            odd = next(key for key in keys if not isinstance(key, Hashable))
            raise SchemaError(
                f"there is no row with {'+'.join(self.names)} = {odd!r}; a key of several columns is a tuple"
            ) from None


def key_table(keys: Keys | None, rows: Sequence[Key]) -> pyarrow.Table:
    """Keys of rows as a table with a column per key column.

    Args:
        keys: The keys of the node type, for their names; ``None`` where it has none: the column is then ``row``.
        rows: The keys, a tuple each if there are several columns.
    """
    import pyarrow

    names = ("row",) if keys is None else keys.names
    parts = [row if isinstance(row, tuple) else (row,) for row in rows]
    return pyarrow.table({name: [part[i] for part in parts] for i, name in enumerate(names)})
