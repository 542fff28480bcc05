"""A folder that holds tensors and JSON, and is replaced as a whole or not at all.

``<kind>.json`` is the pointer: format version, the caller's meta, a manifest of the tensors, and the name of the one
safetensors file that belongs to it. A writer lays a new data file beside the old one, syncs it, and replaces the
pointer, which is the one atomic step; only then older data files go. A reader therefore sees the old content or the
new one, whenever a writer is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from relgraph.errors import AdapterError, SchemaError, ShapeError

__all__ = ["FORMAT", "read_folder", "scratch_file", "write_folder"]

FORMAT = 1
"""Version of the layout; a reader refuses a newer one."""

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.complex64: "C64",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_PATTERN = "{kind}-" + "[0-9]" * 20 + "-" + "[0-9a-f]" * 8 + ".safetensors"
_PIECE = 1 << 26  # bytes of a strided or device tensor that are copied at a time


def write_folder(path: Path | str, kind: str, meta: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Write tensors and meta, replacing what was there of this kind in one atomic step.

    Contiguous CPU tensors are written without a copy in memory, others in pieces. With two writers at once, the last
    one to finish wins.

    Args:
        path: The folder; it is made with its parents, and may hold other kinds and other files.
        kind: What is stored, a lower-case identifier such as ``"graph"``.
        meta: Whatever JSON holds; tuples come back as lists.
        tensors: Dense tensors of any device by name.

    Returns:
        The folder.

    Raises:
        AdapterError: If the folder cannot be written; the old content is still whole.
        SchemaError: If ``meta`` is not JSON or ``kind`` no identifier.
        ShapeError: If a tensor is sparse or of a dtype that safetensors lacks.
    """
    path = Path(path)
    _require_kind(kind)
    manifest = {name: _entry(name, tensor) for name, tensor in tensors.items()}
    content = {"format": FORMAT, "kind": kind, "meta": meta, "tensors": manifest}
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise SchemaError(f"meta of {kind!r} must be JSON (str, int, float, bool, None, list, dict): {error}") from None
    try:
        path.mkdir(parents=True, exist_ok=True)
        _write(path, kind, content, tensors)
    except OSError as error:
        raise AdapterError(
            f"cannot write {kind} to {path}: {error.strerror or error}; what was there before is still whole. "
            "Check that it is a folder with write permission and enough free space"
        ) from error
    return path


def read_folder(path: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read what :func:`write_folder` wrote.

    Args:
        path: The folder.
        kind: The kind it was written with.

    Returns:
        Meta, and the tensors on the CPU, mapped into memory: pages are read when they are touched, and writing to a
        tensor changes no file.

    Raises:
        AdapterError: If the folder is missing, of another kind, of a newer format, or incomplete.
    """
    path = Path(path)
    _require_kind(kind)
    content = _pointer(path, kind)
    while True:
        try:
            return content["meta"], _load(path / content["file"], content)
        except FileNotFoundError:
            # a writer may have replaced the content since the pointer was read
            newer = _pointer(path, kind)
            if newer["file"] == content["file"]:
                raise AdapterError(
                    f"{path / content['file']} is missing, but {kind}.json beside it names it; write the folder again"
                ) from None
            content = newer


@contextmanager
def scratch_file(path: Path, kind: str) -> Iterator[tuple[int, Path]]:
    """A file in a folder of this kind that loses its name at the end; mapped until then, it lives on without one.

    A writer killed in between leaves a file that the next :func:`write_folder` removes.

    Args:
        path: The folder; it must exist.
        kind: What is stored in it.

    Yields:
        A handle for reading and writing, and the file's path; the handle is closed at the end.
    """
    _require_kind(kind)
    handle, name = _new_file(path, kind)
    try:
        yield handle, path / name
    finally:
        (path / name).unlink(missing_ok=True)
        os.close(handle)


def _new_file(path: Path, kind: str) -> tuple[int, str]:
    with _locked(path):
        # fixed-width nanoseconds first, so that names sort by age; the lock on the file says that its writer lives
        name = f"{kind}-{time.time_ns():020d}-{secrets.token_hex(4)}.safetensors"
        file = os.open(path / name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        with suppress(OSError):  # some network file systems know no locks
            fcntl.flock(file, fcntl.LOCK_EX)
    return file, name


def _require_kind(kind: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", kind):
        raise SchemaError(f"kind must be a lower-case identifier such as 'graph', got {kind!r}")


def _entry(name: str, tensor: Tensor) -> dict[str, Any]:
    if tensor.layout != torch.strided or tensor.dtype not in _DTYPES or tensor.is_meta:
        raise ShapeError(
            f"tensor {name!r}: expected a dense tensor of one of {', '.join(sorted(_DTYPES.values()))}, "
            f"got {tensor.dtype}, {tensor.layout}, on {tensor.device}"
        )
    return {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape)}


def _write(path: Path, kind: str, content: dict[str, Any], tensors: Mapping[str, Tensor]) -> None:
    file, name = _new_file(path, kind)
    pointer = path / f".{name}.json"
    try:
        size = _write_tensors(file, tensors)
        os.fsync(file)
        text = json.dumps(content | {"file": name, "bytes": size}, ensure_ascii=False, indent=1)
        with pointer.open("w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        with _locked(path):
            before = _current(path, kind)
            pointer.replace(path / f"{kind}.json")
            _sync(path)
            if before is not None:
                (path / before).unlink(missing_ok=True)
            _clean(path, kind, keep=name)
    except BaseException:
        if _current(path, kind) != name:
            (path / name).unlink(missing_ok=True)
        pointer.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)


def _write_tensors(file: int, tensors: Mapping[str, Tensor]) -> int:
    """Lay down a safetensors file; plain writes, since a full disk under a memory map kills the process."""
    # wide dtypes first keeps every tensor aligned, which the format asks for
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Any] = {}
    offset = 0
    for name in order:
        end = offset + tensors[name].numel() * tensors[name].element_size()
        header[name] = _entry(name, tensors[name]) | {"data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % 64)
    with os.fdopen(os.dup(file), "wb", buffering=1 << 20) as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            for piece in _pieces(tensors[name].detach()):
                out.write(piece)
    return 8 + len(text) + offset


def _pieces(tensor: Tensor) -> Iterator[memoryview]:
    if tensor.numel() == 0:
        return
    if tensor.device.type == "cpu" and tensor.is_contiguous():
        rows = tensor.resolve_conj().resolve_neg().reshape(1, -1)
        step = 1
    else:
        rows = tensor if tensor.dim() else tensor.reshape(1)
        step = max(1, _PIECE // (rows[0].numel() * rows.element_size()))
    for start in range(0, len(rows), step):
        piece = rows[start : start + step].cpu().resolve_conj().resolve_neg().contiguous()
        # a contiguous tensor may still have any stride along an axis of length 1
        flat = piece.as_strided((piece.numel(),), (1,)).view(torch.uint8)
        yield memoryview(flat.numpy())  # type: ignore[arg-type]


def _pointer(path: Path, kind: str) -> dict[str, Any]:
    pointer = path / f"{kind}.json"
    try:
        content = json.loads(pointer.read_text(encoding="utf-8"))
        found = (content["format"], content["kind"])
    except FileNotFoundError:
        raise AdapterError(_why_missing(path, kind)) from None
    except NotADirectoryError:
        raise AdapterError(f"{path} is a file; expected the folder that relgraph saved a {kind} in") from None
    except OSError as error:
        raise AdapterError(f"cannot read {pointer}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise AdapterError(f"{pointer} is no relgraph pointer ({error!r}); save the {kind} again") from None
    if type(found[0]) is int and found[0] > FORMAT:
        raise AdapterError(f"{path} has format {found[0]}, this relgraph reads up to {FORMAT}; update relgraph")
    if found[1] != kind:
        raise AdapterError(f"{pointer} does not describe a {kind} (it says {found[1]!r}); save the {kind} again")
    _require_entries(pointer, kind, content)
    return content  # type: ignore[no-any-return]


def _require_entries(pointer: Path, kind: str, content: Mapping[str, Any]) -> None:
    for name, expected in (("format", int), ("meta", dict), ("tensors", dict), ("file", str), ("bytes", int)):
        value: Any = content.get(name)
        fits = isinstance(value, expected) and not isinstance(value, bool)
        if name == "format":
            fits = fits and value >= 1
        if name == "file":
            fits = fits and fnmatchcase(value, _PATTERN.format(kind=kind))
        if not fits:
            raise AdapterError(
                f"{pointer} is damaged: its {name} is {str(value)[:80]!r}, which no saved {kind} has; "
                f"save the {kind} again"
            )


def _why_missing(path: Path, kind: str) -> str:
    if not path.exists():
        return f"there is no folder {path}; expected one that relgraph saved a {kind} in"
    kinds = sorted(p.stem for p in path.glob("*.json") if any(path.glob(_PATTERN.format(kind=p.stem))))
    holds = f"it holds {', '.join(kinds)}" if kinds else "relgraph saved nothing in it"
    return f"{path} holds no {kind} ({kind}.json is missing); {holds}"


def _load(file: Path, content: dict[str, Any]) -> dict[str, Tensor]:
    size = file.stat().st_size
    if size != content["bytes"]:
        raise AdapterError(f"{file} is damaged: expected {content['bytes']:,} bytes, got {size:,}; write it again")
    try:
        with safe_open(file, framework="pt") as source:
            tensors = {name: source.get_tensor(name) for name in source.keys()}  # noqa: SIM118
    except (SafetensorError, RuntimeError) as error:
        if not file.exists():
            raise FileNotFoundError(file) from None
        raise AdapterError(f"{file} is damaged: {error}; write the folder again") from None
    expected = content["tensors"]
    found = {name: _entry(name, tensor) for name, tensor in tensors.items()}
    if found != expected:
        wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        raise AdapterError(f"{file} does not fit its pointer (tensors {', '.join(wrong[:5])}); write the folder again")
    return {name: tensors[name] for name in expected}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder for the short steps: naming a data file, replacing the pointer, cleaning."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _sync(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _current(path: Path, kind: str) -> str | None:
    """The data file that the pointer names, if there is a sound one."""
    with suppress(AdapterError):
        name: str = _pointer(path, kind)["file"]
        return name
    return None


def _clean(path: Path, kind: str, keep: str) -> None:
    """Remove data files that no pointer names and no living writer holds, left by earlier or killed writers."""
    for file in path.glob(_PATTERN.format(kind=kind)):
        if file.name != keep:
            with suppress(OSError):
                handle = os.open(file, os.O_RDWR | os.O_CLOEXEC)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    file.unlink()
                    (path / f".{file.name}.json").unlink(missing_ok=True)
                finally:
                    os.close(handle)
