"""Programs and commands of the documents run as they stand."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from bundle.errors import input_message
from bundle.io.dicom import read_dicom
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.reading import read_radiograph
from bundle.networks.runtimes import RUNTIMES
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from monai.bundle import ConfigParser
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
HOW_TO = sorted(page.name for page in (DOCS / "how_to").glob("*.md"))
BLOCK = re.compile(r"(?:<!-- (?P<mark>\w+): (?P<name>[^\n]*?) -->\n)?```(?P<language>\w*)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
MARGIN = 40
WIDENED = """
assert abs(float(wider.joint_space.mean - layers.joint_space.mean) - 0.5) < 0.05
"""


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return render(sample_parameters(7))


@pytest.fixture
def folder(phantom: Phantom, tmp_path: Path) -> Path:
    """The files that the documents speak of; the hand is the phantom with a margin."""
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "finger_joint_layer_separation").symlink_to(ROOT)
    pictures = {"joint": phantom.image[0], "lower": phantom.masks[0] > 0.5, "upper": phantom.masks[1] > 0.5}
    for name, values in pictures.items():
        save(values.float(), tmp_path / f"{name}.png")
    hand = np.pad(phantom.image[0].numpy(), MARGIN, mode="edge")
    study = DicomStudy("1", "hand", "L")
    write_dicom(tmp_path / "hand.dcm", study.image(hand, (21 / 256, 21 / 256), "a phantom", True))
    middle = MARGIN + 127.5
    (tmp_path / "points.csv").write_text(f"name,x,y,direction_x,direction_y\nindex,{middle},{middle},0,-1\n")
    (tmp_path / "hand.csv").write_text(f"name,x,y,tip_x,tip_y\nindex,{middle},{middle},{middle},{middle - 100}\n")
    return tmp_path


def save(values: torch.Tensor, path: Path) -> None:
    Image.fromarray((values * 255).round().byte().numpy()).save(path)


def run(code: str, folder: Path) -> None:
    path = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False, env=path
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.long
def test_the_first_program_changes_a_joint_space(folder: Path, phantom: Phantom) -> None:
    run(BLOCKS[0] + WIDENED, folder)
    made = read_radiograph(folder / "wider.png")
    assert made.shape == (256, 256)
    assert np.abs(made - phantom.image[0].numpy()).max() > 0.05


def in_frame(frame: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    """The pixels of a hand in the frame of a joint, which is centred on the joint space, not on the mark."""
    (x, y), (towards_x, towards_y) = frame["place"]["center"], frame["place"]["direction"]
    rows, columns = np.indices(shape)
    along = (columns - x) * towards_x + (rows - y) * towards_y
    across = (columns - x) * towards_y - (rows - y) * towards_x
    half = frame["side"] / frame["spacing"][0] / 2
    return (np.abs(along) <= half) & (np.abs(across) <= half)


@pytest.mark.long
def test_every_line_of_the_document_runs_and_holds(folder: Path) -> None:
    checks = """
dice = 2 * (predicted.masks * joint.masks).sum() / (predicted.masks + joint.masks).sum()
assert float(dice) > 0.9, dice
assert result.found and abs(result.jsn_mm + 0.5) < 0.05, result
assert narrower_pip.radiograph.shape == (1, 256, 256)
assert network is not None
open("frame.json", "w").write(hand.joints[0].frame)
"""
    run("".join(BLOCKS) + checks, folder)
    before, after = read_dicom(folder / "hand.dcm"), read_dicom(folder / "narrower.dcm")
    change = np.abs(after.intensity - before.intensity)
    inside = in_frame(json.loads((folder / "frame.json").read_text()), change.shape)
    assert 0 < inside.sum() < 0.7 * inside.size
    assert (change[~inside] == 0.0).all()
    assert change[inside].max() > 0.02
    assert pydicom.dcmread(folder / "narrower.dcm").SyntheticData == "YES"
    assert after.laterality == "L"


@pytest.mark.long
def test_the_programs_of_the_readme_run_as_they_stand(folder: Path) -> None:
    programs = [block["code"] for block in blocks(ROOT / "README.md") if block["language"] == "python"]
    scale = 21 / 256
    code = "".join(programs).replace("spacing_mm=0.1", f"spacing_mm={scale}")
    assert len(programs) == 2
    run(code, folder)
    assert {"wider.png", "hand_wider.dcm"} <= {path.name for path in folder.iterdir()}


# ---- how-to pages, run ---------------------------------------------------------------------------------------------


def blocks(page: Path) -> Iterator[dict[str, str]]:
    """Blocks of code of a page, with the language, and the mark and the name in the comment above."""
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield {name: value or "" for name, value in found.groupdict().items()}


SHORTER = {
    "fine_tune.md": {
        "--validation_fraction 0.2": "--validation_fraction 0.5",
        "--stage1_epochs 10 --early_epochs 10": "--stage1_epochs 1 --early_epochs 1 --batch_size 2",
        "--output_dir outputs/calibrated": "--output_dir outputs/calibrated --calibrated 5 --closures 2",
    },
    "own_weights.md": {},
    "data_loader.md": {
        "--count 2000": "--count 12 --phantoms 2 --flips false --gate#largest_error 1.0",
        "--shard_size 500": "--shard_size 6",
        "batch_size=32": "batch_size=4",
    },
    "faster_on_cpu.md": {},
    "own_loss.md": {"'smooth.yaml']\"": "'smooth.yaml']\" --phantoms 6 --stage1_epochs 1 --stage2_epochs 0"},
}
"""What is made smaller of the commands of each page, so that they run in seconds."""

LOADED = """
assert sum(len(batch["image"]) for batch in loader) == 12
assert batch["image"].shape[1:] == (1, 256, 256) and 0 <= batch["image"].min() <= batch["image"].max() <= 1
"""
HOLDS = {
    "data_loader.md": LOADED,
    "own_weights.md": "assert pred.shape == (1, 3, 256, 256) and 'model.pt' in layers.separator\n",
}
"""What the programs of a page must come to."""

WRITTEN = {
    "fine_tune.md": ("fine_tuned/model.pt", "fine_tuned/training.json", "calibrated/uncertainty.json"),
    "own_weights.md": ("with_own_weights/quality.jsonl",),
    "data_loader.md": ("archives/radiographs-000001.tar", "files/truth-000000.jsonl"),
    "own_loss.md": ("train/model.pt",),
    "faster_on_cpu.md": ("openvino/quality.jsonl",),
}
"""What the commands of a page must write."""


@pytest.fixture
def workspace(folder: Path) -> Path:
    """A copy of the repository, as far as commands need it, with the files that the how-to pages speak of."""
    for name in ("bundle", "configs", "models"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "DIR").mkdir()
    for seed in range(10):
        save(render(sample_parameters(seed, outline_gap_mm=1.2)).image[0], folder / "DIR" / f"joint_{seed}.png")
    return folder


@pytest.mark.long
@pytest.mark.parametrize("name", HOW_TO)
def test_a_how_to_page_runs_as_it_stands(name: str, workspace: Path) -> None:
    if name == "own_weights.md":
        (workspace / "outputs" / "fine_tuned").mkdir(parents=True)
        shutil.copy(ROOT / "models" / "model.pt", workspace / "outputs" / "fine_tuned")
    if name == "faster_on_cpu.md" and not RUNTIMES["openvino"].is_installed():
        pytest.skip("openvino is not installed")
    found = list(blocks(DOCS / "how_to" / name))
    for block in found:
        if block["mark"] == "file":
            (workspace / block["name"]).write_text(block["code"])
    shell(shortened("".join(block["code"] for block in found if block["language"] == "bash"), name), workspace)
    programs = [block["code"] for block in found if block["mark"] == "run" and block["language"] == "python"]
    run("".join(f"{shortened(program, name)}\n" for program in programs) + HOLDS.get(name, ""), workspace)
    assert [path for path in WRITTEN[name] if not (workspace / "outputs" / path).is_file()] == []


def shortened(code: str, name: str) -> str:
    for old, new in SHORTER[name].items():
        code = code.replace(old, new)
    return code


def shell(code: str, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("name", HOW_TO)
def test_every_block_of_a_how_to_page_is_run_or_written_by_a_test(name: str) -> None:
    assert name in SHORTER
    assert name in WRITTEN
    unmarked = [block["code"] for block in blocks(DOCS / "how_to" / name) if block["mark"] not in ("run", "file")]
    assert unmarked == []
    text = (DOCS / "how_to" / name).read_text()
    assert [old for old in SHORTER[name] if old not in text] == []


# ---- tables that say what is elsewhere -----------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "files"), [(0, ["train.yaml", "variants/lsn_paper.yaml"]), (1, ["train.yaml"])])
@pytest.mark.parametrize(("first", "loss"), [(0, "stage2_loss"), (2, "stage1_loss"), (4, "early_loss")])
def test_the_table_of_weights_is_that_of_the_configurations(first: int, loss: str, row: int, files: list[str]) -> None:
    table = (DOCS / "concepts" / "separation.md").read_text().split("<!-- weights -->\n")[1].split("\n\n")[0]
    cells = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    config = ConfigParser()
    config.read_config([str(ROOT / "configs" / name) for name in files])
    weights = config.get_parsed_content(loss).weights
    assert [float(cell) for cell in cells[first + row][2:]] == list(weights.values())


def test_the_keys_of_a_training_batch_are_those_that_an_own_loss_gets() -> None:
    text = (DOCS / "how_to" / "own_loss.md").read_text()
    keys = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    taken = ConfigParser.load_config_file(str(ROOT / "configs" / "train.yaml"))["train"]["taken"]["keys"]
    assert set(keys) <= set(taken)


def test_the_page_about_own_losses_quotes_the_error_of_a_module_that_is_not_found() -> None:
    with pytest.raises(ModuleNotFoundError) as caught:
        ConfigParser({"a": {"_target_": "my_losses.SmoothTissue"}}).get_parsed_content("a")
    quoted = re.findall(r"The error `([^`]+)`", (DOCS / "how_to" / "own_loss.md").read_text())
    assert len(quoted) == 1 and str(input_message(caught.value)).startswith(quoted[0])
