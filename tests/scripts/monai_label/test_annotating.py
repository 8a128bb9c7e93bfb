"""Annotating with a server that is trained on saved labels: masks, layers, corrections, the next sample."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.io.writing import write_image
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_joint_space
from bundle.physics.radiograph import reconstruct
from PIL import Image
from tests.scripts.monai_label.label_server import DOCUMENT, Server, leftovers, refusal, wait_until
from tests.scripts.monai_label.studies import (
    ABOVE,
    BESIDE,
    CENTER,
    CLICKS,
    LABELLED,
    SPACING,
    hand_label,
    label_file,
    label_map,
    phantom,
)

PLANTED = ("planted", "secret77")
FROM_SCRATCH = {"max_epochs": 30, "train_batch_size": 2, "learning_rate": 0.01, "pretrained": False}


@pytest.fixture(scope="module")
def training(server: Server) -> dict[str, Any]:
    """The server after a training on saved labels, and what it said before and after."""
    before = dice(server, "new_20")
    too_few = {"at_once": refusal(server.json, "POST", "/train/bone_masks", {}, run_sync=True), **server.train()}
    for seed in LABELLED:
        server.save(f"joint_{seed}", label_file(server.folder, f"joint_{seed}", "png" if seed % 2 else "nii.gz"))
    state = server.train(**FROM_SCRATCH)
    return {"state": state, "before": before, "too_few": too_few, "after": dice(server, "new_20")}


def dice(server: Server, image: str, truth: torch.Tensor | None = None, **params: Any) -> float:
    """Dice of the masks that the server draws, mean of both bones."""
    masks = phantom(image).masks if truth is None else truth
    found = np.asarray(server.infer("bone_masks", image, **params).dataobj).reshape(masks.shape[:0:-1]).T
    drawn = np.stack([(found & 1) > 0, (found & 2) > 0])
    true = (masks > 0.5).numpy()
    return float(np.mean(2 * (drawn & true).sum(axis=(1, 2)) / (drawn.sum(axis=(1, 2)) + true.sum(axis=(1, 2)))))


def layers_of(image: nib.Nifti1Image) -> torch.Tensor:
    """(3, H, W)."""
    return torch.from_numpy(np.asarray(image.dataobj, dtype=np.float32)[:, :, 0].transpose(2, 1, 0).copy())


def dicom_id(server: Server, nested: bool) -> str:
    """The id of a DICOM file whose header names a patient."""
    if not nested:
        return "dicom_27"
    return next(name for name in server.objects() if name.startswith("radiograph_"))


@pytest.mark.long
def test_the_bundle_is_listed_with_its_labels_and_tasks(server: Server) -> None:
    info = server.json("GET", "/info/")
    assert info["name"] == "finger_joint_layer_separation"
    assert info["labels"] == ["lower bone", "upper bone", "both bones"]
    assert info["models"]["bone_masks"]["labels"] == {"lower bone": 1, "upper bone": 2, "both bones": 3}
    assert set(info["models"]) == {"bone_masks", "layer_separation"}
    assert set(info["trainers"]) == {"bone_masks"}
    assert set(info["strategies"]) == {"uncertainty", "random"}


@pytest.mark.long
def test_radiographs_of_every_kind_are_found_in_flat_and_nested_folders(server: Server) -> None:
    found = server.objects()
    assert {"joint_0", "photo_20", "nifti_23", "large_24", "dicom_27", "nested__below_22"} <= set(found)
    assert sum(name.startswith("radiograph_") for name in found) == 1, "a pseudonym for the file named by its patient"
    assert len(found) == len(LABELLED) + 12


@pytest.mark.long
def test_training_on_saved_labels_makes_a_better_model_that_is_used_from_then_on(
    server: Server, training: dict[str, Any]
) -> None:
    assert training["state"]["status"] == "DONE", "\n".join(training["state"]["details"][-15:])
    stats = server.json("GET", "/info/")["train_stats"]["bone_masks"]
    assert (stats["labels"], stats["held_out"], stats["left_out"], stats["replaced"]) == (len(LABELLED), 12, {}, True)
    assert stats["best_metric"] > stats["dice_before"] + 0.3
    assert stats["p_value"] < 0.001
    assert any("best_metric" in line for line in training["state"]["details"]), "the figures stand in GET /train"
    assert training["before"] < 0.5
    assert training["after"] > 0.85


@pytest.mark.long
def test_a_training_without_enough_labels_is_refused(training: dict[str, Any]) -> None:
    reason = "A training needs at least 2 saved labels, 0 can be used"
    assert training["too_few"]["at_once"].startswith(reason)
    assert training["too_few"]["status"] == "ERROR"
    assert training["too_few"]["details"][-1].startswith(f"error: {reason}"), "without a traceback"


@pytest.mark.long
def test_weights_that_are_no_better_do_not_replace_those_in_use(server: Server, training: dict[str, Any]) -> None:
    weights = server.folder / "model" / "bone_masks.pt"
    kept = weights.read_bytes()
    labelled = len([entry for entry in server.objects().values() if entry["labels"]])
    server.save("hand_31", hand_label(server), **CLICKS)
    assert server.train(max_epochs=1, learning_rate=1e-12)["status"] == "DONE"
    stats = server.json("GET", "/info/")["train_stats"]["bone_masks"]
    assert not stats["replaced"]
    assert stats["verdict"].startswith("the old weights stay: not better")
    assert (stats["labels"], stats["left_out"]) == (labelled + 1, {}), "a joint of a hand is trained on as well"
    assert stats["dice_before"] > 0.85
    assert weights.read_bytes() == kept


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_one_request_puts_the_weights_before_a_training_back(server: Server) -> None:
    weights, before = server.folder / "model" / "bone_masks.pt", server.folder / "model" / "bone_masks_previous.pt"
    trained, untrained = weights.read_bytes(), before.read_bytes()
    server.json("DELETE", "/model/bone_masks")
    assert dice(server, "new_20") < 0.5
    assert (weights.read_bytes(), before.read_bytes()) == (untrained, trained)
    server.json("DELETE", "/model/bone_masks")
    assert dice(server, "new_20") > 0.85


@pytest.mark.parametrize("image", ["new_21", "photo_20", "nested__below_22", "nifti_23", "large_24", "dicom_27"])
@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_masks_come_back_as_a_label_map_of_the_image(server: Server, image: str) -> None:
    assert dice(server, image) > 0.85


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_a_label_map_lies_where_its_radiograph_lies(server: Server) -> None:
    for name in ("nifti_23", "large_24"):
        source = nib.load(server.folder / "studies" / f"{name}.nii.gz")
        made = server.infer("bone_masks", name)
        assert made.shape == source.shape
        assert np.allclose(made.affine, source.affine)
        assert made.get_data_dtype() == np.uint8


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_a_joint_that_is_marked_in_a_hand_is_drawn_where_it_is(server: Server) -> None:
    truth = torch.nn.functional.pad(phantom("hand_25").masks, [BESIDE, BESIDE, ABOVE, ABOVE])
    assert dice(server, "hand_25", truth, **CLICKS) > 0.85
    said = server.said("bone_masks", "hand_25", **CLICKS)
    assert (said["center"], said["spacing_mm"]) == (CENTER, pytest.approx(SPACING))


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_layers_compose_to_the_radiograph(server: Server) -> None:
    for name in ("nifti_23", dicom_id(server, nested=True)):
        layers = layers_of(server.infer("layer_separation", name))
        image = phantom("nifti_23" if name == "nifti_23" else "dicom_28").image
        assert (reconstruct(layers[None])[0] - image).abs().max() < 1e-4
        assert (layers[1:].flatten(1).amax(dim=1) > 0.1).all()
    said = server.said("layer_separation", "nifti_23")
    assert said["masks"] == "predicted"
    assert said["outline_gap_mm"] == pytest.approx(sample_parameters(23).outline_gap_mm, abs=0.5)
    assert said["joint_space_mm"] == pytest.approx(true_joint_space(sample_parameters(23)), abs=0.2)
    assert {"plausibility_score", "flagged", "expected_overlap_rmse", "bone_disagreement"} <= set(said)


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_layers_of_a_joint_in_a_hand_are_those_of_its_frame(server: Server) -> None:
    layers = layers_of(server.infer("layer_separation", "hand_25", **CLICKS))
    assert (reconstruct(layers[None])[0] - phantom("hand_25").image).abs().max() < 0.01


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_a_label_of_a_joint_in_a_hand_remembers_where_the_joint_is(server: Server) -> None:
    server.save("hand_31", hand_label(server), **CLICKS)
    said = server.said("layer_separation", "hand_31")
    assert (said["masks"], said["center"], said["tip"]) == ("saved", CLICKS["center"], CLICKS["tip"])
    assert said["outline_gap_mm"] == pytest.approx(sample_parameters(31).outline_gap_mm, abs=0.5)


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_an_edited_mask_is_saved_and_counts_before_a_drawn_one(server: Server) -> None:
    drawn = layers_of(server.infer("layer_separation", "new_21"))
    masks = phantom("new_21").masks.clone()
    rows = (masks[1].sum(dim=1) > 0).nonzero()
    masks[1, int(rows.max()) - 3 :] = 0.0
    path = server.folder / "edited.png"
    Image.fromarray(label_map(masks)).save(path)
    assert server.save("new_21", path)["label"] == "new_21"
    kept = server.ask("GET", "/datastore/label", label="new_21", tag="final")
    assert kept == path.read_bytes()
    layers = layers_of(server.infer("layer_separation", "new_21"))
    assert server.said("layer_separation", "new_21")["masks"] == "saved"
    sent = server.form("POST", "/infer/layer_separation", {"label": path}, image="new_21", output="image")
    assert torch.equal(layers, layers_of(nib.Nifti1Image.from_bytes(gzip.decompress(sent))))
    assert (layers - drawn).abs().max() > 0.01
    assert (reconstruct(layers[None]) - reconstruct(drawn[None])).abs().max() < 1e-4


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_numbers_that_a_client_gives_its_labels_are_understood(server: Server) -> None:
    swapped = np.array([0, 2, 1, 3], np.uint8)[label_map(phantom("new_20").masks)]
    path = server.folder / "swapped.nii.gz"
    nib.save(nib.Nifti1Image(swapped.T[..., None], np.eye(4)), path)
    names = [{"name": "upper bone", "idx": 1}, {"name": "lower bone", "idx": 2}, {"name": "both bones", "idx": 3}]
    server.save("new_20", path, label_info=names)
    width = server.said("layer_separation", "new_20")["outline_gap_mm"]
    server.save("new_20", label_file(server.folder, "new_20", "png"))
    assert server.said("layer_separation", "new_20")["outline_gap_mm"] == width


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_segments_of_slicer_that_overlap_are_understood_by_their_names(server: Server) -> None:
    path = server.folder / "segments.seg.nrrd"
    masks = (phantom("new_20").masks > 0.5).numpy().astype(np.uint8)
    names = ["upper bone", "lower bone"]
    fields = {f"Segment{i}_{key}": value for i, name in enumerate(names) for key, value in segment(i, name).items()}
    head = ["NRRD0004", "type: uint8", "dimension: 4", "sizes: 2 256 256 1", "kinds: list domain domain domain"]
    lines = [*head, "encoding: raw", *(f"{key}:={value}" for key, value in fields.items()), "", ""]
    path.write_bytes("\n".join(lines).encode() + np.stack([masks[1], masks[0]], axis=-1).tobytes())
    server.save("new_20", path, label_info=[{"name": name, "idx": i + 1} for i, name in enumerate(names)])
    width = server.said("layer_separation", "new_20")["outline_gap_mm"]
    server.save("new_20", label_file(server.folder, "new_20", "png"))
    assert server.said("layer_separation", "new_20")["outline_gap_mm"] == width


def segment(layer: int, name: str) -> dict[str, Any]:
    return {"ID": name, "Name": name, "Layer": layer, "LabelValue": 1}


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_an_image_that_is_sent_is_listed_once_and_can_be_used(server: Server) -> None:
    write_image(server.folder / "sent_29.png", phantom("sent_29").image)
    server.form("PUT", "/datastore/image", {"file": server.folder / "sent_29.png"}, image="sent_29")
    time.sleep(1.0)  # the folder is watched
    assert [name for name in server.objects() if "29" in name] == ["sent_29"]
    assert dice(server, "sent_29") > 0.85


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_masks_that_come_with_a_request_count_first(server: Server) -> None:
    files = {"label": label_file(server.folder, "joint_1", "nii.gz")}
    said = json.loads(server.form("POST", "/infer/layer_separation", files, image="joint_1", output="json"))
    assert said["masks"] == "sent"
    files = {"file": server.folder / "studies" / "joint_2.png", **files}
    said = json.loads(server.form("POST", "/infer/bone_masks", files, output="json"))
    assert said["masks"] == "predicted"


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_the_next_sample_is_the_unlabelled_one_with_the_highest_score(server: Server) -> None:
    sample = server.json("POST", "/activelearning/uncertainty", {})
    objects = server.objects()
    open_ = {name: entry["image"]["info"]["uncertainty"] for name, entry in objects.items() if not entry["labels"]}
    scores = {name: found["score"] for name, found in open_.items() if "score" in found}
    assert sample["id"] == max(scores, key=scores.__getitem__)
    assert sample["score"] == scores[sample["id"]]
    unreadable = {"broken_26", "hand_25", "unscaled_30"}
    assert set(open_) - set(scores) - {"hand_31"} == unreadable
    assert re.search("Not scored: .*the image cannot be read", server.log)
    assert len(set(scores.values())) > 3
    assert server.json("POST", "/activelearning/random", {})["id"] in open_


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_a_labelled_image_is_not_offered_again(server: Server) -> None:
    server.save("nested__below_22", label_file(server.folder, "nested__below_22", "png"))
    offered = {server.json("POST", "/activelearning/uncertainty", {})["id"] for _ in range(2)}
    assert offered.isdisjoint({"nested__below_22", "joint_0"})


@pytest.mark.long
@pytest.mark.usefixtures("training")
def test_neither_answers_nor_the_log_tell_whose_radiograph_it_is(server: Server) -> None:
    for nested in (False, True):
        server.said("layer_separation", dicom_id(server, nested))
        server.infer("bone_masks", dicom_id(server, nested))
    server.json("POST", "/activelearning/uncertainty", {})
    told = server.answered.decode(errors="ignore").lower() + server.log.lower()
    assert not [value for value in PLANTED if value in told]


@pytest.mark.long
@pytest.mark.usefixtures("training")
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl")
def test_the_commands_of_the_document_work_as_they_stand(server: Server, tmp_path: Path) -> None:
    marked = DOCUMENT.split("<!-- commands -->\n```bash\n")[1].split("```")[0]
    lines = marked.replace("http://127.0.0.1:8000", server.url)
    result = subprocess.run(["bash", "-e", "-c", lines], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"masks.nii.gz", "hand.nii.gz", "layers.nii.gz"}
    assert nib.load(tmp_path / "layers.nii.gz").shape == (256, 256, 1, 3)
    server.ask("DELETE", "/train/")


@pytest.mark.long
def test_masks_of_many_images_are_drawn_at_once(server: Server) -> None:
    found = server.json("POST", "/batch/infer/bone_masks", {"label_tag": "predicted"}, run_sync=True)
    assert set(found) == set(server.objects())
    assert "cannot be read" in found["broken_26"]["error"]
    wait_until(lambda: not leftovers(server), 5)
