"""Rows of the tables: evaluations and jobs, read from their ``metrics.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.io import file_stem, flat_figures, shown_figure, without_folders
from scripts.results_document.columns import ABSENT, Column

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

IMAGES = ("datalist", "training_joints", "phantoms", "phantom_seed", "seed", "image_size", "closures")
"""Settings of an evaluation that determine the measured images."""


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
    """Read the finished jobs, by the table of their rows; of jobs with the same name, that in the first folder.

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
                f"{method.label}: not measured on the images of {methods[0].label} (different {', '.join(different)}). "
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
