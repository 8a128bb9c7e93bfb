"""The definitions of the experiments that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bundle.errors import InputError
from bundle.experiments import experiment_names, read_definition, typed
from bundle.workflow.option_names import check_names, configured_by
from bundle.workflow.option_use import check_used
from monai.bundle import ConfigParser

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", experiment_names(ROOT))
def test_every_run_is_of_configurations_and_options_that_are_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    experiment = read_definition(ROOT, name, "out", "figures")
    runs, cells = experiment.runs.values(), len(experiment.cells)
    assert {path for run in runs for path in run.configs if not (ROOT / path).is_file()} == set()
    assert cells == len(experiment.task.arms) * len(experiment.task.fractions) * len(experiment.task.seeds)
    assert sum(run.run_id == "evaluating" for run in runs) == cells
    assert experiment.base in experiment.task.arms
    assert {*experiment.curves, *experiment.compared} <= set(experiment.figures)
    for run in {(run.configs[-1], run.run_id): run for run in runs}.values():
        given = [part for option, value in run.options.items() for part in (f"--{option}", str(value))]
        check_names([run.run_id, "--config_file", str(list(run.configs)), *given, "--dataset_dir", "x"])
        parser = ConfigParser(config=configured_by({"config_file": str(list(run.configs))}))
        parser.resolve_macro_and_relative_ids()
        check_used(run.run_id, run.options, parser.get())
        assert re.search(rf"^{run.run_id}:", "\n".join((ROOT / path).read_text() for path in run.configs), re.M)


def test_a_definition_lies_over_the_one_that_it_extends_and_options_over_both() -> None:
    options = {"epochs": 3, "task#training#extra": 1}
    few = read_definition(ROOT, "few_masks", "out", "figures", options)
    assert set(few.task.arms) == {"none", "few", "ours"} and few.task.fractions == [0.05]
    assert few.task.training["epochs"] == 3 and few.task.training["extra"] == 1
    assert few.task.arms["few"].pretraining["pretraining_part"] == 0.05
    assert (few.output_dir, few.figures_dir) == ("out/few_masks", "figures/few_masks")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("read_jws", {}, "configs/experiments/read_jws.yaml: no such experiment. .*read_joint_space"),
        ("read_joint_space", {"epoch": 3}, "read_joint_space: there is no option epoch. Choose from .*epochs"),
        ("read_joint_space", {"seeds": []}, "an experiment needs at least one arm, fraction and seed"),
    ],
)
def test_what_is_not_there_is_refused(name: str, options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_definition(ROOT, name, "out", "figures", options)


def test_options_of_snakemake_are_numbers_and_switches_again() -> None:
    given = {
        "seeds": ["0", "1"],
        "amp": "false",
        "rate": "1e-3",
        "text": "{'a': 1}",
        "name": "ResNet10",
        "deep": {"x": "2"},
    }
    expected = {"seeds": [0, 1], "amp": False, "rate": "1e-3", "text": "{'a': 1}", "name": "ResNet10", "deep": {"x": 2}}
    assert typed(given) == expected
