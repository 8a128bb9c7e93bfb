"""Items of phantoms, for the uses of phantoms in trainings and measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundle.errors import InputError
from bundle.io.loading import Item
from bundle.joint import MCP
from bundle.phantoms import sample_parameters

SEEDS_PER_RUN = 1_000_000
"""Number of phantom seeds per seed of a run, so that different seeds never share a phantom."""


SEED_STEPS = {"testing": 1, "detectors": 2, "retakes": 3, "frames": 4, "destroyed": 5}
"""Uses of phantoms besides training, with the offset of their seed from the run's."""


def disjoint_seed(seed: int, of: str) -> int:
    """Derive the seed of phantoms that differ from the run's own phantoms and from those of any other use.

    >>> disjoint_seed(1000, "testing")
    1001

    Args:
        seed: seed of the run.
        of: use of the phantoms, one of :data:`SEED_STEPS`.

    Raises:
        InputError: an unknown use.
    """
    if of not in SEED_STEPS:
        msg = f"of: {of!r} is unknown. Pass one of {', '.join(SEED_STEPS)}."
        raise InputError(msg)
    return seed + SEED_STEPS[of]


def phantom_items(
    count: int, seed: int, size: int | None = MCP.pixels, takes: int = 1, conditions: Mapping[str, float] | None = None
) -> list[Item]:
    """Make the items of ``count`` phantoms with the seeds from ``seed * SEEDS_PER_RUN`` on; each is its own joint.

    Besides ``name, joint, finger, side, spacing`` an item has the phantom's ``seed`` and ``outline_gap_mm``, and is
    ``overlapping`` if the latter is negative. A phantom covers 21 mm at any ``size`` in pixels. With several ``takes``
    each joint has that number of radiographs, numbered by ``retake``, under ``conditions``: options of
    :func:`bundle.phantoms.retake`, such as ``{"rotation_deg": 10.0}``; by default slightly repositioned.

    Raises:
        InputError: a count below 1 or above ``SEEDS_PER_RUN``, a negative seed, or less than one take.
    """
    if not 1 <= count <= SEEDS_PER_RUN or seed < 0:
        msg = f"{count} phantoms with the seed {seed}: pass 1 to {SEEDS_PER_RUN} phantoms and a seed of at least 0."
        raise InputError(msg)
    if takes < 1:
        msg = f"takes: {takes} is below 1. Pass at least one take of each phantom."
        raise InputError(msg)
    items = [_phantom_item(seed * SEEDS_PER_RUN + index, size or MCP.pixels) for index in range(count)]
    return items if takes == 1 else [_take(item, number, conditions or {}) for item in items for number in range(takes)]


def moved_items(items: Sequence[Item], frames: Sequence[Sequence[float]]) -> list[Item]:
    """Return the items of phantoms in frames that are moved on the joint (:func:`bundle.phantoms.reframed`).

    Args:
        items: items of phantoms.
        frames: shift to the right and downwards in mm, and rotation in degrees, of each frame; ``moved`` of the items.
    """
    return [
        {**item, "name": f"{item['name']}_frame{number}", "moved": list(frame)}
        for item in items
        for number, frame in enumerate(frames)
    ]


def destroyed_items(items: Sequence[Item]) -> list[Item]:
    """Return the items of phantoms with destroyed joint surfaces (:func:`bundle.phantoms.destroyed`)."""
    return [{**item, "name": f"{item['name']}_destroyed", "destroyed": True} for item in items]


def _phantom_item(seed: int, size: int) -> Item:
    parameters = sample_parameters(seed, size=size, spacing=MCP.spacing_at(size))
    name = f"phantom_{seed}"
    return {
        "name": name,
        "joint": name,
        "finger": parameters.finger,
        "side": parameters.side,
        "spacing": parameters.spacing,
        "seed": seed,
        "outline_gap_mm": parameters.outline_gap_mm,
        "overlapping": parameters.outline_gap_mm < 0.0,
    }


def _take(item: Item, number: int, conditions: Mapping[str, float]) -> Item:
    """The item of one radiograph of a phantom."""
    stated = {"conditions": dict(conditions)} if conditions else {}
    return {**item, "name": f"{item['name']}_take{number}", "retake": number, **stated}
