"""Values in requests, and responses to invalid ones."""

from __future__ import annotations

import errno
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
from bundle.errors import InputError
from bundle.io import without_folders
from bundle.reading_room.library import UnknownJoint
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

Answer = Callable[[Request], Awaitable[Response]]

LARGEST_BODY = 200_000
"""Maximum size of a request's body in bytes."""


class BadRequest(InputError):
    """A request has a value that cannot be used."""


async def body_of(request: Request) -> Mapping[str, Any]:
    """Return the JSON object of a request.

    Raises:
        BadRequest: the body is not a JSON object, or is too long.
    """
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        msg = "The request is not JSON. Send it with Content-Type: application/json."
        raise BadRequest(msg)
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > LARGEST_BODY:
            msg = f"The request has more than {LARGEST_BODY} bytes."
            raise BadRequest(msg)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        msg = "The request is not JSON."
        raise BadRequest(msg) from error
    if not isinstance(value, dict):
        msg = "The request is not a JSON object."
        raise BadRequest(msg)
    return value


def number(body: Mapping[str, Any], name: str, lowest: float, highest: float, default: float | None = None) -> float:
    """Return a finite number of a request within a range.

    Raises:
        BadRequest: it is missing, not a number or out of range.
    """
    value = body.get(name, default)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not lowest <= value <= highest:
        msg = f"{name} must be a number from {lowest:g} to {highest:g}."
        raise BadRequest(msg)
    return float(value)


def whole_number(body: Mapping[str, Any], name: str, lowest: int, highest: int, default: int | None = None) -> int:
    """Return an integer of a request within a range; raises as :func:`number`."""
    value = number(body, name, lowest, highest, default)
    if value != int(value):
        msg = f"{name} must be a whole number."
        raise BadRequest(msg)
    return int(value)


def word(body: Mapping[str, Any], name: str, words: Sequence[str], default: str | None = None) -> str:
    """Return a field of a request that must be one of some words.

    Raises:
        BadRequest: it is missing or another word.
    """
    value = body.get(name, default)
    if not isinstance(value, str) or value not in words:
        msg = f"{name} must be one of {', '.join(words)}."
        raise BadRequest(msg)
    return value


def switch(body: Mapping[str, Any], name: str, default: bool) -> bool:
    """Return a boolean field of a request.

    Raises:
        BadRequest: it is not a boolean.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        msg = f"{name} must be true or false."
        raise BadRequest(msg)
    return value


def text(body: Mapping[str, Any], name: str, longest: int = 60) -> str:
    """Return a printable text of a request, without spaces around it.

    Raises:
        BadRequest: it is missing, empty, too long, or holds control characters.
    """
    value = body.get(name)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= longest or not value.isprintable():
        msg = f"{name} must be 1 to {longest} printable characters."
        raise BadRequest(msg)
    return value.strip()


def identifiers(body: Mapping[str, Any], name: str, most: int) -> list[str]:
    """Return the distinct identifiers in a field of a request.

    Raises:
        BadRequest: it is not a list, is empty or too long.
    """
    value = body.get(name)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or not 0 < len(value) <= most:
        msg = f"{name} must be a list of 1 to {most} joints."
        raise BadRequest(msg)
    return list(dict.fromkeys(value))


class Report(Protocol):
    """Figures with their table, for reading and as CSV."""

    @property
    def figures(self) -> Mapping[str, Any]:
        """The figures."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per comparison or reader."""

    @property
    def csv(self) -> str:
        """The table as CSV."""


def shown_report(report: Report) -> Response:
    """Return a report for a page: ``figures``, and the ``columns`` and ``rows`` of its table, None where empty."""
    rows = report.table.astype(object).where(report.table.notna(), None).values.tolist()
    return JSONResponse({"figures": report.figures, "columns": list(report.table.columns), "rows": rows})


def saved_report(report: Report, name: str) -> Response:
    """Return the table of a report as a CSV file."""
    headers = {"Content-Disposition": f"attachment; filename={name}"}
    return PlainTextResponse(report.csv, headers=headers, media_type="text/csv")


def plainly(answer: Answer) -> Answer:
    """Turn errors that the user can fix into responses with a plain sentence."""

    async def answered(request: Request) -> Response:
        try:
            return await answer(request)
        except InputError as error:
            return JSONResponse({"error": without_folders(str(error))}, status_code=_status(error))
        except OSError as error:
            return JSONResponse({"error": _refusal(error)}, status_code=_status(error))

    return answered


def _refusal(error: OSError) -> str:
    """Message about what the operating system refused, with the name of the file but not its folder."""
    named = isinstance(error.filename, str | PathLike)
    name = Path(error.filename).name if named else "The disk or a folder of the server"
    return f"{name} cannot be used: {error.strerror or type(error).__name__}. Check the permissions and the free space."


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _status(error: Exception) -> int:
    """HTTP status of an error."""
    if isinstance(error, UnknownJoint):
        return 404
    causes = (error, error.__cause__)
    if any(isinstance(cause, OSError) and cause.errno in _FULL for cause in causes):
        return 507
    return 400 if isinstance(error, BadRequest) else 409
