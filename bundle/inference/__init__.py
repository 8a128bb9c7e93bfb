"""A folder of joints separated, measured and written."""

from __future__ import annotations

from bundle.inference.quality import (
    JointQuality,
    PairQuality,
)
from bundle.inference.results import (
    METRICS,
    REJECTED,
    EvaluationReport,
    LayerWriter,
    Results,
    file_stem,
    flat_figures,
    remaining,
    run_remaining,
    shown_figure,
    writable,
    write_figures,
    write_measured,
    write_plot,
)

__all__ = [
    "METRICS",
    "REJECTED",
    "EvaluationReport",
    "JointQuality",
    "LayerWriter",
    "PairQuality",
    "Results",
    "file_stem",
    "flat_figures",
    "remaining",
    "run_remaining",
    "shown_figure",
    "writable",
    "write_figures",
    "write_measured",
    "write_plot",
]
