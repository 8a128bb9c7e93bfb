"""Training stages as the handlers of checkpoints see them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from bundle.workflow.checkpoints import TrainingCheckpointLoader, TrainingCheckpointSaver
from ignite.engine import Engine, Events
from monai.data import DataLoader
from torch import nn

STEPS = 3


class Stage:
    """A stage as the handlers see it: an engine that counts epochs over both stages and learns one network."""

    def __init__(self, state: dict[str, Any], last: int, before: int = 0, steps: int = STEPS) -> None:
        self.state = state
        self.engine = Engine(self._step)
        self.engine.logger.setLevel(logging.ERROR)
        self.engine.state.epochs_before = before
        self.engine.state.max_epochs = last
        self.engine.state.epoch = before
        self.engine.state.epoch_length = steps
        self.engine.state.iteration = before * steps
        self.engine.state_dict_user_keys.append("epochs_before")
        self.epochs: list[int] = []
        self.engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: self.epochs.append(engine.state.epoch))

    def _step(self, engine: Engine, batch: Any) -> None:
        self.state["optimizer"].zero_grad()
        self.state["generator"](torch.ones(1, 2)).sum().backward()
        self.state["optimizer"].step()

    def run(self) -> list[int]:
        """Run the epochs that are left; their numbers."""
        if self.engine.state.epoch < (self.engine.state.max_epochs or 0):
            self.engine.run(DataLoader([torch.zeros(1)] * (self.engine.state.epoch_length or 0), batch_size=1))
        return self.epochs


def things(width: int = 2) -> dict[str, Any]:
    torch.manual_seed(0)
    generator = nn.Linear(2, width)
    optimizer = torch.optim.AdamW(generator.parameters(), lr=0.1)
    return {"generator": generator, "optimizer": optimizer}


def train(folder: Path, first: int, last: int, state: dict[str, Any] | None = None, **options: Any) -> list[list[int]]:
    """Both stages with saver and loader, as the configuration attaches them: the epochs run in each."""
    state = things() if state is None else state
    saver, loader = TrainingCheckpointSaver(str(folder), state), TrainingCheckpointLoader(str(folder), state)
    stages = [Stage(state, first, **options), Stage(state, last, before=first, **options)]
    for stage in stages:
        loader.attach(stage.engine)
        saver.attach(stage.engine)
    return [stage.run() for stage in stages]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def weight(state: dict[str, Any]) -> torch.Tensor:
    return state["generator"].weight.detach().clone()
