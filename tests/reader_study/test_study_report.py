"""The report of a study on scripted readers of known accuracy."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bundle.errors import InputError
from bundle.reader_study.study import SYNTHETIC, Study, read_key
from bundle.reader_study.study_making import make_study
from bundle.reader_study.study_report import COLUMNS, StudyReport, study_report
from bundle.statistics import area_under_curve, obuchowski_rockette
from tests.reader_study.phantoms import plain

COUNT = 50
READERS = {"A": (0.9, 0.6), "B": (0.7, 0.7), "C": (0.5, 0.5), "D": (0.8, 0.4), "E": (0.6, 0.9)}
"""Sensitivity and specificity of each scripted reader."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("report") / "turing"
    return make_study(folder, plain("real", range(75)), plain("synthetic", range(75, 150)), count=COUNT)


def scripted(study: Study, reader: str, right: Mapping[str, bool], key: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The answers of a reader who is right where told; confident where right."""
    records = []
    for order, image in enumerate(study.order(reader), start=1):
        synthetic = (key[image]["kind"] == SYNTHETIC) == right[image]
        given = {"image": image, "answer": SYNTHETIC if synthetic else "real", "confidence": 4 if right[image] else 2}
        records.append({"id": order, "reader": reader, **given, "seconds": 3.0, "order": order})
    return records


@pytest.fixture(scope="module")
def records(study: Study) -> list[dict[str, Any]]:
    """Each reader is right in exactly the share of the images of each kind that was asked for."""
    key, random, found = read_key(study), np.random.RandomState(0), []
    for reader, shares in READERS.items():
        right = {}
        for kind, share in zip((SYNTHETIC, "real"), shares, strict=True):
            images = [image for image in study.images if key[image]["kind"] == kind]
            right |= dict(zip(images, random.permutation(COUNT) < round(share * COUNT), strict=True))
        found += scripted(study, reader, right, key)
    return found


@pytest.fixture(scope="module")
def report(study: Study, records: list[dict[str, Any]]) -> StudyReport:
    return study_report(study, records, seed=1)


def test_the_accuracy_of_scripted_readers_is_recovered(report: StudyReport) -> None:
    for reader, (sensitivity, specificity) in READERS.items():
        found = report.figures["readers"][reader]
        assert found["sensitivity"] == pytest.approx(sensitivity)
        assert found["specificity"] == pytest.approx(specificity)
        assert found["accuracy"] == pytest.approx((sensitivity + specificity) / 2)
        for name in ("sensitivity", "specificity", "accuracy", "auc"):
            low, high = found[f"{name}_interval"]
            assert 0.0 <= low < found[name] < high <= 1.0


def test_the_area_is_that_of_the_signed_confidence(
    study: Study, records: list[dict[str, Any]], report: StudyReport
) -> None:
    key = read_key(study)
    own = [record for record in records if record["reader"] == "A"]
    signs = [1 if record["answer"] == SYNTHETIC else -1 for record in own]
    scores = [sign * record["confidence"] for sign, record in zip(signs, own, strict=True)]
    labels = [key[record["image"]]["kind"] == SYNTHETIC for record in own]
    assert report.figures["readers"]["A"]["auc"] == pytest.approx(area_under_curve(scores, labels))


def test_the_means_of_all_readers_have_intervals_and_both_areas_agree(report: StudyReport) -> None:
    overall = report.figures["overall"]
    assert overall["readers"] == 5
    assert overall["sensitivity"] == pytest.approx(0.7) and overall["specificity"] == pytest.approx(0.62)
    assert overall["accuracy"] == pytest.approx(0.66)
    assert overall["accuracy_interval"][0] < 0.66 < overall["accuracy_interval"][1]
    averaged = overall["auc_obuchowski_rockette"]
    assert averaged["auc"] == pytest.approx(overall["auc"])
    assert averaged["auc_interval"][0] < averaged["auc"] < averaged["auc_interval"][1]
    assert -0.2 < overall["fleiss_kappa"] < 0.3


def test_obuchowski_and_rockette_get_the_scores_of_the_readers(
    study: Study, records: list[dict[str, Any]], report: StudyReport
) -> None:
    key, table = read_key(study), pd.DataFrame(records)
    table["score"] = np.where(table["answer"] == SYNTHETIC, 1, -1) * table["confidence"]
    scores = table.pivot(index="reader", columns="image", values="score")
    expected = obuchowski_rockette(scores.to_numpy(), [key[image]["kind"] == SYNTHETIC for image in scores.columns])
    found = report.figures["overall"]["auc_obuchowski_rockette"]
    assert found["auc_interval"] == pytest.approx(list(expected.interval))
    assert found["freedom"] == pytest.approx(expected.freedom)


def test_a_reader_who_learns_is_seen(study: Study) -> None:
    key, random = read_key(study), np.random.RandomState(0)
    right = {
        image: bool(random.rand() < 0.3 + 0.65 * place / len(study.images))
        for place, image in enumerate(study.order("A"))
    }
    learning = study_report(study, scripted(study, "A", right, key)).figures["readers"]["A"]["learning"]
    blocks = learning["accuracy_in_blocks"]
    assert blocks[0] < 0.6 < blocks[3]
    assert np.mean(blocks) == pytest.approx(np.mean(list(right.values())))
    assert learning["log_odds_per_10_images_interval"][0] > 0.0


def test_a_reader_who_does_not_learn_has_no_slope(report: StudyReport) -> None:
    low, high = report.figures["overall"]["learning"]["log_odds_per_10_images_interval"]
    assert low < 0.0 < high


def test_readers_who_are_not_done_are_counted_and_enter_no_figure(study: Study, records: list[dict[str, Any]]) -> None:
    found = study_report(study, records[:-3], seed=1).figures
    assert found["unfinished"] == {"E": 97}
    assert found["overall"]["readers"] == 4 and set(found["readers"]) == set("ABCD")
    nobody = study_report(study, []).figures["overall"]
    assert nobody == {"readers": 0, "not_computed": "no reader has answered all 100 images"}


def test_the_report_is_json_and_its_table_has_the_paper_beside_it(report: StudyReport) -> None:
    assert json.loads(json.dumps(report.figures, allow_nan=False)) == report.figures
    assert report.figures["seed"] == 1 and report.figures["study_seed"] == 0
    table = pd.read_csv(io.StringIO(report.csv)).set_index("reader")
    assert list(table.columns) == list(COLUMNS[1:])
    assert list(table.index) == [*READERS, "overall", "paper (5 readers)"]
    assert table.loc["paper (5 readers)", "accuracy"] == 0.708
    assert table.loc["overall", "answers"] == 500
    assert table.loc["A", "sensitivity_low"] < 0.9 < table.loc["A", "sensitivity_high"]


def test_one_reader_has_no_agreement_between_readers(study: Study, records: list[dict[str, Any]]) -> None:
    found = study_report(study, records[:100]).figures["overall"]
    assert found["fleiss_kappa"] is None
    assert found["auc_obuchowski_rockette"]["between_readers"] is None
    assert found["auc_obuchowski_rockette"]["freedom"] == "inf"


def test_a_reader_who_is_always_right_has_an_area_of_one(study: Study) -> None:
    right = dict.fromkeys(study.images, True)
    found = study_report(study, scripted(study, "A", right, read_key(study))).figures["readers"]["A"]
    assert found["auc"] == 1.0 and found["accuracy_interval"][0] == pytest.approx(0.963, abs=1e-3)
    assert found["learning"]["log_odds_per_10_images"] is None


def test_a_record_of_another_study_is_refused(study: Study, records: list[dict[str, Any]]) -> None:
    with pytest.raises(InputError, match="image_999"):
        study_report(study, [{**records[0], "image": "image_999"}])


def test_answers_through_the_log_give_the_same_report(
    study: Study, records: list[dict[str, Any]], tmp_path: Path
) -> None:
    own = records[:100]
    for record in own:
        study.answer({name: record[name] for name in ("reader", "image", "answer", "confidence", "seconds")})
    assert study_report(study, study.log.effective()).figures == study_report(study, own).figures
