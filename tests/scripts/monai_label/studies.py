"""Studies of phantoms, and what clients send of them."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.writing import write_image, write_layers
from bundle.joint import MCP
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from monai.bundle import ConfigParser
from PIL import Image
from tests.scripts.monai_label.label_server import ROOT, Server

SPACING = MCP.spacing_mm
LABELLED = (*range(20), 60, 61, 62, 63)
ABOVE, BESIDE = 160, 100
CENTER = [BESIDE + 127.5, ABOVE + 127.5]
CLICKS = {"center": CENTER, "tip": [CENTER[0], ABOVE], "spacing": SPACING}


def phantom(name: str) -> Phantom:
    """The phantom that an image of :func:`write_studies` shows; a name ends with its seed."""
    size = 320 if name.startswith("large") else 256
    return render(sample_parameters(int(name.rsplit("_", 1)[1]), size=size, spacing=21.0 / size))


def write_studies(folder: Path) -> None:
    """Radiographs in every kind of file, a hand, and what cannot be used."""
    (folder / "nested" / "deeper").mkdir(parents=True)
    for name in (*(f"joint_{seed}" for seed in LABELLED), "new_20", "new_21", "nested/below_22"):
        write_image(folder / f"{name}.png", phantom(name).image)
    Image.fromarray(np.asarray(Image.open(folder / "new_20.png"))).save(folder / "photo_20.jpeg", quality=95)
    write_layers(folder / "nifti_23.nii.gz", phantom("nifti_23").image, SPACING)
    write_layers(folder / "large_24.nii.gz", phantom("large_24").image, 21.0 / 320)
    for name in ("hand_25", "hand_31"):
        hand = np.pad(phantom(name).image[0].numpy(), ((ABOVE, ABOVE), (BESIDE, BESIDE)), mode="edge")
        write_image(folder / f"{name}.png", hand)
    (folder / "broken_26.png").write_bytes(b"no picture")
    write_image(folder / "unscaled_30.png", np.full((1200, 1200), 0.5))
    write_planted_dicom(folder / "dicom_27.dcm", 27)
    write_planted_dicom(folder / "nested" / "deeper" / "PLANTED_28", 28)


def write_planted_dicom(path: Path, seed: int) -> None:
    dataset = DicomStudy("1", path.name, "L").image(
        render(sample_parameters(seed)).image[0].numpy(), (SPACING, SPACING), "a phantom", True
    )
    dataset.PatientName, dataset.PatientID = "Planted^Name", "SECRET77"
    write_dicom(path, dataset)


def write_untrained_weights(path: Path) -> None:
    """Weights that know nothing, in place of the shipped ones."""
    config = ConfigParser()
    config.read_config(str(ROOT / "configs" / "inference.json"))
    torch.manual_seed(0)
    path.parent.mkdir()
    torch.save(config.get_parsed_content("segmenter#network").state_dict(), path)


def label_map(masks: torch.Tensor) -> np.ndarray:
    """(H, W) of 0 to 3 from masks (2, H, W)."""
    lower, upper = (masks > 0.5).numpy().astype(np.uint8)
    return np.asarray(lower + 2 * upper)


def label_file(folder: Path, name: str, ending: str) -> Path:
    """The true masks of an image, as a client sends them."""
    values = label_map(phantom(name).masks)
    path = folder / f"label_of_{name}.{ending}"
    if ending == "png":
        Image.fromarray(values).save(path)
    else:
        nib.save(nib.Nifti1Image(values.T[..., None], np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    return path


def hand_label(server: Server) -> Path:
    """The true masks of hand_31."""
    masks = torch.nn.functional.pad(phantom("hand_31").masks, [BESIDE, BESIDE, ABOVE, ABOVE])
    path = server.folder / "label_of_hand.png"
    Image.fromarray(label_map(masks)).save(path)
    return path


def wrong_labels(name: str) -> dict[str, tuple[torch.Tensor, str]]:
    """Labels of an image that are none of it, and what is said of them."""
    masks = (phantom(name).masks > 0.5).float()
    one = masks * torch.tensor([1.0, 0.0])[:, None, None]
    return {
        "empty": (masks * 0, "the mask is empty"),
        "one bone": (one, "the mask is empty"),
        "swapped": (masks.flip(0), "the upper bone is not above the lower bone"),
        "mirrored": (masks.flip(2), "mirror image"),
        "upside down": (masks.flip(1, 0), "does not lie on the bones"),
        "of another place": (masks.roll(40, 2), "does not lie on a bone"),
        "full": (torch.ones_like(masks), "covers"),
    }
