"""What text holds: numbers, times, lists, codes or words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from relgraph.data import reading
from relgraph.data.schema import ColumnSchema
from relgraph.data.sql import literal, quote
from relgraph.data.type_profile import Parts, Profile, Questions

__all__ = ["text_profile"]

_LONG = 200  # characters on average, above which text is prose
_LIST_SHARE = 0.1  # of the rows hold a separator where text is a list


def text_profile(questions: Questions, column: ColumnSchema, common: Profile, given: bool) -> Profile:
    """The profile of a text or JSON column.

    Args:
        questions: With the answers of the first pass.
        column: The column.
        common: What is known of any column.
        given: Whether its type is given: then lists are looked for in any case.
    """
    if not common.rows:
        return common
    profile = replace(common, length=questions.get(column.name, "length") / common.rows)
    found = _measure(questions, column, profile)
    filled, rows = found.get("filled", 0), common.rows
    form = next((one for one in ("date", *reading.NUMBER_FORMS) if found.get(one) == filled > 0), None)
    profile = replace(
        profile,
        distinct=found.get("distinct", profile.distinct),
        whole=form not in (None, "date") and found[f"{form}, broken"] == 0,
        form=form,
        code_like=found.get("zeros", 0) > 0 or found.get("narrowest", 0) == found.get("widest", 0) >= 7,
        codes=found.get("codes", 0) / rows,
        identifying=found.get("identifying", 0) / rows,
        json=next((kind for kind in ("list", "object") if found.get(kind) == filled > 0), None),
        vectors=found.get("vectors", 0),
        shortest=found.get("shortest", 0),
        longest=found.get("longest", 0),
    )
    return replace(profile, parts=_find_parts(questions, column, profile, given, found))


def _measure(questions: Questions, column: ColumnSchema, profile: Profile) -> dict[str, Any]:
    """Ask what the least and the greatest text do not rule out: what all texts are, these two are."""
    name, text = column.name, f"CAST({quote(column.name)} AS VARCHAR)"
    ends = [str(questions.get(name, end, "")) for end in ("low", "high")]
    holds: dict[str, str] = {}  # how many rows fulfil this
    terms: dict[str, str] = {}
    for form, pattern in reading.NUMBER_FORMS.items():
        if _hold(ends, _is_number if pattern is None else re.compile(pattern).fullmatch):
            number = reading.finite(reading.number_sql(name, column.dtype, form))
            holds |= {form: f"{number} IS NOT NULL", f"{form}, broken": f"{number} <> trunc({number})"}
    clean = reading.trimmed(text)
    if _hold(ends, lambda end: end[0].isdigit() or end[0] in "+-"):
        holds["date"] = f"{reading.stamp_sql(name, column.dtype)} IS NOT NULL"
        holds["zeros"] = f"regexp_matches({clean}, '^[-+]?0[0-9]')"
        terms["narrowest"] = f"min(length({clean})) FILTER ({reading.filled(text)})"
        terms["widest"] = f"max(length({clean})) FILTER ({reading.filled(text)})"
    for kind, (first, last) in _BRACKETS.items():
        if _hold(ends, lambda end, first=first, last=last: end[0] == first and end[-1] == last):  # type: ignore[misc]
            holds[kind] = f"starts_with({clean}, {literal(first)}) AND ends_with({clean}, {literal(last)})"
    if "list" in holds:
        length = f"len({reading.vector_sql(name, column.dtype)})"
        holds["vectors"] = f"{length} IS NOT NULL"
        terms |= {"shortest": f"min({length})", "longest": f"max({length})"}
    if holds:
        holds["filled"] = reading.filled(text)
    if profile.length <= _LONG:
        identifying = holds["identifying"] = reading.matches(text, reading.IDENTIFYING)
        holds["codes"] = f"CASE WHEN {identifying} THEN TRUE ELSE {reading.matches(text, reading.CODES)} END"
        holds |= {f"has {mark}": f"contains({text}, {literal(mark)})" for mark in reading.SEPARATORS}
    return questions.over_values(column, profile.distinct, holds, terms)


_BRACKETS = {"list": ("[", "]"), "object": ("{", "}"), "tags": ("<", ">")}


def _find_parts(
    questions: Questions, column: ColumnSchema, profile: Profile, given: bool, found: dict[str, Any]
) -> Parts | None:
    """The parts of text by the first separator that makes a list of it; where the type is given, by the commonest."""
    if profile.json == "list":
        numbers = profile.vectors == profile.rows and profile.shortest == profile.longest
        return None if numbers and not given else questions.parts(column, None)
    rows = {mark: found.get(f"has {mark}", 0) for mark in reading.SEPARATORS}
    if found.get("tags") == found.get("filled", 0) > 0:
        rows = {"><": profile.rows}
    else:
        del rows["><"]
    if given:
        return questions.parts(column, max(rows, key=lambda mark: rows[mark]))
    if profile.form is not None or profile.json or profile.constant:
        return None
    for mark, holding in rows.items():
        if holding >= max(_LIST_SHARE * profile.rows, 1):
            parts = questions.parts(column, mark)
            if _is_list(parts, profile):
                return parts
    return None


def _is_list(parts: Parts, profile: Profile) -> bool:
    """Whether parts recombine: each occurs twice on average, they are short, and fewer than their combinations."""
    return parts.count >= 2 * parts.distinct and parts.length <= 30 and 4 * parts.distinct <= 3 * profile.distinct


def _hold(ends: Sequence[str], holds: Callable[[str], Any]) -> bool:
    return all(reading.is_missing(end) or holds(end.strip()) for end in ends)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
