"""Alignments as maps of the plane, and the narrowing that follows from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.facing import facing_centers
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.motion import RigidMotion
from bundle.registration.alignment import (
    Alignment,
    FrameMotion,
    between,
    bone_centers,
    narrowing,
    of_shifts,
    reduced,
    seen_places,
    warp,
    warp_bones,
)
from bundle.registration.gauss_newton import BoneShift
from torch import Tensor

SPACING = MCP.spacing_mm

SIZE = 48


def bones(seed: int, count: int = 3) -> Alignment:
    random = np.random.RandomState(seed)
    parameters = torch.from_numpy(random.uniform(-1.0, 1.0, (count, 2, 4)))
    parameters = parameters * torch.tensor([0.05, 5.0, 1.0, 1.0]) + torch.tensor([1.0, 0.0, 0.0, 0.0])
    return Alignment.from_parameters(parameters, torch.from_numpy(random.uniform(-2.0, 2.0, (count, 2, 2))))


def places(count: int = 3) -> Tensor:
    return torch.from_numpy(np.random.RandomState(9).uniform(-8.0, 8.0, (count, 2, 5, 2)))


def test_a_place_is_turned_from_x_to_y_scaled_and_shifted() -> None:
    given = Alignment.from_parameters(torch.tensor([2.0, 90.0, 0.5, -1.0]), torch.tensor([1.0, 1.0]))
    assert given(torch.tensor([[2.0, 1.0]]))[0].tolist() == pytest.approx([1.5, 2.0], abs=1e-6)


def test_alignments_compose_as_maps_and_their_inverse_takes_them_back() -> None:
    first, second, x = bones(0), bones(1), places()
    assert torch.allclose(first.then(second)(x), second(first(x)))
    assert torch.allclose(first.then(first.inverse())(x), x)
    assert torch.allclose(first.about(second.center)(x), first(x))
    assert torch.equal(first.about(second.center).center, second.center)


def test_the_alignment_of_a_synthetic_pair_takes_the_bones_of_one_image_to_those_of_the_other() -> None:
    random, edge = np.random.RandomState(3), torch.tensor([[[0.3, 1.0], [-0.2, -1.1]]])
    drawn = [torch.from_numpy(random.uniform(-1.0, 1.0, (1, 2, 3))).float() for _ in range(2)]
    motions = [RigidMotion(part[..., :2], 5 * part[..., 2], edge) for part in drawn]
    fixed, moving = (Alignment.of(motion) for motion in motions)
    x = places(1).float()
    assert torch.allclose(between(*motions)(fixed(x)), moving(x), atol=1e-5)


def test_half_an_alignment_applied_twice_is_the_alignment() -> None:
    given, x = bones(2), places()
    assert torch.allclose(given.halved()(given.halved()(x)), given(x), atol=1e-12)
    assert torch.equal(given.halved().center, given.center)


def test_the_mean_of_both_directions_is_antisymmetric_and_none_of_an_alignment_and_itself() -> None:
    there, back, x = bones(3), bones(4), places()
    found, exchanged = there.balanced(back), back.balanced(there)
    assert torch.allclose(exchanged(found(x)), x, atol=1e-12)
    assert torch.equal(found.center, there.center)
    assert torch.allclose(there.balanced(there)(x), x, atol=1e-12)
    assert torch.allclose(there.balanced(there.inverse())(x), there(x), atol=1e-12)


@pytest.mark.parametrize("upper_share", [0.0, 0.5, 1.0])
def test_a_widening_of_the_joint_is_a_negative_narrowing(upper_share: float) -> None:
    change = torch.tensor([0.7, -0.4])
    motion = RigidMotion.widening(change, upper_share)
    motion.center[:] = torch.tensor([[0.1, 1.0], [0.2, -0.8]])
    found = narrowing(between(RigidMotion(motion.translation * 0, motion.rotation, motion.center), motion))
    assert found.tolist() == pytest.approx([-0.7, 0.4])


def test_another_place_turn_and_size_of_the_whole_hand_do_not_change_the_narrowing() -> None:
    given = bones(0)
    frame = FrameMotion(translation_mm=2.0, rotation_deg=8.0).sample(3, np.random.RandomState(0)).to(given.scale)
    assert torch.allclose(narrowing(given.then(frame.of_both())), narrowing(given), atol=1e-9)
    larger = Alignment(frame.scale * 1.1, frame.rotation, frame.translation, frame.center)
    assert torch.allclose(narrowing(given.then(larger.of_both())), narrowing(given), atol=1e-9)


def test_a_pair_and_its_reverse_have_opposite_narrowing() -> None:
    motion = RigidMotion.widening(torch.tensor([0.7]))
    motion.center[:] = torch.tensor([[0.1, 1.0], [0.2, -0.8]])
    given = Alignment.of(motion)
    assert float(narrowing(given.inverse())) == pytest.approx(-float(narrowing(given)))


def test_narrowing_along_an_axis_is_that_of_the_upright_joint() -> None:
    motion = RigidMotion.widening(torch.tensor([0.7]))
    motion.center[:] = torch.tensor([[0.1, 1.0], [0.2, -0.8]])
    upright = Alignment.of(motion)
    turn = Alignment.from_parameters(torch.tensor([[1.0, 20.0, 0.0, 0.0]]), torch.zeros(1, 2)).to(upright.scale)
    leaning = turn.inverse().of_both().then(upright).then(turn.of_both())
    center = turn.of_both()(upright.center[:, :, None])[:, :, 0]
    assert float(narrowing(leaning.about(center), torch.tensor([20.0]))) == pytest.approx(-0.7, abs=1e-6)


def test_shifts_of_a_registration_become_an_alignment() -> None:
    center = torch.tensor([[0.1, 1.0], [0.2, -0.8]])
    found = of_shifts([BoneShift(0.1, 0.2, 1.0, 0.9, True), BoneShift(0.0, -0.1, 2.0, 0.9, True, 1.02)], center)
    assert torch.allclose(found.parameters()[0, 1], torch.tensor([1.02, 2.0, 0.0, -0.1]))
    assert bool(narrowing(of_shifts([BoneShift(), BoneShift()], center)).isnan())


def naive_warp(image: np.ndarray, scale: float, degrees: float, shift: list[float], center: list[float]) -> np.ndarray:
    """Written from the definition, pixel by pixel, bilinear; NaN where a neighbour is outside."""
    height, width = image.shape
    found = np.full(image.shape, np.nan)
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    for row in range(height):
        for column in range(width):
            x = (np.array([column, row]) - middle) * SPACING
            target = (np.array(center) + shift + scale * turn @ (x - center)) / SPACING + middle
            u, v = np.floor(target).astype(int)
            if 0 <= u < width - 1 and 0 <= v < height - 1:
                right, down = target - [u, v]
                top = image[v, u] * (1 - right) + image[v, u + 1] * right
                bottom = image[v + 1, u] * (1 - right) + image[v + 1, u + 1] * right
                found[row, column] = top * (1 - down) + bottom * down
    return found


def test_a_warp_takes_each_pixel_from_where_its_place_lies() -> None:
    image = torch.rand(1, 1, 20, 26, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given = Alignment.from_parameters(
        torch.tensor([[1.04, 7.0, 0.2, -0.1]], dtype=torch.float64), torch.tensor([[0.3, 0.2]], dtype=torch.float64)
    )
    expected = naive_warp(image[0, 0].numpy(), 1.04, 7.0, [0.2, -0.1], [0.3, 0.2])
    found = warp(image, given, SPACING)[0, 0].numpy()
    known = ~np.isnan(expected)
    assert known.sum() > 300
    assert found[known] == pytest.approx(expected[known], abs=1e-9)


def test_each_bone_is_warped_by_its_own_alignment() -> None:
    image, given = torch.rand(3, 1, SIZE, SIZE).double(), bones(0)
    found = warp_bones(image, given, SPACING)
    for bone in range(2):
        alone = given.of_bone(bone)
        assert torch.equal(found[:, bone : bone + 1], warp(image, alone, SPACING))


@pytest.mark.slow
def test_a_warp_has_gradients_in_all_parameters() -> None:
    image = torch.rand(1, 1, 12, 12, dtype=torch.float64)
    center = torch.tensor([[[0.1, 0.2], [-0.1, 0.05]]]).double()
    parameters = torch.tensor([[[1.02, 3.0, 0.011, 0.023], [0.98, -2.0, 0.013, -0.021]]]).double().requires_grad_()

    def moved(given: Tensor) -> Tensor:
        return warp_bones(image, Alignment.from_parameters(given, center), SPACING)

    assert torch.autograd.gradcheck(moved, (parameters,), eps=1e-7, atol=1e-3, nondet_tol=0.0)


@pytest.mark.parametrize(
    ("size", "spacing"), [(256, 21 / 256), (512, 21 / 512), (140, 0.15), (300, 0.08), (128, 21 / 128)]
)
def test_a_frame_for_a_network_shows_the_same_places_whatever_the_pixels(size: int, spacing: float) -> None:
    steps = (torch.arange(size) - (size - 1) / 2) * spacing
    ramp = (steps[None, :] * 0.02 + steps[:, None] * 0.03)[None, None]
    pixel = 21 / 64
    expected = (torch.arange(64) - 31.5) * pixel
    found = reduced(ramp, torch.tensor([spacing]), 64)[0, 0]
    inner = slice(2, -2)
    assert torch.allclose(
        found[inner, inner], (expected[None, :] * 0.02 + expected[:, None] * 0.03)[inner, inner], atol=2e-3
    )


def test_places_are_seen_that_lie_in_the_moving_frame() -> None:
    still = Alignment.still(torch.zeros(1, 2, 2))
    still.translation[0, 0] = torch.tensor([3.0, 0.0]) * SPACING
    seen = seen_places(still, torch.zeros(1, 2, 8, 10), SPACING)
    assert seen[0, 1].all() and seen[0, 0, :, :7].all() and not seen[0, 0, :, 7:].any()


def test_centers_are_those_of_the_facing_edges() -> None:
    masks = render(sample_parameters(3, size=96, spacing=21 / 96, outline_gap_mm=1.2)).masks
    assert bone_centers(masks, 21 / 96).numpy() == pytest.approx(facing_centers(masks.numpy() > 0.5, 21 / 96), abs=1e-6)


def test_shapes_that_do_not_agree_are_refused() -> None:
    with pytest.raises(ValueError, match="scale and rotation must be"):
        Alignment(torch.ones(2), torch.zeros(2), torch.zeros(2, 2), torch.zeros(3, 2))
