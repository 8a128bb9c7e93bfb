"""Results of an evaluation on disk: figures, tables, plots and montages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from bundle.base import read_json
from bundle.errors import InputError
from bundle.io import (
    METRICS,
    RUNTIME,
    TITLES,
    are_whole,
    command_line,
    flat_figures,
    machine,
    montage,
    plain,
    reserve_output,
    shown_figure,
    sums_of,
    write_bytes,
    write_figures,
    write_measured,
)
from bundle.separation import separation_row
from bundle.statistics import IDENTITY, Measured, SeparatedJoints, summarize, to_markdown
from bundle.workflow import results_run


class EvaluationReport:
    """Report of an evaluation; each measure is written as soon as it is done.

    ``metrics.json`` holds the settings and, for each measure, its hyper-parameters, the number of joints, the figures,
    the means per finger, the command and the machine; ``metrics.md`` the same figures as tables. A folder for each
    measure has ``per_image.csv`` and the plots; ``worst/<measure>/`` has montages of the worst joints.

    Args:
        output_dir: output folder; refused if it holds the results of another run.
        settings: settings of the run, which identify it.
        worst: number of joints shown for each measure.
        device: device of the separator, recorded in the results.
        defined_by: ids of the parts of the configuration that make the results: their options also identify the run
            (:func:`bundle.workflow.results_run`).
    """

    def __init__(
        self,
        output_dir: str,
        settings: Mapping[str, Any],
        worst: int = 10,
        device: Any = "cpu",
        defined_by: Sequence[str] = (),
    ) -> None:
        self.defined_by = defined_by
        self.output_dir = Path(output_dir)
        self.worst = worst
        self.device = device
        self.computed: dict[str, Any] = {}
        self.found: dict[str, Any] = {"settings": {"results": type(self).__name__, **settings}, "measures": {}}

    @property
    def path(self) -> Path:
        """Path of ``metrics.json``."""
        return self.output_dir / METRICS

    def open(
        self, separator: str, training: Mapping[str, Any] | None = None, computed: Mapping[str, Any] | None = None
    ) -> None:
        """Reserve the output folder and read earlier results from it.

        Args:
            separator: name of the separator.
            training: record of its training (:class:`bundle.workflow.TrainingRecord`), for the results.
            computed: ``runtime``, ``precision`` and ``flips`` of the separation
                (:meth:`bundle.quality.FlipInferer.described`), for the results; the runtime identifies the run.

        Raises:
            InputError: the folder belongs to another run, or its ``metrics.json`` cannot be read.
        """
        self.found["settings"]["separator"] = separator
        self.computed = dict(computed or {})
        if RUNTIME in self.computed:
            self.found["settings"][RUNTIME] = self.computed[RUNTIME].split()[0]
        reserve_output(self.output_dir, results_run(self.found["settings"], self.defined_by))
        self.found["training"] = training
        if not self.path.is_file():
            return
        try:
            self.found["measures"] = dict(read_json(self.path)["measures"])
            for entry in self.found["measures"].values():
                _tables("", entry)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            msg = f"{self.path}: the figures of the evaluation are damaged ({error}). Delete the file."
            raise InputError(msg) from error

    def holds(self, name: str, settings: Mapping[str, Any]) -> bool:
        """Whether ``metrics.json`` has a measure with these hyper-parameters whose files are intact."""
        known = self.found["measures"].get(name, {})
        whole = "files" not in known or are_whole(self.output_dir, known["files"])
        return known.get("settings") == plain(settings) and whole

    def add(
        self,
        name: str,
        measured: Measured,
        settings: Mapping[str, Any],
        joints: Mapping[str, SeparatedJoints],
        seconds: float,
    ) -> None:
        """Write the results of a measure, its figures last.

        Args:
            name: name of the measure.
            measured: its results.
            settings: its hyper-parameters.
            joints: the joints measured, by the name of their set.
            seconds: run time in seconds.
        """
        folder = self.output_dir / name
        folder.mkdir(exist_ok=True)
        written = write_measured(folder, "per_image.csv", measured.per_image, measured.plots)
        shown = self._show_worst(name, measured.worst, joints)
        sizes = {key: {"images": len(part), "joints": len(set(part.joints))} for key, part in joints.items()}
        made = {"seconds": round(seconds, 1), "command": command_line(), "machine": machine(self.device)}
        made |= {"computed": self.computed} if self.computed else {}
        figures = {"figures": measured.figures, "fingers": _fingers(measured.per_image).to_dict("records")}
        files = sums_of(self.output_dir, [*written, *shown])
        self.found["measures"][name] = plain({"settings": settings, "data": sizes, **figures, **made, "files": files})
        self._write_tables()

    def show(self, folder: str, joints: SeparatedJoints) -> None:
        """Write a montage of each joint into a folder of the output."""
        for row, item in enumerate(joints.items):
            self._write_montage(f"{folder}/{item['name']}.png", joints, row, str(item["name"]))

    def _show_worst(self, name: str, worst: Sequence[str], joints: Mapping[str, SeparatedJoints]) -> list[Path]:
        places = {str(item["name"]): (part, row) for part in joints.values() for row, item in enumerate(part.items)}
        shown = []
        for rank, joint in enumerate(list(dict.fromkeys(worst))[: self.worst], start=1):
            part, row = places[joint]
            file = f"worst/{name}/{rank:02d}_{joint}.png"
            shown.append(self._write_montage(file, part, row, f"{joint}: number {rank} of {name}"))
        return shown

    def _write_montage(self, file: str, joints: SeparatedJoints, row: int, label: str) -> Path:
        path = self.output_dir / file
        path.parent.mkdir(parents=True, exist_ok=True)
        panels = separation_row(joints.images[row], joints.layers[row], float(joints.spacing[row]))
        montage([panels], TITLES, path, [label])
        return path

    def _write_tables(self) -> None:
        self.found["measures"] = dict(sorted(self.found["measures"].items()))
        write_figures(self.path, self.found)
        parts = [_tables(name, entry) for name, entry in self.found["measures"].items()]
        write_bytes(self.output_dir / "metrics.md", "\n".join(parts).encode())


def _fingers(images: pd.DataFrame) -> pd.DataFrame:
    """Average all measured (float) columns per finger and overall (:func:`bundle.statistics.summarize`).

    If a text column other than the joint's identity distinguishes kinds of rows (a depth, a trial), each kind has its
    own metrics. Reasons for refusals (columns ``..._refused``) are no kinds.
    """
    texts = images.select_dtypes("object")
    kinds = [column for column in texts if column not in IDENTITY and not column.endswith("_refused")]
    numbers = list(images.select_dtypes("floating"))
    wide = images.groupby([*IDENTITY, *kinds], sort=False)[numbers].mean().unstack(kinds)
    named = {" ".join(map(str, [*key[1:], key[0]] if kinds else [key])): wide[key].to_numpy() for key in wide}
    return summarize(named, wide.index.get_level_values("finger").tolist())


def _tables(name: str, entry: Mapping[str, Any]) -> str:
    """Return a measure's section of ``metrics.md``."""
    sizes = [f"{key}: {size['images']} images of {size['joints']} joints" for key, size in entry["data"].items()]
    rows = "".join(f"| {key} | {shown_figure(value)} |\n" for key, value in flat_figures(entry["figures"]).items())
    fingers = pd.DataFrame(entry["fingers"]).astype({"mean": float, "std": float})
    table = f"\n{to_markdown(fingers)}" if len(fingers) else ""
    return f"## {name}\n\n{', '.join(sizes)}\n\n| figure | value |\n| --- | ---: |\n{rows}{table}"
