"""Results as DICOM: layers, synthetic radiographs, hands with an altered joint, segmentations.

``bundle.inference`` does not import this module: highdicom needs pydicom 3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from bundle.errors import InputError, flag
from bundle.inference.writers import SeparatedJoint, Writer
from bundle.io import LATERALITY, PREDICTED, JointFrame, bundle_version, is_dicom, read_header, read_stated
from bundle.io.dicom_report import measurement_report
from bundle.io.dicom_writing import MODEL, DicomStudy, dicom_bytes, write_dicom
from bundle.joint import LAYER_NAMES
from pydicom.dataset import Dataset
from torch import Tensor


class DicomResults(Writer):
    """Writer of DICOM results, one study per source radiograph.

    The files carry their creation date and time. With ``SOURCE_DATE_EPOCH`` set, the same results have the same bytes.

    Args:
        metadata: path of the bundle's metadata, for its version.
        keep_identity: whether results keep the patient and study of their DICOM radiograph; a switch, also as text.

    Raises:
        InputError: the metadata cannot be read, or ``keep_identity`` is not a switch. On writing: the identity is to be
            kept but the radiograph is not DICOM, or it is burned into the pixels and is not to be kept.
    """

    def __init__(self, metadata: str, keep_identity: bool | str = False) -> None:
        self.keep_identity = flag(keep_identity)
        self.version = bundle_version(metadata)
        self.moment = _stated_moment()

    @property
    def method(self) -> str:
        """Name and version of the algorithm."""
        return f"{MODEL} {self.version}"

    def check(self, joint: Mapping[str, Any]) -> None:
        """Refuse a joint whose radiograph does not permit DICOM results, before any computation.

        Raises:
            InputError: see :class:`bundle.io.dicom_writing.DicomStudy`; the message begins with the name of the joint.
        """
        try:
            DicomStudy(self.version, "", "", _header(str(joint.get("image", ""))), self.keep_identity, self.moment)
        except InputError as error:
            raise InputError(f"{joint['name']}: {error}") from error

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """Write ``<name>.dcm``, the radiograph, ``<name>_<layer>.dcm``, ``<name>_masks.dcm`` and ``<name>_report.dcm``.

        The report holds the measured joint space (:func:`bundle.io.dicom_report.measurement_report`).
        """
        joint, study, image = result.joint, self._study(result.joint), result.image
        spacing = (result.spacing_mm,) * 2
        frame = study.image(image[0].numpy(), spacing, _derived(joint, "the radiograph"), synthetic=False)
        made = {"": frame, "_masks": study.masks(image[1:].numpy() > 0.5, frame, _are_predicted(joint))}
        for number, (layer, kind) in enumerate(zip(result.layers.numpy(), LAYER_NAMES, strict=True), start=1):
            described = _derived(joint, f"{kind} layer, separated by {self.method} with {result.separator}")
            shown = layer.clip(0.0, 1.0)
            made[f"_{kind}"] = study.image(shown, spacing, described, synthetic=True, series=2, number=number)
        if result.row:
            made["_report"] = measurement_report(study, frame, result.row, self.method)
        files = {folder / f"{result.name}{ending}.dcm": part for ending, part in made.items()}
        for path, part in files.items():
            write_dicom(path, part)
        return list(files)

    def synthetic(
        self, joint: Mapping[str, Any], radiograph: Tensor, masks: Tensor, made: str, number: int, hand: Tensor | None
    ) -> dict[str, bytes]:
        """Return the files of a synthetic radiograph by ending: ``dcm``, ``masks.dcm`` and, for a hand, ``hand.dcm``.

        Args:
            joint: item of the source joint.
            radiograph: synthetic radiograph, (1, H, W).
            masks: its bone masks, (2, H, W).
            made: description of the synthesis, for Derivation Description.
            number: Instance Number in the series, from 1.
            hand: hand with the altered joint, (1, H, W); None for a joint without a hand.
        """
        study, spacing = self._study(joint), (float(joint["spacing"]),) * 2
        described = _derived(joint, f"bones moved by {self.method}: {made}")
        image = study.image(radiograph[0].numpy().clip(0.0, 1.0), spacing, described, True, series=3, number=number)
        masked = study.masks(masks.numpy() > 0.5, image, _are_predicted(joint))
        files = {"dcm": dicom_bytes(image), "masks.dcm": dicom_bytes(masked)}
        if hand is None:
            return files
        spacing = JointFrame.from_json(joint["frame"]).spacing
        whole = study.image(hand[0].numpy(), spacing, described, True, series=4, number=number)
        return {**files, "hand.dcm": dicom_bytes(whole)}

    def _study(self, joint: Mapping[str, Any]) -> DicomStudy:
        """Return the study of a joint's radiograph; without a file, its key is the name of the joint."""
        file = str(joint.get("file", ""))
        key = (joint.get("pixels") or read_stated(file).digest) if file else str(joint["name"])
        laterality = LATERALITY.get(str(joint["side"]), "")
        return DicomStudy(self.version, key, laterality, _header(file), self.keep_identity, self.moment)


def _stated_moment() -> datetime | None:
    """Return the creation time set by ``SOURCE_DATE_EPOCH`` (seconds, as in reproducible builds); None if unset.

    Raises:
        InputError: it is not a number.
    """
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stated.isdecimal():
        if not stated:
            return None
        msg = f"SOURCE_DATE_EPOCH is {stated!r}, not a number of seconds. Correct or unset it."
        raise InputError(msg)
    return datetime.fromtimestamp(int(stated), timezone.utc)


def _header(file: str) -> Dataset | None:
    """Return the header of a DICOM file; None for any other file."""
    if not file or not is_dicom(file):
        return None
    return read_header(file)


def _are_predicted(joint: Mapping[str, Any]) -> bool:
    return joint.get("masks") == PREDICTED


def _derived(joint: Mapping[str, Any], what: str) -> str:
    """Return a line for Derivation Description, which holds 1024 characters."""
    return f"{joint['name']}: {what}"[:1024]
