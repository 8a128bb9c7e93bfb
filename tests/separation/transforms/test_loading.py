"""Files and phantoms become samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.phantom_lists import phantom_items
from bundle.physics.radiograph import reconstruct
from bundle.separation.transforms.dictionary import RandPseudoOverlapd
from bundle.separation.transforms.layers import SeparateLayersd
from bundle.separation.transforms.loading import LoadJointd
from monai.transforms import Compose
from PIL import Image
from tests.separation.transforms.samples import SIZE, Sample, same, width


@pytest.fixture
def files(tmp_path: Path) -> Sample:
    """Files of a joint whose upper mask ends two pixels, and whose lower mask ends one pixel, short of the border."""
    y, x = np.mgrid[:SIZE, :SIZE]
    lower, upper = np.zeros((2, SIZE, SIZE), np.uint8)
    lower[36:-1, 10:50], upper[2:30, 12:48] = 255, 255
    item: Sample = {"name": "a_1", "joint": "a", "spacing": 0.2, "finger": "index", "overlapping": False}
    for key, pixels in (("image", (40 + 2 * x + y).astype(np.uint8)), ("lower", lower), ("upper", upper)):
        item[key] = str(tmp_path / f"{key}.png")
        Image.fromarray(pixels).save(item[key])
    return item


def test_files_are_loaded_with_an_empty_label_and_masks_that_reach_the_border(files: Sample) -> None:
    result = LoadJointd(SIZE)(files)
    y, x = np.mgrid[:SIZE, :SIZE]
    np.testing.assert_allclose(result["image"][0].numpy(), (40 + 2 * x + y) / 255, atol=1e-6)
    expected = torch.zeros(2, SIZE, SIZE)
    expected[0, 36:, 10:50], expected[1, :30, 12:48] = 1.0, 1.0
    assert torch.equal(result["image"][1:], expected)
    assert torch.equal(result["label"], torch.zeros(3, SIZE, SIZE))
    assert torch.equal(result["truth"], torch.zeros(1))
    assert torch.equal(result["spacing"], torch.tensor([0.2]))
    assert {key: result[key] for key in ("name", "joint", "finger", "overlapping")} == {
        key: files[key] for key in ("name", "joint", "finger", "overlapping")
    }
    assert files["spacing"] == 0.2
    assert isinstance(files["image"], str)


def test_files_of_another_size_are_refused_unless_any_is_accepted(files: Sample) -> None:
    with pytest.raises(InputError, match=r"image\.png: 64 x 64 pixels, not 256 x 256"):
        LoadJointd()(files)
    assert tuple(LoadJointd(None)(files)["image"].shape) == (3, SIZE, SIZE)


def test_a_file_that_is_not_there_is_named(files: Sample) -> None:
    with pytest.raises(InputError, match=r"lower\.gone"):
        LoadJointd(SIZE)({**files, "lower": "lower.gone"})


def test_phantoms_are_rendered_with_true_layers() -> None:
    items: list[Sample] = [*phantom_items(3, seed=2, size=SIZE)]
    for item in items:
        result = LoadJointd(SIZE)(item)
        torch.testing.assert_close(reconstruct(result["label"]), result["image"][:1], atol=1e-6, rtol=0)
        assert tuple(result["image"].shape) == (3, SIZE, SIZE)
        assert torch.equal(result["truth"], torch.ones(1))
        assert torch.equal(result["spacing"], torch.tensor([item["spacing"]]))
        assert width(result["image"]) == pytest.approx(item["outline_gap_mm"], abs=0.03)
        assert result["name"] == item["name"]
        assert same(LoadJointd(SIZE)(item), result)


def test_a_re_take_of_a_phantom_shows_the_same_joint_again() -> None:
    items: list[Sample] = [*phantom_items(1, seed=2, size=SIZE, takes=2)]
    first, again = (LoadJointd(SIZE)(item) for item in items)
    assert same(LoadJointd(SIZE)({**items[0], "retake": 0}), first)
    assert not torch.equal(first["image"], again["image"])
    assert width(again["image"]) == pytest.approx(width(first["image"]), abs=0.03)


def test_a_phantom_has_256_pixels_where_any_size_is_accepted() -> None:
    items: list[Sample] = [*phantom_items(1, seed=0)]
    assert tuple(LoadJointd(None)(items[0])["image"].shape) == (3, 256, 256)


def test_files_and_phantoms_go_through_the_training_chain(files: Sample) -> None:
    chain = Compose([LoadJointd(SIZE), SeparateLayersd(), RandPseudoOverlapd()]).set_random_state(0)
    items: list[Sample] = [files, *phantom_items(2, seed=0, size=SIZE)]
    keys = ("image", "label", "truth", "source", "spacing")
    for item in items:
        result = chain(item)
        assert all(result[key].dtype == torch.float32 for key in keys)
        assert float(result["truth"]) == 1.0
