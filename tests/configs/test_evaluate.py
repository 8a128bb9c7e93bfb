from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bundle.evaluation.measures.control import JointSpaceControl
from bundle.evaluation.measures.detectability import ShadowDetectability
from bundle.evaluation.measures.realism import Realism
from bundle.io.lists import read_datalist
from bundle.networks import package_label
from bundle.separation.baselines import HalfSplit
from bundle.separation.heads import SigmoidHead
from monai.bundle import ConfigParser

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

CONFIGS = ("evaluate.yaml",)
PHANTOM_SEED = 1011
"""Some of its three phantoms overlap."""
OPTIONS: dict[str, Any] = {
    "image_size": 64,
    "phantoms": 3,
    "phantom_seed": PHANTOM_SEED,
    "training_joints": 2,
    "weights": "none",
    "worst": 2,
    "measures": ["E1", "E2", "E3"],
}


def options(folder: Path, **more: Any) -> dict[str, Any]:
    """A tiny run into `folder`/out."""
    return {**OPTIONS, "output_dir": str(folder / "out"), **more}


def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text())


def figures(folder: Path, measure: str) -> dict[str, Any]:
    return report(folder)["measures"][measure]["figures"]


def test_what_evaluation_and_inference_share_is_configured_alike() -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    alone, inference = (ConfigParser.load_config_file(configs / name) for name in ("evaluate.yaml", "inference.json"))
    own = {"datalist", "phantoms", "output_dir", "settings", "evaluating"}
    shared = alone.keys() & inference.keys()
    assert {key for key in shared if alone[key] != inference[key]} == own
    assert {
        "network_def",
        "generator_weights",
        "inferer",
        "corrections",
        "postprocessing",
        "segmenter",
        "list_joints",
    } < shared
    assert inference["settings"].items() < alone["settings"].items()


@pytest.mark.slow
def test_the_configuration_runs_alone_on_phantoms_with_the_shipped_weights(bundle: Any, tmp_path: Path) -> None:
    bundle.run("evaluating", "evaluate.yaml", phantoms=1, measures=["E1", "E3"], output_dir=str(tmp_path / "out"))
    found = report(tmp_path / "out")
    assert found["settings"]["separator"].startswith("model.pt (sha256 ")
    assert found["settings"]["runtime"] == "torch"
    computed = {"runtime": package_label("torch"), "precision": "float32", "flips": True}
    assert found["measures"]["E1"]["computed"] == computed
    assert found["measures"]["E1"]["figures"]["psnr_lowest"] > 100
    assert found["measures"]["E3"]["figures"]["bones_rmse"] < 0.1


def test_the_measures_that_train_and_register_are_configured_as_they_are_by_default() -> None:
    """The configuration repeats their recipes to be read; it must not drift from those that were tried."""
    config = ConfigParser()
    config.read_config([str(Path(__file__).resolve().parents[2] / "configs" / name) for name in CONFIGS])
    tasks = config.get_parsed_content("tasks")
    defaults = {
        "E4": ShadowDetectability(),
        "E5": Realism(),
        "E6": JointSpaceControl(),
        "E6_phantoms": JointSpaceControl(),
    }
    for name, default in defaults.items():
        configured, expected = ({**asdict(measure), "device": None} for measure in (tasks[name].measure, default))
        assert json.loads(json.dumps(configured)) == json.loads(json.dumps(expected)), name


@pytest.mark.long
def test_real_files_are_measured_per_finger_with_the_worst_shown(bundle: Any, data: Path, tmp_path: Path) -> None:
    bundle.run("evaluating", *CONFIGS, **options(tmp_path, dataset_dir=str(data)))
    out = tmp_path / "out"
    images = pd.read_csv(out / "E1" / "per_image.csv")
    assert len(images) == 5
    assert (images["psnr"] > 90.0).all()
    assert figures(out, "E1")["psnr_lowest"] == pytest.approx(images["psnr"].min())
    closed = pd.read_csv(out / "E2" / "per_image.csv")
    assert closed.groupby("depth").size().to_dict() == {"deep": 4, "real": 4}
    for measure in ("E2", "E3"):
        assert (out / measure / "error_against_overlap.png").is_file()
        assert len(list((out / "worst" / measure).iterdir())) == 2
    assert len(list((out / "random").iterdir())) == 2
    assert "## E3" in (out / "metrics.md").read_text()


@pytest.mark.long
def test_without_a_data_set_phantoms_are_measured_that_no_training_has_seen(bundle: Any, tmp_path: Path) -> None:
    workflow = bundle.run("evaluating", *CONFIGS, **options(tmp_path, clear_outlines=False))
    sets = workflow.parser.get_parsed_content("sets")
    seeds = [item["seed"] for name in ("test", "training", "phantoms") for item in sets[name].items]
    assert len(set(seeds)) == len(seeds) == 3 + 2 + 3
    assert min(seeds) >= PHANTOM_SEED * 1_000_000
    found = figures(tmp_path / "out", "E3")
    for region in ("overlap", "bones", "soft"):
        assert found[f"{region}_rmse"] == pytest.approx(found[f"weight_free_{region}_rmse"], abs=1e-5)


@pytest.mark.long
def test_the_joint_space_width_is_measured_on_re_takes_of_phantoms_and_on_test_joints(
    bundle: Any, data: Path, tmp_path: Path
) -> None:
    settings = options(
        tmp_path, dataset_dir=str(data), measures=["joint_space", "joint_space_phantoms"], retaken_phantoms=2
    )
    bundle.run("evaluating", *CONFIGS, **settings)
    found = figures(tmp_path / "out", "joint_space_phantoms")
    assert (found["images"], found["joints"]) == (6, 2)
    assert {"mae", "sdd", "limits", "icc", "refused"} <= set(found["surfaces"]) & set(found["predicted"])
    assert "mae" not in figures(tmp_path / "out", "joint_space")["surfaces"]
    assert (tmp_path / "out" / "joint_space_phantoms" / "surfaces_bland_altman.png").is_file()


@pytest.mark.long
def test_a_measure_is_run_by_its_name_from_the_command_line(commands: Any, data: Path, tmp_path: Path) -> None:
    settings = options(tmp_path, dataset_dir=str(data), measures="E1")
    result = commands.command("evaluating", *CONFIGS, **settings)
    assert result.returncode == 0, result.stderr
    found = report(tmp_path / "out")["measures"]
    assert list(found) == ["E1"]
    assert found["E1"]["command"].startswith("python -m monai.bundle run evaluating --config_file ")
    assert "--measures E1" in found["E1"]["command"]
    assert found["E1"]["machine"]["torch"] == torch.__version__


@pytest.mark.long
def test_a_second_run_adds_its_measures_and_repeats_none(bundle: Any, tmp_path: Path) -> None:
    bundle.run("evaluating", *CONFIGS, **options(tmp_path, measures="E1"))
    before = report(tmp_path / "out")["measures"]["E1"]
    bundle.run("evaluating", *CONFIGS, **options(tmp_path, measures=["E1", "E3"]))
    after = report(tmp_path / "out")["measures"]
    assert list(after) == ["E1", "E3"]
    assert after["E1"] == before


@pytest.mark.long
@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"measures": "E9"}, "measures is 'E9'. Choose from E1, E2, overlap_texture, E3, E3_closed"),
        ({"layers_dir": "absent"}, "absent: the folder of layers does not exist"),
        ({"weights": "absent.pt"}, "absent.pt: no such weights file."),
    ],
    ids=["measure", "layers", "weights"],
)
def test_what_cannot_be_measured_is_refused_in_a_line_and_leaves_no_folder(
    bundle: Any, tmp_path: Path, wrong: dict[str, Any], expected: str
) -> None:
    message = bundle.refusal("evaluating", *CONFIGS, **options(tmp_path, **wrong))
    assert message.startswith(f"error: {expected}")
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_the_half_split_is_measured_by_one_option(bundle: Any, tmp_path: Path) -> None:
    network = {"_target_": f"{HalfSplit.__module__}.{HalfSplit.__name__}"}
    settings = options(tmp_path, network_def=network, weights="", measures="E3", clear_outlines=False)
    bundle.run("evaluating", *CONFIGS, **settings)
    assert report(tmp_path / "out")["settings"]["separator"] == "HalfSplit (no weights)"
    found = figures(tmp_path / "out", "E3")
    assert found["soft_rmse"] == pytest.approx(found["weight_free_soft_rmse"], abs=1e-5)
    assert found["overlap_rmse"] != pytest.approx(found["weight_free_overlap_rmse"], rel=1e-3)


@pytest.mark.slow
def test_a_checkpoint_with_the_paper_s_head_is_measured(bundle: Any, tmp_path: Path) -> None:
    small = {"backbone_options": {"features": [4] * 6}, "head": {"_target_": f"{SigmoidHead.__module__}.SigmoidHead"}}
    config = ConfigParser()
    config.read_config(str(bundle.root / "configs" / "inference.json"))
    config.update(small)
    torch.save(config.get_parsed_content("network_def").state_dict(), tmp_path / "lsn.pt")
    bundle.run("evaluating", *CONFIGS, **options(tmp_path, weights=str(tmp_path / "lsn.pt"), measures="E1", **small))
    assert figures(tmp_path / "out", "E1")["psnr"] < 40.0
    assert report(tmp_path / "out")["settings"]["separator"].startswith("lsn.pt (sha256 ")


@pytest.mark.parametrize("real", [True, False], ids=["real files", "phantoms"])
@pytest.mark.long
def test_exported_joints_that_another_program_separates_measure_the_same(
    bundle: Any, data: Path, tmp_path: Path, real: bool
) -> None:
    """The shipped inference plays the other program; its layers go through files."""
    torch.manual_seed(0)
    backbone = {"backbone_options": {"features": [4] * 6}}
    config = ConfigParser()
    config.read_config(str(bundle.root / "configs" / "inference.json"))
    config.update(backbone)
    network = config.get_parsed_content("network_def")
    torch.nn.init.normal_(network.start.weight)
    torch.save(network.state_dict(), tmp_path / "model.pt")
    given = {"dataset_dir": str(data)} if real else {}
    trained = {"weights": str(tmp_path / "model.pt"), **backbone}

    bundle.run("exporting", *CONFIGS, **{**options(tmp_path, **given), "output_dir": str(tmp_path / "joints")})
    names = [item["name"] for item in read_datalist(tmp_path / "joints", "evaluation")]
    inference = {"dataset_dir": str(tmp_path / "joints"), "datalist": "evaluation", "image_size": 64, **trained}
    inference["noise_texture"] = "false"
    bundle.run("evaluating", "inference.json", output_dir=str(tmp_path / "layers"), **inference)
    assert {f"{name}_layers.nii.gz" for name in names} <= {path.name for path in (tmp_path / "layers").iterdir()}

    folder = {"layers_dir": str(tmp_path / "layers"), "output_dir": str(tmp_path / "theirs")}
    bundle.run("evaluating", *CONFIGS, **{**options(tmp_path, **given), **folder})
    bundle.run("evaluating", *CONFIGS, **{**options(tmp_path, **given), **trained})
    for measure in ("E1", "E2", "E3"):
        own, theirs = figures(tmp_path / "out", measure), figures(tmp_path / "theirs", measure)
        assert list(own) == list(theirs)
        for name, value in own.items():
            assert np.allclose(theirs[name], value, rtol=1e-4, atol=1e-7), name
    assert (
        figures(tmp_path / "out", "E3")["overlap_rmse"] != figures(tmp_path / "out", "E3")["weight_free_overlap_rmse"]
    )


@pytest.mark.long
def test_a_joint_without_layers_ends_the_run_with_the_file_s_name(bundle: Any, tmp_path: Path) -> None:
    bundle.run("exporting", *CONFIGS, **{**options(tmp_path), "output_dir": str(tmp_path / "joints")})
    inference = {"dataset_dir": str(tmp_path / "joints"), "datalist": "evaluation", "image_size": 64, "weights": "none"}
    bundle.run("evaluating", "inference.json", output_dir=str(tmp_path / "layers"), **inference)
    gone = sorted((tmp_path / "layers").glob("*_layers.nii.gz"))[0]
    for path in (tmp_path / "layers").glob(f"{gone.name.removesuffix('_layers.nii.gz')}_*"):
        path.unlink()
    message = bundle.refusal("evaluating", *CONFIGS, **options(tmp_path, layers_dir=str(tmp_path / "layers")))
    assert message.startswith("error: ") and ": no layers of " in message
    assert gone.name in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()
