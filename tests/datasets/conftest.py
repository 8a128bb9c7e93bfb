"""Separated phantoms that images are made from, and a data set of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle.io.phantom_lists import phantom_items
from tests.datasets.made_data_sets import COUNT, SIZE, made
from tests.datasets.phantoms import Joints


@pytest.fixture(scope="session")
def joints(tmp_path_factory: pytest.TempPathFactory) -> Joints:
    return Joints(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def items() -> list[dict[str, Any]]:
    return phantom_items(COUNT, 0, SIZE)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]) -> Path:
    return made(tmp_path_factory.mktemp("whole"), items)
