"""The runs that an experiment takes."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.experiments.runs import Arm, Downstream, Run, Separator, complaint


def downstream(**more: Any) -> Downstream:
    arms = {"none": Arm("without"), "ours": Arm("with", {"weights": "none"})}
    known: dict[str, Any] = {"train": ["t"], "pretrain": (["i"], ["p"]), "evaluate": ([], ["e"]), "arms": arms}
    return Downstream(**{**known, "fractions": [0.5, 1.0], "seeds": [0, 1], "options": {"amp": True}, **more})


def runs_of(task: Downstream) -> dict[str, Run]:
    return {run.name: run for run in task.runs("out")}


def test_trainings_differ_in_their_start_fraction_and_seed_alone() -> None:
    runs = runs_of(downstream(training={"epochs": 3}))
    assert len(runs) == 2 + 2 + 2 * 2 * 2 * 2
    without, with_it = (runs[f"{arm}/part050_seed1"] for arm in ("none", "ours"))
    assert without.configs == with_it.configs == ["t"]
    start = {"pretrained": "out/ours/pretraining_seed1/pretrained.pt"}
    assert with_it.options == {**without.options, **start}
    assert without.options == {"amp": True, "epochs": 3, "seed": 1, "annotated": 0.5, "resume": "true"}
    assert with_it.after == ["ours/pretraining_seed1"] and not without.after
    evaluation = runs["ours/part050_seed1/evaluation"]
    assert evaluation.after == [with_it.name] and evaluation.configs == ["t", "e"]
    assert evaluation.options["scorer_weights"] == f"out/{with_it.name}/scorer.pt"


def test_the_joints_of_an_arm_are_separated_into_one_folder_by_one_run_at_a_time() -> None:
    runs = runs_of(downstream())
    made = [runs[f"ours/sources_seed{seed}"] for seed in (0, 1)]
    first, second = (runs[f"ours/pretraining_seed{seed}"] for seed in (0, 1))
    assert {run.options["sources_dir"] for run in (*made, first, second)} == {"out/ours/sources"}
    assert made[1].after == [made[0].name] and first.after == [made[0].name] and second.after == [made[1].name]
    assert made[0].run_id == "separating" and made[0].configs == first.configs == ["i", "t", "p"]
    assert first.options == {**made[0].options, "resume": "true"} and first.options["weights"] == "none"


def test_test_joints_are_separated_once_for_all_evaluations_that_need_them() -> None:
    runs = runs_of(downstream(test_sources=True, evaluation={"repeats": 2}))
    made, evaluation = runs["test_separation"], runs["none/part050_seed0/evaluation"]
    assert evaluation.after == ["none/part050_seed0", "test_separation"] and made.configs == evaluation.configs
    assert made.options == {"amp": True, "repeats": 2, "sources_dir": "out/test_sources"}
    assert evaluation.options == {**made.options, "scorer_weights": "out/none/part050_seed0/scorer.pt"}
    assert "test_separation" not in runs_of(downstream())


def test_a_separator_of_an_arm_is_trained_first_and_makes_its_radiographs() -> None:
    arms = {"lsn": Arm("LSN", {"head": "h"}, Separator(configs=["s"], options={"epochs": 2}))}
    runs = runs_of(downstream(arms=arms))
    made, sources = runs["lsn/separator"], runs["lsn/sources_seed0"]
    assert made.configs == ["s"] and made.options == {"resume": "true", "epochs": 2}
    assert sources.after == ["lsn/separator"] and sources.options["weights"] == "out/lsn/separator/model.pt"


def test_a_fine_tuning_sees_the_synthetic_radiographs_of_its_arm() -> None:
    arms = {"mixed": Arm("mixed", {"weights": "none"}, training={"epochs": 5}, fine_tuning="tuning")}
    runs = runs_of(downstream(arms=arms, training={"epochs": 3}, pretraining={"images": 4}))
    first, tuned = runs["mixed/pretraining_seed1"], runs["mixed/part050_seed1"]
    assert (tuned.run_id, tuned.configs, tuned.after) == ("tuning", first.configs, [first.name])
    start = {"pretrained": f"out/{first.name}/pretrained.pt", "annotated": 0.5, "epochs": 5}
    assert tuned.options == {**first.options, **start}


def test_every_run_needs_only_runs_before_it() -> None:
    seen: set[str] = set()
    for run in downstream(test_sources=True).runs("out"):
        assert seen.issuperset(run.after)
        seen.add(run.name)


@pytest.mark.parametrize("lists", [{}, {"DATALIST": "my train", "TEST_DATALIST": "my test"}])
@pytest.mark.parametrize("test", [False, True])
def test_a_command_names_the_data_set_by_the_environment_alone(lists: dict[str, str], test: bool) -> None:
    options = {"seed": 1, "amp": True, "x": "y z", "more": {"a": 1}}
    run = Run(name="a", run_id="training", configs=["c.yaml"], options=options, test=test)
    command = run.command("out")
    assert "my " not in command
    known = {"DATASET_DIR": "/a folder", **lists}
    shown = subprocess.run(["bash", "-c", f"printf '%s\\n' {command}"], env=known, capture_output=True, text=True)
    given = ["--seed", "1", "--amp", "true", "--x", "y z", "--more", '{"a": 1}', "--output_dir", "out/a"]
    data = ["--dataset_dir", "/a folder", *(["--datalist", "my test" if test else "my train"] if lists else [])]
    assert shown.stdout.splitlines() == ["training", "--config_file", "['c.yaml']", *given, *data]
    assert shlex.split(command)[0] == "training"


@pytest.mark.parametrize("nothing", ["arms", "fractions", "seeds"])
def test_nothing_to_compare_is_refused(nothing: str) -> None:
    with pytest.raises(InputError, match="at least one arm, fraction and seed"):
        downstream(**{nothing: type(getattr(downstream(), nothing))()})


@pytest.mark.parametrize("wrong", [{"fractions": [0.051, 0.05]}, {"seeds": [1, 1]}, {"arms": {"a/b": Arm("x")}}])
def test_runs_of_one_folder_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"/part.*: the names of runs need arms of letters"):
        downstream(**wrong)


def test_the_last_error_of_a_log_is_what_went_wrong() -> None:
    assert complaint("a\nerror: no file\nbye\n") == "no file"
    assert complaint("Traceback\nValueError: wrong\n") == "ValueError: wrong"
    assert complaint("one\ntwo\n\n") == "ended without an error message, after: two"
    assert complaint("\n") == "ended without a message"
