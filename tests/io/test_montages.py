"""A montage shows every panel pixel by pixel, in its place, and differences in colour around zero."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.montages import (
    DIFFERENCE_LIMIT,
    OUTLINE_COLOURS,
    TITLES,
    difference_panel,
    grey_panel,
    joint_row,
    montage,
    montage_image,
    outlined_panel,
)
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.radiograph import reconstruct
from PIL import Image


def places(picture: np.ndarray, panel: np.ndarray) -> list[tuple[int, int]]:
    """Rows and columns at which the panel stands in the picture."""
    windows = np.lib.stride_tricks.sliding_window_view(picture, panel.shape)[..., 0, :, :, :]
    found = np.argwhere((windows == panel).all(axis=(-3, -2, -1)))
    return [(int(row), int(column)) for row, column in found]


@pytest.mark.parametrize("labels", [None, ["first", "second"]])
def test_every_panel_is_shown_pixel_by_pixel_in_its_row_and_column(labels: list[str] | None) -> None:
    images = torch.rand(2, 3, 12, 17, generator=torch.Generator().manual_seed(0))
    picture = montage_image([list(row) for row in images], ["a", "b", "c"], labels)
    at = np.array([[places(picture, grey_panel(image))[0] for image in row] for row in images])
    assert (np.diff(at[..., 0], axis=0) > 12).all() and (np.diff(at[..., 0], axis=1) == 0).all()
    assert (np.diff(at[..., 1], axis=1) > 17).all() and (np.diff(at[..., 1], axis=0) == 0).all()


def test_tensors_and_arrays_with_and_without_channel_are_panels() -> None:
    image = torch.rand(1, 9, 9, generator=torch.Generator().manual_seed(0), requires_grad=True)
    forms = [image, image[0], image.detach().numpy(), image.detach().numpy()[0]]
    picture = montage_image([forms], ["x"] * 4)
    assert len(places(picture, grey_panel(image))) == 4


def test_colour_panels_keep_their_colours_and_panels_may_differ_in_size() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    grey = np.random.default_rng(1).random((14, 5))
    picture = montage_image([[colour, grey]], ["a", "b"])
    assert len(places(picture, colour)) == 1 and len(places(picture, grey_panel(grey))) == 1


def test_titles_and_labels_are_drawn() -> None:
    rows = [[np.zeros((40, 60))], [np.zeros((40, 60))]]
    bare = montage_image(rows, [""])
    titled = montage_image(rows, ["soft"])
    assert bare.max() == 0
    assert titled[:20].max() == 255 and titled[20:].max() == 0
    labelled = montage_image(rows, [""], ["", "joint"])
    assert labelled[: len(labelled) // 2].max() == 0 and labelled[len(labelled) // 2 :].max() == 255


def test_intensities_are_clipped_and_nan_is_black() -> None:
    panel = grey_panel(np.array([[-1.0, 2.0], [np.nan, 0.5]]))
    assert panel[..., 0].tolist() == [[0, 255], [0, 128]]


def test_differences_are_white_at_zero_and_saturate_at_the_limit() -> None:
    panel = difference_panel(np.array([[-9.0, -DIFFERENCE_LIMIT, 0.0, DIFFERENCE_LIMIT, 9.0]]))[0]
    assert panel[0].tolist() == panel[1].tolist() == [0, 0, 255]
    assert panel[2].min() >= 253
    assert panel[3].tolist() == panel[4].tolist() == [255, 0, 0]


def test_outlines_are_one_pixel_wide_and_open_at_the_frame() -> None:
    masks = np.zeros((2, 20, 20))
    masks[0, 12:, 4:16] = 1
    masks[1, :8, 4:16] = 1
    panel = outlined_panel(np.zeros((20, 20)), masks)
    lower, upper = ((panel == colour).all(axis=-1) for colour in OUTLINE_COLOURS)
    assert lower[12, 4:16].all() and lower[12:, 4].all() and lower[12:, 15].all() and lower.sum() == 12 + 7 + 7
    assert upper[7, 4:16].all() and upper.sum() == 12 + 7 + 7


def test_the_standard_row_of_a_phantom_shows_it_and_its_layers() -> None:
    phantom = render(sample_parameters(3))
    image = reconstruct(phantom.layers)
    row = joint_row(image, phantom.masks, phantom.layers, image * 0.9, image * 0.8)
    assert len(row) == len(TITLES)
    outlined = (row[0] == np.array(OUTLINE_COLOURS)[:, None, None]).all(axis=-1).any(axis=0)
    assert outlined.any() and np.array_equal(row[0][~outlined], grey_panel(image)[~outlined])
    for panel, layer in zip(row[1:4], phantom.layers, strict=True):
        np.testing.assert_array_equal(panel, grey_panel(layer))
    np.testing.assert_array_equal(row[4], grey_panel(image * 0.9))
    np.testing.assert_array_equal(row[5], grey_panel(image * 0.8))
    assert row[6].min() >= 253


def test_the_standard_row_shows_where_the_reconstruction_is_too_bright() -> None:
    image, layers = np.full((1, 4, 4), 0.4), np.zeros((3, 4, 4), np.float32)
    layers[0] = 0.4
    layers[0, 1, 1] = 0.6
    difference = joint_row(image, np.zeros((2, 4, 4)), layers, image, image)[-1]
    assert difference[1, 1].tolist() == [255, 0, 0] and difference[0, 0].min() >= 253


@pytest.mark.parametrize(
    ("rows", "titles", "labels"),
    [
        ([], ["a"], None),
        ([[]], [], None),
        ([[np.zeros((2, 2))]], ["a", "b"], None),
        ([[np.zeros((2, 2))]], ["a"], []),
        ([[np.zeros((2, 2))]], ["a"], ["x", "y"]),
    ],
)
def test_a_grid_that_does_not_fit_is_refused(rows: list, titles: list[str], labels: list[str] | None) -> None:
    with pytest.raises(ValueError, match="one label a row"):
        montage_image(rows, titles, labels)


def test_a_montage_is_written_as_it_was_laid_out(tmp_path: Path) -> None:
    rows = [[np.random.default_rng(0).random((9, 9))]]
    montage(rows, ["a"], tmp_path / "m.png", ["j"])
    with Image.open(tmp_path / "m.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), montage_image(rows, ["a"], ["j"]))
    with pytest.raises(InputError, match="the folder does not exist"):
        montage(rows, ["a"], tmp_path / "none" / "m.png")
