"""Separated phantoms that images are made from."""

from __future__ import annotations

import pytest
from tests.datasets.phantoms import Joints


@pytest.fixture(scope="session")
def joints(tmp_path_factory: pytest.TempPathFactory) -> Joints:
    return Joints(tmp_path_factory.mktemp("sources"))
