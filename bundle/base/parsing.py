"""Parsing of untrusted JSON."""

from __future__ import annotations

import json
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
