"""Data sets of synthetic radiographs: distributions, sample specifications, quality gate, factory, shards and card."""

from __future__ import annotations

from bundle.datasets.data_sets import CARD, DataSet, join_processes, make
from bundle.datasets.distributions import Distribution, Histogram, Mirror, Normal, Own, Sweep, Uniform, read_histogram
from bundle.datasets.factory import TOGETHER, RadiographFactory, Sample, first_passed, passed
from bundle.datasets.gate import QualityGate, examine
from bundle.datasets.remeasuring import Remeasurement, measured_anew
from bundle.datasets.shards import ShardFormat, TarShards, decode_shard
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.sources import Source, SourceStore, stated_joint_space, surfaces_of
from bundle.datasets.specifications import DataPlan, SampleSpecification, SampleSpecifications, motion_along, motion_of
from bundle.datasets.streams import NextImages, PlannedSamples, SyntheticRadiographs

__all__ = [
    "CARD",
    "TOGETHER",
    "DataPlan",
    "DataSet",
    "Distribution",
    "Histogram",
    "Mirror",
    "NextImages",
    "Normal",
    "Own",
    "PlannedSamples",
    "QualityGate",
    "RadiographFactory",
    "Remeasurement",
    "Sample",
    "SampleSpecification",
    "SampleSpecifications",
    "ShardFormat",
    "Source",
    "SourceStore",
    "SourceWriter",
    "Sweep",
    "SyntheticRadiographs",
    "TarShards",
    "Uniform",
    "decode_shard",
    "examine",
    "first_passed",
    "join_processes",
    "make",
    "measured_anew",
    "motion_along",
    "motion_of",
    "passed",
    "read_histogram",
    "stated_joint_space",
    "surfaces_of",
]
