"""What one server refuses: code, files outside the studies, labels that do not lie on their bones."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.io.writing import write_image
from bundle.phantoms.sampling import sample_parameters
from PIL import Image
from scripts.monai_label.options import OPTIONS, ROUTES, Route
from tests.scripts.monai_label.label_server import ROOT, Server, leftovers, refusal, started, status_of, wait_until
from tests.scripts.monai_label.studies import (
    CENTER,
    CLICKS,
    SPACING,
    hand_label,
    label_file,
    label_map,
    phantom,
    wrong_labels,
)

QUOTED = re.compile(r"(?<= is ).*?(?=\. Pass )")
"""What a refusal quotes of the request, which may be cut short."""


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


EVALUATED = ("$__import__('pathlib').Path({mark!r}).touch() or 1", "@network", "%{mark}")
SOME_SESSION = "00000000-0000-0000-0000-000000000000"


def concrete(route: Route) -> str:
    """A path of a route."""
    path = re.sub(r"\[0-9a-f\].*", SOME_SESSION, route.path.split("|/docs")[0])
    path = path.replace("(info/)?", "").replace("(/image)?", "/image")
    return re.sub(r"\((\w+)\|[^)]*\)", r"\1", path).rstrip("/") + "/"


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
