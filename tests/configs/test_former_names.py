"""Options carry their unit, and their former names are refused with the present ones."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundle.errors import InputError
from bundle.workflow.option_kinds import _AMOUNTS, _PAIRS
from bundle.workflow.option_names import FORMER, check_former_keys, check_former_names, check_names, configured_by
from monai.bundle import ConfigParser, create_workflow

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

ROOT = Path(__file__).resolve().parents[2]
JOBS = {path.stem: path for path in sorted((ROOT / "configs" / "jobs").glob("*.yaml")) if path.stem != "export_onnx"}
UNITS = {"mm", "px", "deg", "rad", "minutes", "tflops"}
DIMENSIONLESS = {"gamma", "magnification", "noise", "overlap_weight", "scale", "seen_weight", "weight_decay"}
OF_LISTS = {"spacing"}
"""Options with the name of a key of data lists."""
ACCURACY = "validate#additional_metrics#film_accuracy"
CASES = [
    ("synthesize", "changes", "changes_mm"),
    ("synthesize", "joint_space", "joint_space_mm"),
    ("synthesize", "jsw#lowest", "joint_space_mm#lowest"),
    ("synthesize", "sideways#highest", "sideways_mm#highest"),
    ("synthesize", "rotation#lowest", "rotation_deg#lowest"),
    ("synthesize", "data_set#plan#jsw", "data_set#plan#joint_space_mm"),
    ("synthesize_dicom", "data_set#plan#changes", "data_set#plan#changes_mm"),
    ("pretrain_registration", "turning#lowest", "rotation_deg#lowest"),
    ("pretrain_registration", "joint_space#highest", "joint_space_mm#highest"),
    ("pretrain_scorer", "+rotation", "rotation_deg or --rotation_rad"),
    ("segment_bones", "rotation", "rotation_rad"),
    ("segment_bones", "translation", "translation_px"),
    ("segment_bones", "blur#0", "blur_px#0"),
    ("find_joints", "sigma", "sigma_px"),
    ("find_joints", f"{ACCURACY}#within", f"{ACCURACY}#within_px"),
]


@pytest.fixture(autouse=True)
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def without_unit(names: Iterable[str]) -> set[str]:
    return {name for name in names if name.rpartition("_")[2] not in UNITS}


def test_options_with_a_dimension_carry_their_unit() -> None:
    assert without_unit((*_AMOUNTS, *_PAIRS)) == DIMENSIONLESS | OF_LISTS
    assert without_unit(["turning", "turn_deg", "minutes"]) == {"turning"}


def test_sampled_quantities_carry_their_unit() -> None:
    contents = [ConfigParser.load_config_file(str(path)) for path in (ROOT / "configs").rglob("*.yaml")]
    items = [(key, value) for content in contents for key, value in content.items() if isinstance(value, dict)]
    sampled = {key for key, value in items if str(value.get("_target_", "")).endswith((".Uniform", ".Histogram"))}
    assert {"joint_space_mm", "rotation_deg"} <= sampled
    assert without_unit(sampled) == {"noise", "added_noise"}


@pytest.mark.slow
@pytest.mark.parametrize(("job", "former", "present"), CASES)
def test_a_former_name_is_refused_with_the_present_one(job: str, former: str, present: str) -> None:
    with pytest.raises(InputError) as caught:
        check_names(["--args_file", f"configs/jobs/{job}.yaml", f"--{former}", "0.5"])
    assert str(caught.value) == f"--{former.removeprefix('+')} is now --{present}. Rename it."


def test_every_former_name_has_a_case() -> None:
    assert {key for _, option, _ in CASES for key in option.removeprefix("+").split("#")} >= FORMER.keys()


def test_files_are_named_before_their_former_names(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("sideways#highest: 0.1\n+changes: [0.5]\nmine: {rotation: 1}\n")
    files = ["configs/inference.json", "configs/tasks/synthesize.yaml", str(own)]
    expected = (
        f"{own}: sideways#highest is now sideways_mm#highest. Rename it. {own}: changes is now changes_mm. Rename it."
    )
    for check in (check_former_names, lambda files: check_names(["--config_file", str(files)])):
        with pytest.raises(InputError) as caught:
            check(files)
        assert str(caught.value) == expected
    args = tmp_path / "args.yaml"
    shutil.copy(JOBS["synthesize"], args)
    args.write_text(f"{args.read_text()}\njsw: 1\n")
    with pytest.raises(InputError, match=rf"^{args}: jsw is now joint_space_mm\. Rename it\.$"):
        check_names(["--args_file", str(args)])


def test_former_arguments_of_components_are_refused_at_any_depth() -> None:
    plan = {"_target_": "bundle.datasets.DataPlan", "joint_space": 1}
    message = r"^parts#1#plan#joint_space is now parts#1#plan#joint_space_mm\. Rename it\.$"
    with pytest.raises(InputError, match=message):
        check_former_keys({"parts": [0, {"plan": plan}]})
    with pytest.raises(InputError, match=r"^sigma is now sigma_px\. Rename it\.$"):
        check_former_keys({"sigma": 1, "sigma_px": 2})


def test_the_same_key_elsewhere_is_no_former_name() -> None:
    check_former_names([], ["sigma", "rotation"])
    check_former_keys(
        {
            "sigma": 1,
            "measures": {"joint_space": {"_target_": "bundle.evaluation.measures.JointSpaceMeasure"}},
            "smooth": {"_target_": "monai.transforms.GaussianSmooth", "sigma": 1},
            "unknown": {"_target_": "$@other", "rotation": 1},
        }
    )


@pytest.mark.slow
@pytest.mark.parametrize("job", JOBS)
def test_no_job_has_a_former_name_and_each_checks_its_options(job: str) -> None:
    check_names(["--args_file", str(JOBS[job])])
    check_former_keys(configured_by({"args_file": str(JOBS[job])}))
    assert yaml.safe_load(JOBS[job].read_text())["workflow_name"] == "bundle.workflow.CheckedWorkflow"


@pytest.mark.usefixtures("bundle")
@pytest.mark.parametrize("options", [{"joint_space#lowest": 0.5}, {"changes": [0.5]}], ids=str)
def test_a_job_from_python_refuses_former_names_before_they_are_merged(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(InputError, match=rf"^--{name} is now --\w+_mm[#\w]*\. Rename it\.$"):
        create_workflow(args_file=str(JOBS["synthesize"]), logging_file=False, **options)


def test_a_run_from_python_refuses_former_names(bundle: Any) -> None:
    files = ("inference.json", "tasks/synthesize.yaml")
    message = bundle.refusal("synthesizing", *files, changes=[0.5])
    assert message == "error: changes is now changes_mm. Rename it.\n"


@pytest.mark.long
def test_the_command_line_refuses_former_names_below_absent_keys(tmp_path: Path) -> None:
    command = [*(sys.executable, "-m", "monai.bundle", "run", "--args_file"), str(JOBS["synthesize"])]
    options = ["--joint_space#lowest", "0.5", "--output_dir", str(tmp_path / "out")]
    result = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    last = result.stderr.rstrip().splitlines()[-1]
    assert last == "error: --joint_space#lowest is now --joint_space_mm#lowest. Rename it."
    assert not (tmp_path / "out").exists()
