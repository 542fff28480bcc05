"""Statement files: what is read, what is written, and what is refused with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from relgraph.adapters.statement_files import read_statements, write_statements
from relgraph.data.statements import Statements
from relgraph.errors import AdapterError

TRAIN = "paris\tcapital_of\tfrance\tsince\t987\nbonn\tcapital_of\tgermany\tuntil\t1990\tcause\tbonn\n"
TEST = "berlin\tcapital_of\tgermany\n"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read_one(path: Path, **more: str) -> Statements:
    found = read_statements(path, **more)
    assert isinstance(found, Statements)
    return found


def read_folder(path: Path) -> tuple[Statements, ...]:
    found = read_statements(path)
    assert isinstance(found, tuple)
    return found


def test_a_folder_by_hand(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", TRAIN)
    write(tmp_path / "valid.txt", "paris\tlarger_than\tbonn\n")
    write(tmp_path / "test.txt", TEST)
    write(tmp_path / "README.md", "not data")
    train, valid, test = read_folder(tmp_path)
    vocabulary = train.vocabulary
    assert vocabulary is valid.vocabulary is test.vocabulary
    assert list(vocabulary.entities) == ["paris", "france", "bonn", "germany", "berlin", "987", "1990"]
    assert vocabulary.num_main_entities == 5
    assert list(vocabulary.relations) == ["capital_of", "larger_than", "since", "until", "cause"]
    assert train.head.tolist() == [0, 2]
    assert train.relation.tolist() == [0, 0]
    assert train.tail.tolist() == [1, 3]
    assert train.qualifiers is not None
    assert train.qualifiers.ptr.tolist() == [0, 1, 3]
    assert train.qualifiers.relation.tolist() == [2, 3, 4]
    assert train.qualifiers.entity.tolist() == [5, 6, 2]
    assert valid.qualifiers is None
    assert test.labels(0) == ("berlin", "capital_of", "germany")
    assert train.labels(1) == ("bonn", "capital_of", "germany", "until", "1990", "cause", "bonn")


@pytest.mark.parametrize("valid", ["valid", "validation", "val", "dev"])
@pytest.mark.parametrize("suffix", [".txt", ".tsv", ".csv"])
def test_names_of_the_parts(tmp_path: Path, valid: str, suffix: str) -> None:
    for number, part in enumerate(("train", valid, "test")):
        write(tmp_path / f"{part}{suffix}", f"a,r,b{number}\n")
    assert [p.labels(0)[2] for p in read_folder(tmp_path)] == ["b0", "b1", "b2"]


def test_a_folder_without_valid_gives_two(tmp_path: Path) -> None:
    write(tmp_path / "train.txt", TRAIN)
    write(tmp_path / "test.txt", TEST)
    assert [len(part) for part in read_folder(tmp_path)] == [2, 1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\tr\tb", ("a", "r", "b")),
        ("a,r,b\n", ("a", "r", "b")),
        ("a\tr\tb\n\n\n", ("a", "r", "b")),
        ("a\tr\tb\r\n", ("a", "r", "b")),
        ("\ufeffa\tr\tb\n", ("a", "r", "b")),
        ("Paris, Texas\tr, s\tb, c\n", ("Paris, Texas", "r, s", "b, c")),
        ('"a, b",r,c\n', ("a, b", "r", "c")),
        ('a,"say ""r""",c\r\n', ("a", 'say "r"', "c")),
        ('5"\tr\t"b\n', ('5"', "r", '"b')),
        (" a\tr \tb\u2028c\n", (" a", "r ", "b\u2028c")),
    ],
)
def test_lines_as_they_are(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    statements = read_one(write(tmp_path / "facts", text))
    assert len(statements) == 1
    assert statements.labels(0) == expected


def test_another_delimiter(tmp_path: Path) -> None:
    statements = read_one(write(tmp_path / "facts.txt", "a b|r|c\n"), delimiter="|")
    assert statements.labels(0) == ("a b", "r", "c")


label = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=4).filter(
    lambda text: not text.startswith("\ufeff")
)
rows = st.lists(
    st.tuples(st.lists(label, min_size=3, max_size=3), st.lists(st.tuples(label, label), max_size=3)),
    min_size=1,
    max_size=8,
)


@given(rows=rows, delimiter=st.sampled_from("\t,"))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, rows: list, delimiter: str) -> None:  # type: ignore[type-arg]
    folder = tmp_path_factory.mktemp("facts")
    words = [tuple(main + [word for pair in pairs for word in pair]) for main, pairs in rows]
    lines = ["\t".join(row) for row in words]
    first = read_one(write(folder / "in.txt", "\n".join(lines)), delimiter="\t")
    assert [first.labels(i) for i in range(len(first))] == words
    second = read_one(write_statements(first, folder / "out.txt", delimiter), delimiter=delimiter)
    assert second.vocabulary == first.vocabulary
    for name in ("head", "relation", "tail"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert [second.labels(i) for i in range(len(second))] == words


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tr\tb\nc\tr\n", r"facts.txt, line 2: expected head, relation and tail between tabs, got 2 fields: 'c\\tr'"),
        ("a,r,b\nc\n", r"facts.txt, line 2: expected head, relation and tail between commas, got 1 fields"),
        ("a\tr\tb\n\nc\tr\td\n", "facts.txt, line 2: expected head, relation and tail between tabs, got 0 fields"),
        ("a\tr\tb\nc\tr\td\tq\n", r"facts.txt, line 2: the qualifier relation 'q' has no value .* got 4 fields"),
        ("a\tr\tb\nc\t\td\n", "facts.txt, line 2: field 2 of 3 is empty"),
        ("a\tr\tb\nc\tr\td\tq\t\n", "facts.txt, line 2: field 5 of 5 is empty"),
        ('a,r,b\n"c,r,d\n', "facts.txt, line 2: unexpected end of data"),
        ('a,r,b\n"c, d",r\n', "facts.txt, line 2: expected head, relation and tail"),
        (b"a\tr\tb\nc\tr\t\xff\n", "facts.txt, line 2: expected UTF-8, got the byte 0xff"),
        ("a r b\n", "facts.txt, line 1: expected head, relation and tail between tabs or commas, got 'a r b'"),
        ("", "facts.txt is empty"),
        ("\n \n", "facts.txt is empty"),
    ],
)
def test_malformed_files(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(AdapterError, match=message):
        read_statements(write(tmp_path / "facts.txt", text))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match="there is no file or folder"):
        read_statements(tmp_path / "nowhere")
    with pytest.raises(AdapterError, match=r"expected train and test .* found nothing"):
        read_statements(tmp_path)
    write(tmp_path / "train.txt", TRAIN)
    write(tmp_path / "facts.txt", TRAIN)
    with pytest.raises(AdapterError, match=r"expected train and test .* found facts.txt, train.txt"):
        read_statements(tmp_path)
    write(tmp_path / "test.txt", TEST)
    write(tmp_path / "test.csv", "a,r,b\n")
    with pytest.raises(AdapterError, match=r"holds both test.csv and test.txt"):
        read_statements(tmp_path)


def test_labels_that_cannot_be_written(tmp_path: Path) -> None:
    statements = read_one(write(tmp_path / "facts.csv", '"a\tb",r,c\n'))
    assert statements.labels(0)[0] == "a\tb"
    assert write_statements(statements, tmp_path / "sub" / "out.csv", ",").read_text() == "a\tb,r,c\n"
    with pytest.raises(AdapterError, match=r"cannot write 'a\\tb' to .*out.txt"):
        write_statements(statements, tmp_path / "out.txt")
    with pytest.raises(AdapterError, match="cannot write"):
        write_statements(statements, tmp_path, ",")


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "sizes", "entities", "relations", "qualified"),
    [
        ("fb15k-237", [272_115, 17_535, 20_466], 14_541, 237, 0),
        ("wn18rr", [86_835, 3_034, 3_134], 40_943, 11, 0),
        ("wd50k", [166_435, 23_913, 46_159], 47_155, 531, 32_167),
        ("wd50k_100", [22_738, 3_279, 5_297], None, None, 31_314),
        ("jf17k", [76_379, 24_568], 28_645, None, 46_320),
    ],
)
def test_published_data_sets(
    data_dir: Path, name: str, sizes: list[int], entities: int | None, relations: int | None, qualified: int
) -> None:
    parts = read_folder(data_dir / "kg" / name)
    assert [len(part) for part in parts] == sizes
    assert entities is None or parts[0].num_entities == entities
    assert relations is None or parts[0].num_relations == relations
    with_pairs = sum(int((part.qualifiers.counts > 0).sum()) for part in parts if part.qualifiers is not None)
    assert with_pairs == qualified
    main = torch.cat([torch.cat([part.head, part.tail]) for part in parts])
    assert main.unique().numel() == parts[0].vocabulary.num_main_entities
    if name == "wn18rr":
        seen = torch.cat([parts[0].head, parts[0].tail])
        test = parts[2]
        assert int((~torch.isin(test.head, seen) | ~torch.isin(test.tail, seen)).sum()) == 210
    if name == "wd50k":
        most = max(int(part.qualifiers.counts.max()) for part in parts if part.qualifiers is not None)
        assert most == 65


@pytest.mark.data
def test_wd50k_round_trips(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "kg" / "wd50k"
    for part, name in zip(read_folder(source), ("train", "valid", "test"), strict=True):
        write_statements(part, tmp_path / f"{name}.txt", ",")
        assert (tmp_path / f"{name}.txt").read_text().splitlines() == (source / f"{name}.txt").read_text().splitlines()


def test_blank_lines_before_the_first_statement(tmp_path: Path) -> None:
    path = tmp_path / "facts.txt"
    path.write_text("\n" * 30 + "a\tr\tb\n")
    with pytest.raises(AdapterError, match=r"facts\.txt, line 1: expected head, relation and tail between tabs, got 0"):
        read_statements(path)


@pytest.mark.parametrize("delimiter", ["", 3])
def test_a_delimiter_that_is_none(tmp_path: Path, delimiter: Any) -> None:
    with pytest.raises(AdapterError, match="delimiter: expected text such as a tab"):
        read_statements(tmp_path, delimiter=delimiter)
