"""A pack as dataset_dir gives what its folder gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bundle.io.packing import pack_joints

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

LIST = "LS_K1_all_test"


@pytest.fixture
def archive(data: Path) -> Path:
    """The five joints as one file."""
    pack_joints(data, [LIST], data.parent / "joints.pack", size=64)
    return data.parent / "joints.pack"


def results(folder: Path) -> dict[str, bytes]:
    """The layers and images that a run has written."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.suffix in KINDS}


KINDS = (".gz", ".png")


@pytest.mark.long
def test_inference_separates_the_joints_of_a_pack_as_those_of_its_folder(
    bundle: Any, data: Path, archive: Path, tmp_path: Path
) -> None:
    settings = {"datalist": LIST, "image_size": 64, "batch_size": 2, "weights": "none"}
    found = []
    for root in (data, archive):
        output = tmp_path / f"of_{root.name}"
        bundle.run("run", "inference.json", dataset_dir=str(root), output_dir=str(output), **settings)
        found.append(results(output))
    assert found[0] == found[1] and len([name for name in found[0] if name.endswith("_layers.nii.gz")]) == 5
