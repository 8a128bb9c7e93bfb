"""The losses of a training step, and what they are given."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.physics.masks import visible_region
from bundle.physics.motion import move
from bundle.physics.radiograph import reconstruct
from bundle.separation.adversarial import Discrimination, DiscriminatorLoss
from bundle.separation.losses import (
    LayerFidelity,
    PseudoGeneratorLoss,
    Reconstruction,
    Separation,
    Supervision,
    SupervisorLoss,
)
from bundle.separation.weighted_loss import WeightedLoss
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from tests.separation.trainers import JOINTS, PARTS, SIZE, SPACING, after_each, joint, player, trainer
from torch import Tensor, nn


def test_the_output_holds_images_labels_predictions_losses_and_named_parts() -> None:
    engine = trainer()
    engine.run()
    output, batch = engine.state.output, engine.state.batch
    assert set(output) == {"image", "label", "pred", "loss", "supervisor", "discriminator", *PARTS}
    assert torch.equal(output["image"], batch["image"])
    assert torch.equal(output["label"], batch["label"])
    assert output["pred"].shape == (2, 3, SIZE, SIZE)
    for name in ("loss", "supervisor", "discriminator", *PARTS):
        assert output[name].shape == ()
        assert output[name].isfinite()
    assert not any(value.requires_grad for value in output.values())


@pytest.mark.slow
def test_the_parts_equal_the_losses_on_the_same_inputs() -> None:
    """Without a learning rate no step changes a network, so every part can be computed anew from the outputs."""
    engine = trainer(rate=0.0, count=3, max_epochs=2)
    draws = after_each(engine, IterationEvents.FORWARD_COMPLETED, lambda: engine.random.get_state())
    pairs = after_each(engine, Events.ITERATION_COMPLETED, lambda: (engine.state.batch, engine.state.output))
    engine.run()
    assert len(pairs) == 6
    for (batch, output), draw in zip(pairs, draws, strict=True):
        expected = expected_losses(engine, batch, output["pred"], draw)
        for name, value in expected.items():
            torch.testing.assert_close(output[name], value, rtol=1e-5, atol=1e-7, msg=name)


def expected_losses(engine: Any, batch: dict[str, Tensor], layers: Tensor, draw: Any) -> dict[str, Tensor]:
    """Eq. 7, 9, 11 and 12 of a batch, motion by motion and joint by joint."""
    engine.random.set_state(draw)
    find, suspect = engine.players.supervisor.network, engine.players.discriminator.network
    J, M, truth = batch["image"][:, :1], batch["image"][:, 1:], batch["label"]
    visible = visible_region(J, M)
    motions, joints = engine.motion.count, len(J)
    motion = engine.motion.ranges.sample(motions * joints, engine.random)
    supervision, moved_layers = [], []
    for row in range(motions * joints):
        index = slice(row % joints, row % joints + 1)
        moved, moved_masks = move(layers[index], M[index], motion.of(row), SPACING, exact=False)
        moved_truth, _ = move(truth[index], M[index], motion.of(row), SPACING, exact=False)
        shown = visible_region(reconstruct(moved), moved_masks)
        supervision.append(Supervision()(find(reconstruct(moved)), moved_masks, shown))
        still = Separation(layers[index], M[index], visible[index], truth[index])
        if batch["truth"][index].item():
            shifted = Separation(moved, moved_masks, shown, moved_truth)
            moved_layers.append(LayerFidelity()(still, shifted, torch.ones(1)))
    source = batch["source"]
    seen = visible_region(source[:, :1], source[:, 1:])
    losses = {
        "reconstruction": Reconstruction()(reconstruct(layers), J, M, visible),
        "supervision": torch.stack(supervision).mean(),
        "discrimination": Discrimination()(suspect(layers[:, :1]), M, visible),
        "layers": torch.stack(moved_layers).mean() if moved_layers else torch.tensor(0.0),
        "supervisor": SupervisorLoss()(find(J), M, visible, (find(source[:, :1]), source[:, 1:], seen)),
        "discriminator": DiscriminatorLoss()(suspect(layers[:, :1]), M, visible),
    }
    losses["loss"] = sum(weight * losses[part] for part, weight in zip(PARTS, (0.5, 0.2, 0.2, 0.1), strict=True))
    return {name: value.detach() for name, value in losses.items()}


def test_without_motion_the_layers_are_compared_where_they_are() -> None:
    engine = trainer(rate=0.0, used=False)
    engine.run()
    output, batch = engine.state.output, engine.state.batch
    visible = visible_region(batch["image"][:, :1], batch["image"][:, 1:])
    still = Separation(output["pred"], batch["image"][:, 1:], visible, batch["label"])
    torch.testing.assert_close(output["layers"], LayerFidelity()(still, still, batch["truth"]).detach())
    found = engine.players.supervisor.network(reconstruct(output["pred"]))
    expected = Supervision()(found, batch["image"][:, 1:], visible).detach()
    torch.testing.assert_close(output["supervision"], expected)


class Recorder(nn.Conv2d):
    """A supervisor that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(1, 3, 3, padding=1)
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.shown.append(image.detach())
        return super().forward(image)


def test_equal_joints_of_a_batch_move_differently() -> None:
    """One motion for a whole batch is a fault of the published code."""
    network = Recorder()
    engine = trainer([joint(1)] * 2, supervisor=player(network, 0.0), rate=0.0, count=3)
    engine.run()
    moved = network.shown[-1]
    assert len(moved) == 6
    for row in range(6):
        for other in range(row):
            assert (moved[row] - moved[other]).abs().max() > 0.01


def test_sources_without_a_push_make_the_supervisors_loss_that_of_real_images() -> None:
    """Eq. 12 of an image that is its own source is Eq. 8."""
    own = [{**joint(index), "source": joint(index)["image"]} for index in range(2)]
    engine = trainer(own, rate=0.0)
    engine.run()
    J, M = engine.state.batch["image"][:, :1], engine.state.batch["image"][:, 1:]
    expected = SupervisorLoss()(engine.players.supervisor.network(J), M, visible_region(J, M)).detach()
    torch.testing.assert_close(engine.state.output["supervisor"], expected)


def test_the_generator_sees_what_is_to_be_seen_and_the_losses_the_image() -> None:
    samples = [joint(index) for index in range(JOINTS)]
    shifted = [torch.cat([sample["image"][:1], sample["image"][1:].roll(3, dims=-2)]) for sample in samples]
    given = [{**sample, "seen": image} for sample, image in zip(samples, shifted, strict=True)]
    seen, judged = [], []
    engine = trainer(given)
    engine.players.generator.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: judged.append(engine.state.output["image"]))
    engine.run()
    for shown, image in zip(seen, judged, strict=True):
        assert torch.equal(shown[:, :1], image[:, :1])
        assert torch.equal(shown[:, 1:], image[:, 1:].roll(3, dims=-2))


class BrightTissue(nn.Module):
    """A loss of one's own: the mean of the soft tissue."""

    def forward(self, layers: Tensor, batch: dict[str, Tensor]) -> Tensor:
        assert set(batch) >= {"image", "label", "truth", "spacing"}
        return layers[:, 0].mean()


def test_extra_losses_are_added_with_their_weights_and_named_in_the_output() -> None:
    loss = PseudoGeneratorLoss()
    engine = trainer(late=loss, extra={"tissue": WeightedLoss(BrightTissue(), 3.0)})
    outputs = after_each(engine, IterationEvents.LOSS_COMPLETED, lambda: dict(engine.state.output))
    engine.run()
    for output in outputs:
        own = output["loss"] - loss({part: output[part] for part in PARTS})
        torch.testing.assert_close(output["extra_tissue"], output["pred"][:, 0].mean())
        torch.testing.assert_close(own, 3.0 * output["extra_tissue"])


@pytest.mark.long
def test_an_extra_loss_changes_what_is_learned() -> None:
    def brightness(weight: float) -> float:
        engine = trainer(max_epochs=20, extra={"tissue": WeightedLoss(BrightTissue(), weight)})
        engine.run()
        return float(engine.state.output["pred"][:, 0].mean())

    assert brightness(100.0) < brightness(0.0)
