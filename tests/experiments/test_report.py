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
from bundle.experiments.experiments import Arm, Downstream, Run, Runner
from bundle.experiments.report import EXPERIMENT, Experiment


class Nothing(Runner):
    """Carries out nothing: the evaluations are there."""

    def __call__(self, runs: list[Run]) -> None:  # type: ignore[override]
        pass


def experiment(folder: Path, **more: Any) -> Experiment:
    task = Downstream(
        train=["t"],
        pretrain=([], []),
        evaluate=([], ["e"]),
        arms={"none": Arm("without"), "ours": Arm("with", {})},
        parts=[0.5, 1.0],
        seeds=[0, 1],
    )
    known: dict[str, Any] = {"title": "Widths", "question": "Better?", "task": task, "figures": {"mae": "MAE (mm)"}}
    return Experiment(
        **{
            **known,
            "runner": Nothing(output_dir=str(folder)),
            "errors": [ErrorColumn("error_mm")],
            "base": "none",
            **more,
        }
    )


def evaluated(made: Experiment, arm: str, part: float, seed: int, errors: list[float]) -> None:
    folder = made.folder / made.task.evaluated(arm, part, seed)
    folder.mkdir(parents=True)
    names = [f"image{index}" for index in range(len(errors))]
    rows = pd.DataFrame({"name": names, "joint": names, "error_mm": errors})
    rows.to_csv(folder / "per_image.csv", index=False)
    figures = {"mae": rows["error_mm"].abs().mean(), "other": 3}
    (folder / "metrics.json").write_text(json.dumps({"figures": figures}))


@pytest.fixture
def made(tmp_path: Path) -> Experiment:
    found = experiment(tmp_path / "out", curves=["mae"], compared=["mae"])
    found.run()
    for arm, part, seed in found.task.cells():
        scale = (2.0 if arm == "none" else 1.0) / part
        evaluated(found, arm, part, seed, [-0.1 * scale, 0.2 * scale, 0.3 * scale])
    found.run()
    return found


def test_every_cell_is_told_with_its_means_and_what_is_gone_of_the_error(made: Experiment) -> None:
    found = json.loads((made.folder / EXPERIMENT).read_text())
    assert len(found["cells"]) == 8 and found["cells"][0]["figures"] == {"mae": pytest.approx(0.8)}
    means = {(row["arm"], row["part"]): row["mean"] for row in found["over_seeds"]}
    assert means == pytest.approx({("none", 1.0): 0.4, ("ours", 1.0): 0.2, ("none", 0.5): 0.8, ("ours", 0.5): 0.4})
    gone = {(row["arm"], row["part"], row["base_part"]): row["reduction"] for row in found["reductions"]}
    expected = {("ours", 0.5, 0.5): 0.5, ("ours", 0.5, 1.0): 0.0, ("ours", 1.0, 0.5): 0.75, ("ours", 1.0, 1.0): 0.5}
    assert gone == pytest.approx(expected, abs=1e-9)
    changes = {(row["arm"], row["part"], row["figure"]): row["change"] for row in found["changes"]}
    assert changes == pytest.approx({("ours", 0.5, "mae"): -0.5, ("ours", 1.0, "mae"): -0.5})
    assert (made.folder / "mae.png").is_file()


def test_an_experiment_that_is_not_done_tells_what_is(tmp_path: Path) -> None:
    made = experiment(tmp_path / "out")
    made.run()
    assert not (made.folder / EXPERIMENT).exists()
    evaluated(made, "none", 1.0, 0, [0.1, 0.2])
    made.run()
    found = json.loads((made.folder / EXPERIMENT).read_text())
    assert [row["lower"] for row in found["over_seeds"]] == [None] and found["reductions"] == []


def test_damaged_figures_are_named(made: Experiment) -> None:
    folder = made.folder / made.task.evaluated("none", 1.0, 0)
    (folder / "metrics.json").write_text("{}")
    with pytest.raises(InputError, match=r"part100_seed0.*delete it and run it again"):
        made.write()


@pytest.mark.parametrize("of", ["options", "pretraining", "training", "evaluation"])
def test_another_experiments_folder_is_refused(made: Experiment, of: str) -> None:
    other = replace(made, task=replace(made.task, **{of: {"amp": True}}))
    with pytest.raises(InputError, match="another run"):
        other.run()


def test_a_part_can_be_added(made: Experiment) -> None:
    more = replace(made, task=replace(made.task, parts=[0.5, 1.0, 0.2]))
    evaluated(more, "none", 0.2, 0, [0.5, 0.6, 0.7])
    more.run()
    assert len(json.loads((made.folder / EXPERIMENT).read_text())["cells"]) == 9
