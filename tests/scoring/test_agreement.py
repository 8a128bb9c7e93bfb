"""Figures of readings against their definitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from bundle.scoring.agreement import agreement_of_joint_spaces, explained_variance, r2
from hypothesis import given
from hypothesis import strategies as st


def rows(true: np.ndarray, read: np.ndarray, spacing: float = 0.1) -> pd.DataFrame:
    names = [f"image{index}" for index in range(len(true))]
    joints = [f"joint{index // 2}" for index in range(len(true))]
    known = {"name": names, "joint": joints, "finger": "ring", "spacing_mm": spacing}
    return pd.DataFrame({**known, "joint_space_mm": true, "network_mm": read, "network_sd_mm": 0.1})


@given(seed=st.integers(0, 1000), bias=st.floats(-1.0, 1.0))
def test_a_bias_costs_r2_and_no_explained_variance(seed: int, bias: float) -> None:
    true = np.random.default_rng(seed).uniform(-0.5, 2.5, 30)
    assert explained_variance(true, true + bias) == pytest.approx(1.0)
    assert r2(true, true + bias) == pytest.approx(1.0 - bias**2 / np.var(true))


def test_reading_the_mean_explains_nothing() -> None:
    true = np.linspace(0.0, 2.0, 11)
    assert r2(true, np.full(11, true.mean())) == pytest.approx(0.0)
    assert np.isnan(r2(np.ones(3), np.ones(3))) and np.isnan(explained_variance(np.ones(3), np.zeros(3)))


def test_errors_are_in_mm_and_in_pixels() -> None:
    true = np.array([0.5, 1.0, 1.5, 2.0])
    found = agreement_of_joint_spaces(rows(true, true + np.array([0.1, -0.1, 0.3, -0.1]), spacing=0.05))
    assert found.figures["mae_mm"] == pytest.approx(0.15)
    assert found.figures["mae_px"] == pytest.approx(3.0)
    assert found.figures["mse_mm2"] == pytest.approx(0.03)
    assert found.figures["bias_mm"] == pytest.approx(0.05)
    assert found.figures["within_limits"] == 0.75
    low, high = found.figures["mae_mm_interval"]
    assert low <= 0.15 <= high
    assert found.worst[0] == "image2"
    assert found.per_image["error_mm"].tolist() == pytest.approx([0.1, -0.1, 0.3, -0.1])
    assert set(found.plots) == {"bland_altman"}


@pytest.mark.slow
def test_negative_widths_keep_their_sign() -> None:
    true = np.array([-0.6, -0.2, 0.4, 1.0])
    good, unsigned = (agreement_of_joint_spaces(rows(true, read)).figures for read in (true + 0.01, np.abs(true)))
    assert good["r2"] > 0.99 > 0.8 > unsigned["r2"]
