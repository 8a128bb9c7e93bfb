"""The recipes of a data set: of each image what joint it is made from, how its bones move, and the seed of its grain.

A recipe depends on the plan, its seed and the image's index alone, so any process can make any image. Asked values run
evenly through their distributions (a scrambled Halton sequence), and an image that the quality gate refuses is tried
again from another joint with the same joint space width (JSW): refusals do not bend the distribution.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from bundle.datasets.distributions import Distribution, Sweep, Uniform
from bundle.datasets.sources import Source
from bundle.errors import InputError, flag
from bundle.physics import RigidMotion
from scipy.stats import qmc

NONE = Uniform(0.0, 0.0)
_DRAWN = ("jsw", "sideways", "rotation", "noise")
LARGEST_CHANGE = 10.0
"""Changes of the joint space width are below this, in mm: half the public frame."""


@dataclass(frozen=True)
class SampleSpecification:
    """How one image is made.

    Attributes:
        index: of the image.
        key: its name.
        source: the joint that it is made from.
        jsw_mm: asked joint space width.
        sideways_mm: shift of the upper bone to the right against the lower one.
        rotation_degrees: turn of the upper bone against the lower one.
        upper_share: part of all this that the upper bone makes.
        noise: strength of the noise that is added, of that of the soft tissue.
        attempt: how many times it was refused before.
        seed: of grain and noise.
        pair: name of the other image of its pair, or "".
    """

    index: int
    key: str
    source: Source
    jsw_mm: float
    sideways_mm: float
    rotation_degrees: float
    upper_share: float
    noise: float
    attempt: int
    seed: int
    pair: str = ""

    @property
    def change_mm(self) -> float:
        """Asked change of the joint space width."""
        return self.jsw_mm - self.source.width


def motion_of(specifications: Sequence[SampleSpecification]) -> RigidMotion:
    """The motions (B) that recipes ask for, in float64; bones turn about the middle of their facing edge."""
    upper = np.array([specification.upper_share for specification in specifications])
    shares = np.stack([upper - 1.0, upper], axis=1)
    across, change, turn = (
        np.array([getattr(specification, name) for specification in specifications])[:, None]
        for name in ("sideways_mm", "change_mm", "rotation_degrees")
    )
    translation = np.stack([across * shares, -change * shares], axis=-1)
    centers = np.array([specification.source.edges_mm for specification in specifications])
    return RigidMotion(*(torch.from_numpy(part) for part in (translation, turn * shares, centers)))


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """What a data set is asked to hold.

    Attributes:
        count: number of images.
        seed: of everything.
        jsw: joint space widths in mm. A :class:`bundle.datasets.Sweep` makes each joint with each of its values,
            whatever ``count`` is.
        changes: of the joint space width in mm; if there are any, each joint is made with each, and ``jsw`` and
            ``count`` do not matter.
        sideways: shifts of the upper bone against the lower one, in mm.
        rotation: turns of the upper bone against the lower one, in degrees.
        noise: that is added, as a part of the soft tissue's own.
        upper_share: part of each motion that the upper bone makes, in [0, 1].
        fingers: how often each finger is shown, by name; empty for as often as the sources show it.
        pairs: two images after each other show the same joint.
        attempts: an image is tried so many times at most.

    Raises:
        InputError: something is out of its range.
    """

    count: int = 1000
    seed: int = 0
    jsw: Distribution
    changes: Sequence[float] = ()
    sideways: Distribution = NONE
    rotation: Distribution = NONE
    noise: Distribution = NONE
    upper_share: float = 0.5
    fingers: Mapping[str, float] = field(default_factory=dict)
    pairs: bool | str = False
    attempts: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", flag(self.pairs))
        object.__setattr__(self, "changes", _checked_changes(self.changes))
        _check_numbers(self)
        for name in _DRAWN:
            if not isinstance(getattr(self, name), Distribution):
                msg = (
                    f"expected a distribution (bundle/datasets/distributions.py) as {name}, got {getattr(self, name)!r}"
                )
                raise InputError(msg)
        if self.pairs and (self.fixed or self.count % 2):
            msg = f"expected an even count of images in pairs and neither changes nor a sweep, got {self.count}"
            raise InputError(msg)

    @property
    def fixed(self) -> Sequence[float]:
        """The changes or widths that each joint is made with; empty where they are drawn."""
        return self.changes or (self.jsw.values if isinstance(self.jsw, Sweep) else ())

    def describe(self) -> dict[str, Any]:
        """What is asked for, for the data set's card."""
        drawn = {name: getattr(self, name).describe() for name in _DRAWN if name != "jsw" or not self.changes}
        others = ("count", "seed", "changes", "upper_share", "fingers", "pairs", "attempts")
        return {**drawn, **{name: getattr(self, name) for name in others}}

    def of(self, sources: Sequence[Source]) -> SampleSpecifications:
        """The recipes of images of these joints."""
        return SampleSpecifications(self, sources)


def _check_numbers(plan: DataPlan) -> None:
    numbers = (plan.count, plan.attempts, plan.seed)
    if not all(isinstance(number, int) for number in numbers) or min(*numbers[:2], plan.seed + 1) < 1:
        msg = f"expected a count and attempts above 0 and a seed of at least 0, all whole, got {numbers}"
        raise InputError(msg)
    if not 0.0 <= plan.upper_share <= 1.0:
        msg = f"expected upper_share, the upper bone's part of each motion, in [0, 1], got {plan.upper_share}"
        raise InputError(msg)


def _checked_changes(changes: Any) -> list[float]:
    """Changes in mm as they come from a command line."""
    try:
        values = [float(change) for change in changes]
    except (TypeError, ValueError):
        values = [np.inf]
    small = all(abs(value) < LARGEST_CHANGE for value in values)
    if not small or len({_micrometres(value) for value in values}) < len(values):
        msg = f"expected a list of changes in mm, all below {LARGEST_CHANGE} and 0.001 or more apart, got {changes}"
        raise InputError(msg)
    return values


def _micrometres(value: float) -> str:
    """A change of the joint space width in the name of a file."""
    return f"{round(value * 1000):+d}um"


class SampleSpecifications:
    """The recipes of a plan.

    Args:
        plan: what is asked for.
        sources: joints that images can be made from, each with a joint space width.

    Raises:
        InputError: there is no joint, none of a finger that is asked for, or two names differ by their dots alone.
    """

    def __init__(self, plan: DataPlan, sources: Sequence[Source]) -> None:
        if not sources:
            msg = "expected at least one joint to make images from, got none: see the reasons in dataset.json"
            raise InputError(msg)
        self.plan = plan
        self.sources = list(sources)
        self.jsw = plan.jsw.of_sources([source.width for source in sources])
        self._weights = _weights(plan.fingers, sources)
        if len({_dotless(source.name) for source in sources}) < len(sources):
            msg = (
                "expected joints whose names differ by more than dots, which files in shards have none of: rename some"
            )
            raise InputError(msg)

    def __len__(self) -> int:
        return len(self.sources) * len(self.plan.fixed) if self.plan.fixed else self.plan.count

    def sample(self, indices: Sequence[int], attempt: int = 0) -> list[SampleSpecification]:
        """The recipes of some images, at their attempt 0, 1, ...; none is left of a fixed value after the first."""
        if self.plan.fixed and attempt:
            return []
        return [
            self._specification(index, shares, attempt)
            for index, shares in zip(indices, self._shares(indices), strict=True)
        ]

    def _shares(self, indices: Sequence[int]) -> np.ndarray:
        """Where in its distributions each image lies, (N, 4)."""
        first, last = min(indices), max(indices)
        sequence = qmc.Halton(4, scramble=True, rng=self.plan.seed)
        sequence.num_generated = first  # fast_forward would make all that lie before
        return sequence.random(last - first + 1)[np.asarray(indices) - first]

    def _specification(self, index: int, shares: np.ndarray, attempt: int) -> SampleSpecification:
        plan = self.plan
        source = self._source(index, np.random.default_rng([plan.seed, index // 2 if plan.pairs else index, attempt]))
        own = np.random.default_rng([plan.seed, index, attempt, 1]).random(4) if attempt else shares
        return SampleSpecification(
            index=index,
            key=self._key(index, source),
            source=source,
            jsw_mm=self._width(index, source, shares[0]),
            sideways_mm=float(plan.sideways.quantile(own[1])),
            rotation_degrees=float(plan.rotation.quantile(own[2])),
            noise=float(plan.noise.quantile(own[3])),
            upper_share=plan.upper_share,
            attempt=attempt,
            seed=zlib.crc32(f"{plan.seed} {index} {attempt}".encode()),
            pair=f"{index ^ 1:09d}" if plan.pairs else "",
        )

    def _source(self, index: int, random: np.random.Generator) -> Source:
        if self.plan.fixed:
            return self.sources[index // len(self.plan.fixed)]
        return self.sources[int(random.choice(len(self.sources), p=self._weights))]

    def _width(self, index: int, source: Source, share: float) -> float:
        if self.plan.changes:
            return source.width + self.plan.changes[index % len(self.plan.changes)]
        return float(self.plan.fixed[index % len(self.plan.fixed)] if self.plan.fixed else self.jsw.quantile(share))

    def _key(self, index: int, source: Source) -> str:
        if not self.plan.changes:
            return f"{index:09d}"
        return f"{_dotless(source.name)}_jsw{_micrometres(self.plan.changes[index % len(self.plan.changes)])}"


def _dotless(name: str) -> str:
    """A name for WebDataset, where it ends at its first dot."""
    return name.replace(".", "-")


def _weights(fingers: Mapping[str, float], sources: Sequence[Source]) -> np.ndarray:
    """How often each source is chosen, (N,), summing to 1."""
    shown = [source.finger for source in sources]
    absent = sorted(finger for finger, weight in fingers.items() if weight and finger not in shown)
    if absent or any(weight < 0 for weight in fingers.values()) or (fingers and not any(fingers.values())):
        msg = f"expected fingers with weights of at least 0, not all 0, among {sorted(set(shown))}, got {dict(fingers)}"
        raise InputError(msg)
    weights = np.array([fingers.get(finger, 0.0) / shown.count(finger) if fingers else 1.0 for finger in shown])
    return weights / weights.sum()
