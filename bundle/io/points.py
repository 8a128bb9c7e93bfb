"""Places of joints in a hand radiograph from JSON, CSV and 3D Slicer files.

Each joint has a centre and a second point (or a direction) towards the fingertip:

- JSON: a list of ``{"name", "center": [x, y], "direction": [x, y]}``, in pixels; ``"tip": [x, y]``, a point farther up
  the finger, may stand for the direction.
- CSV: columns ``name, x, y`` and either ``direction_x, direction_y`` or ``tip_x, tip_y``.
- 3D Slicer, ``.mrk.json`` or ``.fcsv``: control points in pairs, centre and tip; a line markup is one pair. A joint has
  the label of its centre. Slicer counts in mm, so the spacing of the radiograph must be the one it was shown with.

Names are labels without identity (:func:`bundle.io.identity.private_label`), which can be parts of file names.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Container, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bundle.base import parse_json
from bundle.errors import InputError
from bundle.io.files import stored
from bundle.io.frames import JointPlace
from bundle.io.identity import private_label

_SIGNS = {"LPS": 1.0, "RAS": -1.0, "1": 1.0, "0": -1.0}
"""Of x and y in Slicer's coordinate systems, which old files number."""
_SLICER_COLUMNS = (12, 13, 14, 16)
"""Numbers of cells in a row of ``.fcsv``, by the version of 3D Slicer."""

Pixel = tuple[float, float]
"""(x, y) in pixels."""


_FAULTS = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, csv.Error)


def read_places(path: str | Path, spacing: tuple[float, float]) -> list[JointPlace]:
    """Read where the joints of a radiograph are.

    Args:
        path: of the file; its ending says what it is.
        spacing: height and width of a pixel of the radiograph in mm, by which Slicer's points become pixels.

    Raises:
        InputError: the file is missing, of no known kind or broken, names a joint twice or none, lacks a centre or a
            direction, or has a value that is no number.
    """
    text = _text(path)
    try:
        places = _reader(path)(text, spacing)
    except InputError as error:
        msg = f"{error}: {path}"
        raise InputError(msg) from error
    except _FAULTS as error:
        reason = f"no {error}" if isinstance(error, KeyError) else _without_quotes(str(error))
        msg = (
            f"expected points of joints, got a file that cannot be read ({reason}): {path}: write name, centre, and "
            "direction or tip of each joint"
        )
        raise InputError(msg) from error
    names = [place.name for place in places]
    twice = sorted({name for name in names if name.strip() and names.count(name) > 1})
    if twice or not names or not all(name.strip() for name in names):
        got = f"{', '.join(twice)} more than once" if twice else "none"
        msg = f"expected joints with a name each, got {got}: {path}: mark each joint once"
        raise InputError(msg)
    return places


def _text(path: str | Path) -> str:
    try:
        return stored(path).read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"expected a file of points, got one that cannot be read ({type(error).__name__}): {path}"
        raise InputError(msg) from error


def _without_quotes(reason: str) -> str:
    """What a library says, without what it quotes of the file."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "text", reason)


def _reader(path: str | Path) -> Callable[[str, tuple[float, float]], list[JointPlace]]:
    for ending, reader in _READERS.items():
        if str(path).lower().endswith(ending):
            return reader
    msg = f"expected points as {', '.join(_READERS)}, got another kind of file"
    raise InputError(msg)


# ---- JSON and CSV: pixels ------------------------------------------------------------------------------------------


def _from_json(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    return [
        _place(entry["name"], entry["center"], entry.get("direction"), entry.get("tip")) for entry in parse_json(text)
    ]


def _from_csv(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    rows = [row for row in csv.reader(io.StringIO(text), skipinitialspace=True) if row]
    names = rows[0] if rows else []
    if len(set(names)) != len(names):
        msg = f"expected each column once, got {len(names)} columns of {len(set(names))} names"
        raise InputError(msg)
    _check_cells(rows[1:], range(len(names) + 1), f"at most {len(names)}")
    cells = [dict(zip_longest(names, row, fillvalue="")) for row in rows[1:]]
    return [_place(row["name"], (row["x"], row["y"]), _pair(row, "direction"), _pair(row, "tip")) for row in cells]


def _check_cells(rows: Sequence[Sequence[str]], counts: Container[int], expected: str) -> None:
    """Refuse rows with another number of cells."""
    for number, row in enumerate(rows, start=1):
        if len(row) not in counts:
            msg = f"expected {expected} cells in each row, got {len(row)} in row {number}"
            raise InputError(msg)


def _pair(row: Mapping[str, str], name: str) -> tuple[str, str] | None:
    """Two cells, or None where they are absent or empty."""
    x, y = row.get(f"{name}_x"), row.get(f"{name}_y")
    return (x, y) if x and y else None


def _place(name: Any, center: Sequence[Any], direction: Sequence[Any] | None, tip: Sequence[Any] | None) -> JointPlace:
    name = private_label(str(name))
    middle = _numbers(center, f"centre of joint {name}")
    if direction is None and tip is None:
        msg = f"expected a direction or a tip of joint {name}, got neither"
        raise InputError(msg)
    if direction is None:
        return JointPlace(name, middle, _towards(middle, _numbers(tip, f"tip of joint {name}")))
    return JointPlace(name, middle, _numbers(direction, f"direction of joint {name}"))


def _numbers(pair: Any, what: str) -> Pixel:
    try:
        x, y = (float(value) for value in pair)
    except (TypeError, ValueError, OverflowError) as error:
        got = re.sub(r"[^\W\d_]{2,}", "text", str(pair))[:100]
        msg = f"expected the {what} as two numbers, x and y in pixels, got {got}"
        raise InputError(msg) from error
    return x, y


def _towards(center: Pixel, tip: Pixel) -> Pixel:
    return tip[0] - center[0], tip[1] - center[1]


# ---- 3D Slicer: mm, left and posterior or right and anterior -------------------------------------------------------


def _from_slicer_json(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    places = []
    for markup in parse_json(text)["markups"]:
        points = [(str(point.get("label", "")), point["position"]) for point in markup["controlPoints"]]
        places += _paired(points, str(markup.get("coordinateSystem", "LPS")), spacing)
    return places


def _from_slicer_csv(text: str, spacing: tuple[float, float]) -> list[JointPlace]:
    lines = text.splitlines()
    stated = [line.partition("=")[2].strip() for line in lines if line.startswith("# CoordinateSystem")]
    rows = list(csv.reader(line for line in lines if line and not line.startswith("#")))
    _check_cells(rows, _SLICER_COLUMNS, "14 or 16")
    points = [(row[11], [float(value) for value in row[1:4]]) for row in rows]
    return _paired(points, stated[0] if stated else "RAS", spacing)


def _paired(
    points: Sequence[tuple[str, Sequence[float]]], system: str, spacing: tuple[float, float]
) -> list[JointPlace]:
    """Joints of control points, centre and tip in turn; Slicer's systems by name, or 0 and 1 in old files."""
    sign = _SIGNS.get(system)
    if sign is None:
        msg = f"expected one of the coordinate systems {', '.join(_SIGNS)}, got another one"
        raise InputError(msg)
    if len(points) % 2:
        msg = f"expected control points in pairs, centre and tip of each joint, got {len(points)}"
        raise InputError(msg)
    pixels = [(sign * float(place[0]) / spacing[1], sign * float(place[1]) / spacing[0]) for _, place in points]
    pairs = zip(points[::2], pixels[::2], pixels[1::2], strict=True)
    return [JointPlace(private_label(label), center, _towards(center, tip)) for (label, _), center, tip in pairs]


_READERS: Mapping[str, Callable[[str, tuple[float, float]], list[JointPlace]]] = {
    ".mrk.json": _from_slicer_json,
    ".json": _from_json,
    ".csv": _from_csv,
    ".fcsv": _from_slicer_csv,
}

POINTS = tuple(_READERS)
"""Endings of the files that are read."""
