"""The network that registers both bones of a joint between two radiographs (Wang et al. 2023, arXiv 2304.13938)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bundle.alignment import Alignment, reduced, warp_bones
from bundle.networks.readers import make_reader

_MIDDLE, _SPREAD = 0.4, 0.2
"""Intensities are given to the network less the first, divided by the second."""


class Registrar(nn.Module):
    """A residual network that finds scale, rotation and translation of both bones, in a few rounds.

    A round is given the fixed radiograph, the moving one as the alignment found so far brings it onto the fixed one, by
    the lower and by the upper bone, and the bone masks of the fixed one; what it finds is left of the alignment. It
    begins with none, and as the last layer begins with zeros, so does the training. Only the masks say where the bones
    are; their outlines are not compared with anything, and the moving radiograph needs none.

    Args:
        name: of the network (:data:`bundle.networks.readers.READERS`).
        options: of the network.
        rounds: how often the moving radiograph is warped and looked at.
        size: height and width, in pixels, that frames are reduced to.
        translation: no round finds more, in mm.
        rotation: likewise, in degrees.
        scale: likewise, of the logarithm.
    """

    def __init__(
        self,
        name: str = "ResNet10",
        options: Mapping[str, Any] | None = None,
        rounds: int = 3,
        size: int = 128,
        translation: float = 3.0,
        rotation: float = 15.0,
        scale: float = 0.1,
    ) -> None:
        super().__init__()
        self.network = make_reader(name, 8, options, channels=5)
        nn.init.zeros_(self.network.fc.weight)
        nn.init.zeros_(self.network.fc.bias)
        self.rounds, self.size = rounds, size
        self.register_buffer("bounds", torch.tensor([scale, rotation, translation, translation]), persistent=False)

    def forward(self, fixed: Tensor, masks: Tensor, moving: Tensor, spacing: Tensor, center: Tensor) -> list[Alignment]:
        """Find how the bones lie in the moving radiograph.

        Args:
            fixed: (B, 1, H, W) in [0, 1].
            masks: its bones, lower and upper, (B, 2, H, W).
            moving: (B, 1, H, W).
            spacing: mm per pixel, (B,) or (B, 1).
            center: about which the alignments are stated, (B, 2, 2) in mm.

        Returns:
            The alignment (B, 2) after each round. From one round to the next no gradient is passed.
        """
        shown, spacing = reduced(torch.cat([fixed, masks, moving], dim=1), spacing, self.size)
        fixed, masks, moving = shown.split([1, 2, 1], dim=1)
        found = [Alignment.still(center)]
        for _ in range(self.rounds):
            before = Alignment(*(part.detach() for part in vars(found[-1]).values()))
            warped = warp_bones(moving, before, spacing)
            given = torch.cat([(torch.cat([fixed, warped], dim=1) - _MIDDLE) / _SPREAD, masks], dim=1)
            found.append(self._step(self.network(given).float(), center).then(before))
        return found[1:]

    def _step(self, raw: Tensor, center: Tensor) -> Alignment:
        """What a round adds, by the network's numbers (B, 8)."""
        bounds = self.get_buffer("bounds")
        parts = bounds * torch.tanh(raw.reshape(-1, 2, 4))
        return Alignment.from_parameters(torch.cat([parts[..., :1].exp(), parts[..., 1:]], dim=-1), center)
