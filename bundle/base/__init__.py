"""Shared utilities: JSON parsing, redaction of patient information, and threads."""

from __future__ import annotations

from bundle.base.parsing import parse_json, read_json
from bundle.base.redaction import (
    REDACTION,
    bare_values,
    holds,
    is_pseudonym,
    pseudonym,
    tells,
    without_pseudonyms,
    without_told,
)
from bundle.base.threads import one_thread, side_by_side

__all__ = [
    "REDACTION",
    "bare_values",
    "holds",
    "is_pseudonym",
    "one_thread",
    "parse_json",
    "pseudonym",
    "read_json",
    "side_by_side",
    "tells",
    "without_pseudonyms",
    "without_told",
]
