"""End of a run: reports the location of its results, also after Ctrl-C or SIGTERM."""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import os
import signal
import subprocess
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from bundle.io import discard_unfinished, holds_results, is_first, release_outputs, reserved
from monai.bundle import ConfigWorkflow

TRACKER = "MLFlowHandler"
"""MONAI's handler of experiment tracking."""
_PATIENCE = 5.0
"""Maximum wait for terminated processes in seconds."""

_programs: list[subprocess.Popen[Any]] = []

_log = logging.getLogger("bundle")


def running_workflow() -> ConfigWorkflow | None:
    """Find the workflow whose item is being evaluated; None outside a workflow.

    MONAI passes an item only its own arguments, so the workflow is searched among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, ConfigWorkflow):
            return caller
        frame = frame.f_back
    return None


def adapt_tracking(content: Mapping[str, Any]) -> bool:
    """Keep the run of experiment tracking open from one stage to the next, and track any trainer's loss.

    :func:`end_run` ends it. MONAI's own handler fails where outputs are not decollated.

    Args:
        content: content of the configuration, changed in place.

    Returns:
        Whether anything was changed.
    """
    train = content.get("train")
    handlers = train.get("handlers") if isinstance(train, Mapping) else None
    tracking = [
        handler
        for handler in (handlers if isinstance(handlers, list) else [])
        if isinstance(handler, dict) and handler.get("_target_") == TRACKER and handler.get("close_on_complete")
    ]
    for handler in tracking:
        handler["close_on_complete"] = False
        handler["output_transform"] = {"_target_": "bundle.workflow.iteration_loss", "_mode_": "callable"}
    return bool(tracking)


def iteration_loss(output: Sequence[Mapping[str, Any]] | Mapping[str, Any]) -> Any:
    """Return the loss of an iteration from the output of a trainer, decollated or not."""
    first = output if isinstance(output, Mapping) else output[0]
    return first["loss"]


def end_run() -> None:
    """Log the results of the ending run and release its folders; the first item of ``finalize``."""
    workflow = running_workflow()
    parts: list[Any] = [] if workflow is None else list(workflow.parser.ref_resolver.resolved_content.values())
    for part in parts:
        if type(part).__name__ == TRACKER:
            part.close()
    for path in release_outputs():
        if is_first():
            _log.info(f"Results: {path}")


def stop_plainly(remedy: str) -> None:
    """Make Ctrl-C and SIGTERM end this process with one line and the exit code 130 or 143.

    No exception is raised, since it could be lost where the signal arrives. Worker processes are ended, unfinished
    files are removed, folders are released. This applies only in the main thread, which alone receives signals;
    ignored signals (``nohup``) stay ignored.

    Args:
        remedy: instruction for continuing, printed in the line.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, partial(_stop, os.getpid(), remedy))


def _stop(process: int, remedy: str, number: int, frame: FrameType | None) -> None:
    if os.getpid() != process:  # a worker process, which the run itself ends
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
    """Run a program that is terminated when this process is stopped; arguments as :class:`subprocess.Popen`."""
    with subprocess.Popen(command, **options) as program:
        _programs.append(program)
        try:
            yield program
        finally:
            _programs.remove(program)


def _kept(folders: Sequence[Path]) -> str:
    kept = [str(folder) for folder in folders if folder.is_dir() and holds_results(folder)]
    return f"results so far are in {kept[0]}; " if kept else ""


def remedy_of(content: Mapping[str, Any], used: Collection[str]) -> str:
    """Return the instruction for continuing a stopped run of a configuration.

    Args:
        content: content of the configuration.
        used: its keys that the run uses; a run without ``resume`` always continues.
    """
    again = "run the command again"
    if "resume" not in used:
        return f"{again} to finish it"
    return f"{again} to resume" if str(content["resume"]).lower() == "true" else f"{again} with --resume true to resume"
