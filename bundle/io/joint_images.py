"""One joint of a list as a tensor: its radiograph, whole or cut out of a hand, and its given or predicted masks."""

from __future__ import annotations

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io.frames import JointFrame
from bundle.io.loading import Item, MaskMaker, OpenFiles
from bundle.io.reading import check_area, shape_of
from bundle.io.spacing import spacing_argument
from bundle.joint import BONES, MCP
from numpy.typing import NDArray
from torch import Tensor


def load_joint(item: Item, size: int | None = MCP.pixels, segment: MaskMaker | None = None) -> Tensor:
    """Load the joint of an audited item: as cached by the audit, else from its files.

    Arguments, result and errors as in :func:`read_joint`.
    """
    kept = item.get("loaded")
    if kept is not None and (size is None or kept.shape == (size, size)):
        return kept.tensor()
    return read_joint(item, size, segment)


def read_joint(
    item: Item, size: int | None = MCP.pixels, segment: MaskMaker | None = None, files: OpenFiles | None = None
) -> Tensor:
    """Read a joint: the radiograph and its two bone masks. A given mask takes precedence over a predicted one.

    Args:
        item: item with the path ``image``, and ``lower`` and ``upper`` where masks are given; ``frame`` is the region
            to cut out, empty for the whole radiograph.
        size: required height and width of a frame in pixels; None accepts any.
        segment: predicts masks that the item does not name.
        files: open files of the joint's list entry; None opens them here.

    Returns:
        float32 tensor (3, H, W): intensity in [0, 1], mask of the lower bone, mask of the upper bone (0 or 1).

    Raises:
        InputError: a file cannot be used (:func:`bundle.io.reading.read_radiograph`, ``read_mask``), the sizes differ
            from each other or from ``size``, a mask is missing and not predicted, or a bone is not found.
    """
    image, masks = read_given(item, size, files)
    if any(mask is None for mask in masks):
        predicted = _predicted(image, item, segment)
        masks = [given if given is not None else mask for given, mask in zip(masks, predicted, strict=True)]
    return torch.cat([image, torch.stack([mask for mask in masks if mask is not None])])


def read_given(
    item: Item, size: int | None = MCP.pixels, files: OpenFiles | None = None
) -> tuple[Tensor, list[Tensor | None]]:
    """Read the radiograph of a joint and its given masks; arguments as in :func:`read_joint`.

    Returns:
        Intensity (1, H, W), and the masks (H, W) of the lower and the upper bone, None where no file is given.

    Raises:
        InputError: a file cannot be used, or the sizes differ from each other or from ``size``.
    """
    files = files or OpenFiles(item)
    image = _frame(item, files.radiograph.intensity, size)
    return image, [_mask_of(bone, item, files) if item.get(bone) else None for bone in BONES]


def _frame(item: Item, whole: NDArray[np.float32], size: int | None) -> Tensor:
    """The radiograph (1, H, W) of a joint, float32."""
    image = torch.from_numpy(whole)[None]
    if item.get("frame"):
        return JointFrame.from_json(item["frame"]).cut(image).clamp(0.0, 1.0)
    if size is not None and image.shape[1:] != (size, size):
        msg = (
            f"{item['image']}: {shape_of(whole)} pixels, not {size} x {size}. Pass {spacing_argument(item)} to "
            "resample it, or mark the joints of a hand with points."
        )
        raise InputError(msg)
    return image


def _mask_of(bone: str, item: Item, files: OpenFiles) -> Tensor:
    """The mask (H, W) of a bone, 0 or 1, cut out as its radiograph."""
    whole = torch.from_numpy(files.mask(bone)).float()
    if not item.get("frame"):
        return whole
    cut = (JointFrame.from_json(item["frame"]).cut(whole[None])[0] > 0.5).float()
    check_area(cut.numpy() > 0.5, item[bone])
    return cut


def _predicted(image: Tensor, item: Item, segment: MaskMaker | None) -> Tensor:
    """Masks (2, H, W) that a network predicts."""
    if segment is None:
        absent = " and ".join(bone for bone in BONES if not item.get(bone))
        msg = (
            f"{item['image']}: no mask of the {absent} bone. Name the masks in the list; inference predicts and writes "
            "them."
        )
        raise InputError(msg)
    masks = segment(image)
    for bone, mask in zip(BONES, masks, strict=True):
        check_area(mask.numpy() > 0.5, f"{item['image']}, {bone} bone predicted by the network")
    return masks
