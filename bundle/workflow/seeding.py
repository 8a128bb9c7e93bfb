"""Seeds of the epochs of a training, so that a resumed training equals an uninterrupted one."""

from __future__ import annotations

import random
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.data import set_rnd


def seed_epoch(seed: int, epoch: int, dataset: Any) -> int:
    """Seed all random generators of an epoch, so that a resumed training equals an uninterrupted one.

    Args:
        seed: random seed of the training.
        epoch: number of the epoch.
        dataset: data set whose random transforms are seeded; None for none.

    Returns:
        The seed of this epoch and process.
    """
    own = int(np.random.SeedSequence([seed, epoch, idist.get_rank()]).generate_state(1)[0])
    torch.manual_seed(own)
    np.random.seed(own)
    random.seed(own)
    if dataset is not None:
        set_rnd(dataset, own % 2**31)
    return own


class EpochSeed:
    """Handler that seeds all random generators at the start of each epoch (:func:`bundle.workflow.seed_epoch`).

    Args:
        seed: random seed of the training.
        dataset: data set whose random transforms are seeded.
    """

    def __init__(self, seed: int, dataset: Any) -> None:
        self.seed, self.dataset = seed, dataset

    def attach(self, engine: Engine) -> None:
        """Seed with the trainer."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed the starting epoch."""
        seed_epoch(self.seed, engine.state.epoch, self.dataset)
