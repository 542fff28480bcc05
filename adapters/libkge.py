"""Folders in the layout of LibKGE: numbered triples, and the labels of the numbers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import AdapterError

__all__ = ["matches", "read", "read_libkge"]

_NAMES = {
    "entity_ids": "entity_ids.del",
    "relation_ids": "relation_ids.del",
    "train": "train.del",
    "valid": "valid.del",
    "test": "test.del",
}


def matches(path: Path) -> bool:
    """Whether a folder has LibKGE's files."""
    # the functions of os.path also take names that no file can have
    return any(os.path.isfile(path / name) for name in (_NAMES["train"], "dataset.yaml"))


def read_libkge(path: str | Path) -> tuple[Statements, ...]:
    """Read a folder of LibKGE, numbered as it is there.

    ``entity_ids.del`` and ``relation_ids.del`` have a number and a label a line, ``train.del``, ``valid.del`` and
    ``test.del`` numbers of head, relation and tail, all between tabs. Where there is a ``dataset.yaml``, the files are
    those it names.

    Args:
        path: The folder.

    Returns:
        ``(train, valid, test)``, or ``(train, test)`` where there is no validation file.

    Raises:
        AdapterError: If a file is missing or malformed, a label stands twice, or a number has no label.
    """
    folder = Path(path)
    names = {**_NAMES, **_named(folder)}
    entities = _labels(folder / names["entity_ids"])
    relations = _labels(folder / names["relation_ids"])
    vocabulary = Vocabulary(entities, relations)
    parts = [name for name in ("train", "valid", "test") if name != "valid" or (folder / names[name]).is_file()]
    return tuple(_statements(folder / names[name], vocabulary) for name in parts)


read = read_libkge


def _named(folder: Path) -> dict[str, str]:
    """The files that ``dataset.yaml`` names."""
    file = folder / "dataset.yaml"
    if not file.is_file():
        return {}
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        entries = {key: value for key, value in content["dataset"].items() if isinstance(value, str)}
        nested = content["dataset"].get("files", {})
        entries |= {f"files.{key}.filename": value["filename"] for key, value in nested.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise AdapterError(f"{file}: expected the files of a LibKGE data set under 'dataset', got {error!r}") from None
    found = {name: entries.get(f"files.{name}.filename") for name in _NAMES}
    return {name: file for name, file in found.items() if file is not None}


def _table(file: Path, columns: dict[str, Any]) -> Any:
    import pyarrow
    import pyarrow.csv

    if not file.is_file():
        raise AdapterError(f"there is no {file}; a LibKGE folder has {', '.join(_NAMES.values())}")
    try:
        return pyarrow.csv.read_csv(
            file,
            read_options=pyarrow.csv.ReadOptions(column_names=list(columns), use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=columns, strings_can_be_null=False),
        )
    except pyarrow.ArrowInvalid as error:
        raise AdapterError(f"{file}: expected {' and '.join(columns)} between tabs, got {error}") from None


def _labels(file: Path) -> tuple[str, ...]:
    import pyarrow

    table = _table(file, {"number": pyarrow.int64(), "label": pyarrow.string()})
    numbers, labels = table["number"].to_pylist(), table["label"].to_pylist()
    if sorted(x for x in numbers if x is not None) != list(range(len(labels))):
        raise AdapterError(f"{file}: expected each number of 0..{len(labels) - 1} once, got others")
    ordered = dict(zip(numbers, labels, strict=True))
    found = tuple(ordered[number] for number in range(len(labels)))
    if len(set(found)) < len(found):
        twice = next(label for label in found if found.count(label) > 1)
        raise AdapterError(f"{file}: the label {twice!r} stands twice; labels must be unique")
    return found


def _statements(file: Path, vocabulary: Vocabulary) -> Statements:
    import pyarrow

    table = _table(file, dict.fromkeys(("head", "relation", "tail"), pyarrow.int64()))
    sizes = {"head": len(vocabulary.entities), "relation": len(vocabulary.relations), "tail": len(vocabulary.entities)}
    columns: dict[str, Tensor] = {}
    for name, size in sizes.items():
        values = table[name]
        column = torch.from_numpy(values.fill_null(-1).to_numpy().copy())
        outside = (column < 0) | (column >= size)
        if bool(outside.any()):
            line = int(outside.nonzero()[0]) + 1
            found = values[line - 1].as_py()
            raise AdapterError(f"{file}, line {line}: expected a {name} in 0..{size - 1}, got {found}: it has no label")
        columns[name] = column
    return Statements(columns["head"], columns["relation"], columns["tail"], vocabulary)
