"""Registration against analytic motion, and against phantoms rendered at another joint space width."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.facing import facing_centers, facing_edges
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.radiograph import intensity
from bundle.registration.gauss_newton import BoneRegistration, BoneShift, correlation_of
from torch import Tensor

SPACING = MCP.spacing_mm

SIZE = 192
Places = tuple[tuple[float, float], tuple[float, float]]
PLACES = ((96.0, 108.0), (96.0, 83.0))
"""Middle (x, y) in pixels of the edges that face the joint, of the lower and the upper bone."""
OVERLAPPING = ((96.0, 68.0), (96.0, 123.0))
"""The same of bones that overlap by 4.6 mm."""


def texture(x: Tensor, y: Tensor, seed: int) -> Tensor:
    """A smooth random function of the place in pixels, between -1 and 1, known everywhere."""
    random = np.random.RandomState(seed)
    waves = [random.uniform(-0.7, 0.7, 2) for _ in range(40)]
    return sum(torch.cos(kx * x + ky * y + random.uniform(0, 6)) for kx, ky in waves) / 40


def joint(
    lower: tuple[float, float, float], upper: tuple[float, float, float], shadow: float = 0.0, places: Places = PLACES
) -> Tensor:
    """An analytic radiograph whose bones have moved by (x, y) pixels and degrees; ``shadow`` of each bone stays."""
    y, x = torch.meshgrid(torch.arange(SIZE).double(), torch.arange(SIZE).double(), indexing="ij")
    total = 0.4 + 0.1 * torch.cos(x / 60.0) + 0.001 * y
    for bone, motion in enumerate((lower, upper)):
        right, down = x - places[bone][0], y - places[bone][1]
        moved, still = _bone(bone, right, down, motion), _bone(bone, right, down, (0.0, 0.0, 0.0))
        total = total + (1.0 - shadow) * moved + shadow * still
    return intensity(total)[None].float()


def _bone(bone: int, x: Tensor, y: Tensor, motion: tuple[float, float, float]) -> Tensor:
    angle = torch.deg2rad(torch.tensor(motion[2]).double())
    right, down = x - motion[0], y - motion[1]
    u, v = angle.cos() * right + angle.sin() * down, angle.cos() * down - angle.sin() * right
    inside = torch.sigmoid((v if bone == 0 else -v) * 1.5) * torch.sigmoid(1.5 * (60.0 - u.abs()))
    return inside * (0.5 + 0.5 * texture(u, v, bone))


def masks(places: Places = PLACES) -> Tensor:
    drawn = torch.zeros(2, SIZE, SIZE)
    drawn[0, int(places[0][1]) :, 36:157] = 1.0
    drawn[1, : int(places[1][1]) + 1, 36:157] = 1.0
    return drawn


def found(after: Tensor, spacing: float = SPACING) -> tuple[BoneShift, BoneShift]:
    return BoneRegistration()(joint((0, 0, 0), (0, 0, 0)), masks(), after, spacing)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lower", "upper"),
    [
        ((0.0, 0.1, 0.0), (0.0, -0.13, 0.0)),
        ((0.6, 5.3, 0.0), (-0.4, -6.7, 0.0)),
        ((-2.0, -4.2, 1.5), (1.5, 3.1, -2.0)),
        ((0.0, 0.0, 0.0), (0.0, 11.5, 0.0)),
    ],
)
def test_motion_of_analytic_bones_is_found(lower: tuple[float, ...], upper: tuple[float, ...]) -> None:
    for shift, (x, y, degrees) in zip(found(joint(lower, upper)), (lower, upper), strict=True):
        assert shift.found
        assert [shift.x, shift.y] == pytest.approx([x * SPACING, y * SPACING], abs=0.01 * SPACING)
        assert shift.rotation == pytest.approx(degrees, abs=0.02)


def test_bones_that_overlap_by_millimetres_are_found_where_each_shows_alone() -> None:
    before, after = (joint((0, 0, 0), motion, places=OVERLAPPING) for motion in ((0, 0, 0), (0.5, 3.0, 0)))
    lower, upper = BoneRegistration()(before, masks(OVERLAPPING), after, SPACING)
    assert lower.found and upper.found
    assert [lower.x, lower.y, upper.x, upper.y] == pytest.approx([0, 0, 0.5 * SPACING, 3 * SPACING], abs=0.01 * SPACING)


def test_an_image_has_not_moved_against_itself() -> None:
    for shift in found(joint((0, 0, 0), (0, 0, 0))):
        assert shift.found
        assert [shift.x, shift.y, shift.rotation] == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)
        assert shift.correlation == pytest.approx(1.0)


@pytest.mark.slow
def test_lengths_follow_the_spacing() -> None:
    whole = BoneRegistration()
    half = {name: 0.5 * getattr(whole, name) for name in LENGTHS}
    finer = replace(whole, **half, least_area_mm2=0.25 * whole.least_area_mm2)
    after = joint((0.0, 3.0, 0.0), (0.0, -2.0, 0.0))
    coarse = found(after)
    fine = finer(joint((0, 0, 0), (0, 0, 0)), masks(), after, SPACING / 2)
    assert [shift.y for shift in fine] == pytest.approx([shift.y / 2 for shift in coarse], abs=1e-6)


LENGTHS = ("fine_mm", "coarse_mm", "reach_mm", "depth_mm", "rim_mm", "penumbra_mm", "clearance_mm", "tolerance_mm")


@pytest.mark.slow
def test_a_shadow_that_stays_pulls_the_motion_towards_none() -> None:
    pulled = [found(joint((0, 2.0, 0), (0, -2.0, 0), shadow))[0].y / SPACING for shadow in (0.0, 0.15, 0.3)]
    assert pulled[0] == pytest.approx(2.0, abs=0.01)
    assert pulled[0] - 0.1 > pulled[1] > pulled[2] + 0.1


def noise_free(phantom_seed: int, jsw_mm: float) -> Phantom:
    parameters = sample_parameters(phantom_seed, jsw_mm=jsw_mm)
    detector = replace(parameters.detector, photons=1e10, electronic=0.0)
    return render(replace(parameters, detector=detector))


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "jsw", "change"), [(0, 1.5, 0.02), (1, 0.2, 0.7), (2, -0.5, -0.3), (3, 2.0, -0.9)])
def test_the_jsw_of_a_phantom_rendered_again_is_measured_to_three_micrometres(
    seed: int, jsw: float, change: float
) -> None:
    before, after = noise_free(seed, jsw), noise_free(seed, jsw + change)
    lower, upper = BoneRegistration()(before.image, before.masks, after.image, SPACING)
    assert lower.y - upper.y == pytest.approx(change, abs=0.003)


@pytest.mark.slow
def test_noise_of_the_detector_costs_less_than_a_hundredth_of_a_millimetre() -> None:
    before, after = (render(sample_parameters(5, jsw_mm=jsw)) for jsw in (0.5, 1.1))
    lower, upper = BoneRegistration()(before.image, before.masks, after.image, SPACING)
    assert lower.y - upper.y == pytest.approx(0.6, abs=0.01)


WATER = {"upper": ("band", "cortex", "spongy"), "lower": ("head", "ridge_left", "ridge_right", "body", "edge", "patch")}


def in_water(seed: int, jsw_mm: float, size: int, noise: float, take: int) -> tuple[Tensor, Tensor]:
    """Radiograph and masks of a stand-in for a physical phantom in water.

    Bones of half the contrast below much scatter, with sharp detail of few pixels; each take has its own white noise.
    """
    drawn = sample_parameters(seed, jsw_mm=jsw_mm, size=size, spacing=21.0 / size)
    faint = {
        bone: replace(
            getattr(drawn, bone),
            **{name: 0.5 * getattr(getattr(drawn, bone), name) for name in names},
            **{name: 2.0 * getattr(getattr(drawn, bone), name) for name in ("mesh", "streaks")},
        )
        for bone, names in WATER.items()
    }
    detector = replace(drawn.detector, photons=1e10, electronic=0.0, blur=0.03)
    shown = render(replace(drawn, **faint, soft=replace(drawn.soft, background=0.5), detector=detector))
    random = torch.Generator().manual_seed(10 * seed + take)
    grey = shown.image + noise * torch.randn(shown.image.shape, generator=random)
    return (255.0 * grey).round().clamp(0.0, 255.0) / 255.0, shown.masks


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "size", "noise"), [(0, 80, 0.004), (1, 80, 0.004), (0, 256, 0.01)])
def test_a_phantom_in_water_is_found_both_ways(seed: int, size: int, noise: float) -> None:
    (wide, outlines), (narrow, others) = (in_water(seed, jsw, size, noise, int(2 * jsw)) for jsw in (1.5, 1.0))
    for pair, change in (((wide, outlines, narrow), -0.5), ((narrow, others, wide), 0.5)):
        lower, upper = BoneRegistration()(*pair, 21.0 / size)
        assert lower.found and upper.found
        assert lower.correlation == pytest.approx(0.98, abs=0.02)
        assert lower.y - upper.y == pytest.approx(change, abs=0.02)


@pytest.mark.slow
def test_steps_of_a_fit_have_the_right_length_on_details_of_few_pixels() -> None:
    (wide, outlines), (narrow, _) = (in_water(0, jsw, 105, 0.0, 0) for jsw in (1.5, 1.0))
    shifts = BoneRegistration(iterations=8, certainty=0.0)(wide, outlines, narrow, 0.2)
    assert all(shift.found for shift in shifts)


@pytest.mark.slow
def test_a_fit_to_noisy_pixels_stops_within_its_standard_error() -> None:
    random = torch.Generator().manual_seed(0)
    images = [render(sample_parameters(2, jsw_mm=jsw)) for jsw in (1.5, 1.0)]
    before, after = (
        (given.image + 0.02 * torch.randn(given.image.shape, generator=random)).clamp(0.0, 1.0) for given in images
    )
    endless = BoneRegistration(tolerance_mm=0.0)
    lower, upper = endless(before, images[0].masks, after, SPACING)
    assert lower.found and upper.found
    assert lower.y - upper.y == pytest.approx(-0.5, abs=0.01)
    without = replace(endless, certainty=0.0)(before, images[0].masks, after, SPACING)
    assert not any(shift.found for shift in without)


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "broken", ["constant", "other picture", "not finite", "nothing", "bones on each other", "out of reach"]
)
def test_what_cannot_be_registered_is_not_found(broken: str) -> None:
    before, bones, after = joint((0, 0, 0), (0, 0, 0)), masks(), joint((0, 1.0, 0), (0, 0, 0))
    if broken == "other picture":
        after = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    elif broken == "constant":
        after = torch.full_like(after, 0.5)
    elif broken == "not finite":
        after[0, 5, 5] = torch.nan
    elif broken == "nothing":
        bones[0] = 0.0
    elif broken == "bones on each other":
        bones[1] = bones[0]
    else:
        after = joint((0, 30.0, 0), (0, -30.0, 0))
    lower, _ = BoneRegistration()(before, bones, after, SPACING)
    assert not lower.found
    assert np.isnan([lower.x, lower.y, lower.rotation]).all()


def test_the_edges_that_face_the_joint() -> None:
    lower, upper = facing_edges(masks().numpy() > 0.5)
    assert lower.tolist() == [96.0, 108.0]
    assert upper.tolist() == [96.0, 83.0]


def test_shapes_must_agree() -> None:
    image = joint((0, 0, 0), (0, 0, 0))
    with pytest.raises(ValueError, match=r"expected radiographs \(1, H, W\) and masks \(2, H, W\)"):
        BoneRegistration()(image, masks()[:1], image, SPACING)


def test_facing_edges_in_mm_are_from_the_middle_of_the_frame() -> None:
    bones = np.zeros((2, 40, 60), dtype=bool)
    bones[0, 24:, 15:45] = True
    bones[1, :18, 15:45] = True
    np.testing.assert_allclose(facing_centers(bones, 0.5), [[0.0, 2.25], [0.0, -1.25]])


@pytest.mark.filterwarnings("error")
def test_the_correlation_with_constant_values_is_undefined_without_a_warning() -> None:
    values = np.arange(5.0)
    assert correlation_of(values, 3.0 * values + 1.0) == pytest.approx(1.0)
    assert np.isnan(correlation_of(values, np.ones(5))) and np.isnan(correlation_of(np.zeros(5), values))
