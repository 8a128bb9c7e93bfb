"""Hands whose joints are found; the finder is replaced by one that knows where two phantoms lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bundle.face.joints
import pytest
import torch
from bundle import Hand, Joint
from bundle.errors import InputError
from bundle.hands import FoundHand, FoundJoint
from bundle.io.writing import write_image

pytestmark = pytest.mark.slow
UP = (0.0, -1.0)
CENTRES = {"index": (200.0, 230.0), "middle": (520.0, 230.0)}


def found(image: torch.Tensor) -> list[FoundHand]:
    joints = [FoundJoint(finger, "MCP", x, y, UP, 0.9) for finger, (x, y) in CENTRES.items()]
    far = FoundJoint("ring", "MCP", 700.0, 40.0, UP, 0.9)
    return [FoundHand("left", 0.0, False, 0.9, 900.0, (*joints, far))]


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    whole = torch.full((1, 460, 740), 0.1)
    for seed, (x, y) in enumerate(CENTRES.values()):
        whole[0, int(y) - 128 : int(y) + 128, int(x) - 128 : int(x) + 128] = Joint.phantom(seed).radiograph[0]
    write_image(tmp_path / "hand.png", whole[0])
    known = bundle.face.joints.parts
    monkeypatch.setattr(
        bundle.face.joints, "parts", lambda *names: {"finder": found} if names == ("finder",) else known(*names)
    )
    return tmp_path / "hand.png"


def test_the_joints_of_a_hand_are_found_and_unusable_ones_are_named(
    film: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hand = Hand.read(film, spacing_mm=21 / 256)
    assert [(joint.finger, joint.side) for joint in hand.joints] == [("index", "left"), ("middle", "left")]
    assert "left_mcp_ring" in caplog.text and caplog.text.count("Left out") == 1


def test_reasons_are_stated_once_where_no_joint_can_be_used(film: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(film, torch.full((1, 460, 740), 0.1))
    with pytest.raises(InputError) as refused:
        Hand.read(film, spacing_mm=21 / 256)
    assert all(str(refused.value).count(name) == 1 for name in ("index", "middle", "ring"))
    assert caplog.text == ""


def test_an_unknown_growth_plate_follows_the_others_of_the_hand(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"index": "open", "middle": "unknown", "ring": "open"}

    def placed(item: dict[str, Any], *_: Any) -> dict[str, Any]:
        return {**item, "growth_plate": states[item["finger"]]}

    monkeypatch.setattr(bundle.face.joints, "recentred", placed)
    with pytest.raises(InputError, match="left_mcp_middle: open growth plate"):
        Hand.read(film, spacing_mm=21 / 256)
    states |= {"index": "closed", "ring": "closed"}
    assert [joint.finger for joint in Hand.read(film, spacing_mm=21 / 256).joints] == ["index", "middle"]


def test_a_hand_without_spacing_is_refused(film: Path) -> None:
    with pytest.raises(InputError, match=r"hand\.png has no pixel spacing\. Pass spacing_mm=MM"):
        Hand.read(film)


def test_errors_name_the_argument_and_not_the_option(film: Path) -> None:
    film.with_suffix(".csv").write_text("name,x,y,tip_x,tip_y\nindex,200,230,200,100\n")
    calls = (lambda: Joint.read(film), lambda: Hand.read(film, film.with_suffix(".csv")), lambda: Hand.read(film))
    for call in calls:
        with pytest.raises(InputError, match=r"Pass spacing_mm=MM") as refused:
            call()
        assert "--" not in str(refused.value)
    (film.parent / "spacing MM --spacing MM").mkdir()
    path = film.parent / "spacing MM --spacing MM" / "joint.png"
    write_image(path, torch.rand(1, 300, 300))
    with pytest.raises(InputError) as refused:
        Joint.read(path)
    assert str(refused.value).startswith(f"{path}: 300 x 300 pixels") and "Pass spacing_mm=MM" in str(refused.value)
    for read in (Joint.read, Hand.read):
        with pytest.raises(InputError, match=r"^spacing_mm: '0\.1' is invalid\. Pass a number from 0 to 100\.$"):
            read(film, spacing_mm="0.1")  # type: ignore[arg-type]


def test_the_spacing_of_a_file_takes_precedence_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, joint = tmp_path / "joint.dcm", Joint.phantom(3)
    joint.write(path)
    assert Joint.read(path, spacing_mm=joint.spacing_mm).spacing_mm == pytest.approx(joint.spacing_mm)
    assert caplog.text == ""
    assert Joint.read(path, spacing_mm=0.09).spacing_mm == pytest.approx(joint.spacing_mm)
    assert "joint.dcm: used the pixel spacing of the file, 0.08203 mm, not 0.09 mm." in caplog.text


@pytest.mark.parametrize("spacing_mm", [0.0, 21 / 256, 0.09])
def test_a_radiograph_of_one_joint_is_no_hand(tmp_path: Path, spacing_mm: float) -> None:
    write_image(tmp_path / "joint.png", Joint.phantom(3).radiograph)
    with pytest.raises(InputError, match=r"joint\.png: no hand was found, only a single joint\. Use"):
        Hand.read(tmp_path / "joint.png", spacing_mm=spacing_mm)


def test_a_printed_joint_states_no_pixels() -> None:
    assert "tensor" not in repr(Joint.phantom(seed=0))
