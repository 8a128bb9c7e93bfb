"""Reports of an evaluation: figures, tables, plots and the worst joints."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.errors import InputError
from bundle.evaluation.report import EvaluationReport
from bundle.io.phantom_lists import phantom_items
from bundle.physics.harmonic import separate
from bundle.separation.transforms.loading import LoadJointd
from bundle.statistics.measured import Measured, SeparatedJoints
from matplotlib.figure import Figure
from PIL import Image


@pytest.fixture(scope="module")
def separated() -> SeparatedJoints:
    items = phantom_items(3, 0, 64)
    images = torch.stack([LoadJointd(64)(item)["image"] for item in items])
    return SeparatedJoints(items, images, separate(images[:, :1], images[:, 1:]))


def measured(joints: SeparatedJoints, **more: Any) -> Measured:
    """A measure's result: a value an image, an interval, a plot, and the last image as the worst."""
    rows = pd.DataFrame([{key: item[key] for key in ("name", "joint", "finger")} for item in joints.items])
    figures = {"mean": 1.0, "interval": (0.5, 1.5), "undefined": math.nan, "count": np.int64(3), "lost": math.inf}
    return Measured(
        {**figures, **more}, rows.assign(value=[0.0, 1.0, 2.0]), {"curve": Figure()}, rows["name"].tolist()[::-1]
    )


def opened(folder: Path, **settings: Any) -> EvaluationReport:
    report = EvaluationReport(str(folder), {"seed": 0, **settings}, worst=2)
    report.open("half split")
    return report


def test_an_evaluation_is_reported_per_measure_per_image_and_per_finger(
    tmp_path: Path, separated: SeparatedJoints
) -> None:
    opened(tmp_path).add("E9", measured(separated), {"epochs": 3}, {"test": separated}, 1.23)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["settings"] == {"results": "EvaluationReport", "seed": 0, "separator": "half split"}
    found = report["measures"]["E9"]
    figures = {"mean": 1.0, "interval": [0.5, 1.5], "undefined": None, "count": 3, "lost": "inf"}
    assert found["figures"] == figures
    assert found["settings"] == {"epochs": 3}
    assert found["data"] == {"test": {"images": 3, "joints": 3}}
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert {row["finger"] for row in found["fingers"]} == {"overall", *(item["finger"] for item in separated.items)}
    images = pd.read_csv(tmp_path / "E9" / "per_image.csv")
    assert images["value"].tolist() == [0.0, 1.0, 2.0]
    lines = (tmp_path / "metrics.md").read_text().splitlines()
    assert "| interval | 0.5 to 1.5 |" in lines
    assert "| undefined | not defined |" in lines
    assert lines[-1] == "| overall | 3 | 1 ± 1 |"


def test_kinds_of_an_image_have_means_of_their_own(tmp_path: Path, separated: SeparatedJoints) -> None:
    result = measured(separated)
    rows = pd.concat([result.per_image.assign(depth="deep"), result.per_image.assign(depth="real", value=5.0)])
    opened(tmp_path).add("E9", Measured({}, rows), {}, {"test": separated}, 1.0)
    table = pd.DataFrame(json.loads((tmp_path / "metrics.json").read_text())["measures"]["E9"]["fingers"])
    overall = table[table["finger"] == "overall"].set_index("metric")["mean"]
    assert overall.to_dict() == {"deep value": 1.0, "real value": 5.0}


def test_reasons_for_refusals_are_no_kinds(tmp_path: Path, separated: SeparatedJoints) -> None:
    result = measured(separated)
    rows = result.per_image.assign(value_refused=["", "unclear", "fades"])
    opened(tmp_path).add("E9", Measured({}, rows), {}, {"test": separated}, 1.0)
    table = json.loads((tmp_path / "metrics.json").read_text())["measures"]["E9"]["fingers"]
    assert {row["metric"] for row in table} == {"value"}


def test_plots_and_the_worst_joints_in_their_order_are_shown(tmp_path: Path, separated: SeparatedJoints) -> None:
    opened(tmp_path).add("E9", measured(separated), {}, {"test": separated}, 1.0)
    with Image.open(tmp_path / "E9" / "curve.png") as picture:
        assert picture.format == "PNG"
    names = [item["name"] for item in separated.items]
    shown = sorted(path.name for path in (tmp_path / "worst" / "E9").iterdir())
    assert shown == [f"01_{names[2]}.png", f"02_{names[1]}.png"]


def test_joints_are_shown_in_a_folder_of_their_own(tmp_path: Path, separated: SeparatedJoints) -> None:
    opened(tmp_path).show("random", separated)
    assert {path.stem for path in (tmp_path / "random").iterdir()} == {item["name"] for item in separated.items}


def test_what_was_measured_with_the_same_settings_is_known_again(tmp_path: Path, separated: SeparatedJoints) -> None:
    report = opened(tmp_path)
    assert not report.holds("E9", {"motions": (1.0, 2.0)})
    report.add("E9", measured(separated), {"motions": (1.0, 2.0)}, {"test": separated}, 1.0)
    again = opened(tmp_path)
    assert again.holds("E9", {"motions": (1.0, 2.0)})
    assert not again.holds("E9", {"motions": (1.0, 3.0)})
    assert not again.holds("E8", {"motions": (1.0, 2.0)})
    (tmp_path / "E9" / "curve.png").unlink()
    assert not again.holds("E9", {"motions": (1.0, 2.0)})
    again.add("E8", measured(separated), {}, {"test": separated}, 1.0)
    assert list(json.loads((tmp_path / "metrics.json").read_text())["measures"]) == ["E8", "E9"]


def test_the_folder_of_another_evaluation_is_refused(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(InputError, match=r"the results of another run \(seed was 0, is 1\)"):
        opened(tmp_path, seed=1)
    with pytest.raises(InputError, match="the figures of the evaluation are damaged"):
        opened(tmp_path)
