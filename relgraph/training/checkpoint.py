"""Checkpoints of a training: one atomic folder of safetensors and JSON with everything that resuming needs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from relgraph.data.folder import read_folder, write_folder
from relgraph.errors import ProtocolError
from relgraph.training.state import decode, encode

__all__ = ["has_checkpoint", "read_checkpoint", "require_same", "write_checkpoint"]

_KIND = "checkpoint"


def has_checkpoint(path: Path) -> bool:
    """Whether a folder holds a checkpoint, readable or not."""
    return (path / f"{_KIND}.json").exists()


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Replace the checkpoint of a folder in one step, and the readable ``history.jsonl`` beside it.

    Raises:
        AdapterError: If the folder cannot be written; the checkpoint before it is still whole.
        ProtocolError: If the state holds something that is neither tensor nor JSON.
    """
    tensors: dict[str, Tensor] = {}
    meta = {part: encode(value, part, tensors) for part, value in state.items()}
    write_folder(path, _KIND, meta, tensors)
    lines = "".join(json.dumps(row) + "\n" for row in state["cursor"]["epochs"])
    (path / "history.jsonl").write_text(lines, encoding="utf-8")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what :func:`write_checkpoint` wrote; tensors are on the CPU, mapped into memory.

    Raises:
        AdapterError: If the folder holds no whole checkpoint.
    """
    meta, tensors = read_folder(path, _KIND)
    return {part: decode(value, tensors) for part, value in meta.items()}


def require_same(path: Path, saved: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to resume a training with other settings.

    Raises:
        ProtocolError: If the settings differ; the message names the differences.
    """
    before, after = _flatten(saved), _flatten(json.loads(json.dumps(now)))
    names = [name for name in {**before, **after} if before.get(name, "absent") != after.get(name, "absent")]
    if names:
        listed = "; ".join(
            f"{name} was {before.get(name, 'absent')}, now {after.get(name, 'absent')}" for name in names[:5]
        )
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise ProtocolError(
            f"the checkpoint in {path} belongs to another training: {listed}{more}. "
            "Use the same settings, another folder, or resume=False (--restart in the shell) to start anew"
        )


def _flatten(value: Any, name: str = "") -> dict[str, str]:
    items = dict(enumerate(value)) if isinstance(value, list) else value
    if isinstance(items, Mapping) and items:
        return {
            key: text
            for part, item in items.items()
            for key, text in _flatten(item, f"{name}.{part}" if name else str(part)).items()
        }
    return {name: json.dumps(value)}
