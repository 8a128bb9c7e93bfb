"""Tables in CSV files that people write or export from spreadsheets, parsed strictly.

Cells are separated by commas, semicolons or tabs. Headings may be capitalized and padded; numbers may have a decimal
comma. A table whose rows do not fit its headings is rejected, since its values would be read into other columns.
"""

from __future__ import annotations

import csv
import io
import math
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Container, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.io.files import stored


def read_table(path: str | Path, columns: Iterable[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV file as texts by column.

    Args:
        path: path of the file.
        columns: columns that the file must have.

    Raises:
        InputError: the file is not a regular file, cannot be decoded or is not such a table.
    """
    try:
        return parse_table(decoded(path), columns)
    except InputError as error:
        msg = f"{path}: {str(error).removeprefix(f'{path}: ')}"
        raise InputError(msg) from error
    except (OSError, ValueError, csv.Error) as error:
        msg = f"{path}: the table cannot be read ({type(error).__name__}). Correct the path or save it as CSV in UTF-8."
        raise InputError(msg) from error


def decoded(path: str | Path) -> str:
    """Read the text of a file in UTF-8, or in UTF-16 with a byte order mark; raises OSError or UnicodeDecodeError."""
    data = stored(path).read_bytes()
    return data.decode("utf-16" if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")


def parse_table(text: str, columns: Iterable[str]) -> list[dict[str, str]]:
    """Parse the rows of a CSV text as texts by column; headings are in lower case with underscores.

    Args:
        text: text, with the headings in the first line that is not empty.
        columns: columns that the text must have unless it is empty.

    Raises:
        InputError: a column is absent or occurs twice, or a row has more cells than the headings.
    """
    lines = csv.reader(io.StringIO(text), delimiter=separator(text), skipinitialspace=True)
    rows = [filled for line in lines if (filled := _filled(line))]
    names = [re.sub(r"[\s_-]+", "_", name.casefold()) for name in rows[0]] if rows else []
    if len(set(names)) != len(names):
        msg = f"{len(names)} columns have {len(set(names))} different names. Write each column once."
        raise InputError(msg)
    absent = [name for name in columns if rows and name not in names]
    if absent:
        msg = f"no column {' and no column '.join(absent)}. Write the names of the columns into the first line."
        raise InputError(msg)
    check_cells(rows[1:], range(len(names) + 1), f"at most {len(names)}")
    return [dict(zip_longest(names, row, fillvalue="")) for row in rows[1:]]


def separator(text: str) -> str:
    """Return the separator of the cells of a CSV text, from its first line that is not blank."""
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return next((mark for mark in (";", "\t") if mark in heading), ",")


def _filled(line: Sequence[str]) -> list[str]:
    """The cells of a line without padding and without empty cells at the end, which spreadsheets add."""
    cells = [cell.strip() for cell in line]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def check_cells(rows: Sequence[Sequence[str]], counts: Container[int], expected: str) -> None:
    """Reject rows with another number of cells.

    Args:
        rows: rows.
        counts: accepted numbers of cells.
        expected: the same in words.

    Raises:
        InputError: a row has another number.
    """
    for number, row in enumerate(rows, start=1):
        if len(row) not in counts:
            msg = f"{len(row)} cells in row {number}. Write {expected} cells in each row."
            raise InputError(msg)


def number_of(value: Any) -> float:
    """Convert a number, or a number as text with a decimal point or comma; raises TypeError or ValueError."""
    if isinstance(value, bool):
        msg = "true and false are not numbers"
        raise TypeError(msg)
    if isinstance(value, str) and "_" in value:
        msg = "a number in a table cannot contain Python's digit separator"
        raise ValueError(msg)
    return float(value.replace(",", ".") if isinstance(value, str) else value)


def numbers_of(rows: Sequence[dict[str, str]], columns: Sequence[str], path: str | Path) -> list[list[float]]:
    """Convert the cells of columns to numbers, NaN where a cell is empty.

    Args:
        rows: rows of :func:`read_table`.
        columns: columns of numbers.
        path: path of the file, for messages.

    Raises:
        InputError: a cell is not a number.
    """
    return [[_cell(row[column], column, count, path) for column in columns] for count, row in enumerate(rows, start=1)]


def _cell(text: str, column: str, count: int, path: str | Path) -> float:
    try:
        return number_of(text) if text else math.nan
    except ValueError as error:
        msg = f"{path}: {column} of row {count} is not a number. Correct the table."
        raise InputError(msg) from error
