"""The network that registers bones: what it starts from, what it answers to, and that it learns."""

from __future__ import annotations

import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.registration.alignment import Alignment, narrowing
from bundle.registration.losses import AlignmentLoss
from bundle.registration.network import Registrar, RoundBounds

SPACING = MCP.spacing_mm

OPTIONS = {"widen_factor": 0.125}
CENTER = torch.tensor([[[0.1, 0.9], [0.0, -0.7]]])
PHANTOM = render(sample_parameters(2, outline_gap_mm=1.5))
GIVEN = (PHANTOM.image[None], PHANTOM.masks[None])


def registrar(rounds: int = 2, **more: object) -> Registrar:
    torch.manual_seed(0)
    return Registrar("ResNet10", OPTIONS, rounds=rounds, **more).eval()  # type: ignore[arg-type]


def stirred(network: Registrar) -> Registrar:
    """The network with a last layer that says something."""
    torch.nn.init.normal_(network.network.fc.weight, std=0.05)
    return network


def test_an_untrained_network_finds_no_motion() -> None:
    found = registrar()(*GIVEN, GIVEN[0], torch.tensor([SPACING]), CENTER)
    assert len(found) == 2
    assert torch.equal(found[-1].parameters(), Alignment.still(CENTER).parameters())
    assert torch.equal(found[-1].center, CENTER)


def test_what_a_round_finds_is_bounded() -> None:
    network = registrar(1, bounds=RoundBounds(translation_mm=0.5, rotation_deg=3.0, scale=0.01))
    torch.nn.init.normal_(network.network.fc.weight, std=1e4)
    found = network(*GIVEN, GIVEN[0], torch.tensor([SPACING]), CENTER)[0]
    assert float(found.translation.abs().max()) <= 0.5 + 1e-6 and float(found.rotation.abs().max()) <= 3.0
    assert float((found.scale.log()).abs().max()) <= 0.01 + 1e-6


def test_a_radiograph_upside_down_exchanges_the_bones() -> None:
    network, moving = stirred(registrar()), render(sample_parameters(2, outline_gap_mm=1.0)).image[None]
    upright = network(*GIVEN, moving, torch.tensor([SPACING]), CENTER)[-1].parameters()
    turned = torch.tensor([1.0, -1.0])
    down = [part.flip(-2) for part in (GIVEN[0], GIVEN[1].flip(1), moving)]
    found = network(*down, torch.tensor([SPACING]), CENTER.flip(1) * turned)[-1].parameters()
    assert not torch.allclose(upright[..., 1], torch.zeros(()))
    assert torch.allclose(found.flip(1) * torch.tensor([1.0, -1.0, 1.0, -1.0]), upright, atol=1e-3)


@pytest.mark.slow
def test_the_outlines_of_the_moving_radiograph_are_not_asked_for_and_samples_do_not_mix() -> None:
    network = stirred(registrar())
    moving = torch.stack([render(sample_parameters(2, outline_gap_mm=width)).image for width in (1.0, 1.9)])
    fixed, masks = (part.repeat(2, 1, 1, 1) for part in GIVEN)
    both = network(fixed, masks, moving, torch.full((2,), SPACING), CENTER.repeat(2, 1, 1))[-1]
    alone = network(*GIVEN, moving[1:], torch.tensor([SPACING]), CENTER)[-1]
    assert torch.allclose(both.parameters()[1:], alone.parameters(), atol=1e-4)


def test_frames_of_other_pixels_give_nearly_the_same() -> None:
    network = stirred(registrar())
    moving = render(sample_parameters(2, outline_gap_mm=1.0)).image[None]
    small = [torch.nn.functional.interpolate(part, (128, 128), mode="area") for part in (*GIVEN, moving)]
    found = [
        network(*parts, torch.tensor([MCP.frame_mm / parts[0].shape[-1]]), CENTER)[-1].parameters()
        for parts in ((*GIVEN, moving), small)
    ]
    assert torch.allclose(*found, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("amp", [False, True])
def test_it_learns_the_motion_of_a_pair(amp: bool) -> None:
    network = registrar(1, size=64, view=32, amp=amp).train()
    moving = torch.cat([GIVEN[0], GIVEN[0].roll((3, 2), (2, 3))])
    fixed, masks = (part.repeat(2, 1, 1, 1) for part in GIVEN)
    center = CENTER.repeat(2, 1, 1)
    true = Alignment.still(center)
    true.translation[1] = torch.tensor([2.0, 3.0]) * SPACING
    optimizer, errors = torch.optim.AdamW(network.parameters(), 0.002), []
    for _ in range(60):
        loss = AlignmentLoss()(network(fixed, masks, moving, torch.full((2,), SPACING), center)[-1], true)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(float(loss.detach()))
    assert min(errors[-10:]) < 0.5 * errors[0]
    assert narrowing(true).abs().max() < 1e-6
