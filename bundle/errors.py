"""Errors that a user can mend, and their report: one message and exit code 1, without a traceback."""

from __future__ import annotations

import logging
import re
import sys
import traceback as tracebacks
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from bundle.base import REDACTION


class InputError(ValueError):
    """Something given by the user cannot be used: a file, a list, a folder or a setting.

    The message says what was expected, what came, which file it is about and what to do.
    """


_PRINTED = re.compile(
    rf"^(?:\w+\.)*{InputError.__name__}: (?P<message>.*?)(?=\n\n(?:The above exception|During handling)|\Z)",
    re.DOTALL | re.MULTILINE,
)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """``error``, its cause or context, theirs, and so on, each once."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def input_message(error: BaseException | None) -> str | None:
    """The message of the :class:`InputError` that ``error`` is, wraps or quotes; None when there is none.

    MONAI wraps what a transform raises in a ``RuntimeError``; a ``DataLoader`` worker sends only the printed traceback
    to the main process, where the message has to be read from its text.
    """
    for link in chain(error):
        printed = _PRINTED.search(str(link))
        if printed:
            return printed["message"].strip()
        if isinstance(link, InputError):
            return str(link)
    return None


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    message = input_message(error)
    whole = "".join(tracebacks.format_exception(kind, error, traceback))
    text = whole if message is None else f"error: {message}\n"
    sys.stderr.write(REDACTION.on_terminal(text))


class _PlainRecord(logging.LogRecord):
    """A log record without the traceback of an :class:`InputError` (Ignite's handlers log it), and without identity."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and input_message(self.exc_info[1]) is not None:
            self.exc_info = None
        elif self.exc_info:
            self.exc_text = REDACTION.in_record("".join(tracebacks.format_exception(*self.exc_info)).rstrip())

    def getMessage(self) -> str:  # noqa: N802
        """The message as a log may hold it."""
        return REDACTION.in_record(super().getMessage())


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return REDACTION.in_record(_plain_warning(message, category, filename, lineno, line))


_plain_warning = warnings.formatwarning


def report_plainly() -> None:
    """From now on an uncaught :class:`InputError` prints ``error: <message>`` to stderr; the exit code stays 1.

    This also holds for one inside another exception's chain, or raised in a ``DataLoader`` worker. Others keep
    their traceback. Neither they, nor warnings, nor log records say whose radiographs are read
    (:mod:`bundle.base.redaction`). The first item of ``initialize`` in the configurations.
    """
    sys.excepthook = _excepthook
    warnings.formatwarning = _warning
    logging.setLogRecordFactory(_PlainRecord)


def flag(value: bool | str) -> bool:
    """A switch as it comes from a command line, where MONAI hands ``true`` and ``false`` over as text.

    Raises:
        InputError: it is neither.
    """
    known = {"true": True, "false": False}
    text = str(value).strip().lower()
    if text not in known:
        msg = f"expected true or false, got {value!r}"
        raise InputError(msg)
    return known[text]
