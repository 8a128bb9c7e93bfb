"""Network that registers the bones of a joint between two radiographs, after Wang et al. 2023 (arXiv 2304.13938)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from bundle.errors import flag
from bundle.joint import MCP
from bundle.registration.alignment import Alignment, reduced, sampled
from bundle.scoring import make_scorer
from torch import Tensor, nn

_MIDDLE, _SPREAD = 0.4, 0.2
"""Offset and scale by which the intensities of the network's input are normalised."""

_UPRIGHT = ((1.0, 1.0, 1.0, 1.0), (1.0, -1.0, 1.0, -1.0))
"""Signs of scale, rotation and translation of the lower and of the upper bone, which is shown upside down."""


@dataclass(frozen=True, kw_only=True)
class RoundBounds:
    """Bounds on the result of one round of a :class:`Registrar`.

    Attributes:
        translation_mm: along x and along y.
        rotation_deg: in either direction.
        scale: of its logarithm.
    """

    translation_mm: float = 3.0
    rotation_deg: float = 15.0
    scale: float = 0.1

    @property
    def tensor(self) -> Tensor:
        """Scale, rotation and translation, (4,)."""
        return torch.tensor([self.scale, self.rotation_deg, self.translation_mm, self.translation_mm])


class Registrar(nn.Module):
    """A residual network that finds scale, rotation and translation of each bone, in a few rounds.

    Each round shows each bone in its own view, in which the edge that faces the joint lies at the same place, the upper
    bone upside down: the fixed radiograph, the moving one warped onto it by the alignment so far, the masks of this and
    of the other bone, and the coordinates of the view. The network predicts the remaining alignment. It starts from
    none, and so does the training, as the last layer is initialised with zeros. The masks only locate the bones: no
    outline is compared, and the moving radiograph needs no masks.

    Args:
        name: name of the network (:data:`bundle.scoring.SCORERS`).
        options: options of the network.
        rounds: number of rounds; each warps the moving radiograph again.
        size: height and width of the reduced frames in pixels (:func:`bundle.registration.alignment.reduced`).
        field_mm: height and width of the reduced frames in mm.
        view: height and width of a bone's view in pixels of these frames.
        before: fraction of the view that lies before the edge that faces the joint.
        bounds: bounds on the result of each round.
        amp: whether to train the network in bfloat16.
    """

    def __init__(
        self,
        name: str = "ResNet10",
        options: Mapping[str, Any] | None = None,
        rounds: int = 3,
        size: int = 128,
        field_mm: float = MCP.frame_mm,
        view: int = 64,
        before: float = 0.2,
        bounds: RoundBounds | None = None,
        amp: bool | str = False,
    ) -> None:
        super().__init__()
        self.network = make_scorer(name, 4, options, channels=6)
        last = self.network.get_submodule("fc")
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.rounds, self.size, self.field_mm, self.amp = rounds, size, field_mm, flag(amp)
        self.register_buffer("bounds", (bounds or RoundBounds()).tensor, persistent=False)
        self.register_buffer("signs", torch.tensor(_UPRIGHT), persistent=False)
        steps = (torch.arange(view) + 0.5) / view
        x, y = torch.meshgrid(steps - 0.5, steps - before, indexing="xy")
        self.register_buffer("places", torch.stack([x, y], dim=-1) * (view * field_mm / size), persistent=False)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile only the residual network, by :func:`torch.compile`."""
        self.network.compile(*args, **kwargs)

    def forward(self, fixed: Tensor, masks: Tensor, moving: Tensor, spacing: Tensor, center: Tensor) -> list[Alignment]:
        """Find the alignment of the bones in the moving radiograph.

        Args:
            fixed: fixed radiograph, (B, 1, H, W) in [0, 1].
            masks: its bones, lower and upper, (B, 2, H, W).
            moving: moving radiograph, (B, 1, H, W).
            spacing: pixel size in mm, (B,) or (B, 1).
            center: centres of the alignments, the middles of the edges that face the joint, (B, 2, 2) in mm.

        Returns:
            The alignment (B, 2) after each round. No gradient passes from one round to the next.
        """
        frames = reduced(torch.cat([fixed, masks, moving], dim=1), spacing, self.size, self.field_mm)
        frames = frames.repeat_interleave(2, dim=0)
        places = self._places(center)
        still = sampled(frames[:, :3], places, self.field_mm / self.size, padding="zeros")
        still[1::2, 1:] = still[1::2, 1:].flip(1)
        still = torch.cat([(still[:, :1] - _MIDDLE) / _SPREAD, still[:, 1:], self._coordinates(len(frames))], dim=1)
        found = [Alignment.still(center)]
        for _ in range(self.rounds):
            before = Alignment(*(part.detach() for part in vars(found[-1]).values()))
            moved = before(places.reshape(*center.shape[:2], -1, 2)).reshape(places.shape)
            seen = sampled(frames[:, 3:], moved, self.field_mm / self.size, padding="zeros")
            found.append(self._step(torch.cat([still, (seen - _MIDDLE) / _SPREAD], dim=1), center).then(before))
        return found[1:]

    def _places(self, center: Tensor) -> Tensor:
        """Return the pixel centres of the views in the fixed frame, (2 B, h, w, 2) in mm."""
        upright = self.get_buffer("signs")[:, 2:]
        views = self.get_buffer("places") * upright[:, None, None]
        return (views + center[:, :, None, None]).flatten(0, 1)

    def _coordinates(self, count: int) -> Tensor:
        places = self.get_buffer("places")
        return (places / places.abs().amax()).permute(2, 0, 1).expand(count, -1, -1, -1)

    def _step(self, views: Tensor, center: Tensor) -> Alignment:
        """Return the alignment that a round adds, from the views of all bones (2 B, 6, h, w)."""
        views = views.contiguous(memory_format=torch.channels_last)
        with torch.autocast(views.device.type, torch.bfloat16, enabled=self.amp and self.training):
            raw = self.network(views).float()
        parts = self.get_buffer("bounds") * torch.tanh(raw.reshape(-1, 2, 4)) * self.get_buffer("signs")
        return Alignment.from_parameters(torch.cat([parts[..., :1].exp(), parts[..., 1:]], dim=-1), center)
