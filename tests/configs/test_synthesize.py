"""Data sets of synthetic radiographs, as a user makes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.joint_space import measure_joint_space
from bundle.networks import package_label
from bundle.physics.harmonic import separate
from bundle.physics.motion import RigidMotion
from bundle.physics.partial_volume import clear_outlines
from bundle.physics.synthesis import synthesize
from PIL import Image
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

SYNTHESIZE = of_job("synthesize")
SMALL = {"image_size": 64, "batch_size": 2, "weights": "none", "gate#tolerance_mm": 0.2, "gate#plausible": False}


def options(folder: Path, **more: Any) -> dict[str, Any]:
    return {**SMALL, "phantoms": 3, "output_dir": str(folder / "out"), **more}


def truths(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("truth-*")) for line in path.read_text().splitlines()]


def joints_of(workflow: Any) -> dict[str, torch.Tensor]:
    transform = workflow.parser.get_parsed_content("preprocessing")
    return {item["name"]: transform(item)["image"] for item in workflow.parser.get_parsed_content("joints")}


def content(folder: Path) -> dict[str, bytes]:
    """All files but what holds the time or the command."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"]
    found = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    card = json.loads(found.pop("dataset.json"))
    return {**found, "card": json.dumps({**card, "command": ""}).encode()}


@pytest.mark.long
def test_a_synthesis_of_real_files_is_replayed_by_its_truth(bundle: Any, data: Path, tmp_path: Path) -> None:
    settings = options(tmp_path, dataset_dir=str(data), datalist="LS_K1_all_test", changes_mm=[-0.5, 0.5], seed=3)
    joints = joints_of(bundle.run("synthesizing", *SYNTHESIZE, **settings))
    found = truths(tmp_path / "out")
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert set(card["refused_sources"].values()) <= {"joint_space"}
    joints = {name: joint for name, joint in joints.items() if name not in card["refused_sources"]}
    assert len(joints) >= 3 and card["test_joints"] == {"LS_K1_all_test": len(joints)}
    assert [(line["source"], round(line["change_mm"], 6)) for line in found] == [
        (name, change) for name in joints for change in (-0.5, 0.5)
    ]
    for line in found:
        image, masks = joints[line["source"]][None, :1], joints[line["source"]][None, 1:]
        motion = RigidMotion.from_json(json.dumps(line["motion"]))
        pixel = MCP.spacing_at(image.shape[-1])
        layers = clear_outlines(separate(image, masks, pixel), masks, pixel)  # the pixels of the files are coarse
        made = synthesize(layers, masks, motion, line["spacing_mm"], [line["noise_seed"]])
        begin = tmp_path / "out" / "radiographs-000000" / line["key"]
        with Image.open(f"{begin}.png") as picture:
            assert np.abs(np.asarray(picture) / 65535.0 - made.image[0, 0].numpy()).max() < 2e-3
        space = measure_joint_space(layers, masks, line["spacing_mm"])
        assert line["joint_space_before_mm"] == pytest.approx(float(space.mean), abs=1e-3)
        change = line["joint_space_after_mm"] - line["joint_space_before_mm"]
        assert change == pytest.approx(line["change_mm"], abs=1e-3)


@pytest.mark.slow
def test_the_joint_space_of_phantoms_is_as_asked(bundle: Any, tmp_path: Path) -> None:
    """At full size, where a pixel is 0.08 mm, with the gate as it is by default."""
    more = {
        "phantoms": 2,
        "image_size": 256,
        "count": 12,
        "joint_space_mm#lowest": 1.2,
        "joint_space_mm#highest": 2.6,
        "pairs": True,
    }
    bundle.run("synthesizing", *SYNTHESIZE, **{**options(tmp_path, **more), "gate#tolerance_mm": 0.05})
    found = truths(tmp_path / "out")
    assert len(found) == 12
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert card["computed"] == {"runtime": package_label("torch"), "precision": "float32", "flips": True}
    anew = card["measured_anew"]
    assert (anew["n"], anew["refused"], anew["seed"]) == (1, 0, 0) and anew["mae_mm"] < 0.2
    for line, other in zip(found[::2], found[1::2], strict=True):
        assert line["joint_space_after_mm"] == pytest.approx(line["joint_space_asked_mm"], abs=0.05)
        assert line["source"] == other["source"] and line["pair"] == other["key"]
        assert line["jsn_mm"] == pytest.approx(other["joint_space_after_mm"] - line["joint_space_after_mm"])


@pytest.mark.long
def test_what_is_wanted_comes_from_the_command_line(bundle: Any, tmp_path: Path) -> None:
    wanted = "{'_target_': 'bundle.datasets.Normal', 'mean': 1, 'deviation': 0.3, 'lowest': 0, 'highest': 2}"
    more = {"joint_space_mm": wanted, "count": "6", "pairs": "true", "format": "webdataset", "workers": "1"}
    result = bundle.command("synthesizing", *SYNTHESIZE, **options(tmp_path, **more))
    assert result.returncode == 0, result.stderr
    card = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert card["settings"]["plan"]["joint_space_mm"]["distribution"] == "Normal"
    assert card["images"] == 6 and card["version"] and "monai.bundle run synthesizing" in card["command"]
    assert (tmp_path / "out" / "radiographs-000000.tar").is_file()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"changes_mm": 0.5}, "changes_mm is "),
        ({"changes_mm": [99]}, "changes_mm is "),
        ({"count": 0}, "--count 0 is invalid. Pass a whole number of at least 1."),
        ({"format": "zip"}, "zip is not a shard format"),
        ({"joint_space_mm#lowest": 9.0}, "lowest is 9.0, highest "),
    ],
    ids=str,
)
def test_what_cannot_be_made_leaves_no_folder(bundle: Any, tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    said = bundle.refusal("synthesizing", *SYNTHESIZE, **options(tmp_path, **wrong))
    assert said.startswith(f"error: {message}")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_data_set_without_an_image_is_an_error_that_names_the_way_on(bundle: Any, tmp_path: Path) -> None:
    nothing = {
        "count": 2,
        "phantoms": 1,
        "gate#least_visible": 1.0,
        "joint_space_mm#lowest": 2.5,
        "joint_space_mm#highest": 2.6,
    }
    said = bundle.refusal("synthesizing", *SYNTHESIZE, **options(tmp_path, **nothing, **{"gate#tolerance_mm": 1e-9}))
    assert said.startswith("error: count: no image was made of 2: most were refused as ")
    assert "Correct --joint_space_mm, --changes_mm or --gate" in said
    assert (tmp_path / "out" / "dataset.json").is_file()


def torchrun(processes: int, root: Path, settings: dict[str, Any]) -> None:
    files = str([f"configs/{name}" for name in SYNTHESIZE])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"]
    command += ["monai.bundle", "run", "synthesizing", "--config_file", files]
    for key, value in settings.items():
        command += [f"--{key}", str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.long
def test_processes_share_the_work_and_make_what_one_makes(bundle: Any, tmp_path: Path, processes: int) -> None:
    more = {"count": 22, "shard_size": 4, "sideways_mm#highest": 0.3}
    bundle.run("synthesizing", *SYNTHESIZE, **options(tmp_path / "one", **more))
    torchrun(processes, bundle.root, options(tmp_path / "many", **more))
    assert content(tmp_path / "many" / "out") == content(tmp_path / "one" / "out")
