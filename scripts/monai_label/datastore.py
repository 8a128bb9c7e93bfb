"""The radiographs of a folder and their saved labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.interfaces.datastore import DefaultLabelTag
from torch import Tensor

from bundle.data.identity import private_name, safe_name
from bundle.data.loading import BONES
from bundle.data.reader import SUFFIXES, is_radiograph
from bundle.errors import InputError
from bundle.trust import TrustReference
from scripts.monai_label.answers import NOT_FOUND, answering
from scripts.monai_label.label_check import check_label
from scripts.monai_label.label_map import read_label_map
from scripts.monai_label.options import NAME, TAG, checked
from scripts.monai_label.view import CLICKS, JointView, radiograph_shape, view_of

EXTENSIONS = tuple(f"*{suffix}" for suffix in (*SUFFIXES, ".dcm", ".dicom", ".ima", ".nrrd", ".seg.nrrd"))
"""Names of radiographs and labels. DICOM files are known by what is in them, too."""

FIND = "take an id of GET /datastore/?output=all"

_log = logging.getLogger(__name__)


class JointDatastore(LocalDatastore):
    """MONAI Label's folder of images and labels, for radiographs in folders below it as well.

    MONAI Label's own one lists the top folder, knows DICOM files only by a setting, and calls an image by its file.
    Here an image is called by its path, or by a pseudonym where that holds a date, a UID or what its DICOM header says
    of the patient. Its extension in the datastore's file is the whole path, which begins with "/".

    Args:
        studies: the folder.
        reference: what labels are compared with before they are saved.
        auto_reload: whether files that come or go are noticed while the server runs, in the top folder.
        read_only: whether the folder is left alone.
    """

    def __init__(
        self, studies: str, reference: TrustReference, auto_reload: bool = False, read_only: bool = False
    ) -> None:
        self._reference = reference
        super().__init__(studies, extensions=EXTENSIONS, auto_reload=auto_reload, read_only=read_only)

    def view(self, image_id: str, clicks: Mapping[str, Any] | None = None) -> JointView:
        """The joint of an image, where the clicks say or else those that were saved with its label.

        Raises:
            InputError: as :func:`scripts.monai_label.view.view_of`.
        """
        return view_of(self.get_image_uri(image_id), {**self.clicks(image_id), **(clicks or {})})

    def clicks(self, image_id: str) -> dict[str, Any]:
        """What was saved with an image's label of where its joint is."""
        info = self._label_info(image_id)
        return {key: info[key] for key in CLICKS if info.get(key)}

    def masks(self, image_id: str, shape: tuple[int, int]) -> Tensor | None:
        """The saved masks (2, H, W) of an image, of 0 and 1; None where no label is saved.

        Raises:
            InputError: the label is none of a radiograph of this shape.
        """
        path = self.get_label_uri(image_id, DefaultLabelTag.FINAL)
        return read_label_map(path, shape, self._label_info(image_id)) if path else None

    def _label_info(self, image_id: str) -> dict[str, Any]:
        """What a client or inference saved with a label."""
        info = self.get_label_info(image_id, DefaultLabelTag.FINAL)
        return {**info.get("params", {}), **info}

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save a label map if it fits its image.

        Raises:
            HTTPException: there is no such image, the tag is no name, or the file is no label map of the image.
        """
        with answering(self.get_image_uri(image_id), image_id):
            checked({"tag": label_tag}, {"tag": TAG})
            if image_id not in self.list_images():
                msg = f"expected an image of the studies folder, got {image_id!r}: {FIND}"
                raise InputError(msg)
            self._check(image_id, label_filename, label_info)
        label_id: str = super().save_label(image_id, label_filename, label_tag, label_info)
        return label_id

    def _check(self, image_id: str, path: str, label_info: Mapping[str, Any]) -> None:
        """Refuse a label map that does not fit its image, or does not lie on its bones."""
        info = {**label_info.get("params", {}), **label_info}
        masks = read_label_map(path, radiograph_shape(self.get_image_uri(image_id)), info)
        self.check(image_id, masks, info)

    def check(self, image_id: str, masks: Tensor, info: Mapping[str, Any] | None = None) -> None:
        """Refuse masks (2, H, W) of an image that inference would not trust.

        Args:
            image_id: of the image.
            masks: of the radiograph.
            info: what comes with the label; what is saved with it where None.

        Raises:
            InputError: as :func:`scripts.monai_label.label_check.check_label`.
        """
        known = self._label_info(image_id) if info is None else info
        view = self.view(image_id, {key: known[key] for key in CLICKS if known.get(key)})
        check_label(view, masks, image_id, self._reference, bool(known.get("unusual")))

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add a radiograph to the top folder.

        Raises:
            HTTPException: the id is no name or is taken, or the file is no radiograph.
        """
        with answering(image_filename, image_id):
            checked({"image": image_id}, {"image": NAME})
            if image_id in self.list_images() or not self._is_free(image_id, image_filename):
                msg = f"expected a new id, got {image_id!r}: choose another one, or delete that image"
                raise InputError(msg)
            if not is_radiograph(image_filename):
                msg = f"expected a radiograph, got {image_id}: send DICOM, or one of {', '.join(SUFFIXES)}"
                raise InputError(msg)
            radiograph_shape(image_filename)
        added: str = super().add_image(image_id, image_filename, image_info)
        return added

    def _is_free(self, image_id: str, image_filename: str) -> bool:
        """Whether an image of this id would replace no file and is listed."""
        path = Path(self._datastore_path, self._filename(image_id, self._to_id(Path(image_filename).name)[1]))
        return not path.exists() and not image_id.endswith(_MASKS)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP archive of the images that have a label.

        Raises:
            HTTPException: there is none.
        """
        if not self.datalist():
            raise HTTPException(NOT_FOUND, "expected images with a label, got none: save a label first")
        archive: str = super().get_dataset_archive(limit_cases)
        return archive

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What is known of an image, without its path."""
        info: dict[str, Any] = super().get_image_info(image_id)
        return {key: value for key, value in info.items() if key != "path"}

    def json(self) -> dict[str, Any]:
        """The datastore's file, without paths."""
        found: dict[str, Any] = super().json()
        for image in (entry["image"] for entry in found["objects"].values()):
            image["ext"] = _ending(image["ext"])
        return found

    def _filename(self, id: str, ext: str) -> str:
        return ext[1:] if ext.startswith("/") else f"{id}{ext}"

    def _add_non_existing_images(self) -> int:
        """Add the radiographs that are new in the folder; how many there are."""
        self._init_from_datastore_file()
        objects = self._datastore.objects
        known = {self._filename(image_id, entry.image.ext) for image_id, entry in objects.items()}
        return sum(self._add(path) for path in self._radiographs() if path not in known)

    def _add(self, path: str) -> bool:
        """Add a radiograph; whether its id was free."""
        image_id = private_name(safe_name(_stem(path).replace("/", "__")), Path(self._datastore_path, path))
        if image_id in self._datastore.objects:
            _log.warning(f"Left out a second radiograph {image_id}: rename one of the files of this name")
            return False
        info = {"name": f"{image_id}{_ending(path) or '.dcm'}"}
        self._datastore.objects[image_id] = ImageLabelModel(image=DataModel(info=info, ext=f"/{path}"))
        return True

    def _radiographs(self) -> list[str]:
        """Paths of the radiographs below the folder, relative to it; labels, masks and hidden files are none."""
        root = Path(self._datastore_path)
        labels = Path(self._datastore.label_path(None))
        files = [path for path in root.rglob("*") if path.is_file() and labels not in path.parents]
        shown = [
            path.relative_to(root) for path in files if not path.name.removesuffix(_ending(path.name)).endswith(_MASKS)
        ]
        shown = [path for path in shown if not any(part.startswith(".") for part in path.parts)]
        return sorted(path.as_posix() for path in shown if is_radiograph(root / path))


_MASKS = tuple(f"_mask_{bone}" for bone in BONES)


def _ending(path: str) -> str:
    """The extension of a path, with both parts of ``.nii.gz``."""
    suffixes = Path(path).suffixes
    return "".join(suffixes[-2:]) if path.lower().endswith(".nii.gz") else "".join(suffixes[-1:])


def _stem(path: str) -> str:
    return path.removesuffix(_ending(path))
