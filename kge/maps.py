"""A map of what a scorer has learned of its entities: those that answer alike stand near each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError
from relgraph.kge.scorers.base import Scorer
from relgraph.pictures import Svg, scatter

__all__ = ["entity_map"]

Method = Literal["tsne", "pca"]
_FEWEST = 8  # below that a map of neighbourhoods says nothing


@torch.no_grad()
def entity_map(
    scorer: Scorer,
    vocabulary: Vocabulary,
    statements: Statements | None = None,
    *,
    entities: Sequence[str] | None = None,
    most: int = 300,
    method: Method = "tsne",
    seed: int = 0,
) -> Svg:
    """A picture of entities in two dimensions, by their vectors as answers.

    Distances between far groups mean little in t-SNE; neighbourhoods do. Principal components keep directions instead.

    Args:
        scorer: A trained one.
        vocabulary: Its names.
        statements: Where given, entities are those that stand in most of them, and the group of one is the relation
            that it answers most often (with a ``⁻`` if it is always the head).
        entities: Labels of those to draw instead.
        most: How many are drawn where no labels are given.
        method: ``"tsne"`` (van der Maaten and Hinton 2008, by scikit-learn), or ``"pca"``.
        seed: Of t-SNE, and of the choice where there are neither statements nor labels.

    Raises:
        ProtocolError: If there is no such method, fewer than two entities are drawn, or the scorer has no vectors.
        SchemaError: If the scorer does not fit the vocabulary, or a label is unknown.
    """
    if method not in get_args(Method):
        raise ProtocolError(f"method: expected one of {', '.join(map(repr, get_args(Method)))}, got {method!r}")
    scorer.require_vocabulary(vocabulary)
    index = _chosen(scorer.num_entities, vocabulary, statements, entities, most, seed)
    if index.numel() < 2:
        raise ProtocolError(f"a map needs two entities or more, got {index.numel()}")
    training = scorer.training
    scorer.eval()
    try:
        device = next((x.device for x in scorer.parameters()), torch.device("cpu"))
        vectors = scorer.candidates_at(index.to(device))[0].float().cpu().numpy()
    finally:
        scorer.train(training)
    places = [(float(x), float(y)) for x, y in _flat(vectors, method, seed)]
    labels = [vocabulary.entities[i] for i in index.tolist()]
    groups = None if statements is None else _groups(index, statements)
    return scatter(f"{len(labels):,} of {scorer.num_entities:,} entities by {method}", places, labels, groups)


def _chosen(
    num_entities: int,
    vocabulary: Vocabulary,
    statements: Statements | None,
    entities: Sequence[str] | None,
    most: int,
    seed: int,
) -> Tensor:
    if entities is not None:
        return torch.tensor([vocabulary.entity(label) for label in dict.fromkeys(entities)], dtype=torch.int64)
    if statements is None:
        return torch.randperm(num_entities, generator=torch.Generator().manual_seed(seed))[:most]
    count = torch.bincount(torch.cat([statements.head, statements.tail]), minlength=num_entities)
    first = count.argsort(descending=True, stable=True)[:most]
    return first[count[first] > 0]


def _flat(vectors: np.ndarray, method: Method, seed: int) -> np.ndarray:
    """Places in the plane, ``[n, 2]``."""
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    if method == "tsne" and len(vectors) >= _FEWEST:
        from sklearn.manifold import TSNE

        perplexity = min(30.0, (len(vectors) - 1) / 3)
        return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(centred))
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(vectors), 2))
    known = min(2, len(size))
    places[:, :known] = left[:, :known] * size[:known]
    return places


def _groups(index: Tensor, statements: Statements) -> list[str]:
    """The relation that each entity is most often the tail of, else the head."""
    found: dict[int, str] = {}
    for side, mark in ((statements.head, "⁻"), (statements.tail, "")):
        here = torch.isin(side, index)
        pair = side[here] * statements.num_relations + statements.relation[here]
        key, count = torch.unique(pair, return_counts=True)
        order = count.argsort(stable=True)  # the most frequent one is written last
        for value in key[order].tolist():
            entity, relation = divmod(value, statements.num_relations)
            found[entity] = statements.vocabulary.relations[relation] + mark
    return [found.get(entity, "in no statement") for entity in index.tolist()]
