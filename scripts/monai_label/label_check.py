"""Quality control of a label, as inference checks masks, before it is saved or used for training."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from bundle.errors import InputError
from bundle.io import check_area
from bundle.joint import BONES
from bundle.physics import continue_to_border
from bundle.quality import PROPERTIES, PlausibilityReference, measure
from scripts.monai_label.view import JointView
from torch import Tensor

_SHAPE = ("width", "height", "end", "gap", "overlap", "sideways", "subluxation", "other_joint")
_OF_IMAGE = ("collimation", *(name for name, kind in PROPERTIES.items() if kind.appearance))
"""Properties of the radiograph, for which the label is not to blame."""

MIRRORED = 0.02
"""Excess of the edge correlation of a label's mirror image above which the label counts as mirrored."""

_REMEDY = "Draw it again on this radiograph, upper bone at the top."


def check_label(
    view: JointView, masks: Tensor, name: str, reference: PlausibilityReference, unusual: bool = False
) -> None:
    """Refuse masks that do not lie on the bones of their joint.

    Args:
        view: view of the joint.
        masks: masks of the radiograph, (2, H, W).
        name: name of the radiograph, for the message.
        reference: plausibility reference of inference.
        unusual: whether bones of an unusual size, shape or place are allowed.

    Raises:
        InputError: a mask is empty or covers the frame, lies on no bone, is swapped with the other or mirrored.
    """
    cut = view.cut(masks)
    for mask, bone in zip(cut, BONES, strict=True):
        check_area(mask.numpy() > 0.5, f"of the {bone} bone of {name}")
    left_out = (*_OF_IMAGE, *_SHAPE) if unusual else _OF_IMAGE
    values = measure(torch.cat([view.image, continue_to_border(cut)]), view.spacing)
    reasons = list(reference.judge({key: _kept(key, value, left_out) for key, value in values.items()}).reasons)
    if _is_mirrored(view, cut, values):
        reasons.insert(0, "it is a mirror image")
    if reasons:
        msg = f"{name}: the label does not lie on the bones: {'; '.join(reasons)}. {_REMEDY}"
        raise InputError(msg)


def _kept(name: str, value: float, left_out: tuple[str, ...]) -> float:
    """Return a value, or NaN if the property is left out."""
    return math.nan if name.endswith(left_out) else value


def _is_mirrored(view: JointView, cut: Tensor, values: Mapping[str, float]) -> bool:
    """Whether the mirror image of masks (2, 256, 256) follows the edges better than the masks."""
    turned = measure(torch.cat([view.image, continue_to_border(cut.flip(2))]), view.spacing)
    return _fit(turned) > _fit(values) + MIRRORED


def _fit(values: Mapping[str, float]) -> float:
    """Return the mean edge correlation of the outlines."""
    found = [values[name] for name in PROPERTIES if name.endswith("_edge") and not math.isnan(values[name])]
    return sum(found) / max(len(found), 1)
