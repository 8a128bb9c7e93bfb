from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from bundle.workflow.checkpoints import checkpoints
from PIL import Image
from tests.configs.trainings import TINY_NETWORKS

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

LIST = "LS_K1_all_test"
TRAINING: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 2,
    "stage1_epochs": 1,
    "stage2_epochs": 0,
    "early_epochs": 1,
    **TINY_NETWORKS,
    "datalist": LIST,
}

Damage = Callable[[Path, Path], None]


def case(folder: Path, row: int = 0) -> Path:
    """Folder of an entry of the list."""
    entries = json.loads((folder / LIST).read_text())
    return (folder / entries[row]["image"]).parent


def rename_image(folder: Path, entry: int, name: str) -> None:
    """Let an entry name another image."""
    entries = json.loads((folder / LIST).read_text())
    entries[entry]["image"] = str(Path(entries[entry]["image"]).with_name(name))
    (folder / LIST).write_text(json.dumps(entries))


def grey(joint: Path) -> np.ndarray:
    with Image.open(joint / "1.jpg") as picture:
        return np.asarray(picture.convert("L"))


def save_mask(joint: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask.astype(np.uint8)).save(joint / "1_mask_lower.bmp")


def no_json(folder: Path, joint: Path) -> None:
    (folder / LIST).write_text("[{'image': no JSON")


def no_list(folder: Path, joint: Path) -> None:
    (folder / LIST).write_text('{"image": "1.jpg"}')


def missing_list(folder: Path, joint: Path) -> None:
    (folder / LIST).rename(folder / "LS_K1_all_train")


def outside(folder: Path, joint: Path) -> None:
    shutil.copy(joint / "1.jpg", folder.parent / "1.jpg")
    entries = json.loads((folder / LIST).read_text())
    entries[0]["image"] = "../1.jpg"
    (folder / LIST).write_text(json.dumps(entries))


def missing_image(folder: Path, joint: Path) -> None:
    (joint / "1.jpg").unlink()


def larger_mask(folder: Path, joint: Path) -> None:
    save_mask(joint, np.pad(np.full((40, 40), 255), ((30, 10), (20, 20))))


def empty_mask(folder: Path, joint: Path) -> None:
    save_mask(joint, np.zeros((64, 64)))


def full_mask(folder: Path, joint: Path) -> None:
    save_mask(joint, np.full((64, 64), 255))


def truncated(folder: Path, joint: Path) -> None:
    content = (joint / "1.jpg").read_bytes()
    (joint / "1.jpg").write_bytes(content[: len(content) // 2])


def twelve_bit(folder: Path, joint: Path) -> None:
    Image.fromarray(grey(joint).astype(np.uint16) * 16).save(joint / "1.png")
    rename_image(folder, 0, "1.png")


def colour(folder: Path, joint: Path) -> None:
    channels = [grey(joint), 255 - grey(joint), grey(joint)]
    Image.fromarray(np.stack(channels, axis=-1)).save(joint / "1.jpg", quality=95)


def nan(folder: Path, joint: Path) -> None:
    values = grey(joint).T.astype(np.float32) / 255.0
    values[3, 5] = np.nan
    nib.save(nib.Nifti1Image(values, np.eye(4)), joint / "1.nii.gz")
    rename_image(folder, 0, "1.nii.gz")


def no_image(folder: Path, joint: Path) -> None:
    (joint / "1.jpg").write_text("a letter")


FILES: list[tuple[Damage, str]] = [
    (missing_image, r"{joint}/1.jpg: no such file"),
    (larger_mask, r"a mask of 80 x 80 pixels for a radiograph of 64 x 64. Draw it on {joint}/1.jpg"),
    (empty_mask, r"{joint}/1_mask_lower.bmp: the mask is empty"),
    (full_mask, r"{joint}/1_mask_lower.bmp: the mask covers 100% of the frame"),
    (truncated, r"{joint}/1.jpg: the image cannot be read (image file is truncated"),
    (twelve_bit, r"{joint}/1.png: a 16-bit file with values up to"),
    (colour, r"a colour image"),
    (nan, r"{joint}/1.nii.gz: 1 NaN or infinite pixels"),
    (no_image, r"{joint}/1.jpg: the image cannot be read (neither PNG, JPEG, BMP, TIFF nor NIfTI)"),
]
LISTS: list[tuple[Damage, str]] = [
    (no_json, r"the list cannot be read as JSON"),
    (no_list, r"{data}/LS_K1_all_test: dict is not a JSON list of joints"),
    (missing_list, r"{data}: no list LS_K1_all_test"),
    (outside, r"entry 0 names '../1.jpg', which leaves {data}"),
]


def identify(value: Any) -> str:
    return value.__name__ if callable(value) else ""


def check(message: str, expected: str, data: Path, joint: Path) -> None:
    """A message on stderr is an error without a traceback that names the file and its fault."""
    assert message.startswith("error: ")
    assert "Traceback" not in message
    assert expected.format(data=data, joint=joint) in message


@pytest.mark.long
@pytest.mark.parametrize(("damage", "expected"), [*FILES, *LISTS], ids=identify)
def test_data_that_cannot_be_used_ends_an_inference_with_its_name_and_leaves_no_folder(
    bundle: Any, data: Path, tmp_path: Path, damage: Damage, expected: str
) -> None:
    joint = case(data)
    damage(data, joint)
    out = tmp_path / "out"
    message = bundle.refusal("evaluating", "inference.json", dataset_dir=str(data), image_size=64, output_dir=str(out))
    check(message, expected, data, joint)
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["evaluate.yaml", "tasks/synthesize.yaml"])
def test_every_overlay_checks_its_data_first(bundle: Any, data: Path, tmp_path: Path, overlay: str) -> None:
    joint = case(data, 3)
    truncated(data, joint)
    run_id = "synthesizing" if overlay == "tasks/synthesize.yaml" else "evaluating"
    out = tmp_path / "out"
    settings = {"dataset_dir": str(data), "datalist": "LS_K1_all_test", "image_size": 64, "output_dir": str(out)}
    message = bundle.refusal(run_id, "inference.json", overlay, **settings)
    check(message, "image file is truncated", data, joint)
    assert "5 joints checked, 4 usable, 1 rejected" in message
    assert not out.exists()


def test_a_missing_folder_ends_every_run(bundle: Any, tmp_path: Path) -> None:
    absent, out = tmp_path / "absent", tmp_path / "out"
    settings = {"dataset_dir": str(absent), "output_dir": str(out)}
    expected = "{data}: no such data set folder. Correct dataset_dir."
    check(bundle.refusal("evaluating", "inference.json", **settings), expected, absent, absent)
    assert not out.exists()
    check(bundle.refusal("training", "train.yaml", **settings), expected, absent, absent)
    assert [path.name for path in out.rglob("*")] in ([], ["run.json"])


@pytest.mark.slow
@pytest.mark.parametrize("damage", [no_json, outside], ids=identify)
def test_a_list_that_cannot_be_used_ends_a_training(bundle: Any, data: Path, tmp_path: Path, damage: Damage) -> None:
    damage(data, case(data))
    out = tmp_path / "out"
    message = bundle.refusal("training", "train.yaml", dataset_dir=str(data), output_dir=str(out), **TRAINING)
    check(message, dict(LISTS)[damage], data, data)
    assert [path.name for path in out.rglob("*")] in ([], ["run.json"])


@pytest.fixture
def damaged(data: Path) -> Path:
    """Four good joints, and nine that are damaged, each in its own way."""
    entries = json.loads((data / LIST).read_text())[:4]
    for index, (damage, _) in enumerate(FILES):
        joint = damaged_case(data, index)
        shutil.copytree(data / Path(entries[0]["image"]).parent, joint)
        entry = {key: str(joint.relative_to(data) / Path(path).name) for key, path in entries[0].items()}
        (data / LIST).write_text(json.dumps([entry]))
        damage(data, joint)
        entries += json.loads((data / LIST).read_text())
    (data / LIST).write_text(json.dumps(entries))
    return data


def damaged_case(folder: Path, index: int) -> Path:
    return folder / "case" / f"{100 + index:05d}_L_8"


@pytest.mark.slow
def test_a_training_counts_and_names_what_it_cannot_use_and_goes_on(
    bundle: Any, damaged: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {**TRAINING, "validation_fraction": 0.5, "seed": 1}
    bundle.run("training", "train.yaml", dataset_dir=str(damaged), output_dir=str(tmp_path / "out"), **options)
    for index, (damage, expected) in enumerate(FILES):
        joint = damaged_case(damaged, index)
        lines = [record.getMessage() for record in caplog.records if f"{joint.name}_1" in record.getMessage()]
        assert len(lines) == 1, damage.__name__
        assert lines[0].startswith(f"rejected {joint.name}_1: ")
        assert expected.format(data="Data", joint=joint.relative_to(damaged.parent)) in lines[0], "as a log names it"
    summaries = [record.getMessage() for record in caplog.records if "joints checked" in record.getMessage()]
    assert sum(int(line.split(" rejected")[0].split()[-1]) for line in summaries) == len(FILES)
    assert [epoch for epoch, _ in checkpoints(tmp_path / "out" / "checkpoints")] == [1]


@pytest.mark.slow
def test_a_strict_training_ends_with_all_that_it_cannot_use(bundle: Any, damaged: Path, tmp_path: Path) -> None:
    options = {**TRAINING, "validation_fraction": 0.5, "seed": 1, "strict": "true"}
    out = tmp_path / "out"
    message = bundle.refusal("training", "train.yaml", dataset_dir=str(damaged), output_dir=str(out), **options)
    check(message, "Correct or remove the rejected joints", damaged, damaged)
    assert message.count("rejected 001") >= 2
    assert [path.name for path in out.rglob("*")] in ([], ["run.json"])


@pytest.mark.long
def test_bad_input_ends_the_command_line_with_exit_code_1(commands: Any, data: Path, tmp_path: Path) -> None:
    joint = case(data)
    truncated(data, joint)
    out = tmp_path / "out"
    settings = {"dataset_dir": str(data), "output_dir": str(out), "strict": "true"}
    result = commands.command("evaluating", "inference.json", image_size=64, **settings)
    assert result.returncode == 1
    errors = result.stderr[result.stderr.index("error: ") :]
    check(errors, "image file is truncated", data, joint)
    assert "Traceback" not in result.stdout + result.stderr
    assert not out.exists()
    result = commands.command("training", "train.yaml", **settings, **TRAINING)
    assert result.returncode == 1
    assert "Traceback" not in result.stdout + result.stderr
    assert "Correct or remove the rejected joints" in result.stderr


@pytest.mark.parametrize(("run_id", "config"), [("evaluating", "inference.json"), ("training", "train.yaml")])
def test_an_output_folder_that_is_a_file_is_refused(bundle: Any, tmp_path: Path, run_id: str, config: str) -> None:
    out = tmp_path / "out"
    out.write_text("notes")
    message = bundle.refusal(run_id, config, output_dir=str(out), image_size=64, phantoms=2)
    check(message, "{data}/run.json could not be written", out, out)
    assert "a file is in the way. Choose another output folder" in message
    assert out.read_text() == "notes"


@contextlib.contextmanager
def without_rights(folder: Path) -> Iterator[None]:
    """Take the right to write from a folder; the superuser has it anyway and becomes another user."""
    folder.chmod(0o500)
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    try:
        config = Path(__file__).resolve().parents[2] / "configs" / "train.yaml"
        if not os.access(config, os.R_OK, effective_ids=True):
            pytest.skip("run by the superuser in a folder that no other user may read: rights cannot be tested")
        yield
    finally:
        if superuser:
            os.seteuid(0)
        folder.chmod(0o700)


@pytest.mark.slow
@pytest.mark.parametrize(("run_id", "config"), [("evaluating", "inference.json"), ("training", "train.yaml")])
def test_an_output_folder_without_the_right_to_write_is_refused(
    bundle: Any, tmp_path: Path, run_id: str, config: str
) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    with without_rights(locked):
        message = bundle.refusal(run_id, config, output_dir=str(locked / "out"), image_size=64, phantoms=2)
    check(message, "{data}/run.json could not be written", locked / "out", locked)
    assert "no permission to write. Choose another output folder or change its permissions" in message
    assert not list(locked.iterdir())


@pytest.mark.long
@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ("train.yaml", {"backbone": "UNnet"}, "unknown backbone 'UNnet'. Choose one of"),
        ("train.yaml", {"backbone_options": {"depth": 3}}, "backbone SubpixelUNet has no option depth"),
        ("train.yaml", {"reduction": 0}, "--reduction 0 is invalid. Pass a whole number of at least 1."),
        ("train.yaml", {"use_motion": "perhaps"}, "--use_motion 'perhaps' is invalid. Pass true or false."),
        ("train.yaml", {"resume": "perhaps"}, "--resume 'perhaps' is invalid. Pass true or false."),
        ("train.yaml", {"validation_fraction": 1.5}, "1.5 is invalid. Pass a number of at least 0 and at most 1."),
        ("train.yaml", {"phantoms": 0}, "0 phantoms with the seed 0"),
        ("inference.json", {"phantoms": -1}, "--phantoms -1 is invalid. Pass a whole number of at least 0."),
        ("inference.json", {"strict": "perhaps", "dataset_dir": "Data"}, "--strict 'perhaps' is invalid."),
    ],
)
def test_settings_that_make_no_sense_are_refused_in_a_line(
    bundle: Any, data: Path, tmp_path: Path, config: str, options: dict[str, Any], expected: str
) -> None:
    settings = {"image_size": 64, "phantoms": 4, "datalist": LIST, **options, "output_dir": str(tmp_path / "out")}
    if "dataset_dir" in options:
        settings["dataset_dir"] = str(data)
    run_id = "training" if config == "train.yaml" else "evaluating"
    message = bundle.refusal(run_id, config, **settings)
    check(message, expected, data, data)
    assert message.count("\n") == 1
    assert not list((tmp_path / "out").rglob("*.pt"))
