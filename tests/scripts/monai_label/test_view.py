"""Views of the joints of a radiograph, with a finder that knows where the joints lie."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.writing import write_image
from bundle.joint import MCP
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from scripts.monai_label.view import HandJoints, JointView, Views, labelled_views, own_bones, views_of
from torch import Tensor

PIXELS = (MCP.spacing_mm, MCP.spacing_mm)
CENTRES = {"index": (140.0, 160.0), "middle": (440.0, 160.0)}


def find(radiograph: Tensor, pixels: tuple[float, float]) -> HandJoints:
    frames = []
    for finger, center in CENTRES.items():
        frame = JointFrame(JointPlace(f"left_mcp_{finger}", center), pixels)
        frames.append((frame, {"name": f"left_mcp_{finger}", "finger": finger, "side": "left", "score": 0.9}))
    return HandJoints(frames, {"left_mcp_ring": "open growth plate"})


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [render(sample_parameters(seed, outline_gap_mm=0.5)) for seed in (3, 8)]


@pytest.fixture(scope="module")
def hand(phantoms: list[Phantom], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hand") / "hand.png"
    write_image(path, laid([phantom.image for phantom in phantoms]))
    return path


def laid(parts: list[Tensor]) -> Tensor:
    """Parts (C, 256, 256) in the places of the joints of a hand, (C, 320, 580)."""
    whole = torch.zeros(len(parts[0]), 320, 580)
    for part, (x, y) in zip(parts, CENTRES.values(), strict=True):
        whole[:, int(y) - 128 : int(y) + 128, int(x) - 128 : int(x) + 128] = part
    return whole


def seen(hand: Path, **clicks: object) -> Views:
    return views_of(hand, {"spacing": PIXELS[0], **clicks}, find)


def test_a_hand_needs_no_marks(hand: Path, phantoms: list[Phantom]) -> None:
    views = seen(hand)
    assert [view.found["finger"] for view in views.joints] == ["index", "middle"]
    assert views.left_out == {"left_mcp_ring": "open growth plate"}
    for view, phantom in zip(views.joints, phantoms, strict=True):
        assert float((view.image - phantom.image).abs().mean()) < 0.02


def test_the_marks_of_a_found_joint_find_it_again(hand: Path) -> None:
    (view,) = seen(hand, finger="middle").joints
    again = seen(hand, **view.marks).one()
    assert not again.found and again.in_hand
    assert torch.allclose(again.image, view.image, atol=1e-5)


def test_one_of_several_joints_is_chosen_by_its_finger(hand: Path) -> None:
    assert seen(hand, finger="index").one().found["name"] == "left_mcp_index"
    with pytest.raises(InputError, match="Choose one of the fingers index, middle by"):
        seen(hand).one()
    with pytest.raises(InputError, match=r"no MCP joint of the thumb finger is found \(left_mcp_ring: open"):
        seen(hand, finger="thumb")


def test_a_radiograph_of_one_joint_is_not_searched(tmp_path: Path, phantoms: list[Phantom]) -> None:
    write_image(tmp_path / "joint.png", phantoms[0].image)
    view = views_of(tmp_path / "joint.png", {"spacing": PIXELS[0]}, find).one()
    assert not view.found and not view.marks and not view.in_hand


def test_a_label_of_a_hand_belongs_to_the_joints_that_it_shows(hand: Path, phantoms: list[Phantom]) -> None:
    own = [(phantom.masks > 0.5).float() for phantom in phantoms]
    assert len(labelled_views(seen(hand), laid(own))) == 2
    (only,) = labelled_views(seen(hand), laid([torch.zeros_like(own[0]), own[1]]))
    assert only.found["finger"] == "middle"
    with pytest.raises(InputError, match="shows none of the joints"):
        labelled_views(seen(hand), laid([torch.zeros_like(one) for one in own]))


def test_bones_of_the_joint_beside_are_removed_but_no_stray_part_inside() -> None:
    masks = torch.zeros(2, 256, 256)
    masks[0, 140:, 60:200], masks[1, :110, 60:200] = 1.0, 1.0
    beside, stray = masks.clone(), masks.clone()
    beside[0, 200:, :20] = 1.0
    stray[0, 20:40, 20:40] = 1.0
    assert torch.equal(own_bones(beside), masks)
    assert torch.equal(own_bones(stray), stray), "for the check of labels to refuse"


def test_masks_are_cut_without_neighbours_in_hands_only() -> None:
    masks = torch.zeros(2, 256, 256)
    masks[0, 140:, 60:200], masks[0, 200:, :20] = 1.0, 1.0
    frame = JointFrame(JointPlace("joint", (127.5, 127.5)), PIXELS)
    alone, one_of_hand = (JointView(masks[:1], (256, 256), frame, PIXELS, hand) for hand in (False, True))
    assert float(alone.cut(masks).sum()) > float(one_of_hand.cut(masks).sum()) == pytest.approx(116 * 140, rel=0.02)
