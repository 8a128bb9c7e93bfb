"""Nothing but the picture gives the answer away: a classifier of the files of a study finds nothing."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bundle.reader_study.study import SYNTHETIC, read_key, read_study
from bundle.reader_study.study_images import study_png
from bundle.reader_study.study_making import make_study
from bundle.statistics import area_under_curve
from PIL import Image, PngImagePlugin
from tests.reader_study.leaks import chunks, classified, features, largest_area
from tests.reader_study.phantoms import phantoms, public_joints

COUNT = 16
CHANCE = 0.5 + 3.0 * np.sqrt((2 * COUNT + 1) / (12 * COUNT**2))
"""Largest area under the curve that chance allows (three standard deviations of the Mann-Whitney statistic)."""

STUDIES = 8
"""Number of studies of public joints."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaks") / "study"
    make_study(folder, *phantoms(COUNT), count=COUNT, caliper_mm=2.0)
    return folder


def paths_of(folder: Path) -> list[Path]:
    return sorted((folder / "images").iterdir())


def labels_of(folder: Path) -> np.ndarray:
    key = read_key(read_study(folder))
    return np.array([float(key[path.stem]["kind"] == SYNTHETIC) for path in paths_of(folder)])


@pytest.fixture(scope="module")
def labels(made: Path) -> np.ndarray:
    return labels_of(made)


def test_a_classifier_of_the_files_finds_nothing(made: Path, labels: np.ndarray) -> None:
    found = features(paths_of(made))
    assert area_under_curve(classified(found, labels), labels) < CHANCE
    assert largest_area(found, labels) < 0.9  # the best of more than a hundred features, by chance


@pytest.mark.long
def test_a_classifier_of_the_files_finds_nothing_in_studies_of_public_joints(joint_data: Path, tmp_path: Path) -> None:
    """Their radiographs are JPEG files, in whose own pixels the blocks would be visible.

    The two sides of a study show different joints, which differ by themselves, so several studies are averaged.
    """
    areas, best = [], []
    for row in range(STUDIES):
        folder = tmp_path / f"study_{row}"
        make_study(folder, *public_joints(joint_data, COUNT, seed=row), count=COUNT)
        found, labels = features(paths_of(folder)), labels_of(folder)
        areas.append(area_under_curve(classified(found, labels), labels))
        best.append(largest_area(found, labels))
    assert np.mean(areas) < 0.5 + (CHANCE - 0.5) / np.sqrt(STUDIES)
    assert np.mean(best) < 0.8


def test_files_differ_in_nothing_but_their_pixels(made: Path) -> None:
    paths = paths_of(made)
    assert len({path.stat().st_size for path in paths}) == 1
    assert len({(path.stat().st_mtime_ns, path.stat().st_mode) for path in paths}) == 1
    assert len({tuple(chunks(path.read_bytes())) for path in paths}) == 1


def compressed(path: Path, synthetic: bool) -> None:
    """The synthetic side is written by another encoder."""
    if synthetic:
        pixels = np.asarray(Image.open(path))
        Image.fromarray(pixels).save(path)


def as_jpeg(path: Path, synthetic: bool) -> None:
    """The real side has the blocks of a JPEG file in its own pixels, the synthetic side has not."""
    if not synthetic:
        small, buffer = Image.open(path), io.BytesIO()
        small = small.resize((small.width // 4, small.height // 4), Image.Resampling.BOX)
        small.save(buffer, format="JPEG", quality=30)
        pixels = np.asarray(Image.open(buffer).resize((small.width * 4, small.height * 4), Image.Resampling.BICUBIC))
        path.write_bytes(study_png(pixels))


def later(path: Path, synthetic: bool) -> None:
    os.utime(path, (1e9 + synthetic, 1e9 + synthetic))


def with_text(path: Path, synthetic: bool) -> None:
    text = PngImagePlugin.PngInfo()
    if synthetic:
        text.add_text("Software", "synthesis")
    Image.open(path).save(path, pnginfo=text, compress_level=0)


def stretched(path: Path, synthetic: bool) -> None:
    """The grey values of the real side have gaps, as after a change of contrast in 8 bits."""
    pixels = np.asarray(Image.open(path))
    path.write_bytes(study_png(pixels if synthetic else (pixels // 2 * 2).astype(np.uint8)))


def black_edge(path: Path, synthetic: bool) -> None:
    pixels = np.array(Image.open(path))
    pixels[0, :: 1 if synthetic else pixels.shape[1]] = 0
    path.write_bytes(study_png(pixels))


@pytest.mark.parametrize("leak", [compressed, as_jpeg, later, with_text, stretched, black_edge])
def test_a_planted_leak_is_found(
    made: Path, labels: np.ndarray, tmp_path: Path, leak: Callable[[Path, bool], None]
) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "study"))
    for path, label in zip(paths_of(folder), labels, strict=True):
        leak(path, bool(label))
    found = features(paths_of(folder))
    assert largest_area(found, labels) > 0.95
    if leak is not later:
        assert area_under_curve(classified(found, labels), labels) > CHANCE
