"""Compiled functions have the bits of Python, in any thread, mode and size."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from bundle.physics import GROWTH_MM
from bundle.physics.compiling import PATIENCE, Compiled
from bundle.physics.harmonic import FADE_MM, RAMP_MM, _compiled_shares
from bundle.physics.masks import _compiled_distance
from torch import Tensor

LENGTHS = (0.1, GROWTH_MM, RAMP_MM, FADE_MM)
SIZES = ((48, 40), (64, 64), (33, 71))


def joint(height: int, width: int) -> tuple[Tensor, Tensor]:
    """A radiograph of noise and two bones that overlap."""
    image = torch.rand(2, 1, height, width, generator=torch.Generator().manual_seed(height))
    masks = torch.zeros(2, 2, height, width)
    masks[:, 0, height // 2 :, 5:-6] = 1.0
    masks[:, 1, : height // 2 + 2, 8:-4] = 1.0
    return image, masks


@pytest.mark.parametrize("size", SIZES)
def test_shares_and_distances_have_the_bits_of_python(size: tuple[int, int]) -> None:
    image, masks = joint(*size)
    distances, shares = Compiled(_compiled_distance.function, 0), Compiled(_compiled_shares.function, 0)
    for _ in range(4):  # TorchScript optimizes after the first calls
        distance = distances(masks, 8)
        assert torch.equal(distance, _compiled_distance.function(masks, 8))
        assert torch.equal(shares(image, distance, LENGTHS), _compiled_shares.function(image, distance, LENGTHS))


def test_one_compilation_serves_all_sizes_and_threads() -> None:
    compiled = Compiled(_compiled_distance.function, 0)
    joints = [joint(*SIZES[number % len(SIZES)])[1] for number in range(24)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda masks: compiled(masks, 5), joints))
    assert all(
        torch.equal(one, _compiled_distance.function(masks, 5)) for one, masks in zip(found, joints, strict=True)
    )


def test_automatic_mixed_precision_changes_nothing() -> None:
    image, masks = joint(*SIZES[0])
    shares = Compiled(_compiled_shares.function, 0)
    distance = _compiled_distance.function(masks, 8)
    with torch.autocast("cpu", torch.bfloat16):
        found = [shares(image, distance, LENGTHS) for _ in range(4)]
    assert all(torch.equal(one, _compiled_shares.function(image, distance, LENGTHS)) for one in found)


def test_a_function_runs_in_python_until_it_has_been_called_often() -> None:
    calls = []

    def counted(masks: Tensor, reach: int) -> Tensor:
        calls.append(reach)
        return _compiled_distance.function(masks, reach)

    compiled = Compiled(counted)
    masks = joint(*SIZES[0])[1]
    for _ in range(PATIENCE):
        compiled(masks, 3)
    assert len(calls) == PATIENCE
    compiled.function = _compiled_distance.function
    compiled(masks, 3)
    assert len(calls) == PATIENCE
    assert "_script" in vars(compiled)


def test_tracing_runs_in_python() -> None:
    masks = joint(*SIZES[0])[1]
    compiled = Compiled(_compiled_distance.function, 0)
    traced = torch.jit.trace(lambda given: compiled(given, 3), (masks,), check_trace=False)
    assert "_script" not in vars(compiled)
    assert torch.equal(traced(masks), _compiled_distance.function(masks, 3))
