"""Shards, written and read back by the library that they are for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from bundle.datasets import shards
from bundle.datasets.shards import FolderShards, ShardFormat, TarShards, decode_shard, shard_format
from bundle.errors import InputError
from bundle.io import PART, grey_png_bytes

IMAGES = [(f"{index:09d}", {"png": bytes([index]), "lower.png": b"low", "json": b'{"jsw": 1}'}) for index in range(3)]


def test_a_folder_has_the_files_of_each_image(tmp_path: Path) -> None:
    FolderShards().write(tmp_path, "a", IMAGES)
    found = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert found == {f"{key}.{ending}": content for key, files in IMAGES for ending, content in files.items()}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_webdataset_reads_an_archive_image_by_image(tmp_path: Path) -> None:
    TarShards().write(tmp_path, "a", IMAGES)
    read = list(webdataset.WebDataset(str(tmp_path / "a.tar"), shardshuffle=False))
    assert [sample["__key__"] for sample in read] == [key for key, _ in IMAGES]
    assert [{ending: sample[ending] for ending in files} for sample, (_, files) in zip(read, IMAGES, strict=True)] == [
        files for _, files in IMAGES
    ]


DECODERS = ["l", "l8", "rgb", "rgb8", "rgba", "torch", "torchl", "torchrgb", "torchrgb8", "pil", "pill", "pilrgb", ""]


def archive(folder: Path, pixels: np.ndarray) -> str:
    """An archive of one image as a data set has it, of a joint in a hand."""
    form, mask = TarShards(), (pixels > 30000).astype(np.uint8) * np.uint8(255)
    files = {
        **form.radiograph(pixels),
        "lower.png": grey_png_bytes(mask),
        **form.radiograph(pixels[:3], "hand."),
        "json": b"{}",
    }
    form.write(folder, "a", [("000000001", files)])
    return str(folder / "a.tar")


def ramp() -> np.ndarray:
    return np.linspace(0, 65535, 35).astype(np.uint16).reshape(5, 7)


@pytest.mark.parametrize("spec", DECODERS)
def test_every_decoder_of_webdataset_gives_the_radiograph_as_it_is(tmp_path: Path, spec: str) -> None:
    read = webdataset.WebDataset(archive(tmp_path, ramp()), shardshuffle=False).decode(*[spec] * bool(spec))
    (sample,) = read
    assert np.array_equal(sample["npy.gz"], ramp())
    assert np.array_equal(sample["hand.npy.gz"], ramp()[:3])
    if spec:
        mask = np.asarray(sample["lower.png"], np.float64)
        mask = mask[0] if spec.startswith("torch") and mask.ndim == 3 else mask[..., 0] if mask.ndim == 3 else mask
        assert np.array_equal(mask > 0, ramp() > 30000)


def test_the_projects_decoder_gives_intensity_and_leaves_the_truth(tmp_path: Path) -> None:
    read = webdataset.WebDataset(archive(tmp_path, ramp()), shardshuffle=False).decode(decode_shard)
    (sample,) = read
    expected = torch.from_numpy(ramp() / 65535.0).float()[None]
    for name, shown in (
        ("npy.gz", expected),
        ("hand.npy.gz", expected[:, :3]),
        ("lower.png", expected > 30000 / 65535),
    ):
        assert sample[name].dtype == torch.float32
        assert torch.equal(sample[name], shown.float())
    assert sample["json"] == {}


def test_archives_of_16_bit_png_are_white_to_webdataset_and_right_to_the_project(tmp_path: Path) -> None:
    """Which is why there are none any more."""
    TarShards().write(tmp_path, "a", [("1", {"png": grey_png_bytes(ramp())})])
    shards = str(tmp_path / "a.tar")
    (white,) = webdataset.WebDataset(shards, shardshuffle=False).decode("l8")
    assert np.mean(white["png"] == 255) > 0.9
    (right,) = webdataset.WebDataset(shards, shardshuffle=False).decode(decode_shard)
    assert torch.equal(right["png"][0], torch.from_numpy(ramp() / 65535.0).float())


@pytest.mark.parametrize("pixels", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 3), np.uint8)])
def test_pixels_of_another_kind_are_refused(pixels: np.ndarray) -> None:
    content = io.BytesIO()
    np.save(content, pixels)
    with pytest.raises(ValueError, match=r"npy: .*not grey pixels of 8 or 16 bits"):
        decode_shard("npy", content.getvalue())


@pytest.mark.parametrize("name", ["png", "webdataset"])
def test_the_same_images_give_the_same_bytes_and_the_old_ones_go(tmp_path: Path, name: str) -> None:
    form = shard_format(name)
    form.write(tmp_path, "a", [*IMAGES, ("more", {"png": b"x"})])
    for again in ("a", "b"):
        form.write(tmp_path, again, IMAGES)
    one, other = (content(form.path(tmp_path, again)) for again in ("a", "b"))
    assert one == other
    assert len(list(tmp_path.iterdir())) == 2


def content(path: Path) -> dict[str, bytes]:
    return {part.name: part.read_bytes() for part in path.iterdir()} if path.is_dir() else {"": path.read_bytes()}


def broken() -> Iterator[tuple[str, dict[str, bytes]]]:
    yield IMAGES[0]
    raise KeyboardInterrupt


@pytest.mark.parametrize("form", [FolderShards(), TarShards()], ids=lambda form: type(form).__name__)
def test_a_shard_that_was_begun_is_not_there_and_does_not_hinder_the_next(tmp_path: Path, form: ShardFormat) -> None:
    with pytest.raises(KeyboardInterrupt):
        form.write(tmp_path, "a", broken())
    assert not form.path(tmp_path, "a").exists()
    form.write(tmp_path, "a", IMAGES)
    assert [path for path in tmp_path.iterdir()] == [form.path(tmp_path, "a")]


@pytest.mark.parametrize("form", [FolderShards(), TarShards()], ids=lambda form: type(form).__name__)
def test_what_a_killed_process_has_begun_is_cleared_away(tmp_path: Path, form: ShardFormat) -> None:
    (tmp_path / ".a.tar.4711.part").write_bytes(b"half")
    (tmp_path / ".a.4711-0.part").mkdir()
    form.write(tmp_path, "a", IMAGES)
    (tmp_path / ".b.tar.4711.part").write_bytes(b"another process's")
    form.write(tmp_path, "a", IMAGES)
    left = {path.name for path in tmp_path.iterdir()}
    own = {".a.tar.4711.part"} if isinstance(form, FolderShards) else {".a.4711-0.part"}
    assert left - own == {form.path(tmp_path, "a").name, ".b.tar.4711.part"}


def test_a_slow_process_whose_shard_another_has_made_gives_up_and_changes_nothing(tmp_path: Path) -> None:
    form, other = FolderShards(), "77-0"

    def overtaken() -> Iterator[tuple[str, Any]]:
        yield IMAGES[0]
        begun = next(tmp_path.glob(f".a.*{PART}"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shards, "unfinished", lambda path: path.with_name(f".{path.name}.{other}{PART}"))
            form.write(tmp_path, "a", IMAGES)
        assert not begun.exists()
        yield IMAGES[1]

    with pytest.raises(InputError, match="the folder does not exist"):
        form.write(tmp_path, "a", overtaken())
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]
    assert len(list((tmp_path / "a").iterdir())) == sum(len(files) for _, files in IMAGES)


def test_a_folder_that_is_not_there_is_named_in_the_refusal(tmp_path: Path) -> None:
    for form in (FolderShards(), TarShards()):
        with pytest.raises(InputError, match=r"none/a(\.tar)? could not be written .*the folder does not exist"):
            form.write(tmp_path / "none", "a", IMAGES)


def test_a_format_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match="zip is not a shard format"):
        shard_format("zip")
