"""The part of docs/results.md on experiments with pre-training, from their experiment.json; see write_results.py."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from bundle.errors import InputError
from bundle.experiments import EXPERIMENT, plot_curves
from bundle.io import file_stem, shown_figure, write_bytes, write_plot

TEXT = (
    "Each task is trained on parts of the annotated joints, from chance or from networks that were pre-trained on "
    "synthetic radiographs. These are made of all training joints and their masks, also where a part of them is "
    "trained on, unless a row says otherwise: they know something of annotations that the networks without "
    "pre-training do not see. All trainings of a table have the same epochs and options, but for those that a row "
    "calls longer, the learning rate of pre-trained networks and, in registration, the synthetic pairs that they go on "
    "with among the real ones, in place of which the others see the pairs of few joints several times in an epoch; the "
    "test joints are in none of them. Figures are means over the seeds, in brackets their 95 % confidence interval "
    "(Student's t), which says how another seed would do. 'Error that is gone' is the part of the mean absolute error "
    "(of sigma: of the root mean square of its deviations) that is gone against the first row of the same part, on the "
    "same test joints, over all seeds, with a 95 % bootstrap interval over joints: where it holds 0 % there is no "
    "difference. 'Error of both' is the part of the first row's error that both make, of each image to the same side: "
    "what lies in the annotation or in the radiograph itself is in it. 'Change' is that of a figure against the first "
    "row of the same part and the same seeds, -25 % where it is a quarter less, in the geometric mean, with its 95 % "
    "interval over seeds (Student's t)."
)


@dataclass(frozen=True)
class ExperimentReport:
    """What an experiment found.

    Attributes:
        found: the content of its experiment.json.
    """

    found: Mapping[str, Any]

    @property
    def file(self) -> str:
        """Its name among the files that are kept, without ending."""
        return file_stem(str(self.found["title"]))

    @property
    def labels(self) -> dict[str, str]:
        """What the arms are called."""
        return {name: arm["label"] for name, arm in self.found["settings"]["arms"].items()}

    @property
    def table(self) -> pd.DataFrame:
        """Figures over seeds (:func:`bundle.experiments.over_seeds`)."""
        return pd.DataFrame(self.found["over_seeds"]).astype({"lower": float, "upper": float})

    @property
    def curves(self) -> list[str]:
        """Figures that are drawn against the part of the joints; none of a single part."""
        return list(self.found["curves"]) if self.table["part"].nunique() > 1 else []

    def keep(self, folder: Path) -> None:
        """Write it and its curves into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{self.file}.json", f"{json.dumps(self.found, indent=1)}\n".encode())
        for name in self.curves:
            figure = plot_curves(self.table, name, self.labels, self.found["figures"][name])
            write_plot(folder / f"{self.file}_{file_stem(name)}.png", figure)

    def section(self) -> str:
        """Its part of the document, with pictures relative to the folder above that of :meth:`keep`."""
        curves = [
            f"![{self.found['figures'][name]}](results/experiments/{self.file}_{file_stem(name)}.png)"
            for name in self.curves
        ]
        made = f"Made by `{self.found['command']}`." if self.found["command"] else ""
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
        """The table: a row for each part and arm, the base first."""
        figures = self.found["figures"]
        gone = (f"{error} that is gone" for error in self.found["errors"])
        head = ["annotated joints", "", "seeds", *figures.values(), *gone, f"{self.found['errors'][0]} of both"]
        lines = [head, ["---:", "---", *["---:"] * (len(head) - 2)]]
        order = sorted(self.labels, key=lambda name: name != self.found["base"])
        for part in sorted(set(self.table["part"])):
            for arm in order:
                cells = self.table[(self.table["part"] == part) & (self.table["arm"] == arm)].set_index("figure")
                if len(cells):
                    shown = [_cell(cells.loc[name]) for name in figures]
                    seeds = str(int(cells["seeds"].max()))
                    lines.append([f"{part:.0%}", self.labels[arm], seeds, *shown, *self._differences(arm, part)])
        return _markdown(lines)

    def fewer(self) -> str:
        """A line for each arm on its smallest part of the joints against the base on each larger one."""
        base, smallest = self.labels[self.found["base"]], min(self.table["part"])
        first = [row for row in self._compared if row["error"] == self.found["errors"][0]]
        rows = (row for row in first if row["part"] == smallest < row["base_part"])
        lines = [
            f"- {self.labels[row['arm']]}, {smallest:.0%} of the joints, against {base}, {row['base_part']:.0%}: "
            f"{_part(row, 'reduction')} of the {row['error']} gone"
            for row in rows
        ]
        return "\n".join(lines)

    def changes(self) -> str:
        """The table of how figures differ from those of the base on the same part; nothing where none is compared."""
        rows = [row for row in self.found["changes"] if row["change"] is not None]
        names = dict.fromkeys(row["figure"] for row in rows)
        head = ["annotated joints", "", *(f"change of {self.found['figures'][name]}" for name in names)]
        lines = [head, ["---:", "---", *["---:"] * len(names)]]
        for part, arm in dict.fromkeys((row["part"], row["arm"]) for row in sorted(rows, key=lambda row: row["part"])):
            told = {row["figure"]: _part(row, "change") for row in rows if (row["part"], row["arm"]) == (part, arm)}
            lines.append([f"{part:.0%}", self.labels[arm], *(told.get(name, "-") for name in names)])
        return _markdown(lines) if rows else ""

    @property
    def _compared(self) -> list[Mapping[str, Any]]:
        """Arms against the base, but where that makes no error."""
        return [row for row in self.found["reductions"] if row["reduction"] is not None]

    def _differences(self, arm: str, part: float) -> list[str]:
        """The part of each error that is gone, with its interval, and the part of the first that both make."""
        found = {row["error"]: row for row in self._compared if _cell_of(row) == (arm, part, part)}
        first = found.get(self.found["errors"][0])
        gone = (_part(found[error], "reduction") if error in found else "-" for error in self.found["errors"])
        return [*gone, f"{first['common']:.0%}" if first else "-"]


def _cell_of(row: Mapping[str, Any]) -> tuple[str, float, float]:
    """What is compared."""
    return row["arm"], row["part"], row["base_part"]


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table: its head, its alignment and its rows."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _part(row: Mapping[str, Any], name: str) -> str:
    """A part of a figure, with its interval."""
    low, high = (shown_figure(end) if end is None else f"{end:.0%}" for end in row[f"{name}_interval"])
    return f"{row[name]:.0%} ({low} to {high})"


def _cell(row: pd.Series) -> str:
    """A mean with its interval."""
    mean = shown_figure(float(row["mean"]), 3)
    return mean if row[["lower", "upper"]].isna().any() else f"{mean} ({row['lower']:.3g} to {row['upper']:.3g})"


def read_experiment(path: str) -> ExperimentReport:
    """What an experiment found, from its output folder or a file that was kept.

    Raises:
        InputError: there is none.
    """
    source = Path(path) / EXPERIMENT if Path(path).is_dir() else Path(path)
    try:
        found = dict(json.loads(source.read_bytes()))
        report = ExperimentReport(found)
        report.rows()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"expected the output folder of an experiment or its {EXPERIMENT}, got {path} ({error!r}): run one"
        raise InputError(msg) from error
    return report


def downstream_section(reports: Sequence[ExperimentReport]) -> list[str]:
    """The part of the document; nothing without experiments."""
    return [f"## Downstream tasks (E7)\n\n{TEXT}", *(report.section() for report in reports)] if reports else []
