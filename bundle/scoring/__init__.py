"""Scoring networks: joint space width or grade of narrowing from a radiograph."""

from __future__ import annotations

from bundle.scoring.agreement import WidthReading
from bundle.scoring.grades import GradeReading
from bundle.scoring.networks import SCORERS, make_scorer, scaled_scorer_options
from bundle.scoring.report import ReadingReport, ReadingWriter

__all__ = [
    "SCORERS",
    "GradeReading",
    "ReadingReport",
    "ReadingWriter",
    "WidthReading",
    "make_scorer",
    "scaled_scorer_options",
]
