"""Inference: bone masks and layers of a joint."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from bundle.errors import InputError
from bundle.inference import described_space
from bundle.io import write_layers
from bundle.joint import LAYER_NAMES
from bundle.measurement import measure_joint_space, outline_gap
from fastapi import HTTPException
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from scripts.monai_label.datastore import FIND, JointDatastore
from scripts.monai_label.label_map import LABELS, read_label_map, write_label_map
from scripts.monai_label.models import BoneMaskPredictor, LayerSeparator
from scripts.monai_label.view import CLICKS, FINGER, JointView, Views, views_of
from torch import Tensor


class BoneMasks(InferTask):
    """Prediction of the masks of the two bones, as a label map of the radiograph.

    Args:
        predict_masks: segmentation.
        datastore: datastore of the radiographs.
    """

    def __init__(self, predict_masks: BoneMaskPredictor, datastore: JointDatastore) -> None:
        super().__init__(InferType.SEGMENTATION, LABELS, 2, "Predicts the masks of the two bones of a finger joint")
        self.predict_masks = predict_masks
        self.datastore = datastore

    def is_valid(self) -> bool:
        """Whether the task is listed."""
        return True

    def get_path(self, validate: bool = True) -> str:
        """Return the weights in use, or, without validation, those that an upload would replace."""
        return str(self.predict_masks.weights if validate else self.predict_masks.trained)

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a file of the label map, and its description.

        Raises:
            InputError: the radiograph is unusable, or there are no weights.
        """
        views, told = _seen(request, self.datastore)
        masks = [self.predict_masks(view.image) for view in views.joints]
        laid = torch.stack([view.lay_back(own) for view, own in zip(views.joints, masks, strict=True)]).amax(dim=0)
        path = _new_file()
        write_label_map(path, laid, request["image"], views.joints[0].pixels)
        return path, {**_described(views, masks, told), "masks": "predicted"}


class LayerSeparation(InferTask):
    """Separation of a joint into soft tissue, lower bone and upper bone.

    Masks sent as ``label`` take precedence over saved ones, and those over predicted ones.

    Args:
        separate: separation.
        predict_masks: segmentation.
        datastore: datastore of the radiographs and labels.
    """

    def __init__(self, separate: LayerSeparator, predict_masks: BoneMaskPredictor, datastore: JointDatastore) -> None:
        super().__init__(InferType.OTHERS, [], 2, "Separates a finger joint into soft tissue, lower and upper bone")
        self.separate = separate
        self.predict_masks = predict_masks
        self.datastore = datastore

    def is_valid(self) -> bool:
        """Whether the task is listed."""
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a float32 NIfTI file of the layers of the frame, and its description.

        Raises:
            InputError: the radiograph or the label is unusable, or a bone has no mask.
        """
        views, told = _seen(request, self.datastore)
        view = views.one()
        masks, origin = self._masks(request, view)
        made = self.separate(view.image, masks, request["image_id"], view.spacing)
        path = _new_file()
        write_layers(path, made.layers, view.spacing)
        space = measure_joint_space(made.layers[None], masks[None], view.spacing)
        measured = {**described_space(space), "joint_space_refused": space.refused[0]}
        known = {**_summary(view, masks, told), **measured, **made.quality}
        return path, {**known, "layers": list(LAYER_NAMES), "masks": origin}

    def _masks(self, request: Mapping[str, Any], view: JointView) -> tuple[Tensor, str]:
        """Return masks (2, 256, 256), and their origin."""
        if request.get("label"):
            return view.cut(read_label_map(request["label"], view.shape, request["image"], request)), "sent"
        saved = self.datastore.masks(request["image_id"], view.shape, self.datastore.tag_of(request["image_id"], view))
        return (self.predict_masks(view.image), "predicted") if saved is None else (view.cut(saved), "saved")


class BatchBoneMasks:
    """Prediction and storage of the masks of many images, one after the other."""

    def __call__(
        self, request: Mapping[str, Any], datastore: JointDatastore, infer: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """Return the description of each image from inference, or under ``error`` why its masks are not saved."""
        listed = {"labeled": datastore.get_labeled_images, "unlabeled": datastore.get_unlabeled_images}
        chosen = request.get("images", "all")
        images = sorted(listed[chosen]() if chosen in listed else datastore.list_images())
        tag = request.get("label_tag", DefaultLabelTag.ORIGINAL.value)
        asked = {"model": request["model"], "save_label": True, "label_tag": tag}
        return {image: _one(image, asked, infer) for image in images[: request.get("max_batch_size") or None]}


def _one(image: str, asked: dict[str, Any], infer: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return the answer of inference for one image, without its file."""
    try:
        found = infer({**asked, "image": image})
    except HTTPException as refused:
        return {"error": refused.detail}
    Path(found.pop("file")).unlink(missing_ok=True)
    return found


def _seen(request: Mapping[str, Any], datastore: JointDatastore) -> tuple[Views, dict[str, Any]]:
    """Return the requested joints, and the marks that locate them, saved or from the request."""
    if not request["image"] or not Path(request["image"]).is_file():
        msg = f"The id is not an image of the studies folder. {FIND} Or send a file."
        raise InputError(msg)
    asked = {key: request[key] for key in (*CLICKS, FINGER) if request.get(key)}
    saved = {} if FINGER in asked else datastore.clicks(request["image_id"])
    told = {**saved, **asked}
    return views_of(request["image"], told, datastore.find), told


def _described(views: Views, masks: Sequence[Tensor], told: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the joints of a radiograph and their masks, each (2, 256, 256); without a list if there is only one."""
    found = [_summary(view, own, told) for view, own in zip(views.joints, masks, strict=True)]
    return found[0] if len(found) == 1 else {**told, "joints": found, "left_out": views.left_out}


def _summary(view: JointView, masks: Tensor, told: Mapping[str, Any]) -> dict[str, Any]:
    """Describe a joint and its masks (2, 256, 256) in the frame."""
    width = float(outline_gap(masks[None], view.spacing))
    absent = [bone for bone, mask in zip(LABELS, masks, strict=False) if not mask.any()]
    measured = {"spacing_mm": view.spacing, "outline_gap_mm": width if math.isfinite(width) else None}
    return {**told, **view.marks, **view.found, **measured, "not_found": absent}


def _new_file() -> str:
    """Return a new temporary file, which the server removes after sending it."""
    with tempfile.NamedTemporaryFile(suffix=".nii.gz", delete=False) as file:
        return str(Path(file.name))
