"""Kinds of the values of options: what a value must be, and how a message says it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from bundle.errors import InputError
from bundle.networks import RUNTIMES, TORCH

LARGEST_RATE = 10.0
"""Largest learning rate."""


@dataclass(frozen=True)
class Kind:
    """Kind of the values that an option accepts.

    Attributes:
        text: description of the values, for messages.
        fits: whether a value is one of them.
    """

    text: str
    fits: Callable[[Any], bool]

    def check(self, name: str, value: Any) -> None:
        """Reject a value that does not fit.

        Args:
            name: name of the option.
            value: value of the option.

        Raises:
            InputError: the value does not fit.
        """
        if not self.fits(value):
            msg = f"--{name} {value!r} is invalid. Pass {self.text}."
            raise InputError(msg)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def whole(least: int) -> Kind:
    """Kind of the whole numbers from ``least`` on."""
    return Kind(
        f"a whole number of at least {least}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
    )


def number(least: float, most: float = math.inf, above: bool = False) -> Kind:
    """Kind of the numbers from ``least`` to ``most``; ``above`` excludes ``least`` itself."""
    start = f"above {least:g}" if above else f"of at least {least:g}"
    end = "" if math.isinf(most) else f" and at most {most:g}"
    return Kind(
        f"a number {start}{end}",
        lambda value: _is_number(value) and (value > least if above else value >= least) and value <= most,
    )


def _is_pair(value: Any) -> bool:
    is_list = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))
    return is_list and 0 <= value[0] <= value[1]


def _is_device(value: Any) -> bool:
    if isinstance(value, torch.device):
        return True
    try:
        return torch.device(value).type in ("cpu", "cuda", "mps") and torch.empty(1, device=value).numel() == 1
    except (RuntimeError, AssertionError, TypeError, ValueError):
        return False


SWITCH = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("text (a number needs quotes, as '\"5\"')", lambda value: isinstance(value, str))
PATH = Kind("a path (write ./5 for one that is a number)", lambda value: isinstance(value, str))
PROBABILITY = number(0, 1)
SWITCH_OR_PROBABILITY = Kind("true, false or a number from 0 to 1", lambda v: SWITCH.fits(v) or PROBABILITY.fits(v))
PAIR = Kind("a list of two numbers of at least 0, the smaller first", _is_pair)
DEVICE = Kind("a device of this computer, cpu or cuda:0", _is_device)
RUNTIME = Kind(f"{', '.join(RUNTIMES)} or {TORCH}", lambda value: value in ("", TORCH, *RUNTIMES))
RATE = number(0, LARGEST_RATE)
ANGLE = number(-180, 180)
