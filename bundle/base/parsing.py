"""JSON that others wrote."""

from __future__ import annotations

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """What a text in JSON holds.

    Raises:
        ValueError: it is no JSON, no text, or nested too deeply to be read.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        msg = "nested too deeply"
        raise ValueError(msg) from error
