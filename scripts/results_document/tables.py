"""Tables of figures, and the provenance of their rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bundle.io import shown_figure
from scripts.results_document.columns import ABSENT, Column
from scripts.results_document.methods import Method


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
