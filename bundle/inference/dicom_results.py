"""Results as DICOM files beside the others: layers, synthetic radiographs, hands with a changed joint, masks.

Not imported by ``bundle.inference``: highdicom needs pydicom 3.
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
from bundle.io.dicom_writing import MODEL, DicomStudy, dicom_bytes, write_dicom
from bundle.joint import LAYER_NAMES
from pydicom.dataset import Dataset
from torch import Tensor


class DicomResults(Writer):
    """Writes the results of joints as DICOM, a study for each radiograph that they come from.

    Files say when they were made; where ``SOURCE_DATE_EPOCH`` says it, the same results are the same bytes.

    Args:
        metadata: file of the bundle's metadata, for its version.
        keep_identity: whether results belong to the patient and study of their DICOM radiograph; true or false as text
            is understood.

    Raises:
        InputError: the metadata cannot be read, or ``keep_identity`` is no switch; on writing, if identity is to be
            kept of another kind of file, or is burned into the pixels and not to be kept.
    """

    def __init__(self, metadata: str, keep_identity: bool | str = False) -> None:
        self.keep_identity = flag(keep_identity)
        self.version = bundle_version(metadata)
        self.moment = _stated_moment()

    @property
    def method(self) -> str:
        """What makes the results, with its version."""
        return f"{MODEL} {self.version}"

    def check(self, joint: Mapping[str, Any]) -> None:
        """Refuse a joint whose radiograph allows no results as DICOM, before anything is computed.

        Raises:
            InputError: as of :class:`bundle.io.dicom_writing.DicomStudy`, with the name of the joint.
        """
        try:
            DicomStudy(self.version, "", "", _header(str(joint.get("image", ""))), self.keep_identity, self.moment)
        except InputError as error:
            raise InputError(f"{joint['name']}: {error}") from error

    def write(self, folder: Path, result: SeparatedJoint) -> Sequence[Path]:
        """Write ``<name>.dcm``, the radiograph, ``<name>_<layer>.dcm`` and ``<name>_masks.dcm``."""
        joint, study, image = result.joint, self._study(result.joint), result.image
        spacing = (result.spacing_mm,) * 2
        frame = study.image(image[0].numpy(), spacing, _derived(joint, "the radiograph"), synthetic=False)
        made = {"": frame, "_masks": study.masks(image[1:].numpy() > 0.5, frame, _is_drawn(joint))}
        for number, (layer, kind) in enumerate(zip(result.layers.numpy(), LAYER_NAMES, strict=True), start=1):
            described = _derived(joint, f"{kind} layer, separated by {self.method} with {result.separator}")
            shown = layer.clip(0.0, 1.0)
            made[f"_{kind}"] = study.image(shown, spacing, described, synthetic=True, series=2, number=number)
        files = {folder / f"{result.name}{ending}.dcm": part for ending, part in made.items()}
        for path, part in files.items():
            write_dicom(path, part)
        return list(files)

    def synthetic(
        self, joint: Mapping[str, Any], radiograph: Tensor, masks: Tensor, made: str, number: int, hand: Tensor | None
    ) -> dict[str, bytes]:
        """The files of a synthetic radiograph by their endings: ``dcm``, ``masks.dcm`` and of a hand ``hand.dcm``.

        Args:
            joint: the item that its source was loaded from.
            radiograph: the synthetic one, (1, H, W).
            masks: its bones, (2, H, W).
            made: how, for the derivation description.
            number: of the instance in its series, from 1.
            hand: the hand (1, H, W) with the changed joint; None of a joint that is no part of one.
        """
        study, spacing = self._study(joint), (float(joint["spacing"]),) * 2
        described = _derived(joint, f"bones moved by {self.method}: {made}")
        image = study.image(radiograph[0].numpy().clip(0.0, 1.0), spacing, described, True, series=3, number=number)
        masked = study.masks(masks.numpy() > 0.5, image, _is_drawn(joint))
        files = {"dcm": dicom_bytes(image), "masks.dcm": dicom_bytes(masked)}
        if hand is None:
            return files
        spacing = JointFrame.from_json(joint["frame"]).spacing
        whole = study.image(hand[0].numpy(), spacing, described, True, series=4, number=number)
        return {**files, "hand.dcm": dicom_bytes(whole)}

    def _study(self, joint: Mapping[str, Any]) -> DicomStudy:
        """The study of a joint's radiograph; that of one that lies in no file is its name's."""
        file = str(joint.get("file", ""))
        key = (joint.get("pixels") or read_stated(file).digest) if file else str(joint["name"])
        laterality = LATERALITY.get(str(joint["side"]), "")
        return DicomStudy(self.version, key, laterality, _header(file), self.keep_identity, self.moment)


def _stated_moment() -> datetime | None:
    """What ``SOURCE_DATE_EPOCH``, in seconds, says of the time, as in reproducible builds; None where it says nothing.

    Raises:
        InputError: it is no number.
    """
    stated = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not stated.isdecimal():
        if not stated:
            return None
        msg = f"expected a number of seconds in SOURCE_DATE_EPOCH, got {stated!r}: mend or unset it"
        raise InputError(msg)
    return datetime.fromtimestamp(int(stated), timezone.utc)


def _header(file: str) -> Dataset | None:
    """What a DICOM file says besides its pixels."""
    if not file or not is_dicom(file):
        return None
    return read_header(file)


def _is_drawn(joint: Mapping[str, Any]) -> bool:
    return joint.get("masks") == PREDICTED


def _derived(joint: Mapping[str, Any], what: str) -> str:
    """A line for Derivation Description, which has room for 1024 characters."""
    return f"{joint['name']}: {what}"[:1024]
