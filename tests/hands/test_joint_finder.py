"""Joints that are found take the way of joints that are marked."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.hands.found import FoundHand, FoundJoint
from bundle.hands.joint_finder import JointFinder
from bundle.hands.networks import FinderNetwork
from bundle.hands.recentring import Recentring
from bundle.io import JointFrame
from bundle.io.joints import joint_items
from bundle.io.loading import open_joints
from bundle.io.placing import in_hand
from PIL import Image
from torch import Tensor

UP = (0.0, -1.0)


def hand(side: str = "left", **more: Any) -> FoundHand:
    joints = (
        FoundJoint("index", "MCP", 400.0, 500.0, UP, 0.97),
        FoundJoint("index", "PIP", 400.0, 300.0, UP, 0.99),
        FoundJoint("ring", "MCP", 250.0, 520.0, UP, 0.9),
        FoundJoint("small", "MCP", 100.0, 600.0, UP, 0.2, "its direction is unknown"),
    )
    return FoundHand(side, 0.0, False, 0.95, 900.0, joints, **more)


def item(path: Path, **more: Any) -> dict[str, Any]:
    known = {"name": "hand7", "joint": "hand7", "finger": "unknown", "side": "unknown", "lower": "", "upper": ""}
    return {**known, "image": str(path), "spacing": 0.1, **more}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "hand7.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (1000, 600), np.uint8)).save(path)
    return path


def test_joints_of_one_kind_are_named_by_side_and_finger_and_refused_ones_state_the_reason() -> None:
    found = JointFinder(lambda image: [hand(), hand("right")])(torch.zeros(1, 1000, 600))
    assert [one.place.name for one in found] == [
        f"{side}_mcp_{finger}" for side in ("left", "right") for finger in ("index", "ring", "small")
    ]
    assert [one.score for one in found] == [0.97, 0.9, 0.2] * 2
    assert [one.refused for one in found] == ["", "", "its direction is unknown"] * 2
    assert found[0].place.center == (400.0, 500.0) and found[0].place.direction == UP


def test_a_hand_without_marks_has_the_joints_that_are_found(film: Path) -> None:
    seen: list[Tensor] = []
    find = JointFinder(lambda image: seen.append(image) or [hand()])  # type: ignore[func-returns-value]
    _, joints = open_joints(item(film), find=find)
    assert seen[0].shape == (1, 1000, 600)
    assert [(joint["name"], joint["finger"], joint["side"], joint["score"], joint["refused"]) for joint in joints] == [
        ("hand7_left_mcp_index", "index", "left", 0.97, ""),
        ("hand7_left_mcp_ring", "ring", "left", 0.9, ""),
        ("hand7_left_mcp_small", "small", "left", 0.2, "its direction is unknown"),
    ]
    assert JointFrame.from_json(joints[0]["frame"]).place.center == (400.0, 500.0)
    assert all(in_hand(joint) for joint in joints)


def test_marks_take_precedence_and_a_side_that_is_stated_is_compared(film: Path) -> None:
    marks = film.with_suffix(".csv")
    marks.write_text("name,x,y,direction_x,direction_y\nmiddle,300,510,0,-1\n")
    find = JointFinder(lambda image: [hand()])
    (joint,) = open_joints(item(film, points=str(marks)), find=find)[1]
    assert joint["finger"] == "middle" and "score" not in joint
    found = open_joints(item(film, side="right"), find=find)[1]
    assert {joint["side"] for joint in found} == {"right"}
    assert found[0]["side_conflict"] == "the list or folder states right, the picture states left"


def test_a_radiograph_without_a_hand_is_refused_by_name(film: Path) -> None:
    with pytest.raises(InputError, match=r"hand7\.png: no hand with its MCP joints is found\. Mark the joints"):
        open_joints(item(film), find=JointFinder(lambda image: []))
    with pytest.raises(InputError, match="or mark the joints of a hand with points"):
        open_joints(item(film))


def test_the_spacing_of_a_hand_without_one_follows_from_its_phalanges(film: Path) -> None:
    (joint, *_) = open_joints(item(film, spacing=0.0), find=JointFinder(lambda image: [hand()]))[1]
    frame = JointFrame.from_json(joint["frame"])
    assert frame.spacing == pytest.approx((39.8 / 200.0,) * 2), "the index's phalanx of 39.8 mm is 200 pixels long"
    assert joint["spacing_source"] == "estimated"
    (stated, *_) = open_joints(item(film), find=JointFinder(lambda image: [hand()]))[1]
    assert stated["spacing_source"] == "given" and JointFrame.from_json(stated["frame"]).spacing == (0.1, 0.1)


def test_a_hand_without_spacing_and_without_phalanges_is_refused(film: Path) -> None:
    find = JointFinder(lambda image: [replace(hand(), joints=hand().joints[:1])])
    with pytest.raises(
        InputError, match=r"hand7\.png has no pixel spacing\. Pass --spacing.*no whole proximal phalanx"
    ):
        open_joints(item(film, spacing=0.0), find=find)


@pytest.mark.parametrize(("spacing", "size"), [(0.05, "0.25"), (0.3, "1.5")])
def test_a_spacing_that_no_hand_has_is_refused(film: Path, spacing: float, size: str) -> None:
    with pytest.raises(InputError, match=rf"hand7\.png: at a pixel spacing of {spacing} mm the hand is {size} times"):
        open_joints(item(film, spacing=spacing), find=JointFinder(lambda image: [hand()]))


def test_a_radiograph_without_spacing_and_hand_is_a_frame_of_one_joint(film: Path) -> None:
    (joint,) = open_joints(item(film, spacing=0.0), find=JointFinder(lambda image: []))[1]
    assert joint["spacing_source"] == "assumed" and not joint["frame"]


def test_an_inverted_hand_is_refused_by_name(film: Path) -> None:
    find = JointFinder(lambda image: [replace(hand(), inverted=True)])
    with pytest.raises(InputError, match=r"hand7\.png: the bones are darker than the soft tissue\. Invert"):
        open_joints(item(film), find=find)


def test_the_audit_keeps_what_is_found_and_lists_the_other_films(film: Path) -> None:
    def find(image: Tensor) -> Any:
        return JointFinder(lambda whole: [hand()])(image)

    masks = torch.zeros(2, 256, 256)
    masks[0, 140:], masks[1, :120] = 1.0, 1.0
    alone = film.parent / "alone"
    alone.mkdir()
    (alone / film.name).write_bytes(film.read_bytes())
    joints = joint_items(str(alone), "*", spacing=0.1, find=find, segment=lambda image: masks)
    assert [joint["finger"] for joint in joints] == ["index", "ring"]
    (refused,) = joints.rejected
    assert refused["name"] == "alone_hand7_left_mcp_small"
    assert "joint alone_hand7_left_mcp_small: its direction is unknown. Mark it" in refused["reason"]


@pytest.mark.parametrize(("hands", "joint"), [(lambda _: [], "XYZ"), (lambda _: [], 5), (5, "MCP"), (None, "MCP")])
def test_an_unknown_kind_of_joint_or_no_finder_is_refused(hands: Any, joint: Any) -> None:
    with pytest.raises(InputError, match="Pass one of CMC, DIP, IP, MCP, PIP as --find#joint"):
        JointFinder(hands, joint)


@pytest.mark.parametrize("features", [[0] * 6, [-1, 2, 3, 4, 5, 6], "abc", [1, 2], {}, [8.5] * 6, None, ["a"]])
def test_widths_of_the_networks_that_cannot_be_are_refused(features: Any) -> None:
    with pytest.raises(InputError, match=r"finder_features: .* Pass 6 whole numbers above 0"):
        FinderNetwork(features)


@pytest.mark.parametrize("length", ["nan", "abc", math.nan, math.inf, -1, None])
def test_a_distance_from_the_mark_that_is_no_length_is_refused(length: Any) -> None:
    with pytest.raises(InputError, match=r"farthest_mm: .* Pass a number from 0 to 21"):
        Recentring(None, length)  # type: ignore[arg-type]
