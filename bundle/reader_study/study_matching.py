"""Choice of the radiographs of a reader study: real and synthetic ones, matched, each of a different joint."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bundle.errors import InputError, number_argument, seed_argument
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.stats import ks_2samp
from torch import Tensor

COUNT = 50
"""Usual number of real, and of synthetic, radiographs (LSN section 3.4)."""

CALIPER_MM = 0.2
"""Usual largest difference in joint space between a real and a synthetic radiograph."""

_SPLITS = 20
"""Number of random divisions of the joints into real and synthetic ones that are tried."""

_FORBIDDEN = 1e6


@dataclass(frozen=True)
class Candidate:
    """A radiograph that a study may show.

    Attributes:
        name: name of the radiograph.
        joint: the joint; for a synthetic radiograph, the joint that it was made from.
        finger: finger of the joint.
        joint_space_mm: joint space width.
        spacing_mm: pixel size.
        read: function that reads the radiograph, (1, H, W) in [0, 1].
    """

    name: str
    joint: str
    finger: str
    joint_space_mm: float
    spacing_mm: float
    read: Callable[[], Tensor] = field(repr=False, compare=False)


Pair = tuple[Candidate, Candidate]
"""A real and a synthetic radiograph."""


@dataclass(frozen=True)
class StudyPlan:
    """Chosen radiographs of a study.

    Attributes:
        pairs: pairs of a real and a synthetic radiograph of one finger.
        seed: random seed of the choice.
        caliper_mm: largest difference in joint space within a pair.
    """

    pairs: Sequence[Pair]
    seed: int
    caliper_mm: float

    def matching(self) -> dict[str, Any]:
        """Describe how well both sides match.

        Returns:
            Number of pairs of each finger; mean and standard deviation of the joint space of both sides in mm; mean
            and largest difference within pairs; standardised mean difference, the difference of the means over the
            pooled standard deviation; statistic and p value of the Kolmogorov-Smirnov test.
        """
        real, synthetic = (np.array([pair[side].joint_space_mm for pair in self.pairs]) for side in (0, 1))
        fingers = [pair[0].finger for pair in self.pairs]
        pooled = math.sqrt((_variance(real) + _variance(synthetic)) / 2.0)
        gap, test = np.abs(real - synthetic), ks_2samp(real, synthetic)
        shift = float(synthetic.mean() - real.mean())
        return {
            "pairs": len(self.pairs),
            "fingers": {finger: fingers.count(finger) for finger in sorted(set(fingers))},
            "joint_space_mm": {"real": _described(real), "synthetic": _described(synthetic)},
            "difference_mm": {"mean": float(gap.mean()), "largest": float(gap.max())},
            "standardised_mean_difference": shift / pooled if pooled else 0.0,
            "kolmogorov_smirnov": {"statistic": float(test.statistic), "p": float(test.pvalue)},
        }


def _variance(values: NDArray[np.float64]) -> float:
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def _described(values: NDArray[np.float64]) -> dict[str, float]:
    return {"mean": float(values.mean()), "standard_deviation": math.sqrt(_variance(values))}


def plan_study(
    real: Sequence[Candidate],
    synthetic: Sequence[Candidate],
    *,
    count: int = COUNT,
    seed: int = 0,
    caliper_mm: float = CALIPER_MM,
) -> StudyPlan:
    """Choose as many real as synthetic radiographs, matched in finger and joint space.

    A joint gives at most one radiograph, real or synthetic. The joints are divided at random; within each finger an
    optimal assignment pairs real with synthetic radiographs that differ by at most the caliper. If there are more pairs
    than needed, a random sample of them is chosen.

    Args:
        real: real radiographs.
        synthetic: synthetic radiographs.
        count: number of radiographs on each side.
        seed: random seed.
        caliper_mm: largest difference in joint space within a pair.

    Raises:
        InputError: an argument is not valid, or fewer pairs can be found; the message states their number.
    """
    count, seed = int(number_argument("count", count, 1, 100_000)), seed_argument("seed", seed)
    caliper = number_argument("caliper_mm", caliper_mm, 0.0)
    random = np.random.RandomState([seed & 0xFFFFFFFF, seed >> 32])
    sides = _by_joint(real), _by_joint(synthetic)
    best: list[Pair] = []
    for _ in range(_SPLITS):
        best = max(best, _pairs(*_divided(*sides, random), caliper), key=len)
        if len(best) >= count:
            chosen = sorted(random.permutation(len(best))[:count].tolist())
            return StudyPlan([best[row] for row in chosen], seed, caliper)
    raise _too_few(count, best, sides, caliper)


def _by_joint(candidates: Sequence[Candidate]) -> dict[str, list[Candidate]]:
    """Candidates with a known joint space, by joint."""
    found: dict[str, list[Candidate]] = defaultdict(list)
    for each in sorted(candidates, key=lambda one: (one.joint, one.name)):
        if math.isfinite(each.joint_space_mm):
            found[each.joint].append(each)
    return found


Joints = Mapping[str, Sequence[Candidate]]


def _divided(real: Joints, synthetic: Joints, random: np.random.RandomState) -> tuple[Joints, Joints]:
    """Divide the joints that have real and synthetic radiographs at random, in halves within each finger."""
    taken: dict[str, list[str]] = defaultdict(list)
    for joint in sorted(set(real) & set(synthetic)):
        taken[real[joint][0].finger].append(joint)
    as_real: set[str] = set()
    for joints in taken.values():
        order = random.permutation(len(joints))
        as_real |= {joints[row] for row in order[: (len(joints) + random.randint(2)) // 2]}
    both = set(real) & set(synthetic)
    return (
        {joint: found for joint, found in real.items() if joint not in both or joint in as_real},
        {joint: found for joint, found in synthetic.items() if joint not in as_real},
    )


def _pairs(real: Joints, synthetic: Joints, caliper: float) -> list[Pair]:
    fingers = sorted({each.finger for found in (*real.values(), *synthetic.values()) for each in found})
    return [pair for finger in fingers for pair in _assigned(_of(real, finger), _of(synthetic, finger), caliper)]


def _of(joints: Joints, finger: str) -> list[list[Candidate]]:
    found = ([each for each in candidates if each.finger == finger] for candidates in joints.values())
    return [candidates for candidates in found if candidates]


def _assigned(real: list[list[Candidate]], synthetic: list[list[Candidate]], caliper: float) -> list[Pair]:
    """Pair the joints of a finger: as many pairs within the caliper as possible, with the least total difference."""
    if not real or not synthetic:
        return []
    nearest = [[_nearest(one, other) for other in synthetic] for one in real]
    gaps = np.array([[_gap(pair) for pair in row] for row in nearest])
    rows, columns = linear_sum_assignment(np.where(gaps <= caliper, gaps, _FORBIDDEN))
    return [nearest[row][column] for row, column in zip(rows, columns, strict=True) if gaps[row, column] <= caliper]


def _gap(pair: Pair) -> float:
    return abs(pair[0].joint_space_mm - pair[1].joint_space_mm)


def _nearest(real: Sequence[Candidate], synthetic: Sequence[Candidate]) -> Pair:
    """The radiographs of two joints with the least difference in joint space."""
    first, second = (np.array([each.joint_space_mm for each in side]) for side in (real, synthetic))
    row, column = np.unravel_index(np.abs(first[:, None] - second).argmin(), (len(first), len(second)))
    return real[row], synthetic[column]


def _too_few(count: int, best: Sequence[Pair], sides: tuple[Joints, Joints], caliper: float) -> InputError:
    joints = len(set(sides[0]) | set(sides[1]))
    fingers = [pair[0].finger for pair in best]
    each = ", ".join(f"{fingers.count(finger)} of the {finger} finger" for finger in sorted(set(fingers)))
    return InputError(
        f"count: {count} real and {count} synthetic radiographs of {2 * count} different joints are needed, but only "
        f"{len(best)} pairs match{f' ({each})' if each else ''}; there are {len(sides[0])} joints with real and "
        f"{len(sides[1])} with synthetic radiographs, {joints} joints together. Use data sets with more joints or with "
        f"the distribution of the real joint space, pass a lower count, or a caliper_mm above {caliper:g}."
    )
