"""Results on disk: layers, images and masks, each file whole or not at all."""

from __future__ import annotations

import errno
import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from bundle.errors import InputError, chain
from bundle.io.stated import NO_SPACING
from bundle.joint import LAYER_NAMES
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

RESULT_ENDINGS = (
    ".nii.gz",
    "_layers.nii.gz",
    "_montage.png",
    *(f"_{layer}.png" for layer in LAYER_NAMES),
    *(f"_mask_{bone}.png" for bone in LAYER_NAMES[1:]),
    ".dcm",
    "_masks.dcm",
    *(f"_{layer}.dcm" for layer in LAYER_NAMES),
)
"""What follows a joint's name in the names of its files; no two joints may have a file in common."""
LONGEST_NAME = 200
"""Bytes of the longest name of a joint: file systems take 255 with all that precedes and follows it."""
PART = ".part"
"""Ending of a file that is still being written."""

_unfinished: list[Path] = []

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free space or choose another output folder",
    errno.EFBIG: "the file would be larger than is allowed here: choose another output folder",
    errno.ENOENT: "the folder is not there: create it or choose another one",
    errno.EDQUOT: "the quota is used up: free space or choose another output folder",
    errno.EACCES: "no permission to write: choose another output folder or change its rights",
    errno.EPERM: "no permission to write: choose another output folder or change its rights",
    errno.EROFS: "the file system is read-only: choose another output folder",
    errno.EEXIST: "a file is in the way: choose another output folder",
    errno.ENOTDIR: "a file is in the way: choose another output folder",
}


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Give a temporary file beside ``path`` to write to; it takes the place of ``path`` when the block succeeds.

    A block that fails or is killed leaves ``path`` as it was. The way to write a checkpoint::

        with replacing(path) as file:
            torch.save(state, file)

    Raises:
        InputError: the operating system refused (no permission, disk full), also where a library reports that by an
            exception of its own. The message names the folder and what to do.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    _unfinished.append(temporary)
    with storing(path):
        try:
            with temporary.open("wb") as file:
                yield file
            os.replace(temporary, path)
        except BaseException:
            _discard(temporary)
            raise
        finally:
            _unfinished.remove(temporary)


def discard_unfinished() -> None:
    """Remove the files that this process is writing, which a signal ends."""
    for temporary in list(_unfinished):
        _discard(temporary)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Tell what the operating system refuses while a file or folder is written in the words of :func:`replacing`."""
    try:
        yield
    except BaseException as error:
        refusal = next((link for link in chain(error) if isinstance(link, OSError)), None)
        if refusal is None:
            raise
        raise _not_written(path, refusal) from error


def _discard(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()


def _not_written(path: Path, error: OSError) -> InputError:
    remedy = _REMEDIES.get(error.errno or 0, "check the space left and the rights of that folder")
    return InputError(f"could not write {path.name} in {path.parent.absolute()} ({error}): {remedy}")


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file whole or not at all; raises as :func:`replacing`."""
    with replacing(path) as file:
        file.write(data)


def append_line(path: str | Path, line: str) -> None:
    """Append a line of text to a file.

    Raises:
        InputError: the operating system refused.
    """
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    except OSError as error:
        raise _not_written(Path(path), error) from error


def write_layers(path: str | Path, layers: Tensor | NDArray[Any], spacing: float) -> None:
    """Write layers as a float32 NIfTI-1 file.

    The array on disk has the shape (W, H, 1, C), x first and the layers last: nibabel reads it so, MONAI's
    ``LoadImage`` and ``EnsureChannelFirst`` give (C, W, H, 1), and viewers show C volumes of one slice. The affine is
    ``diag(-spacing, -spacing, 1, 1)`` in mm: in a viewer's axial plane x runs to the right and y down.

    Args:
        path: ends with ``.nii.gz``.
        layers: (C, H, W), finite.
        spacing: mm per pixel.

    Raises:
        InputError: the file cannot be written.
        ValueError: values that are not finite, or another shape or ending.
    """
    content = layers_bytes(layers, spacing)
    if not str(path).endswith(".nii.gz"):
        msg = f"expected a path ending with .nii.gz, got {path}"
        raise ValueError(msg)
    write_bytes(path, gzip.compress(content, compresslevel=6, mtime=0))


def layers_bytes(layers: Tensor | NDArray[Any], spacing: float | None) -> bytes:
    """Layers (C, H, W) as the NIfTI-1 file that :func:`write_layers` compresses.

    Args:
        layers: (C, H, W), finite.
        spacing: mm per pixel; None where it is not known, and the file then states no unit.

    Raises:
        ValueError: values that are not finite, or another shape.
    """
    length = spacing or 1.0
    values = _finite(layers, 3).transpose(2, 1, 0)[:, :, None, :]
    image = nib.Nifti1Image(values, np.diag([-length, -length, 1.0, 1.0]))
    if spacing is None:
        image.header["descrip"] = NO_SPACING
    else:
        image.header.set_xyzt_units("mm")
    return image.to_bytes()


def write_image(path: str | Path, image: Tensor | NDArray[Any]) -> None:
    """Write an intensity image (1, H, W) or (H, W) in [0, 1] as an 8-bit grey PNG; raises as :func:`write_layers`."""
    values = _finite(image, 2)
    write_png(path, np.rint(values.clip(0.0, 1.0) * 255.0).astype(np.uint8))


def deep_pixels(image: Tensor | NDArray[Any]) -> NDArray[np.uint16]:
    """An intensity image (1, H, W) or (H, W) in [0, 1] as 16-bit pixels (H, W)."""
    values = _finite(image, 2)
    pixels: NDArray[np.uint16] = np.rint(values.clip(0.0, 1.0).astype(np.float64) * 65535.0).astype(np.uint16)
    return pixels


def write_png(path: str | Path, pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Write grey (H, W) or colour (H, W, 3) pixels as a PNG; raises :class:`InputError` as :func:`replacing`."""
    write_bytes(path, png_bytes(pixels))


def png_bytes(pixels: NDArray[np.uint8] | NDArray[np.uint16], compress_type: int = -1) -> bytes:
    """Grey (H, W) or colour (H, W, 3) pixels as a PNG of their depth; ``compress_type`` is zlib's strategy."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG", compress_type=compress_type)
    return content.getvalue()


def write_layer_images(folder: str | Path, name: str, layers: Tensor | NDArray[Any]) -> None:
    """Write layers (3, H, W) as ``<name>_soft.png``, ``<name>_lower.png`` and ``<name>_upper.png``, 8-bit."""
    for layer, layer_name in zip(_finite(layers, 3), LAYER_NAMES, strict=True):
        write_image(Path(folder) / f"{name}_{layer_name}.png", layer)


def write_masks(folder: str | Path, name: str, masks: Tensor | NDArray[Any]) -> None:
    """Write masks (2, H, W), above one half is bone, as ``<name>_mask_lower.png`` and ``<name>_mask_upper.png``."""
    for mask, bone in zip(mask_pixels(masks), LAYER_NAMES[1:], strict=True):
        write_png(Path(folder) / f"{name}_mask_{bone}.png", mask)


def mask_pixels(masks: Tensor | NDArray[Any]) -> NDArray[np.uint8]:
    """Masks (2, H, W), above one half is bone, as pixels of 0 and 255."""
    pixels: NDArray[np.uint8] = (_finite(masks, 3) > 0.5).astype(np.uint8) * np.uint8(255)
    return pixels


def _finite(values: Tensor | NDArray[Any], dimensions: int) -> NDArray[np.float32]:
    """float32 array of ``dimensions`` axes (leading axes of length 1 dropped), refused when not finite."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    while array.ndim > dimensions and array.shape[0] == 1:
        array = array[0]
    if array.ndim != dimensions:
        msg = f"expected an array of {dimensions} axes, got shape {array.shape}"
        raise ValueError(msg)
    if not np.isfinite(array).all():
        msg = f"expected finite values to write, got {int((~np.isfinite(array)).sum())} that are NaN or infinite"
        raise ValueError(msg)
    return array.astype(np.float32)
