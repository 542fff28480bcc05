"""What every test shares: hypothesis profiles and the real data folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "relgraph",
    max_examples=int(os.environ.get("RELGRAPH_HYPOTHESIS", "15")),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("relgraph")

# kernels run in Triton's interpreter where there is no GPU; it looks when they are defined
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

# a shell's background job ignores Ctrl-C, and so would the trainings that tests interrupt
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(os.environ.get("RELGRAPH_DATA", Path(__file__).parents[1] / ".." / "shared" / "data")).resolve()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; skips where it is absent, fails where it is required."""
    if not DATA.is_dir():
        message = f"no real data at {DATA}; set RELGRAPH_DATA"
        if os.environ.get("RELGRAPH_REQUIRE_DATA"):
            pytest.fail(message)
        pytest.skip(message)
    return DATA
