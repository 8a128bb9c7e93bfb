"""What is written reads back the same; a failed write leaves nothing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.joint_images import read_joint
from bundle.io.reading import read_radiograph
from bundle.io.reservations import reserve_output
from bundle.io.writing import (
    append_line,
    check_destination,
    replacing,
    unfinished,
    write_bytes,
    write_image,
    write_layer_images,
    write_layers,
    write_masks,
)
from monai.transforms import Compose, EnsureChannelFirst, LoadImage
from PIL import Image
from tests.io.refusals import refusal

ROOT = Path(__file__).resolve().parents[2]
HEIGHT, WIDTH = 20, 30


@pytest.fixture
def layers() -> torch.Tensor:
    return torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0))


def fill_the_disk(path: Path) -> None:
    """Let the temporary file of ``path`` be the device that is always full."""
    unfinished(path).symlink_to("/dev/full")


def test_layers_read_back_by_nibabel_in_x_y_order_with_their_spacing(tmp_path: Path, layers: torch.Tensor) -> None:
    write_layers(tmp_path / "a_layers.nii.gz", layers, 0.1)
    image = nib.load(tmp_path / "a_layers.nii.gz")
    assert image.shape == (WIDTH, HEIGHT, 1, 3)
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 0].T, layers.numpy())
    np.testing.assert_allclose(image.header.get_zooms()[:2], 0.1, rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_layers_are_upright_where_the_patients_left_is_on_the_right(tmp_path: Path, layers: torch.Tensor) -> None:
    write_layers(tmp_path / "a.nii.gz", layers, 0.1)
    assert nib.aff2axcodes(nib.load(tmp_path / "a.nii.gz").affine) == ("L", "P", "S")


def test_layers_read_back_by_monai_as_channels(tmp_path: Path, layers: torch.Tensor) -> None:
    write_layers(tmp_path / "a.nii.gz", layers, 0.1)
    result = Compose([LoadImage(), EnsureChannelFirst()])(tmp_path / "a.nii.gz")
    assert result.shape == (3, WIDTH, HEIGHT, 1)
    assert torch.equal(result.as_tensor()[..., 0].transpose(1, 2), layers)
    assert result.pixdim[:2].tolist() == pytest.approx([0.1, 0.1])


def test_equal_layers_make_equal_files(tmp_path: Path, layers: torch.Tensor) -> None:
    write_layers(tmp_path / "a.nii.gz", layers, 0.1)
    write_layers(tmp_path / "b.nii.gz", layers.numpy(), 0.1)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_not_written(tmp_path: Path, layers: torch.Tensor, bad: float) -> None:
    layers[1, 2, 3] = bad
    for write in (
        lambda: write_layers(tmp_path / "a.nii.gz", layers, 0.1),
        lambda: write_layer_images(tmp_path, "a", layers),
        lambda: write_masks(tmp_path, "a", layers[:2]),
    ):
        with pytest.raises(ValueError, match="1 values are NaN or infinite"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_another_shape_or_ending_is_refused(tmp_path: Path, layers: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"shape \(20, 30\) does not have 3 axes"):
        write_layers(tmp_path / "a.nii.gz", layers[0], 0.1)
    with pytest.raises(ValueError, match=r"\.nii\.gz"):
        write_layers(tmp_path / "a.png", layers, 0.1)
    assert list(tmp_path.iterdir()) == []


def test_an_image_reads_back_to_half_a_grey_level(tmp_path: Path, layers: torch.Tensor) -> None:
    image = layers[:1].requires_grad_()
    write_image(tmp_path / "a.png", image)
    assert np.abs(read_radiograph(tmp_path / "a.png") - image.detach()[0].numpy()).max() <= 0.5 / 255 + 1e-6


def test_intensities_beyond_the_unit_range_are_clipped_and_do_not_wrap(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.array([[-0.2, 1.2], [0.0, 1.0]]))
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.png"), [[0, 1], [0, 1]])


def test_each_layer_becomes_an_image(tmp_path: Path, layers: torch.Tensor) -> None:
    write_layer_images(tmp_path, "j_1", layers)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j_1_lower.png", "j_1_soft.png", "j_1_upper.png"]
    for index, name in enumerate(("soft", "lower", "upper")):
        with Image.open(tmp_path / f"j_1_{name}.png") as picture:
            assert (picture.mode, picture.size) == ("L", (WIDTH, HEIGHT))
            np.testing.assert_allclose(np.asarray(picture) / 255, layers[index], atol=0.51 / 255)


def test_a_written_joint_reads_back_as_a_joint(tmp_path: Path) -> None:
    image = torch.linspace(0, 1, HEIGHT * HEIGHT).reshape(1, HEIGHT, HEIGHT)
    masks = torch.zeros(2, HEIGHT, HEIGHT)
    masks[0, 11:, 3:] = 0.51
    masks[1, :9, :15] = 1.0
    masks[:, 10] = 0.5
    write_image(tmp_path / "a.png", image)
    write_masks(tmp_path, "a", masks)
    item = {"image": tmp_path / "a.png", **{bone: tmp_path / f"a_mask_{bone}.png" for bone in ("lower", "upper")}}
    joint = read_joint(item, HEIGHT)
    assert torch.allclose(joint[:1], image, atol=0.51 / 255)
    assert torch.equal(joint[1:], (masks > 0.5).float())


def test_a_failing_block_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(KeyError, match="bug"), replacing(path) as file:
        file.write(b"half")
        raise KeyError("bug")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_file_is_not_seen_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.long
def test_a_write_that_is_killed_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    program = (
        "import os, signal, sys\nfrom bundle.io.writing import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half')\n    file.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    result = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, timeout=120)
    assert result.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize(
    "save", [lambda file: file.write(b"x" * 10**6), lambda file: torch.save(torch.ones(10**5), file)]
)
def test_a_full_disk_is_explained_and_leaves_the_old_file(tmp_path: Path, save: Callable[[Any], None]) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(b"old")
    fill_the_disk(path)
    with pytest.raises(InputError) as caught, replacing(path) as file:
        save(file)
    assert "model.pt" in str(caught.value) and str(tmp_path) in str(caught.value)
    assert "the disk is full. Free space or choose another output folder" in str(caught.value)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_beyond_the_allowed_size_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(InputError) as caught, replacing(path) as file:
            torch.save(torch.ones(10**5), file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "exceeds the size limit" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_lines_are_appended_in_order_and_a_refusal_is_explained(tmp_path: Path) -> None:
    for line in ('{"jsw": 1}', '{"jsw": 2, "joint": "ü"}'):
        append_line(tmp_path / "truth.jsonl", line)
    assert (tmp_path / "truth.jsonl").read_text(encoding="utf-8") == '{"jsw": 1}\n{"jsw": 2, "joint": "ü"}\n'
    assert "the folder does not exist" in refusal(append_line, tmp_path / "none" / "truth.jsonl", "{}")


def test_a_missing_folder_and_a_file_in_the_way_are_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "the folder does not exist" in refusal(write_bytes, tmp_path / "none" / "a.bin", b"")
    assert "a file is in the way" in refusal(write_bytes, tmp_path / "file" / "a.bin", b"")


def test_a_destination_is_checked_as_its_writing_and_left_unchanged(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    check_destination(tmp_path / "file")
    check_destination(tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_bytes() == b"old"
    assert "the folder does not exist" in refusal(check_destination, tmp_path / "none" / "a.bin")
    assert "a file is in the way" in refusal(check_destination, tmp_path / "file" / "a.bin")
    assert "is a folder. Add a file name" in refusal(check_destination, tmp_path)


@pytest.fixture
def locked(tmp_path: Path) -> Any:
    """A folder without the right to write."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        pytest.skip("this user may write everywhere (root)")
    yield folder
    folder.chmod(0o700)


def test_a_folder_without_the_right_to_write_is_explained(locked: Path) -> None:
    assert "no permission to write" in refusal(write_bytes, locked / "a.bin", b"")
    assert "no permission to write" in refusal(reserve_output, locked, "run")
    assert "no permission to write" in refusal(reserve_output, locked / "sub", "run")


def test_a_refused_permission_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    for message in (refusal(write_bytes, tmp_path / "a.bin", b""), refusal(reserve_output, tmp_path / "out", "run")):
        assert "no permission to write. Choose another output folder" in message and str(tmp_path) in message
    assert list(tmp_path.glob("**/*.*")) == []
