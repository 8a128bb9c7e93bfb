"""Pairs of synthetic radiographs of one joint with their true alignment, synthesized on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from bundle.datasets import (
    DataPlan,
    Distribution,
    PlannedSamples,
    QualityGate,
    Sample,
    SampleSpecification,
    SampleSpecifications,
    Source,
    SourceStore,
    first_passed,
)
from bundle.errors import InputError
from bundle.registration.alignment import between, bone_centers, narrowing
from torch import Tensor


class PairSpecifications(SampleSpecifications):
    """Sample specifications of pairs whose narrowing is independent of the joint space of the first image.

    If both widths were sampled independently, a narrow joint space would imply that the other one is probably wider,
    and an uncertain network would predict so for real pairs as well.

    Args:
        plan: plan of the first images, and of all but the width of the second ones.
        sources: source joints.
        changes_mm: distribution of how much wider the second image is.
    """

    def __init__(self, plan: DataPlan, sources: Sequence[Source], changes_mm: Distribution) -> None:
        super().__init__(plan, sources)
        self.changes_mm = changes_mm

    def sample(self, indices: Sequence[int], attempt: int = 0) -> list[SampleSpecification]:
        """See :meth:`bundle.datasets.SampleSpecifications.sample`."""
        return [
            self._second(specification) if specification.index % 2 else specification
            for specification in super().sample(indices, attempt)
        ]

    def _second(self, specification: SampleSpecification) -> SampleSpecification:
        first = super().sample([specification.index - 1], specification.attempt)[0]
        share = np.random.default_rng([self.plan.seed, specification.index, specification.attempt, 2]).random()
        return replace(specification, joint_space_mm=first.joint_space_mm + float(self.changes_mm.quantile(share)))


class SyntheticPairs(PlannedSamples):
    """Pairs of a plan (:attr:`bundle.datasets.DataPlan.pairs`), synthesized on demand.

    A pair is a dictionary like that of :class:`bundle.registration.RadiographPairs`, with the true ``alignment`` and
    ``jsn``. A pair that never passes the gate is replaced by the next one that does.

    Args:
        store: store of the separated joints.
        sources: records of the source joints.
        plan: requested contents, in pairs.
        gate: quality gate of images and source joints.
        changes_mm: distribution of how much wider the second image is than the first; None for two widths of the plan.

    Raises:
        InputError: the plan is not one of pairs; on use, no source joint or no pair passes the gate.
    """

    def __init__(
        self,
        store: SourceStore,
        sources: Sequence[Source],
        plan: DataPlan,
        gate: QualityGate,
        changes_mm: Distribution | None = None,
    ) -> None:
        if not plan.pairs:
            msg = "the plan is one of single images. Set its pairs to true."
            raise InputError(msg)
        super().__init__(store, sources, plan, gate)
        self.changes_mm = changes_mm

    def specify(self, sources: Sequence[Source]) -> SampleSpecifications:
        """Return the specifications of pairs of usable source joints."""
        if self.changes_mm is None:
            return super().specify(sources)
        return PairSpecifications(self.plan, sources, self.changes_mm)

    def __len__(self) -> int:
        return self.plan.count // 2

    def __getitem__(self, index: int) -> dict[str, Any]:
        places = ((index + row) % len(self) for row in range(len(self)))
        groups = ([2 * place, 2 * place + 1] for place in places)
        return self._pair(*first_passed(self.specifications, self.factory, groups))

    def _pair(self, fixed: Sample, moving: Sample) -> dict[str, Any]:
        source = fixed.specification.source
        centers = [bone_centers(sample.masks, source.spacing_mm) for sample in (fixed, moving)]
        bones = between(fixed.motion, moving.motion).about(centers[0][None].double())
        return {
            "name": f"{fixed.specification.key}_{moving.specification.key}",
            **{name: getattr(source, name) for name in ("joint", "finger", "side")},
            "fixed_name": fixed.specification.key,
            "moving_name": moving.specification.key,
            "image": _shown(fixed),
            "moving": _shown(moving),
            "spacing": torch.tensor([source.spacing_mm]),
            "center": centers[0],
            "moving_center": centers[1],
            "alignment": bones.parameters()[0].float(),
            "jsn": narrowing(bones).float(),
            "masks_jsn": torch.tensor([fixed.outline_gap_mm - moving.outline_gap_mm]),
        }


def _shown(sample: Sample) -> Tensor:
    """Radiograph and masks, (3, H, W)."""
    return torch.cat([sample.image, sample.masks]).float()
