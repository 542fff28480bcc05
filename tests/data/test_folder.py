"""The folder store: what is written comes back, and nobody ever meets half of it."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from relgraph.data import folder as store
from relgraph.data.folder import read_folder, write_folder
from relgraph.errors import AdapterError, SchemaError, ShapeError

DTYPES = list(store._DTYPES)

WRITER = """
import sys, torch
from relgraph.data.folder import write_folder
number, step = int(sys.argv[2]), int(sys.argv[3])
while True:
    tensors = {f"t{i}": torch.full((20_000,), number) for i in range(4)}
    write_folder(sys.argv[1], "thing", {"number": number}, tensors)
    print(number, flush=True)
    number += step
"""


def data_files(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir() if file.suffix == ".safetensors")


def random_tensor(draw: st.DrawFn) -> torch.Tensor:
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    tensor = (torch.randn(shape, dtype=torch.float64) * 100).to(dtype)
    match draw(st.sampled_from(["plain", "transposed", "strided", "expanded"])):
        case "transposed":
            return tensor.movedim(0, -1) if shape else tensor
        case "strided":
            return tensor[::2] if shape else tensor
        case "expanded":
            return tensor.expand(3, *shape)
    return tensor


@st.composite
def contents(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    names = draw(
        st.lists(
            st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda n: n != "__metadata__"),
            unique=True,
            max_size=4,
        )
    )
    return {name: random_tensor(draw) for name in names}


@pytest.mark.slow
@given(
    contents(),
    st.dictionaries(
        st.text(st.characters(codec="utf-8")),
        st.integers() | st.text(st.characters(codec="utf-8")) | st.floats(allow_nan=False),
    ),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, torch.Tensor], meta: dict[str, object]
) -> None:
    path = tmp_path_factory.mktemp("folder")
    assert write_folder(path, "thing", meta, tensors) == path
    found_meta, found = read_folder(path, "thing")
    assert found_meta == meta
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name], tensor)


def test_lazy_conjugates_are_written_as_their_values(tmp_path: Path) -> None:
    value = torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64)
    write_folder(tmp_path, "thing", {}, {"conj": value.conj(), "imag": value.conj().imag})
    _, found = read_folder(tmp_path, "thing")
    assert found["conj"].tolist() == [1 - 2j, 3 + 4j]
    assert found["imag"].tolist() == [-2.0, 4.0]


def test_strided_tensors_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_PIECE", 64)
    value = torch.arange(35 * 9).reshape(9, 35).T
    write_folder(tmp_path, "thing", {}, {"x": value})
    assert torch.equal(read_folder(tmp_path, "thing")[1]["x"], value)


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    tensors = {"b": torch.arange(3, dtype=torch.int8), "a": torch.randn(2, 2), "c": torch.arange(5)}
    write_folder(tmp_path, "thing", {}, tensors)
    (name,) = data_files(tmp_path)
    loaded = load_file(tmp_path / name)
    assert all(torch.equal(loaded[key], value) for key, value in tensors.items())


def test_tensors_are_mapped_and_writing_to_them_changes_no_file(tmp_path: Path) -> None:
    write_folder(tmp_path, "thing", {}, {"x": torch.arange(100_000)})
    first = read_folder(tmp_path, "thing")[1]["x"]
    (name,) = data_files(tmp_path)
    assert name in Path("/proc/self/maps").read_text()
    first[0] = 7
    assert read_folder(tmp_path, "thing")[1]["x"][0] == 0


def test_mapped_tensors_outlive_a_newer_content(tmp_path: Path) -> None:
    write_folder(tmp_path, "thing", {}, {"x": torch.arange(100_000)})
    before = read_folder(tmp_path, "thing")[1]["x"]
    write_folder(tmp_path, "thing", {}, {"x": torch.zeros(3)})
    assert torch.equal(before, torch.arange(100_000))


def test_replacing_leaves_one_data_file_and_other_kinds_and_files(tmp_path: Path) -> None:
    (tmp_path / "thing-notes.safetensors").write_text("mine")
    write_folder(tmp_path, "thing_else", {"a": 1}, {"x": torch.zeros(1)})
    for number in range(3):
        write_folder(tmp_path, "thing", {"number": number}, {"x": torch.full((2,), number)})
    assert read_folder(tmp_path, "thing")[0] == {"number": 2}
    assert read_folder(tmp_path, "thing_else")[0] == {"a": 1}
    assert len(data_files(tmp_path)) == 3
    assert len(list(tmp_path.iterdir())) == 5


def test_a_write_that_fails_keeps_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, "thing", {"old": True}, {"x": torch.ones(3)})
    listing = sorted(tmp_path.iterdir())

    def no_space(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", no_space)
    with pytest.raises(AdapterError, match=r"cannot write thing to .*No space left.*still whole.*free space"):
        write_folder(tmp_path, "thing", {"old": False}, {"x": torch.zeros(3)})
    monkeypatch.undo()
    assert sorted(tmp_path.iterdir()) == listing
    assert read_folder(tmp_path, "thing")[0] == {"old": True}


def test_a_full_disk_keeps_the_old_content(tmp_path: Path) -> None:
    write_folder(tmp_path, "thing", {"old": True}, {"x": torch.ones(3)})
    before, limit = signal.getsignal(signal.SIGXFSZ), resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        with pytest.raises(AdapterError, match="File too large"):
            write_folder(tmp_path, "thing", {"old": False}, {"x": torch.ones(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert read_folder(tmp_path, "thing")[0] == {"old": True}
    assert len(data_files(tmp_path)) == 1


def test_an_error_while_tensors_are_read_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(tensor: torch.Tensor) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(store, "_pieces", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path, "thing", {}, {"x": torch.ones(3)})
    assert list(tmp_path.iterdir()) == []


def test_files_of_a_dead_writer_go_and_those_of_a_living_one_stay(tmp_path: Path) -> None:
    import fcntl

    dead = tmp_path / "thing-00000000000000000001-00000000.safetensors"
    alive = tmp_path / "thing-00000000000000000002-00000000.safetensors"
    dead.write_bytes(b"half")
    with alive.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        write_folder(tmp_path, "thing", {}, {})
        assert alive.exists()
        assert not dead.exists()
    write_folder(tmp_path, "thing", {}, {})
    assert not alive.exists()


def test_without_locks_the_replaced_file_still_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(file: int, operation: int) -> None:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(store.fcntl, "flock", no_locks)
    orphan = tmp_path / "thing-00000000000000000001-00000000.safetensors"
    orphan.write_bytes(b"whose?")
    for number in range(3):
        write_folder(tmp_path, "thing", {"number": number}, {})
    assert read_folder(tmp_path, "thing")[0] == {"number": 2}
    assert len(data_files(tmp_path)) == 2
    assert orphan.exists()


def test_a_pointer_cannot_name_a_file_elsewhere_for_removal(tmp_path: Path) -> None:
    (tmp_path / "mine.safetensors").write_text("mine")
    write_folder(tmp_path / "a", "thing", {}, {})
    pointer = tmp_path / "a" / "thing.json"
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | {"file": "../mine.safetensors"}))
    write_folder(tmp_path / "a", "thing", {}, {})
    assert (tmp_path / "mine.safetensors").exists()


def read_whole(path: Path) -> int:
    meta, tensors = read_folder(path, "thing")
    values = torch.cat(list(tensors.values()))
    assert values.numel() == 80_000
    assert (values == meta["number"]).all()
    return int(meta["number"])


def kill_writers(path: Path, kills: int) -> int:
    """Kill a writer ``kills`` times at random moments; the content is whole after each, never older than announced."""
    chance = random.Random(0)
    last = 0
    write_folder(path, "thing", {"number": 0}, {f"t{i}": torch.full((20_000,), 0) for i in range(4)})
    for _ in range(kills):
        command = [sys.executable, "-c", WRITER, str(path), str(last + 1), "1"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            last = int(writer.stdout.readline())
            time.sleep(chance.random() * 0.05)
            writer.kill()
            announced = [last, *(int(line) for line in writer.stdout)]
        last = read_whole(path)
        assert last in (announced[-1], announced[-1] + 1)
    write_folder(path, "thing", {"number": 0}, {})
    assert len(data_files(path)) == 1
    return last


@pytest.mark.slow
def test_a_killed_writer_leaves_a_whole_content(tmp_path: Path) -> None:
    assert kill_writers(tmp_path, kills=2) >= 2


@pytest.mark.slow
def test_many_killed_writers_leave_a_whole_content(tmp_path: Path) -> None:
    kills = int(os.environ.get("RELGRAPH_KILLS", "8"))
    assert kill_writers(tmp_path, kills) >= kills


@pytest.mark.slow
def test_two_writers_and_a_reader_at_once(tmp_path: Path) -> None:
    write_folder(tmp_path, "thing", {"number": 0}, {f"t{i}": torch.full((20_000,), 0) for i in range(4)})
    commands = [
        [sys.executable, "-c", WRITER, str(tmp_path), start, step] for start, step in (("1", "1"), ("-1", "-1"))
    ]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    try:
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        seen = [read_whole(tmp_path) for _ in range(150)]
        assert all(writer.poll() is None for writer in writers)
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    assert min(seen) < 0 < max(seen)


def test_a_reader_goes_on_to_the_newer_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_folder(tmp_path, "thing", {"number": 1}, {"x": torch.ones(1)})
    load, calls = store._load, []

    def late(file: Path, content: dict[str, object]) -> dict[str, torch.Tensor]:
        calls.append(file)
        if len(calls) == 1:
            write_folder(tmp_path, "thing", {"number": 2}, {"x": torch.zeros(1)})
        return load(file, content)

    monkeypatch.setattr(store, "_load", late)
    assert read_folder(tmp_path, "thing") == ({"number": 2}, {"x": torch.zeros(1)})
    assert len(calls) == 2


class TestBadInput:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return write_folder(tmp_path / "deep" / "er", "thing", {}, {"x": torch.arange(10)})

    def change(self, path: Path, **values: object) -> None:
        pointer = path / "thing.json"
        pointer.write_text(json.dumps(json.loads(pointer.read_text()) | values))

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(AdapterError, match=r"there is no folder .*nowhere"):
            read_folder(tmp_path / "nowhere", "thing")

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(AdapterError, match=r"file is a file; expected the folder"):
            read_folder(tmp_path / "file", "thing")
        with pytest.raises(AdapterError, match=r"cannot write thing to .*file"):
            write_folder(tmp_path / "file", "thing", {}, {})

    def test_nothing_saved(self, tmp_path: Path) -> None:
        (tmp_path / "package.json").write_text("{}")
        with pytest.raises(AdapterError, match=r"thing.json is missing\); relgraph saved nothing in it"):
            read_folder(tmp_path, "thing")

    def test_another_kind(self, path: Path) -> None:
        with pytest.raises(AdapterError, match=r"holds no other \(other.json is missing\); it holds thing"):
            read_folder(path, "other")
        (path / "other.json").write_text((path / "thing.json").read_text())
        with pytest.raises(AdapterError, match=r"does not describe a other .it says 'thing'"):
            read_folder(path, "other")

    def test_newer_format(self, path: Path) -> None:
        self.change(path, format=store.FORMAT + 1)
        with pytest.raises(AdapterError, match=r"has format 2, this relgraph reads up to 1; update relgraph"):
            read_folder(path, "thing")

    @pytest.mark.parametrize(
        "text", ["", "{", "[]", "{}", "null", '{"format": 1}', '{"format": 1, "kind": "thing"}', b"\xff"]
    )
    def test_broken_pointer(self, path: Path, text: str | bytes) -> None:
        (path / "thing.json").write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(AdapterError, match=r"thing.json .*save the thing again"):
            read_folder(path, "thing")

    @pytest.mark.parametrize(
        "change",
        [
            {"meta": None},
            {"meta": []},
            {"tensors": []},
            {"file": None},
            {"file": 5},
            {"file": "../x.safetensors"},
            {"bytes": "80"},
            {"format": True},
            {"format": 0},
        ],
    )
    def test_entries_of_another_type(self, path: Path, change: dict[str, Any]) -> None:
        self.change(path, **change)
        with pytest.raises(AdapterError, match=rf"thing.json is damaged: .*{next(iter(change))}.*save the thing again"):
            read_folder(path, "thing")

    def test_missing_data(self, path: Path) -> None:
        (path / data_files(path)[0]).unlink()
        with pytest.raises(AdapterError, match=r"safetensors is missing, but thing.json beside it names it"):
            read_folder(path, "thing")

    @pytest.mark.parametrize("size", [0, 7, 100])
    def test_truncated_data(self, path: Path, size: int) -> None:
        os.truncate(path / data_files(path)[0], size)
        with pytest.raises(AdapterError, match=f"is damaged: expected [0-9]+ bytes, got {size}"):
            read_folder(path, "thing")

    def test_garbage_of_the_right_size(self, path: Path) -> None:
        file = path / data_files(path)[0]
        file.write_bytes(b"\xff" * file.stat().st_size)
        with pytest.raises(AdapterError, match="is damaged"):
            read_folder(path, "thing")

    def test_manifest_that_does_not_fit(self, path: Path) -> None:
        self.change(path, tensors={"x": {"dtype": "I64", "shape": [11]}, "y": {"dtype": "I64", "shape": [1]}})
        with pytest.raises(AdapterError, match=r"does not fit its pointer \(tensors x, y\)"):
            read_folder(path, "thing")

    def test_bad_arguments(self, path: Path) -> None:
        with pytest.raises(SchemaError, match="kind must be a lower-case identifier"):
            write_folder(path, "../x", {}, {})
        with pytest.raises(SchemaError, match="must be JSON"):
            write_folder(path, "thing", {"x": {1, 2}}, {})
        with pytest.raises(ShapeError, match=r"tensor 'x': expected a dense tensor"):
            write_folder(path, "thing", {}, {"x": torch.eye(2).to_sparse()})
        with pytest.raises(ShapeError, match=r"torch\.complex128"):
            write_folder(path, "thing", {}, {"x": torch.zeros(1, dtype=torch.complex128)})
        assert torch.equal(read_folder(path, "thing")[1]["x"], torch.arange(10))
