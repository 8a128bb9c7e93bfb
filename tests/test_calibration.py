from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bundle.calibration import disagreement_and_error, properties_of, write_calibration, write_trust_reference
from bundle.data import phantom_items
from bundle.evaluation import JointSet, PushedJoints
from bundle.handlers import GeneratorWeights
from bundle.harmonic import separate
from bundle.metrics import LayerRMSE
from bundle.pseudo import OverlapRange
from bundle.trust import PROPERTIES, TrustReference, measure
from bundle.uncertainty import Calibration

SIZE = 64


class Unsure(nn.Module):
    """The weight-free separation, wrong by as much as the joint is wide of the frame's middle on one side."""

    def forward(self, image: Tensor) -> Tensor:
        layers = separate(image[:, :1], image[:, 1:])
        layers[:, 1, :, : SIZE // 2] *= 0.3
        return layers


def joint_set(count: int, seed: int = 0) -> JointSet:
    return JointSet(lambda: phantom_items(count, seed, SIZE), SIZE)


@pytest.fixture(scope="module")
def pushed() -> PushedJoints:
    return PushedJoints(joint_set(14), {"pushed": OverlapRange(jsw=(-1.2, -0.3))}, seed=3)


def test_properties_are_those_of_the_images_as_loaded() -> None:
    joints = joint_set(2)
    found = properties_of(joints)
    assert list(found) == list(PROPERTIES)
    for row, item in enumerate(joints.items):
        assert dict(found.iloc[row]) == pytest.approx(measure(joints.load(item)["image"], 21 / SIZE), nan_ok=True)


def test_the_reference_holds_every_kind_of_joint_and_says_what_it_is_made_of(tmp_path: Path) -> None:
    first, second = joint_set(10), joint_set(6, seed=1)
    write_trust_reference(tmp_path / "trust.json", {"a": first, "b": second}, 0.1, {"seed": 7})
    found = TrustReference.read(tmp_path / "trust.json")
    assert found.made["seed"] == 7
    assert found.made["false_alarms"] == 0.1
    assert found.made["images"] == {"a": 10, "b": 6}
    for joints in (first, second):
        flagged = [found.judge(dict(row)).flagged for _, row in properties_of(joints).iterrows()]
        assert np.mean(flagged) <= 0.1


def test_disagreement_and_error_are_of_the_pushed_joints(pushed: PushedJoints) -> None:
    found = disagreement_and_error(pushed, 3, Unsure(), "cpu")
    rows = np.linspace(0, len(pushed.items) - 1, 3).astype(int)
    assert found["name"].tolist() == [pushed.items[row]["name"] for row in rows]
    joint = pushed.load(pushed.items[0])
    image, truth = joint["image"][None], joint["label"][None]
    answers = [Unsure()(image), Unsure()(image.flip(-1)).flip(-1)]
    mean = -torch.expm1(torch.stack([torch.log1p(-answer.clamp(max=1 - 2**-15)) for answer in answers]).mean(dim=0))
    error = LayerRMSE("overlap")(mean, torch.cat([truth, image], dim=1))
    assert found["error"][0] == pytest.approx(float(error), rel=1e-3)


def test_a_calibration_is_written_for_its_separator(tmp_path: Path, pushed: PushedJoints) -> None:
    weights: Any = GeneratorWeights("absent.pt", _weight_free())
    path = tmp_path / "uncertainty.json"
    made = write_calibration(path, pushed, 99, Unsure(), weights, "cpu", {"seed": 3})
    assert Calibration.read(path) == made
    assert made.separator == weights.source
    assert made.made["seed"] == 3
    found = disagreement_and_error(pushed, 99, Unsure(), "cpu")
    assert made.made["joints"] == len(pushed.items) == len(found)
    assert made == Calibration.fit(found["disagreement"], found["error"], made.separator, made.made)


def _weight_free() -> nn.Module:
    network = nn.Module()
    network.head = nn.Module()
    network.head.zero_start = True  # type: ignore[assignment]
    return network
