from __future__ import annotations

import pytest
import torch
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.masks import union
from bundle.physics.radiograph import bone_radiographs, reconstruct
from bundle.separation.bls_gan.bone_layers import BoneLayerGenerator, Correction, filled_tissue, reconstruct_bones
from torch import Tensor, nn

SIZE = 64


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Two phantoms, the second with overlapping bones."""
    made = [
        render(sample_parameters(seed, size=SIZE, spacing=21 / SIZE, outline_gap_mm=jsw))
        for seed, jsw in ((0, 1.5), (1, -1))
    ]
    return torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in made])


def generator() -> BoneLayerGenerator:
    torch.manual_seed(0)
    return BoneLayerGenerator(nn.Conv2d(3, 2, 3, padding=1), Correction(2))


def test_bones_lie_in_their_masks_and_k_is_one_number_between_0_and_1(image: Tensor) -> None:
    with torch.no_grad():
        made = generator()(image, separated=False)
    k, bones = made[:, :1], made[:, 1:]
    assert made.shape == image.shape
    assert (bones[image[:, 1:] == 0] == 0).all()
    assert (bones[image[:, 1:] > 0] > 0).all()
    assert torch.equal(k, k[..., :1, :1].expand_as(k))
    assert 0 < float(k.min()) <= float(k.max()) < 1


def test_the_networks_see_nothing_but_the_bones(image: Tensor) -> None:
    other = image.clone()
    other[:, :1] = torch.where(union(image[:, 1:]) > 0, image[:, :1], 0.9)
    network = generator()
    assert torch.equal(network(image, separated=False), network(other, separated=False))


def test_the_layers_compose_to_the_bones_with_their_tissue_and_outside_to_the_radiograph(image: Tensor) -> None:
    network, masks = generator(), image[:, 1:]
    with torch.no_grad():
        bones, layers = network(image, separated=False)[:, 1:], network(image)
    soft, inside = layers[:, :1], masks == 1
    assert layers.min() >= 0 and layers.max() <= 1
    outside = union(masks) == 0
    torch.testing.assert_close(reconstruct(layers)[outside], image[:, :1][outside])
    expected = torch.maximum(bones, soft.expand_as(bones))[inside]
    torch.testing.assert_close(bone_radiographs(layers)[inside], expected, atol=1e-5, rtol=0)


def test_the_tissue_below_the_bones_is_never_above_the_radiograph(image: Tensor) -> None:
    soft = filled_tissue(image[:, :1], image[:, 1:])
    assert (soft <= image[:, :1] + 1e-6).all()
    assert (image[:, :1] - soft)[union(image[:, 1:]) > 0.5].mean() > 0.05


def test_the_right_k_reconstructs_bones_over_even_tissue_exactly() -> None:
    """Eq. 4 with the tissue counted once is the paper's reconstruction of bones that both carry it."""
    torch.manual_seed(0)
    soft = torch.full((1, 1, 6, 5), 0.3)
    masks = torch.zeros(1, 2, 6, 5)
    masks[:, 0, 2:], masks[:, 1, :4] = 1.0, 1.0
    layers = torch.cat([soft, torch.rand(1, 2, 6, 5) * masks], dim=1)
    bones = bone_radiographs(layers) * masks
    made = reconstruct_bones(bones, torch.full((1, 1, 1, 1), 0.3), masks)
    torch.testing.assert_close(made, reconstruct(layers))


@pytest.mark.parametrize("size", [(64, 64), (33, 71), (256, 256)])
def test_the_correction_takes_any_size(size: tuple[int, int]) -> None:
    assert Correction(2)(torch.rand(3, 1, *size)).shape == (3, 1, 1, 1)
