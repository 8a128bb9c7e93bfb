"""Multigrid against the equation that it solves: every cycle comes closer, whatever the mask and the size."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.laplace import solve_laplace
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F


def problem(seed: int, height: int, width: int, density: float) -> tuple[Tensor, Tensor]:
    """Noise that is known at random pixels, at one at least."""
    random = torch.Generator().manual_seed(seed)
    values = torch.rand(2, 1, height, width, generator=random, dtype=torch.float64)
    known = (torch.rand(values.shape, generator=random) < density).double()
    known[..., 0, 0] = 1.0
    return values, known


def laplacian(field: Tensor) -> Tensor:
    """Five-point Laplacian with no flux through the border, written by padding."""
    padded = F.pad(field, [1, 1, 1, 1], mode="replicate")
    neighbours = padded[..., 2:, 1:-1] + padded[..., :-2, 1:-1] + padded[..., 1:-1, 2:] + padded[..., 1:-1, :-2]
    return neighbours - 4.0 * field


def solved(values: Tensor, known: Tensor, cycles: int) -> Tensor:
    return torch.where(known > 0.5, values, solve_laplace(values, known, cycles))


@given(
    seed=st.integers(0, 10_000),
    height=st.integers(2, 50),
    width=st.integers(2, 50),
    density=st.sampled_from([0.0, 0.02, 0.3, 0.9, 1.0]),
)
def test_with_cycles_enough_the_laplacian_of_any_mask_vanishes(
    seed: int, height: int, width: int, density: float
) -> None:
    values, known = problem(seed, height, width, density)
    left = laplacian(solved(values, known, cycles=30)) * (1.0 - known)
    assert float(left.abs().max()) < 1e-6


@pytest.mark.parametrize("size", [96, 97])
def test_every_cycle_at_least_halves_the_error_below_a_bone(size: int) -> None:
    made = render(sample_parameters(0, size=size, spacing=21.0 / size))
    values, known = made.image[None].double(), (made.masks.amax(dim=0) < 0.5).double()[None, None]
    exact = solved(values, known, cycles=40)
    errors = [float((solved(values, known, cycles) - exact).norm()) for cycles in range(1, 7)]
    assert all(after < 0.5 * before for before, after in pairwise(errors))


def test_what_is_not_known_is_not_read_and_images_are_solved_alone() -> None:
    values, known = problem(0, 40, 31, density=0.1)
    together = solve_laplace(values, known, 3)
    garbage = torch.where(known > 0.5, values, 1e6)
    alone = torch.cat([solve_laplace(v[None], k[None], 3) for v, k in zip(garbage, known, strict=True)])
    torch.testing.assert_close(alone, together)
    assert float((together * known).abs().max()) == 0.0
