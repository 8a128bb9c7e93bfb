"""Atomic writing of results: layers, images and masks."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from bundle.base import parse_json
from bundle.errors import InputError, chain
from bundle.io.png_files import png_bytes
from bundle.io.stated import NO_SPACING
from bundle.joint import LAYER_NAMES
from numpy.typing import NDArray
from torch import Tensor

RESULT_ENDINGS = (
    ".nii.gz",
    "_layers.nii.gz",
    "_masks.nii.gz",
    "_montage.png",
    *(f"_{layer}.png" for layer in LAYER_NAMES),
    *(f"_mask_{bone}.png" for bone in LAYER_NAMES[1:]),
    ".dcm",
    "_masks.dcm",
    "_report.dcm",
    *(f"_{layer}.dcm" for layer in LAYER_NAMES),
)
"""Endings of a joint's files after its name; no two joints may share a file."""
LONGEST_NAME = 200
"""Maximum length of a joint's name in bytes: file systems allow 255 with all prefixes and endings."""
PART = ".part"
"""Ending of an unfinished file."""

_unfinished: list[Path] = []

_REFUSALS = {
    errno.ENOSPC: "the disk is full. Free space or choose another output folder.",
    errno.EFBIG: "the file exceeds the size limit. Choose another output folder.",
    errno.ENOENT: "the folder does not exist. Create it or choose another one.",
    errno.EDQUOT: "the quota is used up. Free space or choose another output folder.",
    errno.EACCES: "no permission to write. Choose another output folder or change its permissions.",
    errno.EPERM: "no permission to write. Choose another output folder or change its permissions.",
    errno.EROFS: "the file system is read-only. Choose another output folder.",
    errno.EEXIST: "a file is in the way. Choose another output folder.",
    errno.ENOTDIR: "a file is in the way. Choose another output folder.",
}
"""Reasons of the operating system, each with the remedy."""


def unfinished(path: Path) -> Path:
    """Return the temporary path of a file or folder that this process writes, unlike that of any other process.

    Processes of several machines may write to a shared folder, under the same process id.
    """
    host = zlib.crc32(socket.gethostname().encode())
    return path.with_name(f".{path.name}.{os.getpid()}-{host:08x}{PART}")


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` for writing; it replaces ``path`` when the block succeeds.

    A block that fails or is killed leaves ``path`` unchanged. To write a checkpoint::

        with replacing(path) as file:
            torch.save(state, file)

    Raises:
        InputError: the operating system refused (no permission, disk full), even if a library reports that by its own
            exception. The message names the file and the remedy.
    """
    path = Path(path)
    temporary = unfinished(path)
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
    """Remove the unfinished files of this process when a signal ends it."""
    for temporary in list(_unfinished):
        _discard(temporary)


@contextmanager
def storing(path: Path) -> Iterator[None]:
    """Convert errors of the operating system while ``path`` is written to an input error as in :func:`replacing`."""
    try:
        yield
    except BaseException as error:
        refusal = next((link for link in chain(error) if isinstance(link, OSError)), None)
        if refusal is None:
            raise
        raise _not_written(path, refusal) from error


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Convert errors of the operating system while ``path`` is read to an input error that names it."""
    try:
        yield
    except OSError as error:
        raise not_read(path, error) from error


def not_read(path: Path, error: OSError) -> InputError:
    """Make the error of a file or folder that the operating system refuses to read, with the remedy."""
    refused = isinstance(error, PermissionError)
    remedy = "Change its permissions." if refused else "Check the path and the disk."
    return InputError(f"{path} cannot be read ({error.strerror or error}). {remedy}")


def _discard(temporary: Path) -> None:
    with suppress(OSError):
        temporary.unlink()


def _not_written(path: Path, error: OSError) -> InputError:
    reason = _REFUSALS.get(error.errno or 0, "the system refused. Check the free space and the permissions.")
    return InputError(f"{path.absolute()} could not be written ({error}): {reason}")


def check_destination(path: str | Path) -> None:
    """Check that a file can be written, before a long computation of its content.

    Raises:
        InputError: the path is a folder, or its folder is missing or not writable.
    """
    path = Path(path)
    if path.is_dir():
        msg = f"{path} is a folder. Add a file name."
        raise InputError(msg)
    with storing(path), tempfile.TemporaryFile(dir=path.parent):
        pass


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file atomically; raises as :func:`replacing`."""
    with replacing(path) as file:
        file.write(data)


def write_or_remove(path: str | Path, text: str) -> None:
    """Write a text file, or remove it if there is no text, so that a folder without results holds no file.

    Raises:
        InputError: the operating system refused.
    """
    if text:
        write_bytes(path, text.encode())
    else:
        with storing(Path(path)):
            Path(path).unlink(missing_ok=True)


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


def named_lines(path: str | Path, key: str = "name") -> list[dict[str, Any]]:
    """Read the intact lines of JSON whose ``key`` is a text from a file; none if the file does not exist.

    Raises:
        InputError: the operating system refused.
    """
    path, found = Path(path), []
    with readable(path):
        text = path.read_bytes() if path.is_file() else b""
    for line in text.splitlines():
        with suppress(ValueError):  # the end of a line that was cut off
            found.append(parse_json(line))
    return [line for line in found if isinstance(line, dict) and isinstance(line.get(key), str)]


def write_layers(path: str | Path, layers: Tensor | NDArray[Any], spacing: float) -> None:
    """Write layers as a float32 NIfTI-1 file.

    The array on disk has the shape (W, H, 1, C), x first and the layers last: nibabel returns this shape, MONAI's
    ``LoadImage`` with ``EnsureChannelFirst`` (C, W, H, 1), and viewers show C volumes of one slice. The affine is
    ``diag(-spacing, -spacing, 1, 1)`` in mm: in a viewer's axial plane x runs to the right and y down.

    Args:
        path: path ending with ``.nii.gz``.
        layers: finite layers, (C, H, W).
        spacing: mm per pixel.

    Raises:
        InputError: the file cannot be written.
        ValueError: values are not finite, or the shape or the ending is wrong.
    """
    content = layers_bytes(layers, spacing)
    if not str(path).endswith(".nii.gz"):
        msg = f"{path} does not end with .nii.gz"
        raise ValueError(msg)
    write_bytes(path, gzip.compress(content, compresslevel=6, mtime=0))


def layers_bytes(layers: Tensor | NDArray[Any], spacing: float | None) -> bytes:
    """Encode layers (C, H, W) as the NIfTI-1 file that :func:`write_layers` compresses.

    Args:
        layers: finite layers, (C, H, W).
        spacing: mm per pixel; None if unknown: the file then states no unit.

    Raises:
        ValueError: values are not finite, or the shape is wrong.
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
    """Convert an intensity image (1, H, W) or (H, W) in [0, 1] to 16-bit pixels (H, W)."""
    values = _finite(image, 2)
    pixels: NDArray[np.uint16] = np.rint(values.clip(0.0, 1.0).astype(np.float64) * 65535.0).astype(np.uint16)
    return pixels


def write_png(path: str | Path, pixels: NDArray[np.uint8] | NDArray[np.uint16], source: str = "") -> None:
    """Write grey (H, W) or colour (H, W, 3) pixels as a PNG; raises :class:`InputError` as :func:`replacing`.

    Args:
        path: path of the file.
        pixels: pixels.
        source: fingerprint of what the picture shows, which the file states (:func:`png_source`).
    """
    write_bytes(path, png_bytes(pixels, source))


def write_layer_images(folder: str | Path, name: str, layers: Tensor | NDArray[Any]) -> None:
    """Write layers (3, H, W) as ``<name>_soft.png``, ``<name>_lower.png`` and ``<name>_upper.png``, 8-bit."""
    for layer, layer_name in zip(_finite(layers, 3), LAYER_NAMES, strict=True):
        write_image(Path(folder) / f"{name}_{layer_name}.png", layer)


def write_masks(folder: str | Path, name: str, masks: Tensor | NDArray[Any]) -> None:
    """Write masks (2, H, W), bone above one half, as ``<name>_mask_lower.png`` and ``<name>_mask_upper.png``."""
    for mask, bone in zip(mask_pixels(masks), LAYER_NAMES[1:], strict=True):
        write_png(Path(folder) / f"{name}_mask_{bone}.png", mask)


def mask_pixels(masks: Tensor | NDArray[Any]) -> NDArray[np.uint8]:
    """Convert masks (2, H, W), bone above one half, to pixels of 0 and 255."""
    pixels: NDArray[np.uint8] = (_finite(masks, 3) > 0.5).astype(np.uint8) * np.uint8(255)
    return pixels


def _finite(values: Tensor | NDArray[Any], dimensions: int) -> NDArray[np.float32]:
    """float32 array of ``dimensions`` axes (leading axes of length 1 dropped); rejects NaN and infinity."""
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    while array.ndim > dimensions and array.shape[0] == 1:
        array = array[0]
    if array.ndim != dimensions:
        msg = f"an array of shape {array.shape} does not have {dimensions} axes"
        raise ValueError(msg)
    if not np.isfinite(array).all():
        msg = f"{int((~np.isfinite(array)).sum())} values are NaN or infinite"
        raise ValueError(msg)
    return array.astype(np.float32)


def write_radiograph(
    path: str | Path,
    radiograph: Tensor,
    spacing_mm: tuple[float, float],
    study: tuple[str, str, str],
    described: str,
    synthetic: bool,
) -> None:
    """Write a radiograph as a 16-bit PNG or a DICOM file, depending on the file extension.

    Args:
        path: path ending with ``.png`` or ``.dcm``.
        radiograph: radiograph, (1, H, W) in [0, 1].
        spacing_mm: height and width of a pixel.
        study: arguments of :class:`bundle.io.dicom_writing.DicomStudy`: version of the bundle, name, laterality.
        described: derivation description of the DICOM file.
        synthetic: whether the radiograph is synthetic.

    Raises:
        InputError: the extension is another one, or the file cannot be written.
    """
    ending = Path(path).suffix.lower()
    if ending == ".png":
        write_png(path, deep_pixels(radiograph))
    elif ending == ".dcm":
        from bundle.io.dicom_writing import DicomStudy, write_dicom

        write_dicom(Path(path), DicomStudy(*study).image(radiograph[0].numpy(), spacing_mm, described, synthetic))
    else:
        msg = f"{path}: unsupported file extension. Use .png or .dcm."
        raise InputError(msg)
