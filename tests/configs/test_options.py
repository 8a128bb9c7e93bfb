"""Options are checked at the entrance of every run: switches, kinds and ranges."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.workflow.option_kinds import (
    KINDS,
    SWITCH,
    SWITCH_OR_PROBABILITY,
    check_epochs,
    check_values,
    kind_of,
    leaves,
    read_switches,
)
from bundle.workflow.option_use import check_weights_used
from monai.bundle import ConfigParser
from tests.configs.conftest import CONFIGS, ROOT, of_job

pytestmark = [pytest.mark.usefixtures("in_root"), pytest.mark.filterwarnings("ignore:parsing config_file")]


def switches() -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Every boolean of every configuration."""
    for file in CONFIGS:
        for path, value, _ in leaves(ConfigParser.load_config_file(file)):
            if isinstance(value, bool):
                yield file, path


def holder(content: Any, path: tuple[str, ...]) -> tuple[Any, Any]:
    for key in path[:-1]:
        content = content[int(key) if isinstance(content, list) else key]
    return content, int(path[-1]) if isinstance(content, list) else path[-1]


@pytest.mark.slow
@pytest.mark.parametrize("text", ["false", "true", "False", " TRUE "])
def test_every_switch_of_every_configuration_is_understood_as_text(text: str) -> None:
    found = list(switches())
    assert {"shuffle", "amp", "main_trains_generator_alone"} <= {path[-1] for _, path in found}
    contents = {file: ConfigParser.load_config_file(file) for file in CONFIGS}
    for file, path in found:
        content = copy.deepcopy(contents[file])
        inside, key = holder(content, path)
        inside[key] = text
        assert read_switches(content)
        assert inside[key] is (text.strip().lower() == "true"), f"{file.name}: {path}"


@pytest.mark.parametrize("name", ["sync_bn", "floors", "outline"])
def test_switches_that_are_expressions_or_nested_options_are_understood_too(name: str) -> None:
    content: dict[str, Any] = {name: "false", "options": {"deep": [{name: "true"}]}, "weights": "true"}
    assert read_switches(content)
    assert content == {name: False, "options": {"deep": [{name: True}]}, "weights": "true"}


def test_null_is_understood_except_as_a_path_or_name() -> None:
    content: dict[str, Any] = {"remeasurement": "null", "writers": [{"metadata": " NULL "}], "weights": "null"}
    assert read_switches(content)
    assert content == {"remeasurement": None, "writers": [{"metadata": None}], "weights": "null"}


def test_every_switch_at_the_top_of_a_configuration_is_declared() -> None:
    top = {path[0] for _, path in switches() if len(path) == 1 and "#" not in path[0]}
    assert not {name for name in top if KINDS.get(name) not in (SWITCH, SWITCH_OR_PROBABILITY)}


def test_every_number_at_the_top_of_a_configuration_is_declared() -> None:
    top = {
        key
        for file in CONFIGS
        for key, value in ConfigParser.load_config_file(file).items()
        if isinstance(value, int | float) and not isinstance(value, bool) and "#" not in key
    }
    assert not {key for key in top if kind_of((key,)) is None}


NONSENSE: dict[str, list[Any]] = {
    "batch_size": [0, -1, "text", 2.5, float("nan")],
    "num_workers": [-1, 0.5, "many"],
    "generator_lr": [float("nan"), float("inf"), "x", -1, [0.1]],
    "phantoms": [2.5, -1, "few", [1]],
    "spacing": ["abc", (0, 8), [0.1, 0.1], -1, True],
    "validation_fraction": [1.5, -0.1, "half"],
    "gamma": [1, [1], [2, 1], [0, "x"], [1, 2, 3], float("nan")],
    "device": ["gpu7", 99, "cuda:99", ""],
    "weights": [5, 0.5, True, ["a.pt"]],
    "seed": [[1], "x", 1.5],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in NONSENSE.items() for value in values])
def test_nonsense_of_every_kind_is_refused(key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"^--{key} .* is invalid\. Pass .*\.$"):
        check_values({key: value})


@pytest.mark.parametrize("file", CONFIGS, ids=lambda path: str(path.relative_to(ROOT / "configs")))
def test_the_values_of_every_configuration_are_of_their_kinds(file: Path) -> None:
    content = ConfigParser.load_config_file(file)
    read_switches(content)
    check_values(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epochs", -1),
        ("epochs", 1.5),
        ("stage1_epochs", "three"),
        ("pretraining_epochs", 0),
        ("learning_rate", -0.1),
        ("learning_rate", float("nan")),
        ("learning_rate", "nan"),
        ("generator_lr", 1e9),
        ("finetuning_rate", -0.001),
        ("batch_size", 0),
        ("batch_size", "many"),
        ("batch_size", True),
        ("num_workers", -1),
        ("workers", "all"),
        ("phantoms", 2.5),
        ("phantoms", -1),
        ("weights", 5),
        ("output_dir", 5),
        ("spacing", "abc"),
        ("spacing", (0, 8)),
        ("device", "gpu"),
        ("device", "cuda:99"),
        ("amp", "perhaps"),
        ("use_motion", 1),
        ("predicted_masks", 2),
        ("noise#lowest", -1),
        ("rotation_deg#highest", 4000),
        ("motion#rotation_deg", 4000),
        ("train#trainer#max_epochs", -1),
        ("optimizer#lr", float("inf")),
    ],
)
def test_nonsense_is_refused_with_the_option_first(key: str, value: Any) -> None:
    content = value
    for name in reversed(key.split("#")):
        content = {name: content}
    with pytest.raises(InputError, match=rf"^--{key} .* is invalid\. Pass .*\.$") as caught:
        check_values(content)
    assert "\n" not in str(caught.value)


def test_expressions_and_references_are_left_to_what_takes_them() -> None:
    check_values(
        {"epochs": "$@schedule.stage1", "amp": "@other", "noise": {"_target_": "x", "highest": "@b"}, "unknown": -1}
    )


def test_a_training_has_an_epoch() -> None:
    check_epochs({"stage1_epochs": 0, "stage2_epochs": 1})
    check_epochs({"epochs": 0, "working": []})
    with pytest.raises(InputError, match=r"^--stage1_epochs and --stage2_epochs: no epoch to train\. "):
        check_epochs({"stage1_epochs": 0, "stage2_epochs": 0})
    with pytest.raises(InputError, match=r"^--epochs: no epoch to train"):
        check_epochs({"epochs": 0})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("run_id", "job", "options", "key", "meaning"),
    [
        ("training", "segment_bones", {"amp": "false"}, "train#trainer#amp", False),
        ("training", "segment_bones", {"train#dataloader#shuffle": "FALSE"}, "train#dataloader#shuffle", False),
    ],
)
def test_a_run_from_python_has_its_switches_read_before_anything_is_built(
    bundle: Any, tmp_path: Path, run_id: str, job: str, options: dict[str, Any], key: str, meaning: bool
) -> None:
    settings = {"phantoms": 4, "image_size": 64, "epochs": 1, "batch_size": 2, "output_dir": str(tmp_path / "out")}
    network = {"backbone_options": {"features": [8] * 6}}
    parser = bundle.run(run_id, *of_job(job), **settings, **network, **options).parser
    assert parser[key] is meaning or parser[parser[key].removeprefix("@")] is meaning


def test_a_run_from_python_has_its_values_checked_and_may_add_keys(bundle: Any, tmp_path: Path) -> None:
    message = bundle.refusal("training", "train.yaml", batch_size=0, mine=3, output_dir=str(tmp_path / "out"))
    assert message == "error: --batch_size 0 is invalid. Pass a whole number of at least 1.\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"run_id": "trainning"}, "run_id: 'trainning' is unknown in this configuration. Did you mean training?"),
        ({"seed": "abc"}, "--seed 'abc' is invalid. Pass a whole number of at least 0."),
    ],
    ids=str,
)
def test_an_unknown_run_and_a_seed_are_refused_before_initialization(
    bundle: Any, tmp_path: Path, options: dict[str, Any], error: str
) -> None:
    settings = {"run_id": "training", **options}
    assert bundle.refusal(settings.pop("run_id"), "train.yaml", **settings) == f"error: {error}\n"


def test_weights_that_a_run_would_not_use_are_refused_with_those_that_it_takes() -> None:
    content: dict[str, Any] = {
        "weights": "",
        "pretrained": "",
        "scorer_weights": "",
        "start": {"load_path": "@pretrained"},
        "separated": "$@weights",
        "training": ["$@start.load()"],
        "pretraining": ["@separated", "@start"],
        "planning": [],
    }
    for run_id, name in (("training", "pretrained"), ("pretraining", "weights"), ("pretraining", "pretrained")):
        check_weights_used(run_id, {**content, name: "a.pt"})
    check_weights_used("planning", {**content, "weights": "none"})
    with pytest.raises(
        InputError, match=r"^--weights: this run does not use a\.pt\. Pass weights with --pretrained\.$"
    ):
        check_weights_used("training", {**content, "weights": "a.pt"})
    with pytest.raises(InputError, match=r"^--scorer_weights: .* Pass weights with --weights or --pretrained\.$"):
        check_weights_used("pretraining", {**content, "scorer_weights": "a.pt"})
    with pytest.raises(InputError, match=r"Remove --weights\.$"):
        check_weights_used("planning", {**content, "weights": "a.pt"})
