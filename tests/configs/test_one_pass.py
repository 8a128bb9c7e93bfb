"""The pixels of a file are decoded once in a run, on their way to layers as on their way to a data set."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.io import dicom, reading
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.writing import deep_pixels, write_masks, write_png
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from tests.configs.conftest import of_job

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

SIZE = 64
SPACING = (21.0 / SIZE, 21.0 / SIZE)
SYNTHESIZE = of_job("synthesize")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of a picture with masks, a broken one, and a DICOM hand with masks of two joints."""
    folder = tmp_path / "Data"
    folder.mkdir()
    alone, *others = (
        render(sample_parameters(seed, size=SIZE, spacing=SPACING[0], outline_gap_mm=1.5)) for seed in range(3)
    )
    write_png(folder / "alone.png", deep_pixels(alone.image))
    write_masks(folder, "alone", (alone.masks > 0.5).float())
    (folder / "broken.png").write_bytes((folder / "alone.png").read_bytes()[:-200])
    hand, masks = torch.full((1, SIZE + 8, 2 * SIZE + 20), 0.05), torch.zeros(2, SIZE + 8, 2 * SIZE + 20)
    for number, shown in enumerate(others):
        place = (slice(None), slice(4, 4 + SIZE), slice(4 + number * (SIZE + 8), 4 + number * (SIZE + 8) + SIZE))
        hand[place], masks[place] = shown.image, (shown.masks > 0.5).float()
    write_dicom(folder / "hand.dcm", DicomStudy("1", "hand", "R").image(hand[0].numpy(), SPACING, "phantoms", False))
    write_masks(folder, "hand", masks)
    middle = (SIZE - 1) / 2.0 + 4.0
    marks = [f"{name},{middle + number * (SIZE + 8)},{middle},0,-1" for number, name in enumerate(("index", "ring"))]
    (folder / "hand.csv").write_text("\n".join(["name,x,y,direction_x,direction_y", *marks]))
    return folder


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the pixels of each file are decoded."""
    found = Counter[str]()
    pictures, pixels = reading._decoded, dicom._pixels

    def picture(data: bytes, path: Any, *options: Any, **more: Any) -> Any:
        found[Path(path).name] += 1
        return pictures(data, path, *options, **more)

    def radiograph(dataset: Any, path: Any) -> Any:
        found[Path(path).name] += 1
        return pixels(dataset, path)

    monkeypatch.setattr(reading, "_decoded", picture)
    monkeypatch.setattr(dicom, "_pixels", radiograph)
    return found


def settings(mixed: Path, **more: Any) -> dict[str, Any]:
    known = {"dataset_dir": str(mixed), "datalist": "*", "strict": False, "weights": "none", "image_size": SIZE}
    return {**known, "spacing": SPACING[0], "output_dir": str(mixed.parent / "out"), **more}


FILES = ["alone.png", "alone_mask_lower.png", "alone_mask_upper.png", "broken.png", "hand.dcm"]
FILES += ["hand_mask_lower.png", "hand_mask_upper.png"]


@pytest.mark.slow
def test_inference_decodes_every_file_once(bundle: Any, mixed: Path, decoded: Counter[str]) -> None:
    bundle.run("evaluating", *of_job("infer_dicom"), **settings(mixed, batch_size=2))
    lines = [json.loads(line) for line in (mixed.parent / "out" / "quality.jsonl").read_text().splitlines()]
    assert [line["masks"] for line in lines] == ["given"] * 3
    assert (mixed.parent / "out" / "Data_hand_index.dcm").is_file()
    assert decoded == dict.fromkeys(FILES, 1)


@pytest.mark.long
def test_a_data_set_decodes_every_file_once_also_the_hands_of_its_images(
    bundle: Any, mixed: Path, decoded: Counter[str]
) -> None:
    more = {"changes_mm": [-0.2, 0.2], "gate#plausible": False, "gate#tolerance_mm": 1.0, "gate#largest_overlap": 1.0}
    bundle.run("synthesizing", *of_job("synthesize_dicom"), **settings(mixed, **more))
    images = mixed.parent / "out" / "radiographs-000000"
    assert len(list(images.glob("*.hand.png"))) == len(list(images.glob("*.hand.dcm"))) == 4
    assert decoded == dict.fromkeys(FILES, 1)


@pytest.mark.long
def test_a_counter_that_is_not_told_of_a_kept_joint_counts_twice(
    bundle: Any, mixed: Path, decoded: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without room for what the audit loads every file is loaded again, with the same result."""
    bundle.run("evaluating", "inference.json", **settings(mixed))
    whole = {path.name: path.read_bytes() for path in (mixed.parent / "out").iterdir()}
    monkeypatch.setattr("bundle.io.keeping.Kept.keep", lambda *_: None)
    decoded.clear()
    bundle.run("evaluating", "inference.json", **settings(mixed, output_dir=str(mixed.parent / "again")))
    assert {path.name: path.read_bytes() for path in (mixed.parent / "again").iterdir()} == whole
    assert decoded["alone.png"] == 2 and decoded["hand.dcm"] == 3 and decoded["broken.png"] == 1
