"""The downstream tasks at full size, with and without pre-training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bundle.io import flat_figures, shown_figure
from scripts.results_document.methods import ARMS, Method
from scripts.results_document.tables import spent

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
