"""The separation of the MONAI Label server knows the pixel size of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.io.writing import write_image
from bundle.joint import MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics import reconstruct
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


def test_a_view_states_the_pixel_size_of_its_file(tmp_path: Path) -> None:
    path, _ = coarse_joint(tmp_path)
    view = views_of(path, {"spacing": COARSE_MM}, no_hand).one()
    assert (view.file_spacing, view.spacing) == (pytest.approx(COARSE_MM), pytest.approx(MCP.spacing_mm, rel=0.05))


@pytest.mark.slow
def test_the_outlines_of_coarse_files_alone_are_cleared(separate: LayerSeparator) -> None:
    made = render(sample_parameters(3, outline_gap_mm=0.5))
    masks = (made.masks > 0.5).float()
    unknown, fine, coarse = (separate(made.image, masks, "x", MCP.spacing_mm, size).layers for size in (0.0, 0.1, 0.4))
    assert torch.equal(unknown, fine)
    assert float((coarse - unknown).abs().max()) > 0.01
    torch.testing.assert_close(reconstruct(coarse[None]), reconstruct(unknown[None]), atol=0.01, rtol=0)


@pytest.mark.long
@pytest.mark.slow
def test_the_server_passes_the_pixel_size_of_the_file(server: Server, separate: LayerSeparator, tmp_path: Path) -> None:
    path, masks = coarse_joint(tmp_path)
    server.form("PUT", "/datastore/image", {"file": path}, image="coarse")
    Image.fromarray(label_map(masks)).save(tmp_path / "label.png")
    server.save("coarse", tmp_path / "label.png", spacing=COARSE_MM, unusual=True)
    answered = np.asarray(server.infer("layer_separation", "coarse", spacing=COARSE_MM).dataobj, np.float32)
    view = views_of(path, {"spacing": COARSE_MM}, no_hand).one()
    given, unknown = (
        separate(view.image, view.cut(masks), "coarse", view.spacing, size).layers for size in (view.file_spacing, 0.0)
    )
    found = torch.from_numpy(answered).squeeze()
    found = found.movedim(-1, 0).mT if found.shape[-1] == len(given) else found
    assert float((found - given).abs().max()) < 1e-3 < float((found - unknown).abs().max())
