from __future__ import annotations

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.io.joint_images import read_joint
from bundle.joint import MCP
from bundle.networks.backbones import make_backbone
from bundle.physics.harmonic import separate
from bundle.physics.masks import continue_to_border
from bundle.physics.partial_volume import clear_outlines
from bundle.physics.radiograph import reconstruct
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead
from bundle.separation.transforms.loading import LoadJointd
from PIL import Image
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

OPTIONS: dict[str, Any] = {"image_size": 64, "batch_size": 2, "phantoms": 3}
SMALL = {"features": [8] * 6, "width": 4}
EVALUATE = ("inference.json", "evaluate.yaml")
SYNTHESIZE = of_job("synthesize")


def options(folder: Path, **more: Any) -> dict[str, Any]:
    """A tiny run into `folder`/out without weights."""
    return {**OPTIONS, "output_dir": str(folder / "out"), "weights": "none", **more}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.asarray(picture)


def layers_of(path: Path) -> torch.Tensor:
    """Layers (3, H, W) as `write_layers` laid them down."""
    image = nib.load(path)
    assert image.get_data_dtype() == np.float32
    return torch.from_numpy(image.get_fdata(dtype=np.float32)[:, :, 0].transpose(2, 1, 0).copy())


def joints_of(workflow: Any) -> dict[str, torch.Tensor]:
    return {sample["name"]: sample["image"] for sample in workflow.parser.get_parsed_content("dataset")}


def psnr(image: torch.Tensor, layers: torch.Tensor) -> float:
    return float(-10.0 * (reconstruct(layers) - image[:1]).square().mean().log10())


@pytest.mark.slow
def test_a_folder_without_a_list_is_separated_and_what_cannot_be_used_is_skipped(
    bundle: Any, data: Path, tmp_path: Path
) -> None:
    (data / "LS_K1_all_test").unlink()
    broken = sorted(data.rglob("1.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:200])
    workflow = bundle.run("evaluating", "inference.json", **options(tmp_path, dataset_dir=str(data)))
    assert workflow.parser["datalist"] == "*"
    assert len(list((tmp_path / "out").glob("*_layers.nii.gz"))) == 4
    assert len((tmp_path / "out" / "rejected.jsonl").read_text().splitlines()) == 1
    message = bundle.refusal(
        "evaluating", "inference.json", **options(tmp_path / "strict", dataset_dir=str(data), strict="true")
    )
    assert "Correct or remove the rejected joints" in message and not (tmp_path / "strict").exists()


@pytest.mark.long
def test_grain_is_given_to_the_tissue_by_the_seed_and_nothing_is_lost(bundle: Any, tmp_path: Path) -> None:
    found = []
    for place, more in (("plain", {"noise_texture": "false"}), ("one", {}), ("again", {}), ("other", {"seed": 1})):
        workflow = bundle.run("evaluating", "inference.json", **options(tmp_path / place, phantoms=1, **more))
        ((name, image),) = joints_of(workflow).items()
        found.append((layers_of(tmp_path / place / "out" / f"{name}_layers.nii.gz"), image))
    plain, one, again, _ = (layers for layers, _ in found)
    assert torch.equal(one, again)
    assert float((one - plain)[0].abs().max()) > 1e-3
    for layers, image in found:
        assert psnr(image, layers) > 90.0


@pytest.mark.slow
def test_phantoms_are_separated_without_weights_which_is_said(
    bundle: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        workflow = bundle.run("evaluating", "inference.json", **options(tmp_path, noise_texture="false"))
    assert "The weight-free separator is used." in caplog.messages
    assert "not for weight-free separator" in caplog.text and "no such weights file" not in caplog.text
    joints = joints_of(workflow)
    assert len(joints) == 3
    for name, image in joints.items():
        layers = layers_of(tmp_path / "out" / f"{name}_layers.nii.gz")
        assert psnr(image, layers) > 90.0
        pixel, masks = MCP.spacing_at(image.shape[-1]), image[None, 1:]
        separated = clear_outlines(separate(image[None, :1], masks, pixel), masks, pixel)[0]
        assert torch.allclose(layers, separated, atol=1e-4)
        for layer, kind in zip(layers.numpy(), ("soft", "lower", "upper"), strict=True):
            assert np.abs(pixels(tmp_path / "out" / f"{name}_{kind}.png") - layer * 255.0).max() <= 0.5001
        with Image.open(tmp_path / "out" / f"{name}_montage.png") as picture:
            assert picture.width > 7 * 64
    assert len(list((tmp_path / "out").iterdir())) == 6 * 3 + 4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run", "more"),
    [
        pytest.param(("evaluating", "inference.json"), {}, id="inference"),
        pytest.param(("synthesizing", *SYNTHESIZE), {"count": 2}, id="synthesis", marks=pytest.mark.long),
    ],
)
def test_a_run_is_resumed_with_the_options_on_which_its_results_depend_and_any_others(
    bundle: Any, tmp_path: Path, run: tuple[str, ...], more: dict[str, Any]
) -> None:
    settings = options(tmp_path, **{**more, "phantoms": 1})
    bundle.run(*run, **settings)
    shutil.copy(bundle.root / "models" / "plausibility.json", tmp_path / "same.json")
    free = {"batch_size": 1, "device": "cpu", "plausibility_reference": str(tmp_path / "same.json")}
    bundle.run(*run, **{**settings, **free})
    reference = json.loads((tmp_path / "same.json").read_text())
    (tmp_path / "mine.json").write_text(json.dumps({**reference, "made": {}}))
    for name, value in (
        ("head#reach_mm", 0.3),
        ("reduction", 2),
        ("plausibility_reference", str(tmp_path / "mine.json")),
    ):
        assert f"{name.split('#')[0]}" in bundle.refusal(*run, **settings, **{name: value}).split("another run (")[1]


@pytest.mark.slow
def test_a_runtime_is_stated_with_the_layers_and_a_run_is_not_resumed_with_another_one(
    bundle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setenv("JOINT_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)
    network = Generator(make_backbone("SubpixelUNet", 8, 3, SMALL), PartitionHead(reach_mm=0.65625))
    torch.nn.init.normal_(network.start.weight)  # type: ignore[arg-type]
    torch.save(network.state_dict(), tmp_path / "mine.pt")
    settings = options(tmp_path, phantoms=1, weights=str(tmp_path / "mine.pt"), backbone_options=SMALL)
    bundle.run("evaluating", "inference.json", **settings, runtime="onnxruntime")
    (line,) = map(json.loads, (tmp_path / "out" / "quality.jsonl").read_text().splitlines())
    assert line["runtime"].startswith("onnxruntime 1.")
    assert (line["precision"], line["flips"]) == ("float32", True)
    assert len(list((tmp_path / "cache").glob("*.onnx"))) == 1
    refusal = bundle.refusal("evaluating", "inference.json", **settings)
    assert re.search(r"another run \(runtime was 'onnxruntime(\+numba)?', is 'torch'\)", refusal)
    (tmp_path / "out" / "quality.jsonl").unlink()
    refusal = bundle.refusal("evaluating", "inference.json", **settings, runtime="fast")
    assert "--runtime 'fast' is invalid. Pass openvino, onnxruntime or torch." in refusal


@pytest.mark.long
def test_real_files_are_separated_by_the_command_line(bundle: Any, data: Path, tmp_path: Path) -> None:
    settings = options(tmp_path, dataset_dir=str(data), num_workers=1)
    result = bundle.command("evaluating", "inference.json", **settings)
    assert result.returncode == 0, result.stderr
    assert "The weight-free separator is used." in result.stdout + result.stderr
    entries = json.loads((data / "LS_K1_all_test").read_text())
    for entry in entries:
        image = read_joint({key: str(data / path) for key, path in entry.items()}, 64)
        image = torch.cat([image[:1], continue_to_border(image[1:])])
        name = f"{Path(entry['image']).parent.name}_1"
        assert psnr(image, layers_of(tmp_path / "out" / f"{name}_layers.nii.gz")) > 90.0
    assert len(list((tmp_path / "out").iterdir())) == 6 * len(entries) + 4


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the default generator whose logits are not zero, as a training leaves them."""
    config = monai.bundle.ConfigParser()
    config.read_config(str(Path(__file__).parents[2] / "configs" / "inference.json"))
    torch.manual_seed(0)
    network = config.get_parsed_content("network_def")
    with torch.no_grad():
        for parameter in network.start.parameters():
            parameter.normal_()
    folder = tmp_path_factory.mktemp("weights")
    torch.save(network.state_dict(), folder / "model.pt")
    return folder / "model.pt"


@pytest.mark.long
def test_weights_are_used_and_reconstruct_exactly_too(bundle: Any, trained: Path, tmp_path: Path) -> None:
    workflow = bundle.run("evaluating", "inference.json", **options(tmp_path, weights=str(trained)))
    network = workflow.parser.get_parsed_content("network")
    state = torch.load(trained, weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    for name, image in joints_of(workflow).items():
        layers = layers_of(tmp_path / "out" / f"{name}_layers.nii.gz")
        assert psnr(image, layers) > 90.0
        assert (layers - separate(image[None, :1], image[None, 1:])[0]).abs().max() > 0.01


@pytest.mark.long
def test_a_training_s_generator_is_used_for_inference(bundle: Any, tmp_path: Path) -> None:
    backbone = {"backbone_options": {"features": [8] * 6}}
    bundle.run(
        "training",
        "train.yaml",
        output_dir=str(tmp_path / "training"),
        image_size=64,
        phantoms=4,
        batch_size=2,
        stage1_epochs=1,
        stage2_epochs=0,
        **backbone,
    )
    weights = tmp_path / "training" / "model.pt"
    settings = options(tmp_path, weights=str(weights), measures="E1", **backbone)
    bundle.run("evaluating", *EVALUATE, **settings)
    report = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert report["settings"]["separator"].startswith("model.pt (sha256 ")


@pytest.mark.slow
def test_weights_of_another_backbone_are_refused_in_a_line(bundle: Any, trained: Path, tmp_path: Path) -> None:
    settings = options(tmp_path, weights=str(trained), backbone_options={"features": [8] * 6})
    message = bundle.refusal("evaluating", "inference.json", **settings)
    assert message.startswith(f"error: {trained}: not the weights of this generator (")
    assert message.count("\n") == 1


def test_a_head_that_needs_weights_is_refused_without(bundle: Any, tmp_path: Path) -> None:
    head = {"_target_": "bundle.separation.SigmoidHead"}
    message = bundle.refusal("evaluating", "inference.json", **options(tmp_path, head=head))
    assert message.startswith("error: none: no such weights file.")


@pytest.mark.long
def test_an_output_folder_of_another_run_is_refused_and_left_as_it_is(bundle: Any, tmp_path: Path) -> None:
    bundle.run("evaluating", "inference.json", **options(tmp_path, phantoms=1))
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    for run_id, configs, more in (
        ("evaluating", ("inference.json",), {"phantoms": 2}),
        ("evaluating", EVALUATE, {"phantoms": 1, "measures": "E1"}),
        ("synthesizing", SYNTHESIZE, {"phantoms": 1}),
    ):
        message = bundle.refusal(run_id, *configs, **options(tmp_path, **more))
        assert "contains the results of another run" in message
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    bundle.run("evaluating", "inference.json", **options(tmp_path, phantoms=1))


def test_the_bundle_loads_from_a_local_folder_as_monai_loads_one(bundle: Any, trained: Path, tmp_path: Path) -> None:
    """`monai.bundle.load` of a downloaded bundle: the network of ``inference.json`` with the weights of ``models/``."""
    folder = tmp_path / "finger_joint_layer_separation"
    (folder / "models").mkdir(parents=True)
    (folder / "configs").symlink_to(bundle.root / "configs")
    (folder / "bundle").symlink_to(bundle.root / "bundle")
    (folder / "models" / "model.pt").symlink_to(trained)
    network = monai.bundle.load(folder.name, bundle_dir=str(tmp_path), workflow_type="inference", device="cpu")
    sample = LoadJointd(64)({"name": "a", "seed": 1, "spacing": 21 / 64})
    image = sample["image"][None]
    with torch.no_grad():
        layers = network.eval()(image)
    assert layers.shape == (1, 3, 64, 64)
    assert torch.allclose(reconstruct(layers), image[:, :1], atol=1e-5)
    state = torch.load(trained, weights_only=True)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_the_shipped_weights_are_the_default_and_every_joint_is_judged(bundle: Any, tmp_path: Path) -> None:
    settings = {**options(tmp_path, phantoms=2, image_size=256), "weights": ""}
    workflow = bundle.run("run", "inference.json", **settings)
    state = torch.load(bundle.root / "models" / "model.pt", weights_only=True)
    network = workflow.parser.get_parsed_content("network")
    assert all(torch.equal(value.cpu(), state[name]) for name, value in network.state_dict().items())
    lines = [json.loads(line) for line in (tmp_path / "out" / "quality.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == list(joints_of(workflow))
    assert not any(line["flagged"] for line in lines)
    for name, image in joints_of(workflow).items():
        assert psnr(image, layers_of(tmp_path / "out" / f"{name}_layers.nii.gz")) > 90.0


@pytest.mark.slow
def test_damaged_default_weights_are_refused_in_a_line(bundle: Any, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    (folder / "models").mkdir(parents=True)
    (folder / "configs").symlink_to(bundle.root / "configs")
    for name in ("plausibility.json", "uncertainty.json"):
        (folder / "models" / name).symlink_to(bundle.root / "models" / name)
    (folder / "models" / "model.pt").write_bytes((bundle.root / "models" / "model.pt").read_bytes()[:-1000])
    settings = {**options(tmp_path), "weights": "", "bundle_root": str(folder)}
    message = bundle.refusal("run", "inference.json", **settings)
    assert "not the shipped weights (sha256 " in message
    assert "Download it again" in message


@pytest.mark.long
@pytest.mark.parametrize("loader", [{"generator_weights#_disabled_": True}, {}])
def test_a_torchscript_network_separates_by_its_own_weights(
    bundle: Any, tmp_path: Path, loader: dict[str, Any]
) -> None:
    head = PartitionHead(mixture=1.0, reach_mm=8 * MCP.spacing_mm)
    network = Generator(
        make_backbone("SubpixelUNet", head.in_channels, head.out_channels, {"features": [8] * 6, "width": 4}), head
    )
    paths = [tmp_path / "one.ts", tmp_path / "two.ts"]
    for path in paths:
        for values in network.parameters():
            torch.nn.init.normal_(values, std=0.1)
        torch.jit.script(network.eval()).save(path)
    unchanged = {"phantoms": 1, "noise_texture": "false", "clear_outlines": False}
    settings = {**OPTIONS, **unchanged, "output_dir": str(tmp_path / "out"), **loader}
    workflow = bundle.run("evaluating", "inference.json", network_def=f"$torch.jit.load({str(paths[1])!r})", **settings)
    ((name, image),) = joints_of(workflow).items()
    inferer = workflow.parser.get_parsed_content("inferer")
    expected = inferer(image[None], network)[0].detach()
    torch.testing.assert_close(layers_of(tmp_path / "out" / f"{name}_layers.nii.gz"), expected, atol=1e-5, rtol=0)
    line = json.loads((tmp_path / "out" / "quality.jsonl").read_text())
    assert line["expected_overlap_rmse"] is None
    assert line["bone_disagreement"] > 0.0
    with pytest.raises(RuntimeError) as raised:  # a network with other weights does not go on in that folder
        bundle.run("evaluating", "inference.json", network_def=f"$torch.jit.load({str(paths[0])!r})", **settings)
    assert "separator was 'Generator with weights of its own" in str(raised.value.__cause__ or raised.value)


@pytest.mark.long
def test_of_two_runs_at_once_in_a_folder_one_is_refused_by_host_and_process(commands: Any, tmp_path: Path) -> None:
    runs = [commands.start("evaluating", "inference.json", **options(tmp_path, phantoms=40)) for _ in range(2)]
    said = {run: run.communicate()[1] for run in runs}
    completed, refused = sorted(runs, key=lambda run: run.returncode)
    assert (completed.returncode, refused.returncode) == (0, 1), said
    folder = tmp_path / "out"
    assert f"error: {folder}: process {completed.pid} on {socket.gethostname()} is writing" in said[refused]
    assert "Traceback" not in said[refused]
    assert len((folder / "quality.jsonl").read_text().splitlines()) == 40
    assert not (folder / "run.lock").exists()
