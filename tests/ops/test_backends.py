"""Which backend runs, and that a backend that cannot is an error that says why."""

from __future__ import annotations

import pytest
import torch

from relgraph.errors import BackendError
from relgraph.ops import backends
from relgraph.ops.backends import backend, choose, use_backend

CPU, F32 = torch.device("cpu"), torch.float32


def test_the_choice_is_the_operation_s_until_one_is_asked_for() -> None:
    assert backend() is None
    with use_backend("torch"):
        assert backend() == "torch"
        with use_backend(None):
            assert backend() is None
        assert backend() == "torch"
    assert backend() is None


def test_the_cpu_takes_numba_where_there_is_some() -> None:
    assert choose("x", CPU, F32) == "torch"
    assert choose("x", CPU, F32, numba=[F32], triton=[F32]) == "numba"
    assert choose("x", CPU, torch.float16, numba=[F32]) == "torch"
    with use_backend("torch"):
        assert choose("x", CPU, F32, numba=[F32]) == "torch"


def test_what_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with (
        pytest.raises(BackendError, match="expected a backend of torch, numba, triton, torch_scatter"),
        use_backend("c"),
    ):  # type: ignore[arg-type]
        pass
    with use_backend("triton"):
        with pytest.raises(BackendError, match="x has no implementation by triton; it runs by torch, numba"):
            choose("x", CPU, F32, numba=[F32])
        with pytest.raises(BackendError, match=r"x by triton takes torch.float32, got torch.float64"):
            choose("x", CPU, torch.float64, triton=[F32])
        with pytest.raises(BackendError, match="runs on CUDA, got tensors on cpu"):
            choose("x", CPU, F32, triton=[F32])
        monkeypatch.setenv("TRITON_INTERPRET", "1")
        assert choose("x", CPU, F32, triton=[F32]) == "triton"
    with use_backend("numba"), pytest.raises(BackendError, match="runs on the CPU, got tensors on meta"):
        choose("x", torch.device("meta"), F32, numba=[F32])


def test_what_is_not_installed_says_how(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    asked = pytest.raises(BackendError, match=r"needs torch_scatter: pip install 'relgraph\[scatter\]'")
    with asked, use_backend("torch_scatter"):
        pass
    assert choose("x", CPU, F32, numba=[F32]) == "torch"
