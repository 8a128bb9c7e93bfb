"""Workflow of runs: options, checkpoints, weights, time limits, records and jobs."""

from __future__ import annotations

from bundle.workflow.averaging import AverageUpdater, WeightAverage
from bundle.workflow.checkpoints import TrainingCheckpointLoader, TrainingCheckpointSaver, reserve_training
from bundle.workflow.config_parts import ConfigPart
from bundle.workflow.costs import TrainingCost, TrainingStep
from bundle.workflow.ending import end_run, iteration_loss, running
from bundle.workflow.extending import extend_config
from bundle.workflow.jobs import BundleRun, JobReport, job_configs, reserve_job, scaled_schedule, scaled_task, workers
from bundle.workflow.last_validation import FirstValidation, LastValidation
from bundle.workflow.options import CheckedWorkflow, check_options
from bundle.workflow.own_weights import used_weights
from bundle.workflow.run_settings import RunSettings, results_run
from bundle.workflow.seeding import EpochSeed, seed_epoch
from bundle.workflow.task_costs import Stage, TaskCost
from bundle.workflow.time_limit import TimeLimit
from bundle.workflow.training_record import EpochRecord, TrainingClock, TrainingRecord
from bundle.workflow.weights import (
    BestWeightsSaver,
    FinalWeightsSaver,
    GeneratorWeights,
    NetworkWeights,
    StartingWeights,
)

__all__ = [
    "AverageUpdater",
    "BestWeightsSaver",
    "BundleRun",
    "CheckedWorkflow",
    "ConfigPart",
    "EpochRecord",
    "EpochSeed",
    "FinalWeightsSaver",
    "FirstValidation",
    "GeneratorWeights",
    "JobReport",
    "LastValidation",
    "NetworkWeights",
    "RunSettings",
    "Stage",
    "StartingWeights",
    "TaskCost",
    "TimeLimit",
    "TrainingCheckpointLoader",
    "TrainingCheckpointSaver",
    "TrainingClock",
    "TrainingCost",
    "TrainingRecord",
    "TrainingStep",
    "WeightAverage",
    "check_options",
    "end_run",
    "extend_config",
    "iteration_loss",
    "job_configs",
    "reserve_job",
    "reserve_training",
    "results_run",
    "running",
    "scaled_schedule",
    "scaled_task",
    "seed_epoch",
    "used_weights",
    "workers",
]
