"""Runs that need each other, carried out once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.experiments.experiments import Arm, Downstream, Run, Runner, Separator

WRITES = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1]); folder.mkdir(parents=True, exist_ok=True)
with open(folder.parent / "order.txt", "a") as file: file.write(folder.name + " ")
if {fails}: sys.exit("error: it cannot")
(folder / "result").touch()
"""


class Program(Run):
    """A run of a few lines of Python instead of MONAI's command line."""

    def command(self, folder: Path) -> list[str]:
        return [sys.executable, "-c", WRITES.format(fails=self.options.get("fails", False)), str(folder)]


def program(name: str, *after: str, **options: Any) -> Program:
    return Program(name=name, run_id="", configs=[], options=options, result="result", after=after)


def order(folder: Path) -> list[str]:
    return (folder / "order.txt").read_text().split()


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_run_waits_for_those_that_it_needs(tmp_path: Path, jobs: int) -> None:
    runs = [program("c", "a", "b"), program("a"), program("b", "a"), program("d")]
    Runner(output_dir=str(tmp_path), jobs=jobs)(runs)
    found = order(tmp_path)
    assert sorted(found) == ["a", "b", "c", "d"]
    assert found.index("a") < found.index("b") < found.index("c")


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    runner = Runner(output_dir=str(tmp_path))
    runner([program("a"), program("b", "a")])
    runner([program("a"), program("b", "a"), program("c", "b")])
    assert order(tmp_path) == ["a", "b", "c"]


def test_a_run_whose_result_is_of_one_that_was_stopped_is_done_again(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "result").touch()
    Runner(output_dir=str(tmp_path))([program("a")])
    assert order(tmp_path) == ["a"]


def test_a_failure_is_told_and_stops_only_what_needs_it(tmp_path: Path) -> None:
    runs = [program("a", fails=True), program("b", "a"), program("c")]
    with pytest.raises(InputError, match=r"1 that failed, 1 need them: a: it cannot \(exit code 1, see .*a.log.txt\)"):
        Runner(output_dir=str(tmp_path))(runs)
    assert order(tmp_path) == ["a", "c"]
    Runner(output_dir=str(tmp_path))([program("a"), program("b", "a"), program("c")])
    assert order(tmp_path) == ["a", "c", "a", "b"]


def downstream(**more: Any) -> Downstream:
    arms = {"none": Arm("without"), "ours": Arm("with", {"weights": "none"})}
    known: dict[str, Any] = {"train": ["t"], "pretrain": (["i"], ["p"]), "evaluate": ([], ["e"]), "arms": arms}
    return Downstream(**{**known, "parts": [0.5, 1.0], "seeds": [0, 1], "options": {"dataset_dir": "D"}, **more})


def test_trainings_differ_in_their_start_part_and_seed_alone(tmp_path: Path) -> None:
    runs = {run.name: run for run in downstream(training={"epochs": 3}).runs(tmp_path)}
    assert len(runs) == 2 + 2 * 2 * 2 * 2
    without, with_it = (runs[f"{arm}/part050_seed1"] for arm in ("none", "ours"))
    assert without.configs == with_it.configs == ["t"]
    start = {"pretrained": str(tmp_path / "ours" / "pretraining_seed1" / "pretrained.pt")}
    assert with_it.options == {**without.options, **start}
    assert without.options == {"dataset_dir": "D", "epochs": 3, "seed": 1, "annotated": 0.5, "resume": "true"}
    assert with_it.after == ["ours/pretraining_seed1"] and not without.after
    evaluation = runs["ours/part050_seed1/evaluation"]
    assert evaluation.after == [with_it.name] and evaluation.configs == ["t", "e"]
    assert evaluation.options["reader_weights"] == str(tmp_path / with_it.name / "reader.pt")


def test_pretrainings_share_the_sources_of_their_arm_one_after_the_other(tmp_path: Path) -> None:
    runs = {run.name: run for run in downstream().runs(tmp_path)}
    first, second = (runs[f"ours/pretraining_seed{seed}"] for seed in (0, 1))
    assert first.options["sources_dir"] == second.options["sources_dir"] == str(tmp_path / "ours" / "sources")
    assert first.configs == ["i", "t", "p"] and first.options["weights"] == "none"
    assert not first.after and second.after == [first.name]


def test_a_separator_of_an_arm_is_trained_first_and_makes_its_radiographs(tmp_path: Path) -> None:
    arms = {"lsn": Arm("LSN", {"head": "h"}, Separator(configs=["s"], options={"epochs": 2}))}
    runs = {run.name: run for run in downstream(arms=arms).runs(tmp_path)}
    made, first = runs["lsn/separator"], runs["lsn/pretraining_seed0"]
    assert made.configs == ["s"] and made.options["dataset_dir"] == "D" and made.options["epochs"] == 2
    assert first.after == ["lsn/separator"]
    assert first.options["weights"] == str(tmp_path / "lsn" / "separator" / "model.pt")


def test_a_fine_tuning_sees_the_synthetic_radiographs_of_its_arm(tmp_path: Path) -> None:
    arms = {"mixed": Arm("mixed", {"weights": "none"}, training={"epochs": 5}, fine_tuning="tuning")}
    made = downstream(arms=arms, training={"epochs": 3}, pretraining={"images": 4})
    runs = {run.name: run for run in made.runs(tmp_path)}
    first, tuned = runs["mixed/pretraining_seed1"], runs["mixed/part050_seed1"]
    assert (tuned.run_id, tuned.configs, tuned.after) == ("tuning", first.configs, [first.name])
    start = {"pretrained": str(tmp_path / first.name / "pretrained.pt"), "annotated": 0.5, "epochs": 5}
    assert tuned.options == {**first.options, **start}


def test_every_run_needs_only_runs_before_it(tmp_path: Path) -> None:
    seen: set[str] = set()
    for run in downstream().runs(tmp_path):
        assert seen.issuperset(run.after)
        seen.add(run.name)


def test_a_command_is_what_a_user_would_type(tmp_path: Path) -> None:
    run = Run(name="a", run_id="training", configs=["c.yaml"], options={"seed": 1, "amp": True, "x": "y"}, result="r")
    start = ["-m", "monai.bundle", "run", "training", "--config_file", "['c.yaml']"]
    given = ["--seed", "1", "--amp", "true", "--x", "y", "--output_dir", str(tmp_path)]
    assert run.command(tmp_path)[1:] == [*start, *given]


@pytest.mark.parametrize("nothing", ["arms", "parts", "seeds"])
def test_nothing_to_compare_is_refused(nothing: str) -> None:
    with pytest.raises(InputError, match="at least one arm, part and seed"):
        downstream(**{nothing: type(getattr(downstream(), nothing))()})
