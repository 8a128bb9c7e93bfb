"""Tables of measures: per finger and overall, with intervals over joints."""

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
    """Percentile interval of a statistic when whole joints are drawn with replacement.

    Images of one joint resemble each other, so they are drawn together.

    Args:
        statistic: of the images with the given indices (with repeats); a NaN (a draw on which it is not defined) is
            left out.
        joints: joint of each image.
        samples: number of draws.
        level: of the interval.
        seed: of the draws.

    Returns:
        Lower and upper end; NaN where the statistic is defined on no draw.
    """
    names = sorted(set(joints))
    images = [np.flatnonzero(np.asarray(joints) == name) for name in names]
    random = np.random.RandomState(seed)
    draws = [random.randint(len(names), size=len(names)) for _ in range(samples)]
    values = np.array([statistic(np.concatenate([images[index] for index in draw])) for draw in draws])
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def summarize(values: Mapping[str, Any], fingers: Sequence[str]) -> pd.DataFrame:
    """Mean, sample standard deviation and number of images of each metric, per finger and overall.

    Args:
        values: by the metric's name, one value an image: (N,) or (N, 1), a ``get_buffer()`` or any sequence of numbers.
        fingers: finger of each of the N images, by name; rows go from thumb to small finger, other names follow.

    Returns:
        A row for each finger that occurs and "overall", and each metric, with the columns ``finger, metric, mean, std,
        count``. NaNs are left out and not counted; the mean of none and the deviation of fewer than two are NaN.

    Raises:
        ValueError: if a metric has not one value an image.
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
    """A table of :func:`summarize` in Markdown: a row for each finger, a column for each metric.

    Cells are ``mean ± standard deviation``. ``n`` is the number of images; a metric defined on fewer states its own.
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
        msg = f"expected one value of {name} for each of {images} images, got {len(column)}"
        raise ValueError(msg)
    return column.numpy()
