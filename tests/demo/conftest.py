"""A small generated shop, made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import relgraph
from relgraph.data.database import Database
from relgraph.demo import generate_shop
from relgraph.demo.shop import SHOP_TIMES


@pytest.fixture(scope="session")
def small_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path = generate_shop(tmp_path_factory.mktemp("small") / "shop.sqlite", customers=250, products=40)
    with relgraph.connect(path, times=SHOP_TIMES, progress=False) as db:
        yield db
