"""Data sets of synthetic radiographs: distributions, sample specifications, quality gate, factory, shards and card."""

from __future__ import annotations

from bundle.datasets.dask_cluster import DaskCluster
from bundle.datasets.data_sets import CARD, DataSet, join_processes, make
from bundle.datasets.distributions import Distribution, Histogram, Mirror, Normal, Own, Sweep, Uniform, read_histogram
from bundle.datasets.engines import ENGINES, Processes, shard_engine
from bundle.datasets.factory import TOGETHER, RadiographFactory, Sample, first_passed, passed
from bundle.datasets.gate import QualityGate, examine
from bundle.datasets.remeasuring import Remeasurement, measured_anew
from bundle.datasets.shards import ShardFormat, TarShards, decode_shard
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.sources import Source, SourceStore, stated_joint_space, surfaces_of
from bundle.datasets.specifications import DataPlan, SampleSpecification, SampleSpecifications, motion_along, motion_of
from bundle.datasets.streams import NextImages, PlannedSamples, SyntheticRadiographs
from bundle.datasets.tasks import Engine, Tasks

__all__ = [
    "CARD",
    "ENGINES",
    "TOGETHER",
    "DaskCluster",
    "DataPlan",
    "DataSet",
    "Distribution",
    "Engine",
    "Histogram",
    "Mirror",
    "NextImages",
    "Normal",
    "Own",
    "PlannedSamples",
    "Processes",
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
    "Tasks",
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
    "shard_engine",
    "stated_joint_space",
    "surfaces_of",
]
