"""Samples of overlapping bones: exact composition, seeds, nothing else changed, and a flow that finds a Gaussian."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.physics import attenuation, reconstruct, separate, support
from bundle.separation import FlowLoss, OverlapSampler
from bundle.separation.overlap_sampling import (
    CONDITIONS,
    MARGIN,
    ROWS,
    band_limited,
    conditions,
    exchange,
    exchanged,
    flow_step,
    integrate,
    joint_rows,
)
from bundle.separation.transforms import RandFlowStepd, SampleOverlapd
from torch import Tensor, nn

SIZE = 96


class Velocity(nn.Module):
    """A network of the right shape."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(CONDITIONS + 2, 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.as_tensor(self.layer(image))


def joint(gap: int) -> Tensor:
    """Radiograph and masks (3, H, W) of two blocks of bone whose outlines are ``gap`` rows apart."""
    masks = torch.zeros(2, SIZE, SIZE)
    masks[0, 48 + gap // 2 :, 20:76], masks[1, : 48 - gap // 2, 20:76] = 1.0, 1.0
    noise = torch.rand(1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return torch.cat([0.3 + 0.2 * masks.sum(dim=0, keepdim=True) + 0.05 * noise, masks])


def mean_layers(image: Tensor) -> Tensor:
    return separate(image[None, :1], image[None, 1:])[0]


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(Velocity().state_dict(), tmp_path / "overlap_sampler.pt")
    return tmp_path / "overlap_sampler.pt"


def sampler(weights: Path, seed: int = 0, samples: int = 1) -> OverlapSampler:
    return OverlapSampler(Velocity(), weights, steps=3, seed=seed, samples=samples)


def test_sampled_layers_compose_to_the_radiograph(weights: Path) -> None:
    image = joint(-10)
    made = sampler(weights)(image, mean_layers(image))
    assert torch.allclose(reconstruct(made), image[:1], atol=1e-6)
    assert float(made.min()) >= 0.0 and float(made.max()) < 1.0


def test_nothing_changes_outside_the_overlap_of_the_supports_and_the_soft_tissue_nowhere(weights: Path) -> None:
    image = joint(-10)
    mean = mean_layers(image)
    made = sampler(weights)(image, mean)
    both = support(image[None, 1:]).prod(dim=1) > 0.5
    assert torch.equal(made[:, ~both[0]], mean[:, ~both[0]])
    assert torch.equal(made[0], mean[0])
    assert not torch.equal(made, mean)


def test_the_same_seed_gives_the_same_bits_and_another_another_texture(weights: Path) -> None:
    image = joint(-10)
    mean = mean_layers(image)
    first = sampler(weights)(image, mean)
    assert torch.equal(first, sampler(weights)(image, mean))
    assert not torch.equal(first, sampler(weights, seed=1)(image, mean))


def test_a_joint_without_overlap_keeps_its_bits_and_needs_no_weights(tmp_path: Path) -> None:
    image = joint(40)
    mean = mean_layers(image)
    assert torch.equal(sampler(tmp_path / "absent.pt")(image, mean), mean)


def test_missing_weights_are_refused_with_a_remedy(tmp_path: Path) -> None:
    image = joint(-10)
    with pytest.raises(InputError, match="sample_overlap"):
        sampler(tmp_path / "absent.pt")(image, mean_layers(image))


def test_the_mean_of_samples_is_nearer_to_their_centre_than_a_sample(weights: Path) -> None:
    image = joint(-10)
    mean = mean_layers(image)
    singles = torch.stack([sampler(weights, seed)(image, mean) for seed in range(1, 13)])
    centre = singles.mean(dim=0)
    error = (sampler(weights, samples=12)(image, mean) - centre).square().mean()
    assert float(error) < 0.5 * float((singles - centre).square().mean())


def test_the_true_exchange_restores_true_bones_of_the_same_sum() -> None:
    image = joint(-10)
    true = mean_layers(image)
    weight = support(image[None, 1:]).prod(dim=1)
    moved = exchange(true, 0.02 * torch.ones(1, SIZE, SIZE), weight)
    back = exchange(moved, exchanged(moved[None], true[None])[0], weight)
    assert torch.allclose(back, true, atol=1e-6)


def test_a_sample_has_no_detail_that_the_detector_could_not_record() -> None:
    texture = torch.randn(1, 1, 64, 256, generator=torch.Generator().manual_seed(0))
    limited = band_limited(texture, 0.082)
    power = torch.fft.rfft2(limited[0, 0]).abs().square()
    white = torch.fft.rfft2(texture[0, 0]).abs().square()
    assert float(power[:, 110:].mean()) < 0.05 * float(white[:, 110:].mean())
    assert float(power[:8, :20].mean()) > 0.8 * float(white[:8, :20].mean())
    assert torch.equal(band_limited(texture, 0.15), texture)


def test_no_bone_gives_more_attenuation_than_it_has() -> None:
    image = joint(-10)
    weight = support(image[None, 1:]).prod(dim=1)
    made = exchange(mean_layers(image), torch.full((1, SIZE, SIZE), 5.0), weight)
    assert float(attenuation(made[2])[weight[0] > 0.5].abs().max()) < 1e-6


def test_conditions_state_the_attenuation_of_the_radiograph_and_where_both_bones_may_be() -> None:
    image = joint(-10)
    given = conditions(mean_layers(image)[None], image[None, 1:])[0]
    assert given.shape == (CONDITIONS, SIZE, SIZE)
    assert torch.allclose(given[0], 2.0 * attenuation(image[0]), atol=1e-5)
    assert torch.equal(given[-1], support(image[None, 1:]).prod(dim=1)[0])


@pytest.mark.parametrize(("first", "last"), [(0, 3), (90, 96), (40, 50), (20, 75), (5, 90)])
def test_the_rows_hold_the_overlap_with_its_margin_inside_the_frame(first: int, last: int) -> None:
    both = torch.zeros(1, SIZE, 4)
    both[:, first:last] = 1.0
    rows, top, bottom = joint_rows(both), max(first - MARGIN, 0), min(last + MARGIN, SIZE)
    assert 0 <= rows.start <= top and bottom <= rows.stop <= SIZE
    assert rows.stop - rows.start == max(ROWS, bottom - top)


def test_the_loss_is_the_mean_square_over_the_overlap_of_each_image() -> None:
    velocity, true = torch.randn(2, 1, 32, 32), torch.randn(2, 1, 32, 32)
    both = torch.zeros(2, 1, 32, 32)
    both[0, :, :20], both[1, :, 8:] = 1.0, 1.0
    naive = 0.0
    for row in range(2):
        pixels = [(y, x) for y in range(32) for x in range(32) if both[row, 0, y, x] > 0]
        naive += sum(float(velocity[row, 0, y, x] - true[row, 0, y, x]) ** 2 for y, x in pixels) / len(pixels) / 2
    assert float(FlowLoss()(velocity, torch.cat([true, both], dim=1))) == pytest.approx(naive, rel=1e-5)


def test_an_image_without_overlap_has_no_loss() -> None:
    label = torch.cat([torch.randn(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)], dim=1)
    assert float(FlowLoss()(torch.randn(1, 1, 8, 8), label)) == 0.0


def test_the_exact_velocity_of_a_gaussian_leads_from_noise_to_that_gaussian() -> None:
    mean, deviation = 1.5, 0.3

    def velocity(state: Tensor, time: float) -> Tensor:
        variance = (1 - time) ** 2 + (time * deviation) ** 2
        slope = (time * deviation**2 - (1 - time)) / variance
        return mean + slope * (state - time * mean)

    noise = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    made = integrate(velocity, noise, 20)
    assert float(made.mean()) == pytest.approx(mean, abs=0.02)
    assert float(made.std()) == pytest.approx(deviation, rel=0.1)


def test_a_path_leads_straight_from_noise_to_the_texture() -> None:
    noise, texture = torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4)
    state, velocity = flow_step(noise, texture, torch.tensor(0.25))
    assert torch.allclose(state + 0.75 * velocity, texture, atol=1e-6)
    assert torch.allclose(state - 0.25 * velocity, noise, atol=1e-6)


def test_validation_steps_depend_only_on_seed_and_name() -> None:
    pair = {"name": "a", "given": torch.rand(CONDITIONS, 8, 8).half(), "texture": torch.rand(1, 8, 8).half()}
    first, again = (RandFlowStepd(seed=3)(pair)["image"] for _ in range(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, RandFlowStepd(seed=3)({**pair, "name": "b"})["image"])


def test_the_transform_samples_the_layers_of_a_dictionary(weights: Path) -> None:
    image = joint(-10)
    mean = mean_layers(image)
    made = SampleOverlapd(sampler(weights))({"image": image, "pred": mean, "spacing": torch.tensor([0.082])})
    assert torch.equal(made["pred"], sampler(weights)(image, mean, float(torch.tensor(0.082))))
