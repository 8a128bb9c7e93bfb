"""A disk that is full."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """`full_disk(n)`: the disk is full when the n-th file from now on is half written."""
    save, left = torch.save, [0]

    def limited(state: Any, file: Any, **options: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            save(state, file, **options)
            return
        file.write(b"half a checkpoint")
        raise OSError(errno.ENOSPC, "No space left on device")

    def fill(files: int) -> None:
        left[0] = files
        monkeypatch.setattr(torch, "save", limited)

    return fill
