"""The names of the options of a command line are those of its run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.option_kinds import read_switches
from bundle.workflow.option_names import RUN_ARGUMENTS, check_names, configured_by, given_options
from bundle.workflow.option_shapes import check_shapes
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from monai.bundle.utils import merge_kv
from tests.configs.conftest import CONFIGS, ROOT

pytestmark = [pytest.mark.usefixtures("in_root"), pytest.mark.filterwarnings("ignore:parsing config_file")]

TRAIN, SYNTHESIZE = "configs/train.yaml", "['configs/inference.json', 'configs/tasks/synthesize.yaml']"


def line(text: str, config: str = TRAIN) -> list[str]:
    return ["training", "--config_file", config, *shlex.split(text)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "text", "near"),
    [
        (TRAIN, "--stage1_epoch 3", "--stage1_epochs"),
        (TRAIN, "--stage1-epoch=3", "--stage1_epochs"),
        (TRAIN, "-resum true", "--resume"),
        (TRAIN, "--train#dataloder 1", "--train#dataloader"),
        (TRAIN, "--head#mixtur 1.0", "--head#mixture"),
        (TRAIN, "--motion::rotation_de 1", "--motion#rotation_deg"),
        (TRAIN, "--confg_file x", "--config_file"),
        ("configs/inference.json", "--weigths none", "--weights"),
        (SYNTHESIZE, "--cuont 5", "--count"),
        (SYNTHESIZE, "--joint_space_mm#lowst 5", "--joint_space_mm#lowest"),
        (SYNTHESIZE, "--gate#tolerance 5", "--gate#tolerance_mm"),
    ],
)
def test_a_misspelt_option_is_refused_with_the_nearest_name(config: str, text: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"^--[\w#:]+ is not an option of this run\. Did you mean {near}\?$"):
        check_names(line(text, config))


def test_an_option_like_no_other_is_refused_and_all_faults_are_named() -> None:
    with pytest.raises(InputError, match=r"^--qqq is .*\. See the keys of the configurations\. --sed is .* --seed"):
        check_names(line("--qqq 1 --sed 2"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "--stage1_epochs 3 --motions=1 --strict",
        "--tracking mlflow --tracking_uri x --experiment_name y --run_name z --save_execute_config false",
        "--run_id training --init_id initialize --logging_file a --meta_file b",
        "--backbone_options#width 8 --amp_kwargs#dtype x --head#reach_mm 0.3 --early_loss#layers 2",
        "--overlap#outline_gap_mm#0 1",
        "--generator_schedule#T_max 9 --train#handlers#2#tag_name x --stage1#trainer#decollate false",
        "--motion#_disabled_ true --+backbone_options x -- --help",
        "--generator#optimizer#maximize true --augmentation#blur_mm 0.5",
    ],
)
def test_options_that_a_run_has_pass(text: str) -> None:
    check_names(line(text))


def test_lists_of_configurations_and_files_of_arguments_are_read() -> None:
    for files in (
        "configs/train.yaml,configs/variants/bls_gan.yaml",
        "[configs/train.yaml,configs/variants/bls_gan.yaml]",
    ):
        check_names(["training", f"--config_file={files}", "--main_trains_generator_alone", "false"])
    for job in sorted((ROOT / "configs" / "jobs").glob("*_published.yaml")):
        check_names(
            ["--args_file", str(job), "--packed", "x", "--name", "y", "--minutes", "9", "--schedule#epochs", "4"]
        )
    check_names(["--args_file", "configs/jobs/synthesize.yaml", "--dataset_dir", "x", "--joint_space_mm#lowest", "0.0"])
    with pytest.raises(InputError, match="Did you mean --count"):
        check_names(["--args_file", "configs/jobs/synthesize.yaml", "--cuont", "5"])
    with pytest.raises(InputError, match="main_trains_generator_alone"):
        check_names(line("--main_trains_generator_alone false"))


def test_options_are_read_as_the_command_line_is() -> None:
    given = given_options(["training", "--a-b", "-1", "--c=d=e", "-f", "--g", "h", "i", "--", "--trace"])
    assert given == {"a_b": "-1", "c": "d=e", "f": "True", "g": "h"}


def documented() -> Iterator[list[str]]:
    """Every command line of this bundle in its documents and configurations."""
    pages = [page for page in (ROOT / "docs").rglob("*.md") if "_generated" not in page.parts]
    files = [*CONFIGS, ROOT / "README.md", *pages]
    for file in files:
        text = re.sub(r"\\\n[#\s]*", " ", file.read_text())
        for command in re.findall(r"monai\.bundle run (.*--(?:config_file|args_file) .*)", text):
            yield shlex.split(command.split("`")[0].rstrip(":;."), comments=True)


@pytest.mark.long
def test_documented_command_lines_have_the_options_that_they_are_given() -> None:
    not_here = ("NAME", "smooth.yaml")  # a reader's own
    commands = [command for command in documented() if not any(name in part for name in not_here for part in command)]
    assert len(commands) > 20
    for command in commands:
        check_names(command)
        # the number sign of "--noise#lowest" begins a comment in a document, which leaves a name without its value
        given = {name: value for name, value in given_options(command).items() if value != "True"}
        content = ConfigParser(config=dict(configured_by(given)))
        for name in given.keys() - RUN_ARGUMENTS:
            merge_kv(content, name, DefaultParseValue(given[name]))
        values = dict(content.get())
        read_switches(values)
        check_shapes(given, configured_by(given), values)


@pytest.mark.long
def test_the_command_line_refuses_before_anything_is_written(commands: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = commands.command("training", "train.yaml", stage1_epoch=3, output_dir=str(out))
    assert result.returncode == 1
    assert result.stderr.rstrip().splitlines()[-1] == (
        "error: --stage1_epoch is not an option of this run. Did you mean --stage1_epochs?"
    )
    assert "Traceback" not in result.stderr
    assert not out.exists()
