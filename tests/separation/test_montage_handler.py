from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.io.montages import TITLES
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.separation.montage_handler import LayerMontageHandler, TensorBoardWriter, losses_from_engine, separation_row
from ignite.engine import Engine, Events
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

SIZE = 64
SPACING = 21 / SIZE


def joint(seed: int) -> tuple[dict[str, Any], Tensor]:
    """A phantom as it comes from the loader, and its layers."""
    phantom = render(sample_parameters(seed, size=SIZE, spacing=SPACING, outline_gap_mm=2.0))
    image = torch.cat([phantom.image, phantom.masks])
    return {"name": f"phantom_{seed}", "image": image, "spacing": torch.tensor([SPACING])}, phantom.layers


def test_losses_are_numbers_by_name_of_what_was_computed() -> None:
    output = {"pred": torch.zeros(3, 4, 4), "loss": torch.tensor(0.5), "layers": torch.tensor(0.25)}
    assert losses_from_engine(output) == {"loss": 0.5, "layers": 0.25}
    assert losses_from_engine([output, {"loss": torch.tensor(9.0)}]) == {"loss": 0.5, "layers": 0.25}


def test_a_row_shows_the_joint_wider_and_narrower() -> None:
    sample, layers = joint(3)
    row = separation_row(sample["image"], layers.requires_grad_(), SPACING, change_mm=3.0)
    assert len(row) == len(TITLES)
    space = (sample["image"][1:].sum(dim=0) == 0).numpy()
    space[:, : SIZE // 2 - 4] = space[:, SIZE // 2 + 4 :] = False
    assert space.any()
    wider, narrower = (panel[space].mean() for panel in row[4:6])
    assert narrower > wider + 10


def test_the_row_of_exact_layers_has_no_difference() -> None:
    sample, layers = joint(3)
    assert (separation_row(sample["image"], layers, SPACING)[-1] >= 254).all()


@pytest.fixture
def evaluation(tmp_path: Path) -> Iterator[tuple[Engine, LayerMontageHandler]]:
    """An evaluator of batches of two phantoms and the handler that it is attached to."""
    joints = [joint(seed) for seed in range(6)]
    batches = [joints[index : index + 2] for index in range(0, 6, 2)]

    def step(engine: Any, batch: list[tuple[dict[str, Any], Tensor]]) -> list[dict[str, Tensor]]:
        engine.state.batch = [sample for sample, _ in batch]
        return [{"pred": layers} for _, layers in batch]

    engine = Engine(step)
    handler = LayerMontageHandler(
        str(tmp_path / "montages"), count=3, summary_writer=TensorBoardWriter(str(tmp_path / "events"))
    )
    handler.attach(engine)
    engine.run(batches, max_epochs=1)
    yield engine, handler
    handler.writer.close()


def test_a_montage_of_the_first_joints_is_written(
    tmp_path: Path, evaluation: tuple[Engine, LayerMontageHandler]
) -> None:
    _, handler = evaluation
    path = tmp_path / "montages" / "layers_epoch_001.png"
    assert handler.labels == ["phantom_0", "phantom_1", "phantom_2"]
    with Image.open(path) as picture:
        assert picture.mode == "RGB"
        assert picture.width >= len(TITLES) * SIZE
        assert 3 * SIZE <= picture.height < 4 * SIZE + 60


def test_tensorboard_holds_the_montage(tmp_path: Path, evaluation: tuple[Engine, LayerMontageHandler]) -> None:
    _, handler = evaluation
    handler.writer.close()
    events = EventAccumulator(str(tmp_path / "events"), size_guidance={"images": 0})
    events.Reload()
    (shown,) = events.Images("layers")
    assert shown.step == 1
    with Image.open(tmp_path / "montages" / "layers_epoch_001.png") as picture:
        assert (shown.width, shown.height) == picture.size


def test_an_evaluation_forgets_the_joints_of_the_one_before(evaluation: tuple[Engine, LayerMontageHandler]) -> None:
    engine, handler = evaluation
    engine.fire_event(Events.EPOCH_STARTED)
    assert not handler.rows
    assert not handler.labels
