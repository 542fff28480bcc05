"""What the names of tables and columns say: their words, singular forms, and which words mark a key."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

__all__ = [
    "KEY_WORDS",
    "Reading",
    "abbreviates",
    "bag",
    "forms",
    "is_measure",
    "is_natural",
    "prefix_of",
    "read_column",
    "role_first",
    "shared_words",
    "words",
]


def bag(text: str) -> frozenset[str]:
    """The words of a text, separated by spaces."""
    return frozenset(text.split())


KEY_WORDS = bag(
    "id ids key keys pk fk sk code codes cd cod codigo no nr nbr num number nummer numero uid uuid guid oid "
    "ref reference identifier ident idx index rowid"
)
"""Words that say nothing but that a column identifies something."""

_BEFORE = bag("fk pk sk id ids ref idx key cod codigo cd")
_BY = bag("via by")
_GLUED = ("identifier", "number", "nummer", "uuid", "guid", "code", "key", "nbr", "num", "id", "no", "nr", "cd", "fk")
_WHOLE = bag(
    "paid unpaid prepaid valid invalid grid solid bid raid liquid fluid hybrid rapid acid void avoid aid kid "
    "period pyramid piano casino volcano techno monkey turkey hockey jockey platinum unicode"
)
_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "mice": "mouse",
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "indices": "index",
    "matrices": "matrix",
    "vertices": "vertex",
    "criteria": "criterion",
    "media": "medium",
    "data": "datum",
    "staffs": "staff",
}
_MEASURES = bag(
    "count counts total totals amount amt price cost qty quantity rate rating ratings score scores age year "
    "years month months day days week hour minute size length width height weight depth percent percentage "
    "share ratio date time timestamp datetime lat latitude lon lng longitude level rank ranking priority "
    "position order ordering sort sequence seq points salary balance value values min max mean avg average sum "
    "flag status type kind name title description comment note text url email phone address gender sex "
    "duration"
)
_NATURAL = bag(
    "code symbol isbn issn sku ean upc email username login handle slug ticker iata icao iso iso2 iso3 abbr "
    "abbreviation barcode vin ssn domain"
)


@dataclass(frozen=True)
class Reading:
    """One way to understand a column's name.

    Args:
        core: Its words without those that only mark a key; empty for ``id``.
        marked: Whether such a word stood there.
    """

    core: tuple[str, ...]
    marked: bool


@lru_cache(maxsize=65536)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in camelCase, snake_case or with spaces, casefolded.

    Example:
        >>> words("homeTeam_APIId2")
        ('home', 'team', 'api', 'id', '2')
    """
    found, word = [], ""
    for i, character in enumerate(name):
        before, after = name[i - 1 : i], name[i + 1 : i + 2]
        starts = (
            (character.isupper() and (before.islower() or (before.isupper() and after.islower())))
            or (character.isdigit() != before.isdigit())
            or not character.isalnum()
        )
        if starts and word:
            found.append(word)
            word = ""
        if character.isalnum():
            word += character
    return tuple(part.casefold() for part in (*found, word) if part)


@lru_cache(maxsize=65536)
def _singulars(word: str) -> tuple[str, ...]:
    """The word and what it may be the plural of."""
    out = [word]
    if word in _IRREGULAR:
        out.append(_IRREGULAR[word])
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        out.append(word[:-1])
        if word.endswith("ies"):
            out.append(word[:-3] + "y")
        elif word.endswith("yses"):
            out.append(word[:-2] + "is")
        elif word.endswith("ves"):
            out += [word[:-3] + "f", word[:-3] + "fe"]
        elif word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
            out.append(word[:-2])
    return tuple(out)


@lru_cache(maxsize=65536)
def forms(parts: tuple[str, ...]) -> frozenset[str]:
    """Words joined, each as it stands or as a singular: two names mean the same if these sets meet.

    Example:
        >>> bool(forms(("product", "categories")) & forms(("productcategory",)))
        True
    """
    if len(parts) > 4:  # the last word is the one that is a plural
        return frozenset("".join((*parts[:-1], last)) for last in _singulars(parts[-1]))
    return frozenset("".join(choice) for choice in product(*map(_singulars, parts)))


@lru_cache(maxsize=65536)
def read_column(name: str, prefix: str = "") -> tuple[Reading, ...]:
    """The ways to read a column's name, the plainest first.

    Args:
        name: The column.
        prefix: A word in front of every column of its table, which may be left out.
    """
    parts = role_first(words(name))
    variants = [parts]
    if prefix and len(parts) > 1 and parts[0] == prefix:
        variants.append(parts[1:])
    readings: dict[Reading, None] = {}
    for variant in variants:
        readings[_reading(variant)] = None
        for last in _unglued(variant[-1]) if variant else ():
            readings[_reading((*variant[:-1], *last))] = None
    return tuple(readings)


def role_first(parts: tuple[str, ...]) -> tuple[str, ...]:
    """A role behind the key goes in front of it.

    Example:
        >>> role_first(("node", "id", "start")), role_first(("order", "id", "count")), role_first(("sk", "id", "curr"))
        (('start', 'node', 'id'), ('order', 'id', 'count'), ('sk', 'id', 'curr'))
    """
    behind = len(parts) > 2 and parts[-2] in KEY_WORDS and not parts[-1].isdigit()
    moves = behind and parts[-1] not in KEY_WORDS | _MEASURES | _BY and not KEY_WORDS.issuperset(parts[:-2])
    return (parts[-1], *parts[:-1]) if moves else parts


def _reading(parts: tuple[str, ...]) -> Reading:
    if len(parts) > 1 and parts[1] == "of":  # number_of_orders counts
        return Reading(parts, False)
    core, marked = list(parts), False
    while core and core[-1].isdigit() and len(core) > 1:
        core.pop()
    while core and (core[-1] in KEY_WORDS or (core[-1] in _BY and len(core) > 1)):
        core.pop()
        marked = True
    while marked and len(core) > 1 and core[-1].isdigit():  # player_1_id
        core.pop()
    while len(core) > 1 and core[0] in _BEFORE:
        core.pop(0)
        marked = True
    if core == ["row"] and marked:
        core = []
    return Reading(tuple(core), marked)


def _unglued(word: str) -> list[tuple[str, str]]:
    if word in _WHOLE or word in KEY_WORDS:
        return []
    return [(word[: -len(end)], end) for end in _GLUED if word.endswith(end) and len(word) >= len(end) + 2][:1]


def prefix_of(columns: Iterable[str]) -> str:
    """A word that stands in front of every column of a table, as in ``o_orderkey``, ``o_custkey``; else empty."""
    split = [words(name) for name in columns]
    first = {parts[0] for parts in split if parts}
    whole = len(split) >= 3 and len(first) == 1 and all(len(parts) > 1 for parts in split)
    return first.pop() if whole else ""


def shared_words(names: Sequence[str]) -> frozenset[str]:
    """Words that stand in most of the names, such as ``olist`` and ``dataset``: they tell no table from another."""
    counts = Counter(word for name in names for word in set(words(name)))
    return frozenset(word for word, count in counts.items() if len(names) >= 4 and count >= 0.7 * len(names))


def is_measure(core: Sequence[str]) -> bool:
    """Whether a column of this name holds an amount, a time or a description, unless a word marks it as a key."""
    return not core or core[-1] in _MEASURES


def is_natural(name: str) -> bool:
    """Whether a column of this name holds codes that identify things without being numbered: ``isbn``, ``login``."""
    return words(name)[-1:] != () and words(name)[-1] in _NATURAL


def abbreviates(short: str, word: str) -> bool:
    """Whether ``short`` can stand for ``word``, as ``cust`` and ``cstmr`` for ``customer``."""
    if len(short) < 3 or len(short) >= len(word) or short[0] != word[0]:
        return False
    if word.startswith(short):
        return True
    rest = iter(word)
    return len(short) * 2 <= len(word) + 1 and all(character in rest for character in short)
