"""Figures of single runs: small committed files whose presence marks a run as done.

``<figures_dir>/<experiment>/<arm>/part<percent>_seed<seed>.json`` holds the evaluation of one training, the errors of
its test images, and its settings. A clone of the repository with these files repeats none of their runs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from bundle.base import read_json
from bundle.errors import InputError
from bundle.experiments.agreement import Outcome
from bundle.io import flat_figures, plain, private_setting, write_bytes

_MODULES = re.compile(r"\bbundle\.(?:\w+\.)+(?=\w)")
_FOLDERS = re.compile(r"\bconfigs/(?:\w+/)*(\w+)\.(?:yaml|json)\b")
_SHARED = re.compile(r"configs/(?:parts/.*|inference\.json)")

Cell = tuple[str, float, int]
"""Arm, fraction of the annotated joints and seed of a training."""


def data_settings(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the data settings that distinguish figures: phantoms or files, and lists other than the public ones."""
    lists = {name.lower(): environment.get(name, "") for name in ("DATALIST", "TEST_DATALIST")}
    return {"data": "files" if environment.get("DATASET_DIR") else "phantoms", **private_setting("", lists)}


def told(settings: Mapping[str, Any]) -> Any:
    """Return settings as stored in a file: classes and configurations by name alone, since their places may change.

    Configurations that tasks share are left out: how they are divided changes no figure.
    """
    own = [name for name in settings.get("configs", ()) if not _SHARED.fullmatch(str(name))]
    text = json.dumps(private_setting("", plain({**settings, "configs": own})))
    return json.loads(_MODULES.sub("", _FOLDERS.sub(r"\1", text)))


def keep_figures(
    path: Path, evaluation: tuple[Path, Path], cell: Cell, settings: Mapping[str, Any], columns: Sequence[str]
) -> None:
    """Store an evaluation as the figures of a run.

    Args:
        path: path of the file to write.
        evaluation: files of the evaluation's figures and of its rows of images or pairs.
        cell: arm, fraction and seed of the evaluation.
        settings: settings of the run.
        columns: columns of signed errors in the rows.

    Raises:
        InputError: the evaluation is damaged, or has no such columns.
    """
    measured, table = evaluation
    try:
        found = read_json(measured)
        figures = flat_figures(found["figures"])
        rows = pd.read_csv(table)[["name", "joint", *columns]].dropna(how="all", subset=list(columns))
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{measured}: not the figures of an evaluation ({error!r}). Delete its folder and run it again."
        raise InputError(msg) from error
    arm, fraction, seed = cell
    content = {
        "arm": arm,
        "fraction": fraction,
        "seed": seed,
        "settings": told(settings),
        "machine": found.get("machine", {}),
        "figures": figures,
        "errors": rows.to_dict("list"),
    }
    lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in plain(content).items())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def read_figures(path: Path, cell: Cell, settings: Mapping[str, Any], names: Sequence[str]) -> Outcome:
    """Read the figures of a run.

    Args:
        path: path of the file.
        cell: required arm, fraction and seed.
        settings: required settings.
        names: names of the figures.

    Raises:
        InputError: the file is damaged, or its run had other settings.
    """
    try:
        found = read_json(path)
        named = found["arm"], found["fraction"], found["seed"]
        figures, errors = {name: found["figures"][name] for name in names}, found["errors"]
        rows = None if errors is None else _rows(errors)
        measured = dict(found["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: not the figures of a run ({error!r}). Delete the file to measure them again."
        raise InputError(msg) from error
    different = _changes(measured, told(settings)) or ["it is of another run"] * (named != cell)
    if different:
        remedy = "Delete the file to measure them again, or set another figures_dir."
        raise InputError(f"{path}: these figures are of other settings: {'; '.join(different)}. {remedy}")
    return Outcome(*cell, figures, rows)


def _rows(errors: Mapping[str, Any]) -> pd.DataFrame:
    """Return the errors of images, NaN if there is none."""
    numbers = [name for name in errors if name not in ("name", "joint")]
    return pd.DataFrame(errors).astype({**dict.fromkeys(numbers, float), "name": str, "joint": str})


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each setting that differs; those in groups as ``<group> <name>``."""
    before, after = flat_figures({"": dict(old)}), flat_figures({"": dict(new)})
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    return [f"{key.strip()} was {before.get(key)!r}, is {after.get(key)!r}" for key in keys]


@dataclass(frozen=True)
class KnownResult:
    """A stored ``experiment.json``: comparisons of arms whose errors per image were not stored (up to version 0.10).

    Attributes:
        path: path of the file, which may be absent.
    """

    path: Path

    @cached_property
    def _found(self) -> dict[str, Any]:
        try:
            return dict(read_json(self.path))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{self.path}: not the figures of an experiment ({error!r}). Restore the file.") from error

    def reduction(
        self, error: str, arm: tuple[str, float], base: tuple[str, float], outcomes: Sequence[Outcome]
    ) -> dict[str, Any]:
        """Return the stored error reduction of an arm; nothing if it belongs to other figures.

        Args:
            error: label of the error.
            arm: arm and its fraction.
            base: base and its fraction.
            outcomes: outcomes of both.
        """
        names = ("reduction", "reduction_interval", "common", "images")
        same = {_cell(row): row["figures"] for row in self._found.get("cells", []) if _cell(row)[:2] in (arm, base)}
        if same == {(out.arm, out.fraction, out.seed): out.figures for out in outcomes}:
            for row in self._found["reductions"]:
                if (row["error"], (row["arm"], row["fraction"]), row["base_fraction"]) == (error, arm, base[1]):
                    return {name: row.get(name) for name in names}
        return {**dict.fromkeys(names), "reduction_interval": [None, None]}


def _cell(row: Mapping[str, Any]) -> Cell:
    return row["arm"], row["fraction"], row["seed"]
