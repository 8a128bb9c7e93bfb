from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.networks.transunet import TransUNet
from bundle.separation.losses import GeneratorLoss
from bundle.separation.stage import Objective, Player, Players
from bundle.separation.trainer import LayerSeparationTrainer
from bundle.workflow.costs import Passes, TrainingCost, TrainingStep, forward_flop, parameters_of
from bundle.workflow.jobs import Schedule
from monai.data import DataLoader, Dataset
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

SIZE, BATCH = 32, 2


def networks() -> dict[str, nn.Module]:
    """Of several layers, so that the one backwards pass that is left out, to the image, counts little."""

    def deep(channels: int, out: int) -> nn.Module:
        layers: list[nn.Module] = [nn.Conv2d(channels, 16, 3, padding=1)]
        layers += [nn.Conv2d(16, 16, 3, padding=1) for _ in range(6)]
        return nn.Sequential(*layers, nn.Conv2d(16, out, 3, padding=1))

    generator = nn.Sequential(deep(3, 3), nn.Sigmoid())
    return {"generator": generator, "supervisor": deep(1, 3), "discriminator": deep(1, 1)}


def cost(**options: Any) -> TrainingCost:
    joints = [{"overlapping": index < 4} for index in range(10)]
    tflops = options.pop("tflops", 0.0)
    return TrainingCost(networks(), joints, Schedule(6, 3, 2), BATCH, TrainingStep(**options), SIZE, tflops)


def test_operations_of_a_convolution_are_two_a_product() -> None:
    network = nn.Conv2d(3, 5, 3, padding=1)
    assert forward_flop(network, 3, 8, 8) == 2 * 3 * 5 * 9 * 64
    assert parameters_of(network) == 3 * 5 * 9 + 5


@pytest.mark.slow
def test_the_published_generator_has_67_million_parameters_and_67_gflop() -> None:
    network = TransUNet(3, 3)
    assert parameters_of(network) == pytest.approx(67e6, rel=0.01)
    assert forward_flop(network, 3, 256, 256) == pytest.approx(67e9, rel=0.01)


def test_counted_operations_are_those_of_a_real_step() -> None:
    made = {name: Player(net, torch.optim.SGD(net.parameters(), 0.1)) for name, net in networks().items()}
    image = torch.rand(3, SIZE, SIZE)
    sample = {"image": image, "label": image, "truth": torch.ones(1), "source": image, "spacing": torch.ones(1)}
    loader = DataLoader(Dataset([sample] * BATCH), batch_size=BATCH, num_workers=0)
    trainer = LayerSeparationTrainer("cpu", 1, loader, Players(**made), Objective(late=GeneratorLoss()))
    batch = next(iter(loader))
    with FlopCounterMode(display=False) as counter:
        trainer._iteration(trainer, batch)
    assert BATCH * cost().flop_of_image() == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_the_schedule_counts_stages_and_the_epochs_without_discriminator() -> None:
    made = cost()
    whole, early = made.flop_of_image(), made.flop_of_image(discriminated=False)
    assert early < whole
    assert made.flop() == {"early": 6 * early, "stage1": 6 * whole, "stage2": 10 * whole}
    assert made.total_flop() == pytest.approx(2 * 6 * early + 4 * 6 * whole + 3 * 10 * whole)
    assert made.steps() == {"stage1": 3, "stage2": 5}


def test_a_player_that_is_switched_off_costs_nothing() -> None:
    without = cost(use_supervisor="false", use_discriminator=False)
    assert set(without.parameters) == {"generator"}
    assert without.flop_of_image() == 3 * forward_flop(networks()["generator"], 3, SIZE, SIZE)


def test_passes_that_learn_cost_three_and_those_that_lead_through_two() -> None:
    assert Passes(learning=1.0, through=2.0, still=1.0).forwards == 8.0


def test_a_summary_tells_time_at_a_rate() -> None:
    made = cost(tflops=1e-6)
    minutes = made.total_flop() / 1e6 / 60
    assert f"time at 1e-06 TFLOP/s: {minutes:.1f} minutes" in made.summary()
    assert "--peak_tflops" in cost().summary()
    assert "6 in stage 1, 10 in stage 2" in made.summary()


def test_what_was_spent_is_told_by_the_record_of_the_training(tmp_path: Path) -> None:
    record = {"validations": [{"epoch": 0, "seconds": 0.0}, {"epoch": 9, "seconds": 18.0}]}
    (tmp_path / "training.json").write_text(json.dumps(record))
    made = cost(tflops=2.0)
    found = made.spent(tmp_path)
    assert found["seconds_per_epoch"] == 2.0
    assert found["tflops_reached"] == pytest.approx(made.total_flop() / 18.0 / 1e12)
    assert found["part_of_peak"] == pytest.approx(found["tflops_reached"] / 2.0)
    assert "part_of_peak" not in cost().spent(tmp_path)


@pytest.mark.parametrize("tflops", [-1.0, float("nan")])
def test_a_peak_that_is_none_is_refused_by_name(tflops: float) -> None:
    with pytest.raises(InputError, match=r"^peak_tflops"):
        cost(tflops=tflops)
