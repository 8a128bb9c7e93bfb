"""Places of joints from the files in which people mark them; all say the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bundle.errors import InputError
from bundle.io.frames import JointPlace
from bundle.io.points import read_places

SPACING = (0.2, 0.1)
EXPECTED = [JointPlace("index", (100.0, 200.0), (10.0, -40.0)), JointPlace("ring", (300.0, 150.0), (-5.0, -30.0))]
MM = [(10.0, 40.0), (11.0, 32.0), (30.0, 30.0), (29.5, 24.0)]
"""Centre and tip of both in mm, x and y."""
NAMES = ["index", "index tip", "ring", "ring tip"]


def slicer(system: str, sign: float, lines: bool) -> str:
    points = [{"label": name, "position": [sign * x, sign * y, 0.0]} for name, (x, y) in zip(NAMES, MM, strict=True)]
    groups = [points[:2], points[2:]] if lines else [points]
    return json.dumps({"markups": [{"coordinateSystem": system, "controlPoints": group} for group in groups]})


def old_slicer(system: str, sign: float) -> str:
    head = f"# Markups fiducial file version = 4.11\n# CoordinateSystem = {system}\n# columns = id,x,y,z,...\n"
    rows = [f"{i},{sign * x},{sign * y},0,0,0,0,1,1,1,0,{NAMES[i]},,vtk\n" for i, (x, y) in enumerate(MM)]
    return head + "".join(rows)


FILES = {
    "direction.json": json.dumps([{"name": p.name, "center": p.center, "direction": p.direction} for p in EXPECTED]),
    "tip.json": json.dumps(
        [
            {"name": "index", "center": [100, 200], "tip": [110, 160]},
            {"name": "ring", "center": [300, 150], "tip": [295, 120]},
        ]
    ),
    "direction.csv": "name, x, y, direction_x, direction_y\nindex, 100, 200, 10, -40\nring, 300, 150, -5, -30\n",
    "tip.CSV": "\ufeffname,x,y,tip_x,tip_y\nindex,100,200,110,160\nring,300,150,295,120\n",
    "semicolons.csv": "\ufeffName ; X ;Y; Tip X; TIP-Y ;;\nindex;100;200,0;110;160;;\n;;;;;;\nring;300;150;295;120\n",
    "tabs.csv": "NAME\tX\tY\tDirection_X\tDirection_Y\nindex\t100,0\t200\t10\t-40,0\nring\t300\t150\t-5\t-30\n",
    "quoted.csv": 'name,x,y,tip_x,tip_y\nindex,"100,0",200,110,160\nring,300,"150,0",295,120\n',
    "lines.mrk.json": slicer("LPS", 1.0, True),
    "list.mrk.json": slicer("RAS", -1.0, False),
    "lps.fcsv": old_slicer("LPS", 1.0),
    "ras.fcsv": old_slicer("0", -1.0),
}


@pytest.mark.parametrize("name", list(FILES))
def test_every_kind_of_file_says_the_same(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    found = read_places(tmp_path / name, SPACING)
    assert [place.name for place in found] == [place.name for place in EXPECTED]
    for place, expected in zip(found, EXPECTED, strict=True):
        assert place.center == pytest.approx(expected.center)
        assert place.direction == pytest.approx(expected.direction)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", "[", "cannot be read"),
        ("a.json", "[]", "no joint"),
        ("a.json", '[{"center": [1, 2], "tip": [3, 4]}]', "no 'name'"),
        ("a.json", '[{"name": "a", "center": [1, 2]}]', "neither"),
        ("a.json", '[{"name": "a", "center": [1, 2], "tip": [1, 2]}]', "direction not 0"),
        (
            "a.json",
            '[{"name": "a", "center": [1], "tip": [3, 4]}]',
            "the centre of joint a is [1]. Write it as two numbers",
        ),
        ("a.csv", "name,x,y,tip_x,tip_y\na,1,2,3,4\na,1,2,3,4\n", "a more than once"),
        (
            "a.csv",
            "name,x,y,tip_x,tip_y\na,one,2,3,4\n",
            "the centre of joint a is ('text', '2'). Write it as two numbers",
        ),
        ("a.csv", "name,x,y,tip_x,tip_y\na,1_0,2,3,4\n", "the centre of joint a is ('1_0', '2')"),
        ("a.fcsv", "0,1_0,2,0,0,0,0,1,1,1,0,index,left,\n", "cannot contain Python's digit separator"),
        ("a.csv", "name,x,y,tip_x,tip_y\na,1\n", "the centre of joint a is ('1', '')"),
        ("a.csv", "name,x,y,tip_x,tip_y\n,1,2,3,4\n", "a joint without a name"),
        ("a.csv", "name,x,y\na,1,2\n", "neither"),
        ("a.json", '[{"name": "a", "center": [true, 2], "tip": [3, 4]}]', "Write it as two numbers"),
        ("a.json", '[{"name": "a", "center": [1, 2], "direction": [0, false]}]', "Write it as two numbers"),
        ("a.json", '[{"name": "a", "center": "12", "tip": [3, 4]}]', "Write it as two numbers"),
        ("a.json", '[{"name": null, "center": [1, 2], "tip": [3, 4]}]', "the name of a joint is of type NoneType"),
        ("a.json", '[{"name": ["a"], "center": [1, 2], "tip": [3, 4]}]', "the name of a joint is of type list"),
        ("a.mrk.json", slicer("LPS", 1.0, True).replace("10.0", "true"), "true and false are not numbers"),
        ("a.mrk.json", slicer("LPS", 1.0, True).replace('"index"', "null"), "the name of a joint is of type NoneType"),
        ("a.mrk.json", '{"markups": [{"controlPoints": [{"label": "a", "position": [1, 2, 0]}]}]}', "in pairs"),
        ("a.fcsv", "0,1,2\n", "3 cells in row 1. Write 14 or 16 cells in each row"),
        ("a.fcsv", "0,1,2,0,0,0,0,1,1,1,0,index,left,,vtk\n", "15 cells in row 1"),
        ("a.csv", "name,x,y,tip_x,tip_y\na,1,2,3,4\nb,1,2,3,4,5\n", "6 cells in row 2. Write at most 5 cells"),
        ("a.csv", "name,x,y,tip_x,tip_y\na,1,5,2,5,3,4\n", "7 cells in row 1"),
        ("a.csv", "name,x,x,y,tip_x,tip_y\na,1,2,3,4,5\n", "each column once"),
        ("a.csv", "name,x,y,tip_x,tip_y\na,1e30,2,3,4\n", "none above 1e+06"),
        ("a.csv", "name,x,y,direction_x,direction_y\na,1,2,1e-200,0\n", "none above 1e+06"),
        ("a.json", "[" * 100000, "cannot be read"),
        ("a.json", '[{"name": "a", "center": ' + "[" * 900 + "]" * 900 + ', "tip": [3, 4]}]', "as two numbers"),
        ("a.json", f'[{{"name": "a", "center": [{"9" * 400}, 1], "tip": [3, 4]}}]', "as two numbers"),
        ("a.json", f'[{{"name": "a", "center": [{"9" * 5000}, 1], "tip": [3, 4]}}]', "cannot be read"),
        ("a.json", '[{"name": "a", "center": [NaN, 1], "tip": [3, 4]}]', "finite numbers"),
        ("a.mrk.json", "[" * 100000, "cannot be read"),
        ("a.txt", "1 2", "an unknown format"),
    ],
)
def test_what_are_no_points_is_refused_with_the_file(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as refused:
        read_places(tmp_path / name, SPACING)
    assert said in str(refused.value) and str(tmp_path / name) in str(refused.value)


def test_a_spreadsheets_utf_16_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(FILES["tabs.csv"], encoding="utf-16")
    assert read_places(tmp_path / "a.csv", SPACING) == EXPECTED


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.csv", "name,x,y,tip_x,tip_y\nindex,612,5,804,0,598,0,610,5\n", "index,612.5,804.0,598.0,610.5"),
        ("a.csv", "name;x;y;tip_x;tip_y\nindex;one;2;3;4\n", "index;612.5;804.0;598.0;610.5"),
        ("a.csv", "name\ty\nindex\t1\n", "index\t612.5\t804.0\t598.0\t610.5"),
        ("a.csv", "index 1 2 3 4\n", "the columns name,x,y,tip_x,tip_y"),
        ("a.json", "[]", '"name": "index"'),
        ("a.mrk.json", "{}", '"label": "index"'),
        ("a.fcsv", "1\n", ",index,"),
    ],
)
def test_an_error_shows_a_right_line(tmp_path: Path, name: str, content: str, line: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError) as refused:
        read_places(tmp_path / name, SPACING)
    assert line in str(refused.value).partition("Example: ")[2]


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.fcsv"])
def test_the_example_of_a_format_can_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[]" if name == "a.json" else "1")
    with pytest.raises(InputError) as refused:
        read_places(tmp_path / name, SPACING)
    shown = str(refused.value).partition("Example: ")[2]
    columns, _, line = shown.removeprefix("the columns ").rpartition(" and the line ")
    tip = line.replace("index", "tip").replace("61.25", "60.5")
    whole = {"a.csv": f"{columns}\n{line}", "a.json": f"[{line}]", "a.fcsv": f"{line}\n{tip}"}
    (tmp_path / name).write_text(whole[name])
    assert [place.stated.finger for place in read_places(tmp_path / name, SPACING)] == ["index"]


def test_a_name_gives_finger_and_side_but_no_identity(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("name,x,y,tip_x,tip_y\nDoe Jane mcp2 R,1,2,3,4\n")
    (place,) = read_places(tmp_path / "a.csv", SPACING)
    assert place.stated == ("index", "right", "MCP")
    assert "doe" not in place.name.lower() and "jane" not in place.name.lower()


def test_labels_that_3d_slicer_numbered_itself_give_no_finger(tmp_path: Path) -> None:
    for name, labels in (("F", ["F-1", "F-2", "F-3", "F-4"]), ("named", ["MCP-2", "tip", "MCP-3", "tip"])):
        content = json.loads(slicer("LPS", 1.0, False))
        for point, label in zip(content["markups"][0]["controlPoints"], labels, strict=True):
            point["label"] = label
        (tmp_path / f"{name}.mrk.json").write_text(json.dumps(content))
    fingers = [[p.stated.finger for p in read_places(tmp_path / f"{n}.mrk.json", SPACING)] for n in ("F", "named")]
    assert fingers == [["unknown", "unknown"], ["index", "middle"]]


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.json"):
        read_places(tmp_path / "absent.json", SPACING)
