"""Losses of Layer Separation Networks (LSN, arXiv 2502.01972): Eq. 7, 8, 9, 11 and 12.

The paper's names: J radiograph, R = f_r(L) reconstruction, M bone masks, L layers, B radiograph of one bone; a prime is
what a random motion f_s made of it. The networks N_S and N_D are evaluated by the caller; the losses take their logits.

Every loss is taken inside the visible region, sample by sample, and then averaged over the batch. Several motions of
one step are averaged by concatenating them along the batch. Half precision is promoted to float32.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bundle.masks import exclusive, overlap, union
from bundle.radiograph import bone_radiographs


def rmse(a: Tensor, b: Tensor, region: Tensor, *, eps: float = 1e-12) -> Tensor:
    """Root mean squared error over a region, ``sqrt(MSE + eps) - sqrt(eps)``, one value a sample.

    ``eps`` keeps the gradient finite where ``a == b``. Equal images and an empty region give exactly 0, with zero
    gradient; elsewhere the value is at most ``sqrt(eps)`` below the RMSE.

    Args:
        a: (B, C, H, W).
        b: of the shape of ``a``.
        region: weights in [0, 1], (B, 1, H, W) for all channels or (B, C, H, W).
        eps: squared intensity below which errors stop mattering.

    Returns:
        (B,), in the unit of ``a``.

    Raises:
        ValueError: if the shapes differ.
    """
    a, b = _same_shape(a, b)
    mse = _region_mean((a - b) ** 2, region)
    return torch.sqrt(mse + eps) - eps**0.5


def masked_bce(logits: Tensor, target: Tensor, region: Tensor) -> Tensor:
    """Binary cross entropy over the pixels of a region and all channels, one value a sample.

    Args:
        logits: (B, C, H, W), before the sigmoid.
        target: probabilities in [0, 1] of the same shape (the masks of a moved bone are soft).
        region: weights in [0, 1], (B, 1, H, W) for all channels or (B, C, H, W); an empty region gives 0.

    Returns:
        (B,), in nats: 0 is perfect, log 2 is a coin.

    Raises:
        ValueError: if the shapes differ.
    """
    logits, target = _same_shape(logits, target)
    return _region_mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), region)


class Reconstruction(nn.Module):
    """``L0 = RMSE(R, J) + RMSE(R, J on M_cap)``, the first line of Eq. 7.

    Args:
        whole: weight of the error over the visible region.
        both: weight of the error in the overlap of the bones; samples without overlap add 0 to it.
    """

    def __init__(self, *, whole: float = 1.0, both: float = 1.0) -> None:
        super().__init__()
        self.whole = whole
        self.both = both

    def forward(self, R: Tensor, J: Tensor, M: Tensor, visible: Tensor) -> Tensor:
        """Mean over the batch, for R and J (B, 1, H, W), M (B, 2, H, W) and the visible region (B, 1, H, W)."""
        return (self.whole * rmse(R, J, visible) + self.both * rmse(R, J, overlap(M))).mean()


class Supervision(nn.Module):
    """``L1 = BCE(N_S(R'), M')``, the second line of Eq. 7: the moved bones must be found where they were moved to."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:
        """Mean over the batch.

        Args:
            found: logits N_S(R') of the three exclusive maps, (B, 3, H, W).
            M: the moved bone masks M', (B, 2, H, W), soft or binary.
            visible: visible region, (B, 1, H, W); what of a bone has left it does not count.
        """
        return masked_bce(found, exclusive(M, visible), visible).mean()


class Discrimination(nn.Module):
    """``L2 = 1 - min(BCE(N_D(L_0), M_cup), bound)``, the third line of Eq. 7: no bone shadow left in the soft tissue.

    The paper's ``1 - BCE`` has no lower bound and ends up as the only term that matters; here a sample on which N_D is
    wrong by ``bound`` or more is done with and has no gradient.

    Args:
        bound: cross entropy in nats up to which N_D is to be fooled (a coin has 0.69).
    """

    def __init__(self, *, bound: float = 1.0) -> None:
        super().__init__()
        self.bound = bound

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:
        """Mean over the batch, in [1 - bound, 1], for the logits N_D(L_0) (B, 1, H, W)."""
        return 1.0 - masked_bce(found, union(M), visible).clamp(max=self.bound).mean()


class LayerFidelity(nn.Module):
    """``L3 = 0.5 RMSE(R_b, B) + 0.5 RMSE(R'_b, B')`` of Eq. 11: each bone with its soft tissue, before and after f_s.

    Both bones are pooled in one RMSE. The region is the caller's. The visible region is for layers that are known
    everywhere: on the other bone's pixels B is the bare soft tissue, which teaches where soft tissue ends and bone
    begins. The bone masks (B, 2, H, W), as published, are for pseudo-images of which only the bones are known; a
    generator that reconstructs exactly learns nothing from them outside the overlap.

    Args:
        still: weight of the layers as they are.
        moved: weight of the layers after the motion.
    """

    def __init__(self, *, still: float = 0.5, moved: float = 0.5) -> None:
        super().__init__()
        self.still = still
        self.moved = moved

    def forward(
        self,
        still: tuple[Tensor, Tensor, Tensor],
        moved: tuple[Tensor, Tensor, Tensor],
        known: Tensor,
    ) -> Tensor:
        """Mean over the samples that have true layers, 0 if none has.

        Args:
            still: generated layers L (B, 3, H, W), true layers (B, 3, H, W), region (B, 1, H, W) or (B, 2, H, W).
            moved: the same three after the motion f_s.
            known: 1 for a sample whose true layers are known, else 0; (B,) or (B, 1).
        """
        error = self.still * self._error(*still) + self.moved * self._error(*moved)
        known = known.reshape(-1).to(error)
        return (error * known).sum() / known.sum().clamp(min=1.0)

    @staticmethod
    def _error(L: Tensor, truth: Tensor, region: Tensor) -> Tensor:
        return rmse(bone_radiographs(L), bone_radiographs(truth), region)


class GeneratorLoss(nn.Module):
    """Eq. 7: ``0.6 L0 + 0.3 L1 + 0.1 L2``, the loss of the generator on real images (stage 2).

    A part with weight 0 is not needed: ask :meth:`uses` before computing it.

    >>> loss = GeneratorLoss(discrimination=0.0)
    >>> loss.uses("discrimination")
    False
    >>> loss({"reconstruction": torch.tensor(0.5), "supervision": torch.tensor(1.0)})
    tensor(0.6000)

    Args:
        reconstruction: weight of L0, :class:`Reconstruction`.
        supervision: weight of L1, :class:`Supervision`; 0 is the ablation without N_S.
        discrimination: weight of L2, :class:`Discrimination`; 0 is the ablation without N_D.
        layers: weight of L3, :class:`LayerFidelity`.

    Raises:
        ValueError: if a weight is negative or not finite.
    """

    def __init__(
        self,
        *,
        reconstruction: float = 0.6,
        supervision: float = 0.3,
        discrimination: float = 0.1,
        layers: float = 0.0,
    ) -> None:
        super().__init__()
        self.weights = {
            "reconstruction": reconstruction,
            "supervision": supervision,
            "discrimination": discrimination,
            "layers": layers,
        }
        for part, weight in self.weights.items():
            if not 0.0 <= weight < float("inf"):
                msg = f"expected the weight of {part} to be finite and at least 0, got {weight}"
                raise ValueError(msg)

    def uses(self, part: str) -> bool:
        """Whether a part (by the name of its weight) has any weight."""
        return self.weights[part] > 0.0

    def forward(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the parts; those with weight 0 are ignored, present or not.

        Raises:
            ValueError: if a part with weight is missing, or if no part has any.
        """
        used = [part for part in self.weights if self.uses(part)]
        missing = [part for part in used if part not in parts]
        if missing or not used:
            msg = f"expected the parts {used} (at least one), got {sorted(parts)}"
            raise ValueError(msg)
        return torch.stack([self.weights[part] * parts[part] for part in used]).sum()


class PseudoGeneratorLoss(GeneratorLoss):
    """Eq. 11 after epoch m: ``0.5 L0 + 0.2 L1 + 0.2 L2 + 0.1 L3``, on pseudo-images (stage 1)."""

    def __init__(
        self,
        *,
        reconstruction: float = 0.5,
        supervision: float = 0.2,
        discrimination: float = 0.2,
        layers: float = 0.1,
    ) -> None:
        super().__init__(
            reconstruction=reconstruction, supervision=supervision, discrimination=discrimination, layers=layers
        )


class EarlyPseudoGeneratorLoss(GeneratorLoss):
    """Eq. 11 up to epoch m: ``L0 + 0.4 L1 + 0.4 L3``, on pseudo-images (stage 1). N_D is neither used nor trained."""

    def __init__(
        self,
        *,
        reconstruction: float = 1.0,
        supervision: float = 0.4,
        discrimination: float = 0.0,
        layers: float = 0.4,
    ) -> None:
        super().__init__(
            reconstruction=reconstruction, supervision=supervision, discrimination=discrimination, layers=layers
        )


class SupervisorLoss(nn.Module):
    """``BCE(N_S(J), M)`` with the exclusive maps of M (Eq. 8), or half on a pseudo-image, half on its source (Eq. 12).

    Eq. 8 is Eq. 12 of an image that is its own source, so a batch may mix real and pseudo-images.

    Args:
        pseudo: weight of the pseudo-image in Eq. 12.
        source: weight of its non-overlapping source in Eq. 12.
    """

    def __init__(self, *, pseudo: float = 0.5, source: float = 0.5) -> None:
        super().__init__()
        self.pseudo = pseudo
        self.source = source
        self.find = Supervision()

    def forward(
        self, found: Tensor, M: Tensor, visible: Tensor, source: tuple[Tensor, Tensor, Tensor] | None = None
    ) -> Tensor:
        """Mean over the batch.

        Args:
            found: logits N_S(J), (B, 3, H, W).
            M: bone masks of J, (B, 2, H, W).
            visible: visible region of J, (B, 1, H, W).
            source: the same three of the pseudo-image's source (Eq. 12); without them Eq. 8.
        """
        loss = self.find(found, M, visible)
        if source is None:
            return loss
        return self.pseudo * loss + self.source * self.find(*source)


class DiscriminatorLoss(nn.Module):
    """``BCE(N_D(L_0), M_cup)`` (Eq. 9). L_0 must be detached before N_D sees it: the generator is not to learn here."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:
        """Mean over the batch, for the logits N_D(L_0) (B, 1, H, W), M (B, 2, H, W), visible region (B, 1, H, W)."""
        return masked_bce(found, union(M), visible).mean()


def _same_shape(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in float32 or better; a shape that would broadcast is an error."""
    if a.shape != b.shape:
        msg = f"expected two tensors of one shape (B, C, H, W), got {tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(msg)
    return a.to(torch.promote_types(a.dtype, torch.float32)), b.to(torch.promote_types(b.dtype, torch.float32))


def _region_mean(values: Tensor, region: Tensor) -> Tensor:
    """Weighted mean of each sample, (B, C, H, W) to (B,); a region smaller than a pixel counts as one pixel."""
    weights = region.to(values.dtype).expand_as(values).flatten(1)
    return (values.flatten(1) * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
