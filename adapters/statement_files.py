"""Statement files: one fact a line, ``head relation tail``, then any number of qualifier relations and values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import torch

from relgraph.adapters.facts import reader_of
from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import AdapterError

__all__ = ["number_statements", "read_statements", "write_statements"]

_SUFFIXES = (".txt", ".tsv", ".csv")
_PARTS = {"train": ("train",), "valid": ("valid", "validation", "val", "dev"), "test": ("test",)}
_GUESS_LINES = 20

_Row = Sequence[str]


def read_statements(path: str | Path, *, delimiter: str | None = None) -> Statements | tuple[Statements, ...]:
    """Read a file of statements, or a folder of train, validation and test files over one vocabulary.

    A line is ``head, relation, tail`` and then pairs of qualifier relation and qualifier value, UTF-8. Entities that
    are a head or a tail are numbered first, in the order in which they appear in train, validation and test; those
    that are only qualifier values follow. Relations of facts and of qualifiers share one list, likewise. Fields are
    taken as they are, spaces included; comma-separated files may quote a field as CSV does. LibKGE folders and RDF
    files are known by their names and read by :func:`relgraph.adapters.read_libkge` and
    :func:`relgraph.adapters.read_rdf`.

    Args:
        path: A file, or a folder with ``train`` and ``test`` and, if there is one, ``valid`` (also ``validation``,
            ``val``, ``dev``), each ending in ``.txt``, ``.tsv`` or ``.csv``; or a source of another kind.
        delimiter: Tab or comma, usually; guessed from the first lines of each file by default.

    Returns:
        A file gives :class:`~relgraph.data.statements.Statements`; a folder gives ``(train, valid, test)``, or
        ``(train, test)`` where there is no validation file.

    Raises:
        AdapterError: If the file or folder is missing, empty, not UTF-8 or of unknown layout, or a line has fewer than
            three fields, an empty one, or a qualifier relation without its value; with file and line number.
    """
    path = Path(path)
    other = None if delimiter is not None else reader_of(path)
    if other is not None:
        return other(path)
    if delimiter is not None and (not isinstance(delimiter, str) or not delimiter):
        raise AdapterError(f"delimiter: expected text such as a tab or a comma, got {delimiter!r}")
    if path.is_dir():
        return tuple(number_statements([_read_rows(file, delimiter) for file in _files(path)]))
    if not path.exists():
        raise AdapterError(f"there is no file or folder {path}; expected statements to read")
    return number_statements([_read_rows(path, delimiter)])[0]


def write_statements(statements: Statements, path: str | Path, delimiter: str = "\t") -> Path:
    """Write statements with their qualifiers to one file that :func:`read_statements` reads.

    The format has no place for times: they are left out.

    Args:
        statements: What to write.
        path: The file; replaced if it exists.
        delimiter: Between fields. With a comma, fields are quoted as CSV does where they need it.

    Returns:
        The file.

    Raises:
        AdapterError: If a label is empty or has a character that the format cannot hold, or writing fails.
    """
    path = Path(path)
    text = io.StringIO(newline="")
    if delimiter == ",":
        csv.writer(text, lineterminator="\n").writerows(_checked(_words(statements), path, "\n\r"))
    else:
        lines = _checked(_words(statements), path, f"\n\r{delimiter}")
        text.writelines(f"{delimiter.join(words)}\n" for words in lines)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.getvalue(), encoding="utf-8", newline="")
    except OSError as error:
        raise AdapterError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _files(folder: Path) -> list[Path]:
    """The files of a folder in the order train, valid, test."""
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() not in _SUFFIXES:
            continue
        for part, stems in _PARTS.items():
            if file.stem.lower() in stems:
                if part in found:
                    raise AdapterError(f"{folder} holds both {found[part].name} and {file.name}; keep one of them")
                found[part] = file
    if not {"train", "test"} <= found.keys():
        names = ", ".join(sorted(file.name for file in folder.iterdir())[:10]) or "nothing"
        raise AdapterError(
            f"{folder}: expected train and test (and valid) ending in {', '.join(_SUFFIXES)}, found {names}; rename "
            "them, or read one file at a time"
        )
    return [found[part] for part in _PARTS if part in found]


def _read_rows(path: Path, delimiter: str | None) -> list[_Row]:
    """The fields of every line, checked."""
    text = _read_text(path)
    if delimiter is None:
        delimiter = _guess_delimiter(path, text)
    numbers: Sequence[int]
    if delimiter == "," and '"' in text:
        rows, numbers = _read_csv(path, text)
    else:
        lines = text.split("\n")
        if "\r" in text:
            lines = [line.removesuffix("\r") for line in lines]
        while not lines[-1]:
            lines.pop()
        rows, numbers = [line.split(delimiter) for line in lines], range(1, len(lines) + 1)
    for row, number in zip(rows, numbers, strict=True):
        if len(row) < 3 or not len(row) % 2 or "" in row:
            raise AdapterError(f"{path}, line {number}: {_fault(row, delimiter)}")
    return rows


def _read_text(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise AdapterError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AdapterError(
            f"{path}, line {line}: expected UTF-8, got the byte 0x{data[error.start]:02x}; convert the file"
        ) from None
    if not text.strip():
        raise AdapterError(f"{path} is empty; expected a statement a line: head, relation, tail, qualifiers")
    return text


def _read_csv(path: Path, text: str) -> tuple[list[_Row], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[_Row] = []
    numbers: list[int] = []
    try:
        for row in reader:
            rows.append(row)
            numbers.append(reader.line_num)
    except csv.Error as error:
        raise AdapterError(f"{path}, line {reader.line_num}: {error}") from None
    while rows and not rows[-1]:
        rows.pop(), numbers.pop()
    return rows, numbers


def _guess_delimiter(path: Path, text: str) -> str:
    first = list(islice((line for line in text.split("\n") if line.strip()), _GUESS_LINES))
    # the one that most lines fit, so that a malformed line is reported as such; of equals the tab
    fitting = {delimiter: sum(line.count(delimiter) >= 2 for line in first) for delimiter in "\t,"}
    best = max(fitting, key=lambda delimiter: fitting[delimiter])
    if fitting[best]:
        return best
    raise AdapterError(
        f"{path}, line 1: expected head, relation and tail between tabs or commas, got {first[0][:80]!r}; "
        "pass delimiter= if it is another one"
    )


def _fault(row: _Row, delimiter: str) -> str:
    shown = delimiter.join(row)[:80]
    between = {"\t": "tabs", ",": "commas"}.get(delimiter, repr(delimiter))
    if len(row) < 3:
        number = len(row) if any(row) else 0
        return f"expected head, relation and tail between {between}, got {number} fields: {shown!r}"
    if "" in row:
        return f"field {row.index('') + 1} of {len(row)} is empty: {shown!r}"
    return (
        f"the qualifier relation {row[-1]!r} has no value (qualifiers come in pairs), got {len(row)} fields: {shown!r}"
    )


def number_statements(parts: Sequence[Sequence[_Row]], entities: Iterable[str] = ()) -> list[Statements]:
    """Statements of rows of words, labels numbered in the order of their appearance.

    Args:
        parts: Rows of head, relation, tail, then qualifier relations and values; one vocabulary for all parts.
        entities: Labels that come first, whether they appear or not.
    """
    rows = list(chain.from_iterable(parts))
    entities = dict.fromkeys(chain(entities, chain.from_iterable((row[0], row[2]) for row in rows)))
    num_main = len(entities)
    entities |= dict.fromkeys(chain.from_iterable(row[4::2] for row in rows if len(row) > 3))
    relations = dict.fromkeys(row[1] for row in rows)
    relations |= dict.fromkeys(chain.from_iterable(row[3::2] for row in rows if len(row) > 3))
    vocabulary = Vocabulary(tuple(entities), tuple(relations), num_main)
    entity = {label: number for number, label in enumerate(entities)}
    relation = {label: number for number, label in enumerate(relations)}
    return [_statements(part, vocabulary, entity, relation) for part in parts]


def _statements(
    rows: Sequence[_Row], vocabulary: Vocabulary, entity: dict[str, int], relation: dict[str, int]
) -> Statements:
    qualified = [row for row in rows if len(row) > 3]
    qualifiers = None
    if qualified:
        ptr = torch.tensor([0, *((len(row) - 3) // 2 for row in rows)]).cumsum(0)
        pair_relation = torch.tensor([relation[x] for row in qualified for x in row[3::2]])
        pair_entity = torch.tensor([entity[x] for row in qualified for x in row[4::2]])
        qualifiers = Qualifiers(ptr, pair_relation, pair_entity)
    return Statements(
        head=torch.tensor([entity[row[0]] for row in rows], dtype=torch.int64),
        relation=torch.tensor([relation[row[1]] for row in rows], dtype=torch.int64),
        tail=torch.tensor([entity[row[2]] for row in rows], dtype=torch.int64),
        vocabulary=vocabulary,
        qualifiers=qualifiers,
    )


def _words(statements: Statements) -> Iterator[list[str]]:
    entity, relation = list(statements.vocabulary.entities), list(statements.vocabulary.relations)
    main = (statements.head.tolist(), statements.relation.tolist(), statements.tail.tolist())
    rows = ([entity[h], relation[r], entity[t]] for h, r, t in zip(*main, strict=True))
    if statements.qualifiers is None:
        yield from rows
        return
    ptr = statements.qualifiers.ptr.tolist()
    pairs = list(zip(statements.qualifiers.relation.tolist(), statements.qualifiers.entity.tolist(), strict=True))
    for number, row in enumerate(rows):
        for r, e in pairs[ptr[number] : ptr[number + 1]]:
            row += [relation[r], entity[e]]
        yield row


def _checked(rows: Iterable[list[str]], path: Path, forbidden: str) -> Iterator[list[str]]:
    for row in rows:
        for label in row:
            if not label or not set(forbidden).isdisjoint(label):
                raise AdapterError(
                    f"cannot write {label!r} to {path}: a field must not be empty nor contain any of {forbidden!r}; "
                    "write with another delimiter, or rename it"
                )
        yield row
