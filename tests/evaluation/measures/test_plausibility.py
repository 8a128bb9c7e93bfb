from __future__ import annotations

import pandas as pd
import pytest
import torch
from bundle.evaluation.measures.plausibility import PlausibilityFlag
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.quality.corruption import CORRUPTIONS
from bundle.quality.plausibility import PlausibilityReference
from bundle.quality.properties import measure
from bundle.statistics.measured import Measured, SeparatedJoints

SIZE = 128
COUNT = 6


def phantoms(first: int, count: int) -> SeparatedJoints:
    made = [render(sample_parameters(seed, size=SIZE, spacing=21 / SIZE)) for seed in range(first, first + count)]
    images = torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in made])
    items = [
        {"name": f"p{row}", "joint": f"p{row // 2}", "finger": "ring", "spacing": 21 / SIZE} for row in range(count)
    ]
    return SeparatedJoints(items, images, separate(images[:, :1], images[:, 1:]))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    joints = phantoms(100, 24)
    values = pd.DataFrame([measure(image, 21 / SIZE) for image in joints.images])
    path = tmp_path_factory.mktemp("plausibility") / "plausibility.json"
    PlausibilityReference.fit(values, 0.01).write(path)
    return str(path)


@pytest.fixture(scope="module")
def test_joints() -> SeparatedJoints:
    return phantoms(0, COUNT)


@pytest.fixture(scope="module")
def measured(reference: str, test_joints: SeparatedJoints) -> Measured:
    return PlausibilityFlag(reference=reference, corrupted=3, shown=2)(test_joints)


@pytest.mark.long
def test_each_corruption_is_measured_on_joints_spread_over_the_set(measured: Measured) -> None:
    rows = measured.per_image
    names = {*CORRUPTIONS, "no_bones", "masks_of_another_joint"}
    assert set(rows["corruption"]) == {"clean", *names}
    assert rows.groupby("corruption")["name"].apply(list).drop("clean").map(tuple).unique().tolist() == [
        ("p0", "p2", "p5")
    ]
    assert rows[rows["corruption"] == "clean"]["name"].tolist() == [f"p{row}" for row in range(COUNT)]
    assert {name.removesuffix("_auc") for name in measured.figures if name.endswith("_auc")} == names


def test_figures_are_those_of_the_rows(measured: Measured) -> None:
    rows, figures = measured.per_image, measured.figures
    clean = rows[rows["corruption"] == "clean"]
    assert figures["false_alarms"] == pytest.approx(clean["flagged"].mean())
    low, high = figures["false_alarms_interval"]
    assert low <= figures["false_alarms"] <= high
    for name in ("inverted", "masks_shifted_1mm"):
        group = rows[rows["corruption"] == name]
        above = [float(a > b) + 0.5 * float(a == b) for a in group["score"] for b in clean["score"]]
        assert figures[f"{name}_auc"] == pytest.approx(sum(above) / len(above))
        assert figures[f"{name}_caught"] == pytest.approx((group["score"] > 1.0).mean())


def test_gross_corruptions_are_caught(measured: Measured) -> None:
    for name in ("inverted", "blank", "swapped", "spacing_x2", "masks_shifted_4mm", "no_bones"):
        assert measured.figures[f"{name}_caught"] == 1.0, name
        assert measured.figures[f"{name}_auc"] > 0.95, name


@pytest.mark.long
def test_the_same_seed_measures_the_same_and_worst_are_the_false_alarms(
    reference: str, test_joints: SeparatedJoints, measured: Measured
) -> None:
    again = PlausibilityFlag(reference=reference, corrupted=3, shown=2)(test_joints)
    assert again.figures == measured.figures
    clean = measured.per_image[measured.per_image["corruption"] == "clean"]
    flagged = clean[clean["score"] > 1.0].sort_values("score", ascending=False)
    assert list(measured.worst) == flagged["name"].tolist()
    assert list(measured.plots) == ["roc"]


@pytest.mark.slow
def test_masks_of_another_joint_are_not_those_of_the_same_joint(reference: str) -> None:
    """Two images of one joint: there is no other joint to take masks from."""
    found = PlausibilityFlag(reference=reference)(phantoms(0, 2))
    assert "masks_of_another_joint_auc" not in found.figures
    assert found.figures["clean"] == 2
