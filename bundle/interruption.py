"""Ctrl-C ends a program in one line. Without imports that take long, so that it holds during those of the program."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

CODE = 128 + signal.SIGINT
"""Exit code of an interrupted program."""

_LINE = "\nstopped\n"


def end_when_interrupted() -> None:
    """End this program with one line and exit code 130 on Ctrl-C, while it imports; other handlers are kept.

    No exception is raised, since imports of libraries may lose it. :func:`raise_when_interrupted` ends this.
    """
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _stop)


def raise_when_interrupted() -> None:
    """Let Ctrl-C raise ``KeyboardInterrupt`` again, so that the program can clean up."""
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def end_interrupted() -> NoReturn:
    """End this program as interrupted, from within its hook for errors."""
    sys.stderr.write(_LINE)
    raise SystemExit(CODE)


def _stop(number: int, frame: FrameType | None) -> None:
    os.write(2, _LINE.encode())
    os._exit(CODE)
