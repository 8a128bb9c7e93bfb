"""Phase-only correlation on phantoms with known motion."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.registration.alignment import Alignment, bone_centers, of_shifts, warp
from bundle.registration.gauss_newton import BoneShift
from bundle.registration.phase_correlation import PhaseCorrelation, fit_peak, peak_model, phase_correlation

SPACING = MCP.spacing_mm

PHANTOM = render(sample_parameters(5, outline_gap_mm=1.4))
MASKS = (PHANTOM.masks > 0.5).float()


def moved(frame: Alignment) -> torch.Tensor:
    return warp(PHANTOM.image[None], frame.inverse(), SPACING, "bicubic")[0]


def frame(scale: float, degrees: float, x: float, y: float) -> Alignment:
    return Alignment.from_parameters(torch.tensor([[scale, degrees, x, y]]), torch.zeros(1, 2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("degrees", "x", "y"), [(0.0, 0.0, 0.0), (0.0, 0.37, -0.52), (2.0, 0.3, 0.4), (-3.0, -0.4, 0.1)]
)
def test_the_motion_of_a_whole_frame_is_found_of_both_bones(degrees: float, x: float, y: float) -> None:
    given = frame(1.0, degrees, x, y)
    found = PhaseCorrelation()(PHANTOM.image, MASKS, moved(given), SPACING)
    assert all(shift.found for shift in found)
    true = given.of_both().about(bone_centers(MASKS, SPACING)[None]).parameters()[0]
    for shift, expected in zip(found, true.tolist(), strict=True):
        assert shift.rotation == pytest.approx(expected[1], abs=0.2)
        assert [shift.x, shift.y] == pytest.approx(expected[2:], abs=0.01)


@pytest.mark.slow
def test_the_motion_of_one_bone_is_found() -> None:
    narrower = render(sample_parameters(5, outline_gap_mm=1.1)).image
    found = PhaseCorrelation()(PHANTOM.image, MASKS, narrower, SPACING)
    bones = of_shifts(found, bone_centers(MASKS, SPACING))
    closer = bones.translation[0, 1, 1] - bones.translation[0, 0, 1]
    assert float(closer) == pytest.approx(0.3, abs=0.02)


@pytest.mark.slow
def test_scale_is_found_where_it_is_asked_for() -> None:
    given = frame(1.04, 0.0, 0.1, 0.1)
    found = PhaseCorrelation(scales=True)(PHANTOM.image, MASKS, moved(given), SPACING)
    assert np.mean([shift.scale for shift in found]) == pytest.approx(1.04, abs=0.02)
    assert all(shift.scale == 1.0 for shift in PhaseCorrelation()(PHANTOM.image, MASKS, moved(given), SPACING))


@pytest.mark.slow
def test_what_is_not_there_is_not_found() -> None:
    noise = torch.rand(PHANTOM.image.shape, generator=torch.Generator().manual_seed(0))
    for after in (noise, torch.full_like(noise, torch.nan)):
        assert not any(shift.found for shift in PhaseCorrelation()(PHANTOM.image, MASKS, after, SPACING))
    assert PhaseCorrelation()(PHANTOM.image, torch.zeros_like(MASKS), PHANTOM.image, SPACING) == (BoneShift(),) * 2


def band_limited(
    shape: tuple[int, int], band: tuple[int, int], shift: tuple[float, float], seed: int = 0
) -> np.ndarray:
    """Periodic texture of the kept frequencies, moved by ``shift`` (rows, columns)."""
    spectrum = np.fft.fft2(np.random.RandomState(seed).normal(size=shape))
    rows, columns = np.meshgrid(*[np.fft.fftfreq(size, 1.0 / size) for size in shape], indexing="ij")
    kept = (np.abs(rows) <= band[0]) & (np.abs(columns) <= band[1])
    turned = np.exp(-2j * np.pi * (rows * shift[0] / shape[0] + columns * shift[1] / shape[1]))
    return np.fft.ifft2(spectrum * kept * turned).real


def test_the_peak_model_is_the_inverse_dft_of_a_pure_shift() -> None:
    shape, band, shift, height = (24, 30), (5, 7), (0.31, -1.27), 0.8
    rows, columns = (given.astype(float) for given in np.mgrid[-3:4, -2:3])
    naive = np.zeros(rows.shape, complex)
    for k in range(-band[0], band[0] + 1):
        for m in range(-band[1], band[1] + 1):
            naive += np.exp(2j * np.pi * (k * (rows + shift[0]) / shape[0] + m * (columns + shift[1]) / shape[1]))
    found = peak_model(rows, columns, (height, *shift), shape, band)
    assert found == pytest.approx(height * naive.real / np.prod(shape), abs=1e-12)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.31, -0.48), (-6.72, 4.05), (9.5, -9.5)])
def test_sub_pixel_shifts_of_band_limited_images_are_recovered(shift: tuple[float, float]) -> None:
    shape, band = (48, 60), (9, 11)
    given = [band_limited(shape, band, moved) for moved in ((0.0, 0.0), shift)]
    peak = fit_peak(phase_correlation(*given, band), band)
    assert [peak.y, peak.x, peak.height] == pytest.approx([*shift, 1.0], abs=1e-6)
    noisy = [
        image + 0.1 * image.std() * np.random.RandomState(row).normal(size=shape) for row, image in enumerate(given)
    ]
    peak = fit_peak(phase_correlation(*noisy, band), band)
    assert [peak.y, peak.x] == pytest.approx(shift, abs=0.02)


def test_noise_lowers_the_peak_and_raises_the_doubt() -> None:
    shape, band, random = (64, 64), (12, 12), np.random.RandomState(1)
    fixed, moving = (band_limited(shape, band, moved) for moved in ((0.0, 0.0), (0.4, 0.2)))
    noise = fixed.std() * random.normal(size=shape)
    peaks = [fit_peak(phase_correlation(fixed, moving + part * noise, band), band) for part in (0.0, 1.0, 4.0, 16.0)]
    assert all(one.height > two.height for one, two in itertools.pairwise(peaks))
    assert all(one.doubt < two.doubt for one, two in itertools.pairwise(peaks[:3]))


@pytest.mark.slow
def test_unrelated_images_are_not_found() -> None:
    other = render(sample_parameters(25, outline_gap_mm=1.0)).image
    assert not any(shift.found for shift in PhaseCorrelation(turns=False)(PHANTOM.image, MASKS, other, SPACING))
