"""Write the generated parts of documents: figures of evaluations, CHANGELOG.md, and the version in CITATION.cff.

    python scripts/write_documents.py
    python scripts/write_documents.py --check

A figure quoted in a document stands between two comments, which state its source and format:
``<!--=ours:E2/deep_overlap_rmse .3f-->0.042<!--/-->`` is the figure ``deep_overlap_rmse`` of the measure E2 in
docs/results/ours.json. In the documents of ``QUOTING``, decimals and percentages outside of such comments and of code
are refused unless ``SETTINGS`` lists them. The figures of ``eval_metrics`` in configs/metadata.json are those of
``METADATA``; its ``changelog`` becomes CHANGELOG.md. With ``--check`` nothing is written, and differences are listed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

from bundle.errors import InputError, report_plainly
from bundle.io import write_bytes

QUOTING = ("README.md", "docs/model_card.md", "docs/concepts/joint_space.md")
"""Documents in which every figure is quoted."""

PARTLY = (
    "docs/concepts/synthesis.md",
    "docs/downstream.md",
    "docs/hands.md",
    "docs/measuring.md",
    "docs/radiographs.md",
)
"""Documents that also state figures without a quotation."""

SHIPPED = "cells[arm=ours,fraction=1.0,seed=0]/figures"
"""The shipped networks of the experiments: pre-trained, all training joints, seed 0."""

REGRESSOR = "experiments/read_joint_space/ours/part100_seed0:figures"
REGISTRATION = f"experiments/narrowing_between_two_radiographs:{SHIPPED}"

METADATA = {
    "psnr_db_capped_at_120": "ours:E1/psnr .1f",
    "ssim": "ours:E1/ssim .4f",
    "e2_deep_bone_rmse_overlap": "ours:E2/deep_overlap_rmse .4f",
    "e2_deep_bone_rmse": "ours:E2/deep_bones_rmse .4f",
    "e2_deep_soft_rmse": "ours:E2/deep_soft_rmse .4f",
    "e2_real_bone_rmse_overlap": "ours:E2/real_overlap_rmse .4f",
    "e3_bone_rmse_overlap": "ours:E3/overlap_rmse .4f",
    "e3_bone_rmse": "ours:E3/bones_rmse .4f",
    "e3_soft_rmse": "ours:E3/soft_rmse .4f",
    "e4_auc_above_shape": "ours:E4/above_shape .3f",
    "e5_accuracy_half_mm": "ours:E5/accuracy_0.5mm .3f",
    "e5_accuracy_half_mm_outlines_alone": "ours:E5/accuracy_outlines .3f",
    "e5_accuracy_half_mm_together": "ours:E5/accuracy_0.5mm_together .3f",
    "mask_dice_lower": "ours_masks_predicted:masks/lower_dice .3f",
    "mask_dice_upper": "ours_masks_predicted:masks/upper_dice .3f",
    "mask_hd95_mm_lower": "ours_masks_predicted:masks/lower_hd95_mm .3f",
    "mask_hd95_mm_upper": "ours_masks_predicted:masks/upper_hd95_mm .3f",
    "e2_deep_bone_rmse_overlap_predicted_masks": "ours_masks_predicted:E2/deep_overlap_rmse .4f",
    "e4_auc_above_shape_predicted_masks": "ours_masks_predicted:E4/above_shape .3f",
    "e6_mae_mm_predicted_masks": "ours_masks_predicted:E6/mae .4f",
    "e6_width_mae_mm_own_layers": "ours_measured_anew:E6_width/own/mae .4f",
    "e6_width_mae_mm": "ours_measured_anew:E6_width/anew/mae .4f",
    "e6_width_mae_mm_predicted_masks": "ours_measured_anew:E6_width/predicted/mae .4f",
    "joint_space_phantoms_bias_mm": "joint_space:joint_space_phantoms/surfaces/bias .3f",
    "joint_space_phantoms_mae_mm": "joint_space:joint_space_phantoms/surfaces/mae .3f",
    "joint_space_phantoms_sdd_mm": "joint_space:joint_space_phantoms/surfaces/sdd .3f",
    "joint_space_visits_sd_mm": "joint_space:joint_space/surfaces/visits_sd .3f",
    "joint_space_gross": "joint_space:joint_space/surfaces/gross .3f",
    "joint_space_refused": "joint_space:joint_space/surfaces/refused .3f",
    "joint_space_regressor_mae_mm": f"{REGRESSOR}/mae_mm .3f",
    "joint_space_regressor_r2": f"{REGRESSOR}/r2 .3f",
    "joint_space_regressor_within_limits": "regressor:figures/within_limits .3f",
    "grader_accuracy": "grader:figures/accuracy .3f",
    "grader_sensitivity": "grader:figures/sensitivity .3f",
    "registrar_sigma_mm": f"{REGISTRATION}/real sigma_mm .3f",
    "registrar_synthetic_mae_mm": f"{REGISTRATION}/synthetic mae_mm .3f",
}
"""Source of each figure of ``eval_metrics``."""

SETTINGS = (
    *(
        "Python 3.10 to 3.12",
        "3D",
        "0.5 mm",
        "0.3 mm",
        "1 to 1.5 mm",
        "1.75 mm",
        "1.40 mm",
        "1.96 times",
        "0.11",
        "0.8 mm",
        "0 to 2.5 mm",
        "0.15 mm",
        "25.4 / dpi",
        "95 %",
        "5 %",
        "1.4 M",
        "Apache-2.0",
        "Version 2.0",
    ),
    *("<= 0.030", "<= 0.010", "<= 0.02", "<= 0.60", "<= 0.03"),
)
"""Decimals and percentages that are not results: settings, names and goals."""

QUOTE = re.compile(r"<!--=(?P<source>[^>]*?) (?P<format>[\w.+]+)-->(?P<shown>.*?)<!--/-->", re.DOTALL)
_NO_PROSE = re.compile(r"```.*?```|`[^`\n]*`|<!--.*?-->|\]\([^)]*\)|https?://\S+|arXiv[: ]\d+\.\d+", re.DOTALL)
_FIGURE = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\d)|(?<![\w.])\d+ ?%")


class Difference(NamedTuple):
    """A place in a document with its text and the correct text."""

    place: str
    states: str
    should: str

    def __str__(self) -> str:
        return f"{self.place}: {self.states!r} should be {self.should!r}"


def figure(source: str, root: Path) -> Any:
    """Return the value of a source: ``FILE:KEY/KEY[key=value,...]/KEY``.

    Args:
        source: the file is one of docs/results, or of the repository, without ``.json``; the first key may be a
            measure; a selection picks the one entry of a list.
        root: root of the repository.

    Raises:
        InputError: there is no such figure.
    """
    name, _, path = source.partition(":")
    files = [file for folder in ("docs/results", ".") if (file := root / folder / f"{name}.json").is_file()]
    try:
        value: Any = json.loads(files[0].read_bytes())
        measures = value.get("measures") or {}
        value = {**value, **{key: measure["figures"] for key, measure in measures.items()}}
        for key in path.split("/"):
            value = _entry(value, key)
    except (IndexError, KeyError, ValueError, TypeError) as error:
        msg = f"{source}: docs/results has no such figure. Name a file, a measure and its figure."
        raise InputError(msg) from error
    return value


def _entry(value: Any, key: str) -> Any:
    """Return the entry of a key, optionally with a selection, or of an index."""
    key, _, selection = key.partition("[")
    found = value[int(key)] if isinstance(value, list) else value[key]
    if not selection:
        return found
    wanted = [part.split("=") for part in selection.rstrip("]").split(",")]
    (chosen,) = [entry for entry in found if all(str(entry[name]) == given for name, given in wanted)]
    return chosen


def shown(source: str, form: str, root: Path) -> str:
    """Format a figure by a Python format, or as a percentage without its sign: ``.0p``."""
    value = figure(source, root)
    try:
        return format(100 * value, f"{form[:-1]}f") if form.endswith("p") else format(value, form)
    except (TypeError, ValueError) as error:
        msg = f"{source}: {value!r} cannot be written as {form}. Name a number and a Python format."
        raise InputError(msg) from error


def quoted(text: str, root: Path) -> str:
    """Return a document with all its figures from docs/results."""

    def renewed(quote: re.Match[str]) -> str:
        source, form = quote["source"], quote["format"]
        return f"<!--={source} {form}-->{shown(source, form, root)}<!--/-->"

    return QUOTE.sub(renewed, text)


def wrong_quotes(path: str, text: str, root: Path) -> Iterator[Difference]:
    """Yield the figures of a document that differ from docs/results."""
    for quote in QUOTE.finditer(text):
        should = shown(quote["source"], quote["format"], root)
        if quote["shown"] != should:
            yield Difference(f"{path}:{_line(text, quote.start())}: {quote['source']}", quote["shown"], should)


def copied_figures(path: str, text: str) -> Iterator[Difference]:
    """Yield the figures of a document that are not generated."""
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])  # noqa: E731 - keeps the lines
    prose = _NO_PROSE.sub(blank, QUOTE.sub(blank, text))
    for setting in SETTINGS:
        prose = re.sub(rf"(?<![\d.]){re.escape(setting)}", " " * len(setting), prose)
    for found in _FIGURE.finditer(prose):
        yield Difference(f"{path}:{_line(prose, found.start())}", found[0], "<!--=FILE:KEY FORMAT-->...<!--/-->")


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1


def metadata_with_figures(text: str, root: Path) -> str:
    """Return configs/metadata.json with exactly the figures of ``METADATA``."""
    metadata = json.loads(text)
    sources = {key: source.rpartition(" ") for key, source in METADATA.items()}
    figures = {key: float(shown(source, form, root)) for key, (source, _, form) in sources.items()}
    return json.dumps({**metadata, "eval_metrics": figures}, indent=4, ensure_ascii=False) + "\n"


def changelog(metadata: str) -> str:
    """Return CHANGELOG.md: the changelog of configs/metadata.json, the newest version first, one change per line."""
    entries = json.loads(metadata)["changelog"]
    parts = ["# Changelog", "Generated from `changelog` in `configs/metadata.json` by `scripts/write_documents.py`."]
    for version in sorted(entries, key=_numbers, reverse=True):
        changes = "\n".join(f"- {change}" for change in _changes(entries[version]))
        parts.append(f"## {version}\n\n{changes}")
    return "\n\n".join(parts) + "\n"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _changes(entry: str) -> list[str]:
    """Split the changes of a version at semicolons outside of brackets."""
    return [part.strip() for part in re.split(r";(?![^(]*\))", entry)]


def citation(text: str, metadata: str) -> str:
    """Return CITATION.cff with the version of configs/metadata.json."""
    return re.sub(r"(?m)^version: .*$", f"version: {json.loads(metadata)['version']}", text)


def written(root: Path) -> dict[str, str]:
    """Return the correct content of every generated file, by its path."""
    metadata = metadata_with_figures((root / "configs" / "metadata.json").read_text(encoding="utf-8"), root)
    return {
        **{path: quoted((root / path).read_text(encoding="utf-8"), root) for path in (*QUOTING, *PARTLY)},
        "configs/metadata.json": metadata,
        "CHANGELOG.md": changelog(metadata),
        "CITATION.cff": citation((root / "CITATION.cff").read_text(encoding="utf-8"), metadata),
    }


def differences(root: Path) -> list[Difference]:
    """Return all differences of the documents from their correct content."""
    found: list[Difference] = []
    for path, should in written(root).items():
        text = (root / path).read_text(encoding="utf-8") if (root / path).is_file() else ""
        if path in QUOTING:
            found += [*wrong_quotes(path, text, root), *copied_figures(path, text)]
        elif path in PARTLY:
            found += wrong_quotes(path, text, root)
        elif text != should:
            found.append(_first_difference(path, text, should))
    return found


def _first_difference(path: str, text: str, should: str) -> Difference:
    old, new = [*text.splitlines(), ""], [*should.splitlines(), ""]
    line = next((row for row, pair in enumerate(zip(old, new, strict=False)) if len(set(pair)) > 1), 0)
    return Difference(f"{path}:{line + 1}", old[line], new[line])


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> None:
    """Read the command line; write, or check."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--check", action="store_true", help="write nothing; fail if anything differs")
    chosen = options.parse_args(arguments)
    if not chosen.check:
        for path, text in written(root).items():
            write_bytes(root / path, text.encode())
    found = differences(root)
    if found:
        listed = "\n".join(map(str, found))
        remedy = "run python scripts/write_documents.py, and quote the figures that it cannot write"
        msg = f"{len(found)} places in the documents are not generated or not up to date: {remedy}:\n{listed}"
        raise InputError(msg)


if __name__ == "__main__":
    report_plainly()
    main()
