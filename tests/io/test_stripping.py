"""A pack holds of each picture its pixels, and no texts."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.io.files import stored
from bundle.io.joint_images import read_joint
from bundle.io.reading import read_radiograph
from bundle.io.stripping import picture_only
from PIL import Image, PngImagePlugin
from tests.io.joint_folders import write_list
from tests.io.packs import SECRET, SIZE, joint, pack, radiograph, same_joints


def with_secrets(data: bytes) -> bytes:
    """A JPEG with EXIF, IPTC, a vendor's segment and a comment, and more after its end."""
    segments = [(0xE1, b"Exif\0\0" + SECRET), (0xED, SECRET), (0xE4, SECRET), (0xFE, SECRET)]
    added = b"".join(bytes([0xFF, kind]) + struct.pack(">H", len(text) + 2) + text for kind, text in segments)
    return data[:2] + added + b"\xff" + data[2:] + SECRET


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "restart_marker_rows": 1}])
def test_exif_and_comments_of_a_jpeg_are_dropped_and_its_pixels_stay(
    folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    entry = joint(folder, "cases/00001_L_2", 1)
    path = folder / entry["image"]
    Image.fromarray(np.stack([radiograph(8)] * 3, axis=-1)).save(path, **options)
    plain = path.read_bytes()
    path.write_bytes(with_secrets(plain))
    write_list(folder, "K", [entry])
    item = same_joints(folder, pack(folder, "K"), "K")[0]
    data = stored(item["image"]).read_bytes()
    assert SECRET not in data and len(data) <= len(plain) + 1
    assert item["image"].endswith(".jpg")


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp"])
def test_an_orientation_is_applied_in_the_pack_and_in_its_unzipped_folder(folder: Path, ending: str) -> None:
    entry = joint(folder, "cases/a", 5, ending)
    upright = read_radiograph(folder / entry["image"])
    exif = Image.Exif()
    exif[274] = 2
    with Image.open(folder / entry["image"]) as picture:
        picture.save(folder / entry["image"], **({} if ending == ".bmp" else {"exif": exif, "quality": 95}))
    write_list(folder, "K", [entry])
    archive = pack(folder, "K")
    (packed,) = same_joints(folder, archive, "K")
    shown = read_joint(packed, SIZE)[0].numpy()
    np.testing.assert_allclose(shown, upright if ending == ".bmp" else upright[:, ::-1], atol=0.02)
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(folder.parent / "unzipped")
    same_joints(folder, folder.parent / "unzipped", "K")


def test_text_of_a_png_is_dropped_and_its_pixels_stay(folder: Path) -> None:
    entry = joint(folder, "cases/00001_L_2", 1, ".png")
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET.decode())
    Image.fromarray(radiograph(8)).save(folder / entry["image"], pnginfo=text)
    write_list(folder, "K", [entry])
    assert SECRET in (folder / entry["image"]).read_bytes()
    item = same_joints(folder, pack(folder, "K"), "K")[0]
    assert item["image"].endswith(".png") and SECRET not in stored(item["image"]).read_bytes()


@pytest.mark.parametrize(
    "data", [b"", b"BM", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe0\0\4ab", b"\x89PNG\r\n\x1a\n" + bytes(30)]
)
def test_what_is_no_whole_picture_is_not_stripped(data: bytes) -> None:
    assert picture_only(data) is None
