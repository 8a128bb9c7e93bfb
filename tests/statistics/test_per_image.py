from __future__ import annotations

import math

import numpy as np
import pandas as pd
from bundle.statistics.per_image import means


def test_means_leave_out_what_is_not_defined() -> None:
    rows = pd.DataFrame({"joint": ["a", "b", "c"], "x": [1.0, np.nan, 3.0], "y": [np.nan] * 3})
    figures = means(rows, ["x", "y"], samples=200, level=0.95, seed=0)
    assert figures["x"] == 2.0
    assert figures["x_interval"] == [1.0, 3.0]
    assert math.isnan(figures["y"])
    assert "y_interval" not in figures
