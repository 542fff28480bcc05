"""PyTorch Frame's tabular ResNet without the embedding of every column of every row."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torch_frame import stype
from torch_frame.data import TensorFrame

from relgraph.ops.dropout import dropout

__all__ = ["run_resnet", "sum_columns"]


def run_resnet(network: Any, frame: TensorFrame) -> Tensor:
    r"""The output of ``torch_frame.nn.ResNet`` on a frame, computed in another order.

    The network embeds every column of every row, ``[rows, columns, channels]``, and its first layer is linear in these
    embeddings. A column embedding is itself linear in a few numbers: :math:`z\,w + b` for a number, a row of a table
    for a category, the mean of such rows for a list, a vector times a matrix for an embedding, 56 sines and cosines
    times a matrix for a timestamp. The products of the two weights are small, so
    taking them first saves nearly all of the work of a wide table. Same function, same parameters, same gradients,
    except that the weights of a column of numbers or embeddings with a NULL get the gradient of its other rows, where
    PyTorch Frame 0.3 gives NaN.

    Args:
        network: A ``torch_frame.nn.ResNet`` with ``LinearEncoder``, ``EmbeddingEncoder``, ``TimestampEncoder``,
            ``LinearEmbeddingEncoder`` and ``MultiCategoricalEmbeddingEncoder`` (``mode="mean"``), all without
            ``post_module``, and without ``na_strategy`` but for timestamps.
        frame: The rows; numbers are finite or NaN, timestamps whole or all -1, lists without -1.

    Returns:
        ``[rows, out_channels]``.
    """
    first = network.backbone[0]
    encoders: Mapping[str, Any] = network.encoder.encoder_dict
    linear, shortcut = first.lin1, first.shortcut
    channels = linear.out_features
    # the two linear maps that read the column embeddings, side by side: [2 channels, columns, channels]
    if shortcut is None:  # a single column passes as it is
        identity = torch.eye(channels, dtype=linear.weight.dtype, device=linear.weight.device)
        weight, both = torch.cat([linear.weight, identity]), F.pad(linear.bias, (0, channels))
    else:
        weight, both = torch.cat([linear.weight, shortcut.weight]), torch.cat([linear.bias, shortcut.bias])
    weight = weight.view(2 * channels, -1, channels)
    start = 0
    for kind in frame.stypes:
        width = len(frame.col_names_dict[kind])
        part = weight[:, start : start + width]
        both = both + _TERMS[kind](encoders[kind.value], frame.feat_dict[kind], part)
        start += width
    h = _block(first, both[:, :channels], both[:, channels:])
    for block in network.backbone[1:]:
        h = _block(block, block.lin1(h), h)
    out: Tensor = network.decoder(h)
    return out


def sum_columns(encoder: Any, frame: TensorFrame, channels: int) -> Tensor:
    """The sum of the column embeddings of every row, by the same terms.

    Args:
        encoder: A ``torch_frame.nn.StypeWiseFeatureEncoder`` of the encoders that :func:`run_resnet` takes.
        frame: The rows, as there.
        channels: Width of a column embedding.

    Returns:
        ``[rows, out_channels]``.
    """
    parameter = next(encoder.parameters())
    identity = torch.eye(channels, dtype=parameter.dtype, device=parameter.device).unsqueeze(1)
    out: Tensor = parameter.new_zeros(frame.num_rows, channels)
    for kind in frame.stypes:
        weight = identity.expand(-1, len(frame.col_names_dict[kind]), -1)
        out = out + _TERMS[kind](encoder.encoder_dict[kind.value], frame.feat_dict[kind], weight)
    return out


def _block(block: Any, h: Tensor, passed: Tensor) -> Tensor:
    """A residual block from the output of its first linear layer, and what passes it by."""
    p, training = block.dropout.p, block.dropout.training
    h = dropout(torch.relu(block.norm1(h)), p, training)
    h = dropout(torch.relu(block.norm2(block.lin2(h))), p, training)
    return h + passed


def _numbers(encoder: Any, value: Tensor, weight: Tensor) -> Tensor:
    given = ~value.isnan()
    z = torch.where(given, (value - encoder.mean) / encoder.std, 0.0)
    slope = torch.einsum("ocd,cd->co", weight, encoder.weight)
    offset = torch.einsum("ocd,cd->co", weight, encoder.bias)
    return z @ slope + given.to(z.dtype) @ offset


def _categories(encoder: Any, value: Tensor, weight: Tensor) -> Tensor:
    out = weight.new_zeros(value.size(0), weight.size(0))
    starts = [*encoder.offset.tolist(), encoder.emb.num_embeddings - 1]
    for column, (first, last) in enumerate(pairwise(starts)):
        code = value[:, column] + 1  # 0 is NULL and has a zero vector
        if last - first < value.size(0):
            table = F.pad(encoder.emb.weight[first + 1 : last + 1] @ weight[:, column].t(), (0, 0, 1, 0))
            out = out + F.embedding(code, table)
        else:
            row = torch.where(code > 0, code + first, 0)
            out = out + encoder.emb(row) @ weight[:, column].t()
    return out


def _timestamps(encoder: Any, value: Tensor, weight: Tensor) -> Tensor:
    value = encoder.na_forward(value).to(encoder.weight.dtype)
    year = encoder.positional_encoding(value[..., :1] - encoder.min_year.view(1, -1, 1))
    rest = encoder.cyclic_encoding(value[..., 1:] / encoder.max_values.view(1, 1, -1))
    waves = torch.cat([year, rest], dim=2).flatten(1)  # [rows, columns * 7 * size]
    matrix = torch.einsum("ocd,cfsd->cfso", weight, encoder.weight).flatten(0, 2)
    return waves @ matrix + torch.einsum("ocd,cd->o", weight, encoder.bias)


def _embeddings(encoder: Any, value: Any, weight: Tensor) -> Tensor:
    out = weight.new_zeros(value.num_rows, weight.size(0))
    parts = value.values.split([matrix.size(0) for matrix in encoder.weight_list], dim=1)
    for column, (matrix, part) in enumerate(zip(encoder.weight_list, parts, strict=True)):
        head = weight[:, column].t()  # [channels, 2 channels]
        given = ~part.isnan().any(dim=1, keepdim=True)
        z = torch.where(given, part, 0.0)
        # whichever product is smaller comes first
        out = out + (z @ (matrix @ head) if matrix.size(0) <= head.size(1) else (z @ matrix) @ head)
        out = out + given.to(z.dtype) * (encoder.biases[column] @ head)
    return out


def _lists(encoder: Any, value: Any, weight: Tensor) -> Tensor:
    out = weight.new_zeros(value.num_rows, weight.size(0))
    for column, bag in enumerate(encoder.embs):
        cells, head = value[:, column], weight[:, column].t()
        codes, starts = cells.values + 1, cells.offset[:-1]  # 0 is for NULL, which is an empty list here
        if bag.num_embeddings < codes.numel():
            out = out + F.embedding_bag(codes, bag.weight @ head, starts, mode="mean")
        else:
            out = out + F.embedding_bag(codes, bag.weight, starts, mode="mean") @ head
    return out


_TERMS = {
    stype.numerical: _numbers,
    stype.categorical: _categories,
    stype.multicategorical: _lists,
    stype.timestamp: _timestamps,
    stype.embedding: _embeddings,
}
