"""Images that stay on the device: the batches of a DataLoader of the same data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.separation.resident_images import ResidentImageLoader, batched, gaussian
from bundle.workflow.seeding import seed_epoch
from monai.data import DataLoader, Dataset, set_track_meta
from monai.transforms import (
    CenterSpatialCropd,
    Compose,
    NormalizeIntensityd,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandZoomd,
)

TRANSFORMS = {
    "flip": lambda: RandFlipd("image", prob=0.5, spatial_axis=1),
    "affine": lambda: RandAffined("image", prob=0.8, rotate_range=0.05, translate_range=[4, 3], padding_mode="border"),
    "contrast": lambda: RandAdjustContrastd("image", prob=0.5, gamma=(0.7, 1.4)),
    "noise": lambda: RandGaussianNoised("image", prob=0.5, std=0.02),
    "normalise": lambda: NormalizeIntensityd("image", subtrahend=0.4, divisor=0.2),
    "normalise alone": lambda: NormalizeIntensityd("image"),
    "crop": lambda: CenterSpatialCropd("image", [12, 10]),
}


@pytest.fixture(autouse=True)
def _without_meta() -> Iterator[None]:
    set_track_meta(False)
    yield
    set_track_meta(True)


def data_set(names: list[str]) -> Dataset:
    random = torch.Generator().manual_seed(0)
    coarse = torch.rand(10, 1, 8, 10, generator=random)
    images = torch.nn.functional.interpolate(coarse, (32, 40), mode="bilinear")
    data = [{"image": image, "label": torch.tensor([float(row)])} for row, image in enumerate(images)]
    return Dataset(data, Compose([TRANSFORMS[name]() for name in names]))


def epochs(dataset: Dataset, loader: Any) -> list[dict[str, Any]]:
    batches = []
    for epoch in (1, 2):
        seed_epoch(0, epoch, dataset)
        batches += list(loader)
    return batches


@pytest.mark.parametrize("names", [[name] for name in TRANSFORMS] + [list(TRANSFORMS)], ids=lambda names: names[-1])
def test_batches_are_those_of_a_data_loader(names: list[str]) -> None:
    one, other = data_set(names), data_set(names)
    expected = epochs(one, DataLoader(one, batch_size=4, shuffle=True))
    found = epochs(other, ResidentImageLoader(other, batch_size=4))
    assert [len(batch["image"]) for batch in found] == [4, 4, 2] * 2
    for batch, twin in zip(found, expected, strict=True):
        assert torch.equal(batch["label"], twin["label"])
        torch.testing.assert_close(batch["image"], twin["image"], rtol=0.0, atol=2e-5)
    assert not torch.equal(found[0]["image"], found[3]["image"])


@pytest.mark.parametrize(
    "transform",
    [
        RandZoomd("image"),
        RandAffined("image", scale_range=0.1),
        RandAdjustContrastd("image", invert_image=True),
        NormalizeIntensityd("image", nonzero=True),
    ],
)
def test_what_is_not_made_in_batches_is_refused(transform: Any) -> None:
    with pytest.raises(InputError, match=f"{type(transform).__name__} .* single images only"):
        batched(transform)


def test_noise_on_the_cpu_is_that_of_numpy() -> None:
    found = gaussian(np.random.RandomState(3), (2, 3), torch.zeros(1))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, np.random.RandomState(3).normal(size=(2, 3)), rtol=1e-6)
