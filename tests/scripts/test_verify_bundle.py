from __future__ import annotations

import hashlib
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.networks.nets import BasicUNet
from scripts import verify_bundle
from scripts.bundle_checks import files, network, stated

ROOT = Path(__file__).parents[2]
CONFIGS = ("configs/metadata.json", "configs/logging.conf", network.ONNX_ARGUMENTS)
FEATURES = [4, 4, 4, 4, 4, 4]
NETWORK = {
    "_target_": "BasicUNet",
    "spatial_dims": 2,
    "in_channels": 3,
    "out_channels": 3,
    "features": FEATURES,
    "upsample": "nontrainable",
}
PLACE = {"bundle_root": ".", "device": "$torch.device('cpu')", "dataset_dir": ""}
INFERENCE = {
    "imports": ["$from pathlib import Path"],
    **PLACE,
    "run": ["$@evaluator.run()"],
    "output_dir": "$str(Path(@bundle_root) / 'eval')",
    "network_def": NETWORK,
    "dataset": {"_target_": "Dataset", "data": "$[{'image': i} for i in range(2)]"},
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset"},
    "inferer": {"_target_": "SimpleInferer"},
    "handlers": [{"_target_": "StatsHandler", "iteration_log": False}],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network_def",
        "inferer": "@inferer",
        "val_handlers": "@handlers",
    },
}
VALIDATION = {"_target_": "ValidationHandler", "validator": "@validate#evaluator", "interval": "@val_interval"}
TRAIN = {
    **PLACE,
    "learning_rate": 0.1,
    "val_interval": 1,
    "training": ["$@train#trainer.run()"],
    "run": "%training",
    "network_def": NETWORK,
    "train": {
        "dataset": {"_target_": "Dataset", "data": [1, 2]},
        "dataloader": {"_target_": "DataLoader", "dataset": "@train#dataset"},
        "inferer": {"_target_": "SimpleInferer"},
        "handlers": [
            {"_target_": "ValidationHandler", "validator": "@validate#evaluator", "interval": "@val_interval"}
        ],
        "trainer": {
            "_target_": "SupervisedTrainer",
            "device": "@device",
            "max_epochs": 1,
            "train_data_loader": "@train#dataloader",
            "network": "@network_def",
            "optimizer": {
                "_target_": "torch.optim.SGD",
                "params": "$@network_def.parameters()",
                "lr": "@learning_rate",
            },
            "loss_function": {"_target_": "torch.nn.MSELoss"},
            "train_handlers": "@train#handlers",
        },
    },
    "validate": {
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@train#dataloader",
            "network": "@network_def",
        }
    },
}


SLOW_COMMAND = """\
# Slow training:
#
#   python -m monai.bundle run training \\
#     --config_file "['configs/train.yaml', 'configs/slow.yaml']" --learning_rate 0.02

"""


def write_yaml(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def edit(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the content of a JSON or YAML file in place."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete bundle around a network of a few thousand weights, that breaks no rule."""
    root = tmp_path_factory.mktemp("template")
    for folder in ("bundle", "configs/jobs", "docs", "models"):
        (root / folder).mkdir(parents=True)
    (root / "bundle" / "shapes.py").write_text("import math\n\nimport torch\nfrom scipy import ndimage\n")
    shutil.copy(ROOT / "LICENSE", root)
    for name in ("requirements.txt", "docs/data_license.txt", *CONFIGS):
        shutil.copy(ROOT / name, root / name)
    (root / "docs" / "README.md").write_text("\n\n".join(files.HEADINGS), encoding="utf-8")
    edit(root / "configs" / "metadata.json", shrink)
    (root / "configs" / "inference.json").write_text(json.dumps(INFERENCE), encoding="utf-8")
    write_yaml(root / "configs" / "train.yaml", TRAIN)
    overlay("learning_rate: 0.01\ndoubled: $2 * @learning_rate")(root)
    torch.manual_seed(0)
    network = BasicUNet(2, 3, 3, FEATURES, upsample="nontrainable")
    torch.save(network.state_dict(), root / "models" / "model.pt")
    stated.state_checksums(root)
    return root


def overlay(text: str) -> Callable[[Path], Any]:
    """Write an overlay of the training config, with the command that runs it in its comments."""
    return put("configs/slow.yaml", SLOW_COMMAND + text)


def shrink(metadata: dict[str, Any]) -> None:
    formats = metadata["network_data_format"]
    for description in (formats["inputs"]["image"], formats["outputs"]["pred"]):
        description["spatial_shape"] = [32, 32]


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the good bundle to break; MONAI's checks set up logging, which is put back afterwards."""
    copy = tmp_path / "joint_bundle"
    shutil.copytree(template, copy)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield copy
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def failures(root: Path, *titles: str) -> dict[str, str]:
    """Titles and reasons of the checks that fail: of all, or of those with these titles."""
    known = dict(verify_bundle.checks(root))
    results = {title: verify_bundle.run_check(known[title], verbose=False) for title in titles or known}
    return {title: reason for title, (passed, reason) in results.items() if not passed}


@pytest.mark.slow
def test_a_good_bundle_passes_every_check(root: Path) -> None:
    assert failures(root) == {}


def test_an_overlay_is_checked_on_top_of_the_training_config(root: Path) -> None:
    titles = [title for title, _ in verify_bundle.checks(root)]
    assert "train.yaml + slow.yaml" in titles
    assert "inference.json" in titles


@pytest.mark.slow
def test_a_config_in_a_folder_is_checked_with_those_of_its_command(root: Path) -> None:
    (root / "configs" / "studies").mkdir()
    files = "['configs/train.yaml', 'configs/studies/train.yaml']"
    text = f'# python -m monai.bundle run training --config_file "{files}"\nepochs: "@nothing"\n'
    (root / "configs" / "studies" / "train.yaml").write_text(text)
    found = failures(root, "train.yaml", "train.yaml + studies/train.yaml")
    assert "refers to @nothing" in found["train.yaml + studies/train.yaml"]
    assert "train.yaml" not in found


def add_job(root: Path, *parts: str, **values: Any) -> None:
    """Add a job of the training with the parts that it names, and one part that there is."""
    (root / "configs" / "parts").mkdir()
    write_yaml(root / "configs" / "parts" / "wide.yaml", {"width": 8, "doubled": "$2 * @width"})
    files = ["configs/train.yaml", *(f"configs/parts/{part}" for part in parts)]
    write_yaml(root / "configs" / "jobs" / "long.yaml", {"run_id": "training", "config_file": files} | values)


@pytest.mark.slow
def test_a_job_is_checked_with_its_configs_and_its_own_values(root: Path) -> None:
    add_job(root, "wide.yaml", **{"width": 4, "train#trainer#max_epochs": 9})
    put("README.md", "`python -m monai.bundle run training --args_file configs/jobs/long.yaml --width 2`")(root)
    assert failures(root, "jobs/long.yaml", PARTS, COMMANDS) == {}
    titles = [title for title, _ in verify_bundle.checks(root)]
    assert not [title for title in titles if title.startswith("parts/")]


@pytest.mark.long
@pytest.mark.parametrize(
    ("parts", "values", "check", "reason"),
    [
        (("wide.yaml",), {"epochs": "@nothing"}, "jobs/long.yaml", "refers to @nothing"),
        (("wide.yaml", "gone.yaml"), {}, "jobs/long.yaml", "no config configs/gone.yaml"),
        (("wide.yaml",), {"run_id": "trainning"}, "jobs/long.yaml", "no run 'trainning'"),
        ((), {}, "parts of configs", "no config lays configs/parts/wide.yaml over others"),
    ],
)
def test_a_job_that_cannot_run_is_found(
    root: Path, parts: tuple[str, ...], values: dict[str, Any], check: str, reason: str
) -> None:
    add_job(root, *parts, **values)
    assert reason in failures(root, check)[check]


@pytest.mark.slow
def test_a_command_with_an_option_that_its_job_lacks_is_found(root: Path) -> None:
    add_job(root, "wide.yaml")
    put("README.md", "`python -m monai.bundle run training --args_file configs/jobs/long.yaml --widht 2`")(root)
    assert "has no 'widht'" in failures(root, COMMANDS)[COMMANDS]


def drop(*names: str) -> Callable[[Path], None]:
    return lambda root: [(root / name).unlink() for name in names] and None


def put(name: str, text: str) -> Callable[[Path], Any]:
    return lambda root: (root / name).write_text(text, encoding="utf-8")


def state(command: str) -> Callable[[Path], Any]:
    return put("README.md", f"Type `python -m monai.bundle run {command}` to run it.")


def describe(**values: Any) -> Callable[[Path], None]:
    return lambda root: edit(root / "configs" / "metadata.json", lambda metadata: metadata.update(values))


def undescribe(name: str) -> Callable[[Path], None]:
    return lambda root: edit(root / "configs" / "metadata.json", lambda metadata: metadata.pop(name))


def configure(name: str, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda root: edit(root / "configs" / name, change)


def large(root: Path) -> None:
    with (root / "models" / "model_large.bin").open("wb") as file:
        file.truncate(files.LARGE + 1)


def damage(root: Path) -> None:
    path = root / "models" / "model.pt"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def save_weights(weights: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def save(root: Path) -> None:
        path = root / "models" / "model.pt"
        torch.save(weights(torch.load(path, weights_only=True)), path)

    return save


FILES, LARGE, DOCUMENTS = "necessary and preferred files", "large files", "documents"
SCHEMA, VERSION = "metadata by the schema", "version in the changelog"
WEIGHTS = "checksums of the weights"
PINS, IMPORTS = "pins of metadata and requirements", "imports are pinned"
SHAPES, EXPORT = "inputs and outputs of the network", "TorchScript export"
OVERLAY, COMMANDS = "train.yaml + slow.yaml", "commands in documents and configs"
PARTS = "parts of configs"
TRAINING, INFERRING = "properties of train", "properties of inference"

DEFECTS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no licence": (drop("LICENSE"), FILES, "missing LICENSE"),
    "no weights": (drop("models/model.pt"), FILES, "missing models/model.pt"),
    "no inference config": (drop("configs/inference.json"), FILES, "missing configs/inference.json"),
    "no metadata": (drop("configs/metadata.json"), SCHEMA, "configs/metadata.json"),
    "metadata that is no JSON": (put("configs/metadata.json", "{"), SCHEMA, "JSON object"),
    "weights that MONAI Label would take first": (
        put("models/g.pt", ""),
        FILES,
        "models/g.pt: a shorter name than model.pt",
    ),
    "large file not listed": (large, LARGE, "model_large.bin has 25 MB"),
    "large file listed by halves": (
        put("large_files.yml", "large_files: [{path: a.pt, url: u}]"),
        LARGE,
        "lacks hash_val",
    ),
    "section missing in the document": (put("docs/README.md", "# Model Overview"), DOCUMENTS, "no heading '## Data'"),
    "unfinished document": (put("docs/README.md", "## Performance\nTODO"), DOCUMENTS, "it contains TODO"),
    "empty data licence": (put("docs/data_license.txt", "\n"), DOCUMENTS, "is empty"),
    "no document": (drop("docs/README.md"), DOCUMENTS, "missing docs/README.md"),
    "metadata without a task": (undescribe("task"), SCHEMA, "'task' is a required property"),
    "metadata of a wrong type": (describe(references="a paper"), SCHEMA, "$.references"),
    "another schema": (
        describe(schema="https://example.org/meta_schema_20220324.json"),
        SCHEMA,
        "meta_schema_20240725",
    ),
    "damaged weights": (damage, WEIGHTS, "--state_checksums"),
    "weights without a checksum": (undescribe("weights"), WEIGHTS, "metadata.json states None"),
    "weights of the metadata that are missing": (
        describe(weights={"model.pt": {}, "joints.pt": {"sha256": "0123"}}),
        WEIGHTS,
        "models/joints.pt is missing",
    ),
    "expected errors of other weights": (
        put("models/uncertainty.json", '{"separator": "model.pt (sha256 0123456789ab)"}'),
        WEIGHTS,
        "calibrate anew by configs/jobs/calibrate.yaml",
    ),
    "version without a change": (describe(version="9.9.9"), VERSION, "9.9.9"),
    "metadata pins another version": (describe(numpy_version="1.26.4"), PINS, "numpy: 1.26.4 in metadata.json, 2.2.6"),
    "requirement not in the metadata": (put("requirements.txt", "six==1.0"), PINS, "six: none in metadata.json, 1.0"),
    "import that is not pinned": (put("bundle/shapes.py", "import hypothesis"), IMPORTS, "imports hypothesis"),
    "import when needed that no requirements pin": (
        put("bundle/shapes.py", "def shapes():\n    import hypothesis"),
        IMPORTS,
        "imports hypothesis",
    ),
    "import at once of what is optional": (put("bundle/shapes.py", "import zlib_ng"), IMPORTS, "imports zlib_ng"),
    "config that is no YAML": (overlay("a: [1"), OVERLAY, "slow.yaml does not parse"),
    "reference to nothing": (
        configure("train.yaml", lambda config: config["train"]["dataloader"].update(dataset="@train#data_set")),
        "train.yaml",
        "train::dataloader::dataset refers to @train::data_set",
    ),
    "reference to nothing in an overlay": (overlay("doubled: $2 * @rate"), OVERLAY, "doubled refers to @rate"),
    "target that does not exist": (
        configure("train.yaml", lambda config: config["network_def"].update(_target_="bundle.nowhere.Network")),
        "train.yaml",
        "no target bundle.nowhere.Network",
    ),
    "argument that the target does not know": (
        configure("train.yaml", lambda config: config["network_def"].update(width=4)),
        "train.yaml",
        "unexpected keyword argument 'width'",
    ),
    "argument that the target needs": (
        configure("inference.json", lambda config: config["dataloader"].pop("dataset")),
        "inference.json",
        "missing a required argument: 'dataset'",
    ),
    "expression that is no Python": (overlay("doubled: $2 *"), OVERLAY, "'2 *'"),
    "expression with an unknown name": (overlay("here: $os.getcwd()"), OVERLAY, "unknown name os in 'os.getcwd()'"),
    "import of the bundle in a config": (
        overlay("imports: [$import bundle.physics.masks]"),
        OVERLAY,
        "before the bundle is on the path",
    ),
    "command with a config that is not there": (
        state("--config_file configs/test.yaml"),
        COMMANDS,
        "configs/test.yaml",
    ),
    "command with an unknown run": (
        state("testing --config_file configs/train.yaml"),
        COMMANDS,
        "README.md: train.yaml has no 'testing'",
    ),
    "command with an unknown option": (
        state("--config_file configs/train.yaml --learning_rate 1 --rate=2"),
        COMMANDS,
        "train.yaml has no 'rate'",
    ),
    "command that lacks its base config": (
        state('--config_file "configs/slow.yaml" --doubled 1'),
        COMMANDS,
        "slow.yaml has no 'run'",
    ),
    "no inferer for training": (
        configure("train.yaml", lambda config: config["train"].pop("inferer")),
        TRAINING,
        "train_inferer",
    ),
    "no evaluator for inference": (
        configure("inference.json", lambda config: config.pop("evaluator")),
        INFERRING,
        "evaluator",
    ),
    "handlers under another name": (
        configure("train.yaml", lambda config: config["train"]["trainer"].update(train_handlers="@train#extras")),
        TRAINING,
        "train_handlers",
    ),
    "handlers in place": (
        configure("train.yaml", lambda config: config["train"]["trainer"].update(train_handlers=[])),
        TRAINING,
        "handlers are dicts behind a reference",
    ),
    "interval in place": (
        configure("train.yaml", lambda config: config["train"]["handlers"][0].update(interval=1)),
        TRAINING,
        "MONAI's check of the properties breaks on train.yaml",
    ),
    "logging that runs code": (
        put("configs/logging.conf", "[handler_x]\nclass=StreamHandler\nargs=(print('x'),)\n"),
        TRAINING,
        "ValueError",
    ),
    "more output channels than described": (
        configure("inference.json", lambda config: config["network_def"].update(out_channels=4)),
        SHAPES,
        "output channel number `4`",
    ),
    "weights of another network": (save_weights(lambda weights: {"other": torch.zeros(1)}), EXPORT, "flat state dict"),
    "weights inside a checkpoint": (save_weights(lambda weights: {"network": weights}), EXPORT, "flat state dict"),
}


@pytest.mark.slow
@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_found_and_named(root: Path, defect: str) -> None:
    spoil, title, reason = DEFECTS[defect]
    spoil(root)
    passed, found = verify_bundle.run_check(dict(verify_bundle.checks(root))[title], verbose=False)
    assert not passed
    assert reason in found


class TwoFaced(torch.nn.Module):
    """Scripts to something else than it computes eagerly."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if torch.jit.is_scripting():
            return image * self.scale + 0.001
        return image * self.scale


@pytest.mark.slow
def test_a_network_that_scripts_to_something_else_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn, "TwoFaced", TwoFaced, raising=False)
    edit(
        root / "configs" / "inference.json", lambda config: config.update(network_def={"_target_": "torch.nn.TwoFaced"})
    )
    torch.save(TwoFaced().state_dict(), root / "models" / "model.pt")
    assert "by 0.001, more than" in failures(root, EXPORT)[EXPORT]


class Shifting(torch.nn.Module):
    """Is exported to ONNX as something else than it computes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        shift = 0.001 if torch.onnx.is_in_onnx_export() else 0.0
        return image * self.scale + shift


def test_a_network_that_is_another_one_in_onnx_is_found(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn, "Shifting", Shifting, raising=False)
    edit(
        root / "configs" / "inference.json", lambda config: config.update(network_def={"_target_": "torch.nn.Shifting"})
    )
    torch.save(Shifting().state_dict(), root / "models" / "model.pt")
    reason = verify_bundle.run_check(lambda: network.check_onnx(root), verbose=False)[1]
    assert "by 0.001, more than" in reason


@pytest.mark.slow
def test_an_onnx_model_of_one_image_alone_is_found(root: Path) -> None:
    edit(root / network.ONNX_ARGUMENTS, lambda arguments: arguments["converter_kwargs"].pop("dynamic_axes"))
    passed, reason = verify_bundle.run_check(lambda: network.check_onnx(root), verbose=False)
    assert not passed
    assert "dimensions" in reason


@pytest.mark.slow
def test_a_network_that_does_not_script_is_found(root: Path) -> None:
    edit(root / "configs" / "inference.json", lambda config: config.update(network_def=swin_network()))
    assert EXPORT in failures(root, EXPORT)


def swin_network() -> dict[str, Any]:
    return {"_target_": "SwinUNETR", "in_channels": 3, "out_channels": 3, "spatial_dims": 2, "feature_size": 12}


@pytest.mark.slow
def test_a_listed_large_file_needs_its_own_hash(root: Path) -> None:
    large(root)
    name = "models/model_large.bin"
    right = hashlib.sha256((root / name).read_bytes()).hexdigest()
    entry = {"path": name, "url": "https://example.org/m", "hash_type": "sha256", "hash_val": right}
    write_yaml(root / "large_files.yml", {"large_files": [entry]})
    assert LARGE not in failures(root, LARGE)
    write_yaml(root / "large_files.yml", {"large_files": [{**entry, "hash_val": right[::-1]}]})
    assert "does not have the sha256" in failures(root, LARGE)[LARGE]


def test_a_file_to_be_downloaded_is_not_missing(root: Path) -> None:
    (root / "models" / "model.pt").unlink()
    entry = {"path": "models/model.pt", "url": "https://example.org/m", "hash_type": "md5", "hash_val": "0"}
    write_yaml(root / "large_files.yml", {"large_files": [entry]})
    assert FILES not in failures(root, FILES)


@pytest.mark.slow
def test_what_git_ignores_is_not_part_of_the_bundle(root: Path) -> None:
    large(root)
    (root / ".gitignore").write_text("*.bin\n")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    assert LARGE not in failures(root, LARGE)


def run_script(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "scripts" / "verify_bundle.py"), str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_the_command_prints_a_line_for_each_check_and_its_exit_code_says_whether_all_passed(root: Path) -> None:
    result = run_script(root)
    assert result.returncode == 0, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert [line[:4] for line in lines[:-1]] == ["ok  "] * len(verify_bundle.checks(root))
    assert lines[-1] == "all checks passed"
    (root / "LICENSE").unlink()
    result = run_script(root)
    assert result.returncode == 1
    assert "FAIL  necessary and preferred files: missing LICENSE" in result.stdout
    assert result.stdout.splitlines()[-1] == "1 checks failed"
