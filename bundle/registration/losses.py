"""Losses of a bone registration network: by image similarity and by the true alignment."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from bundle.joint import MCP
from bundle.registration.alignment import Alignment, narrowing, reduced, seen_places, warp_bones
from bundle.registration.pairs import JointPairs
from monai.networks.layers import GaussianFilter
from torch import Tensor, nn
from torch.nn import functional as F

REACH = (3.0, 6.0)
"""Extent of the points at which alignments are compared, in mm: to either side of a bone's centre and into it."""


def exclusive_regions(masks: Tensor) -> Tensor:
    """Return the region of each bone outside the other, for masks (B, 2, H, W): (B, 2, H, W) in [0, 1]."""
    return masks * (1.0 - masks.flip(1))


def registration_mse(
    fixed: Tensor, warped: Tensor, masks: Tensor, gain: bool = False, seen: Tensor | None = None
) -> Tensor:
    """Mean squared error of warped bones inside their masks and outside the other bone's, (B, 2).

    With masks of 0 and 1, for a bone with the pixels ``x``: ``mean (fixed(x) - warped(x))^2``. With ``gain`` it is that
    of ``a warped + b``, with the least-squares ``a`` and ``b``, ``a`` at least 0, for radiographs of different
    exposure. An empty region gives exactly 0, with zero gradient.

    Args:
        fixed: fixed radiograph, (B, 1, H, W).
        warped: moving radiograph warped onto the fixed one by each bone, (B, 2, H, W).
        masks: bones of the fixed radiograph, (B, 2, H, W) in [0, 1].
        gain: whether to correct gain and offset.
        seen: pixels that the moving radiograph shows (:func:`bundle.registration.alignment.seen_places`), (B, 2, H, W)
            of 0 and 1; only these are compared.

    Raises:
        ValueError: the shapes do not agree.
    """
    if (
        fixed.dim() != 4
        or fixed.shape[1] != 1
        or warped.shape != masks.shape
        or (*fixed.shape[:1], 2) != warped.shape[:2]
    ):
        shapes = [tuple(given.shape) for given in (fixed, warped, masks)]
        msg = f"radiographs must be (B, 1, H, W), warped and masks (B, 2, H, W), got {shapes}"
        raise ValueError(msg)
    weights = exclusive_regions(masks)
    weights = (weights if seen is None else weights * seen).flatten(2)
    weights = weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-6)
    one, other = fixed.flatten(2).expand_as(weights), warped.flatten(2)
    if not gain:
        return ((one - other).square() * weights).sum(dim=-1)
    one, other = (part - (part * weights).sum(dim=-1, keepdim=True) for part in (one, other))
    spread = (other.square() * weights).sum(dim=-1, keepdim=True)
    slope = (one * other * weights).sum(dim=-1, keepdim=True).clamp(min=0.0) / spread.clamp(min=1e-8)
    return ((one - slope * other).square() * weights).sum(dim=-1)


class MaskedRegistrationLoss(nn.Module):
    """Loss of Wang et al. 2023: mean over the bones of :func:`registration_mse`.

    Args:
        gain: whether to correct gain and offset of the exposure first.
    """

    def __init__(self, *, gain: bool = True) -> None:
        super().__init__()
        self.gain = gain

    def forward(self, fixed: Tensor, warped: Tensor, masks: Tensor, seen: Tensor | None = None) -> Tensor:
        """Mean over batch and bones; for the arguments see :func:`registration_mse`."""
        return registration_mse(fixed, warped, masks, self.gain, seen).mean()


class AlignmentLoss(nn.Module):
    """Distance of a found alignment from the true one, in mm: of points of the bones, and of the narrowing.

    Args:
        places: weight of the mean distance of points on a grid over each bone, :data:`REACH`.
        jsn: weight of the absolute error of the narrowing.
    """

    def __init__(self, *, places: float = 1.0, jsn: float = 1.0) -> None:
        super().__init__()
        self.places, self.jsn = places, jsn

    def forward(self, found: Alignment, true: Alignment) -> Tensor:
        """Mean over the batch, for alignments (B, 2) about the same centres."""
        grid = bone_places(found.center)
        apart = (found(grid) - true(grid)).square().sum(dim=-1)
        distance = (apart + 1e-8).sqrt().mean()
        return self.places * distance + self.jsn * (narrowing(found) - narrowing(true)).abs().mean()


def bone_places(center: Tensor) -> Tensor:
    """Return points on a grid over each bone with its edge at ``center`` (B, 2, 2): (B, 2, 9, 2) in mm."""
    across, into = REACH
    x = center.new_tensor([-across, 0.0, across])
    down = torch.stack([center.new_tensor([0.0, into / 2, into]) * side for side in (1.0, -1.0)])
    grid = torch.stack([x[None, :, None].expand(2, 3, 3), down[:, None].expand(2, 3, 3)], dim=-1)
    return center[:, :, None] + grid.reshape(1, 2, 9, 2)


class TrueRegistration(nn.Module):
    """:class:`AlignmentLoss` of the result of each round of a network, for pairs of known alignment.

    Args:
        places: see :class:`AlignmentLoss`.
        jsn: see :class:`AlignmentLoss`.
    """

    def __init__(self, *, places: float = 1.0, jsn: float = 1.0) -> None:
        super().__init__()
        self.loss = AlignmentLoss(places=places, jsn=jsn)

    def forward(self, found: Sequence[Alignment], pairs: JointPairs) -> Tensor:
        """Mean over the rounds, in mm."""
        return torch.stack([self.loss(bones, pairs.bones) for bones in found]).mean()


class SeenRegistration(nn.Module):
    """:class:`MaskedRegistrationLoss` of the result of each round of a network, for pairs of unknown alignment.

    It compares the detail of the radiographs, without their smooth part: soft tissue, which does not move with the
    bones, and the exposure would otherwise outweigh a misalignment of a tenth of a millimetre. The region outside the
    moving frame is not compared.

    Args:
        size: height and width of the reduced radiographs in pixels, as for the network.
        field_mm: height and width of the reduced radiographs in mm.
        coarse_mm: sigma in mm of the Gaussian whose result is the smooth part; 0 compares the radiographs themselves.
        gain: see :class:`MaskedRegistrationLoss`.
    """

    def __init__(
        self, *, size: int = 128, field_mm: float = MCP.frame_mm, coarse_mm: float = 0.6, gain: bool = True
    ) -> None:
        super().__init__()
        self.size, self.field_mm, self.loss = size, field_mm, MaskedRegistrationLoss(gain=gain)
        self.sigma = coarse_mm * size / field_mm
        self.smooth = GaussianFilter(2, self.sigma)

    def forward(self, found: Sequence[Alignment], pairs: JointPairs) -> Tensor:
        """Mean over the rounds, in squared intensity."""
        shown = reduced(torch.cat([pairs.fixed, pairs.moving[:, :1]], dim=1), pairs.spacing, self.size, self.field_mm)
        masks, pixel = shown[:, 1:3], self.field_mm / self.size
        fixed, moving = self._detail(shown[:, [0, 3]]).split(1, dim=1)
        errors = [
            self.loss(fixed, warp_bones(moving, bones, pixel), masks, seen_places(bones, masks, pixel))
            for bones in found
        ]
        return torch.stack(errors).mean()

    def _detail(self, radiographs: Tensor) -> Tensor:
        if not self.sigma:
            return radiographs
        margin = min(math.ceil(4.0 * self.sigma), radiographs.shape[-1] - 1)
        frame = (..., slice(margin, -margin), slice(margin, -margin))
        return radiographs - self.smooth(F.pad(radiographs, [margin] * 4, mode="replicate"))[frame]


class MixedRegistration(nn.Module):
    """:class:`TrueRegistration` for pairs of known alignment, :class:`SeenRegistration` for the others.

    Args:
        known: loss for pairs of known alignment, in mm.
        seen: loss for the others, in squared intensity.
        weight: weight of ``seen``, in mm per squared intensity. At 0.1 mm from the best alignment of real radiographs
            that loss rises by about 0.0015 per millimetre.
    """

    def __init__(self, known: nn.Module, seen: nn.Module, *, weight: float = 500.0) -> None:
        super().__init__()
        self.known, self.seen, self.weight = known, seen, weight

    def forward(self, found: Sequence[Alignment], pairs: JointPairs) -> Tensor:
        """Mean over the pairs and rounds."""
        known = pairs.known
        parts = ((known.nonzero()[:, 0], self.known, 1.0), ((~known).nonzero()[:, 0], self.seen, self.weight))
        losses = [
            weight * len(rows) * loss([bones.of_rows(rows) for bones in found], pairs.of_rows(rows))
            for rows, loss, weight in parts
            if len(rows)
        ]
        return torch.stack(losses).sum() / len(pairs)
