"""Labels are those of the table, or the truth of a phantom."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.measurement import narrowing_grade
from bundle.phantoms import sample_parameters, true_joint_space
from bundle.scoring.labels import JointSpaceLabels, read_joint_spaces, with_labels


def test_a_joint_has_the_joint_space_of_its_row(tmp_path: Path) -> None:
    table = tmp_path / "joints.csv"
    table.write_text("name,joint_space_mm,grade\n007,1.25,1\nb,,\n")
    labels = JointSpaceLabels(table)
    assert labels({"name": "007"})["joint_space"].tolist() == [1.25]
    assert labels({"name": "007"})["grade"].tolist() == narrowing_grade(torch.tensor([1.25])).tolist()
    for unknown in ("b", "c"):
        found = labels({"name": unknown})
        assert math.isnan(float(found["joint_space"])) and found["grade"].tolist() == [-1]


def test_the_grade_refers_to_the_normal_joint_space(tmp_path: Path) -> None:
    table = tmp_path / "joints.csv"
    table.write_text("name,joint_space_mm\na,1.25\n")
    assert JointSpaceLabels(table, normal_mm=1.2)({"name": "a"})["grade"].tolist() == [0]


def test_a_phantom_has_its_true_joint_space() -> None:
    item = {"name": "phantom", "seed": 3, "spacing": torch.tensor([21 / 64]), "image": torch.zeros(3, 64, 64)}
    true = true_joint_space(sample_parameters(3, size=64, spacing=21 / 64))
    assert float(JointSpaceLabels("none.csv")(item)["joint_space"]) == pytest.approx(true, abs=1e-6)


def test_joint_spaces_are_measured_once_if_no_table_is_given(tmp_path: Path) -> None:
    class Run:
        result_path = tmp_path / "joints.csv"
        runs = 0

        def run(self) -> None:
            self.runs += 1
            self.result_path.write_text("name,joint_space_mm\na,0.5\n")

    run = Run()
    labels = JointSpaceLabels("", run)
    assert [float(labels({"name": "a"})["joint_space"]) for _ in range(2)] == [0.5, 0.5]
    assert run.runs == 1


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("name,width\na,1\n", r"joints\.csv: no column joint_space_mm\. Write"),
        ("name,joint_space_mm\na,wide\n", r"joints\.csv: joint_space_mm of row 1 is not a number"),
        ("name,joint_space_mm\na,True\n", r"joints\.csv: joint_space_mm of row 1 is not a number"),
        ("name,joint_space_mm\na,1.5,9\n", r"joints\.csv: 3 cells in row 1\. Write at most 2"),
        ("name,joint_space_mm,joint_space_mm\na,1,2\n", r"joints\.csv: 3 columns have 2 different names"),
        ("name,joint_space_mm\na,1.5\nb,inf\n", r"joints\.csv: a joint space of inf mm"),
        ("name,joint_space_mm\na,-1e9\n", r"joints\.csv: a joint space of -1e\+09 mm"),
        ("name,joint_space_mm\na,1.5\0\n", r"joints\.csv: "),
        (
            "name,joint_space_mm\na,$__import__('os').getpid()\n",
            r"joints\.csv: joint_space_mm of row 1 is not a number",
        ),
        ("name,joint_space_mm\na,1\na,2\n", "joints.csv: 1 names occur more than once, such as a"),
    ],
)
def test_what_is_no_table_of_joint_spaces_is_refused(tmp_path: Path, content: str, fault: str) -> None:
    (tmp_path / "joints.csv").write_text(content)
    with pytest.raises(InputError, match=fault):
        read_joint_spaces(tmp_path / "joints.csv")
    with pytest.raises(InputError, match=r"none\.csv: the table cannot be read"):
        read_joint_spaces(tmp_path / "none.csv")


def test_joints_without_a_joint_space_are_left_out() -> None:
    samples = [{"joint_space": torch.tensor([width])} for width in (0.5, math.nan, -0.2)]
    assert [float(sample["joint_space"]) for sample in with_labels(samples)] == pytest.approx([0.5, -0.2])
    with pytest.raises(InputError, match="none of 1 joints has a joint space"):
        with_labels(samples[1:2])
