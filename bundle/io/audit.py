"""Audit of joints: each is loaded once and cached, and an unusable one is rejected with the reason.

A joint proves usable only once its pixels and masks are decoded, and a strict list must be rejected before anything is
written. The audit therefore comes first and loads everything; the loaded data stay with the items
(:mod:`bundle.io.keeping`), and nothing is decoded twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bundle.base import REDACTION
from bundle.errors import InputError
from bundle.io.identity import discreet, private_name
from bundle.io.joint_images import read_joint
from bundle.io.keeping import Kept, KeptJoint
from bundle.io.lists import JOINT_FILES, unique_names
from bundle.io.loading import FindPlaces, Item, MaskMaker, OpenFiles, open_joints
from bundle.io.placing import Recentre, agreed_plates, recentred
from bundle.io.spacing import SpacingConflicts
from bundle.io.writing import LONGEST_NAME
from bundle.joint import BONES, MCP
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

_log = logging.getLogger("bundle.io")

OVERLAP_PIXELS = 20
"""Smallest number of common mask pixels at which a joint counts as overlapping, as in the public lists."""

GROSS_OVERLAP = 0.5
"""Largest plausible overlap, as a fraction of the smaller mask; beyond it the masks are grossly wrong."""

PREDICTED = "predicted"
"""Value of ``masks`` of an item if a network predicted at least one of its masks."""

KeepWhole = bool | Callable[[NDArray[np.float32]], NDArray[Any]]
"""Whether to keep radiographs (H, W) that joints are cut out of; a function keeps what it returns, (h, w)."""

Check = Callable[[Item, OpenFiles], Item]
"""Checks a joint and returns its item, or raises :class:`InputError` (:func:`audited`)."""


@dataclass
class Audit:
    """Result of an audit.

    Attributes:
        accepted: items of the usable joints, with ``overlapping`` (bool), ``masks`` ("given" or "predicted") and
            ``loaded`` (:class:`JointCheck`) added.
        rejected: name and reason of each unusable joint, or of an unusable hand as a whole.
        left_out: items of the unusable joints with a frame in a radiograph, each with its reason, ``refused``.
    """

    accepted: list[Item] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[Item] = field(default_factory=list)


class Joints(list[Item]):
    """Audited items, with the rejected ones.

    Attributes:
        rejected: ``name`` and ``reason`` of each rejected item.
        strict: whether one unusable joint ends the run.
        left_out: see :class:`Audit`.
    """

    def __init__(
        self,
        accepted: Iterable[Item],
        rejected: Sequence[tuple[str, str]] = (),
        strict: bool = False,
        left_out: Sequence[Item] = (),
    ) -> None:
        super().__init__(accepted)
        self.strict, self.left_out = strict, left_out
        self.rejected = [{"name": name, "reason": REDACTION.in_record(reason)} for name, reason in rejected]


def audit(
    items: Sequence[Item],
    *,
    strict: bool = False,
    size: int | None = MCP.pixels,
    keep_gross: bool = False,
    segment: MaskMaker | None = None,
    keep_whole: KeepWhole = False,
    recentre: Recentre | None = None,
    find: FindPlaces | None = None,
    accept_none: bool = False,
) -> Audit:
    """Read every item once, keep the usable joints and log the others with the reason.

    Args:
        items: items with paths, as from :func:`read_datalist`.
        strict: reject the whole list if one joint is unusable.
        size: required height and width in pixels; None accepts any.
        keep_gross: keep joints whose masks are grossly wrong, with a warning: for separation, not for training.
        segment: predictor of missing masks; None rejects joints without masks.
        keep_whole: also keep the radiographs that joints are cut out of, to paste results back or to show them.
        recentre: places the frames of joints marked or found in hands (:func:`recentred`).
        find: finds the joints of hands without marks (:func:`bundle.io.open_joints`).
        accept_none: accept a list without any usable joint.

    Raises:
        InputError: no joint is usable, or ``strict`` and not all are.
    """
    check = JointCheck(size, keep_gross, segment, keep_whole, recentre)
    return audited(items, check, strict=strict, size=size, find=find, accept_none=accept_none)


def audited(
    items: Sequence[Item],
    check: Check,
    *,
    strict: bool = False,
    size: int | None = MCP.pixels,
    find: FindPlaces | None = None,
    accept_none: bool = False,
) -> Audit:
    """Audit items by a check.

    Args:
        items: as in :func:`audit`.
        check: check of a joint of :func:`bundle.io.open_joints`: returns its item, or raises if it is unusable.
        strict: as in :func:`audit`.
        size: as in :func:`audit`.
        find: as in :func:`audit`.
        accept_none: as in :func:`audit`.

    Raises:
        InputError: as :func:`audit`.
    """
    result, conflicts = Audit(), SpacingConflicts()
    for item in tqdm(items, desc="checking joints", unit="file", mininterval=0.5):
        with _rejecting(item, result):
            files, joints = open_joints(item, size, find=find)
            conflicts.add(item, files.radiograph)
            for joint in joints:
                with _rejecting(joint, result):
                    _check_name(joint["name"])
                    result.accepted.append(check(joint, files))
    result.accepted = agreed_plates(result.accepted)
    names = unique_names(item["name"] for item in result.accepted)
    result.accepted = [{**item, "name": name} for item, name in zip(result.accepted, names, strict=True)]
    for conflict in conflicts.report():
        _log.warning(conflict)
    _report(result, strict, accept_none)
    return result


def _check_name(name: str) -> None:
    """Reject a name that is too long for the file names of results."""
    length = len(name.encode())
    if length > LONGEST_NAME:
        msg = f"{name}: a name of {length} bytes is too long for result files. Shorten it to {LONGEST_NAME} bytes."
        raise InputError(msg)


@contextmanager
def _rejecting(item: Item, result: Audit) -> Iterator[None]:
    """Record an unusable item, without a name that reveals the patient."""
    try:
        yield
    except InputError as error:
        name, reason = private_name(item["name"], item["image"]), discreet_reason(str(error), item)
        result.rejected.append((name, reason))
        result.left_out += [{**item, "name": name, "refused": reason}] if item.get("frame") else []


def discreet_reason(message: str, item: Item) -> str:
    """Return a message without paths of an item's files that reveal the patient."""
    name = private_name(item["name"], item["image"])
    return discreet(message, [item[key] for key in JOINT_FILES], item["image"], name)


@dataclass
class JointCheck:
    """Check that loads and caches a joint and adds ``overlapping`` and ``masks`` to its item.

    The item gets ``loaded`` (:class:`bundle.io.keeping.KeptJoint`); with ``keep_whole`` the item of a joint cut out of
    its radiograph also gets the ``whole`` radiograph (:class:`bundle.io.keeping.KeptArray`) and ``whole_scale``, the
    height of what is kept relative to the radiograph's. The arrays are None where the cache is full.

    Attributes:
        size: as in :func:`audit`.
        keep_gross: as in :func:`audit`.
        segment: as in :func:`audit`.
        keep_whole: as in :func:`audit`.
        recentre: as in :func:`audit`.
        kept: cache of the joints.
    """

    size: int | None = MCP.pixels
    keep_gross: bool = False
    segment: MaskMaker | None = None
    keep_whole: KeepWhole = False
    recentre: Recentre | None = None
    kept: Kept = field(default_factory=Kept)
    _whole: tuple[OpenFiles, Item] | None = field(default=None, init=False)

    def __call__(self, item: Item, files: OpenFiles) -> Item:
        """Check a joint of a radiograph and return its item.

        Raises:
            InputError: the joint is unusable.
        """
        item = recentred(item, files, self.recentre)
        joint = read_joint(item, self.size, self.segment, files)
        check_overlap(joint, item, self.keep_gross)
        masks = "given" if all(item[bone] for bone in BONES) else PREDICTED
        whole = self._kept_whole(files) if self.keep_whole and item["frame"] else {}
        loaded = KeptJoint.of(joint, self.kept)
        return {**item, "overlapping": is_overlapping(joint), "masks": masks, "loaded": loaded, **whole}

    def _kept_whole(self, files: OpenFiles) -> Item:
        """The whole radiograph, cached once for its joints, which are checked consecutively."""
        if self._whole is None or self._whole[0] is not files:
            whole = files.radiograph.intensity
            kept = self.keep_whole(whole) if callable(self.keep_whole) else whole
            self._whole = files, {"whole": self.kept.keep(kept), "whole_scale": len(kept) / len(whole)}
        return self._whole[1]


def check_overlap(joint: Tensor, item: Item, keep_gross: bool) -> None:
    """Reject masks that share more than :data:`GROSS_OVERLAP` of the smaller one.

    Args:
        joint: joint of :func:`bundle.io.read_joint`, (3, H, W).
        item: item of the joint.
        keep_gross: only warn.

    Raises:
        InputError: the masks overlap too far and ``keep_gross`` is false.
    """
    common = int((joint[1] * joint[2]).sum())
    share = common / int(joint[1:].sum(dim=(1, 2)).min())
    if share <= GROSS_OVERLAP:
        return
    msg = (
        f"{item['image']}: grossly wrong masks: {item['lower'] or PREDICTED} and {item['upper'] or PREDICTED} share "
        f"{share:.0%} of the smaller bone ({common} pixels), more than {GROSS_OVERLAP:.0%}. Draw them again."
    )
    if not keep_gross:
        raise InputError(msg)
    _log.warning("kept %s: %s", item["name"], discreet_reason(msg, item))


def is_overlapping(joint: Tensor) -> bool:
    """Whether the masks of a joint (3, H, W) have at least 20 pixels in common, as in the public lists."""
    return int((joint[1] * joint[2]).sum()) >= OVERLAP_PIXELS


def _report(result: Audit, strict: bool, accept_none: bool) -> None:
    total = len(result.accepted) + len(result.rejected)
    summary = f"{total} joints checked, {len(result.accepted)} usable, {len(result.rejected)} rejected"
    reasons = [f"rejected {name}: {reason}" for name, reason in result.rejected]
    if (not result.accepted and not accept_none) or (strict and reasons):
        remedy = (
            "Correct or remove the rejected joints, or set strict to false" if strict else "Correct at least one joint"
        )
        raise InputError("\n".join([f"{summary}. {remedy}.", *reasons]))
    for line in reasons:
        _log.warning(line)
    _log.log(logging.WARNING if reasons else logging.INFO, summary)
