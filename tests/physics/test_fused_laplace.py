"""The multigrid in compiled loops against torch in float64: the same steps for any mask and size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bundle.physics.laplace import CYCLES, solve_laplace
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow


def workspace(height: int, width: int) -> Any:
    pytest.importorskip("numba")
    from bundle.physics.fused_laplace import Workspace

    return Workspace(height, width)


def problem(seed: int, height: int, width: int, density: float) -> tuple[Any, Any]:
    """Noise that is known at random pixels."""
    random = np.random.default_rng(seed)
    known = random.random((height, width)) < density
    return random.random((height, width)).astype(np.float32), known.astype(np.float32)


def by_torch(values: Any, known: Any, cycles: int) -> Any:
    given = (torch.from_numpy(part)[None, None].double() for part in (values, known))
    return solve_laplace(*given, cycles)[0, 0].numpy()


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    density=st.sampled_from([0.0, 0.01, 0.05, 0.3, 0.9, 1.0]),
    cycles=st.integers(1, 4),
)
def test_every_step_is_that_of_torch(seed: int, height: int, width: int, density: float, cycles: int) -> None:
    values, known = problem(seed, height, width, density)
    found = workspace(height, width).solve(values, known, cycles)
    expected = by_torch(values, known, cycles)
    # Where a single pixel is known, the coarsest level hardly determines the level of the solution.
    tolerance = 1e-6 if known.any() else 0.0
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=tolerance * 100)


def test_a_workspace_keeps_nothing_of_an_earlier_image() -> None:
    used = workspace(48, 37)
    values, known = problem(0, 48, 37, 0.4)
    first = used.solve(values, known).copy()
    other, elsewhere = problem(1, 48, 37, 0.1)
    used.solve(np.where(other > 0.5, np.float32("nan"), other), elsewhere)
    np.testing.assert_array_equal(used.solve(values, known), first)
    np.testing.assert_array_equal(workspace(48, 37).solve(values, known), first)


def test_values_that_are_not_known_are_not_read() -> None:
    values, known = problem(2, 64, 64, 0.2)
    garbage = np.where(known > 0.5, values, np.float32(1e6))
    used = workspace(64, 64)
    first = used.solve(values, known, CYCLES).copy()
    np.testing.assert_array_equal(used.solve(garbage, known, CYCLES), first)
