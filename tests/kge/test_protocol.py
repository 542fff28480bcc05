"""What a protocol changes, what it refuses, and the parts that a result can be asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from relgraph.data.statements import Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge import DistMult, Protocol, ScoreBlocks, evaluate
from relgraph.kge.groups import relation_categories
from relgraph.kge.questions import MISSING, Questions
from relgraph.kge.ranks import Ranks, bootstrap
from tests.kge.test_evaluation import MAIN, N, R, integer_scorer, statements


class Table(ScoreBlocks):
    """Scores by hand: the entity's own number, more where a qualifier of the question has the same parity."""

    reads_qualifiers = True

    def __init__(self) -> None:
        super().__init__(N, R)

    def scores(self, questions: Questions) -> torch.Tensor:
        score = torch.arange(float(N)).repeat(len(questions), 1)
        pairs = questions.qualifiers
        if pairs is not None:
            for row, relation, entity in zip(pairs.statement, pairs.relation, pairs.entity, strict=True):
                score[row] += 10 * (torch.arange(N) % 2 == (relation if entity == MISSING else entity) % 2)
        return score


def test_one_implementation_for_both_forms() -> None:
    test, train = statements([(0, 0, 1, ()), (2, 1, 1, ())]), statements([(0, 0, 2, ())])
    scorer = integer_scorer(1)
    short = evaluate(scorer, test, [train, test], filter="loose", candidates="all", progress=False)
    long = evaluate(scorer, test, protocol=Protocol([train, test], "loose", "all"), progress=False)
    assert dict(short) == dict(long)
    assert short.protocol == long.protocol
    with pytest.raises(ProtocolError, match="not both; got protocol and known, ties"):
        evaluate(scorer, test, [test], protocol=Protocol([test]), ties="realistic")
    with pytest.raises(ProtocolError, match=r"expected known=\[train, valid, test\]"):
        evaluate(scorer, test)
    with pytest.raises(TypeError, match="filtr"):
        evaluate(scorer, test, [test], filtr="loose")  # type: ignore[call-arg]


def test_protocol_prints_and_is_json() -> None:
    test = statements([(0, 0, 1, ())])
    protocol = Protocol([test, test], filter=None, candidates=torch.tensor([0, 1]), positions=["tail"], train=test)
    assert "known=[1, 1], filter='none', candidates='2 given', positions=['tail'], ties='realistic'" in repr(protocol)
    got = evaluate(integer_scorer(0), test, protocol=protocol, progress=False)
    assert json.loads(json.dumps(got.to_dict()))["protocol"] == got.protocol
    assert got.protocol["num_candidates"] == 2
    assert got.protocol["num_unseen"] == 0


def test_ties_choose_the_headline() -> None:
    test, scorer = statements([(0, 0, 1, ()), (1, 0, 3, ())]), integer_scorer(0)
    with torch.no_grad():
        scorer.entity.weight.zero_()  # all scores are equal
    found = {ties: evaluate(scorer, test, [], ties=ties, progress=False) for ties in ("optimistic", "pessimistic")}
    assert found["optimistic"]["mr"] == 1
    assert found["pessimistic"]["mr"] == MAIN
    assert found["optimistic"]["realistic.mr"] == found["pessimistic"]["tail.realistic.mr"] == (1 + MAIN) / 2
    assert found["optimistic"]["realistic.amri"] == 0
    assert found["optimistic"]["hits@7"] == 1
    for wrong in ("hits@0", "hits@x", "mean", "qualifier.mrr", "tail.head.mrr", "optimistic.tail.mrr"):
        with pytest.raises(KeyError):
            found["optimistic"][wrong]


def test_unseen_statements_are_kept_counted_or_dropped() -> None:
    train = statements([(0, 0, 1, ((0, 4),))])
    rows = [
        (0, 0, 1, ()),
        (0, 0, 2, ()),
        (1, 1, 0, ()),
        (1, 0, 0, ((0, 4),)),
        (1, 0, 0, ((0, 5),)),
        (1, 0, 0, ((1, 4),)),
    ]
    test, scorer = statements(rows), integer_scorer(2)  # type: ignore[arg-type]
    kept = evaluate(scorer, test, [test], train=train, progress=False)
    dropped = evaluate(scorer, test, [test], train=train, unseen="drop", progress=False)
    assert (kept.protocol["num_statements"], kept.protocol["num_unseen"]) == (6, 4)
    assert (dropped.protocol["num_statements"], dropped.protocol["num_unseen"]) == (2, 4)
    assert dropped.ranks["tail"].greater.tolist() == kept.ranks["tail"].greater[[0, 3]].tolist()
    with pytest.raises(ProtocolError, match="unseen='drop' leaves nothing"):
        evaluate(scorer, statements([(3, 0, 3, ())]), [test], train=train, unseen="drop")
    with pytest.raises(ProtocolError, match="needs train="):
        Protocol([test], unseen="drop")


def test_values_of_qualifiers_are_ranked_among_all_entities() -> None:
    # the value 5 of relation 1 is odd as its relation is; 4 is not
    test = statements([(0, 0, 1, ((1, 5), (0, 4))), (0, 0, 1, ()), (2, 1, 3, ((1, 4),))])
    known = statements([(2, 1, 3, ((1, 5),)), (2, 1, 3, ((1, 3), (0, 0)))])
    got = evaluate(Table(), test, [known, test], positions="all", filter="strict", progress=False)
    assert got.protocol["positions"] == ["head", "tail", "qualifier"]
    assert (got.protocol["num_candidates"], got.protocol["num_qualifier_candidates"]) == (MAIN, N)
    values = got.ranks["qualifier"]
    assert values.statement.tolist() == [0, 0, 2]
    # (1, ?) with 4 beside it: odd ones 10 more for their relation, even ones 10 more for the 4, so order is by number
    assert values.greater.tolist() == [0, 1, 2]
    assert values.candidates.tolist() == [N, N, N - 1]
    loose = evaluate(Table(), test, [known, test], positions=["qualifier"], filter="loose", progress=False)
    assert loose.ranks["qualifier"].greater.tolist() == [0, 1, 1]
    assert loose.ranks["qualifier"].candidates.tolist() == [N, N, N - 2]
    assert "tail.mrr" not in loose
    with pytest.raises(ProtocolError, match="sees the main triple only"):
        evaluate(integer_scorer(0), test, [test], positions="all")
    plain = statements([(0, 0, 1, ())])
    with pytest.raises(ProtocolError, match="none of the 1 statements has any"):
        evaluate(Table(), plain, [plain], positions=["qualifier"])
    assert evaluate(Table(), plain, [plain], positions="all", progress=False).protocol["positions"] == ["head", "tail"]


def test_blocks_rank_like_the_product() -> None:
    class Dense(ScoreBlocks):
        def __init__(self, scorer: DistMult) -> None:
            super().__init__(N, R)
            self.inner = scorer

        def scores(self, questions: Questions) -> torch.Tensor:
            return self.inner.encode(questions)[0] @ self.inner.candidates()[0].T

    test = statements([(h, r, t, ()) for h in range(3) for r in range(R) for t in range(2)])
    scorer = integer_scorer(5)
    assert dict(evaluate(Dense(scorer), test, [test], progress=False)) == dict(
        evaluate(scorer, test, [test], progress=False)
    )
    head, relation, tail = test.head, test.relation, test.tail
    assert torch.equal(Dense(scorer).score(head, relation, tail), scorer.score(head, relation, tail))


def test_categories_by_hand() -> None:
    rows = [(0, 0, 1, ()), (0, 0, 2, ()), (0, 0, 2, ()), (1, 0, 2, ()), (3, 0, 2, ())]
    # relation 0: heads 0, 1, 3 have 2, 1, 1 tails (4/3); tails 1, 2 have 1 and 3 heads (2): N-1
    categories = relation_categories([statements(rows)], 3)
    assert categories.tolist() == [2, 4, 4]
    one_to_many = statements([(0, 1, 1, ()), (0, 1, 2, ()), (3, 1, 0, ()), (3, 0, 2, ())])
    assert relation_categories([one_to_many], 2).tolist() == [0, 1]  # 3 tails of 2 heads are 1.5: many


def test_groups() -> None:
    rows: list[Any] = [(0, 0, 1, ()), (1, 0, 2, ((0, 4),)), (2, 1, 3, ((0, 4), (1, 5), (1, 4), (0, 1)))]
    test = statements(rows)
    got = evaluate(Table(), test, [test], positions="all", progress=False)
    by = got.by("relation")
    assert list(by) == ["x", "y"]
    assert by["x"].protocol["num_statements"] == 2
    alone = evaluate(Table(), test.select(torch.tensor([2])), [test], positions="all", progress=False)
    assert dict(by["y"]) == dict(alone)
    counts = got.by("qualifiers")
    assert list(counts) == ["0", "1", "3+"]
    assert "qualifier.mrr" not in counts["0"]
    assert counts["3+"]["qualifier.mrr"] == by["y"]["qualifier.mrr"]
    assert list(got.by("category")) == ["1-1"]
    frame = counts.to_frame()
    assert frame.loc["1", "mrr"] == counts["1"]["mrr"]
    assert frame.loc["0", "qualifier.mrr"] != frame.loc["0", "qualifier.mrr"]
    assert json.loads(json.dumps(counts.to_dict()))["3+"]["num_statements"] == 1
    assert got.to_frame().loc["hits@10", "tail"] == got["tail.hits@10"]
    assert "3+" in repr(counts)
    assert "<td" in counts._repr_html_()
    assert "filter strict" in got._repr_html_()
    with pytest.raises(ProtocolError, match="by: expected one of 'relation', 'category', 'qualifiers'"):
        got.by("head")  # type: ignore[arg-type]


def test_interval_resamples_statements() -> None:
    ranks = Ranks(*(torch.zeros(400, dtype=torch.int64),) * 2, torch.full((400,), 9), torch.arange(400) // 2)
    generator = torch.Generator().manual_seed(0)
    rank = torch.randint(1, 9, (200,), generator=generator).double().repeat_interleave(2)
    low, high = bootstrap("mr", rank, ranks, 0.95, 4000)
    # both questions of a statement have one rank, so there are 200 independent values, not 400
    half = 1.96 * rank[::2].std() / 200**0.5
    assert float(rank.mean()) - low == pytest.approx(float(half), rel=0.08)
    assert high - float(rank.mean()) == pytest.approx(float(half), rel=0.08)
    test = statements([(0, 0, 1, ()), (1, 0, 2, ()), (2, 1, 3, ())])
    got = evaluate(integer_scorer(4), test, [test], progress=False)
    for name in ("mrr", "tail.hits@1", "amri", "optimistic.amr"):
        interval = got.interval(name, resamples=200)
        assert interval.low <= got[name] <= interval.high
        assert got.interval(name, resamples=200) == interval
    with pytest.raises(ProtocolError, match="level: expected a share"):
        got.interval("mrr", level=95)
    with pytest.raises(ProtocolError, match="resamples: expected"):
        got.interval("mrr", resamples=0)


def test_impossible_protocols_say_why() -> None:
    test = statements([(0, 0, 1, ())])
    for words, options in (
        ("ties: expected 'realistic'", {"ties": "random"}),
        ("unseen: expected 'keep'", {"unseen": "ignore"}),
        ("filter='strict' needs known answers", {"filter": "strict", "known": []}),
        ("positions: expected", {"positions": "value"}),
        ("candidates: expected entity numbers in 0..5, got -1..3", {"candidates": torch.tensor([3, -1])}),
        ("hits: expected", {"hits": [0]}),
    ):
        with pytest.raises(ProtocolError, match=words):
            evaluate(integer_scorer(0), test, **{"known": [test], **options})
    other = Statements(test.head, test.relation, test.tail, Vocabulary("fedcba", "xy", MAIN))
    with pytest.raises(SchemaError, match="train: expected one shared vocabulary"):
        evaluate(integer_scorer(0), test, [test], train=other)
