"""The MONAI Label server with the app of scripts/monai_label, asked through HTTP as its clients do.

The server runs in an environment of its own (requirements-monai-label.txt): that of the Python that the environment
variable MONAI_LABEL_PYTHON names, or .venv-label in the root of the repository. Without it these tests are skipped.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.writing import write_image, write_layers
from bundle.joint import MCP
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_joint_space
from bundle.physics.radiograph import reconstruct
from monai.bundle import ConfigParser
from PIL import Image
from scripts.monai_label.options import OPTIONS, ROUTES, Route

SPACING = MCP.spacing_mm

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "monai_label.md").read_text()
DOCUMENTED_START = DOCUMENT.split("```bash\n")[2].splitlines()[0]
DOCUMENTED_PYTHON = ".venv-label/bin/python"
LABELLED = (*range(20), 60, 61, 62, 63)
ABOVE, BESIDE = 160, 100
PLANTED = ("planted", "secret77")
CENTER = [BESIDE + 127.5, ABOVE + 127.5]
CLICKS = {"center": CENTER, "tip": [CENTER[0], ABOVE], "spacing": SPACING}
FROM_SCRATCH = {"max_epochs": 30, "train_batch_size": 2, "learning_rate": 0.01, "pretrained": False}


@pytest.fixture(scope="module")
def label_python() -> str:
    """Python of the environment of MONAI Label."""
    own = ROOT / ".venv-label" / "bin" / "python"
    named = os.environ.get("MONAI_LABEL_PYTHON") or (str(own) if own.is_file() else "")
    if not named:
        pytest.skip("neither MONAI_LABEL_PYTHON nor .venv-label has an environment with MONAI Label")
    return named


class Server:
    """A running server; everything that it answers is kept."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.answered = b""

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, method: str, path: str, body: bytes | None = None, content: str = "", **query: Any) -> bytes:
        url = f"{self.url}{path}?{urllib.parse.urlencode(query)}"
        request = urllib.request.Request(url, body, {"Content-Type": content} if content else {}, method=method)
        with urllib.request.urlopen(request, timeout=120) as response:
            answer: bytes = response.read()
        self.answered += answer
        return answer

    def json(self, method: str, path: str, sent: Any = None, **query: Any) -> Any:
        body = None if sent is None else json.dumps(sent).encode()
        return json.loads(self.ask(method, path, body, "application/json" if body else "", **query))

    def form(self, method: str, path: str, files: dict[str, Path] | None = None, **query: Any) -> bytes:
        """Send ``params`` (JSON) and files as a form."""
        return self.fields(method, path, {"params": query.pop("params", {})}, files, **query)

    def fields(
        self, method: str, path: str, sent: dict[str, Any], files: dict[str, Path] | None = None, **query: Any
    ) -> bytes:
        """Send JSON fields and files as a form."""
        boundary = uuid.uuid4().hex
        fields = {name: json.dumps(value).encode() for name, value in sent.items()}
        heads = {name: f'name="{name}"' for name in sent}
        for name, file in (files or {}).items():
            fields[name], heads[name] = file.read_bytes(), f'name="{name}"; filename="{file}"'
        parts = [
            f"--{boundary}\r\nContent-Disposition: form-data; {heads[name]}\r\n\r\n".encode() + value + b"\r\n"
            for name, value in fields.items()
        ]
        body = b"".join(parts) + f"--{boundary}--\r\n".encode()
        return self.ask(method, path, body, f"multipart/form-data; boundary={boundary}", **query)

    def infer(self, task: str, image: str, **params: Any) -> nib.Nifti1Image:
        answer = self.form("POST", f"/infer/{task}", image=image, output="image", params=params)
        return nib.Nifti1Image.from_bytes(gzip.decompress(answer))

    def said(self, task: str, image: str, **params: Any) -> Any:
        return json.loads(self.form("POST", f"/infer/{task}", image=image, output="json", params=params))

    def save(self, image: str, file: Path, **params: Any) -> Any:
        return json.loads(self.form("PUT", "/datastore/label", {"label": file}, image=image, params=params))

    def train(self, **settings: Any) -> Any:
        """Train to the end; the last state of the task."""
        self.json("POST", "/train/bone_masks", settings)
        while (state := self.json("GET", "/train/"))["status"] in ("SUBMITTED", "RUNNING"):
            time.sleep(0.5)
        return state

    def objects(self) -> Any:
        return self.json("GET", "/datastore/", output="all")["objects"]


def refusal(call: Any, *args: Any, **options: Any) -> str:
    """What the server says to a request that it refuses."""
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(*args, **options)
    assert caught.value.code == 400
    message: str = json.loads(caught.value.read())["detail"]
    assert message and "Traceback" not in message
    return message


QUOTED = re.compile(r"(?<= is ).*?(?=\. Pass )")
"""What a refusal quotes of the request, which may be cut short."""


def phantom(name: str) -> Phantom:
    """The phantom that an image of :func:`write_studies` shows; a name ends with its seed."""
    size = 320 if name.startswith("large") else 256
    return render(sample_parameters(int(name.rsplit("_", 1)[1]), size=size, spacing=21.0 / size))


def write_studies(folder: Path) -> None:
    """Radiographs in every kind of file, a hand, and what cannot be used."""
    (folder / "nested" / "deeper").mkdir(parents=True)
    for name in (*(f"joint_{seed}" for seed in LABELLED), "new_20", "new_21", "nested/below_22"):
        write_image(folder / f"{name}.png", phantom(name).image)
    Image.fromarray(np.asarray(Image.open(folder / "new_20.png"))).save(folder / "photo_20.jpeg", quality=95)
    write_layers(folder / "nifti_23.nii.gz", phantom("nifti_23").image, SPACING)
    write_layers(folder / "large_24.nii.gz", phantom("large_24").image, 21.0 / 320)
    for name in ("hand_25", "hand_31"):
        hand = np.pad(phantom(name).image[0].numpy(), ((ABOVE, ABOVE), (BESIDE, BESIDE)), mode="edge")
        write_image(folder / f"{name}.png", hand)
    (folder / "broken_26.png").write_bytes(b"no picture")
    write_image(folder / "unscaled_30.png", np.full((1200, 1200), 0.5))
    write_planted_dicom(folder / "dicom_27.dcm", 27)
    write_planted_dicom(folder / "nested" / "deeper" / "PLANTED_28", 28)


def write_planted_dicom(path: Path, seed: int) -> None:
    dataset = DicomStudy("1", path.name, "L").image(
        render(sample_parameters(seed)).image[0].numpy(), (SPACING, SPACING), "a phantom", True
    )
    dataset.PatientName, dataset.PatientID = "Planted^Name", "SECRET77"
    write_dicom(path, dataset)


def write_untrained_weights(path: Path) -> None:
    """Weights that know nothing, in place of the shipped ones."""
    config = ConfigParser()
    config.read_config(str(ROOT / "configs" / "inference.json"))
    torch.manual_seed(0)
    path.parent.mkdir()
    torch.save(config.get_parsed_content("segmenter#network").state_dict(), path)


@pytest.fixture(scope="module")
def server(label_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, started as documented but on a free port, with untrained weights of the segmentation."""
    folder = tmp_path_factory.mktemp("monai_label")
    write_studies(folder / "studies")
    write_untrained_weights(folder / "model" / "bone_masks.pt")
    with started(label_python, folder) as (running, _):
        yield running


@contextmanager
def started(label_python: str, folder: Path) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """A server of the studies and weights in a folder, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [label_python if word == DOCUMENTED_PYTHON else word for word in shlex.split(DOCUMENTED_START)]
    command[command.index("STUDIES")] = str(folder / "studies")
    command += ["--port", str(port), "--conf", "model_dir", str(folder / "model")]
    (folder / "tmp").mkdir()
    own = {"MONAI_LABEL_SESSION_PATH": str(folder / "sessions"), "TMPDIR": str(folder / "tmp")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **own}, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    running = Server(f"http://127.0.0.1:{port}", folder)
    try:
        wait_for(running, process)
        yield running, process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def wait_for(server: Server, process: subprocess.Popen[bytes]) -> None:
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            server.json("GET", "/info/")
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the server did not start: {server.log[-2000:]}")


@pytest.fixture(scope="module")
def training(server: Server) -> dict[str, Any]:
    """The server after a training on saved labels, and what it said before and after."""
    before = dice(server, "new_20")
    too_few = {"at_once": refusal(server.json, "POST", "/train/bone_masks", {}, run_sync=True), **server.train()}
    for seed in LABELLED:
        server.save(f"joint_{seed}", label_file(server.folder, f"joint_{seed}", "png" if seed % 2 else "nii.gz"))
    state = server.train(**FROM_SCRATCH)
    return {"state": state, "before": before, "too_few": too_few, "after": dice(server, "new_20")}


def label_map(masks: torch.Tensor) -> np.ndarray:
    """(H, W) of 0 to 3 from masks (2, H, W)."""
    lower, upper = (masks > 0.5).numpy().astype(np.uint8)
    return np.asarray(lower + 2 * upper)


def label_file(folder: Path, name: str, ending: str) -> Path:
    """The true masks of an image, as a client sends them."""
    values = label_map(phantom(name).masks)
    path = folder / f"label_of_{name}.{ending}"
    if ending == "png":
        Image.fromarray(values).save(path)
    else:
        nib.save(nib.Nifti1Image(values.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    return path


def hand_label(server: Server) -> Path:
    """The true masks of hand_31."""
    masks = torch.nn.functional.pad(phantom("hand_31").masks, [BESIDE, BESIDE, ABOVE, ABOVE])
    path = server.folder / "label_of_hand.png"
    Image.fromarray(label_map(masks)).save(path)
    return path


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


@pytest.mark.parametrize(
    ("image", "params", "message"),
    [
        ("broken_26", {}, "cannot be read"),
        ("hand_25", {"spacing": SPACING}, 'no hand with its MCP joints is found. Mark the joint of a hand by "center"'),
        ("hand_25", {"spacing": SPACING, "finger": "pinky"}, "\"finger\" is 'pinky'"),
        ("hand_25", {"center": CENTER}, '"tip" is None, not [x, y]'),
        ("hand_25", {"center": CENTER, "tip": [0, 0]}, "The radiograph has no pixel spacing"),
        ("hand_25", {**CLICKS, "center": [5, 5]}, "inside the radiograph"),
        ("unscaled_30", {}, "1200 x 1200 pixels without a pixel spacing"),
        ("absent", {}, "not an image of the studies folder"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence(
    server: Server, image: str, params: dict[str, Any], message: str
) -> None:
    for task in ("bone_masks", "layer_separation"):
        found = refusal(server.said, task, image, **params)
        assert message in found
        assert str(server.folder) not in found


def test_a_label_that_does_not_fit_is_not_saved(server: Server) -> None:
    path = label_file(server.folder, "joint_3", "png")
    assert "The label map has 256 x 256 pixels, the radiograph 456 x 576" in refusal(server.save, "hand_25", path)
    assert "The label map cannot be read" in refusal(
        server.save, "joint_3", server.folder / "studies" / "broken_26.png"
    )
    assert "not only 0 and [1, 2, 3]" in refusal(server.save, "nifti_23", server.folder / "studies" / "nifti_23.nii.gz")
    assert "an image of the studies folder" in refusal(server.save, "absent", path)
    assert not server.objects()["nifti_23"]["labels"]


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
def test_the_bundle_works_with_the_packages_of_monai_label(label_python: str, tmp_path: Path) -> None:
    write_planted_dicom(tmp_path / "joint.dcm", 3)
    code = (
        "import numpy, pydicom, sys\n"
        "from bundle.io.joints import joint_items\n"
        "from bundle.io.reading import read_stated\n"
        "import bundle.separation, bundle.evaluation, bundle.inference, bundle.workflow\n"
        "from bundle.quality.uncertainty import SIGNS, Calibration\n"
        "signs = {name: [0.1, 0.2, 0.3, 0.4, 0.5] for name in SIGNS}\n"
        "Calibration.fit(signs, [0.1, 0.2, 0.3, 0.4, 0.5], list('abcde'), 'any', {})\n"
        "found = read_stated(sys.argv[1])\n"
        "print(pydicom.__version__, numpy.__version__, found.spacing[0], found.laterality)\n"
        "numpy.save(sys.argv[2], found.intensity)\n"
    )
    command = [label_python, "-c", code, str(tmp_path / "joint.dcm"), str(tmp_path / "read.npy")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    dicom, numpy, spacing, side = result.stdout.split()
    assert (dicom.split(".")[0], numpy.split(".")[0], side) == ("2", "1", "L")
    assert float(spacing) == pytest.approx(SPACING, abs=1e-6)
    image = render(sample_parameters(3)).image[0].numpy()
    assert np.abs(np.load(tmp_path / "read.npy") - image).max() < 1e-4


EVALUATED = ("$__import__('pathlib').Path({mark!r}).touch() or 1", "@network", "%{mark}")
SOME_SESSION = "00000000-0000-0000-0000-000000000000"


def concrete(route: Route) -> str:
    """A path of a route."""
    path = re.sub(r"\[0-9a-f\].*", SOME_SESSION, route.path.split("|/docs")[0])
    path = path.replace("(info/)?", "").replace("(/image)?", "/image")
    return re.sub(r"\((\w+)\|[^)]*\)", r"\1", path).rstrip("/") + "/"


def status_of(call: Any, *args: Any, **options: Any) -> int:
    try:
        call(*args, **options)
    except urllib.error.HTTPError as error:
        error.read()
        return error.code
    return 200


def planted_requests(server: Server, planted: str) -> Iterator[tuple[str, int]]:
    """Every option of every route with a planted text, and how it is answered."""
    for route in ROUTES:
        path = concrete(route)
        for name in route.query:
            yield f"{path}?{name}", status_of(server.ask, route.method, path, **{name: planted})
        for name in OPTIONS.get(route.body, ()):
            for value in (planted, [planted, planted], {planted: planted}):
                yield f"{path} {name}", status_of(server.json, route.method, path, {name: value})
        for field, kind in route.form.items():
            for name in OPTIONS[kind]:
                sent = {field: {name: planted}, "image": "joint_0", "label": "joint_0", "tag": "final"}
                yield f"{path} {field} {name}", status_of(send_form, server, route, sent)


def send_form(server: Server, route: Route, sent: dict[str, Any]) -> None:
    """A request with a form: JSON fields, and in the address what the route knows."""
    file = server.folder / "studies" / "joint_0.png"
    fields = {name: sent[name] for name in route.form}
    files = {name: file for name in route.files if name != "label" or "file" not in route.files}
    server.fields(route.method, concrete(route), fields, files, **{k: v for k, v in sent.items() if k in route.query})


@pytest.mark.slow
@pytest.mark.parametrize("text", EVALUATED)
def test_no_text_of_a_request_is_evaluated(server: Server, text: str) -> None:
    mark = server.folder / "evaluated"
    answers = dict(planted_requests(server, text.format(mark=str(mark))))
    assert len(answers) > 90
    assert {name: code for name, code in answers.items() if not 400 <= code < 500} == {}
    assert not mark.exists()
    assert "SUBMITTED" not in server.log
    assert status_of(server.json, "GET", "/train/", check_if_running=True) == 404


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"max_epochs": 0}, "max_epochs"),
        ({"max_epochs": 1.5}, "max_epochs"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"learning_rate": 1e9}, "learning_rate"),
        ({"val_split": True}, "val_split"),
        ({"pretrained": "no"}, "pretrained"),
        ({"gpus": "0;x"}, "gpus"),
        ({"maxepochs": 1}, "maxepochs"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_name(server: Server, settings: dict[str, Any], field: str) -> None:
    assert field in refusal(server.json, "POST", "/train/bone_masks", settings)


@pytest.mark.parametrize(
    ("method", "path", "sent"),
    [
        ("POST", "/train/unknown", {}),
        ("POST", "/train/bone_masks", [1]),
        ("POST", "/train/bone_masks", []),
        ("POST", "/infer/unknown", None),
        ("POST", "/infer/bone_masks", None),
        ("POST", "/batch/infer/unknown", {}),
        ("POST", "/batch/infer/layer_separation", {}),
        ("POST", "/batch/infer/bone_masks", "text"),
        ("POST", "/activelearning/unknown", {}),
        ("POST", "/activelearning/random", [1]),
        ("POST", "/scoring/dice", {}),
        ("POST", "/infer/wsi_v2/bone_masks", None),
        ("POST", "/reload", None),
        ("GET", "/proxy/dicom/x", None),
        ("GET", "/ohif/", None),
        ("GET", "/logs/gpu", None),
        ("PUT", "/model/bone_masks", None),
        ("DELETE", "/datastore/image", None),
        ("GET", "/datastore/image", None),
    ],
)
def test_what_is_not_served_is_answered_by_a_client_error(server: Server, method: str, path: str, sent: Any) -> None:
    assert 400 <= status_of(server.json, method, path, sent) < 500


def test_a_form_with_null_in_place_of_an_object_is_refused(server: Server) -> None:
    assert "got null" in refusal(server.fields, "POST", "/infer/bone_masks", {"params": None}, image="joint_20")


def test_a_page_of_another_site_is_not_answered(server: Server) -> None:
    request = urllib.request.Request(f"{server.url}/info/", headers={"Origin": "https://other.example"})
    assert status_of(urllib.request.urlopen, request) == 403
    request = urllib.request.Request(f"{server.url}/info/", headers={"Origin": server.url})
    assert status_of(urllib.request.urlopen, request) == 200


def test_no_file_outside_the_studies_can_be_read(server: Server) -> None:
    secret = server.folder / "secret.png"
    write_image(secret, phantom("secret_40").image)
    relative = os.path.relpath(secret, server.folder / "studies")
    for task in ("bone_masks", "layer_separation"):
        for path in (str(secret), relative, os.path.relpath(secret, ROOT)):
            missing = path.replace("secret", "absent")
            answers = [refusal(server.said, task, image) for image in (path, missing)]
            assert QUOTED.sub("", answers[0]) == QUOTED.sub("", answers[1])
            for name in ("image", "label", "session", "path"):
                sent = {"params": {name: path}}
                assert name in refusal(server.form, "POST", f"/infer/{task}", image="joint_0", **sent)
    planted = server.folder / "meta.info"
    planted.write_text(json.dumps({"name": "x", "path": str(server.folder), "image": str(secret)}))
    assert 400 <= status_of(server.json, "POST", "/infer/bone_masks", session_id=str(server.folder)) < 500
    assert 400 <= status_of(server.json, "GET", "/datastore/label", label="joint_0", tag="../..") < 500


def test_no_file_outside_the_studies_can_be_written(server: Server) -> None:
    label, image = label_file(server.folder, "joint_4", "png"), server.folder / "studies" / "joint_4.png"
    before = sorted(server.folder.rglob("*"))
    for outside in ("../../x", str(server.folder / "x"), "..", "a/b", ".hidden"):
        assert "tag" in refusal(server.form, "PUT", "/datastore/label", {"label": label}, image="joint_4", tag=outside)
        assert "image" in refusal(server.form, "PUT", "/datastore/image", {"file": image}, image=outside)
    assert "new id" in refusal(server.form, "PUT", "/datastore/image", {"file": image}, image="joint_3")
    archive = server.folder / "tmp" / "x.tar"
    with tarfile.open(archive, "w") as made:
        made.add(image, "../../x.png")
    assert "uncompress" in refusal(server.fields, "PUT", "/session/", {}, {"files": archive}, uncompress="true")
    archive.unlink()
    assert sorted(server.folder.rglob("*")) == before


def leftovers(server: Server) -> list[Path]:
    """Temporary files of the server, without its lock and the settings of its log."""
    files = [path for path in (server.folder / "tmp").rglob("*") if path.is_file()]
    return [path for path in files if path.name != ".lock" and path.suffix != ".json"]


@pytest.mark.slow
def test_uploads_do_not_outlast_their_request(server: Server) -> None:
    image, broken = server.folder / "studies" / "joint_5.png", server.folder / "studies" / "broken_26.png"
    server.form("POST", "/infer/bone_masks", {"file": image}, output="image")
    refusal(server.form, "POST", "/infer/bone_masks", {"file": broken}, output="image")
    refusal(server.form, "POST", "/infer/layer_separation", {"file": image, "label": broken}, output="json")
    refusal(server.form, "PUT", "/datastore/label", {"label": broken}, image="joint_5")
    refusal(server.form, "PUT", "/datastore/image", {"file": broken}, image="broken")
    assert status_of(server.ask, "GET", "/datastore/dataset") in (200, 404)
    wait_until(lambda: not leftovers(server), 5)


def test_a_session_holds_a_radiograph_for_inference(server: Server) -> None:
    image = server.folder / "studies" / "joint_5.png"
    made = json.loads(server.fields("PUT", "/session/", {}, {"files": image}))
    said = json.loads(server.form("POST", "/infer/bone_masks", session_id=made["session_id"], output="json"))
    assert said["masks"] == "predicted"
    server.ask("DELETE", f"/session/{made['session_id']}")
    refusal(server.form, "POST", "/infer/bone_masks", session_id=made["session_id"], output="json")
    wait_until(lambda: not leftovers(server), 5)


@pytest.mark.parametrize("name", [f"{'x' * 240}.png", f"a.{'x' * 250}", f"folder/{'ä' * 110}.png"])
def test_a_file_name_that_is_too_long_is_refused(server: Server, name: str) -> None:
    head = f'--x\r\nContent-Disposition: form-data; name="{{}}"; filename="{name}"\r\n\r\n{{}}\r\n--x--\r\n'
    for method, path, field in (
        ("PUT", "/session/", "files"),
        ("POST", "/infer/bone_masks", "file"),
        ("PUT", "/datastore/image", "file"),
        ("PUT", "/datastore/label", "label"),
    ):
        body = head.format(field, "no picture").encode()
        query = {} if field == "files" else {"image": "joint_3"}
        said = refusal(server.ask, method, path, body, "multipart/form-data; boundary=x", **query)
        assert said.startswith(f'"{field}" has the file name')
    assert "Traceback" not in server.log


def wrong_labels(name: str) -> dict[str, tuple[torch.Tensor, str]]:
    """Labels of an image that are none of it, and what is said of them."""
    masks = (phantom(name).masks > 0.5).float()
    one = masks * torch.tensor([1.0, 0.0])[:, None, None]
    return {
        "empty": (masks * 0, "the mask is empty"),
        "one bone": (one, "the mask is empty"),
        "swapped": (masks.flip(0), "the upper bone is not above the lower bone"),
        "mirrored": (masks.flip(2), "mirror image"),
        "upside down": (masks.flip(1, 0), "does not lie on the bones"),
        "of another place": (masks.roll(40, 2), "does not lie on a bone"),
        "full": (torch.ones_like(masks), "covers"),
    }


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


@pytest.mark.long
def test_labels_saved_before_the_check_are_left_out_of_a_training(label_python: str, tmp_path: Path) -> None:
    """The server is killed in the next training: its child ends, and neither files nor other weights are left."""
    write_studies(tmp_path / "studies")
    write_untrained_weights(tmp_path / "model" / "bone_masks.pt")
    (tmp_path / "studies" / "labels" / "final").mkdir(parents=True)
    swapped, _ = wrong_labels("joint_7")["swapped"]
    Image.fromarray(label_map(swapped)).save(tmp_path / "studies" / "labels" / "final" / "joint_7.png")
    kept = (tmp_path / "model" / "bone_masks.pt").read_bytes()
    with started(label_python, tmp_path) as (server, process):
        for seed in range(3):
            server.save(f"joint_{seed}", label_file(tmp_path, f"joint_{seed}", "png"))
        assert server.train(max_epochs=1, pretrained=False)["status"] == "DONE"
        stats = server.json("GET", "/info/")["train_stats"]["bone_masks"]
        assert (stats["labels"], list(stats["left_out"]), stats["replaced"]) == (3, ["joint_7"], False)
        assert "2 joints are held out, and a comparison needs 12" in stats["verdict"]
        wait_until(lambda: not leftovers(server), 5)
        check_stopped(server)
        check_killed(server, process)
    assert (tmp_path / "model" / "bone_masks.pt").read_bytes() == kept


def check_stopped(server: Server) -> None:
    """A training that is stopped leaves no files, and while there they are the user's only."""
    train_long(server)
    assert all(path.stat().st_mode & 0o077 == 0 for path in leftovers(server))
    server.ask("DELETE", "/train/")
    wait_until(lambda: not leftovers(server), 10)


def check_killed(server: Server, process: subprocess.Popen[bytes]) -> None:
    """A training ends with its server."""
    train_long(server)
    children = children_of(process.pid)
    assert children
    process.kill()
    process.wait(timeout=10)
    wait_until(lambda: not any(map(is_alive, children)), 10)
    wait_until(lambda: not leftovers(server), 5)


def train_long(server: Server) -> None:
    server.json("POST", "/train/bone_masks", {"max_epochs": 1000})
    wait_until(lambda: any(path.name.startswith("events.") for path in leftovers(server)), 120)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def children_of(pid: int) -> list[int]:
    found = [path.parent.name for path in Path("/proc").glob("[0-9]*/stat") if parent_of(path) == pid]
    return list(map(int, found))


def parent_of(path: Path) -> int:
    with suppress(OSError):
        return int(path.read_text().rsplit(")", 1)[1].split()[1])
    return 0


def is_alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


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


def write_placed(folder: Path) -> None:
    """Radiographs whose spacing ITK and the separator take from different places."""
    image = phantom("x_43").image[0].numpy()
    grey = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    grey.save(folder / "dpi.jpg", dpi=(300, 300), quality=95)
    grey.save(folder / "dpi.tif", dpi=(310, 310))
    grey.save(folder / "dpi.png", dpi=(300, 300))
    grey.save(folder / "plain.bmp")
    for orientation, ending in itertools.product((2, 5, 6, 8), ("png", "jpg", "tif")):
        exif = Image.Exif()
        exif[274] = orientation
        grey.crop((0, 0, 200, 256)).save(folder / f"turned_{orientation}.{ending}", exif=exif)
    for name, kept in (
        ("pixel", {}),
        ("detector", {}),
        ("magnified", {"EstimatedRadiographicMagnificationFactor": 1.2}),
    ):
        dataset = DicomStudy("1", name, "L").image(image, (SPACING, SPACING), "a phantom", True)
        for key in ("PixelSpacing", "ImagerPixelSpacing", "EstimatedRadiographicMagnificationFactor"):
            if key in dataset:
                delattr(dataset, key)
        setattr(dataset, "PixelSpacing" if name == "pixel" else "ImagerPixelSpacing", [SPACING, SPACING])
        for key, value in kept.items():
            setattr(dataset, key, value)
        write_dicom(folder / f"{name}.dcm", dataset)


@pytest.mark.long
def test_a_label_lies_where_itk_sees_its_radiograph(label_python: str, tmp_path: Path) -> None:
    write_placed(tmp_path)
    code = (
        "import itk, sys, json, torch, numpy\n"
        "from pathlib import Path\n"
        "from bundle.io import read_stated\n"
        "from scripts.monai_label.label_map import write_label_map\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.*')):\n"
        "    made = Path(sys.argv[1], 'made', f'{path.name}.nii.gz')\n"
        "    made.parent.mkdir(exist_ok=True)\n"
        "    seen = torch.from_numpy(read_stated(path).intensity)\n"
        "    masks = torch.stack([seen > (seen.max() + seen.min()) / 2, seen < 0]).float()\n"
        "    write_label_map(made, masks, path, None)\n"
        "    image, label = (itk.imread(str(each), itk.F) for each in (path, made))\n"
        "    size = image.GetImageDimension()\n"
        "    for part in ('GetSpacing', 'GetOrigin'):\n"
        "        a, b = (list(getattr(each, part)())[:size] for each in (image, label))\n"
        "        assert numpy.allclose(a, b, atol=1e-5), (path.name, part, a, b)\n"
        "    a, b = (itk.array_from_matrix(each.GetDirection())[:size, :size] for each in (image, label))\n"
        "    assert numpy.allclose(a, b), (path.name, a, b)\n"
        "    drawn = numpy.squeeze(itk.array_from_image(label))\n"
        "    stored = numpy.squeeze(itk.array_from_image(image))\n"
        "    assert drawn.shape == stored.shape, (path.name, drawn.shape, stored.shape)\n"
        "    assert (drawn == (stored > (stored.max() + stored.min()) / 2)).mean() > 0.99, path.name\n"
        "    print(path.name, list(image.GetSpacing())[:2])\n"
    )
    command = [label_python, "-c", code, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 7 + 12


@pytest.mark.long
def test_masks_of_many_images_are_drawn_at_once(server: Server) -> None:
    found = server.json("POST", "/batch/infer/bone_masks", {"label_tag": "predicted"}, run_sync=True)
    assert set(found) == set(server.objects())
    assert "cannot be read" in found["broken_26"]["error"]
    wait_until(lambda: not leftovers(server), 5)
