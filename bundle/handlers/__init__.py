"""Ignite handlers of the two-phase workflow, of inference, evaluation and synthesis."""

from bundle.handlers.averaging import AverageUpdater, WeightAverage
from bundle.handlers.checkpoints import (
    BestWeightsSaver,
    EpochSeed,
    FinalWeightsSaver,
    GeneratorWeights,
    NetworkWeights,
    StartingWeights,
    TrainingCheckpointLoader,
    TrainingCheckpointSaver,
)
from bundle.handlers.last_validation import LastValidation
from bundle.handlers.logging import LayerMontageHandler, TensorBoardWriter, losses_from_engine
from bundle.handlers.quality import JointQuality
from bundle.handlers.results import EvaluationReport, LayerWriter
from bundle.handlers.run_settings import RunSettings
from bundle.handlers.time_limit import TimeLimit
from bundle.handlers.training_record import EpochRecord, TrainingRecord

__all__ = [
    "AverageUpdater",
    "BestWeightsSaver",
    "EpochRecord",
    "EpochSeed",
    "EvaluationReport",
    "FinalWeightsSaver",
    "GeneratorWeights",
    "JointQuality",
    "LastValidation",
    "LayerMontageHandler",
    "LayerWriter",
    "NetworkWeights",
    "RunSettings",
    "StartingWeights",
    "TensorBoardWriter",
    "TimeLimit",
    "TrainingCheckpointLoader",
    "TrainingCheckpointSaver",
    "TrainingRecord",
    "WeightAverage",
    "losses_from_engine",
]
