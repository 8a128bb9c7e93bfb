"""Bone masks as one label map, as MONAI Label and its clients exchange them.

A label map has one number per pixel, but the bones of a joint may overlap: their common pixels have a separate label.
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import nrrd
import numpy as np
import torch
from bundle.errors import InputError
from bundle.io import is_nifti, shape_of, write_bytes
from numpy.typing import NDArray
from PIL import Image
from scripts.monai_label.geometry import itk_affine
from scripts.monai_label.orientation import as_stored, upright
from torch import Tensor

LABELS = {"lower bone": 1, "upper bone": 2, "both bones": 3}
"""The labels; their bits are the bones."""

LARGEST = 2**28
"""Maximum size of an unpacked label map in bytes."""

_REMEDY = "Send a label map of the size of its radiograph: 1 for lower bone, 2 for upper bone, 3 for both."


def write_label_map(path: str | Path, masks: Tensor, image: str | Path, spacing: tuple[float, float] | None) -> None:
    """Write masks as an 8-bit NIfTI label map with the geometry of their radiograph.

    The label map has the order of pixels, position and spacing of the radiograph in ITK, which may differ from those
    of the separator.

    Args:
        path: path that ends with ``.nii.gz``.
        masks: masks of the lower and the upper bone, (2, H, W), 0 or 1.
        image: file of the radiograph.
        spacing: height and width of its pixels in mm if ITK does not read it; None means 1.

    Raises:
        InputError: the file cannot be written.
    """
    values = as_stored((masks[0] + 2 * masks[1]).to(torch.uint8).numpy(), image).T
    height, width = spacing or (1.0, 1.0)
    found, shape = itk_affine(image), (*values.shape, 1)
    affine = np.diag([-width, -height, 1.0, 1.0]) if found is None else found
    if is_nifti(image):
        source: Any = nib.load(image)
        affine, shape = source.affine if found is None else found, source.shape
    made = nib.Nifti1Image(values.reshape(shape), affine)
    made.header.set_xyzt_units("mm")
    write_bytes(path, gzip.compress(made.to_bytes(), mtime=0))


def read_label_map(
    path: str | Path, shape: tuple[int, int], image: str | Path, info: Mapping[str, Any] | None = None
) -> Tensor:
    """Read the masks of a label map: PNG, NIfTI or NRRD.

    Args:
        path: path of the file.
        shape: height and width of the radiograph.
        image: file of the radiograph, whose EXIF orientation the label map does not have applied.
        info: info saved with the label. Its ``label_info``, a list of ``{"name": ..., "idx": ...}``, gives the number
            of each label if a client renumbers them, as 3D Slicer does.

    Returns:
        Masks of the lower and the upper bone, float32 (2, H, W), 0 or 1.

    Raises:
        InputError: the file cannot be read, has another size, or a number that is not a label.
    """
    values, named = _values(path)
    values = upright(values, image)
    if values.shape != shape:
        msg = f"The label map has {shape_of(values)} pixels, the radiograph {shape[1]} x {shape[0]}. {_REMEDY}"
        raise InputError(msg)
    meaning = {label: label for label in LABELS.values()} if named else _meaning(values, (info or {}).get("label_info"))
    unknown = sorted(set(np.unique(values).tolist()) - {0, *meaning})
    if unknown:
        msg = f"The label map contains {unknown[:8]}, not only 0 and {sorted(meaning)}. {_REMEDY}"
        raise InputError(msg)
    bones = [np.isin(values, [number for number, label in meaning.items() if label & bit]) for bit in (1, 2)]
    return torch.from_numpy(np.stack(bones).astype(np.float32))


def _meaning(values: NDArray[Any], label_info: Iterable[Mapping[str, Any]] | None) -> dict[int, int]:
    """Return the label of :data:`LABELS` of each number in a label map, by the names of its segments if any."""
    if not label_info:
        return {label: label for label in LABELS.values()}
    marked = set(np.unique(values).tolist())
    names = {int(entry["idx"]): str(entry["name"]) for entry in label_info}
    for foreign in (name for number, name in names.items() if number in marked and name not in LABELS):
        raise _foreign(foreign)
    return {number: LABELS[name] for number, name in names.items() if name in LABELS}


def _foreign(name: Any) -> InputError:
    return InputError(f"The segment {name!r} is unknown. Name the segments {', '.join(LABELS)}. {_REMEDY}")


def _values(path: str | Path) -> tuple[NDArray[Any], bool]:
    """Return the numbers of a label map, (H, W), and whether its file names them by :data:`LABELS`."""
    try:
        values, header = _read(str(path))
    except Exception as error:  # a broken file raises almost any error: zlib, header, value, OS errors
        msg = f"The label map cannot be read. Use PNG, NIfTI or NRRD. {_REMEDY}"
        raise InputError(msg) from error
    named = "Segment0_Name" in header
    values = _by_name(values, header) if named else values
    while values.ndim > 2 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 2:
        msg = f"The label map has the shape {values.shape}, not two dimensions. {_REMEDY}"
        raise InputError(msg)
    return (values if _is_picture(path) else values.T), named


def _by_name(values: NDArray[Any], header: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Combine the segments of 3D Slicer, which may overlap: values (W, H, 1), or (layers, W, H, 1)."""
    layers = values if values.ndim == 4 else values[None]
    made = np.zeros(layers.shape[1:], np.uint8)
    for index in range(len(header)):
        if f"Segment{index}_Name" not in header:
            break
        name, layer, number = (header.get(f"Segment{index}_{key}", 0) for key in ("Name", "Layer", "LabelValue"))
        marked = layers[int(layer)] == int(number)
        if name not in LABELS and marked.any():
            raise _foreign(name)
        made[marked] |= LABELS.get(name, 0)
    return made


def _is_picture(path: str | Path) -> bool:
    """Whether a label map is a PNG, whose rows come first, by its name."""
    return str(path).lower().endswith(".png")


def _read(path: str) -> tuple[NDArray[Any], Mapping[str, Any]]:
    """Return the array of a regular file, and the header of an NRRD file, without other files or decoders."""
    if not Path(path).is_file():
        raise FileNotFoundError
    if _is_picture(path):
        with Image.open(path, formats=("PNG",)) as picture:
            return np.asarray(picture), {}
    if path.lower().endswith(".nrrd"):
        return _read_nrrd(path)
    if not is_nifti(path):
        raise ValueError
    data = Path(path).read_bytes()
    content = _unpacked(data) if path.lower().endswith(".gz") else data
    return np.asarray(nib.Nifti1Image.from_bytes(content).dataobj), {}


def _read_nrrd(path: str) -> tuple[NDArray[Any], Mapping[str, Any]]:
    """Return array and header of an NRRD file that holds both; a detached header could name any file."""
    with Path(path).open("rb") as file:
        header = nrrd.read_header(file)
        if {"data file", "datafile"} & set(header) or math.prod(map(int, header["sizes"])) > LARGEST:
            raise ValueError
        return np.asarray(nrrd.read_data(header, file, path)), header


def _unpacked(data: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError
    return content
