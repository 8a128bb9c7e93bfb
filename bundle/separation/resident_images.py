"""Radiographs that stay on the device with what is learned of them, and batches that are augmented there.

MONAI's random transforms draw for one image after the other, as they would for images that are loaded one by one; what
they have drawn is then done to all images of a batch at once. The same seed gives the same batches as a DataLoader of
the data set, but for the noise on a GPU, which is drawn there.
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
from monai.transforms import NormalizeIntensityd, RandAdjustContrastd, RandAffined, RandFlipd, RandGaussianNoised
from torch import Tensor

Step = Callable[[Tensor], Tensor]
"""What a transform does to a batch of images (B, C, H, W)."""

_MAX_SEED = 2**31 - 1


class ResidentImageLoader(DeviceLoader):
    """Batches of images that stay on the device, the same ones that a DataLoader of the data set gives for a seed.

    Args:
        dataset: its data are loaded samples with ``image`` (C, H, W), all of one size, and ``label``; its transforms
            are those of :func:`batched`.
        batch_size: images of a batch; the last one of an epoch may be smaller.
        device: where the images stay.
        shuffle: whether each epoch has another order, drawn from torch's generator of the CPU.

    Raises:
        InputError: a transform cannot work on a batch.
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
        """The batch of some images, augmented."""
        rows = torch.tensor(chosen).to(self.device, non_blocking=True)
        image, label = (self.held[key].index_select(0, rows) for key in ("image", "label"))
        for step in self.steps:
            image = step(image)
        return {"image": image, "label": label}


def batched(transform: Any) -> Step:
    """What a transform does to a batch: RandFlipd, RandAffined (turns and shifts), RandAdjustContrastd,
    RandGaussianNoised or NormalizeIntensityd, with the draws that images would get one by one.

    Args:
        transform: of the key ``image``.

    Raises:
        InputError: it is another transform, or has options that are not made in batches.
    """
    for kind, (works, step) in _BATCHED.items():
        if isinstance(transform, kind) and works(transform):
            return lambda images: step(transform, images)
    msg = f"{type(transform).__name__} with these options works on single images only: leave out the resident overlay"
    raise InputError(msg)


def gaussian(random: np.random.RandomState, shape: Sequence[int], like: Tensor) -> Tensor:
    """Standard normal noise in the dtype and on the device of a tensor, where it is drawn unless that is the CPU.

    Args:
        random: draws it, or the seed that a GPU draws it from.
        shape: of the noise.
        like: a tensor.
    """
    if like.device.type == "cpu":
        return torch.from_numpy(random.standard_normal(tuple(shape)).astype(np.float32)).to(like)
    return sampled_on_device(like.new_empty(tuple(shape)), int(random.randint(_MAX_SEED)))


def _chosen(flags: Sequence[bool], like: Tensor) -> Tensor:
    """Which images of a batch are changed, (B, 1, 1, 1)."""
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
    drawn = [_matrix(transform) for _ in range(len(images))]
    still = np.eye(2, 3)
    matrices = to_device(np.stack([still if matrix is None else matrix for matrix in drawn]).tolist(), images)
    height, width = images.shape[-2:]
    device, dtype = images.device, images.dtype
    y, x = (torch.arange(side, device=device, dtype=dtype) - (side - 1) / 2 for side in (height, width))
    places = torch.stack([*torch.meshgrid(y, x, indexing="ij"), torch.ones_like(images[0, 0])], dim=-1)
    down, across = torch.einsum("bij,hwj->bhwi", matrices, places).unbind(-1)
    grid = torch.stack([across * (2.0 / width), down * (2.0 / height)], dim=-1)
    mode, padding = transform.mode[0], transform.padding_mode[0]
    made = sample(images, grid, mode, padding)
    return torch.where(_chosen([matrix is not None for matrix in drawn], images), made, images)


def _matrix(transform: RandAffined) -> np.ndarray | None:
    """Places (row, column, 1) of the image that are shown, by those of the result, (2, 3); None where it stays."""
    transform.randomize(None)
    transform.rand_affine.randomize()
    if not transform._do_transform:
        return None
    grid = transform.rand_affine.rand_affine_grid
    grid.randomize()  # RandAffined draws again, uses this, and draws once more
    (angle,), shift = grid.rotate_params or [0.0], np.array(grid.translate_params or [0.0, 0.0])
    transform.rand_affine.randomize()
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([turn, (turn @ shift)[:, None]], axis=1)


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
            inner.R.random_sample()  # its own probability, which is 1
            strength = inner.R.uniform(0, inner.std) if inner.sample_std else inner.std
            noise[row] = inner.mean + strength * gaussian(inner.R, images.shape[1:], images)
    return images + noise


def _normalised(transform: NormalizeIntensityd, images: Tensor) -> Tensor:
    whole: Any = transform.normalizer
    return (images - float(whole.subtrahend)) / float(whole.divisor)


def _turns_and_shifts(transform: RandAffined) -> bool:
    grid = transform.rand_affine.rand_affine_grid
    others = (*(grid.shear_range or ()), *(grid.scale_range or ()))
    return transform.rand_affine.spatial_size is None and all(each is None for each in others)


def _by_numbers(transform: NormalizeIntensityd) -> bool:
    whole = transform.normalizer
    given = isinstance(whole.subtrahend, (int, float)) and isinstance(whole.divisor, (int, float))
    return given and not whole.nonzero and not whole.channel_wise


_BATCHED: dict[type, tuple[Callable[[Any], bool], Callable[[Any, Tensor], Tensor]]] = {
    RandFlipd: (lambda transform: isinstance(transform.flipper.spatial_axis, int), _flipped),
    RandAffined: (_turns_and_shifts, _moved),
    RandAdjustContrastd: (lambda transform: not transform.adjuster.invert_image, _contrasted),
    RandGaussianNoised: (lambda transform: True, _noisy),
    NormalizeIntensityd: (_by_numbers, _normalised),
}
