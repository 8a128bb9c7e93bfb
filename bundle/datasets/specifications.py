"""Sample specifications of a data set: source joint, motion of the bones and noise texture seed of each image.

A specification depends on the plan, its seed and the image's index alone, so any process can make any image. Requested
values cover their distributions evenly (a scrambled Halton sequence). An image that the quality gate refuses is retried
from another joint with the same joint space, so refusals do not bias the distribution.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from bundle.datasets.distributions import Distribution, Sweep, Uniform
from bundle.datasets.sources import Source
from bundle.errors import InputError, flag
from bundle.physics import RigidMotion
from numpy.typing import ArrayLike
from scipy.stats import qmc

NONE = Uniform(0.0, 0.0)
_SAMPLED = ("joint_space_mm", "sideways_mm", "rotation_deg", "noise")
_BLOCK = 256
"""Number of images whose quantile levels are sampled together."""
LARGEST_CHANGE = 10.0
"""Upper limit of changes of the joint space in mm: half the public frame."""


@dataclass(frozen=True)
class SampleSpecification:
    """Specification of one image.

    Attributes:
        index: index of the image.
        key: name of the image.
        source: source joint.
        joint_space_mm: requested joint space width, between the joint surfaces.
        sideways_mm: shift of the upper bone relative to the lower one, across the joint's axis to the right.
        rotation_degrees: rotation of the upper bone relative to the lower one.
        upper_share: share of the motion that the upper bone makes.
        noise: strength of the added noise relative to that of the soft tissue.
        attempt: number of previous refusals.
        seed: random seed of noise texture and noise.
        pair: name of the other image of its pair, or "".
    """

    index: int
    key: str
    source: Source
    joint_space_mm: float
    sideways_mm: float
    rotation_degrees: float
    upper_share: float
    noise: float
    attempt: int
    seed: int
    pair: str = ""

    @property
    def change_mm(self) -> float:
        """Requested change of the joint space."""
        return self.joint_space_mm - self.source.width


def motion_of(specifications: Sequence[SampleSpecification]) -> RigidMotion:
    """Return the motions (B) of specifications in float64.

    Bones move along the axis of their source joint, so that the joint space changes by exactly the requested amount,
    and across it; they rotate about the middle of their facing edge.
    """
    across, change, turn = (
        [getattr(specification, name) for specification in specifications]
        for name in ("sideways_mm", "change_mm", "rotation_degrees")
    )
    axes = [specification.source.axis_degrees for specification in specifications]
    centers = [specification.source.edges_mm for specification in specifications]
    shares = [specification.upper_share for specification in specifications]
    return motion_along(axes, centers, change, across, turn, shares)


def motion_along(
    axis_deg: ArrayLike,
    centers_mm: ArrayLike,
    change_mm: ArrayLike,
    sideways_mm: ArrayLike,
    rotation_deg: ArrayLike,
    upper_share: ArrayLike,
) -> RigidMotion:
    """Return the motions of B joints along and across their axes, in float64.

    Args:
        axis_deg: direction of each joint's axis from the vertical, (B,), positive clockwise.
        centers_mm: centre of rotation of each bone, (B, 2, 2), from the frame's centre.
        change_mm: change of the joint space along the axis, (B,); positive widens.
        sideways_mm: shift of the upper relative to the lower bone across the axis, to the right, (B,).
        rotation_deg: rotation of the upper relative to the lower bone, (B,), positive clockwise.
        upper_share: share of each motion that the upper bone makes, (B,) in [0, 1].
    """
    upper = np.array(upper_share)
    shares = np.stack([upper - 1.0, upper], axis=1)
    across, change, turn = (np.array(values)[:, None] for values in (sideways_mm, change_mm, rotation_deg))
    axis = np.deg2rad(axis_deg)[:, None, None]
    right, down = (across * shares)[..., None], (-change * shares)[..., None]
    translation = right * _direction(axis) + down * _direction(axis + np.pi / 2)
    return RigidMotion(*(torch.from_numpy(part) for part in (translation, turn * shares, np.array(centers_mm))))


def _direction(angle: np.ndarray) -> np.ndarray:
    """Unit vectors (x, y) at angles (..., 1) in radians from the x axis, positive clockwise."""
    return np.concatenate([np.cos(angle), np.sin(angle)], axis=-1)


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """Requested contents of a data set.

    Attributes:
        count: number of images.
        seed: random seed of the data set.
        joint_space_mm: joint space widths, between the joint surfaces
            (:func:`bundle.measurement.measure_joint_space`). A :class:`bundle.datasets.Sweep` makes each joint with
            each of its values and ignores ``count``.
        changes_mm: changes of the joint space; if any, each joint is made with each, and ``joint_space_mm`` and
            ``count`` are ignored.
        sideways_mm: shifts of the upper bone relative to the lower one across the joint's axis.
        rotation_deg: rotations of the upper bone relative to the lower one.
        noise: added noise, relative to that of the soft tissue.
        upper_share: share of each motion that the upper bone makes, in [0, 1].
        fingers: frequency of each finger, by name; empty for that of the source joints.
        pairs: whether two consecutive images show the same joint.
        attempts: maximum number of attempts per image.

    Raises:
        InputError: a setting is out of range.
    """

    count: int = 1000
    seed: int = 0
    joint_space_mm: Distribution
    changes_mm: Sequence[float] = ()
    sideways_mm: Distribution = NONE
    rotation_deg: Distribution = NONE
    noise: Distribution = NONE
    upper_share: float = 0.5
    fingers: Mapping[str, float] = field(default_factory=dict)
    pairs: bool | str = False
    attempts: int = 20

    def __post_init__(self) -> None:
        object.__setattr__(self, "pairs", flag(self.pairs))
        object.__setattr__(self, "changes_mm", _checked_changes(self.changes_mm))
        _check_numbers(self)
        for name in _SAMPLED:
            if not isinstance(getattr(self, name), Distribution):
                msg = f"{name} is {getattr(self, name)!r}. Pass a distribution (bundle/datasets/distributions.py)."
                raise InputError(msg)
        if self.pairs and (self.fixed or self.count % 2):
            msg = f"pairs need an even count and neither changes nor a sweep; count is {self.count}. Correct --data."
            raise InputError(msg)

    @property
    def fixed(self) -> Sequence[float]:
        """Changes or widths with which each joint is made; empty if they are sampled."""
        return self.changes_mm or (self.joint_space_mm.values if isinstance(self.joint_space_mm, Sweep) else ())

    def describe(self) -> dict[str, Any]:
        """Return the requested contents, for the card of the data set."""
        left = [name for name in _SAMPLED if name != "joint_space_mm" or not self.changes_mm]
        sampled = {name: getattr(self, name).describe() for name in left}
        others = ("count", "seed", "changes_mm", "upper_share", "fingers", "pairs", "attempts")
        return {**sampled, **{name: getattr(self, name) for name in others}}

    def of(self, sources: Sequence[Source]) -> SampleSpecifications:
        """Return the specifications of images of these source joints."""
        return SampleSpecifications(self, sources)


def _check_numbers(plan: DataPlan) -> None:
    numbers = (plan.count, plan.attempts, plan.seed)
    if not all(isinstance(number, int) for number in numbers) or min(*numbers[:2], plan.seed + 1) < 1:
        msg = (
            f"count, attempts and seed are {numbers}. Pass whole numbers: a count and attempts above 0, a seed of at "
            "least 0."
        )
        raise InputError(msg)
    if not 0.0 <= plan.upper_share <= 1.0:
        msg = f"upper_share, the upper bone's share of each motion, is {plan.upper_share}. Pass a value in [0, 1]."
        raise InputError(msg)


def _checked_changes(changes: Any) -> list[float]:
    """Return changes in mm from values of a command line."""
    try:
        values = [float(change) for change in changes]
    except (TypeError, ValueError):
        values = [np.inf]
    small = all(abs(value) < LARGEST_CHANGE for value in values)
    if not small or len({_micrometres(value) for value in values}) < len(values):
        msg = (
            f"changes_mm is {changes}. Pass a list of changes in mm, all below {LARGEST_CHANGE} and "
            "0.001 or more apart."
        )
        raise InputError(msg)
    return values


def _micrometres(value: float) -> str:
    """Return a change of the joint space for a file name."""
    return f"{round(value * 1000):+d}um"


class SampleSpecifications:
    """The sample specifications of a plan.

    Args:
        plan: requested contents.
        sources: usable source joints, each with a measured joint space.

    Raises:
        InputError: there is no joint, none of a requested finger, or two names differ by their dots alone.
    """

    def __init__(self, plan: DataPlan, sources: Sequence[Source]) -> None:
        if not sources:
            msg = "no joint is left to make images from. See the reasons in dataset.json."
            raise InputError(msg)
        self.plan = plan
        self.sources = list(sources)
        self.joint_space_mm = plan.joint_space_mm.of_sources([source.width for source in sources])
        self._weights = _weights(plan.fingers, sources)
        if len({_dotless(source.name) for source in sources}) < len(sources):
            msg = "names of joints must differ by more than dots, which file names in shards cannot have. Rename some."
            raise InputError(msg)

    def __len__(self) -> int:
        return len(self.sources) * len(self.plan.fixed) if self.plan.fixed else self.plan.count

    def sample(self, indices: Sequence[int], attempt: int = 0) -> list[SampleSpecification]:
        """Return the specifications of images at attempt 0, 1, ...; fixed values have no second attempt."""
        if self.plan.fixed and attempt:
            return []
        return [self._specification(index, attempt) for index in indices]

    def _specification(self, index: int, attempt: int) -> SampleSpecification:
        plan, shares = self.plan, _shares(self.plan.seed, index // _BLOCK)[index % _BLOCK]
        source = self._source(index, np.random.default_rng([plan.seed, index // 2 if plan.pairs else index, attempt]))
        own = np.random.default_rng([plan.seed, index, attempt, 1]).random(4) if attempt else shares
        return SampleSpecification(
            index=index,
            key=self._key(index, source),
            source=source,
            joint_space_mm=self._width(index, source, shares[0]),
            sideways_mm=float(plan.sideways_mm.quantile(own[1])),
            rotation_degrees=float(plan.rotation_deg.quantile(own[2])),
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
        if self.plan.changes_mm:
            return source.width + self.plan.changes_mm[index % len(self.plan.changes_mm)]
        if self.plan.fixed:
            return float(self.plan.fixed[index % len(self.plan.fixed)])
        return float(self.joint_space_mm.quantile(share))

    def _key(self, index: int, source: Source) -> str:
        if not self.plan.changes_mm:
            return f"{index:09d}"
        change = _micrometres(self.plan.changes_mm[index % len(self.plan.changes_mm)])
        return f"{_dotless(source.name)}_joint_space{change}"


@lru_cache(8)
def _shares(seed: int, block: int) -> np.ndarray:
    """Return the quantile levels of each image of a block in its four distributions, (_BLOCK, 4)."""
    sequence = qmc.Halton(4, scramble=True, rng=seed)
    sequence.num_generated = block * _BLOCK  # fast_forward would generate all earlier points
    return sequence.random(_BLOCK)


def _dotless(name: str) -> str:
    """Replace the dots in a name: for WebDataset a name ends at its first dot."""
    return name.replace(".", "-")


def _weights(fingers: Mapping[str, float], sources: Sequence[Source]) -> np.ndarray:
    """Return the sampling probability of each source joint, (N,)."""
    shown = [source.finger for source in sources]
    absent = sorted(finger for finger, weight in fingers.items() if weight and finger not in shown)
    if absent or any(weight < 0 for weight in fingers.values()) or (fingers and not any(fingers.values())):
        known = f"fingers among {sorted(set(shown))}"
        msg = f"fingers is {dict(fingers)}. Pass weights of at least 0, not all 0, of {known}."
        raise InputError(msg)
    weights = np.array([fingers.get(finger, 0.0) / shown.count(finger) if fingers else 1.0 for finger in shown])
    return weights / weights.sum()
