"""People who read radiographs: measuring sessions, visual Turing tests, their logs and their reports."""

from __future__ import annotations

from bundle.reader_study.fields import person, spelling
from bundle.reader_study.measuring import METHODS, REPEATED, Presentation, left_to_measure, plan_measurements, validated
from bundle.reader_study.measuring_report import MeasuringReport, measuring_report
from bundle.reader_study.readings import UNDOES, ReadingLog
from bundle.reader_study.study import (
    KINDS,
    STUDIES,
    STUDY,
    SUREST,
    FoundStudy,
    Study,
    find_studies,
    read_key,
    read_study,
    validated_answer,
)
from bundle.reader_study.study_images import study_pixels, study_png
from bundle.reader_study.study_making import make_study
from bundle.reader_study.study_matching import CALIPER_MM, COUNT, Candidate, StudyPlan, plan_study
from bundle.reader_study.study_report import PAPER, StudyReport, study_report
from bundle.reader_study.study_sources import data_set_candidates, joint_candidates

__all__ = [
    "CALIPER_MM",
    "COUNT",
    "KINDS",
    "METHODS",
    "PAPER",
    "REPEATED",
    "STUDIES",
    "STUDY",
    "SUREST",
    "UNDOES",
    "Candidate",
    "FoundStudy",
    "MeasuringReport",
    "Presentation",
    "ReadingLog",
    "Study",
    "StudyPlan",
    "StudyReport",
    "data_set_candidates",
    "find_studies",
    "joint_candidates",
    "left_to_measure",
    "make_study",
    "measuring_report",
    "person",
    "plan_measurements",
    "plan_study",
    "read_key",
    "read_study",
    "spelling",
    "study_pixels",
    "study_png",
    "study_report",
    "validated",
    "validated_answer",
]
