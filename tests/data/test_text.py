"""Text as vectors: the built-in hashing equals its formula, each text is encoded once, bad encoders are named."""

from __future__ import annotations

import math
import sys
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import relgraph
from relgraph.data import encode_text
from relgraph.data.schema import SemanticType
from relgraph.data.text import HashedNgrams, encoder_name, to_text_encoder
from relgraph.errors import AdapterError, SchemaError, ShapeError

MASK = 2**64 - 1


def by_hand(text: str, dim: int, sizes: tuple[int, ...]) -> list[float]:
    """The formula of :class:`HashedNgrams`, one n-gram at a time."""
    content = bytes(b + 32 if 65 <= b <= 90 else b for b in b" " + text.encode() + b" ")
    out = [0] * dim
    for size in sizes:
        for start in range(len(content) - size + 1):
            value = 0
            for byte in content[start : start + size]:
                value = (value * 0x100000001B3 + byte + 1) & MASK
            for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
                value = ((value ^ (value >> 33)) * factor) & MASK
            value ^= value >> 33
            out[(value >> 33) % dim] += 1 if value & 1 else -1
    length = math.sqrt(sum(x * x for x in out)) or 1.0
    return [x / length for x in out]


@given(
    st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=6),
    st.integers(1, 9),
    st.sets(st.integers(1, 5), min_size=1),
)
def test_hashed_ngrams_are_their_formula(texts: list[str], dim: int, sizes: set[int]) -> None:
    out = HashedNgrams(dim=dim, sizes=tuple(sorted(sizes)))(texts)
    assert out.shape == (len(texts), dim)
    assert out.dtype == torch.float32
    expected = torch.tensor([by_hand(text, dim, tuple(sorted(sizes))) for text in texts]).reshape(-1, dim)
    torch.testing.assert_close(out, expected)


def test_hashed_ngrams_are_these_numbers_on_every_platform() -> None:
    out = HashedNgrams(dim=8)(["Grüße aus Köln", ""])
    assert (out[0] * 27**0.5).round().tolist() == [-1, 2, 2, 3, -2, 0, -2, -1]
    assert out[1].tolist() == [0.0] * 8


def test_long_texts_and_many_texts_do_not_depend_on_their_neighbours() -> None:
    texts = ["x" * 70_000, *[f"text {i}" for i in range(9000)], "y" * 40_000]
    encoder = HashedNgrams(dim=16)
    whole = encoder(texts)
    for i in (0, 1, 4567, 9000, 9001):
        assert torch.equal(whole[i], encoder([texts[i]])[0])
    near, far = encoder(["a red wine", "red wines", "hammers"])[1:] @ encoder(["a red wine"])[0]
    assert near > far


@pytest.mark.parametrize("wrong", [{"dim": 0}, {"sizes": ()}, {"sizes": (0, 3)}])
def test_hashed_ngrams_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="at least 1"):
        HashedNgrams(**wrong)


def remarks() -> relgraph.Database:
    frames = {
        "t": pd.DataFrame(
            {
                "remark": [f"a remark of {i} words" for i in range(5)] * 2 + [None, "zz"],
                "title": [f"the title of {i} books" for i in range(12)],
                "price": [i * 0.5 for i in range(12)],
            }
        )
    }
    return relgraph.connect(frames, progress=False)


class Lengths:
    """Encodes a text as its length and its number of blanks, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: list[str]) -> torch.Tensor:
        self.asked.append(texts)
        return torch.tensor([[len(text), text.count(" ")] for text in texts], dtype=torch.float64)


TEXTS = {"t.remark": "text", "t.title": "text"}


def test_each_different_text_is_encoded_once_and_null_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_text, "_TEXTS", 4)
    encoder = Lengths()
    graph = relgraph.build_graph(remarks(), types=TEXTS, text=encoder, progress=False)
    features = graph.nodes["t"].features
    assert features is not None
    assert [len(texts) for texts in encoder.asked] == [4, 2, 4, 4, 4]
    remarks_asked = [*encoder.asked[0], *encoder.asked[1]]
    assert remarks_asked == sorted(set(remarks_asked))
    assert features.names[SemanticType.TEXT] == ("remark", "title")
    assert features.column("remark").tolist() == [[19.0, 4.0]] * 10 + [[0.0, 0.0], [2.0, 0.0]]
    assert features.column("title").tolist() == [[20.0 + (i > 9), 4.0] for i in range(12)]
    assert features.tensor(SemanticType.TEXT).dtype == torch.float32
    assert features.stats["title"] == {"emb_dim": 2, "encoder": "tests.data.test_text.Lengths"}


def test_text_can_be_left_out_and_is_hashed_by_default() -> None:
    out = relgraph.build_graph(remarks(), text=None, progress=False)
    assert out.report["left_out"]["t"] == {"remark": "text", "title": "text"}
    graph = relgraph.build_graph(remarks(), types=TEXTS, progress=False)
    assert graph.nodes["t"].features is not None
    title = graph.nodes["t"].features.column("title")
    assert torch.equal(title[:1], HashedNgrams()(["the title of 0 books"]))  # type: ignore[index]
    assert graph.nodes["t"].features.stats["title"] == {"emb_dim": 64, "encoder": "HashedNgrams(dim=64, sizes=(3, 4))"}


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (lambda texts: [0.0] * len(texts), "expected a tensor .*got list"),
        (lambda texts: torch.zeros(len(texts) + 1, 3), r"expected float \[6, dim\] for 6 texts, got .*\[7, 3\]"),
        (lambda texts: torch.zeros(len(texts), 3, dtype=torch.int64), "got torch.int64"),
        (lambda texts: torch.zeros(len(texts)), r"got torch.float32 \[6\]"),
        (lambda texts: torch.zeros(len(texts), len(texts)), r"t\.title: expected float \[12, 6\]"),
        (
            lambda texts: torch.full((len(texts), 3), torch.nan),
            "finite numbers, got NaN or infinity for the text 'a rem",
        ),
    ],
)
def test_an_encoder_that_gives_something_else_is_named_with_the_column(encoder: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message) as caught:
        relgraph.build_graph(remarks(), types=TEXTS, text=encoder, progress=False)
    assert "test_text.<lambda> for t." in str(caught.value)


def test_an_encoder_that_fails_says_where() -> None:
    def broken(texts: list[str]) -> torch.Tensor:
        raise KeyError("no such word")

    with pytest.raises(KeyError) as caught:
        relgraph.build_graph(remarks(), types=TEXTS, text=broken, progress=False)
    assert any("for t.remark" in note for note in caught.value.__notes__)


def test_a_sentence_model_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SchemaError, match="expected a callable, the name"):
        to_text_encoder(3)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AdapterError, match=r"all-MiniLM-L6-v2.*pip install 'relgraph\[text\]'"):
        relgraph.build_graph(remarks(), text="all-MiniLM-L6-v2", progress=False)

    class Model:
        def __init__(self, name: str) -> None:
            if name == "absent":
                raise OSError("absent is not a local folder")

        def encode(self, texts: list[str], convert_to_tensor: bool, show_progress_bar: bool) -> torch.Tensor:
            return torch.ones(len(texts), 5)

    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = Model  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(AdapterError, match="cannot load this model: absent is not"):
        to_text_encoder("absent")
    model = to_text_encoder("all-MiniLM-L6-v2")
    assert encoder_name(model) == "all-MiniLM-L6-v2"
    assert model(["a"]).tolist() == [[1.0] * 5]
