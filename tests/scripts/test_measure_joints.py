"""The table of measured joints of a list: resumed, in the order of the list, with refused and unreadable joints."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest
from bundle.errors import InputError
from bundle.io.writing import deep_pixels, write_masks, write_png
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_joint_space
from scripts.measure_joints import COLUMNS, changes, main

SEEDS = (4, 5)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A list of two phantoms and a file that is no radiograph."""
    folder = tmp_path / "Data"
    folder.mkdir()
    entries = []
    for seed in SEEDS:
        made = render(sample_parameters(seed, outline_gap_mm=0.5))
        write_png(folder / f"{seed}.png", deep_pixels(made.image))
        write_masks(folder, str(seed), (made.masks > 0.5).float())
        entries.append({"image": f"{seed}.png", "lower": f"{seed}_mask_lower.png", "upper": f"{seed}_mask_upper.png"})
    (folder / "bad.png").write_bytes(b"no picture")
    entries.insert(1, {**entries[0], "image": "bad.png"})
    (folder / "K").write_text(json.dumps(entries))
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_joint_of_a_list_has_a_row_with_its_joint_space_and_curves(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "joints.csv"
    main([str(data), "--datalists", "K", "--output", str(output)])
    found = rows(output)
    assert tuple(found[0]) == COLUMNS
    assert [bool(row["joint_space_mm"]) for row in found] == [True, False, True]
    assert found[1]["refused"] and str(tmp_path) not in found[1]["refused"]
    figures = json.loads(output.with_suffix(".json").read_text())["all"]
    assert figures["radiographs"] == 3 and figures["refused"] == pytest.approx(1 / 3)
    assert figures["median"] == pytest.approx(sum(float(found[row]["joint_space_mm"]) for row in (0, 2)) / 2)
    for row, seed in zip((found[0], found[2]), SEEDS, strict=True):
        assert float(row["joint_space_mm"]) == pytest.approx(
            true_joint_space(sample_parameters(seed, outline_gap_mm=0.5)), abs=0.1
        )
        assert float(row["outline_gap_mm"]) == pytest.approx(0.5, abs=0.1)
        x, head, floor = ([float(value) for value in row[name].split(";")] for name in ("x_mm", "head_mm", "floor_mm"))
        assert len(x) == len(head) == len(floor) > 10


def test_a_tilt_changes_the_gap_of_the_outlines_and_not_the_joint_space() -> None:
    joint, gap, space = ["a"] * 3 + ["b"] * 2, [0.1, 0.3, 0.5, 0.2, 0.4], [1.2, 1.2, 1.2, 1.0, 1.0]
    tilted = changes(pd.DataFrame({"joint": joint, "joint_space_mm": space, "outline_gap_mm": gap}))
    assert tilted["joint_space_within"] == 0.0
    assert tilted["covered_within"] == pytest.approx(((0.04 + 0.04 + 0.01 + 0.01) / 3) ** 0.5)
    narrowing = changes(pd.DataFrame({"joint": joint, "joint_space_mm": gap, "outline_gap_mm": gap}))
    assert narrowing["covered_within"] == 0.0 and narrowing["gap_correlation"] == pytest.approx(1.0)


@pytest.mark.slow
def test_a_table_that_was_begun_is_completed_in_the_order_of_the_list(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "joints.csv"
    main([str(data), "--datalists", "K", "--output", str(output)])
    whole = output.read_text()
    lines = whole.splitlines(keepends=True)
    output.write_text(lines[0] + lines[3] + lines[2])
    main([str(data), "--datalists", "K", "--output", str(output)])
    assert output.read_text() == whole


@pytest.mark.long
@pytest.mark.parametrize("left", ["a row", "the columns", "a part of the columns"])
def test_a_row_that_a_kill_cut_off_is_measured_again(data: Path, tmp_path: Path, left: str) -> None:
    output = tmp_path / "joints.csv"
    main([str(data), "--datalists", "K", "--output", str(output)])
    whole = output.read_text()
    lines = whole.splitlines(keepends=True)
    output.write_text({"a row": "".join(lines[:3]) + lines[3][:60], "the columns": lines[0]}.get(left, lines[0][:20]))
    main([str(data), "--datalists", "K", "--output", str(output)])
    assert output.read_text() == whole


def test_a_file_that_is_no_table_of_measured_joints_is_kept(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "other.csv"
    output.write_text("name,age\na,5\n")
    with pytest.raises(InputError, match=r"other\.csv: not a table of measured joints"):
        main([str(data), "--datalists", "K", "--output", str(output)])
    assert output.read_text() == "name,age\na,5\n"
