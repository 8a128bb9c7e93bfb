"""Comparison of the options of a command line with the values that they replace in the configurations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bundle.errors import InputError
from bundle.workflow.option_kinds import kind_of
from monai.bundle import ReferenceResolver

_EXPRESSIONS = ("@", "$", "%")


def check_shapes(names: Mapping[str, Any], configured: Mapping[str, Any], content: Mapping[str, Any]) -> None:
    """Reject options whose type differs from that of the value they replace: numbers, switches, lists and components.

    Expressions and references are left to the components that evaluate them, as are options that replace null or text.

    Args:
        names: options of the command line, by name.
        configured: content of the configurations without these options.
        content: content with these options.

    Raises:
        InputError: an option has the wrong type; the message states the expected one.
    """
    for name in names:
        path = ReferenceResolver.split_id(name.removeprefix("+"))
        old, new = _value_at(configured, path), _value_at(content, path)
        kind = kind_of(path)
        if isinstance(old, Mapping) and kind is not None and kind.fits(new):
            continue  # a component that makes a plain value, such as the device
        if expected := _expected(old, new):
            msg = f"--{name} {new!r} is invalid. Pass {expected}."
            raise InputError(msg)


def _value_at(content: Any, path: list[str]) -> Any:
    """The value at a path; None if it does not exist."""
    for key in path:
        try:
            content = content[int(key) if isinstance(content, list) else key]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return content


def _expected(old: Any, new: Any) -> str:
    """The expected type if ``new`` has a different one; empty if it fits."""
    if isinstance(new, str) and new.startswith(_EXPRESSIONS):
        return ""
    if isinstance(old, bool):
        return "" if isinstance(new, bool | int | float) else "true or false"
    if isinstance(old, int | float):
        return "" if isinstance(new, int | float) and not isinstance(new, bool) else "a number"
    if isinstance(old, Mapping) and new is not None and not isinstance(new, Mapping):
        return "a component, \"{'_target_': 'CLASS'}\"" if "_target_" in old else "a mapping, \"{'KEY': VALUE}\""
    if isinstance(old, list) and isinstance(new, int | float):
        return "a list, [VALUE, VALUE]"
    return ""
