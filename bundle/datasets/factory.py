"""Makes the images of recipes in batches, and refuses those that are not good enough."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from bundle.datasets.sources import Source, SourceStore
from bundle.datasets.specifications import DataPlan, Recipe, Recipes, motion_of
from bundle.errors import InputError, flag
from bundle.measurement import VERTICAL, joint_space_width, narrowing_grade
from bundle.physics import RigidMotion, overlap
from torch import Tensor
from torch.utils.data import Dataset, Sampler

TOGETHER = 4
"""Images that are made in one batch, at most, an even number: more of them leave the processor's cache."""


@dataclass(frozen=True)
class Sample:
    """A synthetic radiograph with its truth.

    Attributes:
        recipe: how it was made.
        image: (1, H, W) in [0, 1].
        masks: moved, soft bone masks, lower and upper, (2, H, W).
        motion: of the bones, a batch of one.
        jsw_mm: joint space width measured on the moved masks; NaN where they have no column in common.
        refused: why it is not good enough, or "".
    """

    recipe: Recipe
    image: Tensor
    masks: Tensor
    motion: RigidMotion
    jsw_mm: float
    refused: str

    @property
    def grade(self) -> int:
        """Grade of narrowing (:func:`bundle.measurement.narrowing_grade`)."""
        return int(narrowing_grade(torch.tensor(self.jsw_mm)))


@dataclass(frozen=True, kw_only=True)
class QualityGate:
    """What is refused, each with its reason in a word.

    Attributes:
        largest_change_mm: ``change``: the bones would have to move farther against each other.
        least_visible: ``frame``: less than this part of a bone's area is left in the frame.
        largest_overlap: ``overlap``: the bones share more than this part of the smaller one.
        tolerance_mm: ``jsw``: the measured joint space width is farther from the asked one.
        largest_error: ``uncertain``, of a source: its bones are expected to be farther off where they overlap (root
            mean square, in intensity).
        trusted: ``untrusted``, of a source: inference flags it.
    """

    largest_change_mm: float = 2.5
    least_visible: float = 0.7
    largest_overlap: float = 0.25
    tolerance_mm: float = 0.05
    largest_error: float = 0.1
    trusted: bool | str = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "trusted", flag(self.trusted))

    def of_source(self, source: Source) -> str:
        """Why no image is made from a joint, or ""."""
        if source.jsw_mm is None:
            return "jsw"
        if self.trusted and source.flagged:
            return "untrusted"
        return "uncertain" if (source.expected_overlap_rmse or 0.0) > self.largest_error else ""

    def usable(self, sources: Sequence[Source]) -> list[Source]:
        """The joints that images are made from.

        Raises:
            InputError: there is none; why, and how to go on.
        """
        reasons = [self.of_source(source) for source in sources]
        left = [source for source, reason in zip(sources, reasons, strict=True) if not reason]
        if not left:
            msg = f"no image can be made from any of {len(sources)} joints"
            raise InputError(": ".join([msg, *_ways_on(sources, reasons)]))
        return left

    def of_recipe(self, recipe: Recipe) -> str:
        """Why an image need not be made, or ""."""
        return "change" if abs(recipe.change_mm) > self.largest_change_mm else ""

    def of_images(self, recipes: Sequence[Recipe], found: Mapping[str, Tensor]) -> list[str]:
        """Why images are refused, or "", by what was found of them (:func:`examine`)."""
        return [
            self._of_image(recipe, {name: float(values[row]) for name, values in found.items()})
            for row, recipe in enumerate(recipes)
        ]

    def _of_image(self, recipe: Recipe, found: Mapping[str, float]) -> str:
        unmade = self.of_recipe(recipe)
        if unmade:
            return unmade
        if found["visible"] < self.least_visible:
            return "frame"
        if found["overlap"] > self.largest_overlap:
            return "overlap"
        return "" if abs(found["jsw_mm"] - recipe.jsw_mm) <= self.tolerance_mm else "jsw"


_WAYS_ON = {
    "jsw": "without a joint space, for no column crosses both masks. Correct the masks",
    "untrusted": "flagged by inference. Pass --gate#trusted false (in a pre-training --trusted false) to use them",
    "uncertain": "with an expected error above the gate's largest_error. Raise --gate#largest_error",
}
_SHOWN = 5


def _ways_on(sources: Sequence[Source], reasons: Sequence[str]) -> list[str]:
    """For each reason how many joints are refused, how to go on, and of some what inference says."""
    said = []
    for reason, way in _WAYS_ON.items():
        of = [source for source, why in zip(sources, reasons, strict=True) if why == reason]
        flags = [f"{source.name}: {'; '.join(source.reasons)}" for source in of if reason == "untrusted"][:_SHOWN]
        if of:
            more = f", and {len(of) - _SHOWN} more" if len(of) > _SHOWN and flags else ""
            said.append(f"{len(of)} {way}" + (f" ({', '.join(flags)}{more})" if flags else ""))
    return said


def examine(before: Tensor, after: Tensor, spacing: Tensor) -> dict[str, Tensor]:
    """What the quality gate looks at: (B,) each.

    Args:
        before: masks before the motion, (B, 2, H, W).
        after: moved masks, (B, 2, H, W).
        spacing: mm per pixel, (B,).

    Returns:
        ``jsw_mm``; ``visible``, area of the bone of which least is left, of what it was; ``overlap``, common area, of
        the smaller bone.
    """
    areas, left = before.sum(dim=(-2, -1)), after.sum(dim=(-2, -1))
    common = overlap(after).sum(dim=(-3, -2, -1))
    return {
        "jsw_mm": joint_space_width(after, spacing),
        "visible": (left / areas.clamp(min=1.0)).amin(dim=1),
        "overlap": common / left.amin(dim=1).clamp(min=1.0),
    }


@dataclass(frozen=True)
class RadiographFactory:
    """Makes the images of recipes.

    Attributes:
        store: the separated joints.
        gate: refuses images.
    """

    store: SourceStore
    gate: QualityGate

    def make(self, recipes: Sequence[Recipe]) -> list[Sample]:
        """The images of recipes, at least one, in one batch; refused ones say why."""
        joints = self.store.load([recipe.source.name for recipe in recipes])
        spacing = torch.tensor([recipe.source.spacing_mm for recipe in recipes])
        motion, seeds = motion_of(recipes), [recipe.seed for recipe in recipes]
        made = joints.synthesize(motion, spacing, seeds, exact=False)
        strength = torch.tensor([recipe.noise for recipe in recipes])
        images = joints.grain.noisy(made.image, strength, seeds)
        found = examine(joints.masks, made.masks, spacing)
        reasons = self.gate.of_images(recipes, found)
        return [
            Sample(recipe, images[row], made.masks[row], motion.of(row), float(found["jsw_mm"][row]), reasons[row])
            for row, recipe in enumerate(recipes)
        ]


def passed(
    recipes: Recipes, factory: RadiographFactory, indices: Sequence[int], refused: Counter[str]
) -> dict[int, Sample]:
    """Images that pass the gate, by index; those that are refused are tried again by their next recipes.

    Two images of a pair are tried together.

    Args:
        recipes: of the data set.
        factory: that makes the images.
        indices: of the images; pairs are whole.
        refused: counts the reasons of what is refused.
    """
    good: dict[int, Sample] = {}
    left = list(indices)
    for attempt in range(recipes.plan.attempts):
        drawn = recipes.draw(left, attempt) if left else []
        if not drawn:
            break
        samples, reasons = _made(drawn, factory)
        refused.update(reason for reason in reasons.values() if reason)
        bad = {index for index, reason in reasons.items() if reason}
        left = [index for index in left if index in bad or (recipes.plan.pairs and index ^ 1 in bad)]
        good |= {index: sample for index, sample in samples.items() if index not in left}
    return good


def first_passed(recipes: Recipes, factory: RadiographFactory, groups: Iterable[Sequence[int]]) -> list[Sample]:
    """The images of the first group whose images all pass the gate.

    Args:
        recipes: of the data set.
        factory: that makes the images.
        groups: indices of images; pairs are whole.

    Raises:
        InputError: there is no such group.
    """
    for indices in groups:
        found = passed(recipes, factory, indices, Counter())
        if len(found) == len(indices):
            return [found[index] for index in indices]
    msg = f"expected images that pass the gate, got none of {len(recipes)}: ask for others, or widen {factory.gate}"
    raise InputError(msg)


def _made(recipes: Sequence[Recipe], factory: RadiographFactory) -> tuple[dict[int, Sample], dict[int, str]]:
    """Images by index, of the recipes that are worth it, and of all recipes why their image is refused, or ""."""
    reasons = {recipe.index: factory.gate.of_recipe(recipe) for recipe in recipes}
    worth = [recipe for recipe in recipes if not reasons[recipe.index]]
    samples = {sample.recipe.index: sample for sample in (factory.make(worth) if worth else [])}
    return samples, reasons | {index: sample.refused for index, sample in samples.items()}


def truth_of(sample: Sample, pair: Sample | None = None) -> dict[str, Any]:
    """The exact truth of an image, for JSON.

    Args:
        sample: the image.
        pair: the other image of its joint, where it is one of a pair.

    Returns:
        ``key``; of the source ``source, joint, finger, side, spacing_mm, masks, digest, separator`` and its
        ``jsw_before_mm``; ``jsw_asked_mm``, ``change_mm`` asked and ``jsw_after_mm``, measured on the moved masks, all
        by the ``jsw_definition`` (:data:`bundle.measurement.VERTICAL`, not along the joint's axis as evaluations
        measure); ``narrowing_grade`` (:func:`bundle.measurement.narrowing_grade`); ``sideways_mm``,
        ``rotation_degrees``, ``noise``; ``motion`` of the bones, ``grain_seed``, ``attempt``; of a pair the ``pair``'s
        key and ``jsn_mm``, how much narrower this joint space is than the other.
    """
    recipe, source = sample.recipe, sample.recipe.source
    of_source = ("joint", "finger", "side", "spacing_mm", "masks", "digest", "separator")
    truth = {
        "key": recipe.key,
        "source": source.name,
        **{name: getattr(source, name) for name in of_source},
        "jsw_before_mm": source.jsw_mm,
        "change_mm": recipe.change_mm,
        "jsw_asked_mm": recipe.jsw_mm,
        "jsw_after_mm": sample.jsw_mm,
        "jsw_definition": VERTICAL,
        "narrowing_grade": sample.grade,
        **{name: getattr(recipe, name) for name in ("sideways_mm", "rotation_degrees", "noise", "attempt")},
        "motion": json.loads(sample.motion.to_json()),
        "grain_seed": recipe.seed,
    }
    return truth if pair is None else {**truth, "pair": pair.recipe.key, "jsn_mm": pair.jsw_mm - sample.jsw_mm}


class SyntheticRadiographs(Dataset[dict[str, Any]]):
    """Images of a plan, made when they are asked for, to train on.

    An image is a dictionary with ``image`` (1, H, W), ``spacing`` (1,) in mm, ``jsw`` (1,) in mm, ``grade`` (1,),
    ``name`` and ``source``. One that never passes the gate is replaced by the next one that does.

    Args:
        store: separated joints.
        sources: what is known of them.
        plan: what is asked for.
        gate: refuses images and sources.
        transform: applied to each image.

    Raises:
        InputError: on use, no source passes the gate, or no image.
    """

    def __init__(
        self,
        store: SourceStore,
        sources: Sequence[Source],
        plan: DataPlan,
        gate: QualityGate,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.sources, self.plan = sources, plan
        self.factory = RadiographFactory(store, gate)
        self.transform = transform

    @cached_property
    def recipes(self) -> Recipes:
        """Of the images; the sources may be kept only after the data set is built."""
        return self.plan.of(self.factory.gate.usable(self.sources))

    def __len__(self) -> int:
        return len(self.recipes) if self.plan.fixed else self.plan.count

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self), TOGETHER):
            yield from self.__getitems__(range(first, min(first + TOGETHER, len(self))))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The images of a batch, made together."""
        parts = [indices[first : first + TOGETHER] for first in range(0, len(indices), TOGETHER)]
        found = [good for part in parts for good in self._good(part)]
        samples = [self._sample(good) for good in found]
        return samples if self.transform is None else [self.transform(sample) for sample in samples]

    def _good(self, indices: Sequence[int]) -> list[Sample]:
        found = passed(self.recipes, self.factory, sorted(set(indices)), Counter())
        return [found[index] if index in found else self._after(index) for index in indices]

    def _after(self, index: int) -> Sample:
        """The next image after an index that passes the gate."""
        places = ([(index + row) % len(self)] for row in range(1, len(self)))
        return first_passed(self.recipes, self.factory, places)[0]

    def _sample(self, sample: Sample) -> dict[str, Any]:
        source, width = sample.recipe.source, torch.tensor([sample.jsw_mm])
        known = {"name": sample.recipe.key, "source": source.name, "spacing": torch.tensor([source.spacing_mm])}
        return {**known, "image": sample.image, "jsw": width, "grade": narrowing_grade(width)}


class NextImages(Sampler[int]):
    """Of a data set those images, each epoch, that come after the ones of the epoch before.

    It has a state, so that a resumed training goes on with the next images.

    Args:
        count: images of the data set.
        each: images of an epoch.
    """

    def __init__(self, count: int, each: int) -> None:
        self.count, self.each, self.first = count, each, 0

    def __len__(self) -> int:
        return self.each

    def __iter__(self) -> Iterator[int]:
        start, self.first = self.first, (self.first + self.each) % self.count
        return iter([(start + row) % self.count for row in range(self.each)])

    def state_dict(self) -> dict[str, Any]:
        """The first image of the next epoch."""
        return {"first": self.first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at the image of a state."""
        self.first = int(state["first"])
