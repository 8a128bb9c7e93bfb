"""Layers to a data set: distributions, sample specifications, gate, factory, shards and card."""

from __future__ import annotations

from bundle.datasets.data_sets import DataSet, SourceWriter, join_processes, make
from bundle.datasets.distributions import Distribution, Histogram, Mirror, Normal, Own, Sweep, Uniform, read_histogram
from bundle.datasets.factory import (
    TOGETHER,
    NextImages,
    QualityGate,
    RadiographFactory,
    Sample,
    SyntheticRadiographs,
    examine,
    first_passed,
    passed,
)
from bundle.datasets.shards import TarShards, decode_radiograph, png
from bundle.datasets.sources import Source, SourceStore
from bundle.datasets.specifications import DataPlan, Recipe, Recipes, motion_of

__all__ = [
    "TOGETHER",
    "DataPlan",
    "DataSet",
    "Distribution",
    "Histogram",
    "Mirror",
    "NextImages",
    "Normal",
    "Own",
    "QualityGate",
    "RadiographFactory",
    "Recipe",
    "Recipes",
    "Sample",
    "Source",
    "SourceStore",
    "SourceWriter",
    "Sweep",
    "SyntheticRadiographs",
    "TarShards",
    "Uniform",
    "decode_radiograph",
    "examine",
    "first_passed",
    "join_processes",
    "make",
    "motion_of",
    "passed",
    "png",
    "read_histogram",
]
