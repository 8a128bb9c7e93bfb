"""The separation of the MONAI Label server knows the pixel size of the file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bundle
import numpy as np
import pytest
import torch
from bundle.io.writing import write_image
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.masks import continue_to_border
from PIL import Image
from scripts.monai_label.models import LayerSeparator
from scripts.monai_label.view import HandJoints, views_of
from tests.scripts.monai_label.label_server import ROOT, Server
from tests.scripts.monai_label.studies import label_map
from torch import Tensor

COARSE_MM = 0.4


@pytest.fixture(scope="module")
def separate() -> LayerSeparator:
    return LayerSeparator(ROOT)


def no_hand(radiograph: Tensor, pixels: tuple[float, float]) -> HandJoints:
    return HandJoints([], {})


def coarse_joint(folder: Path) -> tuple[Path, Tensor]:
    """A radiograph of one joint with coarse pixels, and its masks."""
    size = round(MCP.frame_mm / COARSE_MM)
    made = render(sample_parameters(3, size=size, spacing=COARSE_MM, outline_gap_mm=0.5))
    write_image(folder / "coarse.png", made.image)
    return folder / "coarse.png", (made.masks > 0.5).float()


@pytest.mark.slow
def test_joints_are_separated_as_in_python(separate: LayerSeparator) -> None:
    joint = bundle.Joint.phantom(seed=3)
    found = separate(joint.radiograph, joint.masks, "x", joint.spacing_mm).layers
    joint = replace(joint, masks=continue_to_border(joint.masks))
    torch.testing.assert_close(found, bundle.separate(joint).layers, atol=1e-5, rtol=0)


@pytest.mark.long
@pytest.mark.slow
def test_the_server_separates_coarse_files(server: Server, separate: LayerSeparator, tmp_path: Path) -> None:
    path, masks = coarse_joint(tmp_path)
    server.form("PUT", "/datastore/image", {"file": path}, image="coarse")
    Image.fromarray(label_map(masks)).save(tmp_path / "label.png")
    server.save("coarse", tmp_path / "label.png", spacing=COARSE_MM, unusual=True)
    answered = np.asarray(server.infer("layer_separation", "coarse", spacing=COARSE_MM).dataobj, np.float32)
    view = views_of(path, {"spacing": COARSE_MM}, no_hand).one()
    given = separate(view.image, view.cut(masks), "coarse", view.spacing).layers
    found = torch.from_numpy(answered).squeeze()
    found = found.movedim(-1, 0).mT if found.shape[-1] == len(given) else found
    assert float((found - given).abs().max()) < 1e-3
