"""docs/reference/keys.md lists the keys that the code makes: each of them, and no other one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.factory import RadiographFactory, passed, truth_of
from bundle.datasets.gate import QualityGate
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.sources import SourceStore
from bundle.datasets.specifications import DataPlan
from bundle.datasets.streams import SyntheticRadiographs
from bundle.evaluation.report import EvaluationReport
from bundle.inference.joint_table import JointTable
from bundle.inference.quality import JointQuality
from bundle.inference.results import LayerWriter, run_remaining
from bundle.inference.separating import separate_batch
from bundle.io.dicom_writing import DicomStudy, write_dicom
from bundle.io.joints import joint_items
from bundle.io.lists import read_datalist
from bundle.io.phantom_lists import destroyed_items, moved_items, phantom_items
from bundle.io.writing import deep_pixels, write_masks, write_png
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.quality.plausibility import Plausibilityd
from bundle.quality.uncertainty import SIGNS, Calibration, FlipInferer
from bundle.registration.following import COLUMNS as FOLLOWED
from bundle.registration.narrowing import make_registration
from bundle.registration.pair_lists import RadiographPairs
from bundle.registration.report import NarrowingWriter, PairQuality
from bundle.registration.synthetic_pairs import SyntheticPairs
from bundle.scoring.frames import ReadingFramed
from bundle.scoring.labels import JointSpaceLabels
from bundle.separation.transforms import augmentation, dictionary, layers, loading
from bundle.statistics.measured import Measured, SeparatedJoints
from bundle.workflow.weights import GeneratorWeights
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from scripts.results_document.columns import MEASURES
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reference" / "keys.md").read_text()
SIZE = 64
SPACING = 21.0 / SIZE
GATE = QualityGate(tolerance_mm=0.5, plausible=False)
Found = dict[str, set[str]]


def tables(page: str) -> Found:
    """The keys of each table, by the title of its section."""
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    found = {part.splitlines()[0]: re.findall(r"^\| `([^`]+)` \|", part, re.MULTILINE) for part in sections}
    twice = [title for title, keys in found.items() if len(keys) != len(set(keys))]
    assert not twice, f"a key stands twice under {twice}"
    return {title: set(keys) for title, keys in found.items()}


class WeightFree(nn.Module):
    """A separator with the signature of the generator."""

    def forward(self, image: Tensor) -> Tensor:
        return separate(image[:, :1], image[:, 1:])


def keys_of(lines: Iterable[Mapping[Any, Any]]) -> set[str]:
    return {str(key) for line in lines for key in line}


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write_data(folder: Path) -> None:
    """A hand with a marked joint of pixels that are not square, a picture with masks, and one that is broken."""
    folder.mkdir()
    shown = render(sample_parameters(0, size=SIZE, spacing=SPACING, outline_gap_mm=1.5))
    write_png(folder / "joint.png", deep_pixels(shown.image))
    write_masks(folder, "joint", (shown.masks > 0.5).float())
    (folder / "broken.png").write_bytes(b"no picture")
    wide = torch.nn.functional.interpolate(torch.cat([shown.image, shown.masks])[None], (SIZE, 2 * SIZE))[0]
    spacing = (SPACING, SPACING / 2.0)
    write_dicom(folder / "hand.dcm", DicomStudy("1", "hand", "R").image(wide[0].numpy(), spacing, "phantom", False))
    write_masks(folder, "hand", (wide[1:] > 0.5).float())
    centre = f"{SIZE - 0.5},{(SIZE - 1) / 2}"
    (folder / "hand.csv").write_text(f"name,x,y,direction_x,direction_y\nleft index,{centre},0,-1")


def inference(folder: Path, items: Any) -> Found:
    """Separate the joints: the evaluator's output, and what is written."""
    weights = GeneratorWeights("absent.pt", nn.Identity())
    Calibration(dict.fromkeys(SIGNS, 1.0), 0.0, 1.0, weights.source, {}).write(folder / "uncertainty.json")
    plausibility, calibration = str(ROOT / "models" / "plausibility.json"), str(folder / "uncertainty.json")
    quality = JointQuality(plausibility, calibration, FlipInferer(), weights)
    seen: list[dict[str, Any]] = []

    class Spying(LayerWriter):
        def add(self, joint: Any, output: Any) -> None:
            seen.append(output)
            super().add(joint, output)

    table = JointTable(str(folder / "out"))
    writer = Spying(str(folder / "out"), {}, weights, quality, table=table)
    loader = DataLoader(Dataset(writer.remaining(items), loading.LoadJointd(SIZE)), batch_size=2, num_workers=0)
    step = {"iteration_update": separate_batch, "inferer": FlipInferer()}
    run_remaining(SupervisedEvaluator("cpu", loader, WeightFree(), **step), writer)
    return {
        "Output of inference": keys_of(seen),
        "quality.jsonl": keys_of(lines_of(folder / "out" / "quality.jsonl")),
        "joints.jsonl": keys_of(lines_of(folder / "out" / "joints.jsonl")),
        "rejected.jsonl": keys_of(lines_of(folder / "out" / "rejected.jsonl")),
        "Source of a data set": sources(folder, loader.dataset, quality, weights),
    }


def sources(folder: Path, joints: Any, quality: JointQuality, weights: GeneratorWeights) -> set[str]:
    """Keep the joints as the sources of a data set."""
    writer = SourceWriter(str(folder / "sources"), {}, weights, quality)
    writer.begin()
    for joint in joints:
        layers = WeightFree()(joint["image"][None])[0]
        writer.add(joint, {"pred": layers, "answer": layers})
    return keys_of(json.loads(path.read_text()) for path in (folder / "sources").glob("*.json") if path.stem != "run")


def transformed(joint: Any) -> set[str]:
    """What the transforms add to a joint."""
    made = [
        dictionary.PseudoOverlapd()(joint),
        dictionary.RandPseudoOverlapd()(joint),
        dictionary.ShiftBonesd()(joint),
        dictionary.RandShiftBonesd()(joint),
        dictionary.SynthesizeJointSpaced()(joint),
        dictionary.RandSynthesizeJointSpaced()(joint),
        layers.SeparateLayersd()(joint),
        layers.Reconstructd("image")(joint),
        augmentation.RandAugmentLayersd()(joint),
        augmentation.RandCropJointd("image", size=32)(joint),
        augmentation.RandPredictedMasksd(lambda image: torch.ones(2, SIZE, SIZE), 1.0)(joint),
        loading.MasksAsLabeld()(joint),
        ReadingFramed()(JointSpaceLabels()(Plausibilityd(ROOT / "models" / "plausibility.json")(joint))),
    ]
    return keys_of(made) - set(joint)


def synthetic(folder: Path) -> Found:
    """Images, pairs and truths from the sources that were kept."""
    store = SourceStore(folder / "sources")
    kept = [store.find(path.stem) for path in sorted(store.folder.glob("*.pt"))]
    plan = DataPlan(joint_space_mm=Uniform(0.5, 2.5), count=4, pairs=True)
    images = SyntheticRadiographs(store, kept, plan, GATE)  # type: ignore[arg-type]
    good = passed(images.specifications, RadiographFactory(store, GATE), range(2), Counter())
    pairs = SyntheticPairs(store, kept, plan, GATE)  # type: ignore[arg-type]
    return {
        "Training image": set(images[0]),
        "Pair": set(pairs[0]),
        "Truth of a synthetic image": set(truth_of(good[0], good[1])),
    }


def measured(folder: Path) -> Found:
    """A report of a measure."""
    joints = SeparatedJoints(phantom_items(1, 0, SIZE), torch.zeros(1, 3, SIZE, SIZE), torch.zeros(1, 3, SIZE, SIZE))
    report = EvaluationReport(str(folder / "measured"), {})
    report.open("none", computed=FlipInferer().described())
    rows = pd.DataFrame([{key: joints.items[0][key] for key in ("name", "joint", "finger")}]).assign(value=1.0)
    report.add("m", Measured({"value": 1.0}, rows), {"measure": "m"}, {"test": joints}, 0.0)
    found = json.loads(report.path.read_text())
    return {"metrics.json": set(found), "Measure in metrics.json": set(found["measures"]["m"])}


def narrowed(folder: Path) -> Found:
    """The narrowing of a pair of phantoms."""
    loaded = Dataset(phantom_items(1, 0, 256, takes=2), loading.LoadJointd(256))
    pairs = RadiographPairs(loaded)
    quality = PairQuality(*(str(ROOT / "models" / f"{name}.json") for name in ("plausibility", "detectable_change")))
    writer = NarrowingWriter(str(folder / "pairs"), {}, make_registration("gauss_newton"), None, quality)  # type: ignore[arg-type]
    writer.write(pairs)
    made = {"narrowing.jsonl": keys_of(lines_of(folder / "pairs" / "narrowing.jsonl"))}
    return {"Pair": set(pairs[0]), **made, "narrowing.csv": set(FOLLOWED)}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The keys that the code makes, by the titles of the page."""
    folder = tmp_path_factory.mktemp("keys")
    write_data(folder / "Data")
    audited = joint_items(str(folder / "Data"), "*", "untested", size=SIZE, spacing=0.0, keep_whole=True)
    items = phantom_items(1, 0, SIZE, takes=2, conditions={"dose": 0.5})
    phantoms = [*items, *moved_items(items, [[3.0, 0.0, 20.0]]), *destroyed_items(items)]
    loaded = [loading.LoadJointd(SIZE)(item) for item in audited]
    of_item = keys_of([*audited, *read_datalist(folder / "Data", "*")])
    found = {
        "Item": of_item,
        "Item of a phantom": keys_of(phantoms) - of_item,
        "Loaded joint": {key for key, value in loaded[0].items() if value is not audited[0].get(key)},
        "Added by transforms": transformed(loading.LoadJointd(SIZE)(phantoms[0])),
        **inference(folder, audited),
        **synthetic(folder),
        **measured(folder),
    }
    real = narrowed(folder)
    assert real["Pair"] == found["Pair"]
    return {**found, **real}


SECTIONS = [title for title in tables(PAGE) if title not in ("dataset.json", "Figures in tables of results")]


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_a_table_has_the_keys_that_the_code_makes(made: Found, title: str) -> None:
    listed = tables(PAGE)[title]
    assert made[title] - listed == set(), f"{title}: keys that are missing in docs/reference/keys.md"
    assert listed - made[title] == set(), f"{title}: keys of docs/reference/keys.md that nothing makes"


def test_every_table_is_compared(made: Found) -> None:
    assert set(made) == set(SECTIONS)


def figures() -> list[str]:
    """The rows of the figures, as the measures state them."""
    return [
        f"| {name} | `{column.figure}` | {column.title} | {column.goal or '-'} |"
        for measure in MEASURES
        for name, columns in measure.columns.items()
        for column in columns
    ]


def test_the_figures_of_tables_are_those_that_the_measures_state() -> None:
    part = PAGE.split("## Figures in tables of results")[1].split("\n## ")[0]
    assert [line for line in part.splitlines() if line.startswith("| ") and "`" in line] == figures()


def test_a_key_that_is_missing_and_one_that_nothing_makes_are_found() -> None:
    page = "## Item\n\n| key | x |\n|---|---|\n| `name` | a |\n| `gone` | b |\n"
    assert tables(page)["Item"] ^ {"name", "fresh"} == {"gone", "fresh"}
    with pytest.raises(AssertionError, match="twice"):
        tables(page + "| `name` | c |\n")
