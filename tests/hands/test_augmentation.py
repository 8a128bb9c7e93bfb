"""Random views keep the landmarks on their pixels, whatever bends, turns or covers the hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.hands import HandPicture, RandHandViewsd
from bundle.hands.artefacts import APPEARANCE, changed_appearance, collimated, shuffled
from bundle.hands.augmentation import CropViews, FilmViews, View, cut_off, halves, hand_view
from bundle.hands.bending import Warp, bent, toes
from bundle.hands.landmarks import LANDMARKS, Array, apply, chain
from bundle.hands.views import CROP, FILM, Pyramid, crop_points, film_matrix, moved
from tests.hands.hand_drawings import dots, placed

POINTS = placed(330.0, (190.0, 220.0), 7.0)


@pytest.fixture(scope="module")
def hand() -> HandPicture:
    return HandPicture("dots", Pyramid(torch.as_tensor(dots((440, 380), POINTS))[None]), POINTS)


def brightness(view: View) -> Array:
    """Distance in pixels of each visible landmark, away from others, to the centroid of the brightness around it."""
    picture, shifts = view.image[0].numpy(), []
    for x, y, visible in view.labels(1)[0].numpy():
        alone = np.sort(np.hypot(*(view.hands[0] - [x, y]).T))[1] > 8.0
        if visible and alone and 6 < x < picture.shape[1] - 7 and 6 < y < picture.shape[0] - 7:
            row, column = round(float(y)), round(float(x))
            window = picture[row - 3 : row + 4, column - 3 : column + 4] ** 2
            steps = np.arange(-3, 4)
            centre = [(window.sum(axis=axis) @ steps) / window.sum() for axis in (0, 1)]
            shifts.append(np.hypot(column + centre[0] - x, row + centre[1] - y))
    return np.array(shifts)


@pytest.mark.parametrize("seed", range(6))
def test_landmarks_stay_on_their_dots_when_a_bent_hand_is_turned(hand: HandPicture, seed: int) -> None:
    rng, size = np.random.RandomState(seed), (400, 400)
    base = np.array([[1.2, 0.0, -45.0], [0.0, 1.2, -15.0]])
    matrix = moved(base, size, rng.uniform(0, 6.3), 0.95, rng.uniform(-5, 5, 2), bool(seed % 2))
    shifts = brightness(hand_view(hand, matrix, size, rng, bent(hand.points, rng)))
    assert len(shifts) >= 10
    assert np.quantile(shifts, 0.9) < 0.4


def test_landmarks_of_upright_crops_stay_on_their_dots_and_near_the_mean_hand(hand: HandPicture) -> None:
    view = CropViews([hand], 0.0, 0.0, 0.0)._hand(hand, np.random.RandomState(0))
    assert brightness(view).max() < 0.4
    assert np.abs(view.hands[0] - crop_points()).max() < 0.25 * CROP[0]


def test_a_shifted_landmark_would_be_found(hand: HandPicture) -> None:
    view = hand_view(hand, film_matrix(*hand.shape), FILM, np.random.RandomState(0))
    view.hands[0] = view.hands[0] + 2.0
    assert brightness(view).max() > 1.5


def test_a_warp_maps_the_landmarks_of_the_bent_hand_to_those_of_the_radiograph() -> None:
    changed = bent(POINTS, np.random.RandomState(3))
    np.testing.assert_allclose(Warp(POINTS, changed)(changed), POINTS, atol=0.05)
    assert np.abs(changed - POINTS).max() > 5.0


def test_toes_are_shorter_than_fingers_by_half() -> None:
    short = toes(POINTS, np.random.RandomState(0))
    for finger in ("index", "middle", "ring", "small"):
        row = chain(finger)
        bones = [np.linalg.norm(np.diff(points[row[1:]], axis=0), axis=1).sum() for points in (short, POINTS)]
        assert 0.28 < bones[0] / bones[1] < 0.52


def test_the_same_seed_gives_the_same_views(hand: HandPicture) -> None:
    made = []
    for _ in range(2):
        transform = RandHandViewsd([{"hand": hand}])
        transform.set_random_state(7)
        made.append([transform({"hand": hand}) for _ in range(2)])
    assert all(torch.equal(first[key], second[key]) for first, second in zip(*made, strict=True) for key in first)
    assert not torch.equal(made[0][0]["film"], made[0][1]["film"])


def test_samples_have_the_shapes_of_the_networks_and_values_in_range(hand: HandPicture) -> None:
    transform = RandHandViewsd([{"hand": hand}], films=3)
    transform.set_random_state(1)
    sample = transform({"hand": hand})
    assert sample["film"].shape == (3, 1, *FILM)
    assert sample["crop"].shape == (1, 1, *CROP)
    assert sample["film_points"].shape == (3, 2, len(LANDMARKS), 3)
    assert sample["crop_points"].shape == (1, 1, len(LANDMARKS), 3)
    assert all(0.0 <= float(sample[key].min()) <= float(sample[key].max()) <= 1.0 for key in ("film", "crop"))


def test_what_shows_no_hand_has_no_landmarks(hand: HandPicture) -> None:
    rng, crops = np.random.RandomState(0), CropViews([hand])
    for view in (crops._mirrored(hand, rng), crops._foot(hand, rng), crops._tiles(hand, rng)):
        assert not view.labels(1)[..., 2].any()


def test_a_line_hides_the_landmarks_beyond_it_of_either_hand(hand: HandPicture) -> None:
    view = hand_view(hand, film_matrix(*hand.shape), FILM, np.random.RandomState(0))
    middle, normal = np.array([95.5, 95.5]), np.array([1.0, 0.0])
    both = halves(view, view, middle, normal).labels(2)[..., 2]
    beyond = torch.as_tensor(view.hands[0][:, 0] > 95.5)
    assert torch.equal(both[0] > 0, ~beyond)
    assert torch.equal(both[1] > 0, beyond)


@pytest.mark.parametrize("seed", range(3))
def test_covered_landmarks_are_not_visible(hand: HandPicture, seed: int) -> None:
    rng = np.random.RandomState(seed)
    view = hand_view(hand, film_matrix(*hand.shape), FILM, rng)
    image, shown = collimated(view.image, view.shown, rng)
    for covered in (View(image, shown, view.hands), cut_off(view, rng)):
        for x, y, visible in covered.labels(1)[0].numpy():
            assert not visible or covered.shown[round(float(y)), round(float(x))]


def test_few_landmarks_count_as_no_hand(hand: HandPicture) -> None:
    view = hand_view(hand, film_matrix(*hand.shape), FILM, np.random.RandomState(0))
    view.shown[:] = False
    for x, y in view.hands[0][:4]:
        view.shown[round(y), round(x)] = True
    assert not view.labels(1)[..., 2].any()


def test_every_change_of_the_appearance_stays_in_range_and_changes_something(hand: HandPicture) -> None:
    image = 0.2 + 0.5 * hand.radiograph.view(film_matrix(*hand.shape), FILM)
    for number, (_, change) in enumerate(APPEARANCE):
        changed = change(image, np.random.RandomState(number))
        assert changed.shape == image.shape
        assert 0.0 <= float(changed.min()) <= float(changed.max()) <= 1.0
        assert not torch.equal(changed, image)
    assert changed_appearance(image, np.random.RandomState(0)).shape == image.shape


def test_shuffled_tiles_keep_the_grey_values() -> None:
    image = torch.rand(1, 96, 96)
    tiles = shuffled(image, np.random.RandomState(2))
    assert not torch.equal(tiles, image)
    torch.testing.assert_close(tiles.flatten().sort().values, image.flatten().sort().values)


def test_views_of_films_invert_and_show_two_hands(hand: HandPicture) -> None:
    rng, films = np.random.RandomState(0), FilmViews([hand])
    counts = {int((films(hand, rng)[1][..., 2].sum(dim=1) > 0).sum()) for _ in range(25)}
    assert counts == {0, 1, 2}


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0])
def test_the_levels_of_the_resolution_have_the_same_centre(scale: float) -> None:
    y, x = np.mgrid[:440, :380]
    spot = np.exp(-0.5 * ((x - 150.0) ** 2 + (y - 250.0) ** 2) / 30.0**2)
    matrix = moved(film_matrix(440, 380), FILM, 0.0, scale, (0.0, 0.0), False)
    weight = Pyramid(torch.as_tensor(spot)[None]).view(matrix, FILM)[0].numpy()
    y, x = np.mgrid[: FILM[0], : FILM[1]]
    centre = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    np.testing.assert_allclose(apply(matrix, centre), [150.0, 250.0], atol=0.2)
