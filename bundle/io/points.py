"""Positions of joints in a hand radiograph from JSON, CSV and 3D Slicer files.

Each joint has a centre and a second point (or a direction) towards the fingertip:

- JSON: a list of ``{"name", "center": [x, y], "direction": [x, y]}``, in pixels; ``"tip": [x, y]``, a point farther up
  the finger, may replace the direction.
- CSV: columns ``name, x, y`` and either ``direction_x, direction_y`` or ``tip_x, tip_y``, separated by commas,
  semicolons or tabs. Headings may be capitalized and padded; numbers may have a decimal comma.
- 3D Slicer, ``.mrk.json`` or ``.fcsv``: control points in pairs, centre and tip; a line markup is one pair. A joint has
  the label of its centre. Slicer's coordinates are in mm, so the pixel spacing must be the one that Slicer displayed.

Names are labels without identity (:func:`bundle.io.identity.private_label`), usable in file names. Finger, side and
joint are read from the name as written (:mod:`bundle.io.mark_names`), except from names that 3D Slicer numbered itself.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bundle.base import parse_json
from bundle.errors import InputError
from bundle.io.frames import JointPlace
from bundle.io.identity import private_label
from bundle.io.mark_names import MarkName, read_mark_name
from bundle.io.tables import check_cells, decoded, number_of, parse_table, separator

_SIGNS = {"LPS": 1.0, "RAS": -1.0, "1": 1.0, "0": -1.0}
"""Sign of x and y in Slicer's coordinate systems, which old files number."""
_SLICER_COLUMNS = (12, 13, 14, 16)
"""Numbers of cells in a row of ``.fcsv``, by the version of 3D Slicer."""

Pixel = tuple[float, float]
"""(x, y) in pixels."""

_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error)


def read_places(path: str | Path, spacing: tuple[float, float]) -> list[JointPlace]:
    """Read the positions of the joints in a radiograph.

    Args:
        path: path of the file; its ending determines the format.
        spacing: height and width of a pixel of the radiograph in mm, to convert Slicer's points to pixels.

    Raises:
        InputError: the file is missing, of an unknown format or damaged, contains no joint or one name twice, or a
            joint lacks a centre or a direction, or has a value that is not a number.
    """
    text = _text(path)
    ending = _ending(path)
    try:
        places = _PARSERS[ending](text, spacing)
        _check_names([place.name for place in places])
    except InputError as error:
        msg = f"{path}: {error} {_example(ending, text)}"
        raise InputError(msg) from error
    except _FAULTS as error:
        reason = f"no {error}" if isinstance(error, KeyError) else _without_quotes(str(error))
        msg = (
            f"{path}: the points cannot be read ({reason}). Write the name, the centre, and the direction or tip of "
            f"each joint. {_example(ending, text)}"
        )
        raise InputError(msg) from error
    return places


def _check_names(names: Sequence[str]) -> None:
    """Reject names that are empty or repeated, and files without a joint."""
    twice = sorted({name for name in names if name.strip() and names.count(name) > 1})
    if twice or not names or not all(name.strip() for name in names):
        fault = f"{', '.join(twice)} more than once" if twice else "no joint, or a joint without a name"
        msg = f"{fault}. Mark each joint once, with a name."
        raise InputError(msg)


def _example(ending: str, text: str) -> str:
    """One correct line of a file with this ending, for a message."""
    if ending != ".csv":
        return f"Example: {_EXAMPLES[ending]}"
    columns, line = (separator(text).join(cells) for cells in _CSV_EXAMPLE)
    return f"Example: the columns {columns} and the line {line}"


def _text(path: str | Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark."""
    try:
        return decoded(path)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{path}: the points cannot be read ({type(error).__name__}). Correct the path or save the file as UTF-8."
        raise InputError(msg) from error


def _without_quotes(reason: str) -> str:
    """A library's message without quotations from the file."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "text", reason)


def _ending(path: str | Path) -> str:
    """The ending of a file, a key of ``_PARSERS``."""
    for ending in _PARSERS:
        if str(path).lower().endswith(ending):
            return ending
    msg = f"{path}: an unknown format of points. Save them as {', '.join(_PARSERS)}."
    raise InputError(msg)


# ---- JSON and CSV: pixels ------------------------------------------------------------------------------------------


def _from_json(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    return [
        _place(entry["name"], entry["center"], entry.get("direction"), entry.get("tip")) for entry in parse_json(text)
    ]


def _from_csv(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    cells = parse_table(text, ("name", "x", "y"))
    return [_place(row["name"], (row["x"], row["y"]), _pair(row, "direction"), _pair(row, "tip")) for row in cells]


def _pair(row: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Two cells, or None where they are absent or empty."""
    x, y = row.get(f"{name}_x"), row.get(f"{name}_y")
    return (x, y) if x and y else None


def _place(name: Any, center: Sequence[Any], direction: Sequence[Any] | None, tip: Sequence[Any] | None) -> JointPlace:
    written = _stated_name(name)
    name, stated = private_label(written), read_mark_name(written)
    middle = _numbers(center, f"centre of joint {name}")
    if direction is None and tip is None:
        msg = f"joint {name} has neither a direction nor a tip. Add one of them."
        raise InputError(msg)
    if direction is None:
        return JointPlace(name, middle, _towards(middle, _numbers(tip, f"tip of joint {name}")), stated)
    return JointPlace(name, middle, _numbers(direction, f"direction of joint {name}"), stated)


def _stated_name(name: Any) -> str:
    """The name of a joint, a text or a number."""
    if isinstance(name, bool) or not isinstance(name, str | int):
        msg = f"the name of a joint is of type {type(name).__name__}. Write it as text."
        raise InputError(msg)
    return str(name)


def _numbers(pair: Any, what: str) -> Pixel:
    try:
        if isinstance(pair, str | Mapping):
            raise TypeError
        x, y = (number_of(value) for value in pair)
    except (TypeError, ValueError, OverflowError) as error:
        shown = re.sub(r"[^\W\d_]{2,}", "text", str(pair))[:100]
        msg = f"the {what} is {shown}. Write it as two numbers, x and y in pixels."
        raise InputError(msg) from error
    return x, y


def _towards(center: Pixel, tip: Pixel) -> Pixel:
    return tip[0] - center[0], tip[1] - center[1]


# ---- 3D Slicer: mm, left and posterior or right and anterior -------------------------------------------------------


def _from_slicer_json(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    places = []
    for markup in parse_json(text)["markups"]:
        points = [(_stated_name(point.get("label", "")), point["position"]) for point in markup["controlPoints"]]
        places += _paired(points, str(markup.get("coordinateSystem", "LPS")), spacing)
    return places


def _from_slicer_csv(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    lines = text.splitlines()
    stated = [line.partition("=")[2].strip() for line in lines if line.startswith("# CoordinateSystem")]
    rows = list(csv.reader(line for line in lines if line and not line.startswith("#")))
    check_cells(rows, _SLICER_COLUMNS, "14 or 16")
    points = [(row[11], [number_of(value) for value in row[1:4]]) for row in rows]
    return _paired(points, stated[0] if stated else "RAS", spacing)


def _paired(
    points: Sequence[tuple[str, Sequence[float]]], system: str, spacing: tuple[float, float]
) -> list[JointPlace]:
    """Joints from control points, alternately centre and tip; Slicer's systems by name, or 0 and 1 in old files."""
    sign = _SIGNS.get(system)
    if sign is None:
        msg = f"an unknown coordinate system. Save the points in one of {', '.join(_SIGNS)}."
        raise InputError(msg)
    if len(points) % 2:
        msg = f"{len(points)} control points, an odd number. Mark them in pairs, centre and tip of each joint."
        raise InputError(msg)
    pixels = [(sign * number_of(place[0]) / spacing[1], sign * number_of(place[1]) / spacing[0]) for _, place in points]
    labels = [label for label, _ in points]
    pairs = zip(labels[::2], labels[1::2], pixels[::2], pixels[1::2], strict=True)
    return [
        JointPlace(private_label(label), center, _towards(center, tip), _stated_by(label, following))
        for label, following, center, tip in pairs
    ]


def _stated_by(label: str, following: str) -> MarkName:
    """What the label of a centre states: nothing if it and the label of its tip are numbered in sequence."""
    one, other = (re.fullmatch(r"(.*?)(\d+)", text) for text in (label, following))
    numbered = one and other and one[1] == other[1] and int(other[2]) == int(one[2]) + 1
    return MarkName() if numbered else read_mark_name(label)


_PARSERS: Mapping[str, Callable[[str, tuple[float, float]], list[JointPlace]]] = {
    ".mrk.json": _from_slicer_json,
    ".json": _from_json,
    ".csv": _from_csv,
    ".fcsv": _from_slicer_csv,
}

_EXAMPLES = {
    ".json": '{"name": "index", "center": [612.5, 804.0], "tip": [598.0, 610.5]}',
    ".mrk.json": '{"label": "index", "position": [61.25, 80.4, 0.0]}',
    ".fcsv": "1,61.25,80.4,0,0,0,0,1,1,1,0,index,,",
}
_CSV_EXAMPLE = ("name", "x", "y", "tip_x", "tip_y"), ("index", "612.5", "804.0", "598.0", "610.5")

POINTS = tuple(_PARSERS)
"""Endings of the supported files."""
