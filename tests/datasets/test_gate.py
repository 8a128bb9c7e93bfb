"""The gate refuses images and sources with their reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.factory import RadiographFactory
from bundle.datasets.gate import QualityGate, examine
from bundle.datasets.sources import surfaces_of
from bundle.datasets.specifications import SampleSpecification
from bundle.errors import InputError
from bundle.physics.motion import RigidMotion, move
from tests.datasets.phantoms import OPEN, Joints, flat, plan, source


def gate(specification: SampleSpecification, limits: QualityGate, joints: Joints) -> str:
    return RadiographFactory(joints.store, limits).make([specification])[0].refused


def test_each_limit_refuses_with_its_reason(joints: Joints) -> None:
    (specification,) = (
        plan(sideways_mm=Uniform(0.0, 0.0), rotation_deg=Uniform(0.0, 0.0)).of(joints.sources).sample([0])
    )
    before = specification.source.width
    assert gate(replace(specification, joint_space_mm=before), QualityGate(), joints) == ""
    assert gate(replace(specification, joint_space_mm=before - 2.6), QualityGate(), joints) == "change"
    assert (
        gate(replace(specification, joint_space_mm=before - 2.4), QualityGate(largest_overlap=0.01), joints)
        == "overlap"
    )
    assert (
        gate(replace(specification, joint_space_mm=before + 8.0), replace(OPEN, least_visible=0.9), joints) == "frame"
    )
    turned = replace(specification, joint_space_mm=before, rotation_degrees=40.0)
    assert gate(turned, replace(OPEN, tolerance_mm=0.05), joints) == "joint_space"
    assert gate(turned, OPEN, joints) == ""


def test_bones_without_a_common_column_are_refused_whatever_the_tolerance(joints: Joints) -> None:
    (specification,) = plan().of(joints.sources).sample([0])
    assert gate(replace(specification, sideways_mm=30.0), OPEN, joints) == "joint_space"


def test_sources_are_refused_with_their_reason(joints: Joints) -> None:
    known = joints.sources[0]
    assert QualityGate().of_source(known) == ""
    assert QualityGate().of_source(replace(known, joint_space_mm=None)) == "joint_space"
    assert QualityGate().of_source(replace(known, flagged=True)) == "implausible"
    usual, wrong = QualityGate(), [replace(known, flagged=True, name=f"{row}", reasons=["dark"]) for row in range(7)]
    unclear = replace(known, name="blurred", joint_space_mm=None, joint_space_refused="the articular floor fades")
    wrong += [unclear, replace(known, expected_overlap_rmse=0.5)]
    assert usual.usable([*wrong, replace(known, flagged=False)]) == [replace(known, flagged=False)]
    with pytest.raises(InputError) as caught:
        usual.usable(wrong)
    assert str(caught.value) == (
        "no image can be made from any of 9 joints: 1 whose joint space measurement is refused. Correct their masks, "
        "or use other joints (blurred: the articular floor fades): 7 flagged by inference. Pass --gate#plausible false "
        "(pre-training: --plausible false) to use them (0: dark, 1: dark, 2: dark, 3: dark, 4: dark, and 2 more): 1 "
        "with an expected error above the gate's largest_error. Raise --gate#largest_error"
    )
    assert QualityGate(plausible="false").of_source(replace(known, flagged=True)) == ""
    assert QualityGate(largest_error=0.01).of_source(known) == "uncertain"
    assert QualityGate(largest_error=0.01).of_source(replace(known, expected_overlap_rmse=None)) == ""
    with pytest.raises(InputError, match="neither true nor false"):
        QualityGate(plausible="perhaps")


def test_what_is_looked_at_is_counted_in_pixels() -> None:
    before = torch.zeros(1, 2, 20, 10)
    before[0, 0, 12:] = 1.0
    before[0, 1, :8] = 1.0
    motion = RigidMotion.widening(torch.tensor([-6.0]))
    _, after = move(torch.cat([before[:, :1], before], dim=1), before, motion, 1.0)
    found = examine(before, after, torch.ones(1), surfaces_of([source("flat", **flat(1.5))]))
    assert float(found["joint_space_mm"]) == pytest.approx(1.5, abs=1e-4)
    assert float(found["outline_gap_mm"]) == pytest.approx(-2.0, abs=1e-4)
    assert float(found["overlap"]) == pytest.approx(2 / 11, abs=1e-4)
    assert float(found["visible"]) == pytest.approx(11 / 8, abs=1e-4)
