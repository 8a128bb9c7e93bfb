"""The Laplace fill against a sparse direct solve, and what the weight-free separator promises."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.io.lists import read_datalist
from bundle.io.reading import read_mask, read_radiograph
from bundle.joint import MCP
from bundle.phantoms.parameters import Detector
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import (
    FADE_MM,
    GROWTH_MM,
    OWNERSHIP_RANGE_MM,
    RAMP_MM,
    laplace_fill,
    ownership_weights,
    separate,
    separation_shares,
    support,
)
from bundle.physics.masks import grow, signed_distance
from bundle.physics.radiograph import attenuation, reconstruct
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor
from torch.nn import functional as F

CLAIMED = round(OWNERSHIP_RANGE_MM / MCP.spacing_mm)
WIDTHS = [length / MCP.spacing_mm for length in (GROWTH_MM, RAMP_MM, FADE_MM)]


@lru_cache
def phantom(seed: int, outline_gap_mm: float | None = None) -> Phantom:
    return render(sample_parameters(seed, outline_gap_mm=outline_gap_mm))


def phantoms(*seeds: int) -> tuple[Tensor, Tensor, Tensor]:
    """Images, masks and true layers of a batch."""
    made = [phantom(seed) for seed in seeds]
    image, masks, layers = ([getattr(p, name) for p in made] for name in ("image", "masks", "layers"))
    return torch.stack(image), torch.stack(masks), torch.stack(layers)


def random_joints(count: int, height: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Images of grey noise, black and white, and masks of random blobs, empty and full ones among them."""
    random = np.random.default_rng(seed)
    image = random.random((count, 1, height, width))
    image = np.where(random.random(image.shape) < random.choice([0.1, 0.6, 1.0]), image, random.choice([0.0, 1.0]))
    field = gaussian_filter(random.standard_normal((count, 2, height, width)), (0, 0, 4, 4))
    level = random.choice([-1.0, -0.1, 0.0, 0.05, 1.0], size=(count, 2, 1, 1))
    return torch.from_numpy(image).float(), torch.from_numpy((field > level).astype(np.float32))


def psnr(one: Tensor, other: Tensor) -> Tensor:
    return -10.0 * (one - other).double().square().mean(dim=(1, 2, 3)).clamp(min=1e-20).log10()


def solved(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Zero five-point Laplacian at the unknown pixels with no flux through the border, by a direct sparse solve."""
    rows, columns = np.nonzero(~known)
    index = np.full(known.shape, -1)
    index[rows, columns] = np.arange(len(rows))
    entries: list[tuple[int, int, float]] = []
    right = np.zeros(len(rows))
    for me, (row, column) in enumerate(zip(rows, columns, strict=True)):
        for y, x in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if not (0 <= y < known.shape[0] and 0 <= x < known.shape[1]):
                continue
            entries.append((me, me, 1.0))
            if known[y, x]:
                right[me] += values[y, x]
            else:
                entries.append((me, index[y, x], -1.0))
    at, to, weight = zip(*entries, strict=True)
    filled = values.copy()
    filled[rows, columns] = spsolve(csr_matrix((weight, (at, to)), shape=(len(rows),) * 2).tocsc(), right)
    return filled


def fill(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The fill of one image; what is not known is garbage that must not be read."""
    garbage = np.where(known, values, 1e6)
    seen, where = (torch.from_numpy(array.astype(np.float32))[None, None] for array in (garbage, known))
    return laplace_fill(seen, where)[0, 0].numpy()


@pytest.mark.long
@pytest.mark.parametrize(("seed", "outline_gap_mm"), [(0, None), (1, -0.8), (2, 2.3), (3, 0.1)])
def test_the_fill_of_a_joint_is_the_solution_of_the_laplace_equation(seed: int, outline_gap_mm: float | None) -> None:
    made = phantom(seed, outline_gap_mm)
    values = attenuation(made.image)[0].double().numpy()
    known = (support(made.masks[None]).amax(dim=1) < 0.5)[0].numpy()
    assert 0.2 < known.mean() < 0.7
    assert np.abs(fill(values, known) - solved(values, known)).max() < 5e-3


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), height=st.integers(9, 40), width=st.integers(9, 40))
def test_the_fill_of_any_mask_is_the_solution_of_the_laplace_equation(seed: int, height: int, width: int) -> None:
    random = np.random.default_rng(seed)
    field = gaussian_filter(random.standard_normal((height, width)), random.choice([0.0, 1.0, 3.0]))
    known = field >= np.quantile(field, random.choice([0.1, 0.5, 0.9]))
    known.flat[0], known.flat[-1] = True, False
    values = gaussian_filter(random.standard_normal((height, width)), 3.0) * 5
    result = fill(values, known)
    scale = np.ptp(values[known])
    assert np.abs(result - solved(values, known)).max() <= 5e-3 * scale + 1e-5
    np.testing.assert_allclose(result[known], values[known], rtol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (61, 90)])
@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 200.0])
def test_a_ramp_is_continued_below_a_bone_inside_the_frame(size: tuple[int, int], angle: float) -> None:
    y, x = np.mgrid[: size[0], : size[1]] / 64
    ramp = 2.0 + np.cos(np.radians(angle)) * x + np.sin(np.radians(angle)) * y
    known = np.ones(size, bool)
    known[9:-11, 13:-9] = False
    assert np.abs(fill(ramp, known) - ramp).max() < 1e-3


def test_a_ramp_along_the_border_is_continued_up_to_it() -> None:
    """A bone that leaves the frame: straight on between the tissue at its sides, not black at the border."""
    ramp = np.broadcast_to(np.linspace(0.2, 0.9, 96), (96, 96))
    known = np.ones((96, 96), bool)
    known[:, 20:70] = False
    assert np.abs(fill(ramp, known) - ramp).max() < 1e-3


@pytest.mark.parametrize("count", [1, 3])
def test_constant_tissue_is_filled_with_its_value_however_little_is_seen(count: int) -> None:
    known = np.zeros((200, 150), bool)
    known[tuple(np.random.default_rng(count).integers(150, size=(2, count)))] = True
    np.testing.assert_allclose(fill(np.full(known.shape, 0.7), known), 0.7, atol=1e-4)


def test_without_any_tissue_the_fill_is_nothing() -> None:
    assert not fill(np.ones((40, 30)), np.zeros((40, 30), bool)).any()


def test_fully_known_tissue_is_left_alone() -> None:
    values = np.random.default_rng(0).random((33, 50))
    np.testing.assert_array_equal(fill(values, np.ones(values.shape, bool)), values.astype(np.float32))


@pytest.mark.slow
@given(seed=st.integers(0, 10_000), height=st.integers(8, 70), width=st.integers(8, 70))
def test_shares_are_a_partition_that_leaves_bones_in_their_support(seed: int, height: int, width: int) -> None:
    image, masks = random_joints(2, height, width, seed)
    shares = separation_shares(image, masks)
    assert torch.isfinite(shares).all()
    assert float(shares.min()) >= 0.0
    assert float(shares.max()) <= 1.0
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, height, width), atol=1e-6, rtol=0)
    assert float((shares[:, 1:] * (1.0 - support(masks))).abs().max()) == 0.0


@pytest.mark.parametrize("seed", [0, 1, 6])
def test_a_black_bone_in_black_tissue_with_white_specks_has_shares_in_range(seed: int) -> None:
    """Where the fill dips a rounding error below zero, nothing to be shared must not become a large share."""
    random = np.random.default_rng(seed)
    field = gaussian_filter(random.standard_normal((160, 180)), 3.0)
    bone = field > np.quantile(field, 0.3)
    image = torch.from_numpy(np.where((random.random(bone.shape) < 0.05) & ~bone, 1.0, 0.0)).float()
    masks = torch.zeros(1, 2, *bone.shape)
    masks[0, 0] = torch.from_numpy(bone)
    shares = separation_shares(image[None, None], masks, growth_mm=0.0)
    assert float(shares.min()) >= 0.0
    assert float(shares.max()) <= 1.0


@given(seed=st.integers(0, 10_000), height=st.integers(8, 70), width=st.integers(8, 70))
def test_any_image_is_reconstructed_above_90_db(seed: int, height: int, width: int) -> None:
    image, masks = random_joints(2, height, width, seed)
    layers = separate(image, masks)
    assert float(psnr(reconstruct(layers), image).min()) > 90.0
    assert float(layers.min()) >= 0.0
    assert bool((layers[:, :1] <= image + 1e-6).all())
    tissue = support(masks).amax(dim=1, keepdim=True) == 0
    torch.testing.assert_close(layers[:, :1][tissue], image.clamp(max=1 - 2.0**-15)[tissue], atol=1e-6, rtol=0)


def test_the_support_is_the_mask_grown_by_five_pixels_of_the_public_frames() -> None:
    masks = random_joints(3, 40, 50)[1]
    assert torch.equal(support(masks), grow(masks, 5))
    assert torch.equal(support(masks, 2.5 * MCP.spacing_mm), grow(masks, 2))
    assert torch.equal(support(masks, 0.1, 0.31), grow(masks, 3))


@pytest.mark.slow
def test_a_joint_in_twice_as_many_pixels_is_separated_alike() -> None:
    """RMS difference in intensity, without noise; with the lengths in pixels it would be 3 times as much."""
    for seed, outline_gap_mm in ((0, -0.4), (3, 0.1)):
        coarse, fine = (noiseless(seed, outline_gap_mm, size) for size in (256, 512))
        wrong = F.avg_pool2d(separate(fine.image[None], bones(fine), MCP.spacing_mm), 2)
        found = F.avg_pool2d(separate(fine.image[None], bones(fine), MCP.frame_mm / 512), 2)
        layers = separate(coarse.image[None], bones(coarse))
        difference, if_in_pixels = ((other - layers).square().mean().sqrt() for other in (found, wrong))
        assert float(difference) < 0.0025
        assert float(if_in_pixels) > 3.0 * float(difference)
    areas = [
        float(support(bones(made), spacing).sum()) * spacing**2
        for made, spacing in ((coarse, MCP.spacing_at(256)), (fine, MCP.spacing_at(512)))
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.01)


def noiseless(seed: int, outline_gap_mm: float, size: int) -> Phantom:
    drawn = sample_parameters(seed, outline_gap_mm=outline_gap_mm, size=size)
    return render(replace(drawn, detector=Detector(drawn.detector.blur, 1e9, 0.0, 65535.0)))


def bones(made: Phantom) -> Tensor:
    return (made.masks > 0.5).float()[None]


@pytest.mark.slow
def test_phantoms_are_separated_into_their_layers() -> None:
    image, masks, truth = phantoms(0, 1, 2, 3)
    layers = separate(image, masks)
    assert float(psnr(reconstruct(layers), image).min()) > 90.0
    tissue_error = (layers - truth)[:, 0].square().mean(dim=(-2, -1)).sqrt()
    all_is_tissue = (image - truth[:, :1])[:, 0].square().mean(dim=(-2, -1)).sqrt()
    assert bool((tissue_error < 0.05).all())
    assert bool((tissue_error < 0.35 * all_is_tissue).all())


def flat_joint(gap: int, size: int = 64) -> Tensor:
    masks = torch.zeros(1, 2, size, size)
    masks[:, 0, size // 2 + gap // 2 :] = 1.0
    masks[:, 1, : size // 2 - (gap - gap // 2)] = 1.0
    return masks


@pytest.mark.parametrize("gap", [-8, -1, 0, 1, 2, 4, 7, 10, 14])
def test_claims_pass_between_the_bones_of_a_narrow_joint_without_a_step(gap: int) -> None:
    lower, upper = ownership_weights(signed_distance(flat_joint(gap), CLAIMED), *WIDTHS)[0, :, :, 30]
    assert float((lower + upper).max()) <= 1.0 + 1e-6
    assert float(torch.stack([lower, upper]).diff(dim=-1).abs().max()) < 0.4
    if gap % 2 == 0:
        torch.testing.assert_close(lower.flip(0), upper)


def test_a_claim_is_whole_inside_a_lone_bone_and_fades_over_three_pixels_at_the_rim() -> None:
    masks = torch.zeros(1, 2, 60, 60)
    masks[:, 0, 40:] = 1.0
    ownership = ownership_weights(signed_distance(masks, CLAIMED), *WIDTHS)[0, :, :, 30]
    lower = ownership[0]
    torch.testing.assert_close(lower[34:39], torch.tensor([0.0, 1 / 3, 2 / 3, 1.0, 1.0]), atol=1e-6, rtol=0)
    assert torch.equal(lower[39:], torch.ones(21))
    assert float(ownership[1].max()) == 0.0


def test_separated_bones_move_apart_without_a_line_between_them() -> None:
    """Attenuation of the bones in the gap of a narrow joint changes no faster than in the image."""
    masks = flat_joint(4)
    image = torch.full((1, 1, 64, 64), 0.3)
    image[..., 8:-8] = 0.6
    masks[..., :8] = masks[..., -8:] = 0.0
    shares = separation_shares(image, masks)
    across = shares[0, 1:, :, 32]
    assert float(across.sum(dim=0)[20:44].diff().abs().max()) < 0.01
    assert float(across.diff(dim=-1).abs().max()) < 0.2


def test_a_batch_is_separated_like_its_images_alone() -> None:
    image, masks, _ = phantoms(0, 1, 2)
    together = separate(image, masks)
    alone = torch.cat([separate(j[None], m[None]) for j, m in zip(image, masks, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert float((together - alone).square().mean()) < 1e-10


def test_soft_masks_are_taken_at_one_half() -> None:
    image, masks, _ = phantoms(4)
    assert not torch.equal(masks, (masks > 0.5).float())
    assert torch.equal(separation_shares(image, masks), separation_shares(image, (masks > 0.5).float()))


def test_shares_have_no_gradient_and_layers_keep_the_images() -> None:
    image, masks = random_joints(1, 24, 24, seed=3)
    image = (0.1 + 0.8 * image).requires_grad_()
    assert not separation_shares(image, masks).requires_grad
    (gradient,) = torch.autograd.grad(reconstruct(separate(image, masks)).sum(), image)
    torch.testing.assert_close(gradient, torch.ones_like(gradient), atol=1e-4, rtol=0)


@pytest.mark.slow
def test_scripted_and_eager_agree() -> None:
    image, masks, _ = phantoms(0, 1)
    torch.testing.assert_close(torch.jit.script(separate)(image, masks), separate(image, masks), atol=1e-5, rtol=0)
    scripted = torch.jit.script(separation_shares)(image, masks, 0.1, 0.3, 0.4, 0.2)
    torch.testing.assert_close(scripted, separation_shares(image, masks, 0.1, 0.3, 0.4, 0.2), atol=1e-5, rtol=0)
    small = (image[..., :37, :51], masks[..., :37, :51])
    torch.testing.assert_close(torch.jit.script(separate)(*small), separate(*small), atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is visible")
def test_gpu_and_cpu_agree() -> None:
    image, masks, _ = phantoms(0, 1)
    on_gpu = separate(image.cuda(), masks.cuda())
    torch.testing.assert_close(on_gpu.cpu(), separate(image, masks), atol=2e-3, rtol=0)
    assert float(psnr(reconstruct(on_gpu).cpu(), image).min()) > 90.0


@pytest.mark.long
def test_every_real_test_image_is_reconstructed_above_90_db(joint_data: Path) -> None:
    """All images of the list, those with grossly wrong masks too."""
    items = read_datalist(joint_data, "LS_K1_all_test")
    assert len(items) > 100
    for start in range(0, len(items), 32):
        batch = items[start : start + 32]
        image = torch.from_numpy(np.stack([read_radiograph(item["image"]) for item in batch]))[:, None]
        bones = [[read_mask(item[bone]) for bone in ("lower", "upper")] for item in batch]
        masks = torch.from_numpy(np.array(bones)).float()
        layers = separate(image, masks)
        failed = [item["name"] for item, db in zip(batch, psnr(reconstruct(layers), image), strict=True) if db <= 90]
        assert not failed
        assert float(layers.min()) >= 0.0
        assert bool((layers[:, :1] <= image + 1e-6).all())
        assert float((layers[:, 1:] * (1.0 - support(masks))).abs().max()) == 0.0
