"""Summary tables per finger and overall, and bootstrap intervals over joints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.joint import FINGERS
from numpy.typing import NDArray


def bootstrap_interval(
    statistic: Callable[[NDArray[np.int64]], float],
    joints: Sequence[str],
    *,
    samples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute the percentile bootstrap interval of a statistic, resampling whole joints with replacement.

    Images of one joint are correlated, so they are resampled together.

    Args:
        statistic: function of image indices (with repeats); NaN results (undefined) are ignored.
        joints: joint of each image.
        samples: number of bootstrap samples.
        level: confidence level of the interval.
        seed: random seed.

    Returns:
        Lower and upper bound; NaN without joints, or if the statistic is undefined on all samples.
    """
    names = sorted(set(joints))
    if not names:
        return math.nan, math.nan
    images = [np.flatnonzero(np.asarray(joints) == name) for name in names]
    random = np.random.RandomState(seed)
    resampled = [random.randint(len(names), size=len(names)) for _ in range(samples)]
    values = np.array([statistic(np.concatenate([images[index] for index in rows])) for rows in resampled])
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def summarize(values: Mapping[str, Any], fingers: Sequence[str]) -> pd.DataFrame:
    """Compute mean, sample standard deviation and number of images of each metric, per finger and overall.

    Args:
        values: one value per image, (N,) or (N, 1), by name of the metric: a ``get_buffer()`` or a sequence of numbers.
        fingers: finger of each of the N images; rows are sorted from thumb to small finger, other names follow.

    Returns:
        One row for each metric and each finger present, and for "overall", with columns ``finger, metric, mean, std,
        count``. NaN values are ignored and not counted; the mean of no values and the standard deviation of fewer than
        two are NaN.

    Raises:
        ValueError: if a metric does not have one value per image.
    """
    frame = pd.DataFrame({name: _per_image(name, value, len(fingers)) for name, value in values.items()})
    order = [*reversed(FINGERS), *sorted(set(fingers) - set(FINGERS))]
    groups = {finger: frame[[name == finger for name in fingers]] for finger in order if finger in fingers}
    rows = [
        (finger, metric, column.mean(), column.std(ddof=1), int(column.count()))
        for finger, group in {**groups, "overall": frame}.items()
        for metric, column in group.items()
    ]
    return pd.DataFrame(rows, columns=["finger", "metric", "mean", "std", "count"])


def to_markdown(table: pd.DataFrame) -> str:
    """Format a table of :func:`summarize` in Markdown: one row per finger, one column per metric.

    Cells are ``mean ± standard deviation``. ``n`` is the number of images; a cell with fewer values states its own n.
    """
    metrics = list(dict.fromkeys(table["metric"]))
    lines = [["finger", "n", *metrics], ["---", *["---:"] * (len(metrics) + 1)]]
    for finger, rows in table.groupby("finger", sort=False):
        images = int(rows["count"].max())
        columns = zip(rows["mean"], rows["std"], rows["count"], strict=True)
        lines.append([str(finger), str(images), *(_cell(mean, std, n, images) for mean, std, n in columns)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(mean: float, std: float, count: int, images: int) -> str:
    own = "" if count == images else f" (n = {count})"
    spread = "" if math.isnan(std) else f" ± {std:.2g}"
    return f"{mean:.4g}{spread}{own}" if count else "not defined"


def _per_image(name: str, values: Any, images: int) -> Any:
    column = torch.as_tensor(values, dtype=torch.float64).cpu().reshape(-1)
    if len(column) != images:
        msg = f"{name} must have one value for each of {images} images, got {len(column)}"
        raise ValueError(msg)
    return column.numpy()
