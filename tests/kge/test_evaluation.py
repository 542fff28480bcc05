"""Ranking protocols against brute force over Python tuples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from relgraph.adapters.statement_files import read_statements
from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge import DistMult, Metrics, evaluate
from relgraph.kge.evaluation import Evaluation
from relgraph.kge.known import KnownAnswers
from relgraph.kge.questions import ask, group_answers, qualifier_sets
from relgraph.kge.ranks import mean_metric

N, MAIN, R = 6, 4, 2
VOCABULARY = Vocabulary("abcdef", "xy", MAIN)

Fact = tuple[int, int, int, tuple[tuple[int, int], ...]]

pairs = st.lists(st.tuples(st.integers(0, R - 1), st.integers(0, N - 1)), max_size=3).map(tuple)
facts = st.tuples(st.integers(0, MAIN - 1), st.integers(0, R - 1), st.integers(0, MAIN - 1), pairs)


def statements(rows: list[Fact], vocabulary: Vocabulary = VOCABULARY, qualified: bool = True) -> Statements:
    def column(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.int64)

    flat = [pair for row in rows for pair in row[3]]
    ptr = column([0, *(len(row[3]) for row in rows)]).cumsum(0)
    qualifiers = Qualifiers(ptr, column([p[0] for p in flat]), column([p[1] for p in flat])) if qualified else None
    head, relation, tail = (column([row[i] for row in rows]) for i in range(3))
    return Statements(head, relation, tail, vocabulary, qualifiers=qualifiers)


def integer_scorer(seed: int) -> DistMult:
    """Scores are small integers, so that ties are exact and many."""
    scorer = DistMult(N, R, dim=2)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in scorer.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape, generator=generator))
    return scorer


def brute_force(
    scorer: DistMult, test: list[Fact], known: list[Fact], candidates: range, filter_by: str
) -> dict[str, Any]:
    """Greater and equal per position, one comparison at a time."""
    result: dict[str, Any] = {"head": [], "tail": []}
    entity, weight = scorer.entity.weight.tolist(), scorer.relation.tolist()
    for position in ("head", "tail"):
        for h, r, t, q in test:
            given_entity, answer, row = (t, h, r + R) if position == "head" else (h, t, r)
            taken = set()
            for kh, kr, kt, kq in known:
                same = kr == r and (kt == t if position == "head" else kh == h)
                if filter_by == "strict":
                    same = same and set(kq) == set(q)
                if same and filter_by != "none":
                    taken.add(kh if position == "head" else kt)
                backwards = kr == r and (kh == t if position == "head" else kt == h)
                if backwards and filter_by == "loose-both":
                    taken.add(kt if position == "head" else kh)
            score = [sum(entity[given_entity][j] * weight[row][j] * entity[c][j] for j in range(2)) for c in range(N)]
            rivals = [c for c in candidates if c != answer and c not in taken]
            greater = sum(score[c] > score[answer] for c in rivals)
            equal = sum(score[c] == score[answer] for c in rivals)
            result[position].append((greater, equal, len(rivals) + 1))
    return result


@given(
    test=st.lists(facts, min_size=1, max_size=6),
    train=st.lists(facts, max_size=10),
    seed=st.integers(0, 1000),
    filter_by=st.sampled_from(["strict", "loose", "loose-both", "none"]),
    candidates=st.sampled_from(["main", "all"]),
    batch_size=st.integers(1, 4),
)
def test_equals_brute_force(
    test: list[Fact], train: list[Fact], seed: int, filter_by: Any, candidates: Any, batch_size: int
) -> None:
    scorer = integer_scorer(seed)
    expected = brute_force(scorer, test, train + test, range(MAIN if candidates == "main" else N), filter_by)
    questions = statements(test)
    got = evaluate(
        scorer,
        questions,
        [statements(train), questions],
        candidates=candidates,
        filter=filter_by,
        batch_size=batch_size,
        progress=False,
    )
    ranks: dict[str, list[float]] = {"optimistic": [], "pessimistic": [], "realistic": []}
    for position in ("head", "tail"):
        counts = got.ranks[position]
        found = zip(counts.greater.tolist(), counts.equal.tolist(), counts.candidates.tolist(), strict=True)
        assert list(found) == expected[position]
        for greater, equal, _ in expected[position]:
            ranks["optimistic"].append(1 + greater)
            ranks["pessimistic"].append(1 + greater + equal)
            ranks["realistic"].append(1 + greater + equal / 2)
    for ties, values in ranks.items():
        prefix = "" if ties == "realistic" else f"{ties}."
        assert got[f"{prefix}mrr"] == pytest.approx(sum(1 / x for x in values) / len(values), abs=1e-12)
        assert got[f"{prefix}mr"] == pytest.approx(sum(values) / len(values), abs=1e-12)
        assert got[f"{prefix}hits@1"] == pytest.approx(sum(x <= 1 for x in values) / len(values), abs=1e-12)
        assert got[f"{prefix}hits@3"] == pytest.approx(sum(x <= 3 for x in values) / len(values), abs=1e-12)


@given(rows=st.lists(pairs, min_size=1, max_size=12))
def test_qualifier_sets_are_equal_exactly_where_the_sets_are(rows: list[tuple[tuple[int, int], ...]]) -> None:
    qualifiers = statements([(0, 0, 0, row) for row in rows]).qualifiers
    assert qualifiers is not None
    number = qualifier_sets(qualifiers).tolist()
    for i, one in enumerate(rows):
        assert (number[i] == 0) == (not one)
        for j, other in enumerate(rows):
            assert (number[i] == number[j]) == (set(one) == set(other))


def test_group_answers_sorts_and_makes_distinct() -> None:
    ptr, index = group_answers(torch.tensor([2, 0, 2, 2, 0]), torch.tensor([5, 9, 1, 5, 3]), 4)
    assert ptr.tolist() == [0, 2, 2, 4, 4]
    assert index.tolist() == [3, 9, 1, 5]


def test_known_answers_by_hand() -> None:
    plain, dated = (0, 0, 1, ()), (0, 0, 2, ((1, 5),))
    known = statements([plain, dated])
    loose = KnownAnswers([known], ask(known, "tail")[0], "tail", strict=False).rows(slice(None))
    assert (loose[0].tolist(), loose[1].tolist()) == ([0, 2, 4], [1, 2, 1, 2])
    strict = KnownAnswers([known], ask(known, "tail")[0], "tail", strict=True).rows(slice(None))
    assert (strict[0].tolist(), strict[1].tolist()) == ([0, 1, 2], [1, 2])


def test_auto_filter_is_strict_only_with_qualifiers() -> None:
    scorer = integer_scorer(0)
    qualified, plain = statements([(0, 0, 1, ((0, 4),))]), statements([(0, 0, 1, ())])
    bare = statements([(0, 0, 1, ())], qualified=False)
    assert evaluate(scorer, qualified, [bare], progress=False).protocol["filter"] == "strict"
    assert evaluate(scorer, bare, [qualified], progress=False).protocol["filter"] == "strict"
    assert evaluate(scorer, plain, [bare], progress=False).protocol["filter"] == "loose"
    assert evaluate(scorer, bare, [], progress=False).protocol["filter"] == "none"


def test_protocol_and_parts_are_part_of_the_result() -> None:
    test = statements([(0, 0, 1, ()), (1, 1, 2, ())])
    got = evaluate(integer_scorer(3), test, [test, test], positions=["tail"], progress=False)
    assert isinstance(got, Metrics)
    assert got.protocol == {
        "filter": "loose",
        "candidates": "main",
        "num_candidates": MAIN,
        "ties": "realistic",
        "positions": ["tail"],
        "unseen": "keep",
        "num_statements": 2,
        "num_known": [2, 2],
    }
    assert got["tail.mrr"] == got["mrr"]
    assert "head.mrr" not in got
    assert len(dict(got)) == len(got) == 7 * 4
    assert "mrr" in repr(got)
    assert "filter loose" in repr(got)


def test_metrics_by_hand() -> None:
    ranks, candidates = torch.tensor([1.5, 1.0, 10.0, 10.5]), torch.tensor([3, 1, 19, 21])
    names = ("mr", "mrr", "hits@1", "hits@3", "hits@10", "amr", "amri")
    assert [mean_metric(name, ranks, candidates) for name in names] == pytest.approx(
        [5.75, (2 / 3 + 1 + 0.1 + 2 / 21) / 4, 0.25, 0.5, 0.75, 23 / (2 + 1 + 10 + 11), 1 - 19 / (1 + 0 + 9 + 10)]
    )
    assert mean_metric("amri", torch.ones(2), torch.ones(2, dtype=torch.int64)) == 0


def test_candidates_as_a_tensor() -> None:
    test = statements([(0, 0, 1, ())])
    zero = integer_scorer(0)
    with torch.no_grad():
        zero.entity.weight.zero_()
    got = evaluate(zero, test, [], candidates=torch.tensor([5, 1, 0]), progress=False)
    assert got.ranks["tail"].equal.tolist() == [2]
    with pytest.raises(
        ProtocolError, match=r"expected every answer among them, but 1 of 1 at position 'head' are not, such as 'a'"
    ):
        evaluate(zero, test, [], candidates=torch.tensor([5, 1]), progress=False)


def test_mode_of_the_scorer_is_kept() -> None:
    test = statements([(0, 0, 1, ())])
    for training in (True, False):
        scorer = DistMult(N, R, dim=2, dropout=0.9).train(training)
        first = evaluate(scorer, test, [], progress=False)
        assert scorer.training is training
        assert dict(evaluate(scorer, test, [], progress=False)) == dict(first)


def test_bad_input() -> None:
    scorer, test = integer_scorer(0), statements([(0, 0, 1, ())])
    with pytest.raises(ProtocolError, match="expected statements to rank, got none"):
        evaluate(scorer, statements([]), [test])
    with pytest.raises(ProtocolError, match="positions: expected"):
        evaluate(scorer, test, [], positions=[])
    with pytest.raises(ProtocolError, match="positions: expected"):
        evaluate(scorer, test, [], positions=["head", "head"])
    with pytest.raises(ProtocolError, match="batch_size: expected"):
        evaluate(scorer, test, [], batch_size=0)
    with pytest.raises(ProtocolError, match="candidates: expected 'main'"):
        evaluate(scorer, test, [], candidates="every")  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="filter: expected"):
        evaluate(scorer, test, [], filter="raw")  # type: ignore[arg-type]
    with pytest.raises(SchemaError, match="known: expected one shared vocabulary"):
        evaluate(scorer, test, [statements([(0, 0, 1, ())], Vocabulary("fedcba", "xy", MAIN))])
    with pytest.raises(SchemaError, match="was built for 6 entities and 3 relations"):
        evaluate(DistMult(N, 3), test, [])
    with pytest.raises(ProtocolError, match=r"known: expected a list of statements, .*got Statements; write \["):
        evaluate(scorer, test, known=test)  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match=r"known: expected a list of statements, .*got a list with a str in it"):
        evaluate(scorer, test, known=["train"])  # type: ignore[list-item]
    with torch.no_grad():
        scorer.entity.weight[2, 0] = torch.nan
    with pytest.raises(ProtocolError, match="got NaN"):
        evaluate(scorer, test, [], progress=False)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "expected"),
    [("wd50k", (122.5, 128.9, 129.1)), ("wd50k_100", (3.8, 50.4, 50.7)), ("jf17k", (43.8, 85.9, 85.9))],
)
def test_filters_remove_as_many_as_published(data_dir: Path, name: str, expected: tuple[float, float, float]) -> None:
    """Strict and loose-both are the published numbers; loose itself is what the published loose filter should be."""
    parts = read_statements(data_dir / "kg" / name)
    assert isinstance(parts, tuple)
    test = parts[-1]
    for filter_by, number in zip(("strict", "loose", "loose-both"), expected, strict=True):
        run = Evaluation(test, parts, filter=filter_by, candidates="all")
        left = [int((test.num_entities + 1 - run.asked[p].left).sum()) for p in ("head", "tail")]
        own = 2 * len(test)
        assert (sum(left) - own) / own == pytest.approx(number, abs=0.05)
