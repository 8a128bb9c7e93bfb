from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.quality.corruption import corrupt
from bundle.quality.plausibility import PlausibilityReference, Range
from bundle.quality.properties import PROPERTIES, measure
from scipy import ndimage
from torch import Tensor

SPACING = 21 / 256
COUNT = 24


def joint(seed: int, size: int = 256) -> Tensor:
    phantom = render(sample_parameters(seed, size=size, spacing=21 / size))
    return torch.cat([phantom.image, phantom.masks])


@pytest.fixture(scope="module")
def joints() -> list[Tensor]:
    return [joint(seed) for seed in range(COUNT)]


@pytest.fixture(scope="module")
def values(joints: list[Tensor]) -> pd.DataFrame:
    return pd.DataFrame([measure(image, SPACING) for image in joints])


@pytest.fixture(scope="module")
def reference(values: pd.DataFrame) -> PlausibilityReference:
    return PlausibilityReference.fit(values, 0.05)


def drawn() -> Tensor:
    """Two rectangles of bone whose sides and places are known: at 0.1 mm a pixel, 20 mm high and wide."""
    image = torch.full((3, 200, 200), 0.0)
    image[0] = 0.3
    image[1, 110:, 40:150] = 1.0
    image[2, :100, 60:160] = 1.0
    image[0][(image[1] + image[2]) > 0] = 0.7
    return image


def test_lengths_are_those_drawn_in_mm() -> None:
    found = measure(drawn(), 0.1)
    pixel = 20.0 / 128
    expected = {"lower_width": 11.0, "lower_height": 9.0, "upper_width": 10.0, "upper_height": 10.0}
    expected |= {"order": 10.5, "sideways": -1.5, "gap": 1.0, "lower_end": 0.0, "upper_end": 0.0}
    for name, length in expected.items():
        assert found[name] == pytest.approx(length, abs=1.01 * pixel), name
    assert found["overlap"] == 0.0
    twice = measure(drawn(), 0.2)
    assert all(twice[name] == pytest.approx(2.0 * found[name]) for name in expected)


def test_the_end_of_a_bone_is_as_round_as_it_is_drawn() -> None:
    """A parabola that falls by 8 mm over the half width of 5 mm; ends are compared over given parts of the width."""
    image = drawn()
    image[1:] = 0.0
    x = (torch.arange(200) - 99.5) / 50.0
    image[1] = (torch.arange(200)[:, None] >= 100 + 80 * x**2).float()
    image[1][:, x.abs() > 1.0] = 0.0
    part = torch.linspace(-1.0, 1.0, 10001)
    corners = part[((part.abs() > 0.5) & (part.abs() < 0.75))].square().mean() * 8.0
    middle = part[part.abs() < 0.25].square().mean() * 8.0
    assert measure(image, 0.1)["lower_end"] == pytest.approx(float(corners - middle), abs=0.25)


def test_edges_follow_bones_and_turn_against_them_with_the_polarity() -> None:
    right = measure(drawn(), 0.1)
    wrong = measure(corrupt("inverted", drawn(), 0.1, 0)[0], 0.1)
    for bone in ("lower", "upper"):
        for side in ("left", "right"):
            name = f"{bone}_{side}_edge"
            assert right[name] > 0.7, name
            assert wrong[name] == pytest.approx(-right[name], abs=0.05), name


def test_only_the_side_that_left_its_bone_is_noticed() -> None:
    image = drawn()
    image[2, :, 60:90] = 0.0
    found, before = measure(image, 0.1), measure(drawn(), 0.1)
    assert found["upper_left_edge"] < 0.3 < before["upper_left_edge"]
    for name in ("upper_right_edge", "lower_right_edge"):
        assert found[name] == pytest.approx(before[name], abs=0.05)


def test_noise_and_exposure_are_measured() -> None:
    flat = torch.zeros(3, 256, 256)
    flat[0], flat[1, 128:], flat[2, :128] = 0.5, 1.0, 1.0
    flat[0] += torch.from_numpy(np.random.RandomState(0).normal(0.0, 0.02, size=(256, 256))).float()
    found = measure(flat, SPACING)
    assert 10 ** found["noise"] == pytest.approx(0.01, rel=0.05)  # four pixels are averaged
    assert found["brightness"] == pytest.approx(0.5, abs=0.001)
    flat[0, :64] = 1.0
    assert measure(flat, SPACING)["saturation"] == pytest.approx(0.25, abs=0.01)


def test_an_image_at_the_limits_is_plausible_after_the_ranges_were_written(tmp_path: Path) -> None:
    values = pd.DataFrame({name: [0.0, 50.00004, 123.00004] for name in PROPERTIES})
    PlausibilityReference.fit(values, 0.01).write(tmp_path / "ranges.json")
    read = PlausibilityReference.read(tmp_path / "ranges.json")
    assert not any(read.judge(row).flagged for row in values.to_dict("records"))


@pytest.mark.long
def test_the_same_joint_measures_the_same_at_twice_the_resolution(joints: list[Tensor]) -> None:
    image = joints[0]
    large = image.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
    small, fine = measure(image, SPACING), measure(large, SPACING / 2)
    assert all(fine[name] == pytest.approx(small[name], abs=1e-4) for name in PROPERTIES)


@pytest.mark.long
def test_a_joint_and_its_mirror_image_are_alike_but_for_their_sides(joints: list[Tensor]) -> None:
    for image in joints[:3]:
        found, mirrored = measure(image, SPACING), measure(image.flip(-1), SPACING)
        for name in PROPERTIES:
            other = name.replace("_left", "?").replace("_right", "_left").replace("?", "_right")
            sign = -1.0 if name == "sideways" else 1.0
            assert mirrored[other] == pytest.approx(sign * found[name], abs=0.02), name


@pytest.mark.slow
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_masks_of_nothing_or_everything_are_measured_without_a_crash(
    fill: float, reference: PlausibilityReference
) -> None:
    image = torch.full((3, 64, 64), 0.5)
    image[1:] = fill
    found = measure(image, SPACING * 4)
    assert set(found) == set(PROPERTIES)
    assert reference.judge(found).flagged


def test_values_that_are_not_finite_are_judged(joints: list[Tensor], reference: PlausibilityReference) -> None:
    image = joints[0].clone()
    image[0, :100] = math.nan
    assert reference.judge(measure(image, SPACING)).flagged


@pytest.mark.slow
def test_the_stated_part_of_the_images_is_flagged(values: pd.DataFrame) -> None:
    many = pd.DataFrame(np.random.RandomState(0).normal(size=(1000, len(PROPERTIES))) * 3.0, columns=list(PROPERTIES))
    for part in (0.01, 0.1):
        reference = PlausibilityReference.fit(many, part)
        flagged = np.mean([reference.judge(dict(row)).flagged for _, row in many.iterrows()])
        assert flagged == pytest.approx(part, abs=0.0021)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("corruption", "reason"),
    [
        ("inverted", "the radiograph is inverted"),
        ("blank", "the image shows too little detail"),
        ("noise_0.1", "the image is too noisy"),
        ("blur_0.6mm", "the image is blurred"),
        ("overexposed", "too many pixels are saturated"),
        ("spacing_x0.5", "bone is too narrow"),
        ("spacing_x2", "bone is too wide"),
        ("swapped", "the upper bone is not above the lower bone"),
        ("masks_shifted_4mm", "mask does not lie on a bone"),
        ("masks_merged", "the masks share too much"),
    ],
)
def test_what_is_wrong_is_flagged_and_said(
    corruption: str, reason: str, joints: list[Tensor], reference: PlausibilityReference
) -> None:
    for index in (0, 7, 13):
        verdict = reference.judge(measure(*corrupt(corruption, joints[index], SPACING, index)))
        assert verdict.flagged
        assert verdict.score > 1.0
        assert any(reason in said for said in verdict.reasons), verdict.reasons


def test_a_reason_names_the_value_and_what_is_usual(reference: PlausibilityReference, values: pd.DataFrame) -> None:
    ranges = {**reference.ranges, "lower_width": Range(14.0, 10.0, 19.0), "saturation": Range(0.0, -0.01, 0.01)}
    said = replace(reference, ranges=ranges).judge({**values.median(), "lower_width": 7.0, "saturation": 0.5})
    assert said.score == pytest.approx(50.0)
    assert list(said.reasons) == [
        "too many pixels are saturated (saturation 0.50, usual at most 0.01)",
        "the lower bone is too narrow, or the pixel spacing is wrong (lower width 7.00 mm, usual 10.00 to 19.00)",
    ]


def test_ranges_widened_by_another_kind_hold_both(values: pd.DataFrame, reference: PlausibilityReference) -> None:
    brighter = values.assign(brightness=values["brightness"] + 0.3)
    other = PlausibilityReference.fit(brighter, 0.05)
    both = reference.widened(other)
    assert reference.judge(dict(brighter.median())).flagged
    assert not both.judge(dict(brighter.median())).flagged
    assert not both.judge(dict(values.median())).flagged
    assert both.ranges["brightness"].median == reference.ranges["brightness"].median


def test_an_appearance_between_its_range_and_its_limit_is_a_note(
    values: pd.DataFrame, reference: PlausibilityReference
) -> None:
    other = values.assign(noise=values["noise"] + 1.0)
    wide = reference.with_appearance(other, 0.05)
    assert wide.appearance_limits["noise"] > 1.0
    noisy = dict(other.median())
    assert reference.judge(noisy).flagged and not reference.judge(noisy).notes
    said = wide.judge(noisy)
    assert not said.flagged and said.score <= 1.0
    assert [note.split(" (")[0] for note in said.notes] == ["the image is too noisy"]
    beyond = wide.judge({**noisy, "noise": noisy["noise"] + 2.0})
    assert beyond.flagged and not beyond.notes
    narrow = wide.judge({**noisy, "lower_width": 1.0})
    assert [reason.split(",")[0] for reason in narrow.reasons] == ["the lower bone is too narrow"]


def test_a_reference_is_read_as_written_and_a_broken_one_is_named(
    tmp_path: Path, reference: PlausibilityReference
) -> None:
    replace(reference, made={"seed": 4}, appearance_limits={"noise": 2.5}).write(tmp_path / "plausibility.json")
    found = PlausibilityReference.read(tmp_path / "plausibility.json")
    assert found.made == {"seed": 4} and found.appearance_limits == {"noise": 2.5}
    for name, held in reference.ranges.items():
        assert found.ranges[name] == pytest.approx(held, abs=1e-4)
    content = json.loads((tmp_path / "plausibility.json").read_text())
    order = content["ranges"]["order"]
    ranges = [{**order, "low": value} for value in (math.nan, -math.inf, order["median"], "wide", None)]
    broken = [{"ranges": {**content["ranges"], "order": held}} for held in (*ranges, [0, 1, 2])]
    limits = [{"appearance_limits": {"noise": limit}} for limit in (math.nan, 0.0, -1.0, "a")]
    for fault in (*broken, *limits, {"appearance_limits": 5}, {"made": 5}):
        (tmp_path / "broken.json").write_text(json.dumps({**content, **fault}))
        with pytest.raises(InputError, match=r"broken\.json: not the ranges of plausible images"):
            PlausibilityReference.read(tmp_path / "broken.json")
    del content["ranges"]["order"]
    (tmp_path / "broken.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"broken\.json: not the ranges of plausible images \(KeyError: 'order'\)"):
        PlausibilityReference.read(tmp_path / "broken.json")


@pytest.mark.parametrize(("rows", "part"), [(0, 0.1), (3, 0.0), (3, 1.0)])
def test_a_fit_needs_images_and_a_part(values: pd.DataFrame, rows: int, part: float) -> None:
    with pytest.raises(ValueError, match="false_alarms must be in"):
        PlausibilityReference.fit(values.iloc[:rows], part)


def test_square_heads_below_wider_bones_are_those_of_another_joint(reference: PlausibilityReference) -> None:
    """A phalanx whose head is as wide as its shaft, below a bone that widens away from the joint."""
    image = drawn()
    assert measure(joint(0), SPACING)["other_joint"] == 0.0
    image[1] = 0.0
    image[1, 110:, 60:130] = 1.0
    image[2] = 0.0
    image[2, 60:100, 55:135] = 1.0
    image[2, :60, 45:145] = 1.0
    found = measure(image, 0.1)
    assert found["other_joint"] == pytest.approx(1.0 + 10.0 / 8.0 - 7.0 / 10.0 - 0.75, abs=0.05)
    assert any("another joint than an MCP joint" in reason for reason in reference.judge(found).reasons)


def test_a_bone_beside_the_other_one_is_subluxed(reference: PlausibilityReference) -> None:
    """An upper bone moved by 4 mm on a lower one as wide."""
    image = drawn()
    image[:, :105] = image[:, :105].roll(-10, -1)
    assert measure(image, 0.1)["subluxation"] == 0.0
    image[:, :105] = image[:, :105].roll(40, -1)
    found = measure(image, 0.1)
    assert found["subluxation"] == pytest.approx(4.0 - 3.0, abs=0.25)
    assert any("subluxed" in reason for reason in reference.judge(found).reasons)


def test_a_stray_blob_or_a_hole_is_measured_and_flagged(joints: list[Tensor], reference: PlausibilityReference) -> None:
    """A square of 30 x 30 pixels beside the bone."""
    image = joints[0].clone()
    assert measure(image, SPACING)["lower_stray"] == 0.0
    columns = 0 if not image[1, 224:254, :34].any() else 226
    image[1, 224:254, columns : columns + 30] = 1.0
    found = measure(image, SPACING)
    assert found["lower_stray"] == pytest.approx(900 / float(joints[0][1].sum()), rel=0.1)
    assert found["upper_stray"] == 0.0
    assert any("the lower mask is not one whole bone" in reason for reason in reference.judge(found).reasons)
    hollow = drawn()
    hollow[2, 40:60, 100:120] = 0.0
    assert measure(hollow, 0.1)["upper_stray"] == pytest.approx(400 / 9600, rel=0.2)


@pytest.mark.slow
@pytest.mark.parametrize(("pixels", "reason"), [(8, "smaller than its bone"), (-8, "larger than its bone")])
def test_masks_away_from_the_edge_are_flagged(
    joints: list[Tensor], reference: PlausibilityReference, pixels: int, reason: str
) -> None:
    """Masks eroded by 8 pixels, 0.66 mm, and grown by as much."""
    found = 0
    for joint_ in joints[:8]:
        image = joint_.clone()
        for bone in (1, 2):
            mask = np.pad(joint_[bone].numpy() > 0.5, 20, mode="edge")
            depth = ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask)
            image[bone] = torch.from_numpy((depth > pixels)[20:-20, 20:-20].astype(np.float32))
        found += any(reason in text for text in reference.judge(measure(image, SPACING)).reasons)
    assert found == 8
