"""Write docs/results.md from the metrics.json of evaluations, one row per method, and store these files beside it.

    python scripts/write_results.py "Weight-free=outputs/weight_free" "Ours=outputs/evaluate+outputs/realism" \\
      --experiments outputs/experiments/read_joint_space

Jobs (configs/jobs) need not be named: each job with a metrics.json in outputs/jobs, or stored in docs/results/jobs, is
a row.

A path is the output folder of an evaluation, or a stored file: run on docs/results/*.json, the script writes the same
document. A plus joins evaluations of one method that ran side by side. The stored files contain no absolute paths.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.errors import InputError, report_plainly
from bundle.evaluation.measures import JointSpaceControl, LayerTruth, MaskAgreement, Realism, ShadowDetectability
from bundle.experiments import ExperimentReport, downstream_section, read_experiment
from bundle.io import file_stem, flat_figures, shown_figure, without_folders, write_bytes
from bundle.separation import ReconstructionQuality

OUTPUT = ROOT / "docs" / "results.md"
JOBS_OUTPUT = ROOT / "outputs" / "jobs"
ABSENT = "-"
JOBS = (
    "lsn_published",
    "resnet50_joint_space",
    "resnet50_grade",
    "resnet50_registration",
    "bls_gan_published",
    "ours_2x",
    "ours_4x",
    "ours_8x",
    "lsn_tenth",
    "lsn_without_supervisor",
    "lsn_without_discriminator",
    "lsn_without_motion",
    "lsn_without_stage1",
)
"""The jobs in the order in which a GPU runs them."""

TASKS = "tasks"
"""The table of the jobs that train a network on a task with and without pre-training."""

ARMS = {"from_chance": "random weights, as many images", "pretrained": "pre-trained on synthetic radiographs"}
"""The evaluations of such a job."""

TASK_FIGURES = {
    "mae_mm": "MAE (mm)",
    "mae_px": "MAE (px)",
    "mse_mm2": "MSE (mm^2)",
    "r2": "R2",
    "icc_2_1": "ICC(2,1)",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "kappa_quadratic": "weighted kappa",
    "real registration_mse": "registration MSE",
    "real sigma_mm": "sigma (mm)",
    "real triple_sigma_mm": "sigma of triples (mm)",
    "real masks_mae_mm": "MAE against masks (mm)",
    "synthetic mae_mm": "true error (mm)",
    "synthetic slope": "slope on the truth",
}
"""Columns of the tasks at full size; a task has some of them."""

IMAGES = ("datalist", "training_joints", "phantoms", "phantom_seed", "seed", "image_size", "closures")
"""Settings of an evaluation that determine the measured images."""


CONFIGS = "--config_file configs/evaluate.yaml --dataset_dir Data"
OTHERS = f"""```bash
python -m monai.bundle run exporting {CONFIGS} --output_dir outputs/joints
python -m monai.bundle run evaluating {CONFIGS} --layers_dir outputs/layers --output_dir outputs/other
```"""


@dataclass(frozen=True)
class Column:
    """A column of a table: a figure of a measure, with its goal and the published value."""

    measure: str
    figure: str
    title: str
    goal: str = ABSENT
    paper: str = ABSENT


@dataclass(frozen=True)
class Method:
    """A row: its label, its file of figures, and the content of the file."""

    label: str
    file: str
    report: Mapping[str, Any]

    def cell(self, column: Column) -> str:
        """Format a figure with its interval."""
        entry = self.report["measures"].get(column.measure)
        if entry is None:
            return ABSENT
        figures = flat_figures(entry["figures"])
        shown = shown_figure(figures.get(column.figure), 3)
        interval = figures.get(f"{column.figure}_interval")
        return f"{shown} ({shown_figure(interval, 3)})" if interval and shown != "not defined" else shown


SAID = {
    "E1": (
        "Reconstruction of the radiograph by the layers, in the visible region. PSNR is capped at 120 dB. The Frechet "
        "distance is that of two Gaussians fitted to the rows of pixels of ONE image. The authors' code calls it "
        '"FID"; it involves no Inception network and is no FID.'
    ),
    "E2": (
        "RMSE of the layers on test joints without overlap, closed with a fixed seed; the truth is the weight-free "
        'separation before the closure. "Deep": as in training; "real": the range of the overlapping joints of the '
        "test list."
    ),
    "E3": (
        "RMSE of the layers on phantoms, whose layers come from no separator; phantoms of generator version 1, whose "
        "joint surfaces vary less."
    ),
    "E3_closed": ("The same on phantoms, closed like the joints of E2."),
    "E4": (
        "A fresh segmenter looks for the bones in soft-tissue layers; area under the ROC in a band around their "
        "outline, compared with predictors from the usual position of bones (shape) or the outline of the finger "
        "alone. Means over the fits."
    ),
    "E5": (
        "A fresh classifier distinguishes real from synthetic radiographs of other joints; 0.5 is chance. The floors "
        "are real against real; real against synthetic without motion; real against real moved as a whole; and the "
        "outlines of the bones alone, in place against moved. The last two measure the information in the positions of "
        'the bones, whatever the layers: frames are centred on their joint. "Together": both bones move alike, and the '
        "real joint is equally off-centre."
    ),
    "E6": (
        "Requested change of the joint space against the change that image registration finds in real joints, in mm. "
        "The four trials in which a bone was not found are of one radiograph, both masks of which lie on the same "
        "bone: rightly not found. In rows measured before version 0.9 the bones of another, which overlap by 5 mm, "
        "were not found either."
    ),
    "E6_phantoms": ("The same on phantoms."),
    "masks": (
        "Masks that a network predicts on the test joints against those of the list: whole bones, in all joints, in "
        "overlapping and in other joints; the region of a bone outside the overlap; and the overlap itself. HD95 is "
        "the 95 % Hausdorff distance."
    ),
}
"""Description of each measure; published figures are those of Table 1 of LSN, overall."""

MEASURES = (ReconstructionQuality, LayerTruth, ShadowDetectability, Realism, JointSpaceControl, MaskAgreement)
"""The measures with their own tables, whose columns and goals they state."""

COLUMNS = {
    name: tuple(Column(name, of.figure, of.title, of.goal or ABSENT, of.paper or ABSENT) for of in columns)
    for kind in MEASURES
    for name, columns in kind.columns.items()
}
"""The columns of each measure."""


def shown_as(title: str, measure: str, figure: str, **changed: str) -> Column:
    """Return a column of a measure under another title, with another goal or published value."""
    (found,) = (column for column in COLUMNS[measure] if column.figure == figure)
    return replace(found, title=title, **changed)


MAIN = (
    shown_as("E1 lowest PSNR (dB)", "E1", "psnr_lowest"),
    shown_as("E2 bones in the overlap", "E2", "deep_overlap_rmse"),
    shown_as("E2 soft tissue", "E2", "deep_soft_rmse"),
    shown_as("E3 bones", "E3", "bones_rmse"),
    shown_as("E3 soft tissue", "E3", "soft_rmse"),
    shown_as("E4 AUC above shape", "E4", "above_shape"),
    shown_as("E5 accuracy", "E5", "accuracy_0.5mm"),
    shown_as("E6 MAE (mm)", "E6", "mae"),
    shown_as("E6 MAE, phantoms (mm)", "E6_phantoms", "mae"),
)
"""One or two figures of each measure; the goals are the project's."""

ABLATIONS = tuple(
    shown_as(title, measure, figure, goal=ABSENT, paper=ABSENT)
    for title, measure, figure in (
        ("E1 PSNR (dB)", "E1", "psnr"),
        ("E1 lowest PSNR (dB)", "E1", "psnr_lowest"),
        ("E2 bones in the overlap", "E2", "deep_overlap_rmse"),
        ("E2 whole bones", "E2", "deep_bones_rmse"),
        ("E2 soft tissue", "E2", "deep_soft_rmse"),
        ("E3 bones", "E3", "bones_rmse"),
        ("E3 soft tissue", "E3", "soft_rmse"),
        ("E4 AUC above shape", "E4", "above_shape"),
    )
)
"""Columns for the variants of one method."""


def read_method(given: str) -> Method:
    """Read a method from ``LABEL=PATH``, or ``LABEL=PATH+PATH`` if its measures were run in several evaluations.

    Raises:
        InputError: it has another form, there are no figures at a path, or several evaluations differ in separator or
            images.
    """
    label, _, paths = given.partition("=")
    reports = [read_report(path, given) for path in paths.split("+")]
    if not label or not all(report["measures"] for report in reports):
        msg = f"{given}: not LABEL=PATH of an evaluation with measures. Run an evaluation."
        raise InputError(msg)
    if any(report["settings"] != reports[0]["settings"] for report in reports):
        msg = f"{given}: the evaluations differ in their settings. Evaluate with the same options."
        raise InputError(msg)
    measures = {name: entry for report in reports for name, entry in report["measures"].items()}
    merged = {**reports[0], "measures": measures}
    return Method(label, f"{file_stem(label)}.json", merged)


def read_jobs(*folders: Path) -> dict[str, list[Method]]:
    """Read the finished jobs, by the table of their rows; for equal names those of the first folder.

    Args:
        folders: folders with a ``<name>/metrics.json`` or ``<name>.json`` of each job.

    Raises:
        InputError: such a file is not of a job.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        for file in [*sorted(folder.glob("*/metrics.json")), *sorted(folder.glob("*.json"))]:
            found.setdefault(file.parent.name if file.name == "metrics.json" else file.stem, file)
    rows: dict[str, list[Method]] = {}
    for name in sorted(found, key=_place):
        report = _read_job(found[name], name)
        rows.setdefault(report["job"]["table"], []).append(Method(report["job"]["label"], f"jobs/{name}.json", report))
    return rows


def _read_job(file: Path, name: str) -> dict[str, Any]:
    try:
        report: dict[str, Any] = kept_report(dict(json.loads(file.read_bytes())))
        parts = [report[arm] for arm in ARMS] if report["job"]["table"] == TASKS else report["measures"].values()
        if report["job"]["name"] != name or not all("figures" in part for part in parts):
            raise KeyError("figures")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{file}: no figures of the job {name} ({error}). Run the job again."
        raise InputError(msg) from error
    return report


def _place(name: str) -> tuple[int, str]:
    """Return the position of a job's row: in the order in which they are run, others after them."""
    return JOBS.index(name) if name in JOBS else len(JOBS), name


def read_report(path: str, given: str) -> dict[str, Any]:
    """Read the figures in an output folder of an evaluation, or in a stored file.

    Raises:
        InputError: there are none.
    """
    source = Path(path) / "metrics.json" if Path(path).is_dir() else Path(path)
    try:
        report: dict[str, Any] = kept_report(dict(json.loads(source.read_bytes())))
        if not all("figures" in entry for entry in report["measures"].values()) or "settings" not in report:
            raise KeyError("figures and settings")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{given}: not LABEL=PATH with the metrics.json of an evaluation ({error}). Run an evaluation."
        raise InputError(msg) from error
    return report


def check_same_images(methods: Sequence[Method]) -> None:
    """Refuse rows that were measured on different images.

    Raises:
        InputError: the evaluations differ in a setting that determines the measured images.
    """
    first = methods[0].report["settings"]
    for method in methods[1:]:
        settings = method.report["settings"]
        different = [key for key in IMAGES if first.get(key) != settings.get(key)]
        if different:
            msg = (
                f"{method.label}: other images than those of {methods[0].label}: another {', '.join(different)}. "
                "Evaluate both with the same options."
            )
            raise InputError(msg)


def kept_report(value: Any) -> Any:
    """Return the report without folders of the machine."""
    if isinstance(value, str):
        return without_folders(value)
    if isinstance(value, list):
        return [kept_report(part) for part in value]
    if isinstance(value, dict):
        return {key: kept_report(part) for key, part in value.items()}
    return value


def table(columns: Sequence[Column], methods: Sequence[Method]) -> str:
    """Format one row per method, and, if there are any, the goals and the published figures."""
    rows = [[method.label, *(method.cell(column) for column in columns)] for method in methods]
    extra: dict[str, Callable[[Column], str]] = {
        "*LSN as published*": lambda column: column.paper,
        "*to reach*": lambda column: column.goal,
    }
    for label, of in extra.items():
        if any(of(column) != ABSENT for column in columns):
            rows.append([label, *map(of, columns)])
    head = [["method", *(column.title for column in columns)], ["---", *["---:"] * len(columns)]]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [*head, *rows])


def provenance(method: Method) -> str:
    """List separator, data, seed, machine and commands of a method."""
    settings, entries = method.report["settings"], method.report["measures"]
    commands = dict.fromkeys(entry["command"] or "not started by a command" for entry in entries.values())
    machines = dict.fromkeys(
        f"{entry['machine']['cpu']}, {entry['machine']['device']}, {entry['machine']['threads']} threads, "
        f"torch {entry['machine']['torch']}"
        for entry in entries.values()
    )
    sizes = {name: size for entry in entries.values() for name, size in entry["data"].items()}
    data = ", ".join(f"{name} {size['images']} images of {size['joints']} joints" for name, size in sizes.items())
    listed = settings["datalist"] if settings["dataset_dir"] else "phantoms"
    seconds = sum(entry["seconds"] for entry in entries.values())
    return "\n".join(
        [
            f"### {method.label}",
            "",
            f"- separator: {settings['separator']}",
            f"- data: {listed}; {data}; seed {settings['seed']}",
            f"- machine: {'; '.join(machines)}; the measures took {seconds / 60:.0f} minutes",
            f"- figures: [results/{method.file}](results/{method.file})",
            *spent(method.report.get("job", {})),
            *trained(method.report.get("training")),
            "",
            "```bash",
            *commands,
            "```",
        ]
    )


def spent(job: Mapping[str, Any]) -> list[str]:
    """Return the cost of a job's training as a line of Markdown; none if unknown."""
    if "seconds_per_epoch" not in job:
        return []
    parameters = ", ".join(f"{name} {count / 1e6:.1f} M" for name, count in job["parameters"].items())
    part = f", {job['part_of_peak']:.0%} of the peak" if "part_of_peak" in job else ""
    return [
        f"- parameters: {parameters}; {job['pflop']:.1f} PFLOP in {job['epochs']} epochs of "
        f"{job['seconds_per_epoch']:.1f} s, validations among them: {job['tflops_reached']:.1f} TFLOP/s{part}"
    ]


KEY_METRIC = "bone_rmse_overlap"
"""Metric by which the epoch of the weights was chosen."""


def trained(record: Mapping[str, Any] | None) -> list[str]:
    """Return the training of weights as lines of Markdown; none if unknown."""
    if not record or not record["validations"]:
        return []
    validations = [entry for entry in record["validations"] if entry.get(KEY_METRIC) is not None]
    best = min(validations, key=lambda entry: entry[KEY_METRIC])
    last, made = record["validations"][-1], record["machine"]
    machine = f"{made['cpu']}, {made['device']}, {made['threads']} threads"
    curve = ", ".join(f"{entry['epoch']}: {shown_figure(entry[KEY_METRIC], 3)}" for entry in validations)
    return [
        f"- trained for {last['epoch']} epochs in {last['seconds'] / 60:.0f} minutes on {machine}; the weights are "
        f"those of epoch {best['epoch']}",
        f"- bones in the overlap of the validation, by epoch: {curve}",
        "",
        "```bash",
        *record["commands"],
        "```",
    ]


def document(
    methods: Sequence[Method],
    ablations: Mapping[tuple[str, str], Sequence[Method]],
    experiments: Sequence[ExperimentReport],
    tasks: Sequence[Method],
    command: str,
) -> str:
    """Return the whole document."""
    measured = [name for name in COLUMNS if any(name in method.report["measures"] for method in methods)]
    details = [f"## {name}\n\n{SAID[name]}\n\n{table(COLUMNS[name], _with(name, methods))}" for name in measured]
    parts = [
        "# Results",
        f"Written by `{command}`; not to be edited.",
        "One row per method; brackets are 95 % bootstrap intervals over joints. Errors are in intensity, 0 to 1. All "
        "methods see the same images. The measures are described below; their goals are the project's own. The figures "
        '"as published" are of the authors\' test set, of which this one is a subset.',
        table(MAIN, methods),
        *rivals_note(methods),
        *details,
        *fingers_section(methods),
        *(part for of, rows in ablations.items() for part in ablation_section(of, rows)),
        *downstream_section(experiments),
        *tasks_section(tasks),
        "## Montages\n\nThe radiographs carry no licence and are not shown here. The commands below write montages of "
        "the worst joints of each measure (`worst/`), of random test joints (`random/`) and the plots (ROC, "
        "Bland-Altman, error against overlap) into their output folder.",
        "## A row for another program\n\nExport the joints, separate each joint of the list `evaluation.json`, write "
        "its layers as `<name>_layers.nii.gz` or three PNGs (`name` as listed), and evaluate the folder:\n\n"
        f"{OTHERS}",
        "## How each row was made\n\n`Data` is the folder of the public data set.",
        *(provenance(method) for method in [*methods, *(row for rows in ablations.values() for row in rows)]),
    ]
    return "\n\n".join(parts) + "\n"


RIVALS = (
    "No GPU has run the jobs of [jobs.md](jobs.md) yet. Until then, LSN and BLS-GAN are listed at a quarter of their "
    "width, trained on a CPU for the few epochs in their labels; as published they have their full width and 400 and "
    "280 epochs. Their errors are still decreasing at the end of these trainings (the curves are below, in the "
    "provenance of each row): the methods can do better than these rows."
)


def rivals_note(methods: Sequence[Method]) -> list[str]:
    """Return a note on how the published methods were trained; nothing once LSN was trained as published."""
    named = any(method.label.startswith(("LSN", "BLS-GAN")) for method in methods)
    published = any(method.report.get("job", {}).get("name") == "lsn_published" for method in methods)
    return [RIVALS] if named and not published else []


def _with(measure: str, methods: Sequence[Method]) -> list[Method]:
    """Return the methods with figures of a measure."""
    return [method for method in methods if measure in method.report["measures"]]


SMALL = (
    "Ablations",
    "Variants of one method (as in Table 2 of LSN), trained with one budget: small networks, the paper's losses and "
    "head. They compare with each other, not with the rows above.",
)
FULL = (
    "Ablations at full width",
    "LSN as published (as in Table 2), each for a tenth of its schedule; the one without stage 1 has as many steps.",
)
"""Titles and texts of the tables of ablations."""


def ablation_section(title: tuple[str, str], ablations: Sequence[Method]) -> list[str]:
    """Return the table of a method's variants; nothing without variants."""
    if not ablations:
        return []
    shown = [column for column in ABLATIONS if any(column.measure in method.report["measures"] for method in ablations)]
    return [f"## {title[0]}\n\n{title[1]}\n\n{table(shown, ablations)}"]


def tasks_section(jobs: Sequence[Method]) -> list[str]:
    """Return the downstream tasks by the paper's network at full size, with and without pre-training."""
    if not jobs:
        return []
    text = (
        "One seed, all annotated joints, and as many images with pre-training as without. Brackets are 95 % bootstrap "
        "intervals over joints."
    )
    return [f"## Downstream tasks, ResNet50\n\n{text}", *(_task(job) for job in jobs)]


def _task(job: Method) -> str:
    """Return a task's table, its cost, and its commands."""
    arms = {label: flat_figures(job.report[arm]["figures"]) for arm, label in ARMS.items()}
    columns = [name for name in TASK_FIGURES if any(name in figures for figures in arms.values())]
    head = [["", *(TASK_FIGURES[name] for name in columns)], ["---", *["---:"] * len(columns)]]
    rows = [[label, *(_with_interval(figures, name) for name in columns)] for label, figures in arms.items()]
    lines = [f"| {' | '.join(cells)} |" for cells in [*head, *rows]]
    commands = dict.fromkeys(job.report[arm]["command"] or "not started by a command" for arm in ARMS)
    made = [*spent(job.report["job"]), "", "```bash", *commands, "```"]
    return "\n".join([f"### {job.label}", "", *lines, "", *made])


def _with_interval(figures: Mapping[str, Any], name: str) -> str:
    """Format a figure with its interval, if it has one."""
    shown, interval = shown_figure(figures.get(name), 3), figures.get(f"{name}_interval")
    return f"{shown} ({shown_figure(interval, 3)})" if interval else shown


FINGERS = ("thumb", "index", "middle", "ring", "small")


def fingers_section(methods: Sequence[Method]) -> list[str]:
    """Return E1 by finger, like Table 1 of LSN."""
    rows = [[method.label, *(_finger(method, finger) for finger in FINGERS)] for method in _with("E1", methods)]
    if not rows:
        return []
    head = [["method", *FINGERS], ["---", *["---:"] * len(FINGERS)]]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in [*head, *rows])
    text = "PSNR (dB) of the reconstruction in the visible region, mean and standard deviation over the images."
    return [f"## E1 by finger\n\n{text}\n\n{lines}"]


def _finger(method: Method, finger: str) -> str:
    """Format mean and standard deviation of a finger's PSNR."""
    found = method.report["measures"]["E1"].get("fingers", [])
    for entry in found:
        if (entry["finger"], entry["metric"]) == (finger, "psnr"):
            return f"{shown_figure(entry['mean'], 4)} ± {shown_figure(entry['std'], 2)}"
    return ABSENT


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write the document."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("methods", nargs="+", metavar="LABEL=PATH[+PATH]", help="a row, in this order")
    options.add_argument("--ablations", nargs="+", default=[], metavar="LABEL=PATH", help="rows of a separate table")
    options.add_argument(
        "--experiments",
        nargs="+",
        default=[],
        metavar="PATH",
        help="experiments with pre-training (configs/experiments)",
    )
    options.add_argument("--jobs", type=Path, default=JOBS_OUTPUT, help="folder of the results of jobs (configs/jobs)")
    options.add_argument("--output", type=Path, default=OUTPUT)
    chosen = options.parse_args(arguments)
    report_plainly()
    methods, ablations = ([read_method(given) for given in rows] for rows in (chosen.methods, chosen.ablations))
    kept = chosen.output.parent / "results"
    jobs = read_jobs(chosen.jobs, kept / "jobs")
    again = {"": kept_files(methods), "--ablations": kept_files(ablations)}
    methods, at_full_width = [*methods, *jobs.get("methods", [])], jobs.get("ablations", [])
    separators = [*methods, *ablations, *at_full_width]
    check_same_images(separators)
    experiments = [ExperimentReport(kept_report(read_experiment(path).found)) for path in chosen.experiments]
    (kept / "jobs").mkdir(parents=True, exist_ok=True)
    tasks = jobs.get(TASKS, [])
    for method in [*separators, *tasks]:
        write_bytes(kept / method.file, f"{json.dumps(method.report, indent=1)}\n".encode())
    for experiment in experiments:
        experiment.keep(kept / "experiments")
    again["--experiments"] = [f"docs/results/experiments/{experiment.file}.json" for experiment in experiments]
    given = [part for option, rows in again.items() if rows for part in ([option] if option else []) + rows]
    command = shlex.join(["python", "scripts/write_results.py", *given])
    tables = {SMALL: ablations, FULL: at_full_width}
    write_bytes(chosen.output, document(methods, tables, experiments, tasks, command).encode())


def kept_files(methods: Sequence[Method]) -> list[str]:
    """Return the arguments that write the same rows again."""
    return [f"{method.label}=docs/results/{method.file}" for method in methods]


if __name__ == "__main__":
    main()
