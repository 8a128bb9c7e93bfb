from __future__ import annotations

import io
import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from bundle.errors import InputError, input_message
from bundle.physics.radiograph import reconstruct
from bundle.physics.synthesis import SyntheticJoints
from monai.utils import set_determinism
from scripts import benchmark
from scripts.benchmarks import speed_report, subjects, timing
from scripts.benchmarks.runtimes import best_runtimes
from scripts.benchmarks.settings import INFERENCE, MEMORY, REFERENCE, Figure, Settings
from torch import nn

FEATURES = [4, 4, 4, 4, 4, 4]
SMALL = {"backbone": "BasicUNet", "backbone_options": {"features": FEATURES}}
ADVERSARY = {"adversary": "BasicUNet", "adversary_options": {"features": FEATURES}}
TRANSUNET = {
    "encoder_channels": [4, 4, 4, 4],
    "hidden_size": 8,
    "num_heads": 2,
    "mlp_dim": 8,
    "num_blocks": 1,
    "bridge_channels": 4,
    "decoder_channels": [4, 4, 4, 4],
}
OVERLAYS = {
    "inference": {**SMALL, "batch_size": 2},
    "training": {**SMALL, **ADVERSARY, "batch_size": 3},
    "paper": {"backbone": "TransUNet", "backbone_options": TRANSUNET, **ADVERSARY, "batch_size": 1},
}
BATCHES = {"inference": 2, "training": 3, "paper_training": 1}
REPEATS = 3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Options: the bundle's own configurations with tiny networks laid over them, and small phantoms."""
    folder = tmp_path_factory.mktemp("configs")
    options = ["--size", "64", "--threads", "1", "--device", "cpu"]
    for name, overlay in OVERLAYS.items():
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(overlay))
        options += [f"--{name}", *map(str, getattr(benchmark, name.upper())), str(path)]
    return options


@pytest.fixture(scope="module", autouse=True)
def randomness_as_before() -> Iterator[None]:
    yield
    set_determinism(None)


@pytest.fixture(scope="module")
def full(tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """What a run over all subjects wrote and printed."""
    output = tmp_path_factory.mktemp("output") / "speed.md"
    return run([*tiny, "--repeats", str(REPEATS), "--output", str(output)]), output.read_text()


def run(options: list[str]) -> str:
    printed = io.StringIO()
    with redirect_stdout(printed):
        benchmark.main(options)
    return printed.getvalue()


def settings(options: list[str]) -> Settings:
    given = vars(benchmark.command_line().parse_args(options))
    del given["output"]
    return Settings(**given)


def rows(report: str) -> list[dict[str, str]]:
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], cells, strict=True)) for cells in lines[2:]]


def all_but(*names: str) -> list[str]:
    skippable = [*subjects.SUBJECTS, MEMORY]
    return ["--skip", *(name for name in skippable if name not in (REFERENCE, *names))]


@pytest.mark.long
def test_every_subject_has_a_row_with_positive_finite_figures(full: tuple[str, str]) -> None:
    table = rows(full[1])
    assert len(table) == len(subjects.SUBJECTS) >= 9
    assert len({row["measured"] for row in table}) == len(table)
    for row in table:
        assert all(math.isfinite(float(row[key])) and float(row[key]) > 0 for key in ("figure", "ratio"))
        assert int(row["repeats"]) == REPEATS
    assert [row["unit"] for row in table] == ["images/s"] * (len(table) - 2) + ["s/step"] * 2


@pytest.mark.long
def test_ratios_are_those_of_images_a_second_to_the_separator(full: tuple[str, str]) -> None:
    table = rows(full[1])
    assert table[0]["measured"] == "weight-free separator"
    assert table[0]["ratio"] == "1"
    for row in table:
        figure = float(row["figure"])
        speed = figure if row["unit"] == "images/s" else int(row["batch"]) / figure
        assert float(row["ratio"]) == pytest.approx(speed / float(table[0]["figure"]), rel=0.02)


def promised(report: str) -> dict[str, float]:
    lines = re.findall(r"^- (separation|memory)(.*): ([0-9.]+) (?:times|MB)", report, re.MULTILINE)
    return {name + (said if name == "separation" else ""): float(figure) for name, said, figure in lines}


@pytest.mark.long
def test_the_default_network_is_compared_with_the_papers(full: tuple[str, str]) -> None:
    shown = dict(zip(subjects.SUBJECTS, rows(full[1]), strict=True))
    ratios = {name: figure for name, figure in promised(full[1]).items() if name != "memory"}
    assert len(ratios) == len(speed_report.COMPARED) + 2
    for own, paper, precision in speed_report.COMPARED:
        expected = float(shown[own]["figure"]) / float(shown[paper]["figure"])
        assert ratios[f"separation by the default network{precision}"] == pytest.approx(expected, rel=0.02)
    assert promised(full[1])["memory"] > 100


def test_the_best_runtimes_of_both_networks_are_compared() -> None:
    speeds = {"inference": 2.0, "inference_openvino": 8.0, "inference_amp": 1.0, "inference_amp_openvino": 16.0}
    speeds |= {"paper_inference": 0.25, "paper_inference_onnxruntime": 0.5, "paper_inference_amp": 4.0}
    figures = {name: Figure(name, 1, [1.0 / speed]) for name, speed in speeds.items()}
    assert best_runtimes(figures) == [
        "- separation, both in their best fp32 runtime: 16 times the paper's network",
        "- separation with --amp true against the paper's network in torch: 64 times",
    ]
    without = {name: figures[name] for name in ("inference", "paper_inference_onnxruntime")}
    assert best_runtimes(without) == ["- separation, both in their best fp32 runtime: 4 times the paper's network"]
    assert best_runtimes({"inference": figures["inference"]}) == []


@pytest.mark.slow
def test_what_is_skipped_is_not_promised(tiny: list[str]) -> None:
    assert promised(run([*tiny, "--repeats", "1", "--seconds", "0", *all_but("inference")])) == {}


@pytest.mark.long
def test_memory_is_that_of_a_fresh_process_with_the_libraries(tiny: list[str]) -> None:
    """It holds torch, hence more than 100 MB, and nothing of what this process holds."""
    ballast = torch.ones(500_000_000 // 4)
    here = timing.most_held() / 1e6
    measured = subjects.peak_memory(settings(tiny))
    assert here > 500
    assert measured is not None
    most, libraries = measured
    assert 100 < libraries < most < here - 4e-6 * ballast.numel() / 2


@pytest.mark.long
def test_batches_are_those_of_the_configurations(full: tuple[str, str]) -> None:
    shown = dict(zip(subjects.SUBJECTS, rows(full[1]), strict=True))
    batches = {name: BATCHES.get(name, BATCHES["inference"]) for name in subjects.SUBJECTS}
    assert {name: int(row["batch"]) for name, row in shown.items()} == batches


@pytest.mark.long
def test_networks_are_those_of_the_configurations(full: tuple[str, str]) -> None:
    shown = dict(zip(subjects.SUBJECTS, rows(full[1]), strict=True))
    for name, backbone in (("inference", "BasicUNet"), ("training", "BasicUNet")):
        assert f"{backbone} of " in shown[name]["measured"]
        assert "TransUNet of " in shown[f"paper_{name}"]["measured"]
    assert "`train.yaml` + `lsn_paper.yaml`" in shown["paper_inference"]["measured"]


@pytest.mark.long
def test_the_report_says_how_it_was_made_and_is_written_as_printed(full: tuple[str, str], tiny: list[str]) -> None:
    printed, written = full
    assert printed.strip() == written.strip()
    assert f"python scripts/benchmark.py {tiny[0]} {tiny[1]}" in written
    for said in ("device: cpu (", "threads: 1", f"torch {torch.__version__}", "64 x 64 pixels", "seed 0"):
        assert said in written


def test_skipped_subjects_are_neither_measured_nor_read(tiny: list[str]) -> None:
    table = rows(run([*tiny, "--repeats", "1", *all_but("shift"), "--paper", "nowhere.yaml"]))
    assert [row["measured"] for row in table] == ["weight-free separator", "f_r + f_s alone, bilinear"]


@pytest.mark.slow
def test_without_time_everything_is_measured_once_and_one_batch_size_is_for_all(tiny: list[str]) -> None:
    options = ["--batch_size", "1", "--repeats", "9", "--seconds", "0", *all_but("inference", "training")]
    table = rows(run([*tiny, *options]))
    assert [(row["batch"], row["repeats"]) for row in table] == [("1", "1")] * 3


def test_each_subject_does_the_work_it_is_named_after(tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    results = []

    def result_of(work: Callable[[], Any], _: Settings) -> list[float]:
        results.append(work())
        return [1.0]

    monkeypatch.setattr(subjects, "batch_times", result_of)
    asked = settings([*tiny, *all_but("shift", "synthesis", "inference", "paper_inference")])
    subjects.measure(asked)
    separated, shifted, synthetic, *predictions = results
    joint = subjects.joints(2, asked)
    image = joint["image"][:, :1]
    torch.testing.assert_close(reconstruct(separated), image, atol=1e-5, rtol=0)
    assert shifted.shape == image.shape
    assert not torch.equal(shifted, image)
    assert isinstance(synthetic, SyntheticJoints)
    change = synthetic.motion.translation[:, 0, 1] - synthetic.motion.translation[:, 1, 1]
    assert bool(((change != 0) & (change.abs() <= subjects.LARGEST_CHANGE)).all())
    for layers in predictions:
        assert layers.shape == joint["label"].shape
        assert not layers.requires_grad


@pytest.mark.slow
@pytest.mark.parametrize("name", ["training", "paper_training"])
def test_a_training_step_trains_all_three_networks(name: str, tiny: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    measured = timing.step_times
    changed = []

    def watched(trainer: Any, given: Settings) -> list[float]:
        networks = [player.network for player in trainer.players]
        before = [weights(network) for network in networks]
        times = measured(trainer, given)
        changed.extend(not torch.equal(old, weights(network)) for old, network in zip(before, networks, strict=True))
        return times

    monkeypatch.setattr(subjects, "step_times", watched)
    figure = subjects.SUBJECTS[name](settings([*tiny, "--repeats", "2"]))
    assert changed == [True] * 3
    assert len(figure.times) == 2


def weights(network: nn.Module) -> torch.Tensor:
    return torch.cat([values.detach().flatten() for values in network.parameters()])


def test_phantoms_follow_from_the_seed_and_show_the_same_extent_at_any_size(tiny: list[str]) -> None:
    first, again, other = (subjects.joints(2, settings([*tiny, "--seed", seed])) for seed in ("3", "3", "4"))
    assert torch.equal(first["image"], again["image"])
    assert not torch.equal(first["image"], other["image"])
    assert not torch.equal(first["image"][0], first["image"][1])
    torch.testing.assert_close(first["spacing"] * 64, torch.full((2, 1), 21.0))


def test_a_figure_is_its_median_and_its_spread_the_range() -> None:
    times = [2.0, 1.0, 9.0]
    speed, step = Figure("", 4, times), Figure("", 4, times, unit="s/step")
    assert (speed.value, step.value) == (2.0, 2.0)
    assert speed.speed == step.speed == 4 / 2
    assert speed.spread == (9.0 - 1.0) / 2.0


@pytest.mark.parametrize(
    ("value", "shown"), [(123456.0, "123000"), (1.0, "1"), (0.00012345, "0.000123"), (98.76, "98.8")]
)
def test_figures_have_three_digits_and_no_exponent(value: float, shown: str) -> None:
    assert subjects.significant(value) == shown


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--device", "nowhere", "nowhere is not available"),
        ("--device", "cuda:99", "cuda:99 is not available"),
        ("--device", "meta", "meta is not supported. Choose cpu or cuda"),
        ("--threads", "0", "0 is not a whole number from 1"),
        ("--threads", "1000000", "1000000 is not a whole number from 1"),
        ("--repeats", "two", "two is not a whole number from 1 to 4294967295"),
        ("--batch_size", "0", "0 is not a whole number from 1"),
        ("--seed", "4294967296", "4294967296 is not a whole number from 0 to 4294967295"),
        ("--seconds", "nan", "nan is not a number of seconds, 0 or more"),
        ("--size", "1.5", "1.5 is not a whole number from 1"),
        ("--skip", "separator", "choose from"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(
    option: str, value: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        benchmark.main([option, value])
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert f"argument {option}: " in message
    assert said in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file"),
        ("backbone: [", "while parsing"),
        ("", "not a configuration in JSON or YAML"),
        ("batch_size: 1", "the configuration has no network_def"),
    ],
)
def test_an_unusable_configuration_is_named(content: str | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError, match=said) as raised:
        subjects.inference([path], settings(["--size", "64", "--inference", str(path)]))
    assert "mine.yaml" in str(raised.value)


def test_a_configuration_without_a_trainer_is_named(tiny: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("batch_size: 1")
    with pytest.raises(InputError, match=r"mine\.yaml: the configuration has no train#trainer"):
        subjects.training([path], settings(tiny))


def test_what_a_configuration_names_wrongly_is_said(tiny: list[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("backbone: Unknown")
    with pytest.raises(RuntimeError) as raised:
        subjects.inference([*INFERENCE, path], settings(tiny))
    assert "unknown backbone 'Unknown'" in str(input_message(raised.value))


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "measure", lambda _: pytest.fail("measured"))
    with pytest.raises(InputError, match=r"nowhere/speed\.md could not be written .*the folder does not exist"):
        benchmark.main(["--output", str(tmp_path / "nowhere" / "speed.md")])
    with pytest.raises(InputError, match="is a folder"):
        benchmark.main(["--output", str(tmp_path)])


@pytest.mark.long
def test_run_from_anywhere_bad_input_ends_plainly_with_code_1_and_keeps_the_old_report(tmp_path: Path) -> None:
    output = tmp_path / "speed.md"
    output.write_text("old")
    command = [sys.executable, benchmark.__file__, "--size", "8", "--output", output.name]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: phantom: size must be at least 32 pixels")
    assert "Traceback" not in ended.stderr
    assert output.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["speed.md"]
