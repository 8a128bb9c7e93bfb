"""How a run ends: by naming where its results are, also where Ctrl-C or SIGTERM ends it."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from bundle.io import discard_unfinished, holds_results, is_first, release_outputs, reserved
from monai.bundle import ConfigWorkflow

_TRACKER = "MLFlowHandler"
"""MONAI's handler of experiment tracking."""
_PATIENCE = 5.0
"""Seconds that processes which are ended are waited for."""

_programs: list[subprocess.Popen[Any]] = []

_log = logging.getLogger("bundle")


def running_workflow() -> ConfigWorkflow | None:
    """The workflow whose item is evaluated right now; None outside of one.

    MONAI hands an item its own arguments alone, so the workflow is looked up among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, ConfigWorkflow):
            return caller
        frame = frame.f_back
    return None


def keep_run_open(content: Mapping[str, Any]) -> bool:
    """Let experiment tracking keep its run open from one stage to the next; :func:`end_run` ends it.

    Args:
        content: of the configuration, which is changed.

    Returns:
        Whether anything was changed.
    """
    train = content.get("train")
    handlers = train.get("handlers") if isinstance(train, Mapping) else None
    tracking = [
        handler
        for handler in (handlers if isinstance(handlers, list) else [])
        if isinstance(handler, dict) and handler.get("_target_") == _TRACKER and handler.get("close_on_complete")
    ]
    for handler in tracking:
        handler["close_on_complete"] = False
    return bool(tracking)


def end_run() -> None:
    """Name the results of the run that ends, and give its folders back; the first item of ``finalize``."""
    workflow = running_workflow()
    parts: list[Any] = [] if workflow is None else list(workflow.parser.ref_resolver.resolved_content.values())
    for part in parts:
        if type(part).__name__ == _TRACKER:
            part.close()
    for path in release_outputs():
        if is_first():
            _log.info(f"Results: {path}")


def stop_plainly(remedy: str) -> None:
    """From now on Ctrl-C and SIGTERM end this process with one line and the exit code 130 or 143.

    No exception is raised: it could be lost wherever the signal comes. The processes that work for this one are ended,
    files that are not whole are removed, folders are given back. Only in the main thread, which alone gets signals;
    what is ignored (``nohup``) stays ignored.

    Args:
        remedy: what to do to go on.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, partial(_stop, os.getpid(), remedy))


def _stop(process: int, remedy: str, number: int, frame: FrameType | None) -> None:
    if os.getpid() != process:  # a worker, which its run ends
        if number == signal.SIGTERM:
            os._exit(128 + number)
        return
    for other in ("SIGINT", "SIGTERM", "SIGCHLD"):
        if hasattr(signal, other):
            signal.signal(getattr(signal, other), signal.SIG_DFL)
    try:
        if is_first():
            os.write(2, f"\nstopped: {_kept(reserved())}{remedy}\n".encode())
        _end_workers()
        discard_unfinished()
        release_outputs()
    finally:
        os._exit(128 + number)


def _end_workers() -> None:
    workers = multiprocessing.active_children()
    both: list[Any] = [*workers, *_programs]
    for worker in both:
        worker.terminate()
    for process in workers:
        process.join(_PATIENCE)


@contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """A program that ends with this process when that is stopped; as :class:`subprocess.Popen`."""
    with subprocess.Popen(command, **options) as program:
        _programs.append(program)
        try:
            yield program
        finally:
            _programs.remove(program)


def _kept(folders: Sequence[Path]) -> str:
    kept = [str(folder) for folder in folders if folder.is_dir() and holds_results(folder)]
    return f"what was done stays in {kept[0]}; " if kept else ""


def remedy_of(content: dict[str, Any]) -> str:
    """What to do with a run of a configuration that was stopped."""
    again = "run the command again"
    if "resume" not in content:
        return f"{again} to finish it"
    return f"{again} to go on" if str(content["resume"]).lower() == "true" else f"{again} with --resume true to go on"
