"""Losses of Layer Separation Networks (LSN, arXiv 2502.01972): Eq. 7, 8, 9, 11 and 12.

Notation of the paper: J radiograph, R = f_r(L) reconstruction, M bone masks, L layers, B radiograph of one bone; a
prime marks the result of a random motion f_s. The caller evaluates N_S and N_D; the losses take their logits.

Every loss is computed per sample inside the visible region, then averaged over the batch. The motions of one step are
concatenated along the batch. Half precision is promoted to float32.

Alternatives to the paper, selected in the configuration: other forms of L2 (:class:`NonSaturatingDiscrimination`,
:class:`HingeDiscrimination`) and of L3 (:class:`LayerDistance`), and extra terms
(:class:`bundle.separation.WeightedLoss`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from bundle.physics import bone_radiographs, exclusive, overlap
from bundle.separation.regional import masked_bce, mean_absolute_error, mean_of_known, rmse, slopes
from torch import Tensor, nn


@dataclass(frozen=True)
class Separation:
    """Separated joints of a batch, before or after a motion.

    Attributes:
        layers: generated layers L, (B, 3, H, W).
        masks: M, (B, 2, H, W).
        visible: visible region, (B, 1, H, W).
        truth: true layers, (B, 3, H, W), or None if not needed.
    """

    layers: Tensor
    masks: Tensor
    visible: Tensor
    truth: Tensor | None = None

    @property
    def compared(self) -> tuple[Tensor, Tensor]:
        """Generated and true layers.

        Raises:
            ValueError: if there are no true layers.
        """
        if self.truth is None:
            msg = "the true layers of the separated joints are unknown"
            raise ValueError(msg)
        return self.layers, self.truth


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

    def forward(self, R: Tensor, J: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch, for R and J (B, 1, H, W), M (B, 2, H, W) and the visible region (B, 1, H, W)."""
        return (self.whole * rmse(R, J, visible) + self.both * rmse(R, J, overlap(M))).mean()


class Supervision(nn.Module):
    """``L1 = BCE(N_S(R'), M')``, the second line of Eq. 7: N_S must find the moved bones at their new position."""

    def forward(self, found: Tensor, M: Tensor, visible: Tensor) -> Tensor:  # noqa: N803
        """Mean over the batch.

        Args:
            found: logits N_S(R') of the three exclusive maps, (B, 3, H, W).
            M: the moved bone masks M', (B, 2, H, W), soft or binary.
            visible: visible region, (B, 1, H, W); bone outside it does not count.
        """
        return masked_bce(found, exclusive(M, visible), visible).mean()


class LayerFidelity(nn.Module):
    """``L3 = 0.5 RMSE(R_b, B) + 0.5 RMSE(R'_b, B')`` of Eq. 11: each bone with its soft tissue, before and after f_s.

    Both bones are pooled in one RMSE.

    Args:
        still: weight of the layers before the motion.
        moved: weight of the layers after the motion.
        region: ``visible`` for layers that are known everywhere: on the other bone's pixels B is bare soft tissue,
            which teaches the boundary between soft tissue and bone. ``bones``, as published, for pseudo-images of which
            only the bones are known; outside the overlap it gives a generator with exact reconstruction no gradient.

    Raises:
        ValueError: if ``region`` is unknown.
    """

    def __init__(self, *, still: float = 0.5, moved: float = 0.5, region: str = "visible") -> None:
        super().__init__()
        if region not in ("visible", "bones"):
            msg = f"region must be visible or bones, got {region}"
            raise ValueError(msg)
        self.still = still
        self.moved = moved
        self.region = region

    def forward(self, still: Separation, moved: Separation, known: Tensor) -> Tensor:
        """Mean over the samples with true layers, 0 without any.

        Args:
            still: layers of B samples.
            moved: layers after T motions of the batch, concatenated: T B samples. Ignored if its weight is 0.
            known: 1 for a sample with true layers, else 0; (B,) or (B, 1).
        """
        return _still_and_moved(self, still, moved, known)

    def error(self, joints: Separation) -> Tensor:
        """RMSE of each sample, (B,)."""
        region = joints.visible if self.region == "visible" else joints.masks
        layers, truth = joints.compared
        return rmse(bone_radiographs(layers), bone_radiographs(truth), region)


class LayerDistance(nn.Module):
    """Distance of all three layers from the true ones, as measured by the separation metrics.

    ``L3 = whole d(L, T | visible) + both d(L_b, T_b | M_cap) + gradient d(grad L_b, grad T_b | visible)`` with the bone
    layers ``L_b``, pooled over channels. The gradient consists of finite differences to the right and downwards.

    Args:
        kind: the distance d, ``rmse`` or ``l1`` (mean absolute error).
        whole: weight of all three layers in the visible region.
        both: weight of the bone layers in the overlap of the bones; samples without overlap add 0 to it.
        gradient: weight of the gradient of the bone layers.
        still: weight of the layers before the motion.
        moved: weight of the layers after the motion. A rigid motion does not change the error, so 0 loses little and
            saves the motion of the true layers.

    Raises:
        ValueError: if ``kind`` is unknown.
    """

    def __init__(
        self,
        *,
        kind: str = "rmse",
        whole: float = 1.0,
        both: float = 1.0,
        gradient: float = 0.0,
        still: float = 1.0,
        moved: float = 0.0,
    ) -> None:
        super().__init__()
        if kind not in ("rmse", "l1"):
            msg = f"kind must be rmse or l1, got {kind}"
            raise ValueError(msg)
        self.distance = rmse if kind == "rmse" else mean_absolute_error
        self.whole = whole
        self.both = both
        self.gradient = gradient
        self.still = still
        self.moved = moved

    def forward(self, still: Separation, moved: Separation, known: Tensor) -> Tensor:
        """See :meth:`LayerFidelity.forward`."""
        return _still_and_moved(self, still, moved, known)

    def error(self, joints: Separation) -> Tensor:
        """Distance of each sample, (B,)."""
        layers, truth = joints.compared
        bones, true_bones = layers[:, 1:], truth[:, 1:]
        error = self.whole * self.distance(layers, truth, joints.visible)
        if self.both:
            error = error + self.both * self.distance(bones, true_bones, overlap(joints.masks))
        if self.gradient:
            edges = slopes(bones), slopes(true_bones)
            error = error + self.gradient * self.distance(*edges, joints.visible[..., :-1, :-1])
        return error


class GeneratorLoss(nn.Module):
    """Eq. 7: ``0.6 L0 + 0.3 L1 + 0.1 L2``, the loss of the generator on real images (stage 2).

    Terms with weight 0 need not be computed; check :meth:`uses` first.

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
        self, *, reconstruction: float = 0.6, supervision: float = 0.3, discrimination: float = 0.1, layers: float = 0.0
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
                msg = f"the weight of {part} must be finite and at least 0, got {weight}"
                raise ValueError(msg)

    def uses(self, part: str) -> bool:
        """Whether a loss term, given by the name of its weight, has a positive weight."""
        return self.weights[part] > 0.0

    def forward(self, parts: Mapping[str, Tensor]) -> Tensor:
        """Weighted sum of the loss terms; terms with weight 0 are ignored.

        Raises:
            ValueError: if a term with a weight is missing, or if no term has a weight.
        """
        used = [part for part in self.weights if self.uses(part)]
        missing = [part for part in used if part not in parts]
        if missing or not used:
            msg = f"the loss terms must include {used}, at least one, got {sorted(parts)}"
            raise ValueError(msg)
        return torch.stack([self.weights[part] * parts[part] for part in used]).sum()


class PseudoGeneratorLoss(GeneratorLoss):
    """Eq. 11 after epoch m: ``0.5 L0 + 0.2 L1 + 0.2 L2 + 0.1 L3``, on pseudo-images (stage 1)."""

    def __init__(
        self, *, reconstruction: float = 0.5, supervision: float = 0.2, discrimination: float = 0.2, layers: float = 0.1
    ) -> None:
        super().__init__(
            reconstruction=reconstruction, supervision=supervision, discrimination=discrimination, layers=layers
        )


class EarlyPseudoGeneratorLoss(GeneratorLoss):
    """Eq. 11 up to epoch m: ``L0 + 0.4 L1 + 0.4 L3``, on pseudo-images (stage 1). N_D is neither used nor trained."""

    def __init__(
        self, *, reconstruction: float = 1.0, supervision: float = 0.4, discrimination: float = 0.0, layers: float = 0.4
    ) -> None:
        super().__init__(
            reconstruction=reconstruction, supervision=supervision, discrimination=discrimination, layers=layers
        )


class SupervisorLoss(nn.Module):
    """``BCE(N_S(J), M)`` with the exclusive maps of M (Eq. 8), averaged over a pseudo-image and its source (Eq. 12).

    Eq. 12 equals Eq. 8 for an image that is its own source joint, so a batch may mix real and pseudo-images.

    Args:
        pseudo: weight of the pseudo-image in Eq. 12.
        source: weight of the non-overlapping source joint in Eq. 12.
    """

    def __init__(self, *, pseudo: float = 0.5, source: float = 0.5) -> None:
        super().__init__()
        self.pseudo = pseudo
        self.source = source
        self.find = Supervision()

    def forward(
        self,
        found: Tensor,
        M: Tensor,  # noqa: N803
        visible: Tensor,
        source: tuple[Tensor, Tensor, Tensor] | None = None,  # noqa: N803
    ) -> Tensor:
        """Mean over the batch.

        Args:
            found: logits N_S(J), (B, 3, H, W).
            M: bone masks of J, (B, 2, H, W).
            visible: visible region of J, (B, 1, H, W).
            source: logits, masks and visible region of the source joint (Eq. 12); None gives Eq. 8.
        """
        loss = self.find(found, M, visible)
        if source is None:
            return loss
        return self.pseudo * loss + self.source * self.find(*source)


def _still_and_moved(
    loss: LayerFidelity | LayerDistance, still: Separation, moved: Separation, known: Tensor
) -> Tensor:
    """Weighted errors before and after the motion, each over the samples with true layers."""
    known = known.reshape(-1)
    total = still.layers.new_zeros(())
    for joints, weight in ((still, loss.still), (moved, loss.moved)):
        if weight:
            times = joints.layers.shape[0] // known.shape[0]
            total = total + weight * mean_of_known(loss.error(joints), known.repeat(times))
    return total
