"""Parsing of untrusted JSON."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: if the text is not valid JSON, cannot be decoded, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error


def read_json(path: str | Path) -> Any:
    """Parse a JSON file.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it is not a regular file (a FIFO may never end), or as :func:`parse_json`.
    """
    if not stat.S_ISREG(Path(path).stat().st_mode):
        msg = "no regular file"
        raise ValueError(msg)
    return parse_json(Path(path).read_bytes())
