from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.evaluation.calibration import (
    closed_repeatedly,
    properties_of,
    signs_and_error,
    write_calibration,
    write_plausibility_reference,
)
from bundle.evaluation.sets import ClosedJoints, JointSet, as_a_file_holds
from bundle.io.phantom_lists import phantom_items
from bundle.physics.harmonic import separate
from bundle.quality.plausibility import PlausibilityReference
from bundle.quality.properties import PROPERTIES, measure
from bundle.quality.uncertainty import SIGNS, Calibration, held_out_figures, overlap_signs
from bundle.separation.metrics import LayerRMSE
from bundle.separation.pseudo_overlap import OverlapRange
from bundle.workflow.weights import GeneratorWeights
from torch import Tensor, nn

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
def closed() -> list[ClosedJoints]:
    return closed_repeatedly(joint_set(14), OverlapRange(outline_gap_mm=(-1.2, -0.3)), 2, seed=3)


@pytest.mark.slow
def test_properties_are_those_of_the_images_as_loaded() -> None:
    joints = joint_set(2)
    found = properties_of(joints)
    assert list(found) == list(PROPERTIES)
    for row, item in enumerate(joints.items):
        assert dict(found.iloc[row]) == pytest.approx(measure(joints.load(item)["image"], 21 / SIZE), nan_ok=True)


@pytest.mark.long
def test_the_reference_holds_every_kind_of_joint_and_says_what_it_is_made_of(tmp_path: Path) -> None:
    first, second = joint_set(10), joint_set(6, seed=1)
    write_plausibility_reference(tmp_path / "plausibility.json", {"a": first, "b": second}, 0.1, {"seed": 7})
    found = PlausibilityReference.read(tmp_path / "plausibility.json")
    assert found.made["seed"] == 7
    assert found.made["false_alarms"] == 0.1
    assert found.made["images"] == {"a": 10, "b": 6}
    for joints in (first, second):
        flagged = [found.judge(dict(row)).flagged for _, row in properties_of(joints).iterrows()]
        assert np.mean(flagged) <= 0.1


@pytest.mark.slow
def test_each_push_of_a_joint_is_another_one_and_repeats(closed: list[ClosedJoints]) -> None:
    first, second = (joints.load(joints.items[0])["image"] for joints in closed)
    assert len(closed) == 2
    assert closed[0].items == closed[1].items
    assert (first - second).abs().max() > 0.01
    again = closed_repeatedly(joint_set(14), OverlapRange(outline_gap_mm=(-1.2, -0.3)), 1, seed=4)[0]
    assert torch.equal(again.load(again.items[0])["image"], second)


@pytest.mark.slow
def test_signs_and_error_are_of_the_pushed_joints_as_a_file_holds_them(closed: list[ClosedJoints]) -> None:
    joints = closed[0]
    found = signs_and_error(joints, 3, Unsure(), "cpu")
    rows = np.linspace(0, len(joints.items) - 1, 3).astype(int)
    assert found["name"].tolist() == [joints.items[row]["name"] for row in rows]
    joint = joints.load(joints.items[0])
    image, truth = as_a_file_holds(joint["image"])[None], joint["label"][None]
    answers = torch.stack([Unsure()(image), Unsure()(image.flip(-1)).flip(-1)])
    mean = -torch.expm1(torch.log1p(-answers.clamp(max=1 - 2**-15)).mean(dim=0))
    error = LayerRMSE("overlap")(mean, torch.cat([truth, image], dim=1))
    assert found["error"][0] == pytest.approx(float(error), rel=1e-3)
    signs = overlap_signs(mean, answers.std(dim=0, correction=0), image[:, 1:], 21 / SIZE)
    assert {name: found[name][0] for name in SIGNS} == pytest.approx(
        {name: float(sign) for name, sign in signs.items()}, rel=1e-3
    )


@pytest.mark.long
def test_a_calibration_is_written_for_its_separator(tmp_path: Path, closed: list[ClosedJoints]) -> None:
    weights: Any = GeneratorWeights("absent.pt", _weight_free())
    path = tmp_path / "uncertainty.json"
    made = write_calibration(path, closed, 99, Unsure(), weights, "cpu", {"seed": 3})
    assert Calibration.read(path) == made
    assert made.separator == weights.source
    assert made.made["seed"] == 3
    found = pd.concat([signs_and_error(joints, 99, Unsure(), "cpu") for joints in closed])
    assert made.made["samples"] == len(found) == 2 * len(closed[0].items)
    assert made.made["joints"] == len(closed[0].items)
    samples = {name: found[name] for name in SIGNS}, found["error"], found["joint"]
    assert made == Calibration.fit(*samples, made.separator, made.made)
    assert made.made["joints_left_out"] == pytest.approx(held_out_figures(*samples), abs=5e-4)


def test_a_set_in_which_every_joint_overlaps_cannot_calibrate(tmp_path: Path) -> None:
    none = closed_repeatedly(JointSet(lambda: []), OverlapRange(outline_gap_mm=(-1.2, -0.3)), 2, seed=3)
    weights: Any = GeneratorWeights("absent.pt", _weight_free())
    with pytest.raises(InputError, match=r"needs 4 joints, .* the list has 0\. Add joints whose bones do not overlap"):
        write_calibration(tmp_path / "uncertainty.json", none, 99, Unsure(), weights, "cpu", {"seed": 3})


def _weight_free() -> nn.Module:
    network = nn.Module()
    network.head = nn.Module()
    network.head.zero_start = True  # type: ignore[assignment]
    return network


def test_files_of_one_folder_are_measured_as_joints_of_their_own() -> None:
    flat = [{"name": f"DIR_{row}", "joint": "DIR", "image": f"/any/DIR/{row}.png"} for row in range(3)]
    assert [item["joint"] for item in JointSet(lambda: flat).items] == ["DIR_0", "DIR_1", "DIR_2"]
    named = [
        {**item, "joint": joint, "image": f"/any/{joint}/{row}.png"}
        for row, (item, joint) in enumerate(zip(flat, "aab", strict=True))
    ]
    assert JointSet(lambda: named).items == named
