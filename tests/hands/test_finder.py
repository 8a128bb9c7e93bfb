"""From a drawing to its joints: every orientation, one and two hands, cut hands, no hands."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.hands import FinderNetwork, FoundHand, HandFinder, found_places
from bundle.hands.fingers import CUT_OFF
from bundle.hands.landmarks import CHAINS, INDEX, Array, Landmark
from tests.hands.hand_drawings import Drawn, drawing, placed
from torch import Tensor

SIZE = 330.0
SHAPE = (440, 380)


def find(image: Tensor, absent: tuple[int, ...] = ()) -> list[FoundHand]:
    network: Any = Drawn(absent)
    finder = HandFinder(network, "absent.pt")
    finder._loaded = True
    return finder(image)


def check(hand: FoundHand, points: Array, pixels: float = 2.0) -> None:
    for joint in hand.joints:
        assert joint.refused == ""
        at = points[INDEX[Landmark(joint.finger, joint.joint)]]
        assert np.hypot(joint.x - at[0], joint.y - at[1]) < pixels
        assert np.hypot(*joint.direction) == pytest.approx(1.0)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 90.0, 157.0, -60.0])
def test_all_joints_are_found_in_any_orientation(degrees: float, mirrored: bool, inverted: bool) -> None:
    points = placed(SIZE, (220.0, 220.0), degrees, mirrored)
    image = drawing((440, 440), [points], SIZE)
    (hand,) = find(1.0 - image if inverted else image)
    assert (hand.side, hand.mirrored, hand.inverted) == ("right" if mirrored else "left", mirrored, inverted)
    assert abs((hand.rotation_deg - degrees + 180.0) % 360.0 - 180.0) < 2.0
    assert len(hand.joints) == 19
    assert hand.score > 0.9
    check(hand, points)


def test_a_direction_points_along_the_distal_bone() -> None:
    points = placed(SIZE, (190.0, 220.0), 20.0)
    (hand,) = find(drawing(SHAPE, [points], SIZE))
    joint = hand.joint("ring", "PIP")
    assert joint is not None
    along = points[INDEX[Landmark("ring", "DIP")]] - points[INDEX[Landmark("ring", "PIP")]]
    assert np.dot(joint.direction, along / np.hypot(*along)) > 0.999


def test_both_hands_of_a_film_are_found_from_left_to_right() -> None:
    hands = [placed(SIZE, (170.0, 220.0), 0.0, True), placed(SIZE, (470.0, 220.0))]
    found = find(drawing((440, 640), hands, SIZE))
    assert [hand.side for hand in found] == ["right", "left"]
    for hand, points in zip(found, hands, strict=True):
        check(hand, points)


def test_places_are_those_of_the_mcp_joints_by_finger() -> None:
    points = placed(SIZE, (190.0, 220.0))
    (hand,) = find(drawing(SHAPE, [points], SIZE))
    places = {place.name: place for place in found_places(hand)}
    assert set(places) == {"mcp_thumb", "mcp_index", "mcp_middle", "mcp_ring", "mcp_small"}
    np.testing.assert_allclose(places["mcp_index"].center, points[INDEX[Landmark("index", "MCP")]], atol=2.0)
    assert {place.name for place in found_places(hand, "DIP")} == {"dip_index", "dip_middle", "dip_ring", "dip_small"}


def test_a_joint_whose_next_landmark_is_missing_is_refused_and_gives_no_place() -> None:
    points = placed(SIZE, (190.0, 220.0))
    (hand,) = find(drawing(SHAPE, [points], SIZE), absent=(INDEX[Landmark("index", "PIP")],))
    joint = hand.joint("index")
    assert joint is not None
    assert joint.refused == "direction unknown, PIP not found"
    assert {"mcp_index", "pip_index"} & {place.name for place in found_places(hand)} == set()
    missing = hand.joint("index", "PIP")
    assert missing is not None
    assert missing.refused == "not found"


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_hand_cut_off_beyond_the_mcp_joints_gives_their_places_and_refuses_the_others(mirrored: bool) -> None:
    points = placed(SIZE, (190.0, 220.0), mirrored=mirrored)
    fingers, joints = ("index", "middle", "ring"), ("PIP", "DIP", "tip")
    cut = [INDEX[Landmark(finger, joint)] for finger in fingers for joint in joints]
    top = int(points[cut, 1].max()) + 1
    (hand,) = find(drawing(SHAPE, [points], SIZE)[:, top:], tuple(cut))
    check_mcps(hand, points - [0, top], mirrored)
    assert {hand.joint(finger, joint).refused for finger in fingers for joint in joints} == {CUT_OFF}  # type: ignore[union-attr]


def check_mcps(hand: FoundHand, points: Array, mirrored: bool) -> None:
    assert hand.mirrored == mirrored
    assert len(found_places(hand)) == 5
    for place, finger in zip(found_places(hand), CHAINS, strict=True):
        at, end = (points[INDEX[Landmark(finger, joint)]] for joint in ("MCP", "IP" if finger == "thumb" else "PIP"))
        np.testing.assert_allclose(place.center, at, atol=2.0)
        assert np.dot(place.direction, end - at) > 0.99 * np.linalg.norm(end - at)


def test_a_bone_of_implausible_length_is_refused() -> None:
    points = placed(SIZE, (190.0, 220.0))
    pip, mcp = (INDEX[Landmark("middle", joint)] for joint in ("PIP", "MCP"))
    points[pip] = points[mcp] + 0.5 * (points[pip] - points[mcp])
    (hand,) = find(drawing(SHAPE, [points], SIZE))
    refused = {joint.name for joint in hand.joints if joint.refused}
    assert {"mcp_middle", "pip_middle"} <= refused <= {"mcp_middle", "pip_middle", "dip_middle"}


def test_fingers_as_short_as_toes_are_no_hand() -> None:
    points = placed(SIZE, (190.0, 220.0))
    for finger in ("index", "middle", "ring", "small"):
        row = [INDEX[Landmark(finger, joint)] for joint in ("MCP", "PIP", "DIP", "tip")]
        points[row] = points[row[0]] + 0.35 * (points[row] - points[row[0]])
    assert find(drawing(SHAPE, [points], 0.5 * SIZE)) == []


@pytest.mark.parametrize("image", [torch.zeros(1, 200, 300), torch.ones(1, 50, 40), torch.rand(1, 300, 200)])
def test_pictures_without_a_hand_give_none(image: Tensor) -> None:
    assert find(image) == []


@pytest.mark.parametrize("shape", [(200, 200), (3, 200, 200), (1, 20, 200)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="a radiograph of shape"):
        find(torch.zeros(shape))


def test_weights_with_another_checksum_are_refused_and_chosen_ones_are_not(tmp_path: Path) -> None:
    network = FinderNetwork([8] * 6)
    torch.save(network.state_dict(), tmp_path / "joints.pt")
    metadata = tmp_path / "metadata.json"
    digest = hashlib.sha256(b"others").hexdigest()
    metadata.write_text(json.dumps({"weights": {"joints.pt": {"sha256": digest}}}))
    with pytest.raises(InputError, match=r"joints\.pt: not the shipped weights"):
        HandFinder(network, tmp_path / "joints.pt", str(metadata))(torch.zeros(1, 64, 64))
    chosen = str(tmp_path / "joints.pt")
    assert HandFinder(network, tmp_path / "joints.pt", str(metadata), chosen)(torch.zeros(1, 64, 64)) == []


def test_missing_weights_name_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"joints\.pt: the weights of this joint finder are missing\. Mark the joints"):
        HandFinder(FinderNetwork([8] * 6), tmp_path / "joints.pt")(torch.zeros(1, 64, 64))
