"""Array transforms: thin twins of the rooms' functions, whose draws can be recorded and replayed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.motion import RigidMotion, move
from bundle.physics.radiograph import reconstruct
from bundle.physics.synthesis import synthesize
from bundle.separation.pseudo_overlap import OverlapRange, compose_published
from bundle.separation.transforms.array import (
    PseudoOverlap,
    RandPseudoOverlap,
    RandShiftBones,
    RandSynthesizeJointSpace,
    Reconstruct,
    SeparateLayers,
    ShiftBones,
    SynthesizeJointSpace,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import Compose, Randomizable, Transform
from monai.utils.enums import TransformBackends
from torch import Tensor

SPACING = MCP.spacing_mm

SIZE = 64
PIXEL = 21 / SIZE
Call = Callable[[Any], tuple[Tensor, Tensor]]


@lru_cache
def joint(seed: int = 0, outline_gap_mm: float = 1.3) -> tuple[Tensor, Tensor]:
    """A phantom's image with masks (3, H, W) and its weight-free layers (3, H, W)."""
    made = render(sample_parameters(seed, outline_gap_mm=outline_gap_mm, size=SIZE, spacing=PIXEL))
    return torch.cat([made.image, made.masks]), separate(made.image[None], made.masks[None])[0]


def width(image: Tensor) -> float:
    return float(outline_gap(image[None, 1:], PIXEL))


def shift(transform: Any, **options: Any) -> tuple[Tensor, Tensor]:
    image, layers = joint()
    return transform(layers, image[1:], **options)


def remake(transform: Any, **options: Any) -> tuple[Tensor, Tensor]:
    return transform(*joint(), **options)


RANDOM: dict[str, tuple[Callable[..., Any], Callable[..., tuple[Tensor, Tensor]]]] = {
    "shift": (lambda **options: RandShiftBones(spacing_mm=PIXEL, **options), shift),
    "synthesize": (lambda **options: RandSynthesizeJointSpace(spacing_mm=PIXEL, **options), remake),
    "closure": (lambda **options: RandPseudoOverlap(spacing_mm=PIXEL, **options), remake),
}
kinds = pytest.mark.parametrize("kind", RANDOM)


def equal(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def same_motion(one: RigidMotion, other: RigidMotion) -> bool:
    return all(torch.equal(getattr(one, field.name), getattr(other, field.name)) for field in fields(RigidMotion))


def test_transforms_are_monais_with_a_backend_and_only_rand_ones_are_random() -> None:
    plain: list[Any] = [SeparateLayers(), Reconstruct(), ShiftBones(), SynthesizeJointSpace(0.1), PseudoOverlap()]
    random: list[Any] = [make() for make, _ in RANDOM.values()]
    for transform in plain + random:
        assert isinstance(transform, Transform)
        assert transform.backend == [TransformBackends.TORCH]
        assert isinstance(transform, Randomizable) == (transform in random)


def test_separating_and_composing_are_the_rooms_functions() -> None:
    image, layers = joint()
    assert torch.equal(SeparateLayers()(image), layers)
    assert torch.equal(Reconstruct()(layers), reconstruct(layers))
    assert tuple(Reconstruct()(layers[:2]).shape) == (1, SIZE, SIZE)
    torch.testing.assert_close(Reconstruct()(SeparateLayers()(image)), image[:1], atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
def test_a_shift_is_the_motion_it_was_given(mode: str) -> None:
    given_motion: dict[str, Any] = {
        "translation_mm": ((0.4, -0.3), (-0.2, 0.9)),
        "rotation_deg": (3.0, -5.0),
        "center_mm": ((1.0, 2.0), (0.5, -0.5)),
    }
    image, layers = joint()
    motion = RigidMotion(*(torch.tensor([value], dtype=torch.float64) for value in given_motion.values()))
    expected = move(layers[None], image[None, 1:], motion, PIXEL, mode)
    result = shift(ShiftBones(**given_motion, spacing_mm=PIXEL, mode=mode))
    assert equal(result, (expected[0][0], expected[1][0]))


def test_a_shift_by_default_moves_nothing_and_measures_at_the_public_spacing() -> None:
    image, layers = joint()
    moved, masks = shift(ShiftBones())
    torch.testing.assert_close(moved, layers, atol=1e-6, rtol=0)
    torch.testing.assert_close(masks, image[1:], atol=1e-6, rtol=0)
    assert ShiftBones().spacing_mm == SPACING == 21 / 256


def test_a_shift_needs_the_motion_of_both_bones() -> None:
    with pytest.raises(ValueError, match=r"translation must be \(B, 2, 2\)"):
        ShiftBones(translation_mm=((0.0, 1.0),))


@pytest.mark.parametrize("change", [-0.7, 0.25, 1.1])
@pytest.mark.parametrize("upper_share", [0.0, 0.5, 1.0])
def test_the_joint_space_changes_by_the_given_width(change: float, upper_share: float) -> None:
    image, layers = joint()
    made, made_layers = remake(SynthesizeJointSpace(change, upper_share, seed=5, spacing_mm=PIXEL))
    assert width(made) - width(image) == pytest.approx(change, abs=0.02)
    torch.testing.assert_close(made[:1], reconstruct(made_layers), atol=1e-6, rtol=0)
    motion = RigidMotion.widening(torch.tensor([change], dtype=torch.float64), upper_share)
    expected = synthesize(layers[None], image[None, 1:], motion, PIXEL, [5])
    assert equal((made, made_layers), (torch.cat([expected.image, expected.masks], dim=1)[0], expected.layers[0]))


@kinds
def test_a_seed_gives_the_same_draws_and_others_differ(kind: str) -> None:
    make, call = RANDOM[kind]
    one, again, other = (make().set_random_state(seed) for seed in (1, 1, 2))
    for _ in range(3):
        result = call(one)
        assert equal(result, call(again))
        assert same_motion(one.motion, again.motion)
        assert not equal(result, call(other))


@kinds
def test_consecutive_draws_differ(kind: str) -> None:
    make, call = RANDOM[kind]
    transform = make().set_random_state(3)
    results = [call(transform) for _ in range(4)]
    assert not any(equal(a, b) for index, a in enumerate(results) for b in results[:index])


@kinds
def test_the_last_draw_is_replayed_to_the_bit_as_often_as_asked(kind: str) -> None:
    make, call = RANDOM[kind]
    transform = make().set_random_state(4)
    result = call(transform)
    motion = transform.motion
    for _ in range(2):
        assert equal(call(transform, randomize=False), result)
        assert transform.motion is motion


@kinds
def test_what_was_not_drawn_leaves_the_joint_alone(kind: str) -> None:
    make, call = RANDOM[kind]
    image, layers = joint()
    transform = make(prob=0.0).set_random_state(0)
    first, second = call(transform)
    expected = (layers, image[1:]) if kind == "shift" else (image, layers)
    torch.testing.assert_close(first, expected[0], atol=4e-5, rtol=0)
    torch.testing.assert_close(second, expected[1], atol=1e-6, rtol=0)


@kinds
def test_a_joint_is_drawn_as_often_as_its_probability_says(kind: str) -> None:
    make, _ = RANDOM[kind]
    transform = make(prob=0.3).set_random_state(0)
    drawn = 0
    for _ in range(400):
        transform.randomize(joint()[0])
        drawn += transform._do_transform
    assert 90 < drawn < 150


@kinds
def test_inputs_are_not_changed(kind: str) -> None:
    make, call = RANDOM[kind]
    before = tuple(part.clone() for part in joint())
    call(make().set_random_state(0))
    assert equal(joint(), (before[0], before[1]))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), x=st.floats(0.0, 2.0), y=st.floats(0.0, 3.0), rotation=st.floats(0.0, 20.0))
def test_a_random_shift_stays_in_its_ranges_and_is_the_motion_it_records(
    seed: int, x: float, y: float, rotation: float
) -> None:
    transform = RandShiftBones(x_mm=x, y_mm=y, rotation_deg=rotation, spacing_mm=PIXEL).set_random_state(seed)
    assert isinstance(transform, RandShiftBones)
    result = shift(transform)
    assert bool((transform.motion.translation.abs() <= torch.tensor([x, y]) * (1 + 1e-6)).all())
    assert bool((transform.motion.rotation.abs() <= rotation * (1 + 1e-6)).all())
    image, layers = joint()
    read = RigidMotion.from_json(transform.motion.to_json())
    moved, masks = move(layers[None], image[None, 1:], read, PIXEL, "bicubic")
    assert equal(result, (moved[0], masks[0]))


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), low=st.floats(-0.8, 0.8), extent=st.floats(0.0, 0.6))
def test_a_random_change_of_width_stays_in_its_range(seed: int, low: float, extent: float) -> None:
    transform = RandSynthesizeJointSpace(change_mm=(low, low + extent), upper_share=0.3, spacing_mm=PIXEL)
    transform.set_random_state(seed)
    made, layers = remake(transform)
    down = transform.motion.translation[0, :, 1]
    assert low - 1e-6 <= float(down[0] - down[1]) <= low + extent + 1e-6
    assert width(made) - width(joint()[0]) == pytest.approx(float(down[0] - down[1]), abs=0.02)
    image, before = joint()
    expected = synthesize(before[None], image[None, 1:], transform.motion, PIXEL, [transform.seed])
    assert torch.equal(expected.layers[0], layers)


@pytest.mark.parametrize("maker", [None, compose_published])
def test_a_random_push_closes_the_joint_and_records_how(maker: Any) -> None:
    options = {} if maker is None else {"maker": maker}
    overlap = OverlapRange(outline_gap_mm=(-1.2, -0.8), x_mm=0.0, rotation_deg=0.0)
    transform = RandPseudoOverlap(overlap=overlap, spacing_mm=PIXEL, **options).set_random_state(7)
    assert isinstance(transform, RandPseudoOverlap)
    made, layers = remake(transform)
    assert transform.closes
    assert -1.25 < width(made) < -0.75
    assert tuple(made.shape) == tuple(layers.shape) == (3, SIZE, SIZE)
    image, before = joint()
    expected = transform.maker(before[None], image[None, 1:], transform.motion, PIXEL, [transform.seed])
    assert torch.equal(expected.image[0], made[:1])
    assert torch.equal(expected.layers[0], layers)


def test_a_push_that_was_not_drawn_returns_the_joint_itself() -> None:
    image, layers = joint()
    transform = RandPseudoOverlap(prob=0.0, spacing_mm=PIXEL)
    result = transform(image, layers)
    assert not transform.closes
    assert result[0] is image
    assert result[1] is layers


def test_a_seeded_push_is_the_same_for_the_same_joint_whatever_came_before() -> None:
    transform = PseudoOverlap(seed=3, spacing_mm=PIXEL)
    first = remake(transform)
    transform(*joint(1))
    assert equal(remake(transform), first)
    assert equal(remake(PseudoOverlap(seed=3, spacing_mm=PIXEL)), first)
    assert not equal(remake(PseudoOverlap(seed=4, spacing_mm=PIXEL)), first)
    assert width(first[0]) < width(joint()[0])


def test_array_transforms_work_in_monais_compose() -> None:
    image, layers = joint()
    chain = Compose(
        [RandShiftBones(spacing_mm=PIXEL), ShiftBones(translation_mm=((0.1, 0.2), (0.0, 0.3)), spacing_mm=PIXEL)],
        map_items=False,
        unpack_items=True,
    )
    chain.set_random_state(5)
    one = chain((layers, image[1:]))
    chain.set_random_state(5)
    assert equal(one, chain((layers, image[1:])))
    assert not equal(one, chain((layers, image[1:])))
    composed = Compose([SeparateLayers(), Reconstruct()])(image)
    np.testing.assert_allclose(composed.numpy(), image[:1].numpy(), atol=1e-4)
