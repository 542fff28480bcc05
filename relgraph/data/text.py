"""Text as vectors: hashed n-grams by default, a sentence-transformers model by name, or any callable."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relgraph.errors import AdapterError, SchemaError

__all__ = ["DEFAULT_TEXT", "HashedNgrams", "TextEncoder", "encoder_name", "to_text_encoder"]

TextEncoder = Callable[[list[str]], Tensor]
"""Takes texts, gives float ``[len(texts), dim]``."""

_PIECE = 1 << 15  # bytes of text that are hashed at a time
_BLANK = 32


@dataclass(frozen=True)
class HashedNgrams:
    r"""Counts of byte n-grams, hashed into a few signed buckets (Weinberger et al. 2009, arXiv 0902.2206).

    .. math:: x_b = \sum_{g :\, h(g) = b} \xi(g), \qquad x \leftarrow x / \lVert x \rVert_2

    over all n-grams :math:`g` of the UTF-8 bytes of a text with a blank before and after it, ASCII letters in lower
    case, with :math:`\xi(g) \in \{-1, 1\}` from the same hash. Texts that share parts of words are near each other, and
    nothing is fitted. The vectors are the same on every platform.

    Args:
        dim: Buckets.
        sizes: Lengths of n-grams in bytes.

    Raises:
        SchemaError: If ``dim`` or a size is below 1.

    Example:
        >>> x = HashedNgrams(dim=64)(["red wine", "white wine", "hammer"])
        >>> bool(x[0] @ x[1] > x[0] @ x[2])
        True
    """

    dim: int = 64
    sizes: tuple[int, ...] = (3, 4)

    def __post_init__(self) -> None:
        if self.dim < 1 or not self.sizes or min(self.sizes) < 1:
            raise SchemaError(f"expected dim and sizes of at least 1, got {self!r}")

    def __call__(self, texts: list[str]) -> Tensor:
        """Encode texts.

        Returns:
            float32 ``[len(texts), dim]`` of length 1, zeros for a text without any n-gram.
        """
        import pyarrow

        array = pyarrow.array(texts, type=pyarrow.large_string())
        _, offsets, data = array.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[: len(texts) + 1] if len(texts) else np.zeros(1, np.int64)
        content = np.frombuffer(data, dtype=np.uint8) if data is not None and len(texts) else np.empty(0, np.uint8)
        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        start = 0
        while start < len(texts):
            # at least one text, and no more than fits the piece
            stop = max(int(np.searchsorted(ends, ends[start] + _PIECE, side="right")) - 1, start + 1)
            self._encode(content[ends[start] : ends[stop]], ends[start : stop + 1] - ends[start], out[start:stop])
            start = stop
        return torch.from_numpy(out)

    def _encode(self, content: NDArray[np.uint8], ends: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        count = len(out)
        place = ends + 2 * np.arange(count + 1)  # where each text starts when every text has a blank on both sides
        text = np.repeat(np.arange(count), np.diff(place))  # the text of every byte
        padded = np.full(len(text), _BLANK, dtype=np.uint8)
        padded[np.arange(len(content)) + 2 * np.repeat(np.arange(count), np.diff(ends)) + 1] = content
        padded[(padded >= 65) & (padded <= 90)] += 32
        buckets = np.zeros(count * self.dim, dtype=np.int64)
        window = np.zeros(len(padded), dtype=np.uint64)
        last = place[1:][text]  # one behind the last byte of the byte's text
        for size in range(1, max(self.sizes) + 1):
            shifted = padded[size - 1 :].astype(np.uint64)
            window = window[: len(shifted)] * np.uint64(0x100000001B3) + shifted + np.uint64(1)
            if size in self.sizes:
                whole = np.arange(len(window)) + size <= last[: len(window)]
                mixed = _mix(window[whole])
                bucket = (mixed >> np.uint64(33)) % np.uint64(self.dim)
                cell = text[: len(window)][whole] * self.dim + bucket.astype(np.int64)
                signed = 2 * cell + (mixed & np.uint64(1)).astype(np.int64)
                counts = np.bincount(signed, minlength=2 * len(buckets)).reshape(-1, 2)
                buckets += counts[:, 1] - counts[:, 0]
        vectors = buckets.reshape(count, self.dim).astype(np.float64)
        length = np.sqrt((vectors * vectors).sum(axis=1, keepdims=True))
        out[:] = vectors / np.where(length > 0, length, 1)


DEFAULT_TEXT = HashedNgrams()
"""How text is encoded unless another encoder is given."""


def _mix(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of MurmurHash3: every bit of the input changes half of the output."""
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ (value >> np.uint64(33))) * np.uint64(factor)
    return value ^ (value >> np.uint64(33))


@dataclass(frozen=True)
class _SentenceModel:
    """A loaded sentence-transformers model."""

    name: str
    model: Any

    def __call__(self, texts: list[str]) -> Tensor:
        out: Tensor = self.model.encode(texts, convert_to_tensor=True, show_progress_bar=False)
        return out


def to_text_encoder(text: TextEncoder | str) -> TextEncoder:
    """The encoder that a person names.

    Args:
        text: A callable, or the name of a sentence-transformers model (``"all-MiniLM-L6-v2"``) or of its folder.

    Raises:
        AdapterError: If sentence-transformers is not installed, or has no such model.
        SchemaError: If it is neither text nor callable.
    """
    if callable(text):
        return text
    if not isinstance(text, str):
        raise SchemaError(f"text: expected a callable, the name of a sentence-transformers model or None, got {text!r}")
    if importlib.util.find_spec("sentence_transformers") is None:
        raise AdapterError(
            f"text={text!r} names a sentence-transformers model, and sentence-transformers is not installed: "
            "pip install 'relgraph[text]'"
        )
    models = importlib.import_module("sentence_transformers")
    try:
        return _SentenceModel(text, models.SentenceTransformer(text))
    except (OSError, ValueError) as error:
        raise AdapterError(f"text={text!r}: sentence-transformers cannot load this model: {error}") from None


def encoder_name(encoder: TextEncoder) -> str:
    """What the statistics of a column call its encoder; the same in every run."""
    if isinstance(encoder, HashedNgrams):
        return repr(encoder)
    if isinstance(encoder, _SentenceModel):
        return encoder.name
    named = encoder if hasattr(encoder, "__qualname__") else type(encoder)
    return f"{named.__module__}.{named.__qualname__}"
