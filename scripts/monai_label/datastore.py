"""Datastore of the radiographs of a folder and their saved labels."""

from __future__ import annotations

import itertools
import logging
import math
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bundle.errors import InputError
from bundle.io import SUFFIXES, files_below, is_radiograph, private_name, safe_name
from bundle.joint import BONES
from bundle.quality import PlausibilityReference
from fastapi import HTTPException
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from scripts.monai_label.answers import NOT_FOUND, answering
from scripts.monai_label.label_check import check_label
from scripts.monai_label.label_map import read_label_map
from scripts.monai_label.options import IMAGE, TAG, checked
from scripts.monai_label.view import (
    CLICKS,
    FINGER,
    FindFrames,
    JointView,
    Views,
    labelled_views,
    radiograph_shape,
    views_of,
)
from torch import Tensor

EXTENSIONS = tuple(f"*{suffix}" for suffix in (*SUFFIXES, ".dcm", ".dicom", ".ima", ".nrrd", ".seg.nrrd"))
"""Names of radiographs and labels. DICOM files are also recognised by their content."""

FINAL = str(DefaultLabelTag.FINAL.value)

APART = 8.0
"""Distance in mm above which two centres belong to different joints."""

FIND = "Use an id of GET /datastore/?output=all."

_log = logging.getLogger(__name__)


class JointDatastore(LocalDatastore):
    """MONAI Label's folder of images and labels, extended to radiographs in subfolders.

    MONAI Label's own datastore lists the top folder only, recognises DICOM files only by a setting, and names an image
    by its file. Here an image is named by its path, or by a pseudonym if the path contains a date, a UID or patient
    data of its DICOM header. Its extension in the datastore's file is the whole path, which begins with "/".

    Args:
        studies: folder of the radiographs.
        reference: plausibility reference of labels.
        find: finds the joints of a hand without marks.
        auto_reload: whether to notice new and removed files in the top folder while the server runs.
        read_only: whether to leave the folder unchanged.
    """

    def __init__(
        self,
        studies: str,
        reference: PlausibilityReference,
        find: FindFrames,
        auto_reload: bool = False,
        read_only: bool = False,
    ) -> None:
        self._reference, self.find = reference, find
        self._refreshing = threading.RLock()
        super().__init__(studies, extensions=EXTENSIONS, auto_reload=auto_reload, read_only=read_only)

    def views(self, image_id: str, clicks: Mapping[str, Any] | None = None, tag: str = FINAL) -> Views:
        """Return the views of an image's joints, at the given marks or those saved with its label.

        Raises:
            InputError: see :func:`scripts.monai_label.view.views_of`.
        """
        return views_of(self.get_image_uri(image_id), {**self.clicks(image_id, tag), **(clicks or {})}, self.find)

    def clicks(self, image_id: str, tag: str = FINAL) -> dict[str, Any]:
        """Return the marks of the joint saved with an image's label."""
        info = self._label_info(image_id, tag)
        return {key: info[key] for key in CLICKS if info.get(key)}

    def masks(self, image_id: str, shape: tuple[int, int], tag: str | None = FINAL) -> Tensor | None:
        """Return the saved masks (2, H, W) of an image, of 0 and 1; None without a saved label.

        Raises:
            InputError: the label does not fit a radiograph of this shape.
        """
        path, image = self.get_label_uri(image_id, tag) if tag else "", self.get_image_uri(image_id)
        return read_label_map(path, shape, image, self._label_info(image_id, tag or FINAL)) if path else None

    def joints(self) -> list[tuple[str, str]]:
        """Return the ids and tags of the final labels; a hand has one per joint."""
        return [(image_id, tag) for image_id in self.get_labeled_images() for tag in self._tags(image_id, FINAL)]

    def tag_of(self, image_id: str, view: JointView, tag: str = FINAL) -> str | None:
        """Return the tag of the label of the joint in view, ``tag`` or ``tag`` with a number; None if it has none."""
        saved = self._tags(image_id, tag)
        return next((each for each in saved if _is_same(self.clicks(image_id, each), view)), None)

    def _tags(self, image_id: str, tag: str) -> list[str]:
        """Return the tags of the labels of an image's joints."""
        entry = self._datastore.objects.get(image_id)
        pattern = re.compile(rf"{re.escape(tag)}(_\d+)?")
        return sorted(each for each in (entry.labels if entry else ()) if pattern.fullmatch(each))

    def _free_tag(self, image_id: str, tag: str) -> str:
        """Return an unused tag for a label of an image's joint."""
        taken = self._tags(image_id, tag)
        numbered = (f"{tag}_{number}" for number in itertools.count(2))
        return tag if tag not in taken else next(each for each in numbered if each not in taken)

    def _label_info(self, image_id: str, tag: str = FINAL) -> dict[str, Any]:
        """Return the info that a client or inference saved with a label."""
        info = self.get_label_info(image_id, tag)
        return {**info.get("params", {}), **info}

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save a label map if it fits its image, once for each joint of a hand that it shows; return the first id.

        Raises:
            HTTPException: there is no such image, the tag is not a name, or the file is not a label map of the image.
        """
        with answering(self.get_image_uri(image_id), image_id):
            checked({"tag": label_tag}, {"tag": TAG})
            if image_id not in self.list_images():
                msg = f"{image_id!r} is not an image of the studies folder. {FIND}"
                raise InputError(msg)
            views = self._check(image_id, label_filename, label_info)
        ids = [self._save(image_id, view, label_filename, label_tag, label_info) for view in views]
        return ids[0]

    def _save(self, image_id: str, view: JointView, path: str, tag: str, info: Mapping[str, Any]) -> str:
        """Save a label map for one of its joints; return its id."""
        known = {**info, "params": {**info.get("params", {}), **view.marks}}
        tag = self.tag_of(image_id, view, tag) or self._free_tag(image_id, tag)
        label_id: str = super().save_label(image_id, path, tag, known)
        return label_id

    def _check(self, image_id: str, path: str, label_info: Mapping[str, Any]) -> list[JointView]:
        """Return the joints of a label map; refuse one that does not fit its image, or does not lie on their bones."""
        info = {**label_info.get("params", {}), **label_info}
        image = self.get_image_uri(image_id)
        masks = read_label_map(path, radiograph_shape(image), image, info)
        views = self.views(image_id, {key: info[key] for key in (*CLICKS, FINGER) if info.get(key)})
        shown = labelled_views(views, masks)
        for view in shown:
            self.check(image_id, view, masks, bool(info.get("unusual")))
        return shown

    def check(self, image_id: str, view: JointView, masks: Tensor, unusual: bool = False) -> None:
        """Refuse implausible masks (2, H, W).

        Raises:
            InputError: see :func:`scripts.monai_label.label_check.check_label`.
        """
        check_label(view, masks, image_id, self._reference, unusual)

    def check_saved(self, image_id: str, tag: str, view: JointView, masks: Tensor) -> None:
        """Like :meth:`check`, for a saved label."""
        self.check(image_id, view, masks, bool(self._label_info(image_id, tag).get("unusual")))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add a radiograph to the top folder.

        Raises:
            HTTPException: the id is not a name or is taken, or the file is not a radiograph.
        """
        with answering(image_filename, image_id):
            checked({"image": image_id}, {"image": IMAGE})
            if image_id in self.list_images() or not self._is_free(image_id, image_filename):
                msg = f"{image_id!r} is not a new id. Choose another one, or delete that image."
                raise InputError(msg)
            if not is_radiograph(image_filename):
                msg = f"{image_id} is not a radiograph. Send DICOM, or one of {', '.join(SUFFIXES)}."
                raise InputError(msg)
            radiograph_shape(image_filename)
        added: str = super().add_image(image_id, image_filename, image_info)
        return added

    def remove_image(self, image_id: str) -> None:
        """Delete an image and its labels, and update the list before returning."""
        super().remove_image(image_id)
        self._refresh_watched()

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Delete a label, and update the list before returning."""
        super().remove_label(label_id, label_tag)
        self._refresh_watched()

    def _refresh_watched(self) -> None:
        """Update the list of a watched folder, which MONAI Label leaves to the watcher; others it updates itself."""
        if self._auto_reload:
            self.refresh()

    def refresh(self) -> None:
        """List the existing files, in one thread at a time: the watcher of the folder calls this as well."""
        with self._refreshing:
            super().refresh()

    def _is_free(self, image_id: str, image_filename: str) -> bool:
        """Whether an image of this id would replace no file and be listed."""
        path = Path(self._datastore_path, self._filename(image_id, self._to_id(Path(image_filename).name)[1]))
        return not path.exists() and not image_id.endswith(_MASKS)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """Make a ZIP archive of the images that have a label.

        Raises:
            HTTPException: there is none.
        """
        if not self.datalist():
            raise HTTPException(NOT_FOUND, "No image has a label. Save a label first.")
        archive: str = super().get_dataset_archive(limit_cases)
        return archive

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """Return the info of an image, without its path."""
        info: dict[str, Any] = super().get_image_info(image_id)
        return {key: value for key, value in info.items() if key != "path"}

    def json(self) -> dict[str, Any]:
        """Return the datastore's file, without paths."""
        found: dict[str, Any] = super().json()
        for image in (entry["image"] for entry in found["objects"].values()):
            image["ext"] = _ending(image["ext"])
        return found

    def _filename(self, id: str, ext: str) -> str:
        return ext[1:] if ext.startswith("/") else f"{id}{ext}"

    def _add_non_existing_images(self) -> int:
        """Add the new radiographs of the folder; return their number."""
        self._init_from_datastore_file()
        objects = self._datastore.objects
        known = {self._filename(image_id, entry.image.ext) for image_id, entry in objects.items()}
        return sum(self._add(path) for path in self._radiographs() if path not in known)

    def _add(self, path: str) -> bool:
        """Add a radiograph; return whether its id was free."""
        image_id = private_name(safe_name(_stem(path).replace("/", "__")), Path(self._datastore_path, path))
        if image_id in self._datastore.objects:
            _log.warning(f"Left out a second radiograph {image_id}: rename one of the files of this name")
            return False
        info = {"name": f"{image_id}{_ending(path) or '.dcm'}"}
        self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=f"/{path}"))
        return True

    def _radiographs(self) -> list[str]:
        """Return the relative paths of the radiographs below the folder, without labels, masks and hidden files."""
        root = Path(self._datastore_path)
        labels = Path(self._datastore.label_path(None))
        files = [path for path in files_below(root) if labels not in path.parents]
        shown = [
            path.relative_to(root) for path in files if not path.name.removesuffix(_ending(path.name)).endswith(_MASKS)
        ]
        shown = [path for path in shown if not any(part.startswith(".") for part in path.parts)]
        return sorted(path.as_posix() for path in shown if is_radiograph(root / path))


def _is_same(clicks: Mapping[str, Any], view: JointView) -> bool:
    """Whether a saved label is that of the joint in view; without marks it is the only one of its radiograph."""
    if not clicks.get("center") or view.pixels is None:
        return True
    across, down = (a - b for a, b in zip(view.frame.place.center, clicks["center"], strict=True))
    return math.hypot(down * view.pixels[0], across * view.pixels[1]) <= APART


_MASKS = tuple(f"_mask_{bone}" for bone in BONES)


def _ending(path: str) -> str:
    """Return the extension of a path, with both parts of ``.nii.gz``."""
    suffixes = Path(path).suffixes
    return "".join(suffixes[-2:]) if path.lower().endswith(".nii.gz") else "".join(suffixes[-1:])


def _stem(path: str) -> str:
    return path.removesuffix(_ending(path))
