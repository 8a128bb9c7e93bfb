"""Errors that a user can fix, reported as one message with exit code 1 and no traceback, and checks of arguments."""

from __future__ import annotations

import logging
import math
import os
import re
import sys
import traceback as tracebacks
import warnings
from collections.abc import Iterator
from operator import index
from pathlib import Path
from types import TracebackType
from typing import Any

from bundle.base import REDACTION
from bundle.interruption import end_interrupted, raise_when_interrupted


class InputError(ValueError):
    """Error in user input: a file, a list, a folder or a setting.

    The message names the file or setting, the fault and the remedy.
    """


_PRINTED = re.compile(
    rf"^(?:\w+\.)*{InputError.__name__}: (?P<message>.*?)(?=\n\n(?:The above exception|During handling)|\Z)",
    re.DOTALL | re.MULTILINE,
)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over ``error`` and its chain of causes and contexts, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


_COMPONENT = re.compile(r"Failed to instantiate component '(?P<target>[\w.]+)' with keywords: (?P<keys>[\w,]+)")
_OWN_CHECK = 2
"""Maximum number of functions between MONAI's creation of a component and an error about its arguments."""


def _argument_message(error: BaseException) -> str | None:
    """The message about an argument that a component of the configuration refuses; None for any other error."""
    made, cause = _COMPONENT.match(str(error)), error.__cause__
    if made is None or not isinstance(cause, ValueError | TypeError):
        return None
    places = [Path(frame.filename).parts[-3:] for frame in tracebacks.extract_tb(cause.__traceback__)]
    if len([place for place in places if place != ("monai", "utils", "module.py")]) > _OWN_CHECK:
        return None
    return f"{made['target']}: {cause}. Correct its options: {made['keys'].replace(',', ', ')}."


_OF_LIBRARIES: dict[tuple[type[Exception], str], str] = {
    (ValueError, "Expected more than 1 "): (  # PyTorch's batch norm and instance norm
        "The last level of the network has a single value per channel, which cannot be normalised in training. "
        "Increase the size of the images, or pass a --batch_size of at least 2 that leaves more than one image for the "
        "last batch of an epoch."
    ),
    (ImportError, "Please install mlflow before using MLFlowHandler"): (
        "mlflow is not installed. Run: pip install -r requirements-tracking.txt"
    ),
    (ModuleNotFoundError, "Cannot locate class or function path: "): (
        "A _target_ is not found: {} Correct its name, or add the folder of its module to PYTHONPATH."
    ),
}
"""Messages about settings that a library refuses, by the type and start of its error; ``{}`` is the rest of it."""


def _library_message(error: BaseException) -> str | None:
    """The message about a setting that a library refuses; None for any other error."""
    for (kind, start), message in _OF_LIBRARIES.items():
        if isinstance(error, kind) and str(error).startswith(start):
            return message.format(str(error).removeprefix(start))
    return None


def input_message(error: BaseException | None) -> str | None:
    """Extract the message of the :class:`InputError` that ``error`` is, wraps or quotes; None without one.

    MONAI wraps errors of transforms in a ``RuntimeError``. A ``DataLoader`` worker sends only the printed traceback to
    the main process, so the message is parsed from its text. Arguments that a component of the configuration refuses
    (``ValueError`` or ``TypeError`` of its own checks) and settings that a library refuses have messages as well.
    """
    for link in chain(error):
        printed = _PRINTED.search(str(link))
        if printed:
            return printed["message"].strip()
        if isinstance(link, InputError):
            return str(link)
    return next(filter(None, (_argument_message(link) or _library_message(link) for link in chain(error))), None)


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        end_interrupted()
    message = input_message(error)
    whole = "".join(tracebacks.format_exception(kind, error, traceback))
    text = whole if message is None else f"error: {message}\n"
    sys.stderr.write(REDACTION.on_terminal(text))


class _PlainRecord(logging.LogRecord):
    """Redacted log record without the traceback of an :class:`InputError`, which Ignite's handlers log."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and input_message(self.exc_info[1]) is not None:
            self.exc_info = None
        elif self.exc_info:
            self.exc_text = REDACTION.in_record("".join(tracebacks.format_exception(*self.exc_info)).rstrip())

    def getMessage(self) -> str:  # noqa: N802
        """The redacted message."""
        return REDACTION.in_record(super().getMessage())


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return REDACTION.in_record(_plain_warning(message, category, filename, lineno, line))


_plain_warning = warnings.formatwarning


def report_plainly() -> None:
    """Print an uncaught :class:`InputError` as ``error: <message>`` on stderr, with exit code 1, from now on.

    This includes an error in another exception's chain or in a ``DataLoader`` worker. Ctrl-C raises
    ``KeyboardInterrupt``, which ends the program in one line as well (:mod:`bundle.interruption`). Other errors keep
    their traceback. Errors, warnings and log records are redacted (:mod:`bundle.base.redaction`). This call is the
    first item of ``initialize`` in the configurations.
    """
    sys.excepthook = _excepthook
    raise_when_interrupted()
    warnings.formatwarning = _warning
    logging.setLogRecordFactory(_PlainRecord)


def flag(value: bool | str) -> bool:
    """Parse a switch; MONAI passes ``true`` and ``false`` from the command line as text.

    Raises:
        InputError: if the value is neither.
    """
    known = {"true": True, "false": False}
    text = str(value).strip().lower()
    if text not in known:
        msg = f"{value!r} is neither true nor false"
        raise InputError(msg)
    return known[text]


LARGEST_SEED = 2**63 - 1
"""Largest random seed that every generator accepts."""


def number_argument(name: str, value: Any, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a finite real number of any numeric type.

    Args:
        name: name of the argument.
        value: its value.
        low: lowest accepted value.
        high: highest accepted value.

    Raises:
        InputError: it is not a number, or is out of range.
    """
    try:
        found = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of several elements
        found = math.nan
    if not (math.isfinite(found) and low <= found <= high):
        least = "" if math.isinf(low) else f" of at least {low:g}"
        bounds = f"a finite number{least}" if math.isinf(high) else f"a number from {low:g} to {high:g}"
        raise _wrong(name, value, bounds)
    return found


def seed_argument(name: str, value: Any) -> int:
    """Return a random seed, an integer from 0 to :data:`LARGEST_SEED`.

    Args:
        name: name of the argument.
        value: its value.

    Raises:
        InputError: it is not a random seed.
    """
    try:
        seed = -1 if isinstance(value, bool) else index(value)
    except TypeError:
        seed = -1
    if not 0 <= seed <= LARGEST_SEED:
        raise _wrong(name, value, "an integer from 0 to 2**63 - 1")
    return seed


def path_argument(name: str, value: Any) -> Path:
    """Return a path.

    Args:
        name: name of the argument.
        value: its value, a string or a path.

    Raises:
        InputError: it is neither, is empty or has a null byte.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise _wrong(name, value, "a path")
    if not os.fspath(value) or "\0" in os.fspath(value):
        raise _wrong(name, value, "the path of a file or folder")
    return Path(value)


def instance_argument(name: str, value: Any, kind: type | tuple[type, ...], meant: str) -> None:
    """Reject a value of another type.

    Args:
        name: name of the argument.
        value: its value.
        kind: accepted type or types.
        meant: description of the accepted values.

    Raises:
        InputError: the value is of another type.
    """
    if not isinstance(value, kind):
        raise _wrong(name, value, meant)


def _wrong(name: str, value: Any, meant: str) -> InputError:
    """The error of an argument; a long value is shortened, and one without a short text is named by its type."""
    shown = repr(value) if isinstance(value, int | float | str | bytes | None) else type(value).__name__
    shown = shown if len(shown) <= 60 else f"{shown[:60]}..."
    return InputError(f"{name}: {shown} is invalid. Pass {meant}.")
