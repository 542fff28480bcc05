"""Scorers on disk: parameters, how they were built, and the names they speak about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relgraph.data.folder import read_folder, write_folder
from relgraph.data.keys import TextColumn
from relgraph.data.statements import Vocabulary
from relgraph.errors import AdapterError, SchemaError, ShapeError
from relgraph.kge.scorers import SCORERS, Scorer

__all__ = ["load_scorer", "save_scorer"]

_KIND = "scorer"


def save_scorer(
    scorer: Scorer, vocabulary: Vocabulary, path: str | Path, meta: Mapping[str, Any] | None = None
) -> Path:
    """Write a scorer and its vocabulary to a folder of safetensors and JSON.

    Args:
        scorer: One of ``SCORERS``.
        vocabulary: What its numbers mean.
        path: The folder; what was saved there is replaced in one step.
        meta: Whatever else is to be kept, JSON values: metrics, protocol, where the data came from.

    Returns:
        The folder.

    Raises:
        SchemaError: If the scorer is none of ``SCORERS``, does not fit the vocabulary, or ``meta`` is not JSON.
        AdapterError: If the folder cannot be written.
    """
    names = [name for name, kind in SCORERS.items() if kind is type(scorer)]
    if not names:
        raise SchemaError(f"{type(scorer).__name__} is none of the scorers {', '.join(SCORERS)}; add it to SCORERS")
    scorer.require_vocabulary(vocabulary)
    tensors = {f"scorer.{name}": value for name, value in scorer.state_dict().items()}
    for name, labels in (("entities", vocabulary.entities), ("relations", vocabulary.relations)):
        column = TextColumn.from_strings(labels)
        tensors |= {f"{name}.offsets": column.offsets, f"{name}.data": column.data}
    content = {
        "scorer": names[0],
        "arguments": scorer.arguments,
        "num_main_entities": vocabulary.num_main_entities,
        "meta": dict(meta or {}),
    }
    return write_folder(Path(path), _KIND, content, tensors)


def load_scorer(path: str | Path) -> tuple[Scorer, Vocabulary, dict[str, Any]]:
    """Read what :func:`save_scorer` wrote.

    Returns:
        The scorer in evaluation mode on the CPU, its vocabulary, and the extra ``meta``.

    Raises:
        AdapterError: If the folder is missing, damaged, or holds no scorer.
        SchemaError: If it holds a scorer that this version does not have, or parameters that do not fit it.
    """
    content, tensors = read_folder(Path(path), _KIND)
    try:
        name, arguments, meta, vocabulary = _unpack(content, tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from None
    kind = SCORERS.get(name)
    if kind is None:
        raise SchemaError(f"{path} holds a scorer {name!r}; known are {', '.join(SCORERS)}")
    state = {name.removeprefix("scorer."): x for name, x in tensors.items() if name.startswith("scorer.")}
    try:
        scorer = kind(**arguments)
        scorer.load_state_dict(state)
        scorer.require_vocabulary(vocabulary)
    except (ShapeError, SchemaError) as error:
        raise _damaged(path, error) from None
    except (TypeError, RuntimeError) as error:
        raise SchemaError(f"what {path} holds does not fit this version's {kind.__name__}: {error}") from None
    return scorer.eval(), vocabulary, meta


def _unpack(
    content: Mapping[str, Any], tensors: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any], Vocabulary]:
    for entry, kind in (("scorer", str), ("arguments", dict), ("meta", dict), ("num_main_entities", int)):
        if not isinstance(content[entry], kind):
            raise TypeError(f"{entry} is {content[entry]!r}, expected {kind.__name__}")
    vocabulary = Vocabulary(_labels(tensors, "entities"), _labels(tensors, "relations"), content["num_main_entities"])
    return content["scorer"], content["arguments"], content["meta"], vocabulary


def _damaged(path: str | Path, error: Exception) -> AdapterError:
    return AdapterError(f"{path} is damaged: {_KIND}.json or its data does not fit ({error!r}); save the scorer again")


def _labels(tensors: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(TextColumn(tensors[f"{name}.offsets"], tensors[f"{name}.data"]).tolist())
