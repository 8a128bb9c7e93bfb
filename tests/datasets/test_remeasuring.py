"""Finished images are measured again, and an error of their stated joint space is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.factory import RadiographFactory
from bundle.datasets.remeasuring import Remeasurement, _agreement
from bundle.measurement.joint_space import measure_joint_space
from bundle.physics.harmonic import separate
from bundle.quality.uncertainty import FlipInferer
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from tests.datasets.phantoms import OPEN, Joints, plan
from torch import Tensor, nn


class WeightFree(nn.Module):
    """The weight-free separator, with the signature of the generator."""

    def forward(self, image: Tensor) -> Tensor:
        return separate(image[:, :1], image[:, 1:])


class Loads(list[Any]):
    """Weights that count how often they are loaded."""

    def __call__(self, engine: Any) -> None:
        self.append(engine)


def remeasurement(weights: Any, seed: int = 0) -> Remeasurement:
    loader = DataLoader(Dataset([0]), batch_size=1, num_workers=0)
    return Remeasurement(SupervisedEvaluator("cpu", loader, WeightFree(), inferer=FlipInferer()), weights, seed)


WIDE = {"joint_space_mm": Uniform(1.3, 2.5)}


@pytest.mark.slow
def test_the_measured_joint_space_is_the_stated_one(joints: Joints) -> None:
    weights, specifications = Loads(), plan(count=12, **WIDE).of(joints.sources)
    measure = remeasurement(weights)
    found = measure(specifications, RadiographFactory(joints.store, OPEN), 300)
    assert (found["seed"], found["n"], found["refused"]) == (0, 6, 0)
    assert abs(found["bias_mm"]) < 0.04 and found["mae_mm"] < 0.04
    assert found["slope"] == pytest.approx(1.0, abs=0.06)
    assert weights == [measure.evaluator]


@pytest.mark.slow
def test_a_wrong_joint_space_of_a_source_is_found(joints: Joints) -> None:
    wrong = [moved_head(source, 0.3) for source in joints.sources]
    specifications = plan(count=12, **WIDE).of(wrong)
    found = remeasurement(Loads())(specifications, RadiographFactory(joints.store, OPEN), 150)
    assert found["n"] == 3 and found["bias_mm"] == pytest.approx(-0.3, abs=0.05)


def moved_head(source: Any, by: float) -> Any:
    surfaces = {**source.surfaces, "head": [depth + by for depth in source.surfaces["head"]]}
    return replace(source, joint_space_mm=source.joint_space_mm + by, surfaces=surfaces)


@pytest.mark.slow
def test_one_image_is_measured_of_few_and_pairs_are_made_together(joints: Joints) -> None:
    specifications = plan(count=4, pairs=True, **WIDE).of(joints.sources)
    factory = RadiographFactory(joints.store, OPEN)
    found = [remeasurement(Loads(), seed)(specifications, factory, 4) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert found[0]["n"] == 1 and found[0]["slope"] is None


def test_refused_measurements_are_counted_and_left_out() -> None:
    stated, before = np.array([1.0, 1.5, 2.0, 0.5]), np.array([1.0, 1.0, 1.2, 1.0])
    found = _agreement(stated, np.array([1.1, 1.6, 2.1, np.nan]), before)
    assert found == {"n": 4, "refused": 1, "bias_mm": 0.1, "mae_mm": 0.1, "slope": 1.0}
    nothing = _agreement(stated, np.full(4, np.nan), before)
    assert nothing == {"n": 4, "refused": 4, "bias_mm": None, "mae_mm": None, "slope": None}


def test_the_measurement_is_that_of_the_separated_image(joints: Joints) -> None:
    (sample,) = RadiographFactory(joints.store, OPEN).make(plan(**WIDE).of(joints.sources).sample([0]))
    masks, spacing = (sample.masks[None] > 0.5).float(), sample.specification.source.spacing_mm
    measure = remeasurement(Loads())
    measure.evaluator.inferer = FlipInferer(flips=False)
    space = measure_joint_space(separate(sample.image[None], masks), masks, spacing)
    with torch.no_grad():
        assert measure._measured(sample) == pytest.approx(float(space.mean), abs=1e-5)
