"""Validation of input from people and pages: names of readers, numbers, choices; tables with such names as CSV."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pandas as pd
from bundle.errors import InputError

LONGEST_NAME = 60
"""Largest number of characters in the name of a reader or of a study."""

LONGEST_IDENTITY = 300
"""Largest number of characters in the identity of a joint or of an image."""

LONGEST_SECONDS = 86_400.0
"""Largest time of one reading, in s."""


def person(value: Any, field: str = "reader") -> str:
    """Return a name as typed: 1 to 60 printable characters, not only spaces.

    Args:
        value: the name.
        field: name of the field, for the message.

    Raises:
        InputError: it is not such a text.
    """
    return text(value, field, LONGEST_NAME)


def spelling(name: str, known: Iterable[str]) -> str:
    """Return the first known name that differs only in case, width or spaces, or the name itself if there is none."""
    return next((each for each in known if _folded(each) == _folded(name)), name)


def _folded(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def text(value: Any, field: str, longest: int = LONGEST_IDENTITY) -> str:
    """Return a printable text that is not only spaces.

    Raises:
        InputError: it is not a text, is empty or too long, or has control characters.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > longest or not value.isprintable():
        msg = f"{field}: {shown(value)} is not a name. Use 1 to {longest} printable characters, without line breaks."
        raise InputError(msg)
    return value


def number(value: Any, field: str, low: float, high: float, unit: str = "") -> float:
    """Return a finite number within bounds.

    Raises:
        InputError: it is not such a number; true, false and text are not numbers.
    """
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not low <= value <= high:
        bounds = f"{low:g} to {high:g}{f' {unit}' if unit else ''}"
        msg = f"{field}: {shown(value)} is not a number in range. Use a number from {bounds}."
        raise InputError(msg)
    return float(value)


def whole(value: Any, field: str, low: int, high: int) -> int:
    """Return an integer within bounds; raises as :func:`number`."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        msg = f"{field}: {shown(value)} is not an integer in range. Use an integer from {low} to {high}."
        raise InputError(msg)
    return value


def choice(value: Any, field: str, known: Sequence[str]) -> str:
    """Return one of the known texts.

    Raises:
        InputError: it is not among them.
    """
    if not isinstance(value, str) or value not in known:
        msg = f"{field}: {shown(value)} is unknown. Use {' or '.join(known)}."
        raise InputError(msg)
    return value


def fields_of(record: Any, required: Collection[str], optional: Collection[str] = ()) -> Mapping[str, Any]:
    """Return a record that has all required fields and no unknown one.

    Raises:
        InputError: it is not such a record.
    """
    if not isinstance(record, Mapping):
        msg = f"{shown(record)} is not a record. Send an object with {', '.join(required)}."
        raise InputError(msg)
    absent = [name for name in required if name not in record]
    unknown = [shown(name) for name in record if name not in (*required, *optional)]
    if absent or unknown:
        faults = [*(f"{name} is missing" for name in absent), *(f"{name} is unknown" for name in unknown)]
        msg = f"record: {', '.join(faults)}. Send {', '.join(required)}."
        raise InputError(msg)
    return record


@contextmanager
def line_named(record: Mapping[str, Any]) -> Iterator[None]:
    """Add the id of a log record to the errors of its checks."""
    try:
        yield
    except InputError as error:
        msg = (
            f"reading {shown(record.get('id'))} of the log: {error} Correct that line, or restore the file from a copy."
        )
        raise InputError(msg) from error


def shown(value: Any) -> str:
    """Quote a value for a message, shortened; a value other than a number or text is named by its type."""
    quoted = ascii(value) if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"
    return quoted if len(quoted) <= 60 else f"{quoted[:60]}..."


def csv_of(table: pd.DataFrame) -> str:
    """Return a table as CSV; names that a spreadsheet would evaluate as formulas are prefixed with an apostrophe."""
    texts = {column: table[column].map(_harmless) for column in table if table[column].dtype == object}
    return str(table.assign(**texts).to_csv(index=False))


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
