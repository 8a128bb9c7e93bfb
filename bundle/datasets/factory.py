"""Synthesis of the images of sample specifications in batches; images that fail the quality gate are refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from bundle.datasets.gate import QualityGate, examine
from bundle.datasets.sources import SourceStore, surfaces_of
from bundle.datasets.specifications import SampleSpecification, SampleSpecifications, motion_of
from bundle.errors import InputError
from bundle.measurement import DEFINITION, narrowing_grade
from bundle.physics import RigidMotion
from torch import Tensor

TOGETHER = 8
"""Maximum number of images per batch, an even number because of pairs; 16 save 4 % of time for twice the memory."""


@dataclass(frozen=True)
class Sample:
    """A synthetic radiograph with its ground truth.

    Attributes:
        specification: sample specification.
        image: (1, H, W) in [0, 1].
        masks: moved, soft bone masks, lower and upper, (2, H, W).
        motion: motion of the bones, a batch of one.
        joint_space_mm: joint space width between the joint surfaces of the source joint, moved with its bones.
        outline_gap_mm: gap between the outlines of the moved masks; NaN if they have no column in common.
        refused: reason for the refusal, or "".
    """

    specification: SampleSpecification
    image: Tensor
    masks: Tensor
    motion: RigidMotion
    joint_space_mm: float
    outline_gap_mm: float
    refused: str

    @property
    def grade(self) -> int:
        """Grade of narrowing (:func:`bundle.measurement.narrowing_grade`)."""
        return int(narrowing_grade(torch.tensor(self.joint_space_mm)))


@dataclass(frozen=True)
class RadiographFactory:
    """Factory of the images of sample specifications.

    Attributes:
        store: store of the separated joints.
        gate: quality gate of the images.
    """

    store: SourceStore
    gate: QualityGate

    def make(self, specifications: Sequence[SampleSpecification]) -> list[Sample]:
        """Make the images of at least one specification in one batch; refused images state the reason."""
        joints = self.store.load([specification.source.name for specification in specifications])
        spacing = torch.tensor([specification.source.spacing_mm for specification in specifications])
        motion, seeds = motion_of(specifications), [specification.seed for specification in specifications]
        made = joints.synthesize(motion, spacing, seeds, exact=False)
        strength = torch.tensor([specification.noise for specification in specifications])
        images = joints.noise_texture.noisy(made.image, strength, seeds)
        surfaces = surfaces_of([specification.source for specification in specifications]).moved(motion)
        found = examine(joints.masks, made.masks, spacing, surfaces)
        reasons = self.gate.of_images(specifications, found)
        return [
            Sample(
                specification,
                images[row],
                made.masks[row],
                motion.of(row),
                float(found["joint_space_mm"][row]),
                float(found["outline_gap_mm"][row]),
                reasons[row],
            )
            for row, specification in enumerate(specifications)
        ]


def passed(
    specifications: SampleSpecifications, factory: RadiographFactory, indices: Sequence[int], refused: Counter[str]
) -> dict[int, Sample]:
    """Make the images that pass the gate, by index; retry refused ones with their next specification.

    The two images of a pair are retried together.

    Args:
        specifications: sample specifications of the data set.
        factory: factory of the images.
        indices: indices of the images; pairs are complete.
        refused: counter of the reasons for refusal.
    """
    good: dict[int, Sample] = {}
    left = list(indices)
    for attempt in range(specifications.plan.attempts):
        sampled = specifications.sample(left, attempt) if left else []
        if not sampled:
            break
        samples, reasons = _made(sampled, factory)
        refused.update(reason for reason in reasons.values() if reason)
        bad = {index for index, reason in reasons.items() if reason}
        left = [index for index in left if index in bad or (specifications.plan.pairs and index ^ 1 in bad)]
        good |= {index: sample for index, sample in samples.items() if index not in left}
    return good


def first_passed(
    specifications: SampleSpecifications, factory: RadiographFactory, groups: Iterable[Sequence[int]]
) -> list[Sample]:
    """Return the images of the first group whose images all pass the gate.

    Args:
        specifications: sample specifications of the data set.
        factory: factory of the images.
        groups: groups of image indices; pairs are complete.

    Raises:
        InputError: there is no such group.
    """
    for indices in groups:
        found = passed(specifications, factory, indices, Counter())
        if len(found) == len(indices):
            return [found[index] for index in indices]
    msg = f"none of {len(specifications)} images passes the gate. Request others, or widen {factory.gate}"
    raise InputError(msg)


def _made(
    specifications: Sequence[SampleSpecification], factory: RadiographFactory
) -> tuple[dict[int, Sample], dict[int, str]]:
    """Make the images of acceptable specifications, by index; also return the reason for each refusal, or ""."""
    reasons = {specification.index: factory.gate.of_specification(specification) for specification in specifications}
    worth = [specification for specification in specifications if not reasons[specification.index]]
    samples = {sample.specification.index: sample for sample in (factory.make(worth) if worth else [])}
    return samples, reasons | {index: sample.refused for index, sample in samples.items()}


def truth_of(sample: Sample, pair: Sample | None = None) -> dict[str, Any]:
    """Return the exact ground truth of an image, for JSON.

    Args:
        sample: the image.
        pair: other image of the pair, if any.

    Returns:
        ``key``; of the source joint ``source, joint, finger, side, spacing_mm, masks, digest, separator`` and its
        ``joint_space_before_mm``, measured on its layers; the requested ``joint_space_asked_mm`` and ``change_mm``, and
        ``joint_space_after_mm``, between the surfaces that moved with the bones, all by the ``joint_space_definition``
        (:data:`bundle.measurement.DEFINITION`); ``outline_gap_after_mm`` of the moved masks
        (:data:`bundle.measurement.VERTICAL`); ``narrowing_grade`` of the joint space
        (:func:`bundle.measurement.narrowing_grade`); ``sideways_mm``, ``rotation_degrees``, ``noise``; ``motion`` of
        the bones, ``noise_seed``, ``attempt``; for a pair, the other image's key ``pair`` and ``jsn_mm``, by how much
        this joint space is narrower than the other.
    """
    specification, source = sample.specification, sample.specification.source
    of_source = ("joint", "finger", "side", "spacing_mm", "masks", "digest", "separator")
    truth = {
        "key": specification.key,
        "source": source.name,
        **{name: getattr(source, name) for name in of_source},
        "joint_space_before_mm": source.joint_space_mm,
        "change_mm": specification.change_mm,
        "joint_space_asked_mm": specification.joint_space_mm,
        "joint_space_after_mm": sample.joint_space_mm,
        "joint_space_definition": DEFINITION,
        "outline_gap_after_mm": sample.outline_gap_mm,
        "narrowing_grade": sample.grade,
        **{name: getattr(specification, name) for name in ("sideways_mm", "rotation_degrees", "noise", "attempt")},
        "motion": json.loads(sample.motion.to_json()),
        "noise_seed": specification.seed,
    }
    if pair is None:
        return truth
    return {**truth, "pair": pair.specification.key, "jsn_mm": pair.joint_space_mm - sample.joint_space_mm}
