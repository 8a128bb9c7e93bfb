"""The joints that are open, and the opening of others in the background, with progress."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from bundle.errors import InputError
from bundle.io import png_bytes, without_folders
from bundle.reading_room.library import Library
from bundle.reading_room.opened import OpenedJoint
from bundle.reading_room.rows import FAILED, JointRow

KEPT = 48
"""Number of joints that stay open, about 6 MB each."""

_log = logging.getLogger("bundle")

FAULT = "The joint could not be opened because of a program error. See the log of the server."


class Openings:
    """The joints of a library that are open or being opened, one at a time.

    Args:
        library: the joints.
    """

    def __init__(self, library: Library) -> None:
        self.library = library
        self._open: OrderedDict[str, OpenedJoint] = OrderedDict()
        self._thumbnails: dict[str, bytes] = {}
        self._states: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, str] = {}
        self._lock, self._work = threading.Lock(), threading.Lock()
        self._worker = ThreadPoolExecutor(1, "opening")

    def begin(self, identifier: str) -> dict[str, Any]:
        """Begin to open a joint unless it is open, and return its state for the page.

        Raises:
            UnknownJoint: there is no such joint.
        """
        with self._lock:
            if identifier in self._open:
                return {"state": "ready"}
            state = self._states.get(identifier)
            if state is None:
                self.library.row(identifier)
                state = self._states[identifier] = {"state": "opening", "stage": "waiting", "fraction": 0.0}
                self._worker.submit(self._run, identifier)
            elif state["state"] != "opening":
                del self._states[identifier]  # reported once; the next request opens the joint again
            return dict(state)

    def stated(self, row: JointRow) -> JointRow:
        """Return the row of a joint, marked as failed if it could not be opened the last time."""
        failure = self._failures.get(row.id)
        return row if failure is None else replace(row, state=FAILED, failure=failure)

    def get(self, identifier: str) -> OpenedJoint:
        """Return a joint, opened now if it is not open.

        Raises:
            UnknownJoint: there is no such joint.
            InputError: it cannot be opened, or it is a hand.
        """
        with self._lock:
            found = self._open.get(identifier)
            if found is not None:
                self._open.move_to_end(identifier)
                return found
        self._load(identifier)
        with self._lock:
            if identifier in self._open:
                return self._open[identifier]
        msg = "This radiograph shows several joints. Open one of them."
        raise InputError(msg)

    def is_open(self, identifier: str) -> bool:
        """Whether a joint is open."""
        with self._lock:
            return identifier in self._open

    def thumbnail(self, identifier: str) -> bytes:
        """Return a small radiograph of a joint as a PNG; raises as :meth:`get`."""
        with self._lock:
            found = self._thumbnails.get(identifier)
        if found is None:
            found = png_bytes(self.get(identifier).thumbnail())
            with self._lock:
                self._thumbnails[identifier] = found
        return found

    def _run(self, identifier: str) -> None:
        """Open a joint and keep its state."""
        joints, failure = [], ""
        try:
            joints = self._load(identifier, self._progress(identifier))
        except InputError as error:
            failure = without_folders(str(error))
        except Exception:
            _log.exception("%s", FAULT)
            failure = FAULT
        with self._lock:
            self._states[identifier] = _ended(joints, failure)
            self._failures.pop(identifier, None)
            if failure:
                self._failures[identifier] = failure

    def _progress(self, identifier: str) -> Callable[[str, float], None]:
        def report(stage: str, fraction: float) -> None:
            with self._lock:
                self._states[identifier] = {"state": "opening", "stage": stage, "fraction": fraction}

        return report

    def _load(self, identifier: str, report: Callable[[str, float], None] = lambda *_: None) -> list[str]:
        """Load a joint, or a hand, and return the identifiers of the hand's joints."""
        with self._work:
            with self._lock:
                if identifier in self._open:
                    return []
            loaded = self.library.load(self.library.row(identifier), report)
            if not isinstance(loaded, OpenedJoint):
                return loaded
            _ = loaded.bones, loaded.centers_mm
            with self._lock:
                self._open[identifier] = loaded
                while len(self._open) > KEPT:
                    self._open.popitem(last=False)
        return []


def _ended(joints: list[str], failure: str) -> dict[str, Any]:
    """The state of a joint that is open, of a hand, or of one that cannot be opened."""
    if failure:
        return {"state": "failed", "failure": failure}
    return {"state": "hand", "joints": joints} if joints else {"state": "ready"}
