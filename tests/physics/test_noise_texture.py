"""Grain: its statistics, its seeds, and how uncovered tissue comes to look like the tissue around it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate, support
from bundle.physics.noise_texture import (
    DETAIL_MM,
    NEIGHBOURHOOD_MM,
    TissueNoise,
    local_mean,
    random_phase_texture,
    share_noise_texture,
)
from bundle.physics.radiograph import attenuation, intensity, reconstruct
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch import Tensor

DETAIL = DETAIL_MM / MCP.spacing_mm


def add_noise_texture(soft: Tensor, tissue: Tensor, uncovered: Tensor, seeds: list[int]) -> Tensor:
    """Attenuation with noise texture in a hole that is covered where it is uncovered, and nowhere else."""
    noise_texture = TissueNoise.of(soft, tissue, (uncovered > 0).to(soft.dtype))
    return attenuation(noise_texture.added(intensity(soft), uncovered, seeds))


def noise(height: int, width: int, sigma: float = 0.8, seed: int = 0, count: int = 1) -> Tensor:
    """Band-limited noise (count, 1, H, W) of variance 1."""
    field = np.random.default_rng(seed).standard_normal((count, 1, height, width))
    field = gaussian_filter(field, (0, 0, sigma, sigma))
    return torch.from_numpy(field / field.std(axis=(-2, -1), keepdims=True)).float()


def tissue_with_a_hole(strength: float = 0.02, size: int = 160, hole: int = 56) -> tuple[Tensor, Tensor, Tensor]:
    """Grainy tissue on a slope, smooth in a square hole: soft, tissue, uncovered, each (1, 1, H, W)."""
    slope = torch.linspace(0.4, 0.7, size).expand(1, 1, size, size)
    uncovered = torch.zeros(1, 1, size, size)
    start = (size - hole) // 2
    uncovered[..., start : start + hole, start : start + hole] = 1.0
    textured = slope + strength * noise(size, size)
    return torch.where(uncovered > 0, slope, textured), 1.0 - uncovered, uncovered


def high_pass(soft: Tensor) -> Tensor:
    smooth = gaussian_filter(soft.double().numpy(), (0, 0, DETAIL, DETAIL), mode="nearest")
    return soft - torch.from_numpy(smooth).float()


def eroded(region: Tensor, margin: int) -> Tensor:
    return torch.nn.functional.avg_pool2d(region, 2 * margin + 1, 1, margin, count_include_pad=False) > 0.999


def strength_in(soft: Tensor, region: Tensor, margin: int = 6) -> float:
    return float(high_pass(soft)[eroded(region, margin)].std())


@given(height=st.integers(8, 64), width=st.integers(8, 64), seed=st.integers(0, 2**31 - 1))
def test_a_texture_has_mean_0_and_variance_1(height: int, width: int, seed: int) -> None:
    texture = random_phase_texture(0.01 * noise(height, width, seed=seed % 1000), [seed])
    assert tuple(texture.shape) == (1, 1, height, width)
    assert float(texture.mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(texture.square().mean()) == pytest.approx(1.0, abs=1e-4)


def spectrum(field: Tensor, bands: int = 8) -> np.ndarray:
    """Mean power in rings of spatial frequency, of mean 1."""
    power = np.abs(np.fft.fft2(field[0, 0].numpy())) ** 2
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(n) for n in power.shape), indexing="ij"))
    ring = np.minimum((frequency / 0.5 * bands).astype(int), bands)
    result = np.array([power[ring == band].mean() for band in range(bands)])
    return result / result.mean()


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_a_texture_has_the_spectrum_of_its_sample(sigma: float) -> None:
    sample = noise(128, 128, sigma)
    found = np.mean([spectrum(random_phase_texture(sample, [seed])) for seed in range(6)], axis=0)
    np.testing.assert_allclose(found, spectrum(sample), rtol=0.3, atol=0.01)


def test_a_texture_of_a_striped_sample_is_striped_alike() -> None:
    sample = noise(96, 96, 0.5)
    striped = torch.from_numpy(gaussian_filter(sample.numpy(), (0, 0, 6.0, 0.0)))
    texture = random_phase_texture(striped, [3])
    assert float(texture.diff(dim=-2).std()) < 0.3 * float(texture.diff(dim=-1).std())


def test_a_texture_is_not_its_sample_and_not_another_seeds() -> None:
    sample = noise(64, 64)
    made = torch.cat([sample, random_phase_texture(sample, [0]), random_phase_texture(sample, [1])])
    correlation = torch.corrcoef(made.flatten(1))
    assert float((correlation - torch.eye(3)).abs().max()) < 0.1


def test_a_seed_gives_the_same_bits_and_every_sample_has_its_own() -> None:
    soft, tissue, uncovered = (part.repeat(2, 1, 1, 1) for part in tissue_with_a_hole())
    both = add_noise_texture(soft, tissue, uncovered, [5, 9])
    assert torch.equal(add_noise_texture(soft, tissue, uncovered, [5, 9]), both)
    for sample, seed in enumerate((5, 9)):
        alone = add_noise_texture(soft[:1], tissue[:1], uncovered[:1], [seed])
        torch.testing.assert_close(both[sample, None], alone, atol=1e-6, rtol=0)
    assert float((both[0] - both[1]).abs().max()) > 0.02


def test_seeds_leave_the_global_random_state_alone() -> None:
    state = torch.get_rng_state()
    random_phase_texture(noise(16, 16), [7])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("strength", [0.004, 0.02, 0.05])
def test_an_uncovered_hole_gets_the_grain_around_it(strength: float) -> None:
    soft, tissue, uncovered = tissue_with_a_hole(strength)
    filled = add_noise_texture(soft, tissue, uncovered, [0])
    around = strength_in(soft, tissue)
    assert strength_in(soft, uncovered) < 0.05 * around
    assert strength_in(filled, uncovered) == pytest.approx(around, rel=0.2)
    centre = eroded(uncovered, 12)
    assert float((filled - soft)[centre].mean()) == pytest.approx(0.0, abs=0.25 * strength)


def test_grain_follows_the_strength_of_the_tissue_nearby() -> None:
    size = 200
    strength = torch.linspace(0.005, 0.05, size)[:, None].expand(1, 1, size, size)
    uncovered = torch.zeros(1, 1, size, size)
    uncovered[..., 90:110] = 1.0
    soft = 0.6 + strength * noise(size, size) * (1.0 - uncovered)
    filled = add_noise_texture(soft, 1.0 - uncovered, uncovered, [1])
    for rows in (slice(10, 60), slice(75, 125), slice(140, 190)):
        part = torch.zeros_like(uncovered)
        part[..., rows, :] = 1.0
        beside, within = (strength_in(filled, part * region, 3) for region in (1.0 - uncovered, uncovered))
        assert within == pytest.approx(beside, rel=0.3)


def test_a_hole_wider_than_the_neighbourhood_has_grain_in_its_middle() -> None:
    size = 4 * int(4 * NEIGHBOURHOOD_MM / MCP.spacing_mm)
    soft, tissue, uncovered = tissue_with_a_hole(0.02, size, hole=size - 80)
    filled = add_noise_texture(soft, tissue, uncovered, [2])
    middle = torch.zeros_like(uncovered)
    middle[..., size // 2 - 20 : size // 2 + 20, size // 2 - 20 : size // 2 + 20] = 1.0
    assert strength_in(filled, middle) == pytest.approx(strength_in(soft, tissue), rel=0.25)


def test_tissue_that_has_grain_already_gets_little() -> None:
    size = 128
    soft = 0.5 + 0.02 * noise(size, size)
    _, tissue, uncovered = tissue_with_a_hole(size=size)
    filled = add_noise_texture(soft, tissue, uncovered, [0])
    before, after = strength_in(soft, uncovered), strength_in(filled, uncovered)
    assert before <= after < 1.25 * before


def test_the_texture_is_that_of_the_tissue_and_not_of_what_lies_elsewhere() -> None:
    soft, tissue, uncovered = tissue_with_a_hole()
    elsewhere = torch.zeros_like(tissue)
    elsewhere[..., 10:150, 4:40] = 1.0
    tissue = tissue * (1.0 - elsewhere)
    stripes = 0.2 * (torch.arange(160)[:, None] // 4 % 2).expand_as(soft) * elsewhere
    plain, striped = (add_noise_texture(part, tissue, uncovered, [3]) for part in (soft, soft + stripes))
    inside = eroded(uncovered, 3)
    correlation = torch.corrcoef(torch.stack([(plain - soft)[inside], (striped - soft)[inside]]))
    assert float(correlation[0, 1]) > 0.9


@pytest.mark.slow
@given(seed=st.integers(0, 1000))
def test_nothing_changes_where_nothing_is_uncovered(seed: int) -> None:
    random = np.random.default_rng(seed)
    soft = torch.from_numpy(random.random((2, 1, 40, 30)).astype(np.float32))
    tissue, uncovered = (torch.from_numpy((random.random((2, 1, 40, 30)) > 0.5).astype(np.float32)) for _ in range(2))
    filled = add_noise_texture(soft, tissue, uncovered, [seed, 1])
    unchanged = attenuation(intensity(soft))
    assert torch.equal(filled[uncovered == 0], unchanged[uncovered == 0])
    assert torch.isfinite(filled).all()
    assert float(filled.min()) >= 0.0
    assert torch.equal(add_noise_texture(soft, tissue, torch.zeros_like(uncovered), [0, 1]), unchanged)


def test_without_visible_tissue_there_is_no_grain() -> None:
    soft = 0.5 + 0.02 * noise(40, 40)
    nothing = torch.zeros_like(soft)
    assert torch.equal(add_noise_texture(soft, nothing, nothing + 1, [0]), attenuation(intensity(soft)))


def test_faint_tissue_stays_at_least_0() -> None:
    soft, tissue, uncovered = tissue_with_a_hole(0.05)
    faint = torch.where(uncovered > 0, 0.001, soft)
    filled = add_noise_texture(faint, tissue, uncovered, [0])
    assert float(filled.min()) == 0.0


@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_a_local_mean_is_the_normalised_convolution(sigma: float) -> None:
    values, weight = noise(60, 70), (noise(60, 70, 3.0, seed=1) > 0).float()
    weight[..., :5] = 1.0
    top, bottom = (
        gaussian_filter(part.double().numpy(), (0, 0, sigma, sigma), mode="constant")
        for part in (values * weight, weight)
    )
    near = bottom > 0.05
    found = local_mean(values, weight, sigma).numpy()
    np.testing.assert_allclose(found[near], (top / bottom)[near], atol=0.04)
    constant = local_mean(torch.full_like(values, 0.3), weight, sigma)
    torch.testing.assert_close(constant, torch.full_like(values, 0.3), atol=1e-4, rtol=0)


def test_a_local_mean_beyond_its_reach_is_the_mean_of_all_that_counts() -> None:
    values, weight = noise(10, 200), torch.zeros(1, 1, 10, 200)
    weight[..., :20] = 1.0
    far = local_mean(values, weight, 2.0)[..., 60:]
    torch.testing.assert_close(far, values[..., :20].mean().expand_as(far), atol=1e-5, rtol=0)
    assert float(local_mean(values, torch.zeros_like(weight), 2.0).abs().max()) == 0.0


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_a_seed_gives_the_same_grain_on_the_gpu() -> None:
    soft, tissue, uncovered = tissue_with_a_hole()
    on_gpu = add_noise_texture(soft.cuda(), tissue.cuda(), uncovered.cuda(), [4])
    torch.testing.assert_close(on_gpu.cpu(), add_noise_texture(soft, tissue, uncovered, [4]), atol=1e-5, rtol=0)


def noisy_joint(strength: float = 0.02) -> tuple[Tensor, Tensor, Tensor]:
    """A smooth bone over tissue whose grain is known: layers as a separation leaves them, masks, the whole grain.

    All of the noise below the bone, the tissue's grain and three times as much of the bone's own, stays in the bone.
    """
    size = 192
    masks = torch.zeros(1, 2, size, size)
    masks[:, 0, 110:, 40:150] = 1.0
    masks[:, 1, :80, 40:150] = 1.0
    covered = support(masks).amax(dim=1, keepdim=True)
    noise_texture = strength * noise(size, size, 1.5, seed=1)
    texture = 3.0 * strength * noise(size, size, 1.5, seed=2)
    soft = 0.5 + noise_texture * (1.0 - covered)
    bones = support(masks) * (0.6 + noise_texture + texture)
    return 1.0 - torch.exp(-torch.cat([soft, bones], dim=1)), masks, noise_texture


@pytest.mark.slow
def test_shared_grain_leaves_the_radiograph_and_the_tissue_beside_the_bones_as_they_are() -> None:
    made = [render(sample_parameters(seed, size=128, spacing=21 / 128)) for seed in range(3)]
    image, masks = torch.stack([p.image for p in made]), torch.stack([p.masks for p in made])
    layers = separate(image, masks)
    shared = share_noise_texture(layers, masks, [1, 2, 3])
    torch.testing.assert_close(reconstruct(shared), reconstruct(layers), atol=1e-5, rtol=0)
    beside = support(masks).amax(dim=1, keepdim=True) == 0
    torch.testing.assert_close(shared[:, :1][beside], layers[:, :1][beside], atol=1e-6, rtol=0)
    assert float(shared.min()) >= 0.0 and float(shared.max()) <= 1.0
    assert torch.equal(shared[:, 1:] > 0, (layers[:, 1:] > 0) & (shared[:, 1:] > 0))


def test_tissue_below_a_bone_gets_the_strength_of_the_grain_around_it() -> None:
    layers, masks, noise_texture = noisy_joint()
    soft = attenuation(share_noise_texture(layers, masks, [0]))[:, :1]
    below = eroded(support(masks).amax(dim=1, keepdim=True), 12)
    expected = float(noise_texture[below].std())
    assert float(attenuation(layers)[:, :1][below].std()) < 0.05 * expected
    assert float(soft[below].std()) == pytest.approx(expected, rel=0.25)
    assert float(soft[below].mean()) == pytest.approx(0.5, abs=0.3 * expected)


@pytest.mark.slow
def test_shared_grain_is_hardly_correlated_with_what_the_bone_keeps() -> None:
    layers, masks, _ = noisy_joint()
    below = eroded(support(masks).amax(dim=1, keepdim=True), 12)[0, 0]
    correlations = []
    for seed in range(8):
        parts = attenuation(share_noise_texture(layers, masks, [seed]))[0]
        pair = torch.stack([parts[0][below], parts[1:].sum(dim=0)[below]])
        correlations.append(float(torch.corrcoef(pair)[0, 1]))
    assert np.mean(correlations) == pytest.approx(0.0, abs=0.15)  # -0.3 for noise that knows nothing of the bone


def test_tissue_that_has_grain_gets_hardly_more() -> None:
    layers, masks, _ = noisy_joint()
    once = share_noise_texture(layers, masks, [0])
    twice = share_noise_texture(once, masks, [5])
    assert float((twice - once)[:, :1].std()) < 0.4 * float((once - layers)[:, :1].std())


def test_the_edge_of_another_bone_beside_the_joint_is_no_grain() -> None:
    layers, masks, _ = noisy_joint()
    sesamoid = layers.clone()
    sesamoid[:, 0, 90:105, 10:25] = 0.75
    below = eroded(support(masks).amax(dim=1, keepdim=True), 12)
    plain, beside = (float((share_noise_texture(s, masks, [0]) - s)[:, :1][below].std()) for s in (layers, sesamoid))
    assert beside < 1.5 * plain


@pytest.mark.slow
def test_a_seed_gives_the_same_shared_grain() -> None:
    layers, masks, _ = noisy_joint()
    assert torch.equal(share_noise_texture(layers, masks, [4]), share_noise_texture(layers, masks, [4]))
    assert not torch.equal(share_noise_texture(layers, masks, [4]), share_noise_texture(layers, masks, [5]))


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_more_noise_is_that_of_the_tissue_times_its_strength(strength: float) -> None:
    soft, tissue, covered = tissue_with_a_hole()
    noise_texture = TissueNoise.of(soft, tissue, covered)
    image = intensity(soft)
    noisy = attenuation(noise_texture.noisy(image, torch.tensor([strength]), [3]))
    assert float((noisy - soft).std()) == pytest.approx(strength * float(noise_texture.deviation), rel=0.05)
    assert torch.equal(noise_texture.noisy(image, torch.zeros(1), [3]), image)
    assert torch.equal(
        noise_texture.noisy(image, torch.tensor([1.0]), [3]), noise_texture.noisy(image, torch.tensor([1.0]), [3])
    )
