"""A radiograph to its joint space width or grade by a network."""

from __future__ import annotations

from bundle.scoring.agreement import WidthReading
from bundle.scoring.grades import GradeReading
from bundle.scoring.networks import READERS, make_reader, scaled_reader_options
from bundle.scoring.report import ReadingReport, ReadingWriter

__all__ = [
    "READERS",
    "GradeReading",
    "ReadingReport",
    "ReadingWriter",
    "WidthReading",
    "make_reader",
    "scaled_reader_options",
]
