"""Which labels of joints and hands are saved: those that lie on their bones."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.io.writing import write_image
from bundle.phantoms.sampling import sample_parameters
from PIL import Image
from tests.scripts.monai_label.label_server import Server, refusal, started
from tests.scripts.monai_label.studies import SPACING, hand_label, label_file, label_map, phantom, wrong_labels


def test_a_label_that_does_not_fit_is_not_saved(server: Server) -> None:
    path = label_file(server.folder, "joint_3", "png")
    assert "The label map has 256 x 256 pixels, the radiograph 456 x 576" in refusal(server.save, "hand_25", path)
    assert "The label map cannot be read" in refusal(
        server.save, "joint_3", server.folder / "studies" / "broken_26.png"
    )
    assert "not only 0 and [1, 2, 3]" in refusal(server.save, "nifti_23", server.folder / "studies" / "nifti_23.nii.gz")
    assert "an image of the studies folder" in refusal(server.save, "absent", path)
    assert not server.objects()["nifti_23"]["labels"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", wrong_labels("joint_6"))
def test_a_label_that_does_not_lie_on_its_bones_is_refused(server: Server, kind: str) -> None:
    masks, reason = wrong_labels("joint_6")[kind]
    path = server.folder / "wrong.png"
    Image.fromarray(label_map(masks)).save(path)
    for tag in ("final", "original"):
        found = refusal(server.form, "PUT", "/datastore/label", {"label": path}, image="joint_6", tag=tag)
        assert reason in found
        assert str(server.folder) not in found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"proximal phalanx": 1, "metacarpal": 2}, "The segment 'proximal phalanx' is unknown"),
        ({"upper bone": 1, "lower bone": 2}, "the upper bone is not above the lower bone"),
        ({"lower bone": 1}, "The label map contains [2"),
    ],
)
def test_foreign_and_swapped_names_are_refused(server: Server, names: dict[str, int], reason: str) -> None:
    path = label_file(server.folder, "joint_6", "png")
    info = [{"name": name, "idx": number} for name, number in names.items()]
    assert reason in refusal(server.save, "joint_6", path, label_info=info)


def test_a_hand_without_marks_takes_no_label(server: Server) -> None:
    assert '"center" and "tip"' in refusal(server.save, "unscaled_30", large_label(server))
    assert "no hand with its MCP joints is found" in refusal(
        server.save, "hand_25", hand_label(server), spacing=SPACING
    )


@pytest.mark.long
@pytest.mark.slow
def test_a_whole_hand_needs_no_click(label_python: str, tmp_path: Path) -> None:
    if not os.environ.get("HANDS_DATA"):
        pytest.skip("the environment variable HANDS_DATA does not name the folder of the public hands")
    (tmp_path / "studies").mkdir()
    (tmp_path / "model").mkdir()
    shutil.copy(Path(os.environ["HANDS_DATA"]) / "3249.jpg", tmp_path / "studies" / "hand.jpg")
    scale = {"spacing": 0.1}
    with started(label_python, tmp_path) as (server, _):
        said = server.said("bone_masks", "hand", **scale)
        assert [joint["finger"] for joint in said["joints"]] == ["thumb", "index", "middle", "ring", "small"]
        assert all(joint["side"] == "left" and not joint["not_found"] for joint in said["joints"])
        assert "Choose one of the fingers thumb, index" in refusal(server.said, "layer_separation", "hand", **scale)
        nib.save(server.infer("bone_masks", "hand", **scale), tmp_path / "masks.nii.gz")
        server.save("hand", tmp_path / "masks.nii.gz", **scale)
        labels = server.objects()["hand"]["labels"]
        assert set(labels) == {"final", *(f"final_{number}" for number in range(2, 6))}
        separated = server.said("layer_separation", "hand", finger="middle", **scale)
        assert separated["masks"] == "saved" and 0.8 < separated["joint_space_mm"] < 2.5


def large_label(server: Server) -> Path:
    path = server.folder / "label_of_unscaled.png"
    Image.fromarray(np.ones((1200, 1200), np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.nii.gz", "a.nrrd", "a.mgz", "a.eps"])
def test_labels_are_opened_in_their_formats_only(server: Server, name: str) -> None:
    secret, path = server.folder / "studies" / "joint_6.png", server.folder / name
    head = f"NRRD0004\ntype: uint8\ndimension: 2\nsizes: 256 256\nencoding: raw\ndata file: {secret}\n\n"
    mark = server.folder / "postscript_ran"
    script = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 256 256\n({mark}) (w) file closefile\nshowpage\n"
    path.write_bytes(head.encode() if name.endswith(".nrrd") else script.encode())
    start = time.monotonic()
    assert "cannot be read" in refusal(server.save, "joint_6", path)
    assert time.monotonic() - start < 20
    assert not mark.exists()


@pytest.mark.slow
def test_a_second_joint_of_a_hand_does_not_replace_the_first(server: Server) -> None:
    first, second = np.zeros((2, 576, 1100), np.float32)
    first[160:416, 100:356], second[160:416, 700:956] = (phantom(f"x_{seed}").image[0].numpy() for seed in (41, 42))
    write_image(server.folder / "two_50.png", np.maximum(first, second))
    server.form("PUT", "/datastore/image", {"file": server.folder / "two_50.png"}, image="two_50")
    widths = []
    for seed, left in ((41, 100), (42, 700)):
        truth = torch.nn.functional.pad(phantom(f"x_{seed}").masks, [left, 1100 - left - 256, 160, 160])
        Image.fromarray(label_map(truth)).save(server.folder / "two.png")
        clicks = {"center": [left + 127.5, 287.5], "tip": [left + 127.5, 160], "spacing": SPACING}
        for _ in range(2):
            server.save("two_50", server.folder / "two.png", **clicks)
        widths.append((clicks, sample_parameters(seed).outline_gap_mm))
    assert set(server.objects()["two_50"]["labels"]) == {"final", "final_2"}
    for clicks, width in widths:
        said = server.said("layer_separation", "two_50", **clicks)
        assert (said["masks"], said["outline_gap_mm"]) == ("saved", pytest.approx(width, abs=0.5))
    server.ask("DELETE", "/datastore/image", id="two_50")
    assert "two_50" not in server.objects()
