"""Radiographs and labels that stay on the device, and batches that are augmented there.

MONAI's random transforms sample their parameters image by image, as for images loaded one by one; the operation then
runs on the whole batch. The same seed gives the batches of a DataLoader of the data set, except for noise on a GPU,
which is sampled there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from bundle.errors import InputError
from bundle.physics import sample, sampled_on_device
from bundle.separation.resident import DeviceLoader, to_device
from monai.data import Dataset
from monai.transforms import (
    CenterSpatialCropd,
    NormalizeIntensityd,
    RandAdjustContrastd,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
)
from torch import Tensor

Step = Callable[[Tensor], Tensor]
"""Batched version of a transform, on images (B, C, H, W)."""

_MAX_SEED = 2**31 - 1


class ResidentImageLoader(DeviceLoader):
    """Loader of images that stay on the device, with the batches of a DataLoader of the data set for the same seed.

    Args:
        dataset: data set of loaded samples with ``image`` (C, H, W), all of one size, and ``label``; its transforms
            must be supported by :func:`batched`.
        batch_size: images per batch; the last batch of an epoch may be smaller.
        device: device of the images.
        shuffle: whether to shuffle each epoch, with torch's CPU generator.

    Raises:
        InputError: if a transform has no batched version.
    """

    def __init__(
        self, dataset: Dataset, batch_size: int, device: torch.device | str = "cpu", shuffle: bool | str = True
    ) -> None:
        super().__init__(dataset, batch_size, shuffle)
        self.device = torch.device(device)
        self.steps = [batched(transform) for transform in dataset.transform.transforms]

    @cached_property
    def held(self) -> dict[str, Tensor]:
        """``image`` (N, C, H, W) and ``label`` of all samples, on the device."""
        samples = self.dataset.data
        return {
            key: torch.stack([torch.as_tensor(sample[key]) for sample in samples]).to(self.device)
            for key in ("image", "label")
        }

    def made(self, chosen: Sequence[int]) -> dict[str, Tensor]:
        """Make the augmented batch of the given images."""
        rows = torch.tensor(chosen).to(self.device, non_blocking=True)
        image, label = (self.held[key].index_select(0, rows) for key in ("image", "label"))
        for step in self.steps:
            image = step(image)
        return {"image": image, "label": label}


def batched(transform: Any) -> Step:
    """Return the batched version of a transform, which samples its parameters image by image.

    Supported: RandFlipd, RandAffined (rotations and shifts), RandAdjustContrastd, RandGaussianNoised,
    CenterSpatialCropd and NormalizeIntensityd.

    Args:
        transform: dictionary transform of the key ``image``.

    Raises:
        InputError: if the transform or one of its options has no batched version.
    """
    for kind, (works, step) in _BATCHED.items():
        if isinstance(transform, kind) and works(transform):
            return lambda images: step(transform, images)
    name = type(transform).__name__
    msg = f"{name} with these options works on single images only. Train without the resident overlay."
    raise InputError(msg)


def gaussian(random: np.random.RandomState, shape: Sequence[int], like: Tensor) -> Tensor:
    """Sample standard normal noise in the dtype and on the device of a tensor.

    Args:
        random: generator of the noise on a CPU, or of the seed for sampling on a GPU.
        shape: shape of the noise.
        like: tensor with the dtype and device.
    """
    if like.device.type == "cpu":
        return torch.from_numpy(random.standard_normal(tuple(shape)).astype(np.float32)).to(like)
    return sampled_on_device(like.new_empty(tuple(shape)), int(random.randint(_MAX_SEED)))


def _chosen(flags: Sequence[bool], like: Tensor) -> Tensor:
    """Images of a batch that the transform changes, (B, 1, 1, 1)."""
    return torch.tensor(flags).to(like.device, non_blocking=True)[:, None, None, None]


def _column(values: Sequence[float], like: Tensor) -> Tensor:
    return to_device(values, like)[:, None, None, None]


def _flipped(transform: RandFlipd, images: Tensor) -> Tensor:
    flags: list[bool] = []
    axis: Any = transform.flipper.spatial_axis
    for _ in range(len(images)):
        transform.randomize(None)
        flags.append(bool(transform._do_transform))
    return torch.where(_chosen(flags, images), images.flip(2 + int(axis)), images)


def _moved(transform: RandAffined, images: Tensor) -> Tensor:
    sampled = [_matrix(transform) for _ in range(len(images))]
    still = np.eye(2, 3)
    matrices = to_device(np.stack([still if matrix is None else matrix for matrix in sampled]).tolist(), images)
    height, width = images.shape[-2:]
    device, dtype = images.device, images.dtype
    y, x = (torch.arange(side, device=device, dtype=dtype) - (side - 1) / 2 for side in (height, width))
    places = torch.stack([*torch.meshgrid(y, x, indexing="ij"), torch.ones_like(images[0, 0])], dim=-1)
    down, across = torch.einsum("bij,hwj->bhwi", matrices, places).unbind(-1)
    grid = torch.stack([across * (2.0 / width), down * (2.0 / height)], dim=-1)
    mode, padding = transform.mode[0], transform.padding_mode[0]
    made = sample(images, grid, mode, padding)
    return torch.where(_chosen([matrix is not None for matrix in sampled], images), made, images)


def _matrix(transform: RandAffined) -> np.ndarray | None:
    """Sample the map from result to image coordinates (row, column, 1), (2, 3); None for no transform."""
    transform.randomize(None)
    transform.rand_affine.randomize()
    if not transform._do_transform:
        return None
    grid = transform.rand_affine.rand_affine_grid
    grid.randomize()  # RandAffined samples again, uses that sample, and then samples a third time
    (angle,), shift = grid.rotate_params or [0.0], np.array(grid.translate_params or [0.0, 0.0])
    transform.rand_affine.randomize()
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([rotation, (rotation @ shift)[:, None]], axis=1)


def _contrasted(transform: RandAdjustContrastd, images: Tensor) -> Tensor:
    gammas: list[float | None] = []
    for _ in range(len(images)):
        transform.randomize(None)
        if transform._do_transform:
            transform.adjuster.randomize(None)
        gammas.append(transform.adjuster.gamma_value if transform._do_transform else None)
    lowest, highest = (extreme(images, dim=(1, 2, 3), keepdim=True) for extreme in (torch.amin, torch.amax))
    extent = highest - lowest
    exponent = _column([1.0 if gamma is None else gamma for gamma in gammas], images)
    made = ((images - lowest) / (extent + 1e-7)) ** exponent * extent + lowest
    return torch.where(_chosen([gamma is not None for gamma in gammas], images), made, images)


def _noisy(transform: RandGaussianNoised, images: Tensor) -> Tensor:
    noise, inner = torch.zeros_like(images), transform.rand_gaussian_noise
    for row in range(len(images)):
        transform.randomize(None)
        if transform._do_transform:
            inner.R.random_sample()  # the sample for its own probability, which is 1
            strength = inner.R.uniform(0, inner.std) if inner.sample_std else inner.std
            noise[row] = inner.mean + strength * gaussian(inner.R, images.shape[1:], images)
    return images + noise


def _normalised(transform: NormalizeIntensityd, images: Tensor) -> Tensor:
    whole: Any = transform.normalizer
    if whole.subtrahend is not None:
        return (images - float(whole.subtrahend)) / float(whole.divisor)
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / torch.where(deviation == 0.0, 1.0, deviation)


def _cropped(transform: CenterSpatialCropd, images: Tensor) -> Tensor:
    slices: Any = transform.cropper.compute_slices(images.shape[2:])
    return images[..., slices[0], slices[1]]


def _rotates_and_shifts(transform: RandAffined) -> bool:
    grid = transform.rand_affine.rand_affine_grid
    others = (*(grid.shear_range or ()), *(grid.scale_range or ()))
    return transform.rand_affine.spatial_size is None and all(each is None for each in others)


def _by_numbers(transform: NormalizeIntensityd) -> bool:
    whole = transform.normalizer
    given = isinstance(whole.subtrahend, (int, float)) and isinstance(whole.divisor, (int, float))
    none = whole.subtrahend is None and whole.divisor is None
    return (given or none) and not whole.nonzero and not whole.channel_wise


_BATCHED: dict[type, tuple[Callable[[Any], bool], Callable[[Any, Tensor], Tensor]]] = {
    RandFlipd: (lambda transform: isinstance(transform.flipper.spatial_axis, int), _flipped),
    RandAffined: (_rotates_and_shifts, _moved),
    RandAdjustContrastd: (lambda transform: not transform.adjuster.invert_image, _contrasted),
    RandGaussianNoised: (lambda transform: True, _noisy),
    CenterSpatialCropd: (lambda transform: True, _cropped),
    NormalizeIntensityd: (_by_numbers, _normalised),
}
