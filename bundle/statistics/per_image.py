"""Tables with one row per image: their leading columns, and the means of the others."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from bundle.statistics.measured import SeparatedJoints
from bundle.statistics.summary import bootstrap_interval
from numpy.typing import NDArray

IDENTITY = ("name", "joint", "finger")
"""Leading columns of every table with one row per image."""


def identity(joints: SeparatedJoints) -> pd.DataFrame:
    """Create a table with one row per image: its name, joint and finger."""
    return pd.DataFrame([{key: item[key] for key in IDENTITY} for item in joints.items])


def means(rows: pd.DataFrame, columns: list[str], samples: int, level: float, seed: int) -> dict[str, Any]:
    """Compute the mean of each column and its interval over joints (``<column>_interval``), ignoring NaN."""
    figures: dict[str, Any] = {}
    for column in columns:
        defined = rows[rows[column].notna()]
        values, joints = defined[column].to_numpy(dtype=np.float64), defined["joint"].tolist()
        figures[column] = _mean(values, np.arange(len(values)))
        if len(values):
            interval = bootstrap_interval(partial(_mean, values), joints, samples=samples, level=level, seed=seed)
            figures[f"{column}_interval"] = list(interval)
    return figures


def _mean(values: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    return float(values[rows].mean()) if len(rows) else math.nan
