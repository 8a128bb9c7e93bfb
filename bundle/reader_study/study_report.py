"""Report of a reader study: how well readers distinguish synthetic radiographs from real ones."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from bundle.errors import seed_argument
from bundle.io import plain
from bundle.reader_study.fields import csv_of, line_named, whole
from bundle.reader_study.study import SYNTHETIC, Study, read_key, validated_answer
from bundle.statistics import (
    FIGURES,
    Estimate,
    ReaderScores,
    fleiss_kappa,
    logistic_slope,
    named,
    obuchowski_rockette,
    proportion,
    reader_intervals,
)
from numpy.typing import NDArray

PAPER = {
    "accuracy": 0.708,
    "readers": 5,
    "real": 50,
    "synthetic": 50,
    "source": "LSN (arXiv 2502.01972), section 3.4 and Table 3",
}
"""Overall figures of the paper, as far as they are known here."""

BLOCKS = 4
"""Number of blocks of a session in which the accuracy is reported."""

PER = 10
"""Number of images to which the slope of learning refers."""

_FIELDS = ("reader", "image", "answer", "confidence", "seconds")

COLUMNS = (
    *("reader", "answers", "median_seconds"),
    *(f"{name}{part}" for name in FIGURES for part in ("", "_low", "_high")),
)
"""Columns of the table."""


@dataclass(frozen=True)
class StudyReport:
    """Figures of a reader study.

    Attributes:
        figures: the whole report, for JSON.
        table: one row per reader, one for the mean of all readers ("overall") and one for the paper, with the columns
            of :data:`COLUMNS`.
    """

    figures: dict[str, Any]
    table: pd.DataFrame

    @property
    def csv(self) -> str:
        """The table as CSV."""
        return csv_of(self.table)


@dataclass(frozen=True, eq=False)
class _Answers:
    """Answers of the readers who have answered all images, and the number of answers of every reader."""

    readers: Sequence[str]
    scores: NDArray[np.float64]
    order: NDArray[np.float64]
    seconds: NDArray[np.float64]
    counts: Mapping[str, int]


def study_report(study: Study, records: Iterable[Mapping[str, Any]], *, seed: int = 0) -> StudyReport:
    """Compute the accuracy of the readers of a study.

    A positive answer is "synthetic": the sensitivity is the fraction of synthetic radiographs called synthetic, the
    specificity that of real ones called real. The area under the curve (AUC) rates the confidence with the sign of the
    answer, from -5 (surely real) to 5 (surely synthetic). Proportions of one reader have Wilson's interval, their AUC a
    bootstrap over joints, means over readers a bootstrap over joints and readers; the mean AUC also has the interval of
    Obuchowski and Rockette. All intervals are 95 %. Readers who have not answered all images are counted and enter no
    figure.

    Args:
        study: the study.
        records: effective answers (``study.log.effective()``).
        seed: random seed of the bootstrap.

    Returns:
        ``figures``, among them ``readers`` by name, ``overall`` or the reason why there is none, ``paper``; and the
        table.

    Raises:
        InputError: the key is damaged, or a record is not an answer.
    """
    seed, key = seed_argument("seed", seed), read_key(study)
    answers = _collected(study, records)
    labels = np.array([key[identity]["kind"] == SYNTHETIC for identity in study.images])
    known = {"study": study.name, "study_seed": study.seed, "seed": seed, "level": 0.95, "images": len(labels)}
    unfinished = {name: count for name, count in answers.counts.items() if name not in answers.readers}
    found: dict[str, Any] = {**known, "matching": dict(study.matching), "unfinished": unfinished, "paper": PAPER}
    if not answers.readers:
        reason = f"no reader has answered all {len(labels)} images"
        return _report({**found, "readers": {}, "overall": {"readers": 0, "not_computed": reason}})
    single, overall = _figures(answers, labels, [str(key[identity]["joint"]) for identity in study.images], seed)
    return _report({**found, "readers": single, "overall": overall})


def _report(found: Mapping[str, Any]) -> StudyReport:
    return StudyReport(plain(found), _table(found))


def _collected(study: Study, records: Iterable[Mapping[str, Any]]) -> _Answers:
    places = {identity: column for column, identity in enumerate(study.images)}
    tables: dict[str, NDArray[np.float64]] = {}
    for record in records:
        with line_named(record):
            answer = validated_answer({name: record.get(name) for name in _FIELDS})
            order = whole(record["order"], "order", 1, len(places)) if "order" in record else math.nan
            study.image_path(answer["image"])
        sign = 1.0 if answer["answer"] == SYNTHETIC else -1.0
        table = tables.setdefault(answer["reader"], np.full((3, len(places)), math.nan))
        given = (sign * answer["confidence"], order, answer["seconds"])
        table[:, places[answer["image"]]] = given
    counts = {name: int(np.isfinite(tables[name][0]).sum()) for name in sorted(tables)}
    readers = [name for name, count in counts.items() if count == len(places)]
    stacked = np.stack([tables[name] for name in readers], axis=1) if readers else np.zeros((3, 0, len(places)))
    scores, order, seconds = stacked
    return _Answers(readers, scores, order, seconds, counts)


def _figures(
    answers: _Answers, labels: NDArray[np.bool_], joints: Sequence[str], seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures of each reader, and of all of them."""
    scores = ReaderScores(answers.scores, labels)
    each, mean = reader_intervals(scores, joints, seed=seed)
    single = {
        name: {
            **named({**each[row], **_proportions(scores, row)}),
            "answers": len(labels),
            "median_seconds": float(np.median(answers.seconds[row])),
            "learning": _learning(answers, scores, [row]),
        }
        for row, name in enumerate(answers.readers)
    }
    overall = {
        "readers": len(answers.readers),
        **named(mean),
        "auc_obuchowski_rockette": _averaged(answers.scores, labels),
        **_agreement(answers.scores, seed),
        "median_seconds": float(np.median(answers.seconds)),
        "learning": _learning(answers, scores, range(len(answers.readers))),
    }
    return single, overall


def _proportions(scores: ReaderScores, row: int) -> dict[str, Estimate]:
    correct, labels = scores.correct[row], scores.labels
    groups = {"sensitivity": labels, "specificity": ~labels, "accuracy": np.ones_like(labels)}
    return {name: proportion(int(correct[group].sum()), int(group.sum())) for name, group in groups.items()}


def _averaged(scores: NDArray[np.float64], labels: NDArray[np.bool_]) -> dict[str, Any]:
    """Reader-averaged AUC by Obuchowski and Rockette, or the reason why there is none."""
    if min(labels.sum(), (~labels).sum()) < 2:
        return {"not_computed": "at least 2 real and 2 synthetic radiographs are needed"}
    found = asdict(obuchowski_rockette(scores, labels))
    return {"auc": found.pop("value"), "auc_interval": list(found.pop("interval")), **found}


def _agreement(scores: NDArray[np.float64], seed: int) -> dict[str, Any]:
    """Fleiss' kappa of the answers."""
    if len(scores) < 2:
        return {"fleiss_kappa": None, "fleiss_kappa_interval": None}
    called = (scores > 0).sum(axis=0)
    counts = np.stack([len(scores) - called, called], axis=1)
    return named({"fleiss_kappa": fleiss_kappa(counts, seed=seed)})


def _learning(answers: _Answers, scores: ReaderScores, rows: Sequence[int]) -> dict[str, Any]:
    """Accuracy in consecutive blocks of the sessions, and the change of the log odds of a correct answer."""
    order, correct = answers.order[list(rows)], scores.correct[list(rows)]
    kept = np.isfinite(order)
    names = np.repeat([answers.readers[row] for row in rows], order.shape[1]).reshape(order.shape)
    edges = np.linspace(0.0, order.shape[1], BLOCKS + 1)[1:-1]
    block = np.searchsorted(edges, order - 1.0, side="right")
    hits = [correct[kept & (block == each)] for each in range(BLOCKS)]
    slope = logistic_slope(order[kept] / PER, correct[kept], names[kept].tolist())
    return {
        "accuracy_in_blocks": [float(part.mean()) if len(part) else None for part in hits],
        **named({f"log_odds_per_{PER}_images": slope}),
    }


def _table(found: Mapping[str, Any]) -> pd.DataFrame:
    rows = [_row(name, part) for name, part in found["readers"].items()]
    rows += [{"reader": name, "answers": count} for name, count in found["unfinished"].items()]
    rows.append(_row("overall", {**found["overall"], "answers": found["images"] * found["overall"]["readers"]}))
    rows.append({"reader": f"paper ({PAPER['readers']} readers)", "accuracy": PAPER["accuracy"]})
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(name: str, part: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"reader": name, "answers": part["answers"], "median_seconds": part.get("median_seconds")}
    for figure in FIGURES:
        low, high = part.get(f"{figure}_interval", (None, None))
        row |= {figure: part.get(figure), f"{figure}_low": low, f"{figure}_high": high}
    return row
