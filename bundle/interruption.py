"""Ctrl-C ends a program in one line. Without imports that take long, so that it holds during those of the program."""

from __future__ import annotations

import signal
import sys
from types import TracebackType
from typing import NoReturn


def report_interruption() -> None:
    """End this program with one line and exit code 130 on Ctrl-C, from now on; another hook for errors is kept."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _excepthook


def end_interrupted() -> NoReturn:
    """End this program as interrupted, from within its hook for errors."""
    sys.stderr.write("\nstopped\n")
    raise SystemExit(128 + signal.SIGINT)


def _excepthook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        end_interrupted()
    sys.__excepthook__(kind, error, traceback)
