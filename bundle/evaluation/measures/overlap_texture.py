"""Texture of the bones in the overlap: the power in bands of spatial frequency, relative to the true layers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.evaluation.measures.layer_truth import weight_free
from bundle.physics import attenuation, blur, overlap
from bundle.statistics import Column, Measured, SeparatedJoints, bootstrap_interval, identity
from torch import Tensor

PEAK = math.sqrt(math.log(4.0) / 6.0) / math.pi
"""Spatial frequency at which the difference of two Gaussian blurs, of sigma 1 and 2, passes most."""


@dataclass(frozen=True, kw_only=True)
class OverlapTexture:
    """Power of each bone's attenuation in the overlap of the masks, by band, as a ratio to that of the true layers.

    A band is the difference of two Gaussian blurs, of sigma s and 2 s, that passes most at its middle frequency. The
    power is averaged over all pixels of the overlaps; a ratio below 1 is a texture smoother than bone. Figures are
    ``power_<band>`` over both bones with bootstrap intervals over joints, ``error_<band>``, the power of the error,
    both relative to the true power, and those of the weight-free separator.

    Attributes:
        bands: lower and upper limit of each band in line pairs per mm.
        group_by: key of the items; only images whose value is ``group`` are measured.
        group: see ``group_by``.
        samples: number of bootstrap samples.
        seed: random seed of the bootstrap.

    Raises:
        ValueError: on call, the true layers are unknown.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "overlap_texture": (
            Column("power_0.3_0.6", "power at 0.3 to 0.6 lp/mm"),
            Column("power_0.6_1.2", "power at 0.6 to 1.2 lp/mm"),
            Column("power_1.2_2.4", "power at 1.2 to 2.4 lp/mm"),
        )
    }

    bands: Sequence[Sequence[float]] = ((0.3, 0.6), (0.6, 1.2), (1.2, 2.4))
    group_by: str = "depth"
    group: str = "deep"
    samples: int = 1000
    seed: int = 0

    def __call__(self, joints: SeparatedJoints) -> Measured:
        """Measure joints whose true layers are known; the worst are those with the least power in the finest band."""
        if joints.truth is None:
            msg = "the true layers of some joints are unknown"
            raise ValueError(msg)
        rows = identity(joints).assign(**self._powers(joints, joints.truth))
        chosen = [item.get(self.group_by, self.group) == self.group for item in joints.items]
        rows = rows[np.array(chosen) & (rows["overlap_px"] > 0)].reset_index(drop=True)
        figures: dict[str, Any] = {"images": len(rows)}
        for band in map(_name, self.bands):
            for kind in ("power", "error", "weight_free_power", "weight_free_error"):
                figures |= self._ratio(rows, f"{kind}_{band}", f"true_{band}")
        finest = _name(self.bands[-1])
        ranked = (rows[f"power_{finest}"] / rows[f"true_{finest}"]).sort_values(kind="stable")
        return Measured(figures, rows, {}, rows["name"][ranked.index].tolist())

    def _powers(self, joints: SeparatedJoints, truth: Tensor) -> dict[str, Any]:
        """Sum of the squares over the overlap of both bones by band, (N,) each."""
        both = overlap((joints.images[:, 1:] > 0.5).float())
        of_bones = {"true": truth, "power": joints.layers, "weight_free_power": weight_free(joints)}
        bones = {name: attenuation(layers[:, 1:]) for name, layers in of_bones.items()}
        bones |= {"error": bones["power"] - bones["true"]}
        bones |= {"weight_free_error": bones["weight_free_power"] - bones["true"]}
        spacing = float(joints.spacing.median())
        made = {"overlap_px": both.sum(dim=(1, 2, 3)).numpy()}
        for band in self.bands:
            for name, values in bones.items():
                passed = band_passed(values, band, spacing)
                made[f"{name}_{_name(band)}"] = (passed.square() * both).sum(dim=(1, 2, 3)).double().numpy()
        return made

    def _ratio(self, rows: pd.DataFrame, name: str, reference: str) -> dict[str, Any]:
        """Ratio of two sums over the images, with a bootstrap interval over joints."""
        values, references = rows[name].to_numpy(), rows[reference].to_numpy()

        def ratio(images: Any) -> float:
            total = float(references[images].sum())
            return float(values[images].sum()) / total if total > 0.0 else math.nan

        interval = bootstrap_interval(ratio, rows["joint"].tolist(), samples=self.samples, seed=self.seed)
        return {name: ratio(slice(None)), f"{name}_interval": list(interval)}


def band_passed(values: Tensor, band: Sequence[float], spacing_mm: float) -> Tensor:
    """Pass a band of spatial frequencies (lower and upper limit in line pairs per mm) of images (B, C, H, W)."""
    sigma = PEAK / math.sqrt(band[0] * band[1]) / spacing_mm
    return torch.as_tensor(blur(values, sigma) - blur(values, 2.0 * sigma))


def _name(band: Sequence[float]) -> str:
    return "_".join(f"{limit:g}" for limit in band)
