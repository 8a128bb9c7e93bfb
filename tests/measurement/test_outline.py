"""Distances to an outline: by the definition, in both conventions, and as the distances in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.measurement.outline import outline_distance
from bundle.physics.masks import signed_distance


def blob(seed: int = 0, size: int = 24) -> np.ndarray:
    """A mask that leaves the frame, with a hole and a stray pixel."""
    y, x = np.mgrid[:size, :size]
    mask = (x - 10) ** 2 + (y - 18) ** 2 < 60
    mask[15, 10], mask[2, 20] = False, True
    return mask


def by_definition(mask: np.ndarray, offset: float) -> np.ndarray:
    places = [np.argwhere(part).astype(float) for part in (~mask, mask)]
    found = np.zeros(mask.shape)
    for place in np.ndindex(*mask.shape):
        inside = bool(mask[place])
        nearest = np.sqrt(((places[0 if inside else 1] - np.array(place)) ** 2).sum(axis=1).min()) - offset
        found[place] = nearest if inside else -nearest
    return found


@pytest.mark.parametrize("offset", [0.5, 0.0])
def test_a_distance_is_that_to_the_nearest_pixel_of_the_other_kind_less_the_offset(offset: float) -> None:
    np.testing.assert_allclose(outline_distance(blob(), offset=offset), by_definition(blob(), offset), atol=1e-12)


def test_a_mask_is_continued_beyond_the_frame_as_far_as_asked() -> None:
    mask, margin = blob(), 7
    around = np.pad(mask, margin, mode="edge")
    expected = by_definition(around, 0.5)[margin:-margin, margin:-margin]
    np.testing.assert_allclose(outline_distance(mask, continued=margin), expected, atol=1e-12)


def test_on_the_border_of_a_mask_it_is_the_distance_of_physics() -> None:
    mask, reach = blob(), 5
    known = signed_distance(torch.from_numpy(mask)[None, None].double(), reach)[0, 0].numpy()
    np.testing.assert_allclose(outline_distance(mask, continued=30).clip(-reach, reach), known, atol=1e-6)


def test_without_an_outline_everything_is_infinitely_far() -> None:
    assert (outline_distance(np.ones((3, 4), bool)) == np.inf).all()
    assert (outline_distance(np.zeros((3, 4), bool), continued=2) == -np.inf).all()
