"""The factory makes what recipes ask for, refuses the rest with its reason, and asks again."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.factory import RadiographFactory, passed, truth_of
from bundle.datasets.gate import QualityGate
from bundle.datasets.specifications import motion_of
from bundle.measurement.joint_space import DEFINITION, measure_joint_space, narrowing_grade
from bundle.measurement.outline_gap import outline_gap
from bundle.physics.motion import RigidMotion, move
from bundle.physics.synthesis import synthesize
from tests.datasets.phantoms import OPEN, Joints, plan


@pytest.mark.slow
def test_an_image_is_the_synthesis_of_its_joint_by_its_recipe(joints: Joints) -> None:
    specifications = plan().of(joints.sources).sample(range(4))
    for sample in RadiographFactory(joints.store, OPEN).make(specifications):
        name, line = sample.specification.source.name, truth_of(sample)
        motion = RigidMotion.from_json(json.dumps(line["motion"]))
        made = synthesize(joints.layers[name], joints.masks[name], motion, line["spacing_mm"], [line["noise_seed"]])
        torch.testing.assert_close(sample.image, made.image[0], atol=2e-4, rtol=0)
        torch.testing.assert_close(sample.masks, made.masks[0], atol=1e-4, rtol=0)


def test_an_image_does_not_depend_on_those_made_with_it(joints: Joints) -> None:
    specifications = plan(noise=Uniform(0.0, 1.0)).of(joints.sources).sample(range(4))
    factory = RadiographFactory(joints.store, OPEN)
    for sample, specification in zip(factory.make(specifications), specifications, strict=True):
        (alone,) = factory.make([specification])
        torch.testing.assert_close(sample.image, alone.image, atol=1e-6, rtol=0)
        assert sample.joint_space_mm == pytest.approx(alone.joint_space_mm, abs=1e-5)


def test_the_measured_width_is_the_asked_one(joints: Joints) -> None:
    for sample in RadiographFactory(joints.store, OPEN).make(plan().of(joints.sources).sample(range(12))):
        assert sample.joint_space_mm == pytest.approx(sample.specification.joint_space_mm, abs=0.06)


def test_a_change_alone_makes_exactly_the_asked_joint_space(joints: Joints) -> None:
    nothing = Uniform(0.0, 0.0)
    specifications = (
        plan(changes_mm=[-0.4, 0.7], sideways_mm=nothing, rotation_deg=nothing).of(joints.sources).sample(range(6))
    )
    for sample in RadiographFactory(joints.store, OPEN).make(specifications[:4]):
        assert sample.joint_space_mm == pytest.approx(sample.specification.joint_space_mm, abs=2e-4)


def test_the_stated_joint_space_is_that_measured_on_the_moved_layers(joints: Joints) -> None:
    errors = []
    for start in (0, 4, 8):
        specifications = plan().of(joints.sources).sample(range(start, start + 4))
        for sample in RadiographFactory(joints.store, OPEN).make(specifications):
            name, spacing = sample.specification.source.name, sample.specification.source.spacing_mm
            layers, masks = move(joints.layers[name], joints.masks[name], sample.motion, spacing, "bicubic")
            space = measure_joint_space(layers, (masks > 0.5).float(), spacing)
            errors.append(abs(float(space.mean) - sample.joint_space_mm))
    assert sum(errors) / len(errors) < 0.015 and max(errors) < 0.04


def test_noise_is_that_of_the_tissue_times_its_strength(joints: Joints) -> None:
    (specification,) = plan(noise=Uniform(1.0, 1.0)).of(joints.sources).sample([0])
    factory = RadiographFactory(joints.store, OPEN)
    noisy, plain = (factory.make([replace(specification, noise=noise)])[0].image for noise in (1.0, 0.0))
    twice = factory.make([replace(specification, noise=2.0)])[0].image
    added, tissue = (noisy - plain)[0], slice(100, 156)
    own = float(joints.store.load([specification.source.name]).noise_texture.deviation)
    assert float((added[tissue] / (1.0 - plain[0, tissue])).std()) == pytest.approx(own, rel=0.15)
    assert float((twice - plain).std()) == pytest.approx(2 * float(added.std()), rel=0.05)


@pytest.mark.slow
def test_refused_images_are_tried_again_and_counted(joints: Joints) -> None:
    specifications = plan(count=32, rotation_deg=Uniform(-12.0, 12.0)).of(joints.sources)
    refused: Counter[str] = Counter()
    strict = QualityGate(tolerance_mm=0.02)
    good = passed(specifications, RadiographFactory(joints.store, strict), range(32), refused)
    assert sorted(good) == list(range(32))
    assert refused["joint_space"] > 3
    tried = [sample for sample in good.values() if sample.specification.attempt]
    assert tried and all(
        abs(sample.joint_space_mm - sample.specification.joint_space_mm) <= 0.02 for sample in good.values()
    )
    first = {specification.index: specification.joint_space_mm for specification in specifications.sample(range(32))}
    assert all(sample.specification.joint_space_mm == first[index] for index, sample in good.items())


def test_what_never_passes_is_given_up(joints: Joints) -> None:
    specifications = plan(attempts=2).of(joints.sources)
    refused: Counter[str] = Counter()
    none = RadiographFactory(joints.store, QualityGate(largest_change_mm=-1.0))
    assert passed(specifications, none, range(4), refused) == {}
    assert refused == {"change": 8}


@pytest.mark.slow
def test_pairs_pass_together_and_know_their_narrowing(joints: Joints) -> None:
    specifications = plan(pairs=True, rotation_deg=Uniform(-12.0, 12.0)).of(joints.sources)
    refused: Counter[str] = Counter()
    good = passed(specifications, RadiographFactory(joints.store, QualityGate(tolerance_mm=0.02)), range(12), refused)
    assert refused["joint_space"] > 1 and len(good) == 12
    for index in range(0, 12, 2):
        one, other = good[index], good[index + 1]
        assert (
            one.specification.source == other.specification.source
            and one.specification.attempt == other.specification.attempt
        )
        truth = truth_of(other, one)
        assert truth["pair"] == one.specification.key
        assert truth["jsn_mm"] == pytest.approx(one.joint_space_mm - other.joint_space_mm)


def test_truth_says_all_that_is_known(joints: Joints) -> None:
    (specification,) = plan().of(joints.sources).sample([5])
    (sample,) = RadiographFactory(joints.store, OPEN).make([specification])
    truth = json.loads(json.dumps(truth_of(sample)))
    assert (truth["key"], truth["source"], truth["finger"]) == ("000000005", specification.source.name, "ring")
    assert truth["joint_space_before_mm"] + truth["change_mm"] == pytest.approx(truth["joint_space_asked_mm"])
    assert truth["joint_space_after_mm"] == sample.joint_space_mm
    assert truth["joint_space_definition"] == DEFINITION
    gap = float(outline_gap(sample.masks[None], specification.source.spacing_mm))
    assert truth["outline_gap_after_mm"] == pytest.approx(gap, abs=1e-5)
    assert truth["outline_gap_after_mm"] < truth["joint_space_after_mm"] - 0.5
    assert truth["narrowing_grade"] == int(narrowing_grade(torch.tensor(sample.joint_space_mm)))
    moved = RigidMotion.from_json(json.dumps(truth["motion"]))
    assert torch.equal(moved.translation, motion_of([specification]).translation)
    assert "pair" not in truth
