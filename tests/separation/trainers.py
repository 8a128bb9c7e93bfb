"""Trainers of small networks on joints of two blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import torch
from bundle.physics.motion import MotionRange
from bundle.physics.radiograph import reconstruct
from bundle.separation.losses import PseudoGeneratorLoss
from bundle.separation.stage import Objective, Player, Players, RandomMotions, StageSchedule
from bundle.separation.trainer import LayerSeparationTrainer
from bundle.separation.transforms.dictionary import RandPseudoOverlapd
from monai.data import DataLoader, Dataset
from torch import Tensor, nn

SIZE, JOINTS, SPACING = 24, 6, 21 / 24
PLAYERS = ("generator", "supervisor", "discriminator")
PARTS = ("reconstruction", "supervision", "discrimination", "layers")


def joint(index: int) -> dict[str, Any]:
    """A joint of two blocks with random texture, air beside it: `index` seeds it; odd ones have true layers."""
    random = torch.Generator().manual_seed(index)
    masks = torch.zeros(2, SIZE, SIZE)
    masks[0, 15:, 6:18] = 1.0
    masks[1, :12, 6:18] = 1.0
    texture = torch.rand(3, SIZE, SIZE, generator=random)
    layers = torch.cat([0.3 + 0.1 * texture[:1], (0.3 + 0.3 * texture[1:]) * masks])
    layers[..., :5] = layers[..., 19:] = 0.0
    image = torch.cat([reconstruct(layers), masks])
    known = float(index % 2)
    return {
        "name": f"joint_{index}",
        "overlapping": False,
        "image": image,
        "label": layers,
        "truth": torch.tensor([known]),
        "source": image.roll(1, dims=-2),
        "spacing": torch.tensor([SPACING]),
    }


class Layers(nn.Sequential):
    """A generator of one convolution."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid())


def player(network: nn.Module, rate: float) -> Player:
    return Player(network, torch.optim.AdamW(network.parameters(), lr=rate))


def trainer(samples: list[dict[str, Any]] | None = None, rate: float = 0.01, **options: Any) -> LayerSeparationTrainer:
    """A trainer of small networks; options of its groups count by their names."""
    torch.manual_seed(0)
    samples = [joint(index) for index in range(JOINTS)] if samples is None else samples
    settings: dict[str, Any] = {
        "generator": player(Layers(), rate),
        "supervisor": player(nn.Conv2d(1, 3, 3, padding=1), rate),
        "discriminator": player(nn.Conv2d(1, 1, 3, padding=1), rate),
        "late": PseudoGeneratorLoss(),
        "ranges": MotionRange(x_mm=2.0, y_mm=2.0, rotation_deg=5.0),
        **options,
    }
    groups = {"players": Players, "objective": Objective, "motion": RandomMotions, "schedule": StageSchedule}
    made: dict[str, Any] = {}
    for name, group in groups.items():
        own = {part.name for part in fields(group)} & settings.keys()
        made[name] = group(**{key: settings.pop(key) for key in own})
    loader = DataLoader(Dataset(samples), batch_size=2, shuffle=True, num_workers=0)
    base = {"device": "cpu", "max_epochs": 1, "data_loader": loader, "decollate": False}
    return LayerSeparationTrainer(**{**base, **made, **settings})


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def everything(engine: LayerSeparationTrainer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name in PLAYERS
        for key, value in weights(getattr(engine.players, name).network).items()
    }


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def changed(engine: LayerSeparationTrainer, before: dict[str, Tensor]) -> set[str]:
    """The players whose weights are not those of `before`."""
    after = everything(engine)
    return {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}


def after_each(engine: LayerSeparationTrainer, event: Any, look: Callable[[], Any]) -> list[Any]:
    """What `look` sees at an event, each time it is fired."""
    seen: list[Any] = []
    engine.add_event_handler(event, lambda _: seen.append(look()))
    return seen


def closed(seed: int, epochs: int = 2, epochs_before: int = 0, **options: Any) -> LayerSeparationTrainer:
    samples = [joint(index) for index in range(JOINTS)]
    dataset = Dataset(samples, RandPseudoOverlapd())
    loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=0)
    return trainer(data_loader=loader, seed=seed, max_epochs=epochs, epochs_before=epochs_before, **options)
