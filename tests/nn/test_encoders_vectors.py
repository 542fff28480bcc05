"""Table encoders of lists, embeddings and texts: PyTorch Frame's own values and gradients, and the written formula."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from relgraph.data.features import Features
from relgraph.data.graph import NodeStore
from relgraph.data.ragged import Ragged
from relgraph.data.schema import SemanticType
from relgraph.nn import HeteroEncoder, TableEncoder
from relgraph.nn.fused import run_resnet

NUMBER, LISTS = SemanticType.NUMERICAL, SemanticType.MULTICATEGORICAL
EMBEDDING, TEXT = SemanticType.EMBEDDING, SemanticType.TEXT
STATS: dict[str, dict[str, Any]] = {
    "price": {"mean": 10.0, "std": 2.0, "quantiles": [6.0, 9.0, 10.0, 11.0, 14.0]},
    "genres": {"categories": ["a", "b", "c", "d"], "counts": [4, 3, 2, 1]},
    "labels": {"categories": ["x", "y"], "counts": [2, 1]},
    "shape": {"emb_dim": 3, "scale": 2.0},
    "wide": {"emb_dim": 40, "scale": 0.0},
    "remark": {"emb_dim": 5, "encoder": "some"},
}
NAMES = {NUMBER: ("price",), LISTS: ("genres", "labels"), EMBEDDING: ("shape", "wide"), TEXT: ("remark",)}


def ragged(cells: list[list[list[int]]]) -> Ragged:
    columns = [
        (
            torch.tensor([code for row in cells for code in row[j]], dtype=torch.int64),
            torch.tensor([len(row[j]) for row in cells], dtype=torch.int64),
        )
        for j in range(2)
    ]
    return Ragged.from_columns(len(cells), columns)


def make(num_rows: int, kinds: tuple[SemanticType, ...] = (NUMBER, LISTS, EMBEDDING, TEXT)) -> Features:
    torch.manual_seed(1)
    vectors = torch.randn(num_rows, 43)
    vectors[::4, 1] = math.nan
    vectors[1::5, 3:] = math.nan
    values: dict[SemanticType, Any] = {
        NUMBER: torch.randn(num_rows, 1) + 10,
        LISTS: ragged([[[c for c in range(4) if (i >> c) & 1], [i % 2] if i % 3 else []] for i in range(num_rows)]),
        EMBEDDING: vectors,
        TEXT: torch.randn(num_rows, 5),
    }
    return Features(num_rows, {k: values[k] for k in kinds}, {k: NAMES[k] for k in kinds}, STATS)


@pytest.mark.parametrize("kinds", [(NUMBER, LISTS, EMBEDDING, TEXT), (LISTS,), (EMBEDDING,), (TEXT,), (TEXT, NUMBER)])
@pytest.mark.parametrize("num_rows", [2, 30])  # fewer and more codes than categories
def test_the_fast_path_is_pytorch_frames_resnet(kinds: tuple[SemanticType, ...], num_rows: int) -> None:
    given = make(num_rows, kinds)
    encoder = TableEncoder(given, channels=8, num_layers=2, dropout=0.0).double()
    torch.manual_seed(2)
    for parameter in encoder.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    for bag in getattr(encoder.network.encoder.encoder_dict, "multicategorical", None).embs if LISTS in kinds else ():
        bag.weight.data[0] = 0.0
    frame = Features.to_tensor_frame(given)
    frame.feat_dict = {k: v.to(torch.float64) if v.is_floating_point() else v for k, v in frame.feat_dict.items()}
    for vectors in (v for k, v in frame.feat_dict.items() if k.value == "embedding"):
        vectors.offset = vectors.offset.long()
        for start, end in zip(vectors.offset, vectors.offset[1:], strict=False):
            part = vectors.values[:, start:end]
            part[part.isnan().any(dim=1)] = math.nan
    out = {}
    for path in ("plain", "fast"):
        encoder.zero_grad()
        y = encoder.network(frame) if path == "plain" else run_resnet(encoder.network, frame)
        y.sin().sum().backward()
        out[path] = {"value": y.detach()} | {
            n: p.grad.clone() for n, p in encoder.named_parameters() if p.grad is not None
        }
    assert out["plain"].keys() == out["fast"].keys()
    for name, fast in out["fast"].items():
        plain = out["plain"][name]
        assert fast.isfinite().all()
        if "embedding.weight_list" in name and EMBEDDING in kinds:
            # NaN times a zero gradient is NaN: PyTorch Frame loses the weights of an embedding column with a NULL
            plain = torch.where(plain.isnan(), fast, plain)
        torch.testing.assert_close(fast, plain)


def test_the_gradient_of_an_embedding_with_null_is_that_of_its_other_rows() -> None:
    given = make(9, (EMBEDDING,))
    encoder = TableEncoder(given, channels=8, num_layers=1, dropout=0.0)
    weights = encoder.network.encoder.encoder_dict["embedding"].weight_list[0]
    known = torch.tensor([i for i in range(9) if i % 4])
    whole = torch.autograd.grad(encoder(given, 9)[known].sin().sum(), weights)[0]
    alone = torch.autograd.grad(encoder(given.select(known), len(known)).sin().sum(), weights)[0]
    assert whole.isfinite().all()
    torch.testing.assert_close(whole, alone)


def columns_of(encoder: TableEncoder, row: Features) -> torch.Tensor:
    """What the network sees of one row, by the formula: lists are means, vectors pass a linear map, NULL is zero."""
    parts = encoder.network.encoder.encoder_dict
    out = []
    value = row.tensor(NUMBER)[0, 0]
    out.append((value - 10.0) / (2.0 + 1e-6) * parts["numerical"].weight[0] + parts["numerical"].bias[0])
    for bag, name in zip(parts["multicategorical"].embs, NAMES[LISTS], strict=True):
        codes = row.column(name).tolist()[0][0]
        out.append(sum(bag.weight[c + 1] for c in codes) / len(codes) if codes else torch.zeros(8))
    linear = parts["embedding"]
    for i, name in enumerate((*NAMES[EMBEDDING], *NAMES[TEXT])):
        vector: Any = row.column(name)[0] / (STATS[name].get("scale") or 1.0)  # type: ignore[index]
        known = bool(vector.isfinite().all())
        out.append(vector @ linear.weight_list[i] + linear.biases[i] if known else torch.zeros(8))
    return torch.cat(out)


def test_columns_are_encoded_by_the_written_formula() -> None:
    given = make(30)
    encoder = TableEncoder(given, channels=8, num_layers=2, dropout=0.0).eval()
    torch.manual_seed(3)
    for parameter in encoder.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    network = encoder.network
    x = torch.stack([columns_of(encoder, given.select(torch.tensor([i]))) for i in range(30)])
    expected = network.decoder(network.backbone(x))
    torch.testing.assert_close(encoder(given, 30), expected, rtol=1e-4, atol=1e-5)


def test_no_value_breaks_the_encoder_and_missing_ones_are_one_thing() -> None:
    cells = [[[0], [1]], [[0, 9], [1]], [[], [1]], [[7, -1], [1]]]
    vectors = torch.ones(4, 43)
    vectors[0, 2], vectors[1, 2], vectors[2, 0], vectors[3, 1] = math.inf, math.nan, -math.inf, math.nan
    values = {LISTS: ragged(cells), EMBEDDING: vectors, TEXT: torch.zeros(4, 5)}
    given = Features(4, values, {k: NAMES[k] for k in values}, STATS)
    encoder = TableEncoder(given, channels=8, num_layers=2).eval()
    out = encoder(given, 4)
    assert out.isfinite().all()
    torch.testing.assert_close(out[0], out[1])  # an unknown code is no code
    torch.testing.assert_close(out[2], out[3])
    assert not torch.allclose(out[0], out[2])
    assert encoder(given.select(torch.empty(0, dtype=torch.int64)), 0).shape == (0, 8)


def test_rows_of_every_type_pass_the_hetero_encoder() -> None:
    given = make(6)
    encoder = HeteroEncoder({"t": NodeStore(6, features=given)}, channels=8, num_layers=1).eval()
    out = encoder({"t": torch.tensor([5, 2, 5])})["t"]
    torch.testing.assert_close(out, encoder.tables[0](given, 6)[[5, 2, 5]])


@pytest.mark.parametrize("columns", [("bag",), ("bag", "more")])
def test_a_bag_of_words_is_multiplied_as_a_sparse_matrix_and_gives_the_same(columns: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    words = torch.rand(20, 40) * (torch.rand(20, 40) < 0.05)
    words[3] = 0.0
    stats = {"bag": {"emb_dim": 40 // len(columns), "scale": 0.1}, "more": {"emb_dim": 20, "scale": 0.1}}
    given = Features(20, {EMBEDDING: words}, {EMBEDDING: columns}, stats)
    assert given.bag_of_words is not None
    torch.testing.assert_close(given.bag_of_words.to_dense(), words)
    encoder = TableEncoder(given, channels=8, num_layers=0, dropout=0.0)
    for bias in encoder.network.encoder_dict["embedding"].biases:
        torch.nn.init.normal_(bias)
    parameters = list(encoder.parameters())
    sparse = encoder(given, 20)
    assert sparse.shape == (20, 8)
    found = torch.autograd.grad(sparse.square().sum(), parameters)
    given.__dict__["bag_of_words"] = None  # what a denser table has
    dense = encoder(given, 20)
    torch.testing.assert_close(sparse, dense)
    for ours, theirs in zip(found, torch.autograd.grad(dense.square().sum(), parameters), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_vectors_that_are_dense_or_null_or_not_alone_are_no_bag_of_words() -> None:
    dense, null = torch.ones(4, 10), torch.zeros(4, 10)
    null[2] = math.nan
    stats = {"bag": {"emb_dim": 10, "scale": 1.0}, **STATS}
    for vectors in (dense, null):
        assert Features(4, {EMBEDDING: vectors}, {EMBEDDING: ("bag",)}, stats).bag_of_words is None
    values = {NUMBER: torch.zeros(4, 1), EMBEDDING: torch.zeros(4, 10)}
    assert Features(4, values, {NUMBER: ("price",), EMBEDDING: ("bag",)}, stats).bag_of_words is None
