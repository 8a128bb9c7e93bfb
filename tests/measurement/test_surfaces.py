"""Joint surfaces of phantoms against their anatomy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.joint import MCP
from bundle.measurement.curves import columns
from bundle.measurement.surfaces import JointSurfaces, find_surfaces
from bundle.phantoms.rendering import Phantom, render
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_surfaces

SPACING = MCP.spacing_mm


@pytest.fixture(scope="module")
def phantoms() -> list[Phantom]:
    return [render(sample_parameters(seed, outline_gap_mm=gap)) for seed, gap in ((0, -0.6), (1, 0.2), (4, 1.4))]


@pytest.fixture(scope="module")
def found(phantoms: list[Phantom]) -> JointSurfaces:
    layers, masks = (torch.stack([getattr(one, name) for one in phantoms]) for name in ("layers", "masks"))
    return find_surfaces(layers, (masks > 0.5).float(), SPACING)


def test_both_surfaces_lie_on_those_of_the_anatomy(phantoms: list[Phantom], found: JointSurfaces) -> None:
    for row, made in enumerate(phantoms):
        window = found.window[row].numpy()
        x = float(found.middle[row]) + columns().numpy()[window]
        truth = true_surfaces(made.parameters, float(found.axis[row]), x)
        assert np.abs(found.head[row].numpy()[window] - truth.head).mean() < 0.06
        assert np.abs(found.floor[row].numpy()[window] - truth.floor).mean() < 0.08


def test_the_points_of_the_surfaces_lie_in_the_frame_along_the_axis(found: JointSurfaces) -> None:
    head, floor = found.points()
    apart = head - floor
    angle = torch.deg2rad(found.axis)[:, None]
    torch.testing.assert_close(apart[..., 0], -angle.sin() * found.profile, atol=1e-5, rtol=0)
    torch.testing.assert_close(apart[..., 1], angle.cos() * found.profile, atol=1e-5, rtol=0)


def test_surfaces_of_the_mirror_image_are_mirrored(phantoms: list[Phantom], found: JointSurfaces) -> None:
    made = phantoms[1]
    mirrored = find_surfaces(made.layers.flip(-1)[None], (made.masks > 0.5).float().flip(-1)[None], SPACING)
    assert float(mirrored.axis) == pytest.approx(-float(found.axis[1]), abs=0.05)
    width, before = ((one.profile * one.window).sum(-1) / one.window.sum(-1) for one in (mirrored, found))
    assert float(width) == pytest.approx(float(before[1]), abs=0.02)


def test_the_pixel_size_is_that_of_each_joint(phantoms: list[Phantom]) -> None:
    made = phantoms[2].parameters
    coarse = render(sample_parameters(4, outline_gap_mm=1.4, size=192))
    fine = find_surfaces(phantoms[2].layers[None], (phantoms[2].masks > 0.5).float()[None], SPACING)
    other = find_surfaces(coarse.layers[None], (coarse.masks > 0.5).float()[None], torch.tensor([21.0 / 192]))
    assert made.seed == 4
    widths = [float((one.profile * one.window).sum() / one.window.sum()) for one in (fine, other)]
    assert widths[1] == pytest.approx(widths[0], abs=0.05)
