"""A data set of small joints, packed, and its joints as they are read."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.io.joint_images import read_joint
from bundle.io.joints import joint_items
from bundle.io.loading import Item
from bundle.io.packed import MANIFEST
from bundle.io.packing import Packed, pack_joints
from bundle.joint import MCP
from PIL import Image
from torch import Tensor

SIZE = 64
SPACING = MCP.spacing_at(SIZE)
KEYS = ("name", "joint", "finger", "side", "spacing")
AUDITED = (*KEYS, "overlapping", "masks")
SECRET = b"Planted"
"""Part of every patient's name in these files."""


def radiograph(seed: int, size: int = SIZE) -> np.ndarray:
    """Smooth, with a little noise, every one different."""
    y, x = np.mgrid[0:size, 0:size] * (64 / size)
    return (40 + 2 * x + y + np.random.default_rng(seed).integers(0, 9, x.shape)).astype(np.uint8)


def bone(top: int, bottom: int, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[top:bottom, 8 : size - 14] = 255
    return mask


def joint(root: Path, folder: str, seed: int, ending: str = ".jpg", overlap: int = 0) -> dict[str, Any]:
    """Write a radiograph and its masks, and return their entry."""
    place = root / folder
    place.mkdir(parents=True, exist_ok=True)
    files = {"image": f"{seed}{ending}", "lower": f"{seed}_mask_lower.bmp", "upper": f"{seed}_mask_upper.bmp"}
    Image.fromarray(radiograph(seed)).save(place / files["image"])
    Image.fromarray(bone(32 - overlap, SIZE)).save(place / files["lower"])
    Image.fromarray(bone(0, 32)).save(place / files["upper"])
    return {key: f"{folder}/{file}" for key, file in files.items()}


def pack(folder: Path, *lists: str, **settings: Any) -> Path:
    """The lists of a folder as a pack beside it."""
    packed_to(folder, *lists, **settings)
    return folder.parent / "joints.pack"


def packed_to(folder: Path, *lists: str, **settings: Any) -> Packed:
    return pack_joints(folder, lists, folder.parent / "joints.pack", **{"size": SIZE, **settings})


def seen(items: Sequence[Item], keys: Sequence[str] = AUDITED) -> list[list[Any]]:
    return [[item[key] for key in keys] for item in items]


def tensors(items: Sequence[Item]) -> list[bytes]:
    return [read_joint(item, SIZE).numpy().tobytes() for item in items]


def same_joints(folder: Path, archive: Path, datalist: str, in_pack: str = "", **settings: Any) -> list[Item]:
    """The audited joints of a list, which are those of the folder, bit for bit."""
    one = joint_items(str(folder), datalist, size=SIZE, **settings)
    other = joint_items(str(archive), in_pack or datalist, size=SIZE)
    assert seen(one) == seen(other)
    assert tensors(one) == tensors(other)
    return list(other)


def two_bones(image: Tensor) -> Tensor:
    """Masks of two bones, whatever the radiograph."""
    rows = torch.arange(SIZE)[:, None].expand(SIZE, SIZE)
    return torch.stack([(rows > 40).float(), (rows < 20).float()])


def rewritten(archive: Path, change: Callable[[dict[str, bytes]], Any], names: Sequence[str] = ()) -> Path:
    """A pack with other members, whose CRCs are right; ``names`` are written again at its end."""
    with zipfile.ZipFile(archive) as file:
        members = {name: file.read(name) for name in file.namelist()}
    change(members)
    changed = archive.with_name("changed.pack")
    with warnings.catch_warnings(), zipfile.ZipFile(changed, "w") as file:
        warnings.simplefilter("ignore")
        for name in [*members, *names]:
            file.writestr(name, members[name])
    return changed


def with_manifest(members: dict[str, bytes], **stated: Any) -> None:
    members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | stated).encode()
