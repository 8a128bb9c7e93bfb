from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.io import plain
from monai.bundle import ConfigParser
from scripts import write_results
from scripts.results_document.columns import Column
from scripts.results_document.document import RIVALS
from scripts.results_document.methods import IMAGES, JOBS, Method, check_same_images, kept_report
from scripts.results_document.tables import table

CONFIGURED = write_results.ROOT / "configs" / "jobs"
MACHINE = {"cpu": "A CPU", "device": "cpu", "threads": 1, "torch": "2.0"}


def evaluation(folder: Path, name: str, seed: int = 0, **figures: dict[str, Any]) -> Path:
    """The output folder of an evaluation with these figures by measure."""
    made = {
        "seconds": 60.0,
        "command": f"python -m monai.bundle run --output_dir /a/machine/{name}",
        "machine": MACHINE,
    }
    data = {"test": {"images": 191, "joints": 40}}
    measures = {key: {"settings": {}, "data": data, "figures": value, **made} for key, value in figures.items()}
    settings = {"dataset_dir": "/disk/me/Data", "datalist": "LS_K1_all_test", "seed": seed, "separator": name}
    (folder / name).mkdir()
    (folder / name / "metrics.json").write_text(json.dumps({"settings": settings, "measures": measures}))
    return folder / name


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    one = evaluation(tmp_path, "one", E1={"psnr": 120.0, "psnr_interval": [119.0, 120.0], "psnr_lowest": 95.5})
    two = evaluation(
        tmp_path, "two", E1={"psnr": 36.0, "psnr_lowest": 30.0, "mse": None}, E5={"accuracy_0.5mm": 0.71875}
    )
    return [
        f"Weight-free={one}",
        f"LSN (rival)={two}",
        "--output",
        str(tmp_path / "docs" / "results.md"),
        "--jobs",
        str(tmp_path / "jobs"),
    ]


def rows(document: str, title: str) -> list[list[str]]:
    """Cells of the table below a heading; of the first table for an empty one."""
    part = document.split(f"## {title}\n")[1] if title else document
    lines = part[part.index("| method") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_row_a_method_and_a_column_a_measure(arguments: list[str], tmp_path: Path) -> None:
    write_results.main(arguments)
    document = (tmp_path / "docs" / "results.md").read_text()
    head, _, first, second, published, goal = rows(document, "")
    columns = {title: index for index, title in enumerate(head)}
    assert [row[0] for row in (first, second)] == ["Weight-free", "LSN (rival)"]
    assert first[columns["E1 lowest PSNR (dB)"]] == "95.5"
    assert first[columns["E5 accuracy"]] == "-"
    assert second[columns["E5 accuracy"]] == "0.719"
    assert published[columns["E5 accuracy"]] == "0.708 (five readers)"
    assert goal[columns["E2 bones in the overlap"]] == "<= 0.030"


def test_intervals_and_the_papers_figures_stand_beside(arguments: list[str], tmp_path: Path) -> None:
    write_results.main(arguments)
    document = (tmp_path / "docs" / "results.md").read_text()
    head, _, first, second, published, _ = rows(document, "E1")
    psnr, mse = head.index("PSNR (dB)"), head.index("MSE")
    assert first[psnr] == "120 (119 to 120)"
    assert second[mse] == "not defined"
    assert published[1:4] == ["2.19e-4", "0.9502", "36.66"]
    assert "is not FID" in document
    assert "## E5" in document
    assert "## E6" not in document


def test_each_row_says_how_it_was_made_without_a_machine_s_folders(arguments: list[str], tmp_path: Path) -> None:
    write_results.main(arguments)
    document = (tmp_path / "docs" / "results.md").read_text()
    assert "python -m monai.bundle run --output_dir two" in document
    assert "- data: LS_K1_all_test; test 191 images of 40 joints; seed 0" in document
    kept = (tmp_path / "docs" / "results" / "lsn_rival.json").read_text()
    for text in (document, kept):
        assert "/home" not in text
        assert "/a/machine" not in text


def test_the_kept_files_make_the_same_document(arguments: list[str], tmp_path: Path) -> None:
    write_results.main(arguments)
    before = (tmp_path / "docs" / "results.md").read_text()
    kept = tmp_path / "docs" / "results"
    again = [f"Weight-free={kept / 'weight_free.json'}", f"LSN (rival)={kept / 'lsn_rival.json'}", *arguments[2:]]
    write_results.main(again)
    assert (tmp_path / "docs" / "results.md").read_text() == before


def test_ablations_have_a_table_of_their_own_with_what_was_measured(arguments: list[str], tmp_path: Path) -> None:
    variant = evaluation(tmp_path, "variant", E1={"psnr": 30.0, "psnr_lowest": 25.0}, E2={"deep_overlap_rmse": 0.125})
    write_results.main([*arguments, "--ablations", f"LSN, no motion={variant}"])
    document = (tmp_path / "docs" / "results.md").read_text()
    head, _, row = rows(document, "Ablations")
    assert head[0] == "method" and len(rows(document, "")) == 6
    assert row[head.index("E2 bones in the overlap")] == "0.125"
    assert not any("E4" in title for title in head)
    assert "### LSN, no motion" in document
    assert "--ablations 'LSN, no motion=docs/results/lsn_no_motion.json'" in document
    assert (tmp_path / "docs" / "results" / "lsn_no_motion.json").is_file()


def test_rows_on_different_images_are_refused(tmp_path: Path) -> None:
    one, two = (evaluation(tmp_path, name, seed, E1={"psnr": 1.0}) for name, seed in (("one", 0), ("two", 1)))
    with pytest.raises(InputError, match=r"B: not measured on the images of A \(different seed"):
        write_results.main([f"A={one}", f"B={two}", "--output", str(tmp_path / "results.md")])
    assert not (tmp_path / "results.md").exists()


@pytest.mark.parametrize("given", ["A", "A=", "=x", "A=absent"])
def test_what_holds_no_figures_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(InputError, match="not LABEL=PATH with the metrics"):
        write_results.main([given.replace("absent", str(tmp_path / "absent")), "--output", str(tmp_path / "r.md")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("--dataset_dir /disk/a/Data --measures E1", "--dataset_dir Data --measures E1"),
        ("'/tmp/x/model.pt'", "'model.pt'"),
        ("outputs/evaluate and configs/a.json", "outputs/evaluate and configs/a.json"),
        ("https://example.org/a/b", "https://example.org/a/b"),
        ("Linux-6.1 x86_64 / 2", "Linux-6.1 x86_64 / 2"),
    ],
)
def test_only_absolute_paths_lose_their_folders(given: str, expected: str) -> None:
    assert kept_report({"a": [given, 1]}) == {"a": [expected, 1]}


def test_a_table_without_goals_has_only_its_methods() -> None:
    column = Column("E9", "figure", "title")
    report = {"measures": {"E9": {"figures": {"group": {}, "figure": 0.00012345}}}}
    assert table([column], [Method("A", "a.json", report)]).splitlines()[2:] == ["| A | 0.000123 |"]


def test_a_row_says_how_its_weights_were_trained(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "two" / "metrics.json"
    curve = [
        {"epoch": epoch, "seconds": 60.0 * epoch, "bone_rmse_overlap": error}
        for epoch, error in ((0, 0.2), (4, 0.05), (8, 0.06))
    ]
    training = {"commands": ["python -m monai.bundle run training --dataset_dir /disk/me/Data"], "machine": MACHINE}
    path.write_text(json.dumps({**json.loads(path.read_text()), "training": {**training, "validations": curve}}))
    write_results.main(arguments)
    document = (tmp_path / "docs" / "results.md").read_text()
    assert "trained for 8 epochs in 8 minutes on A CPU, cpu, 1 threads; the weights are those of epoch 4" in document
    assert "by epoch: 0: 0.2, 4: 0.05, 8: 0.06" in document
    assert "python -m monai.bundle run training --dataset_dir Data" in document


def test_measures_of_one_method_may_come_from_several_evaluations(tmp_path: Path) -> None:
    parts = [
        evaluation(tmp_path, name, **figures)
        for name, figures in (
            ("a", {"E1": {"psnr": 120.0}}),
            ("b", {"E5": {"accuracy_0.5mm": 0.6}}),
            ("c", {"E1": {"psnr": 1.0}}),
        )
    ]
    for part in parts[:2]:
        report = json.loads((part / "metrics.json").read_text())
        (part / "metrics.json").write_text(json.dumps({**report, "settings": {**report["settings"], "separator": "a"}}))
    output = ["--output", str(tmp_path / "docs" / "results.md"), "--jobs", str(tmp_path / "jobs")]
    write_results.main([f"Ours={parts[0]}+{parts[1]}", *output])
    kept = json.loads((tmp_path / "docs" / "results" / "ours.json").read_text())
    assert set(kept["measures"]) == {"E1", "E5"}
    write_results.main([f"Ours={tmp_path / 'docs' / 'results' / 'ours.json'}+{parts[1]}", *output])
    assert json.loads((tmp_path / "docs" / "results" / "ours.json").read_text()) == kept
    with pytest.raises(InputError, match="the evaluations differ in their settings"):
        write_results.main([f"Ours={parts[0]}+{parts[2]}", *output])


def job(folder: Path, name: str, table: str, **figures: dict[str, Any]) -> None:
    """What a job leaves."""
    made = evaluation(folder, name, **figures) / "metrics.json"
    spent = {"parameters": {"generator": 67_000_000}, "epochs": 400, "pflop": 80.7, "seconds_per_epoch": 2.0}
    told = {"name": name, "label": f"Job {name}", "table": table, **spent, "tflops_reached": 101.0, "part_of_peak": 0.1}
    made.write_text(json.dumps({**json.loads(made.read_text()), "job": told}))


def test_jobs_that_are_done_are_rows_and_are_kept(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    for name, kind in (("ours_2x", "methods"), ("lsn_published", "methods"), ("lsn_tenth", "ablations")):
        job(tmp_path / "jobs", name, kind, E1={"psnr": 40.0, "psnr_lowest": 35.0})
    write_results.main(arguments)
    first = (tmp_path / "docs" / "results.md").read_text()
    assert RIVALS not in first
    labels = [row[0] for row in rows(first, "")[2:6]]
    assert labels == ["Weight-free", "LSN (rival)", "Job lsn_published", "Job ours_2x"]
    assert rows(first, "Ablations at full width")[2][0] == "Job lsn_tenth"
    assert "80.7 PFLOP in 400 epochs of 2.0 s, validations among them: 101.0 TFLOP/s, 10% of the peak" in first
    shutil.rmtree(tmp_path / "jobs")
    write_results.main(arguments)
    assert (tmp_path / "docs" / "results.md").read_text() == first


def test_figures_under_another_name_are_refused(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    evaluation(tmp_path / "jobs", "lsn_published", E1={"psnr": 40.0})
    with pytest.raises(InputError, match="no figures of the job lsn_published"):
        write_results.main(arguments)


def test_the_order_of_the_rows_knows_every_job() -> None:
    files = (Path(write_results.ROOT) / "configs" / "jobs").glob("*.yaml")
    there = {path.stem for path in files if "run_id: working" in path.read_text().splitlines()}
    assert there == set(JOBS)


def settings_of_a_job(name: str) -> dict[str, Any]:
    """The settings that the evaluation of a job reports."""
    job, evaluation = ConfigParser(), ConfigParser()
    arguments = ConfigParser.load_config_file(CONFIGURED / f"{name}.yaml")
    job.read_config([str(write_results.ROOT / file) for file in arguments["config_file"]])
    job.update({key: value for key, value in arguments.items() if key not in ("config_file", "run_id")})
    evaluation.read_config([str(write_results.ROOT / file) for file in job["evaluated_by"]])
    evaluation.update({**job.get_parsed_content("evaluation#options"), "bundle_root": str(write_results.ROOT)})
    return dict(plain(evaluation.get_parsed_content("settings")))


@pytest.mark.parametrize("name", [name for name in JOBS if not name.startswith("resnet50")])
def test_a_job_is_measured_on_the_images_of_the_stored_rows(name: str) -> None:
    settings = settings_of_a_job(name)
    stored = [json.loads(file.read_text()) for file in (write_results.OUTPUT.parent / "results").glob("*.json")]
    methods = [Method("stored", "", report) for report in stored if "measures" in report]
    assert len(methods) > 5 and set(IMAGES) <= set(settings)
    for method in methods:
        check_same_images([method, Method(name, "", {"settings": settings})])


def test_fingers_have_their_own_table(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "one" / "metrics.json"
    found = json.loads(path.read_text())
    found["measures"]["E1"]["fingers"] = [{"finger": "index", "metric": "psnr", "mean": 36.66, "std": 1.25, "count": 3}]
    path.write_text(json.dumps(found))
    write_results.main(arguments)
    table = rows((tmp_path / "docs" / "results.md").read_text(), "E1 by finger")
    assert table[0] == ["method", "thumb", "index", "middle", "ring", "small"]
    assert table[2] == ["Weight-free", "-", "36.66 ± 1.2", "-", "-", "-"]


def task(folder: Path, name: str, **figures: Any) -> None:
    """What a job of a task leaves."""
    arm = {"figures": figures, "command": "python -m monai.bundle run --args_file job", "machine": MACHINE}
    told = {"name": name, "label": "width, ResNet50", "table": "tasks", "parameters": {"scorer": 23_500_000}}
    spent = {"epochs": 124, "pflop": 0.9, "seconds_per_epoch": 1.5, "tflops_reached": 5.0}
    (folder / name).mkdir(parents=True)
    found = {"pretrained": arm, "from_chance": arm, "job": {**told, **spent}}
    (folder / name / "metrics.json").write_text(json.dumps(found))


def test_tasks_have_a_table_each_with_both_arms(arguments: list[str], tmp_path: Path) -> None:
    task(tmp_path / "jobs", "resnet50_joint_space", mae_mm=0.125, mae_mm_interval=[0.1, 0.15], r2=0.75)
    write_results.main(arguments)
    document = (tmp_path / "docs" / "results.md").read_text()
    part = document.split("### width, ResNet50\n\n")[1].splitlines()
    assert part[0] == "|  | MAE (mm) | R2 |"
    assert part[2] == "| random weights, as many images | 0.125 (0.1 to 0.15) | 0.75 |"
    assert part[3].startswith("| pre-trained on synthetic radiographs | 0.125")
    assert "scorer 23.5 M; 0.9 PFLOP in 124 epochs of 1.5 s" in document
    assert json.loads((tmp_path / "docs" / "results" / "jobs" / "resnet50_joint_space.json").read_text())["pretrained"]


def test_rivals_that_were_not_trained_as_published_are_said_to_be_so(arguments: list[str], tmp_path: Path) -> None:
    write_results.main(arguments)
    assert RIVALS in (tmp_path / "docs" / "results.md").read_text()
    write_results.main([argument for argument in arguments if not argument.startswith("LSN")])
    assert RIVALS not in (tmp_path / "docs" / "results.md").read_text()
