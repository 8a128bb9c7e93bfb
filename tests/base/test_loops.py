"""Compiled loops come from the cache folder, and again from their source if it is damaged or cannot be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.base import CACHE, cached_loop

pytestmark = pytest.mark.slow


def doubled(values: Any, found: Any) -> None:
    for i in range(len(values)):
        found[i] = 2 * values[i]


def compiled() -> Any:
    pytest.importorskip("numba")
    return cached_loop("void(f4[::1], f4[::1])")(doubled)


def of_three(function: Any) -> float:
    found = np.zeros(1, np.float32)
    function(np.float32([3.0]), found)
    return float(found[0])


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_compiled_loop_is_stored_in_the_cache_folder_and_loaded_from_it(folder: Path) -> None:
    assert of_three(compiled()) == 6.0
    assert {path.suffix for path in folder.rglob("*.nb?")} == {".nbi", ".nbc"}
    again = compiled()
    assert of_three(again) == 6.0
    assert sum(again.stats.cache_hits.values()) == 1


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("content", [b"", b"damaged"])
def test_a_damaged_file_is_replaced(folder: Path, suffix: str, content: bytes) -> None:
    compiled()
    (file,) = folder.rglob(f"*.{suffix}")
    file.write_bytes(content)
    assert of_three(compiled()) == 6.0
    assert sum(compiled().stats.cache_hits.values()) == 1


def test_other_types_are_refused() -> None:
    with pytest.raises(TypeError):
        compiled()(np.zeros(2), np.zeros(2, np.float32))
