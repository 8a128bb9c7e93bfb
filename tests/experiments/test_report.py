"""What an experiment writes of its runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from bundle.errors import InputError
from bundle.experiments.agreement import ErrorColumn
from bundle.experiments.markdown import EXPERIMENT
from bundle.experiments.report import SECTION, Experiment
from bundle.experiments.runs import Arm, Downstream


def experiment(folder: Path, **more: Any) -> Experiment:
    task = Downstream(
        train=["t"],
        pretrain=([], []),
        evaluate=([], ["e"]),
        arms={"none": Arm("without"), "ours": Arm("with", {})},
        fractions=[0.5, 1.0],
        seeds=[0, 1],
    )
    known: dict[str, Any] = {"name": "x", "title": "Widths", "question": "Better?", "task": task}
    known |= {"output_dir": str(folder / "out"), "figures_dir": str(folder / "kept" / "x")}
    known |= {"figures": {"mae": "MAE (mm)"}, "errors": [ErrorColumn("error_mm")], "base": "none"}
    return Experiment(**{**known, **more})


def evaluated(made: Experiment, name: str, errors: list[float]) -> None:
    """Leave an evaluation and keep its figures."""
    folder = Path(made.output_dir) / made.task.evaluated(*made.cells[name])
    folder.mkdir(parents=True)
    names = [f"image{index}" for index in range(len(errors))]
    rows = pd.DataFrame({"name": names, "joint": names, "error_mm": errors})
    rows.to_csv(folder / "per_image.csv", index=False)
    figures = {"mae": rows["error_mm"].abs().mean(), "other": 3}
    (folder / "metrics.json").write_text(json.dumps({"figures": figures, "machine": {"cpu": "fast"}}))
    made.keep(name)


def result(made: Experiment) -> dict[str, Any]:
    made.collect("snakemake")
    return json.loads((Path(made.output_dir) / EXPERIMENT).read_text())


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    for name in ("DATASET_DIR", "DATALIST", "TEST_DATALIST"):
        monkeypatch.delenv(name, raising=False)
    found = experiment(tmp_path, curves=["mae"], compared=["mae"])
    for name, (arm, fraction, _) in found.cells.items():
        scale = (2.0 if arm == "none" else 1.0) / fraction
        evaluated(found, name, [-0.1 * scale, 0.2 * scale, 0.3 * scale])
    return found


@pytest.mark.slow
def test_every_cell_is_reported_with_its_means_and_the_error_removed(made: Experiment) -> None:
    found = result(made)
    assert len(found["cells"]) == 8 and found["cells"][0]["figures"] == {"mae": pytest.approx(0.8)}
    means = {(row["arm"], row["fraction"]): row["mean"] for row in found["over_seeds"]}
    assert means == pytest.approx({("none", 1.0): 0.4, ("ours", 1.0): 0.2, ("none", 0.5): 0.8, ("ours", 0.5): 0.4})
    gone = {(row["arm"], row["fraction"], row["base_fraction"]): row["reduction"] for row in found["reductions"]}
    expected = {("ours", 0.5, 0.5): 0.5, ("ours", 0.5, 1.0): 0.0, ("ours", 1.0, 0.5): 0.75, ("ours", 1.0, 1.0): 0.5}
    assert gone == pytest.approx(expected, abs=1e-9)
    changes = {(row["arm"], row["fraction"], row["figure"]): row["change"] for row in found["changes"]}
    assert changes == pytest.approx({("ours", 0.5, "mae"): -0.5, ("ours", 1.0, "mae"): -0.5})
    assert (Path(made.output_dir) / "mae.png").is_file()
    section = (Path(made.output_dir) / SECTION).read_text()
    assert section.startswith("### Widths\n") and "To repeat it: `snakemake`." in section


@pytest.mark.slow
def test_the_figures_of_a_run_hold_all_that_is_reported_of_it(made: Experiment) -> None:
    path = made.kept("ours/part050_seed1")
    assert path.is_relative_to(Path(made.figures_dir)) and path.stat().st_size < 2000
    found = json.loads(path.read_text())
    assert (found["arm"], found["fraction"], found["seed"], found["machine"]) == ("ours", 0.5, 1, {"cpu": "fast"})
    assert found["figures"] == {"mae": pytest.approx(0.4), "other": 3}
    assert found["errors"]["error_mm"] == [-0.2, 0.4, 0.6] and found["errors"]["joint"] == found["errors"]["name"]
    clone = replace(made, output_dir=f"{made.output_dir}_of_a_clone")
    assert result(clone) == result(made)


def test_rows_without_any_error_are_left_out_and_a_missing_one_is_kept(tmp_path: Path) -> None:
    made = experiment(tmp_path, errors=[ErrorColumn("error_mm"), ErrorColumn("sigma")])
    folder = Path(made.output_dir) / made.task.evaluated("none", 1.0, 0)
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps({"figures": {"mae": 1.0}}))
    (folder / "per_image.csv").write_text("name,joint,error_mm,sigma\na,j,0.1,\nb,j,,\nc,j,,0.3\n")
    made.keep("none/part100_seed0")
    (outcome,) = made.outcomes()
    assert outcome.errors is not None and outcome.errors["name"].tolist() == ["a", "c"]
    assert outcome.errors[["error_mm", "sigma"]].isna().to_numpy().tolist() == [[False, True], [True, False]]


def test_fewer_runs_than_all_are_collected(tmp_path: Path) -> None:
    made = experiment(tmp_path, compared=["mae"])
    evaluated(made, "none/part100_seed0", [0.1, 0.2])
    evaluated(made, "ours/part100_seed0", [0.1, 0.1])
    found = result(made)
    assert [row["lower"] for row in found["over_seeds"]] == [None, None] and len(found["reductions"]) == 1
    assert "nan" not in (Path(made.output_dir) / SECTION).read_text()


@pytest.mark.slow
def test_a_fraction_can_be_added(made: Experiment) -> None:
    more = replace(made, task=replace(made.task, fractions=[0.5, 1.0, 0.2]))
    evaluated(more, "none/part020_seed0", [0.5, 0.6, 0.7])
    assert len(result(more)["cells"]) == 9


def test_damaged_evaluations_and_figures_are_named(made: Experiment) -> None:
    name = "none/part100_seed0"
    (Path(made.output_dir) / name / "evaluation" / "metrics.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"part100_seed0/evaluation/metrics.json: .*Delete its folder and run it again"
    ):
        made.keep(name)
    made.kept(name).write_text("[1")
    with pytest.raises(InputError, match=r"none/part100_seed0.json: .*Delete the file to measure them again"):
        made.outcomes()


@pytest.mark.parametrize("of", ["options", "pretraining", "training", "evaluation"])
def test_figures_of_other_settings_are_refused(made: Experiment, of: str) -> None:
    other = replace(made, task=replace(made.task, **{of: {"amp": True}}))
    with pytest.raises(InputError, match=rf"part100_seed0.json: .*other settings: {of} amp was None, is True. Delete"):
        replace(other, task=replace(other.task, fractions=[1.0])).outcomes()


def test_figures_of_another_run_or_another_data_set_are_refused(made: Experiment, monkeypatch: Any) -> None:
    made.kept("none/part100_seed0").write_bytes(made.kept("none/part100_seed1").read_bytes())
    with pytest.raises(InputError, match="it is of another run"):
        made.outcomes()
    monkeypatch.setenv("DATASET_DIR", "/my/Data")
    monkeypatch.setenv("DATALIST", "Jane Doe")
    with pytest.raises(InputError, match="data was 'phantoms', is 'files'; datalist was '', is 'list_") as refused:
        made.outcomes()
    assert "Doe" not in str(refused.value)


def test_classes_and_configurations_may_move(made: Experiment) -> None:
    def settings(module: str, folder: str) -> Experiment:
        target = f"{{'_target_': '{module}.Own'}}"
        return replace(
            made, task=replace(made.task, train=[f"{folder}/t.yaml"], pretraining={"joint_space_mm": target})
        )

    before, after = settings("bundle.distributions", "configs"), settings("bundle.datasets", "configs/tasks")
    assert before._settings("none") != after._settings("none")
    before.keep("none/part100_seed0")
    only = replace(after, task=replace(after.task, fractions=[1.0], seeds=[0], arms={"none": Arm("without")}))
    assert len(only.outcomes()) == 1


@pytest.mark.slow
def test_comparisons_of_errors_that_were_not_kept_are_those_found_before(made: Experiment) -> None:
    found = result(made)
    Path(made.figures_dir).parent.joinpath("widths.json").write_text(json.dumps(found))
    for name in made.cells:
        content = json.loads(made.kept(name).read_text())
        made.kept(name).write_text(json.dumps({**content, "errors": None}))
    fresh = replace(made)
    assert result(fresh)["reductions"] == found["reductions"]
    evaluated(more := replace(made, task=replace(made.task, seeds=[0, 1, 2])), "ours/part100_seed2", [0.1, 0.2, 0.3])
    known = {row["fraction"]: row["reduction"] for row in result(more)["reductions"] if row["base_fraction"] == 1.0}
    assert known == {0.5: pytest.approx(0.0), 1.0: None}, "of other runs nothing is known"
