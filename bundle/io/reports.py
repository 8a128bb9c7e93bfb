"""Figures, tables and plots of measurements, as files."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from bundle.io.identity import private_setting
from bundle.io.writing import write_bytes
from matplotlib.figure import Figure
from torch import Tensor

if TYPE_CHECKING:
    pass


METRICS = "metrics.json"
"""File of the figures of an evaluation."""


def flat_figures(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten figures to names; figures of a group become ``<group> <name>``. Settings are omitted."""
    flat: dict[str, Any] = {}
    for name, value in figures.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": part for key, part in flat_figures(value).items() if name != "settings"}
        else:
            flat[name] = value
    return flat


def shown_figure(value: Any, digits: int = 4) -> str:
    """Format a figure of ``metrics.json`` for a table: a number, an interval, or any other value."""
    if isinstance(value, list):
        return " to ".join(shown_figure(part, digits) for part in value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return "not defined" if value is None else str(value)


def file_stem(label: str) -> str:
    """Convert a label to a file stem: lower-case letters, digits and underscores."""
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def write_measured(folder: Path, table: str, rows: pd.DataFrame, plots: Mapping[str, Figure]) -> list[Path]:
    """Write the rows of a measure as the CSV file ``table``, and its plots as PNG files; return the paths."""
    write_bytes(folder / table, rows.to_csv(index=False).encode())
    plotted = {folder / f"{name}.png": figure for name, figure in plots.items()}
    for path, figure in plotted.items():
        write_plot(path, figure)
    return [folder / table, *plotted]


def write_figures(path: Path, found: Mapping[str, Any]) -> None:
    """Write the figures of an evaluation or an experiment as JSON, with private settings."""
    write_bytes(path, json.dumps(private_setting("", plain(found)), indent=1, allow_nan=False).encode())


def write_plot(path: Path, figure: Figure) -> None:
    """Write a figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_bytes(path, buffer.getvalue())


def plain(value: Any) -> Any:
    """Convert a value for JSON: plain numbers, lists and dictionaries; null for NaN, text for infinity."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, (np.generic, Tensor)):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value if isinstance(value, (bool, int, float, str)) or value is None else str(value)
