from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.inference.locating import located_surfaces
from bundle.inference.overviews import DOUBTFUL, LINE, MEASURED, REFUSED, overview, overview_panel, write_overviews
from bundle.io.audit import Joints
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.keeping import Kept
from bundle.io.png_files import png_source
from bundle.io.writing import write_image
from bundle.measurement.joint_space import measure_joint_space
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters

UP = (0.0, -1.0)


def item(name: str, finger: str, x: float, y: float, **more: Any) -> dict[str, Any]:
    frame = JointFrame(JointPlace(name, (x, y), UP), (0.21, 0.21))
    return {"name": f"hand_{name}", "finger": finger, "frame": frame.to_json(), "score": 0.9, **more}


def has(image: np.ndarray[Any, Any], colour: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    return np.asarray((image == colour).all(axis=-1))


def test_each_joint_has_a_frame_in_the_colour_of_its_result(tmp_path: Path) -> None:
    write_image(tmp_path / "hand.png", torch.full((300, 500), 0.2))
    joints = [
        item("a", "index", 80.0, 150.0),
        item("b", "middle", 250.0, 150.0),
        item("c", "ring", 420.0, 150.0, refused="hand.png: joint c: open growth plate. Leave it out."),
    ]
    rows = {
        "hand_a": {"joint_space_mm": 1.5, "joint_space_sd_mm": 0.1, "plausible": True, "reasons": None},
        "hand_b": {"joint_space_mm": None, "reasons": "joint space: no pixel spacing"},
    }
    lines = {"hand_a": {"surfaces": {"head": [[70.0, 155.0], [90.0, 155.0]], "floor": [[70.0, 145.0], [90.0, 145.0]]}}}
    image = overview(str(tmp_path / "hand.png"), joints, rows, lines)
    assert image.shape[1] == 500 and image.shape[0] >= 300 + 3 * LINE
    for colour, x in ((MEASURED, 80), (DOUBTFUL, 250), (REFUSED, 420)):
        columns = np.nonzero(has(image[:300], colour))[1]
        assert abs(columns.mean() - x) < 3 and np.ptp(columns) == pytest.approx(100, abs=4)
        assert has(image[300:], colour).any(), "a line of text in the same colour"
    assert has(image, (0, 190, 255))[145, 70:90].all() and has(image, (255, 220, 0))[155, 70:90].all()


def test_a_large_hand_is_reduced(tmp_path: Path) -> None:
    write_image(tmp_path / "hand.png", torch.full((2400, 1000), 0.2))
    image = overview(str(tmp_path / "hand.png"), [item("a", "index", 500.0, 1200.0)], {}, {})
    assert image.shape[1] == 500
    assert abs(np.nonzero(has(image[:1200], DOUBTFUL))[0].mean() - 600) < 12


def test_a_panel_kept_with_a_joint_replaces_the_file(tmp_path: Path) -> None:
    whole = torch.rand(2400, 1000)
    write_image(tmp_path / "hand.png", whole)
    joint = item("a", "index", 500.0, 1200.0)
    panel = overview_panel(whole.numpy())
    assert panel.shape == (1200, 500) and panel.dtype == np.uint8
    kept = {**joint, "whole": Kept().keep(panel), "whole_scale": 0.5}
    decoded = overview(str(tmp_path / "hand.png"), [joint], {}, {})
    shown = overview(str(tmp_path / "no_such_file.png"), [kept], {}, {})
    assert np.abs(decoded.astype(int) - shown.astype(int)).max() <= 1


class Folder:
    def __init__(self, output_dir: Path) -> None:
        self.output_dir = self.lines_dir = output_dir


def test_overviews_are_made_anew_only_where_they_show_something_else_or_are_damaged(tmp_path: Path) -> None:
    write_image(tmp_path / "hand.png", torch.full((300, 500), 0.2))
    joint = item("a", "index", 250.0, 150.0, image=str(tmp_path / "hand.png"), digest="1")
    made, writer = tmp_path / "hand_overview.png", Folder(tmp_path)

    def stamp(joints: Joints) -> int:
        write_overviews(writer, joints)  # type: ignore[arg-type]
        return made.stat().st_mtime_ns

    first = stamp(Joints([joint]))
    assert stamp(Joints([joint])) == first
    second = stamp(Joints([], left_out=[{**joint, "refused": "open growth plate"}]))
    assert second != first
    made.write_bytes(made.read_bytes()[:-40])
    assert stamp(Joints([], left_out=[{**joint, "refused": "open growth plate"}])) != second
    assert png_source(made)


def test_surfaces_are_located_in_the_hand() -> None:
    made = render(sample_parameters(4, outline_gap_mm=0.2))
    masks, pixel = (made.masks > 0.5).float(), 21 / 256
    space = measure_joint_space(made.layers[None], masks[None], pixel)
    alone = located_surfaces({"image": made.image.expand(3, -1, -1), "spacing": pixel}, space)
    frame = JointFrame(JointPlace("a", (800.0, 600.0), (1.0, 0.0)), (pixel / 2, pixel / 2))
    known = {"image": made.image.expand(3, -1, -1), "spacing": pixel, "frame": frame.to_json()}
    turned = located_surfaces(known, space)
    assert alone is not None and turned is not None
    for name in ("head", "floor"):
        own, found = np.array(alone[name]) - 127.5, np.array(turned[name]) - [800.0, 600.0]
        assert np.allclose(found, 2.0 * np.stack([-own[:, 1], own[:, 0]], axis=1), atol=0.05), "a quarter turn, twice"
    widths = (np.array(alone["head"]) - np.array(alone["floor"]))[:, 1] * pixel
    assert widths.mean() == pytest.approx(float(space.mean), abs=0.1)
    assert json.dumps(turned)


def test_a_refused_joint_space_has_no_surfaces() -> None:
    made = render(sample_parameters(4))
    space = measure_joint_space(made.layers[None], torch.zeros(1, 2, 256, 256), 21 / 256)
    assert located_surfaces({"image": made.image.expand(3, -1, -1), "spacing": 21 / 256}, space) is None
