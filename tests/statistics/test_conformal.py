"""The limit that images of unseen joints keep."""

from __future__ import annotations

import numpy as np
import pytest
from bundle.statistics.conformal import conformal_quantile, joint_weights


def test_images_of_one_joint_share_its_weight() -> None:
    count, weights = joint_weights(["b", "a", "b", "b"])
    assert count == 2 and weights.tolist() == pytest.approx([1 / 3, 1.0, 1 / 3, 1 / 3])


def test_the_limit_is_the_quantile_raised_by_one_joint() -> None:
    values = np.arange(20.0)
    assert conformal_quantile(values, range(20), 0.9) == 18.0
    assert conformal_quantile(values, range(20), 0.96) == 19.0


def test_an_unseen_joint_keeps_the_limit_as_often_as_stated() -> None:
    random = np.random.default_rng(0)
    kept = []
    for _ in range(400):
        joints = np.repeat(np.arange(31), random.integers(1, 5, 31))
        values = np.abs(random.normal(size=31)[joints] + 0.3 * random.normal(size=len(joints)))
        seen = joints < 30
        kept.append(np.mean(values[~seen] <= conformal_quantile(values[seen], joints[seen], 0.9)))
    assert 0.88 <= np.mean(kept) <= 0.95
