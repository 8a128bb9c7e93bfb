"""Losses and trainer of BLS-GAN (arXiv 2409.07304), the predecessor of LSN.

The supervisor receives the two bone layers and predicts two copies of the bone masks: the first copy for any layers,
the second only for real ones. For generated layers its target is the first copy alone; the generator is trained to
make it predict both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from bundle.joint import Keys
from bundle.physics import bone_radiographs, overlap, union
from bundle.separation.bls_gan.bone_layers import reconstruct_bones
from bundle.separation.regional import mean_of_known, rmse
from bundle.separation.trainer import LayerSeparationTrainer
from monai.losses import DiceLoss
from torch import Tensor, nn
from torch.nn import functional as F


class BoneSupervision(nn.Module):
    """``BCE + soft Dice`` over two copies of the masks, in the whole bones and again in the overlap.

    Both terms are ``0.5 BCE + 0.5 Dice``. In the overlap all four targets are 1; samples without overlap add 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dice = DiceLoss(smooth_nr=1.0, smooth_dr=1.0, batch=False, reduction="none")

    def forward(self, found: Tensor, M: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch.

        Args:
            found: logits of the four maps, (B, 4, H, W); only pixels inside the masks count, as published.
            M: bone masks, (B, 2, H, W).
        """
        twice = torch.cat([M, M], dim=1)
        both = overlap(M).expand_as(twice)
        return 0.5 * (self._error(found, twice, twice) + self._error(found, both, both))

    def _error(self, found: Tensor, target: Tensor, region: Tensor) -> Tensor:
        found = found.to(torch.promote_types(found.dtype, torch.float32))
        entropy = F.binary_cross_entropy_with_logits(found, target, reduction="none") * region
        pooled = (torch.sigmoid(found) * region).flatten(1)[:, None], target.flatten(1)[:, None]
        return entropy.mean() + self.dice(*pooled).mean()


class BoneSupervisorLoss(nn.Module):
    """BCE of the supervisor inside the masks, averaged over its three inputs.

    Targets: for the radiograph cut out by each mask, both copies where the bones do not overlap; for true bone layers,
    both copies of the masks; for generated layers, the first copy alone.
    """

    def forward(self, cut: Tensor, generated: Tensor, true: Tensor, known: Tensor, M: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for logits (B, 4, H, W), ``known`` (B,) or (B, 1) and masks (B, 2, H, W)."""
        alone, none = M * (1.0 - overlap(M)), torch.zeros_like(M)
        real = _inside(cut, torch.cat([alone, alone], dim=1), M)
        fake = _inside(generated, torch.cat([M, none], dim=1), M)
        layers = _inside(true, torch.cat([M, M], dim=1), M)
        known = known.reshape(-1).to(layers)
        return ((real + fake + known * layers) / (2.0 + known)).mean()


def _inside(found: Tensor, target: Tensor, M: Tensor) -> Tensor:  # noqa: N803
    """BCE inside the masks, averaged over the frame: (B,)."""
    region = torch.cat([M, M], dim=1)
    found = found.to(torch.promote_types(found.dtype, torch.float32))
    return (F.binary_cross_entropy_with_logits(found, target, reduction="none") * region).flatten(1).mean(dim=1)


class BoneLayerTrainer(LayerSeparationTrainer):
    """Trainer of BLS-GAN: the generator with its correction k, and the supervisor; no motion and no discriminator.

    The loss terms are those of :class:`bundle.separation.GeneratorLoss`: ``reconstruction`` (RMSE of R in the bones),
    ``supervision`` (:class:`BoneSupervision`) and ``layers`` (RMSE of the bones B over the frame, for samples with
    true layers). The generator is a :class:`bundle.separation.bls_gan.BoneLayerGenerator`; the supervisor has two input
    and four output channels.

    Args:
        args: arguments of :class:`bundle.separation.LayerSeparationTrainer`.
        generator_alone: whether to freeze the supervisor and the correction, as in the published main training.
        kwargs: keyword arguments of :class:`bundle.separation.LayerSeparationTrainer`.
    """

    def __init__(self, *args: Any, generator_alone: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.generator_alone = generator_alone
        self.bone_supervision, self.bone_supervisor_loss = BoneSupervision(), BoneSupervisorLoss()

    def _play(self, engine: Any, batch: Mapping[str, Tensor], output: dict[str, Tensor]) -> None:
        """Step the supervisor, then the generator with its correction."""
        raw = self._generate(engine, batch[Keys.SEEN], separated=False)
        output[Keys.PRED] = torch.cat([batch[Keys.IMAGE][:, :1], raw[:, 1:]], dim=1)
        if self.players.use_supervisor and not self.generator_alone:
            output["supervisor"] = self._step(self.players.supervisor, self._supervise(raw[:, 1:].detach(), batch))
        self._step_generator(engine, lambda: self._bone_parts(raw, batch), batch, output)

    def _supervise(self, bones: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        J, M = batch[Keys.IMAGE][:, :1], batch[Keys.IMAGE][:, 1:]  # noqa: N806
        true = bone_radiographs(batch[Keys.LABEL]) * M
        with self._autocast():
            found = self.players.supervisor.network(torch.cat([J * M, bones, true])).chunk(3)
        return self.bone_supervisor_loss(*found, batch[Keys.TRUTH], M)

    def _bone_parts(self, raw: Tensor, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        J, M = batch[Keys.IMAGE][:, :1], batch[Keys.IMAGE][:, 1:]  # noqa: N806
        k, bones = raw[:, :1], raw[:, 1:]
        if self.generator_alone:
            k = k.detach()
        parts = {"reconstruction": rmse(reconstruct_bones(bones, k, M), J, union(M)).mean()}
        if self.supervised:
            with self._autocast():
                found = self.players.supervisor.bare(bones)
            parts["supervision"] = self.bone_supervision(found, M)
        if self.epoch_loss().uses("layers"):
            errors = rmse(bones, bone_radiographs(batch[Keys.LABEL]) * M, torch.ones_like(J))
            parts["layers"] = mean_of_known(errors, batch[Keys.TRUTH].reshape(-1))
        return parts
