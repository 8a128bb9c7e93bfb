"""DICOM radiographs (CR, DX, secondary capture) as intensity: linear in the absorbed fraction, bone bright.

Stored values pass the standard's pipeline (PS3.4 N.2): modality LUT or rescale, VOI LUT or window, presentation LUT,
polarity; then the response of the detector is inverted. Nothing is guessed: a missing spacing is None, and a file that
is not a single grey projection is rejected.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from bundle.errors import InputError
from bundle.io.dicom_pixels import by_detector, not_padding, presented, within
from bundle.io.files import stored
from bundle.io.jpeg import check_jpeg
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import JPEGBaseline8Bit, JPEGExtended12Bit

try:
    from pydicom.encaps import generate_frames

    _frames: Any = partial(generate_frames, number_of_frames=1)
except ImportError:  # pydicom before 3
    from pydicom.encaps import generate_pixel_data_frame

    _frames = partial(generate_pixel_data_frame, nr_frames=1)

RADIOGRAPHS = {
    "1.2.840.10008.5.1.4.1.1.1": "CR",
    "1.2.840.10008.5.1.4.1.1.1.1": "DX for presentation",
    "1.2.840.10008.5.1.4.1.1.1.1.1": "DX for processing",
    "1.2.840.10008.5.1.4.1.1.7": "secondary capture",
    "1.2.840.10008.5.1.4.1.1.7.2": "multi-frame grey secondary capture, 8 bit",
    "1.2.840.10008.5.1.4.1.1.7.3": "multi-frame grey secondary capture, 16 bit",
}
"""Supported kinds of files by their SOP Class UID."""

MODALITIES = ("CR", "DX", "RG", "OT", "SC", "")
"""Accepted modalities: those of radiographs, and those that secondary captures of radiographs may state."""

_HUFFMAN_JPEG = (JPEGBaseline8Bit, JPEGExtended12Bit)


@dataclass(frozen=True)
class DicomRadiograph:
    """Radiograph of a DICOM file.

    Attributes:
        intensity: float32 (H, W) in [0, 1], linear in the absorbed fraction, bone bright; 0 where not valid.
        valid: bool (H, W): neither padding nor outside the shutter or the collimator.
        spacing: height and width of a pixel in mm; None if unknown.
        laterality: "L", "R" or "".
        modality: modality of the file, such as "CR" or "DX".
        ratio: height of a pixel divided by its width, from the Pixel Aspect Ratio; 1 without one.
    """

    intensity: NDArray[np.float32]
    valid: NDArray[np.bool_]
    spacing: tuple[float, float] | None
    laterality: str
    modality: str
    ratio: float = 1.0


def is_dicom(path: str | Path) -> bool:
    """Whether a file is DICOM by its name or by the prefix after its preamble."""
    if str(path).lower().endswith((".dcm", ".dicom", ".ima")):
        return True
    try:
        return stored(path).head(132)[128:] == b"DICM"
    except (OSError, InputError):  # missing or damaged: reported on reading
        return False


def read_header(path: str | Path) -> Dataset:
    """Read the header of a DICOM file; values that violate the standard are kept, without a warning.

    Raises:
        Exception: of almost any type, for a damaged header.
    """
    with disable_value_validation(), stored(path).open() as file:
        return pydicom.dcmread(file, stop_before_pixels=True)


def read_dicom(path: str | Path) -> DicomRadiograph:
    """Read a DICOM radiograph.

    Raises:
        InputError: the file is missing, truncated, not DICOM, or not a CR, DX or secondary capture; it has several
            frames, colour, no pixels, pixels that cannot be decoded, or contradictory attributes.
    """
    with disable_value_validation():  # its warnings would quote the values
        dataset = _read(path)
        try:
            return _radiograph(dataset, path)
        except InputError:
            raise
        except Exception as error:  # damaged attributes raise almost any error in pydicom, NumPy and scikit-image
            msg = (
                f"{path}: an invalid look-up table, window, padding, shutter, collimator or spacing "
                f"({_reason(error)}). Export it again."
            )
            raise InputError(msg) from error


def _radiograph(dataset: Dataset, path: str | Path) -> DicomRadiograph:
    _check_kind(dataset, path)
    stored = _pixels(dataset, path)
    valid = not_padding(dataset, stored)
    for what in ("Shutter", "Collimator"):
        valid &= within(dataset, stored.shape, what)
    if not valid.any():
        msg = f"{path}: the image is all padding, shutter or collimator. Check these attributes."
        raise InputError(msg)
    shown = presented(dataset, stored, valid)
    intensity = np.where(valid, by_detector(dataset, shown), 0.0).astype(np.float32)
    described = pixel_spacing(dataset, path), _laterality(dataset), str(dataset.get("Modality", ""))
    return DicomRadiograph(intensity, valid, *described, _aspect(dataset, path))


def pixel_spacing(dataset: Dataset, path: str | Path) -> tuple[float, float] | None:
    """Determine the height and width of a pixel in mm in the object plane; None if the file does not state them.

    A calibrated Pixel Spacing takes precedence; one that only repeats the Imager Pixel Spacing is not calibrated unless
    it states a Calibration Type. The Imager Pixel Spacing, at the detector, is divided by the magnification factor if
    that is stated.

    Raises:
        InputError: the value of an attribute is not a spacing.
    """
    imager = _lengths(dataset, "ImagerPixelSpacing", path)
    calibrated = _lengths(dataset, "PixelSpacing", path)
    if calibrated and (calibrated != imager or dataset.get("PixelSpacingCalibrationType")):
        return calibrated
    found = imager or _lengths(dataset, "NominalScannedPixelSpacing", path)
    magnification = _number(dataset, "EstimatedRadiographicMagnificationFactor", path) or 1.0
    return (found[0] / magnification, found[1] / magnification) if found else None


# ---- the file ------------------------------------------------------------------------------------------------------


def _read(path: str | Path) -> Dataset:
    try:
        with stored(path).open() as file:
            return pydicom.dcmread(file)
    except InputError:
        raise
    except InvalidDicomError as error:
        msg = f"{path}: the DICOM header is missing. Export it again."
        raise InputError(msg) from error
    except FileNotFoundError as error:
        msg = f"{path}: no such file. Correct the path."
        raise InputError(msg) from error
    except Exception as error:  # a broken file raises almost any error: EOF, struct, value, OS errors
        raise _unreadable(path, error) from error


def _unreadable(path: str | Path, error: Exception) -> InputError:
    return InputError(f"{path}: the DICOM file cannot be read ({_reason(error)}). Export it again.")


def _reason(error: Exception) -> str:
    """First line of a library's message, without values that it quotes."""
    return re.sub(r"'[^']*'|\"[^\"]*\"", "text", (str(error) or type(error).__name__).splitlines()[0])


def _check_kind(dataset: Dataset, path: str | Path) -> None:
    """Reject a file that is not a single grey projection; the message names the attribute."""
    kind, modality = str(dataset.get("SOPClassUID", "")), str(dataset.get("Modality", "") or "")
    frames, samples = str(dataset.get("NumberOfFrames") or 1), str(dataset.get("SamplesPerPixel") or 1)
    colours = str(dataset.get("PhotometricInterpretation", ""))
    name = pydicom.uid.UID(kind).name if kind else "none"
    checks = [
        (kind in RADIOGRAPHS, "SOP Class UID", "a radiograph (CR, DX or secondary capture)", name),
        (modality in MODALITIES, "Modality", "a radiograph (CR or DX)", modality),
        (frames == "1", "Number of Frames", "one image", frames),
        (samples == "1", "Samples per Pixel", "a grey image", f"{samples} ({colours})"),
        (colours in ("MONOCHROME1", "MONOCHROME2"), "Photometric Interpretation", "a grey image", colours or "none"),
        ("PixelData" in dataset, "Pixel Data", "pixels", "none"),
    ]
    polarity = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}.get(colours, "")
    shape, bits = str(dataset.get("PresentationLUTShape") or polarity), str(dataset.get("BitsAllocated"))
    checks += [
        (shape == polarity, "Presentation LUT Shape", f"{polarity} with Photometric Interpretation {colours}", shape),
        (bits in ("8", "16", "32"), "Bits Allocated", "pixels of 8, 16 or 32 bits", bits),
    ]
    for good, attribute, expected, found in checks:
        if not good:
            msg = f"{path}: {attribute} {found}, not {expected}. Export a single grey radiograph."
            raise InputError(msg)


def _pixels(dataset: Dataset, path: str | Path) -> NDArray[Any]:
    """Stored values (H, W)."""
    syntax = dataset.file_meta.TransferSyntaxUID if "TransferSyntaxUID" in dataset.file_meta else None
    if syntax is None:
        msg = f"{path}: no Transfer Syntax UID, so the encoding of the pixels is unknown. Export it again."
        raise InputError(msg)
    try:
        if syntax in _HUFFMAN_JPEG:
            check_jpeg(next(_frames(dataset.PixelData)))
        return np.asarray(dataset.pixel_array)
    except NotImplementedError as error:
        msg = f"{path}: the Transfer Syntax {syntax.name} cannot be decoded. Export it uncompressed."
        raise InputError(msg) from error
    except Exception as error:  # decoders raise what they like
        raise _broken_pixels(path, syntax.name, error) from error


def _broken_pixels(path: str | Path, syntax: str, error: Exception) -> InputError:
    return InputError(
        f"{path}: the Pixel Data ({syntax}) cannot be decoded ({_reason(error)}). Export it again, uncompressed if the "
        "original is intact."
    )


# ---- attributes ----------------------------------------------------------------------------------------------------


def _laterality(dataset: Dataset) -> str:
    found = str(dataset.get("ImageLaterality") or dataset.get("Laterality") or "").upper()
    return found if found in ("L", "R") else ""


def _lengths(dataset: Dataset, attribute: str, path: str | Path) -> tuple[float, float] | None:
    value = dataset.get(attribute)
    if value is None or value == "":
        return None
    lengths = tuple(float(length) for length in value)
    if len(lengths) != 2 or not all(math.isfinite(length) and length > 0 for length in lengths):
        msg = f"{path}: {attribute} {value} is not two lengths above 0. Correct or remove it."
        raise InputError(msg)
    return lengths[0], lengths[1]


def _aspect(dataset: Dataset, path: str | Path) -> float:
    """Height of a pixel divided by its width, from the Pixel Aspect Ratio."""
    vertical, horizontal = _lengths(dataset, "PixelAspectRatio", path) or (1.0, 1.0)
    return vertical / horizontal


def _number(dataset: Dataset, attribute: str, path: str | Path) -> float | None:
    value = dataset.get(attribute)
    if value is None or value == "":
        return None
    if not math.isfinite(float(value)) or float(value) <= 0:
        msg = f"{path}: {attribute} {value} is not a number above 0. Correct or remove it."
        raise InputError(msg)
    return float(value)
