"""What is counted of a data set is what numpy counts of its images, in one go or part by part."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from bundle.datasets.card import BINS, DataCount
from bundle.datasets.distributions import Sweep, Uniform
from bundle.datasets.factory import Sample
from bundle.datasets.specifications import DataPlan, SampleSpecification, SampleSpecifications
from bundle.physics.motion import RigidMotion
from tests.datasets.phantoms import source

SOURCES = [source(f"joint{n}", finger=finger) for n, finger in enumerate(("ring", "small"))]
SPECIFICATIONS = DataPlan(joint_space_mm=Uniform(0.0, 2.0), sideways_mm=Uniform(-1.0, 1.0), count=60).of(SOURCES)


def sample(specification: SampleSpecification, width: float) -> Sample:
    nothing = torch.zeros(1, 1, 1)
    return Sample(specification, nothing, nothing, RigidMotion.still(1), width, width - 1.3, "")


def counted(specifications: SampleSpecifications, drawn: list[SampleSpecification]) -> DataCount:
    """Every fifth image is missing; made widths are 0.01 mm above asked ones."""
    count = DataCount(specifications)
    for specification in drawn:
        count.count(
            specification,
            sample(specification, specification.joint_space_mm + 0.01) if specification.index % 5 else None,
        )
    return count


def test_counts_are_histograms_of_what_was_asked_and_made() -> None:
    drawn = SPECIFICATIONS.sample(range(60))
    found = counted(SPECIFICATIONS, drawn).describe()
    assert (found["images"], found["missing"]) == (48, 12)
    made = [specification for specification in drawn if specification.index % 5]
    assert found["fingers"]["ring"] == sum(specification.source.finger == "ring" for specification in made)
    for name, shift in (("joint_space_mm", 0.01), ("sideways_mm", 0.0)):
        of = found["distributions"][name]
        for kind, specifications, moved in (("asked", drawn, 0.0), ("counts", made, shift)):
            values = np.clip(
                [getattr(specification, name) + moved for specification in specifications],
                of["edges"][0],
                of["edges"][-1],
            )
            assert of[kind] == np.histogram(values, of["edges"])[0].tolist()
        shares = [np.cumsum(of[kind]) / sum(of[kind]) for kind in ("asked", "counts")]
        assert abs(of["largest_difference"] - np.abs(shares[0] - shares[1]).max()) < 1e-4


def test_parts_add_up_to_the_whole() -> None:
    drawn, total = SPECIFICATIONS.sample(range(60)), DataCount(SPECIFICATIONS)
    for part in (drawn[:7], drawn[7:30], drawn[30:]):
        count = counted(SPECIFICATIONS, part)
        count.refused.update({"joint_space": len(part)})
        total.add(json.loads(json.dumps(count.to_json())))
    whole = counted(SPECIFICATIONS, drawn)
    whole.refused.update({"joint_space": 60})
    assert total.describe() == whole.describe()
    assert [total.images_of(s.name) for s in SOURCES] == [whole.images_of(s.name) for s in SOURCES]


@pytest.mark.parametrize("damage", ["x", None, [1], {"a": "x"}, {"a": [1]}])
def test_refusals_that_are_no_counts_are_not_added(damage: object) -> None:
    stored = {**DataCount(SPECIFICATIONS).to_json(), "refused": damage}
    with pytest.raises((ValueError, LookupError, TypeError, AttributeError)):
        DataCount(SPECIFICATIONS).add(stored)


def test_grades_are_those_of_the_made_widths() -> None:
    count = DataCount(SPECIFICATIONS)
    for specification, width in zip(SPECIFICATIONS.sample(range(4)), (2.0, 1.5, 0.5, -0.3), strict=True):
        count.count(specification, sample(specification, width))
    assert count.describe()["narrowing_grades"] == {"0": 1, "1": 1, "3": 1, "4": 1}


def test_fixed_widths_fill_the_histogram_from_the_least_to_the_most() -> None:
    for plan, ends in (
        (DataPlan(joint_space_mm=Sweep([0.5, 1.5])), (0.5, 1.5)),
        (DataPlan(joint_space_mm=Uniform(0.0, 0.0), changes_mm=[-0.25, 0.5]), (0.75, 1.5)),
        (DataPlan(joint_space_mm=Uniform(0.7, 0.7)), (0.2, 1.2)),
    ):
        edges = DataCount(plan.of(SOURCES)).describe()["distributions"]["joint_space_mm"]["edges"]
        assert len(edges) == BINS + 1
        np.testing.assert_allclose([edges[0], edges[-1]], ends)
