"""The audit of joints: each is loaded once and kept, and one that cannot be used is rejected with its reason.

Whether a joint can be used shows only when its pixels are decoded and its masks are there, and a strict list has to be
refused before anything is written. So the audit comes first and loads everything; what it has loaded goes along with
the items (:mod:`bundle.io.keeping`), and nothing is decoded again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bundle.base import REDACTION
from bundle.errors import InputError
from bundle.io.identity import discreet, private_name
from bundle.io.keeping import Kept, KeptArray, KeptJoint
from bundle.io.lists import JOINT_FILES, unique_names
from bundle.io.loading import Item, MaskMaker, OpenFiles, open_joints, read_joint
from bundle.io.writing import LONGEST_NAME
from bundle.joint import BONES, MCP
from torch import Tensor
from tqdm import tqdm

_log = logging.getLogger("bundle.io")

OVERLAP_PIXELS = 20
"""Common mask pixels from which on a joint counts as overlapping, as in the public lists."""


GROSS_OVERLAP = 0.5
"""Masks that share more than this part of the smaller one are grossly wrong: no joint overlaps so far."""


PREDICTED = "predicted"
"""What an item says of its masks where a network drew at least one."""


Check = Callable[[Item, OpenFiles], Item]
"""Checks a joint and returns its item, or raises :class:`InputError` (:func:`audited`)."""


@dataclass
class Audit:
    """What an audit found.

    Attributes:
        accepted: the usable joints, each with ``overlapping`` (bool), ``masks`` ("given" or "drawn") and what was
            ``loaded`` (:class:`JointCheck`) added.
        rejected: name and reason of the others; of a hand that cannot be used its own name.
    """

    accepted: list[Item] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)


class Joints(list[Item]):
    """Audited items, and those that were rejected.

    Attributes:
        rejected: ``name`` and ``reason`` of each.
        strict: whether one that cannot be used ends the run.
    """

    def __init__(
        self, accepted: Iterable[Item], rejected: Sequence[tuple[str, str]] = (), strict: bool = False
    ) -> None:
        super().__init__(accepted)
        self.strict = strict
        self.rejected = [{"name": name, "reason": REDACTION.in_record(reason)} for name, reason in rejected]


def audit(
    items: Sequence[Item],
    *,
    strict: bool = False,
    size: int | None = MCP.pixels,
    keep_gross: bool = False,
    segment: MaskMaker | None = None,
    keep_whole: bool = False,
) -> Audit:
    """Read every item once, keep the joints that can be used and log the others with the reason.

    Args:
        items: with paths, as from :func:`read_datalist`.
        strict: refuse the whole list when one item cannot be used.
        size: expected height and width in pixels; None accepts any.
        keep_gross: keep joints whose masks are grossly wrong, with a warning; they can be separated, not learned from.
        segment: draws masks that are not named; without it they are missed.
        keep_whole: keep also the radiographs that joints are cut out of, for what is put back into them.

    Raises:
        InputError: no item can be used, or ``strict`` and not all can.
    """
    check = JointCheck(size, keep_gross, segment, keep_whole)
    return audited(items, check, strict=strict, size=size)


def audited(items: Sequence[Item], check: Check, *, strict: bool = False, size: int | None = MCP.pixels) -> Audit:
    """Audit items by any check, which returns the item of a joint that can be used and raises for another one.

    Args:
        items: as in :func:`audit`.
        check: of a joint (:func:`bundle.io.open_joints`).
        strict: as in :func:`audit`.
        size: as in :func:`audit`.

    Raises:
        InputError: as :func:`audit`.
    """
    result = Audit()
    for item in tqdm(items, desc="checking joints", unit="file", mininterval=0.5):
        with _rejecting(item, result):
            files, joints = open_joints(item, size)
            for joint in joints:
                with _rejecting(joint, result):
                    _check_name(joint["name"])
                    result.accepted.append(check(joint, files))
    names = unique_names(item["name"] for item in result.accepted)
    result.accepted = [{**item, "name": name} for item, name in zip(result.accepted, names, strict=True)]
    _report(result, strict)
    return result


def _check_name(name: str) -> None:
    """Refuse a name that is too long for the names of results."""
    length = len(name.encode())
    if length > LONGEST_NAME:
        msg = f"{name}: {length} bytes are too long for the names of results: rename it to {LONGEST_NAME} or fewer"
        raise InputError(msg)


@contextmanager
def _rejecting(item: Item, result: Audit) -> Iterator[None]:
    """Note an item that cannot be used; what it is called is not said where that tells whose radiograph it is."""
    try:
        yield
    except InputError as error:
        result.rejected.append((private_name(item["name"], item["image"]), _discreet(str(error), item)))


def _discreet(message: str, item: Item) -> str:
    """A message without paths of an item's files that tell whose radiograph it is."""
    name = private_name(item["name"], item["image"])
    return discreet(message, [item[key] for key in JOINT_FILES], item["image"], name)


@dataclass
class JointCheck:
    """Loads a joint, keeps it, and says ``overlapping`` and ``masks`` in its item.

    The item gets ``loaded`` (:class:`bundle.io.keeping.KeptJoint`), and with ``keep_whole`` that of a joint which is
    cut out of its radiograph gets the ``whole`` radiograph (:class:`bundle.io.keeping.KeptArray`); None where there is
    no room.

    Attributes:
        size: as in :func:`audit`.
        keep_gross: as in :func:`audit`.
        segment: as in :func:`audit`.
        keep_whole: as in :func:`audit`.
        kept: where joints are kept.
    """

    size: int | None = MCP.pixels
    keep_gross: bool = False
    segment: MaskMaker | None = None
    keep_whole: bool = False
    kept: Kept = field(default_factory=Kept)
    _whole: tuple[OpenFiles, KeptArray | None] | None = field(default=None, init=False)

    def __call__(self, item: Item, files: OpenFiles) -> Item:
        """The item of a joint of a radiograph.

        Raises:
            InputError: the joint cannot be used.
        """
        joint = read_joint(item, self.size, self.segment, files)
        check_overlap(joint, item, self.keep_gross)
        masks = "given" if all(item[bone] for bone in BONES) else PREDICTED
        whole = {"whole": self._kept_whole(files)} if self.keep_whole and item["frame"] else {}
        loaded = KeptJoint.of(joint, self.kept)
        return {**item, "overlapping": is_overlapping(joint), "masks": masks, "loaded": loaded, **whole}

    def _kept_whole(self, files: OpenFiles) -> KeptArray | None:
        """A radiograph, kept once for all of its joints, which come one after another."""
        if self._whole is None or self._whole[0] is not files:
            self._whole = files, self.kept.keep(files.radiograph.intensity)
        return self._whole[1]


def check_overlap(joint: Tensor, item: Item, keep_gross: bool) -> None:
    """Refuse masks that share more than :data:`GROSS_OVERLAP` of the smaller one.

    Args:
        joint: (3, H, W), as :func:`bundle.io.read_joint` gives it.
        item: of the joint.
        keep_gross: only warn.

    Raises:
        InputError: they do, and are not kept.
    """
    common = int((joint[1] * joint[2]).sum())
    share = common / int(joint[1:].sum(dim=(1, 2)).min())
    if share <= GROSS_OVERLAP:
        return
    msg = (
        f"grossly wrong masks: expected at most {GROSS_OVERLAP:.0%} of the smaller bone in common, "
        f"got {share:.0%} ({common} pixels): {item['lower'] or 'drawn'} and {item['upper'] or 'drawn'} of "
        f"{item['image']}: draw them again"
    )
    if not keep_gross:
        raise InputError(msg)
    _log.warning("kept %s: %s", item["name"], _discreet(msg, item))


def is_overlapping(joint: Tensor) -> bool:
    """Whether the masks of a joint (3, H, W) have at least 20 pixels in common, as the public lists count it."""
    return int((joint[1] * joint[2]).sum()) >= OVERLAP_PIXELS


def _report(result: Audit, strict: bool) -> None:
    total = len(result.accepted) + len(result.rejected)
    summary = f"{total} joints checked, {len(result.accepted)} usable, {len(result.rejected)} rejected"
    reasons = [f"rejected {name}: {reason}" for name, reason in result.rejected]
    if not result.accepted or (strict and reasons):
        expected = "every joint" if strict else "at least one joint"
        raise InputError("\n".join([f"expected {expected} to be usable: {summary}", *reasons]))
    for line in reasons:
        _log.warning(line)
    _log.log(logging.WARNING if reasons else logging.INFO, summary)
