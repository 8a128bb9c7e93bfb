"""Radiograph to layers: networks, losses, training (Eq. 1 to 3 and 7 to 12, Algorithm 1)."""

from __future__ import annotations

from bundle.separation.adversarial import Discrimination, DiscriminatorLoss, HingeDiscrimination, HingeDiscriminatorLoss
from bundle.separation.baselines import HalfSplit
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead, SigmoidHead
from bundle.separation.losses import (
    EarlyPseudoGeneratorLoss,
    GeneratorLoss,
    LayerDistance,
    LayerFidelity,
    PseudoGeneratorLoss,
)
from bundle.separation.metrics import (
    BATCH,
    LayerRMSE,
    PixelRowFrechetDistance,
    ReconstructionMSE,
    ReconstructionPSNR,
    ReconstructionSSIM,
    SeparationMetric,
    layer_reference,
    truth_from_engine,
    values_of,
)
from bundle.separation.montage_handler import LayerMontageHandler, TensorBoardWriter, losses_from_engine, separation_row
from bundle.separation.network_runtime import NetworkRuntime
from bundle.separation.overlap_sampling import FlowLoss, OverlapSampler
from bundle.separation.pseudo_overlap import OverlapRange, compose_layers, compose_layers_on_device, compose_published
from bundle.separation.resident import ResidentJoints, ResidentLoader
from bundle.separation.resident_images import ResidentImageLoader, gaussian
from bundle.separation.stage import Objective, Player, Players, RandomMotions, StageSchedule
from bundle.separation.trainer import LayerSeparationTrainer
from bundle.separation.weighted_loss import WeightedLoss

__all__ = [
    "BATCH",
    "Discrimination",
    "DiscriminatorLoss",
    "EarlyPseudoGeneratorLoss",
    "FlowLoss",
    "Generator",
    "GeneratorLoss",
    "HalfSplit",
    "HingeDiscrimination",
    "HingeDiscriminatorLoss",
    "LayerDistance",
    "LayerFidelity",
    "LayerMontageHandler",
    "LayerRMSE",
    "LayerSeparationTrainer",
    "NetworkRuntime",
    "Objective",
    "OverlapRange",
    "OverlapSampler",
    "PartitionHead",
    "PixelRowFrechetDistance",
    "Player",
    "Players",
    "PseudoGeneratorLoss",
    "RandomMotions",
    "ReconstructionMSE",
    "ReconstructionPSNR",
    "ReconstructionSSIM",
    "ResidentImageLoader",
    "ResidentJoints",
    "ResidentLoader",
    "SeparationMetric",
    "SigmoidHead",
    "StageSchedule",
    "TensorBoardWriter",
    "WeightedLoss",
    "compose_layers",
    "compose_layers_on_device",
    "compose_published",
    "gaussian",
    "layer_reference",
    "losses_from_engine",
    "separation_row",
    "truth_from_engine",
    "values_of",
]
