"""Small data sets that are made on disk, and what is in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bundle.datasets.data_sets import DataSet, make
from bundle.datasets.distributions import Uniform
from bundle.datasets.gate import QualityGate
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.specifications import DataPlan
from bundle.inference.results import run_remaining
from bundle.io.reservations import release_outputs
from bundle.physics.harmonic import separate
from bundle.quality.uncertainty import FlipInferer
from bundle.separation.transforms.loading import LoadJointd
from bundle.workflow.weights import GeneratorWeights
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator
from torch import Tensor, nn

SIZE = 64
COUNT = 3
GATE = QualityGate(tolerance_mm=0.15, plausible=False)
WIDTHS = Uniform(0.2, 2.0)


class WeightFree(nn.Module):
    """A separator with the signature of the generator."""

    def forward(self, image: Tensor) -> Tensor:
        return separate(image[:, :1], image[:, 1:])


def unjudged(joint: Any, output: Any) -> dict[str, Any]:
    flagged = joint["name"] == "implausible"
    return {"flagged": flagged, "expected_overlap_rmse": None, "reasons": ["too dark"] if flagged else []}


def plan(**more: Any) -> DataPlan:
    return DataPlan(**{"joint_space_mm": WIDTHS, "count": 20, "seed": 5, **more})


def separated(folder: Path, items: list[dict[str, Any]], weights: Path, batch_size: int = 2) -> SourceWriter:
    """Keep the sources of items, as the configuration does."""
    kept = GeneratorWeights(str(weights / "no.pt"), nn.Conv2d(1, 1, 1))
    writer = SourceWriter(str(folder), {"seed": 0}, kept, unjudged)  # type: ignore[arg-type]
    loader = DataLoader(Dataset(writer.remaining(items), LoadJointd(SIZE)), batch_size=batch_size, num_workers=0)
    evaluator = SupervisedEvaluator("cpu", loader, WeightFree(), inferer=FlipInferer())
    run_remaining(evaluator, writer)
    return writer


def made(folder: Path, items: list[dict[str, Any]], **more: Any) -> Path:
    options = {"plan": plan(), "gate": GATE, "settings": {"datalist": "x"}, "shard_size": 8, **more}
    data = DataSet(str(folder / "out"), **options)
    data.reserve()
    make(data, items, separated(Path(data.sources_dir), items, folder))
    release_outputs()
    return folder / "out"


def content(folder: Path) -> dict[str, bytes]:
    """All files by their paths but the separated joints, which hold when they were written."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pt"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def truths(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("truth-*")) for line in path.read_text().splitlines()]


def card(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "dataset.json").read_text())
