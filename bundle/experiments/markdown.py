"""Pre-training experiments as sections of a document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from bundle.errors import InputError
from bundle.experiments.agreement import plot_curves
from bundle.io import file_stem, shown_figure, write_bytes, write_plot

EXPERIMENT = "experiment.json"
"""File with the results of an experiment."""

TEXT = (
    "Each task is trained on fractions of the annotated joints, from random weights or from networks pre-trained on "
    "synthetic radiographs. The synthetic radiographs are made from all training joints and their masks, even if only "
    "a fraction of them is used for training, unless a row states otherwise: they contain information on annotations "
    "that the networks without pre-training do not see. All trainings of a table have the same epochs and options, "
    "except the rows labelled longer, the learning rate of pre-trained networks and, in registration, the synthetic "
    "pairs that their training mixes with the real ones; without these, the pairs of few joints are repeated within "
    "an epoch. No training uses the test joints. Figures are means over the seeds, in brackets their 95 % confidence "
    "interval (Student's t), which accounts for the variation between seeds, not between test joints. 'Error removed' "
    "is the reduction of the mean absolute error (for sigma: of the root mean square of its deviations) against the "
    "first row of the same fraction, on the same test joints, over all seeds, with a 95 % bootstrap interval over "
    "joints: if it includes 0 %, there is no difference. 'Common error' is the fraction of the first row's error that "
    "both networks share, image by image and with the same sign: it includes errors of the annotation and of the "
    "radiograph itself. 'Change' is the relative change of a figure against the first row of the same fraction and "
    "seeds (-25 %: a quarter less), as a geometric mean over the seeds with its 95 % interval (Student's t). "
    "`docs/downstream.md` describes how to run them."
)


@dataclass(frozen=True)
class ExperimentReport:
    """Results of an experiment.

    Attributes:
        found: content of its experiment.json.
    """

    found: Mapping[str, Any]

    @property
    def file(self) -> str:
        """Stem of its stored file."""
        return file_stem(str(self.found["title"]))

    @property
    def labels(self) -> dict[str, str]:
        """Labels of the arms."""
        return {name: arm["label"] for name, arm in self.found["settings"]["arms"].items()}

    @property
    def table(self) -> pd.DataFrame:
        """Figures over seeds (:func:`bundle.experiments.over_seeds`)."""
        return pd.DataFrame(self.found["over_seeds"]).astype({"lower": float, "upper": float})

    @property
    def curves(self) -> list[str]:
        """Figures that are plotted against the fraction of the joints; none for a single fraction."""
        return list(self.found["curves"]) if self.table["fraction"].nunique() > 1 else []

    def keep(self, folder: Path) -> None:
        """Write the results and their curves into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{self.file}.json", f"{json.dumps(self.found, indent=1)}\n".encode())
        self.plot(folder, f"{self.file}_")

    def plot(self, folder: Path, prefix: str = "") -> None:
        """Write the curves into a folder."""
        for name in self.curves:
            figure = plot_curves(self.table, name, self.labels, self.found["figures"][name])
            write_plot(folder / f"{prefix}{file_stem(name)}.png", figure)

    def section(self) -> str:
        """Return its section of the document, with images relative to the folder above that of :meth:`keep`."""
        curves = [
            f"![{self.found['figures'][name]}](results/experiments/{self.file}_{file_stem(name)}.png)"
            for name in self.curves
        ]
        made = f"To repeat it: `{self.found['command']}`." if self.found["command"] else ""
        parts = [
            f"### {self.found['title']}",
            str(self.found["question"]),
            self.rows(),
            self.changes(),
            self.fewer(),
            *curves,
            made,
        ]
        return "\n\n".join(part for part in parts if part)

    def rows(self) -> str:
        """Return the table: a row for each fraction and arm, the base first."""
        figures = self.found["figures"]
        gone = (f"{error} removed" for error in self.found["errors"])
        head = ["annotated joints", "", "seeds", *figures.values(), *gone, f"common {self.found['errors'][0]}"]
        lines = [head, ["---:", "---", *["---:"] * (len(head) - 2)]]
        order = sorted(self.labels, key=lambda name: name != self.found["base"])
        for fraction in sorted(set(self.table["fraction"])):
            for arm in order:
                cells = self.table[(self.table["fraction"] == fraction) & (self.table["arm"] == arm)].set_index(
                    "figure"
                )
                if len(cells):
                    shown = [_cell(cells.loc[name]) for name in figures]
                    seeds = str(int(cells["seeds"].max()))
                    lines.append(
                        [f"{fraction:.0%}", self.labels[arm], seeds, *shown, *self._differences(arm, fraction)]
                    )
        return _markdown(lines)

    def fewer(self) -> str:
        """Return lines that compare each arm on the smallest fraction of the joints with the base on larger ones."""
        base, smallest = self.labels[self.found["base"]], min(self.table["fraction"])
        first = [row for row in self._compared if row["error"] == self.found["errors"][0]]
        rows = (row for row in first if row["fraction"] == smallest < row["base_fraction"])
        lines = [
            f"- {self.labels[row['arm']]}, {smallest:.0%} of the joints, against {base}, {row['base_fraction']:.0%}: "
            f"{_share(row, 'reduction')} of the {row['error']} removed"
            for row in rows
        ]
        return "\n".join(lines)

    def changes(self) -> str:
        """Return the table of changes against the base on the same fraction; empty if no figure is compared."""
        rows = [row for row in self.found["changes"] if row["change"] is not None]
        names = dict.fromkeys(row["figure"] for row in rows)
        head = ["annotated joints", "", *(f"change of {self.found['figures'][name]}" for name in names)]
        lines = [head, ["---:", "---", *["---:"] * len(names)]]
        for fraction, arm in dict.fromkeys(
            (row["fraction"], row["arm"]) for row in sorted(rows, key=lambda row: row["fraction"])
        ):
            shown = {
                row["figure"]: _share(row, "change") for row in rows if (row["fraction"], row["arm"]) == (fraction, arm)
            }
            lines.append([f"{fraction:.0%}", self.labels[arm], *(shown.get(name, "-") for name in names)])
        return _markdown(lines) if rows else ""

    @property
    def _compared(self) -> list[Mapping[str, Any]]:
        """Comparisons with the base, except where the base makes no error."""
        return [row for row in self.found["reductions"] if row["reduction"] is not None]

    def _differences(self, arm: str, fraction: float) -> list[str]:
        """Return the removed fraction of each error, with its interval, and the common fraction of the first error."""
        found = {row["error"]: row for row in self._compared if _cell_of(row) == (arm, fraction, fraction)}
        first = found.get(self.found["errors"][0])
        gone = (_share(found[error], "reduction") if error in found else "-" for error in self.found["errors"])
        return [*gone, f"{first['common']:.0%}" if first else "-"]


def _cell_of(row: Mapping[str, Any]) -> tuple[str, float, float]:
    """Return the compared arm and fractions."""
    return row["arm"], row["fraction"], row["base_fraction"]


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Join a table from its head, its alignment and its rows."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _share(row: Mapping[str, Any], name: str) -> str:
    """Format a share in percent, with its interval."""
    low, high = (shown_figure(end) if end is None else f"{end:.0%}" for end in row[f"{name}_interval"])
    return f"{row[name]:.0%} ({low} to {high})"


def _cell(row: pd.Series) -> str:
    """Format a mean with its interval."""
    mean = shown_figure(float(row["mean"]), 3)
    return mean if row[["lower", "upper"]].isna().any() else f"{mean} ({row['lower']:.3g} to {row['upper']:.3g})"


def read_experiment(path: str) -> ExperimentReport:
    """Read the results of an experiment, from its output folder or a stored file.

    Raises:
        InputError: there is none.
    """
    source = Path(path) / EXPERIMENT if Path(path).is_dir() else Path(path)
    try:
        found = dict(json.loads(source.read_bytes()))
        report = ExperimentReport(found)
        report.rows()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = (
            f"{path}: neither the output folder of an experiment nor its {EXPERIMENT} ({error!r}). Run the experiment."
        )
        raise InputError(msg) from error
    return report


def downstream_section(reports: Sequence[ExperimentReport]) -> list[str]:
    """Return the sections of the document; nothing without experiments."""
    return [f"## Downstream tasks (E7)\n\n{TEXT}", *(report.section() for report in reports)] if reports else []
