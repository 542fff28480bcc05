"""A trained link predictor with its names and the statements it was trained and is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

from relgraph.data.statements import Qualifiers, Statements, Vocabulary
from relgraph.errors import ProtocolError, SchemaError
from relgraph.kge.evaluation import evaluate
from relgraph.kge.prediction import Prediction, predict
from relgraph.kge.scorers import SCORERS, Scorer
from relgraph.kge.storage import load_scorer, save_scorer
from relgraph.pictures import escape
from relgraph.runs.folder import STATEMENTS, RunFolder, write_run
from relgraph.training.history import History

if TYPE_CHECKING:
    from relgraph.kge.incomplete import QualifierWords
    from relgraph.kge.metrics import Metrics
    from relgraph.kge.protocol import ProtocolOptions

__all__ = ["LinkRun"]


class LinkRun:
    """A trained link predictor: what :func:`relgraph.load` gives of a run on statements.

    Args:
        scorer: What was trained.
        vocabulary: What its numbers mean.
        statements: By the name of their part: ``"train"``, ``"valid"``, ``"test"``; all over the vocabulary.
        history: What the training did.
        meta: Whatever else is kept with it, JSON values; ``"source"`` names the data.
        source: The folder it was read from.

    Raises:
        SchemaError: If the scorer or a part does not fit the vocabulary.
    """

    kind: Literal["links"] = "links"

    def __init__(
        self,
        scorer: Scorer,
        vocabulary: Vocabulary,
        statements: Mapping[str, Statements] | None = None,
        history: History | None = None,
        meta: Mapping[str, Any] | None = None,
        source: Path | None = None,
    ) -> None:
        scorer.require_vocabulary(vocabulary)
        for name, part in (statements or {}).items():
            if part.vocabulary != vocabulary:
                raise SchemaError(f"the statements of {name!r} are not over the vocabulary of the scorer")
        self.scorer, self.vocabulary = scorer, vocabulary
        self.statements = dict(statements or {})
        self.history = History() if history is None else history
        self.meta, self.source = dict(meta or {}), source

    @classmethod
    def read(cls, folder: RunFolder) -> Self:
        """The run of a folder that was read."""
        scorer, vocabulary, _ = load_scorer(folder.path / "model")
        parts = {}
        for name in folder.meta["splits"]:
            columns = {column: folder.tensors.get(f"{name}.{column}") for column in STATEMENTS}
            qualifiers = None
            if f"{name}.qualifiers.ptr" in folder.tensors:
                pairs = (folder.tensors[f"{name}.qualifiers.{column}"] for column in ("ptr", "relation", "entity"))
                qualifiers = Qualifiers(*pairs)
            parts[name] = Statements(vocabulary=vocabulary, qualifiers=qualifiers, **columns)  # type: ignore[arg-type]
        return cls(scorer, vocabulary, parts, History(**folder.meta.get("history", {})), folder.meta, folder.path)

    @classmethod
    def of_scorer(cls, path: Path) -> Self:
        """A scorer that was saved alone; it has no statements."""
        scorer, vocabulary, meta = load_scorer(path)
        return cls(scorer, vocabulary, meta=meta, source=path)

    def save(self, path: str | Path) -> Path:
        """Write everything to a folder, which :func:`relgraph.load` and the shell take.

        Raises:
            AdapterError: If it cannot be written.
        """
        folder = Path(path)
        save_scorer(self.scorer, self.vocabulary, folder / "model")
        meta = {**self.meta, **self.describe(), "history": asdict(self.history)}
        write_run(folder, "links", meta, self.statements)
        return folder

    @property
    def name(self) -> str:
        """The scorer's name in the shell."""
        return next((n for n, kind in SCORERS.items() if kind is type(self.scorer)), type(self.scorer).__name__)

    def describe(self) -> dict[str, Any]:
        """Kind, scorer and sizes, as JSON values."""
        return {
            "kind": self.kind,
            "scorer": self.name,
            "statements": {name: len(part) for name, part in self.statements.items()},
            "entities": self.scorer.num_entities,
            "relations": self.scorer.num_relations,
        }

    def part(self, split: str) -> Statements:
        """The statements of a part.

        Raises:
            ProtocolError: If the run has no such part.
        """
        if split not in self.statements:
            raise ProtocolError(f"{self._place} has no split {split!r}; it has {', '.join(self.statements) or 'none'}")
        return self.statements[split]

    @property
    def _place(self) -> str:
        return "the run" if self.source is None else str(self.source)

    def evaluate(self, split: str = "test", *, progress: bool = True, **protocol: Unpack[ProtocolOptions]) -> Metrics:
        """Filtered ranking of a part against all candidates.

        Args:
            split: Which part.
            progress: Show progress on stderr.
            **protocol: See :class:`relgraph.kge.Protocol`; all parts of the run are known and ``train`` is its own,
                unless said otherwise.

        Raises:
            ProtocolError: If the run has no such part, or the protocol is impossible for it.
        """
        ranked = self.part(split)
        known = [] if protocol.get("filter") == "none" else list(self.statements.values())
        options: dict[str, Any] = {"train": self.statements.get("train"), **protocol}
        return evaluate(self.scorer, ranked, known, progress=progress, **options)

    def predict(
        self,
        head: str | None = None,
        relation: str | None = None,
        tail: str | None = None,
        *,
        qualifiers: QualifierWords | None = None,
        k: int = 10,
        new: bool = False,
    ) -> list[Prediction]:
        """Answers to a question in words: leave out what is asked for, or ask ``None`` of a qualifier.

        Args:
            head: Label.
            relation: Label.
            tail: Label.
            qualifiers: Labels of values by labels of relations.
            k: How many answers.
            new: Leave out what the statements of the run already say.

        Raises:
            SchemaError: If a label is unknown; close ones are named.
            ProtocolError: If not exactly one part is asked for.
        """
        known = list(self.statements.values()) if new else None
        return predict(self.scorer, self.vocabulary, head, relation, tail, qualifiers=qualifiers, k=k, known=known)

    def report(self, path: str | Path, split: str = "test", **options: Any) -> Path:
        """Write a page (``.html``) or a model card (``.md``); see :func:`relgraph.runs.report.write_report`."""
        from relgraph.runs.report import write_report

        return write_report(self, path, split, **options)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(part):,}" for name, part in self.statements.items())
        return (
            f"LinkRun({type(self.scorer).__name__}: {self.scorer.num_entities:,} entities, "
            f"{self.scorer.num_relations:,} relations; statements: {parts or 'none'}; {self.history!r})"
        )

    def _repr_html_(self) -> str:
        return f"<p>{escape(repr(self))}</p>{self.history._repr_html_() if len(self.history) else ''}"
