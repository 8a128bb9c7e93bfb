from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.inference.quality import JointQuality
from bundle.inference.results import LayerWriter, run_remaining
from bundle.inference.separating import separate_batch
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.phantom_lists import phantom_items
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.masks import overlap, union
from bundle.quality.corruption import corrupt
from bundle.quality.plausibility import PlausibilityReference
from bundle.quality.properties import measure
from bundle.quality.uncertainty import SIGNS, Calibration, FlipInferer, combine
from bundle.registration.narrowing import make_registration, read_pair
from bundle.registration.report import PairQuality
from bundle.separation.transforms.loading import LoadJointd
from bundle.workflow.weights import GeneratorWeights
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn

SPACING = MCP.spacing_mm

SIZE = 64
SOURCE = GeneratorWeights("absent.pt", nn.Identity()).source
COEFFICIENTS = 1.0, 0.5, 0.25


class OneSided(nn.Module):
    """The weight-free separation with bone taken from the left half of the lower bone."""

    def forward(self, image: Tensor) -> Tensor:
        layers = separate(image[:, :1], image[:, 1:])
        layers[:, 1, :, : SIZE // 2] *= 0.5
        return layers


@pytest.fixture(scope="module")
def joints() -> list[dict[Any, Any]]:
    return [LoadJointd(SIZE)(item) for item in phantom_items(12, 0, SIZE)]


@pytest.fixture
def judged_by(tmp_path: Path, joints: list[dict[Any, Any]]) -> tuple[str, str]:
    """The files of ranges, fitted to these joints, and of a calibration for no weights."""
    values = pd.DataFrame([measure(joint["image"], float(joint["spacing"])) for joint in joints])
    PlausibilityReference.fit(values, 0.01).write(tmp_path / "plausibility.json")
    calibration = Calibration(dict(zip(SIGNS, COEFFICIENTS, strict=True)), np.log(2.0), 1.5, SOURCE, {})
    calibration.write(tmp_path / "uncertainty.json")
    return str(tmp_path / "plausibility.json"), str(tmp_path / "uncertainty.json")


def quality(judged_by: tuple[str, str], **options: Any) -> JointQuality:
    weights = GeneratorWeights("absent.pt", nn.Identity())
    return JointQuality(*judged_by, inferer=FlipInferer(**options), weights=weights)


def write(folder: Path, judge: JointQuality, joints: list[Any], flips: bool = True) -> list[dict[str, Any]]:
    """Separate the joints in batches of two, as the configuration does; the lines of `quality.jsonl`."""
    writer = LayerWriter(str(folder), {}, GeneratorWeights("absent.pt", nn.Identity()), judge)
    loader = DataLoader(Dataset(joints), batch_size=2, num_workers=0)
    evaluator = SupervisedEvaluator(
        "cpu", loader, OneSided(), iteration_update=separate_batch, inferer=FlipInferer(flips)
    )
    run_remaining(evaluator, writer)
    return [json.loads(line) for line in (folder / "quality.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_each_joint_has_a_line_with_its_own_disagreement_and_signs(
    tmp_path: Path, judged_by: tuple[str, str], joints: list[Any]
) -> None:
    lines = write(tmp_path / "out", quality(judged_by), joints[:5])
    assert [line["name"] for line in lines] == [joint["name"] for joint in joints[:5]]
    overlapping = 0
    for line, joint in zip(lines, joints, strict=False):
        image = joint["image"][None]
        answers = torch.stack([OneSided()(image), OneSided()(image.flip(-1)).flip(-1)])
        squares = answers.std(dim=0, correction=0)[:, 1:].square().sum(dim=1, keepdim=True) / 2.0
        for name, region in (("overlap_disagreement", overlap), ("bone_disagreement", union)):
            weights = region(image[:, 1:])
            expected = float((squares * weights).sum() / weights.sum()) ** 0.5 if weights.sum() >= 1.0 else None
            assert line[name] == (None if expected is None else pytest.approx(expected, abs=2e-5))
        if line["overlap_disagreement"] is not None:
            overlapping += 1
            weights = overlap(image[:, 1:])
            bones = combine(answers[:, 0])[0][None, 1:]
            brightness = float((bones * weights).sum() / weights.sum() / 2.0)
            assert line["overlap_bone_intensity"] == pytest.approx(brightness, abs=2e-5)
            area = float(weights.sum()) * (21 / SIZE) ** 2
            assert line["overlap_area_mm2"] == pytest.approx(area, abs=2e-5)
            law = 2.0 * line["overlap_disagreement"] * brightness**0.5 * area**0.25
            assert line["expected_overlap_rmse"] == pytest.approx(law, abs=1e-4)
            assert line["overlap_rmse_upper"] == pytest.approx(1.5 * law, abs=1e-4)
        else:
            assert line["expected_overlap_rmse"] is line["overlap_rmse_upper"] is None
        assert line["plausibility_score"] >= 0.0
        assert line["flagged"] == (line["plausibility_score"] > 1.0) == bool(line["reasons"])
    assert 0 < overlapping < 5


def test_a_flagged_joint_is_warned_of_and_written_all_the_same(
    tmp_path: Path, judged_by: tuple[str, str], joints: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {**joints[0], "image": corrupt("inverted", joints[0]["image"], float(joints[0]["spacing"]), 0)[0]}
    nothing = {**joints[1], "image": torch.zeros_like(joints[1]["image"])}
    with caplog.at_level(logging.WARNING):
        lines = write(tmp_path / "out", quality(judged_by), [wrong, nothing, joints[2]])
    assert [line["flagged"] for line in lines] == [True, True, False]
    assert f"{wrong['name']} is implausible: " in caplog.text
    assert lines[0]["reasons"][0] in caplog.text
    assert joints[2]["name"] not in caplog.text
    for joint in (wrong, nothing, joints[2]):
        assert (tmp_path / "out" / f"{joint['name']}_layers.nii.gz").is_file()
    shown, plain = (Image.open(tmp_path / "out" / f"{joint['name']}_montage.png") for joint in (wrong, joints[2]))
    strips = [np.asarray(picture)[20:40].max(axis=(0, 2)) > 128 for picture in (shown, plain)]
    assert strips[0].sum() > strips[1].sum()


def test_pixels_that_were_made_square_are_in_the_line(
    tmp_path: Path, judged_by: tuple[str, str], joints: list[Any]
) -> None:
    frames = [JointFrame(JointPlace("joint", (30.0, 30.0)), (height, 0.3), SIZE).to_json() for height in (0.225, 0.3)]
    framed = [{**joint, "frame": frame} for joint, frame in zip(joints, frames, strict=False)]
    resampled, plain = write(tmp_path / "out", quality(judged_by), framed)
    assert "square" in resampled["resampled"] and "0.225 mm high" in resampled["resampled"]
    assert "resampled" not in plain


def test_errors_are_not_expected_for_weights_that_were_not_calibrated(
    tmp_path: Path, judged_by: tuple[str, str], joints: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    Calibration({SIGNS[0]: 1.0}, 0.0, 1.0, "model.pt (sha256 0123)", {}).write(judged_by[1])
    with caplog.at_level(logging.WARNING):
        judge = quality(judged_by)
    assert f"calibrated for model.pt (sha256 0123), not for {SOURCE}" in caplog.text
    lines = write(tmp_path / "out", judge, joints[:5])
    assert {line["expected_overlap_rmse"] for line in lines} == {None}
    assert any(line["overlap_disagreement"] for line in lines)


def test_without_flips_nothing_is_said_of_uncertainty(
    tmp_path: Path, judged_by: tuple[str, str], joints: list[Any]
) -> None:
    (line,) = write(tmp_path / "out", quality(judged_by, flips=False), joints[:1], flips=False)
    assert {line[name] for name in (*SIGNS, "bone_disagreement", "expected_overlap_rmse")} == {None}
    assert line["plausibility_score"] is not None


def test_a_file_that_is_not_there_is_named(tmp_path: Path, judged_by: tuple[str, str]) -> None:
    for files in ((str(tmp_path / "no.json"), judged_by[1]), (judged_by[0], str(tmp_path / "no.json"))):
        with pytest.raises(InputError, match=r"no\.json"):
            quality(files)


ROOT = Path(__file__).resolve().parents[2]
FILES = [str(ROOT / "models" / f"{name}.json") for name in ("plausibility", "detectable_change")]


def texture() -> Tensor:
    """Smooth noise with the grey levels of a radiograph: a picture of anything but a joint."""
    noise = ndimage.gaussian_filter(np.random.RandomState(0).normal(size=(256, 256)), 6.0)
    return torch.from_numpy(0.5 + 0.15 * noise / noise.std()).clamp(0.0, 1.0)[None].float()


def pair_of_phantoms() -> dict[str, Any]:
    """Two radiographs of a phantom, 0.3 mm narrower in the second."""
    fixed, moving = (render(sample_parameters(5, outline_gap_mm=width)) for width in (1.4, 1.1))
    images = {
        name: torch.cat([shown.image, (shown.masks > 0.5).float()])
        for name, shown in (("image", fixed), ("moving", moving))
    }
    return {**images, "spacing": torch.tensor([SPACING]), "masks_jsn": torch.tensor([0.3]), "finger": "ring"}


def judged(pair: dict[str, Any]) -> dict[str, Any]:
    reading = read_pair(make_registration("gauss_newton"), pair["image"], pair["moving"], SPACING)
    return PairQuality(*FILES)(pair, reading)


@pytest.mark.slow
def test_a_pair_of_phantoms_and_its_registration_are_plausible() -> None:
    said = judged(pair_of_phantoms())
    assert said["plausible"] and not any(part["reasons"] for part in said["plausibility"].values())
    assert list(said["plausibility"]) == ["fixed", "moving", "registration"]
    assert said["exceeds"] and 0.1 < said["smallest_detectable_change_mm"] < 0.3
    json.dumps(said, allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "side"), [("inverted", "image"), ("texture", "moving")])
def test_an_implausible_radiograph_of_a_pair_is_told(kind: str, side: str) -> None:
    pair = pair_of_phantoms()
    shown = 1.0 - pair[side][:1] if kind == "inverted" else texture()
    pair[side] = torch.cat([shown, pair[side][1:]])
    said, (part, other) = judged(pair), ("fixed", "moving") if side == "image" else ("moving", "fixed")
    assert not said["plausible"]
    assert any("follows no edge" in reason for reason in said["plausibility"][part]["reasons"])
    assert said["plausibility"]["registration"]["reasons"][0].endswith("bone was not found")
    assert said["exceeds"] is None
    assert not said["plausibility"][other]["flagged"]
    json.dumps(said, allow_nan=False)
