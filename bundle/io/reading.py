"""Radiographs and bone masks from DICOM, PNG, JPEG, BMP, TIFF and 2D NIfTI files, checked before use.

A radiograph is intensity in [0, 1], linear in the absorbed fraction, bone bright. Grey files of 8 or 16 bits are
divided by their full scale; a NIfTI or float TIFF file holds the intensity itself. Values of 10 to 15 bits in a 16-bit
file are rejected because their full scale is unknown; a DICOM file states it (:mod:`bundle.io.dicom`). NIfTI arrays are
in (x, y) order, as in MONAI and nibabel, and are transposed to rows and columns.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io.dicom import is_dicom, read_dicom
from bundle.io.intact import check_intact
from bundle.io.jpeg import check_jpeg
from bundle.io.jpeg_seams import check_seams
from bundle.io.nifti import is_nifti, nifti_channels, nifti_values, open_nifti, stated_nifti
from bundle.io.stated import StatedRadiograph, bytes_of, stated, unreadable
from bundle.joint import LAYER_NAMES
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

FULL_FRAME = 0.95
"""Smallest fraction of the frame at which a mask counts as covering it."""
GREY_TOLERANCE = 2
"""Largest difference between the colour channels of an image that counts as grey, in levels of 255."""

PICTURE_FORMATS = ("PNG", "JPEG", "BMP", "TIFF")
"""Formats that Pillow may open; its other decoders start programs or are untested on radiographs."""

_CONVERT = "Convert it to 8-bit grey, or to float NIfTI in [0, 1], linear in the absorbed fraction, bone bright."
_BITS_PER_SAMPLE = 258  # TIFF tag
_ORIENTATION = 274  # EXIF and TIFF tag
_TRANSPOSED = (5, 6, 7, 8)  # orientations that exchange rows and columns


def read_radiograph(path: str | Path) -> NDArray[np.float32]:
    """Read the intensity of one radiograph.

    Returns:
        float32 array (H, W) in [0, 1].

    Raises:
        InputError: the file is unreadable, truncated, coloured or not two-dimensional, its full scale is unknown, or
            its values are not finite or not in [0, 1].
    """
    return read_stated(path).intensity


def read_stated(path: str | Path) -> StatedRadiograph:
    """Read a radiograph with the properties that its file states; raises as :func:`read_radiograph`."""
    if is_dicom(path):
        found = read_dicom(path)
        return stated(found.intensity, found.spacing, found.ratio, found.laterality, found.modality)
    if is_nifti(path):
        image = open_nifti(path)
        return stated_nifti(_in_unit_range(nifti_values(image, path), path), image)
    pixels, scale, ratio = _decoded(bytes_of(path), path)
    return stated(_intensity(pixels, scale, path), None, ratio)


def exif_orientation(path: str | Path) -> int:
    """Read the EXIF orientation of a PNG, JPEG or TIFF file, 1 to 8; 1 for other files and without a valid one."""
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as picture:
            found = picture.getexif().get(_ORIENTATION)
    except Exception:  # a broken file raises almost any error; the radiograph itself is refused on reading
        return 1
    return int(found) if found in range(1, 9) else 1


def decode_picture(data: bytes, path: str | Path) -> NDArray[np.float32]:
    """Decode the intensity of a PNG, JPEG, BMP or TIFF file from its bytes.

    Args:
        data: content of the file.
        path: path of the file, for messages.

    Raises:
        InputError: as :func:`read_radiograph`.
    """
    pixels, scale, _ = _decoded(data, path)
    return _intensity(pixels, scale, path)


def _intensity(pixels: NDArray[np.float32], scale: float, path: str | Path) -> NDArray[np.float32]:
    """Intensity of grey values."""
    top = float(pixels.max())
    if scale > 255 and top <= scale / 2:
        msg = (
            f"{path}: a 16-bit file with values up to {top:g}, so its full scale is unknown. Rescale the values to 0 "
            f"to 65535. {_CONVERT}"
        )
        raise InputError(msg)
    return _in_unit_range(pixels / np.float32(scale), path)


def read_mask(path: str | Path) -> NDArray[np.bool_]:
    """Read one bone mask: pixels above half of the full scale (1, 255 or 65535) are bone.

    The threshold restores a mask that JPEG compression has made multi-valued.

    Returns:
        bool array (H, W), neither empty nor covering the frame.

    Raises:
        InputError: the file is unreadable, truncated or coloured, or the mask is empty, covers the frame, or has
            values that are neither 0 and 1 nor 0 and full scale.
    """
    values, scale = (
        (nifti_values(open_nifti(path), path), 1.0)
        if is_nifti(path)
        else _decoded(bytes_of(path), path, seams=False)[:2]
    )
    scale = max(scale, 255.0)
    if not np.isfinite(values).all():
        msg = f"{path}: the mask has NaN or infinite values. Write the mask again as 0 and 1."
        raise InputError(msg)
    top = float(values.max())
    full = 1.0 if top <= 1.0 else scale
    if full / 2 >= top > 1.0:
        msg = (
            f"{path}: the mask has values up to {top:g}, neither 0 and 1 nor 0 and {scale:g}. Write each bone's mask "
            "to its own file."
        )
        raise InputError(msg)
    mask = values > full / 2
    check_area(mask, path)
    return mask


def layer_files(folder: str | Path, name: str) -> list[Path]:
    """List the files of a joint's layers: ``<name>_layers.nii.gz``, or where that is absent one PNG per layer.

    Raises:
        InputError: both are missing.
    """
    whole = Path(folder) / f"{name}_layers.nii.gz"
    single = [Path(folder) / f"{name}_{layer}.png" for layer in LAYER_NAMES]
    if whole.is_file():
        return [whole]
    absent = [path.name for path in single if not path.is_file()]
    if absent:
        msg = (
            f"{folder}: no layers of {name}, neither {whole.name} nor {', '.join(absent)}. Separate every joint of the "
            "exported list (run id exporting)."
        )
        raise InputError(msg)
    return single


def read_layers(folder: str | Path, name: str, shape: tuple[int, int]) -> Tensor:
    """Read layers as :func:`bundle.io.write_layers` or ``write_layer_images`` wrote them.

    Args:
        folder: folder of the files (:func:`layer_files`).
        name: name of the joint.
        shape: required height and width in pixels.

    Returns:
        float32 (3, H, W) in [0, 1]: soft tissue, lower bone, upper bone.

    Raises:
        InputError: a file is missing or unreadable, or its shape or values are wrong.
    """
    paths = layer_files(folder, name)
    whole = len(paths) == 1
    values = [*nifti_channels(paths[0], len(LAYER_NAMES))[0]] if whole else [read_radiograph(path) for path in paths]
    for layer, path in zip(values, paths * (len(values) // len(paths)), strict=True):
        if layer.shape != shape:
            msg = f"{path}: layers of {shape_of(layer)} pixels, not {shape[1]} x {shape[0]}. Separate the joint again."
            raise InputError(msg)
    return torch.from_numpy(np.stack([_in_unit_range(layer, paths[0]) for layer in values]))


def shape_of(array: NDArray[Any]) -> str:
    """Format the width and height of an image (H, W) for a message."""
    return f"{array.shape[1]} x {array.shape[0]}"


def check_area(mask: NDArray[np.bool_], path: str | Path) -> None:
    """Reject a mask (H, W) that is empty or covers the frame."""
    if not mask.any():
        msg = f"{path}: the mask is empty. Draw the bone, or remove the entry from the list."
        raise InputError(msg)
    share = float(mask.mean())
    if share >= FULL_FRAME:
        msg = f"{path}: the mask covers {share:.0%} of the frame. Draw the outline of the bone."
        raise InputError(msg)


def _in_unit_range(values: NDArray[np.float32], path: str | Path) -> NDArray[np.float32]:
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        msg = f"{path}: {count} NaN or infinite pixels. Fill or crop them."
        raise InputError(msg)
    low, high = float(values.min()), float(values.max())
    if low < -1e-6 or high > 1.0 + 1e-6:
        msg = f"{path}: intensities from {low:g} to {high:g}, outside [0, 1]. {_CONVERT}"
        raise InputError(msg)
    return values.clip(0.0, 1.0)


def _decoded(data: bytes, path: str | Path, seams: bool = True) -> tuple[NDArray[np.float32], float, float]:
    """Grey values float32 (H, W), full scale and pixel aspect ratio of a PNG, JPEG, BMP or TIFF file.

    ``seams`` checks the pixels of a JPEG for seams between blocks: for radiographs only, as masks have edges along
    blocks.
    """
    try:
        with Image.open(io.BytesIO(data), formats=PICTURE_FORMATS) as picture:
            frames, bits, format_ = getattr(picture, "n_frames", 1), _bits(picture, data), picture.format
            check_intact(picture, data)
            upright, ratio = _upright(picture)
            if format_ == "JPEG":
                _check_jpeg(picture, data, seams)
    except Exception as error:  # a broken file raises almost any error: syntax, struct and decompression errors
        raise unreadable(path, error) from error
    if frames != 1:
        msg = f"{path}: {frames} images in one file. Write one file per radiograph or mask."
        raise InputError(msg)
    return (*_grey(upright, bits, path), ratio)


def _check_jpeg(picture: Image.Image, data: bytes, seams: bool) -> None:
    """Raise an error for a JPEG whose data, or with ``seams`` whose pixels, show damage."""
    unit = check_jpeg(data)
    if seams:
        check_seams(np.asarray(picture.convert("L"), np.float32), unit)


def _upright(picture: Image.Image) -> tuple[Image.Image, float]:
    """The image in its EXIF orientation, and its pixel aspect ratio there; Pillow reorients TIFF files itself."""
    transposed = picture.getexif().get(_ORIENTATION) in _TRANSPOSED
    picture.load()
    ratio = _ratio(picture.info)
    return ImageOps.exif_transpose(picture), 1.0 / ratio if transposed else ratio


def _ratio(info: Mapping[Any, Any]) -> float:
    """Height of a pixel divided by its width, from the stated resolutions in x and y; 1 without them.

    PNG, JFIF and TIFF also state resolutions without a unit.
    """
    stated = next((info[key] for key in ("aspect", "jfif_density", "dpi", "resolution") if key in info), (1.0, 1.0))
    x, y = (float(value) for value in stated)
    usable = math.isfinite(x) and math.isfinite(y) and x > 0.0 and y > 0.0
    return x / y if usable else 1.0


def _bits(picture: Image.Image, data: bytes) -> int:
    """Bits per sample in the file: Pillow silently reduces 16-bit colour to 8 bits."""
    if picture.format == "PNG":
        return data[24]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(_BITS_PER_SAMPLE, (1,)))  # type: ignore[attr-defined]
    return 8


def _grey(picture: Image.Image, bits: int, path: str | Path) -> tuple[NDArray[np.float32], float]:
    """Grey values and full scale of a decoded image; rejects colour, transparency and unknown modes."""
    if picture.mode == "F":
        return np.asarray(picture, dtype=np.float32), 1.0
    if picture.mode.startswith("I"):
        return np.asarray(picture, dtype=np.float32), 65535.0
    if picture.mode in ("1", "L") and bits <= 8:
        return np.asarray(picture.convert("L"), dtype=np.float32), 255.0
    if picture.mode not in ("P", "PA", "LA", "RGB", "RGBA") or bits > 8:
        msg = f"{path}: {bits}-bit samples in mode {picture.mode} are not supported. {_CONVERT}"
        raise InputError(msg)
    return _equal_channels(np.asarray(picture.convert("RGBA")), path), 255.0


def _equal_channels(pixels: NDArray[np.uint8], path: str | Path) -> NDArray[np.float32]:
    red, green, blue = (np.ascontiguousarray(pixels[..., channel], dtype=np.int16) for channel in range(3))
    alpha = pixels[..., 3]
    difference = max(int(np.abs(one - other).max()) for one, other in ((red, green), (green, blue), (blue, red)))
    if difference > GREY_TOLERANCE:
        msg = f"{path}: a colour image (channels differ by up to {difference} of 255). {_CONVERT}"
        raise InputError(msg)
    if int(alpha.min()) < 255:
        msg = f"{path}: transparent pixels. Remove the alpha channel."
        raise InputError(msg)
    return (red + green + blue).astype(np.float32) / np.float32(3.0)
