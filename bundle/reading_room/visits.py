"""Two visits of a joint: their registration, and the narrowing between them."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from bundle.face import narrowing
from bundle.joint import LOWER
from bundle.reading_room.opened import OpenedJoint, plane_bytes
from bundle.reading_room.opening import Openings
from bundle.reading_room.requests import BadRequest, plainly
from bundle.reading_room.rows import JointRow
from bundle.registration import PairReading, exceeds_detectable, judge_registration, warp_bones
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEPT = 16
"""Number of registered pairs that are kept."""


@dataclass(frozen=True, eq=False)
class RegisteredPair:
    """Two radiographs of a joint, registered.

    Attributes:
        before: the earlier one.
        after: the later one.
        reading: their registration.
    """

    before: OpenedJoint
    after: OpenedJoint
    reading: PairReading

    @classmethod
    def of(cls, before: OpenedJoint, after: OpenedJoint) -> RegisteredPair:
        """Register two joints; raises InputError if they cannot be compared."""
        return cls(before, after, narrowing(before.layers.joint, after.layers.joint))

    def figures(self) -> dict[str, Any]:
        """Return the change by measurement and by registration, with their plausibility."""
        verdict, limit = judge_registration(self.reading), self.reading.smallest_detectable_change_mm
        widths = [float(joint.space.mean[0]) for joint in (self.before, self.after)]
        change = widths[1] - widths[0]
        return {
            "joint_space_mm": [_known(width) for width in widths],
            "change_mm": _known(change),
            "registered_change_mm": _known(-self.reading.jsn_mm),
            "smallest_detectable_change_mm": _known(limit),
            "exceeds": exceeds_detectable(change, limit),
            "plausible": not verdict.reasons,
            "reasons": list(verdict.reasons),
        }

    def planes(self) -> bytes:
        """Return both radiographs, and the later one moved so that its lower bone lies on that of the earlier one.

        Little-endian 16-bit planes (H, W), one after the other; a later radiograph whose bones were not found is not
        moved.
        """
        first, later = (joint.layers.joint.radiograph for joint in (self.before, self.after))
        moved = later
        if self.reading.found:
            moved = warp_bones(later[None], self.reading.bones, self.before.spacing_mm, "bicubic")[0, LOWER, None]
        return plane_bytes(plane.clamp(0.0, 1.0) for plane in (first, later, moved))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 3)


def followed(rows: Sequence[JointRow]) -> list[dict[str, Any]]:
    """Return the joints that have several radiographs, each with its radiographs in the order of their days."""
    groups: dict[tuple[str, ...], list[JointRow]] = {}
    for row in rows:
        if row.patient and not row.failure:
            groups.setdefault((row.patient, row.side or "", row.finger or "", row.joint or ""), []).append(row)
    names = ("patient", "side", "finger", "joint")
    return [
        {**dict(zip(names, key, strict=True)), "visits": [_visit(row) for row in sorted(found, key=_day)]}
        for key, found in sorted(groups.items())
        if len(found) > 1
    ]


def _day(row: JointRow) -> tuple[bool, int, str]:
    return row.visit is None, row.visit or 0, row.name


def _visit(row: JointRow) -> dict[str, Any]:
    kept = ("id", "name", "visit", "joint_space_mm", "joint_space_sd_mm", "plausible", "refused", "state")
    return {name: getattr(row, name) for name in kept}


class Visits:
    """Request handlers of the page that compares two visits.

    Args:
        openings: the joints.
    """

    def __init__(self, openings: Openings) -> None:
        self.openings = openings
        self._kept, self._work = lru_cache(KEPT)(self._registered), threading.Lock()

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        return [
            Route("/api/visits", plainly(self.visits)),
            Route("/api/pairs/{before}/{after}", plainly(self.pair)),
            Route("/api/pairs/{before}/{after}/planes", plainly(self.planes)),
        ]

    async def visits(self, request: Request) -> Response:
        """List the joints with several radiographs."""
        rows = await run_in_threadpool(self.openings.library.rows)
        return JSONResponse({"joints": followed(rows)})

    async def pair(self, request: Request) -> Response:
        """Describe the change between two radiographs."""
        pair = await run_in_threadpool(self._pair, *self._rows(request))
        height, width = pair.before.layers.layers.shape[1:]
        size = {"height": height, "width": width, "spacing_mm": pair.before.spacing_mm}
        return JSONResponse({**size, **pair.figures()})

    async def planes(self, request: Request) -> Response:
        """Send the planes of two radiographs."""
        pair = await run_in_threadpool(self._pair, *self._rows(request))
        return Response(await run_in_threadpool(pair.planes), media_type="application/octet-stream")

    def _rows(self, request: Request) -> tuple[str, str]:
        """Identifiers of two radiographs of one joint."""
        before, after = (self.openings.library.row(request.path_params[name]) for name in ("before", "after"))
        same = all(getattr(before, name) == getattr(after, name) for name in ("patient", "side", "finger", "joint"))
        if before.id == after.id or not same or before.patient is None:
            msg = "Choose two radiographs of one joint of one patient."
            raise BadRequest(msg)
        return before.id, after.id

    def _pair(self, before: str, after: str) -> RegisteredPair:
        """Two registered radiographs; a page that asks for figures and planes at once waits for one registration."""
        with self._work:
            return self._kept(before, after)

    def _registered(self, before: str, after: str) -> RegisteredPair:
        with torch.no_grad():
            return RegisteredPair.of(self.openings.get(before), self.openings.get(after))
