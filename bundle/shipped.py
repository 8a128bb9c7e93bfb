"""Components of the shipped configurations with the shipped weights, and files that state the shipped version."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from bundle.errors import path_argument
from bundle.io import LATERALITY, bundle_version, write_radiograph
from bundle.joint import Joint
from monai.bundle import ConfigParser
from torch import Tensor


def bundle_root() -> Path:
    """Root folder of configurations and weights: the checkout, or the installed package."""
    here = Path(__file__).parent
    return here if (here / "configs").is_dir() else here.parent


@lru_cache(maxsize=5)
def parts_of_inference(*names: str, **options: Any) -> Mapping[str, Any]:
    """Components of the inference configuration with options, by name; a network with its weights."""
    config = ConfigParser()
    config.read_config(str(bundle_root() / "configs" / "inference.json"))
    config.update({"bundle_root": str(bundle_root()), "device": "cpu", **options})
    parts = {name: config.get_parsed_content(name) for name in names}
    if "network" in parts:
        parts["used_weights"](None)
        parts["network"].eval()
    return parts


def write_of_joint(
    path: str | Path,
    radiograph: Tensor,
    joint: Joint,
    described: str,
    synthetic: bool,
    spacing_mm: tuple[float, float] | None = None,
) -> None:
    """Write a radiograph of a joint, or of the hand around it, as a 16-bit PNG or a DICOM file.

    Args:
        path: path of the file; its ending determines the format.
        radiograph: radiograph, (1, H, W) in [0, 1].
        joint: joint.
        described: description of the image.
        synthetic: whether the image is synthetic.
        spacing_mm: height and width of a pixel in mm; default: that of the joint.

    Raises:
        InputError: the file cannot be written.
    """
    path = path_argument("path", path)
    spacing = spacing_mm or (joint.spacing_mm,) * 2
    study = (bundle_version(bundle_root() / "configs" / "metadata.json"), joint.name, LATERALITY.get(joint.side, ""))
    write_radiograph(path, radiograph, spacing, study, f"{joint.name}: {described}", synthetic)
