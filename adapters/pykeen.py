"""PyKEEN data sets and triples factories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import AdapterError

if TYPE_CHECKING:
    from pykeen.datasets import Dataset
    from pykeen.triples import CoreTriplesFactory, TriplesFactory

__all__ = ["from_pykeen", "to_pykeen"]


def from_pykeen(source: str | Dataset | CoreTriplesFactory) -> tuple[Statements, ...]:
    """Statements of a PyKEEN data set, numbered as PyKEEN numbers them.

    Args:
        source: The name of a data set (``"nations"``; PyKEEN downloads those that it does not bundle), a data set, or
            a triples factory.

    Returns:
        ``(train, valid, test)`` over one vocabulary, ``(train, test)`` of a data set without validation triples, and
        ``(statements,)`` of a factory. Inverse triples are not among them; relations are those without inverses. A
        factory without labels gets the numbers as labels.

    Raises:
        AdapterError: If PyKEEN is not installed, has no such data set, or the parts number their entities differently.
    """
    pykeen = _require_pykeen()
    if isinstance(source, str):
        source = _by_name(source)
    if isinstance(source, pykeen.triples.CoreTriplesFactory):
        factories = [source]
    elif isinstance(source, pykeen.datasets.Dataset):
        parts = (source.training, source.validation, source.testing)
        factories = [part for part in parts if part is not None]
    else:
        raise AdapterError(
            "expected the name of a PyKEEN data set, a pykeen.datasets.Dataset or a pykeen.triples factory, "
            f"got {type(source).__name__}"
        )
    vocabulary = _vocabulary(factories[0])
    if any(_vocabulary(factory) != vocabulary for factory in factories[1:]):
        raise AdapterError(
            f"{source!r}: its parts number their entities or relations differently (an inductive data set?); read "
            "them one factory at a time"
        )
    return tuple(_statements(factory, vocabulary) for factory in factories)


def to_pykeen(statements: Statements, *, drop_qualifiers: bool = False, **options: Any) -> TriplesFactory:
    """A PyKEEN triples factory with the same numbers and labels.

    Args:
        statements: What to hand over; times are left out.
        drop_qualifiers: Whether to leave out qualifiers, which PyKEEN's triples cannot hold.
        options: Passed on to ``TriplesFactory``, such as ``create_inverse_triples=True``.

    Raises:
        AdapterError: If PyKEEN is not installed, or there are qualifiers and ``drop_qualifiers`` is not set.
    """
    pykeen = _require_pykeen()
    if statements.qualifiers is not None and statements.qualifiers.num_pairs and not drop_qualifiers:
        raise AdapterError(
            f"expected triples, got statements with {statements.qualifiers.num_pairs:,} qualifiers, which PyKEEN "
            "cannot hold; pass drop_qualifiers=True to keep the main triples only"
        )
    return pykeen.triples.TriplesFactory(
        mapped_triples=torch.stack([statements.head, statements.relation, statements.tail], 1),
        entity_to_id={label: i for i, label in enumerate(statements.vocabulary.entities)},
        relation_to_id={label: i for i, label in enumerate(statements.vocabulary.relations)},
        **options,
    )


def _require_pykeen() -> Any:
    try:
        import pykeen
        import pykeen.datasets
        import pykeen.triples
    except ImportError as error:
        raise AdapterError(
            f"PyKEEN data needs PyKEEN, which cannot be imported ({error}): pip install 'relgraph[pykeen]'"
        ) from None
    return pykeen


def _by_name(name: str) -> Any:
    from pykeen.datasets import dataset_resolver

    try:
        dataset_resolver.lookup(name)
    except KeyError:
        known = ", ".join(sorted(dataset_resolver.options))
        raise AdapterError(f"PyKEEN has no data set {name!r}; it has {known}") from None
    try:
        return dataset_resolver.make(name)
    except Exception as error:
        raise AdapterError(f"PyKEEN could not load its data set {name!r}: {error}") from error


def _vocabulary(factory: Any) -> Vocabulary:
    entities = _labels(getattr(factory, "entity_to_id", None), factory.num_entities)
    return Vocabulary(entities, _labels(getattr(factory, "relation_to_id", None), factory.real_num_relations))


def _labels(numbers: Mapping[str, int] | None, size: int) -> tuple[str, ...]:
    labels = [str(number) for number in range(size)]
    for label, number in (numbers or {}).items():
        if number < size:
            labels[number] = str(label)
    return tuple(labels)


def _statements(factory: Any, vocabulary: Vocabulary) -> Statements:
    head, relation, tail = factory.mapped_triples.long().T.contiguous()
    return Statements(head, relation, tail, vocabulary)
