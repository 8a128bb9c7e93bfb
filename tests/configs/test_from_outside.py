"""A format of results, a head, a measure and a method of registration from a module of the user, by ``_target_``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.io.reading import read_layers
from bundle.physics.radiograph import attenuation
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

OUTSIDE = """
import pandas as pd
import torch
from bundle.datasets import ShardFormat
from bundle.physics import partition
from bundle.registration import BoneShift
from bundle.separation.heads import Head
from bundle.statistics import Column, Measured


class MeanWriter:
    def check(self, joint):
        if joint["name"].endswith("2"):
            from bundle.errors import InputError

            raise InputError(f"{joint['name']}: no means of this one")

    def write(self, folder, result):
        path = folder / f"{result.name}_means.txt"
        path.write_text(" ".join(f"{float(layer.mean()):.6f}" for layer in result.layers))
        return [path]


class Sizes(ShardFormat):
    def radiograph(self, pixels, what=""):
        return {f"{what}raw": pixels.tobytes()}

    def path(self, folder, name):
        return folder / f"{name}.txt"

    def files(self, folder, name):
        return [self.path(folder, name)]

    def write(self, folder, name, images):
        lines = [f"{key}.{ending} {len(content)}" for key, files in images for ending, content in files.items()]
        self.path(folder, name).write_text("\\n".join(lines))


class ThirdsHead(Head):
    zero_start = True

    def forward(self, logits, features):
        return partition(features[:, :1], torch.full_like(features[:, :3], 1.0 / 3.0))


class Darkness:
    columns = {"darkness": (Column("mean", "mean darkness", "<= 1"),)}

    def __call__(self, test):
        rows = pd.DataFrame([{key: item[key] for key in ("name", "joint", "finger")} for item in test.items])
        rows["darkness"] = 1.0 - test.images[:, 0].mean(dim=(1, 2)).numpy()
        return Measured({"mean": float(rows["darkness"].mean())}, rows, worst=rows["name"].tolist())


class UpperBoneMoves:
    name = "upper_bone_moves"
    antisymmetric = False

    def __init__(self, down_mm):
        self.down_mm = down_mm

    def __call__(self, before, masks, after, spacing, *, after_masks=None):
        return BoneShift(0.0, 0.0, 0.0, 1.0, True), BoneShift(0.0, self.down_mm, 0.0, 1.0, True)
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is in no repository, with a module that Python finds."""
    name = f"outside_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(OUTSIDE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / f"{name}.py"


def overlay(outside: Path, text: str) -> str:
    """An overlay in which OUTSIDE stands for the module."""
    path = outside.with_suffix(".yaml")
    path.write_text(text.replace("OUTSIDE", outside.stem))
    return str(path)


@pytest.mark.slow
def test_a_writer_and_a_head_are_a_line_of_a_configuration_each(bundle: Any, outside: Path) -> None:
    more = overlay(outside, "+writers:\n- {_target_: OUTSIDE.MeanWriter}\nhead: {_target_: OUTSIDE.ThirdsHead}\n")
    unchanged = {"weights": "none", "noise_texture": "false", "clear_outlines": False}
    out = outside.parent / "out"
    settings = {"image_size": 64, "phantoms": 3, "output_dir": str(out), **unchanged}
    bundle.run("evaluating", "inference.json", more, **settings)
    lines = [json.loads(line) for line in (out / "quality.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["phantom_0", "phantom_1"]
    for line in lines:
        layers = read_layers(out, line["name"], (64, 64))
        said = [float(value) for value in (out / f"{line['name']}_means.txt").read_text().split()]
        assert said == pytest.approx([float(layer.mean()) for layer in layers], abs=1e-5)
        assert torch.allclose(attenuation(layers[0]), attenuation(layers[1]), atol=1e-5)
        assert f"{line['name']}_means.txt" in line["files"] and f"{line['name']}_montage.png" in line["files"]
    (rejected,) = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert rejected == {"name": "phantom_2", "reason": "phantom_2: no means of this one"}


@pytest.mark.slow
def test_results_of_other_writers_are_those_of_another_run(bundle: Any, outside: Path) -> None:
    more = overlay(outside, "writers:\n- {_target_: OUTSIDE.MeanWriter}\n")
    settings = {"image_size": 64, "phantoms": 1, "weights": "none", "output_dir": str(outside.parent / "out")}
    bundle.run("evaluating", "inference.json", more, **settings)
    assert sorted(path.name for path in (outside.parent / "out").iterdir()) == [
        "joints.csv",
        "joints.jsonl",
        "phantom_0_means.txt",
        "quality.jsonl",
        "run.json",
    ]
    assert "the results of another run" in bundle.refusal("evaluating", "inference.json", **settings)


@pytest.mark.slow
def test_a_measure_is_an_entry_of_the_tasks(bundle: Any, outside: Path) -> None:
    more = overlay(
        outside,
        "+tasks:\n  darkness:\n    _target_: bundle.evaluation.Task\n    sets: [test]\n"
        "    measure: {_target_: OUTSIDE.Darkness}\n",
    )
    out = outside.parent / "out"
    settings = {"image_size": 64, "phantoms": 2, "weights": "none", "output_dir": str(out), "worst": 1}
    bundle.run("evaluating", "inference.json", "evaluate.yaml", more, measures=["darkness"], **settings)
    found = json.loads((out / "metrics.json").read_text())["measures"]["darkness"]
    assert found["settings"]["measure"] == f"{outside.stem}.Darkness"
    assert 0.0 < found["figures"]["mean"] < 1.0


@pytest.mark.slow
def test_a_method_of_registration_is_a_target(bundle: Any, outside: Path) -> None:
    more = overlay(outside, "predict#registration: {_target_: OUTSIDE.UpperBoneMoves, down_mm: 0.25}\n")
    out = outside.parent / "out"
    settings = {"image_size": 64, "phantoms": 1, "takes": 2, "output_dir": str(out)}
    configs = (*of_job("predict_registration"), more)
    bundle.run("predicting", *configs, **settings)
    (line,) = [json.loads(line) for line in (out / "narrowing.jsonl").read_text().splitlines()]
    assert line["method"] == "upper_bone_moves" and line["jsn_mm"] == pytest.approx(0.25, abs=1e-6)
    assert "weights" not in json.loads((out / "run.json").read_text())


@pytest.mark.slow
def test_a_format_of_data_sets_is_a_target(bundle: Any, outside: Path) -> None:
    out = outside.parent / "out"
    settings = {"image_size": 64, "phantoms": 1, "weights": "none", "count": 2, "output_dir": str(out)}
    more = overlay(outside, "data_set#format: {_target_: OUTSIDE.Sizes}\n")
    limits = {"gate#plausible": False, "gate#tolerance_mm": 0.5}
    bundle.run("synthesizing", "inference.json", "tasks/synthesize.yaml", more, **settings, **limits)
    lines = (out / "radiographs-000000.txt").read_text().splitlines()
    assert [line for line in lines if ".raw" in line] == [f"{index:09d}.raw {2 * 64 * 64}" for index in range(2)]
    assert json.loads((out / "dataset.json").read_text())["settings"]["format"] == "Sizes"
