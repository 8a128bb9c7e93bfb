"""Losses of BLS-GAN against loops, and its trainer."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from bundle.physics.radiograph import bone_radiographs, reconstruct
from bundle.separation.bls_gan.bone_layers import BoneLayerGenerator, Correction, reconstruct_bones
from bundle.separation.bls_gan.trainer import BoneLayerTrainer, BoneSupervision, BoneSupervisorLoss
from bundle.separation.losses import GeneratorLoss
from bundle.separation.stage import Objective, Player, Players, RandomMotions
from monai.data import DataLoader, Dataset
from torch import Tensor, nn

B, H, W = 2, 5, 4


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def logits(seed: int = 0) -> Tensor:
    return 6.0 * draw(B, 4, H, W, seed=seed) - 3.0


def masks() -> Tensor:
    """Overlap in row 2 of the first sample, none in the second."""
    m = torch.zeros(B, 2, H, W, dtype=torch.float64)
    m[:, 0, 2:, 1:] = 1.0
    m[0, 1, :3, 1:3] = m[1, 1, :2, 1:3] = 1.0
    return m


def naive_bce(z: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """Sum over the region of one sample, divided by all of its values."""
    total = torch.zeros((), dtype=z.dtype)
    for c, y, x in itertools.product(range(4), range(H), range(W)):
        p, t = torch.sigmoid(z[c, y, x]), target[c, y, x]
        total = total - region[c, y, x] * (t * torch.log(p) + (1 - t) * torch.log(1 - p))
    return total / z.numel()


def naive_dice(z: Tensor, target: Tensor, region: Tensor) -> Tensor:
    p = torch.sigmoid(z) * region
    return 1 - (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)


def compare(value: Tensor, expected: Tensor, leaf: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(value, expected)
    gradients = torch.autograd.grad(value, leaf)[0], torch.autograd.grad(expected, other)[0]
    assert float(gradients[1].abs().max()) > 1e-4
    torch.testing.assert_close(*gradients)


def test_bone_supervision_is_the_loop_over_two_copies_and_the_overlap() -> None:
    z, other = (logits().requires_grad_() for _ in range(2))
    m = masks()
    expected = torch.zeros((), dtype=z.dtype)
    for n in range(B):
        twice = torch.cat([m[n], m[n]])
        both = (m[n, 0] * m[n, 1]).expand(4, H, W)
        for target in (twice, both):
            part = naive_bce(other[n], target, target) + naive_dice(other[n], target, target)
            expected = expected + 0.5 * part / B
    compare(BoneSupervision()(z, m), expected, z, other)


@pytest.mark.parametrize("known", [(1.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_bone_supervisor_loss_is_the_mean_of_what_it_is_shown(known: tuple[float, float]) -> None:
    shown, others = ([logits(seed).requires_grad_() for seed in range(3)] for _ in range(2))
    m = masks()
    expected = torch.zeros((), dtype=m.dtype)
    for n in range(B):
        alone = m[n] * (1 - m[n, 0] * m[n, 1])
        twice = torch.cat([m[n], m[n]])
        targets = (torch.cat([alone, alone]), torch.cat([m[n], torch.zeros_like(m[n])]), twice)
        entropies = [naive_bce(z[n], target, twice) for z, target in zip(others, targets, strict=True)]
        expected = expected + (entropies[0] + entropies[1] + known[n] * entropies[2]) / (2 + known[n]) / B
    value = BoneSupervisorLoss()(*shown, torch.tensor(known), m)
    compare(value, expected, shown[1], others[1])


def test_the_generator_wants_found_twice_what_the_supervisor_finds_once() -> None:
    m = masks()
    real, fake = (20.0 * torch.cat([m, copy], dim=1) - 10.0 for copy in (m, torch.zeros_like(m)))
    assert float(BoneSupervision()(real, m)) < 0.01
    assert float(BoneSupervision()(fake, m)) > 0.5
    alone = 20.0 * torch.cat([m * (1 - m.prod(dim=1, keepdim=True))] * 2, dim=1) - 10.0
    assert float(BoneSupervisorLoss()(alone, fake, real, torch.ones(B), m)) < 0.01


def joint(index: int) -> dict[str, Any]:
    m = masks()[:1].float().repeat_interleave(8, dim=-1).repeat_interleave(8, dim=-2)[0]
    layers = torch.cat([torch.full_like(m[:1], 0.3), draw(2, *m.shape[1:], seed=index).float() * m])
    return {
        "image": torch.cat([reconstruct(layers), m]),
        "label": layers,
        "truth": torch.tensor([float(index % 2)]),
        "source": torch.cat([reconstruct(layers), m]),
        "spacing": torch.tensor([0.1]),
    }


def trainer(**options: Any) -> BoneLayerTrainer:
    torch.manual_seed(0)
    networks = (
        BoneLayerGenerator(nn.Conv2d(3, 2, 3, padding=1), Correction(2)),
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Conv2d(1, 1, 3, padding=1),
    )
    players = [Player(network, torch.optim.Adam(network.parameters(), lr=0.01)) for network in networks]
    loss = GeneratorLoss(reconstruction=0.3, supervision=0.3, discrimination=0.0, layers=0.4)
    settings = {
        "device": "cpu",
        "max_epochs": 1,
        "data_loader": DataLoader(Dataset([joint(index) for index in range(4)]), batch_size=2),
        "players": Players(*players, use_discriminator=False),
        "objective": Objective(late=loss),
        "motion": RandomMotions(used=False),
        "decollate": False,
        **options,
    }
    return BoneLayerTrainer(**settings)


def changed(engine: BoneLayerTrainer, before: dict[str, Tensor]) -> set[str]:
    after = weights(engine)
    return {".".join(key.split(".")[:2]) for key in before if not torch.equal(before[key], after[key])}


def weights(engine: BoneLayerTrainer) -> dict[str, Tensor]:
    players = dict(zip(("generator", "supervisor", "discriminator"), engine.players, strict=True))
    return {f"{n}.{key}": value.clone() for n, p in players.items() for key, value in p.network.state_dict().items()}


def test_pre_training_steps_generator_correction_and_supervisor() -> None:
    engine = trainer()
    before = weights(engine)
    engine.run()
    found = changed(engine, before)
    assert {"generator.backbone", "generator.correction", "supervisor.weight"} <= found
    assert not any(name.startswith("discriminator") for name in found)


def test_main_training_as_published_steps_the_generator_alone() -> None:
    engine = trainer(generator_alone=True)
    before = weights(engine)
    engine.run()
    assert changed(engine, before) == {"generator.backbone"}


def test_the_parts_are_those_of_the_batch() -> None:
    engine = trainer()
    for player in (engine.players.generator, engine.players.supervisor):
        player.optimizer.param_groups[0]["lr"] = 0.0
    engine.run()
    output, batch = engine.state.output, engine.state.batch
    J, M = batch["image"][:, :1], batch["image"][:, 1:]
    raw = engine.players.generator.network(batch["image"], separated=False)
    k, bones = raw[:, :1], raw[:, 1:]
    either = (M.sum(dim=1, keepdim=True) > 0).float()
    error = ((reconstruct_bones(bones, k, M) - J) ** 2 * either).sum((1, 2, 3)) / either.sum((1, 2, 3))
    torch.testing.assert_close(output["reconstruction"], error.sqrt().mean().detach(), atol=2e-6, rtol=1e-5)
    true = bone_radiographs(batch["label"]) * M
    known = batch["truth"][:, 0] == 1
    distance = ((bones - true) ** 2).mean((1, 2, 3)).sqrt()[known].mean()
    torch.testing.assert_close(output["layers"], distance.detach(), atol=2e-6, rtol=1e-5)
    found = engine.players.supervisor.network(bones)
    torch.testing.assert_close(output["supervision"], BoneSupervision()(found, M).detach())
    total = 0.3 * output["reconstruction"] + 0.3 * output["supervision"] + 0.4 * output["layers"]
    torch.testing.assert_close(output["loss"], total)
