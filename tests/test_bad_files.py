"""Every file that a run reads may hold anything: it is refused by its name, or taken for what is not there."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.datasets.distributions import read_histogram
from bundle.datasets.sources import SourceStore
from bundle.errors import InputError
from bundle.evaluation.report import EvaluationReport
from bundle.inference.results import LayerWriter
from bundle.io.lists import read_datalist
from bundle.io.packed import Pack
from bundle.io.points import POINTS, read_places
from bundle.io.provenance import bundle_version
from bundle.io.reading import read_mask, read_stated
from bundle.io.reservations import reserve_output
from bundle.networks.weights import load_weights, stated_sha256
from bundle.quality.plausibility import PlausibilityReference
from bundle.quality.uncertainty import Calibration
from bundle.scoring.calibration import UncertaintyCalibration
from bundle.workflow.checkpoints import newest_whole_checkpoint
from bundle.workflow.jobs import JobReport
from bundle.workflow.sealed import load_sealed
from bundle.workflow.training_record import TrainingRecord
from bundle.workflow.weights import GeneratorWeights
from torch import nn


def noise(seed: int, length: int) -> bytes:
    return random.Random(seed).randbytes(length)


def torch_file(content: Any) -> bytes:

    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


NO_JSON: dict[str, bytes] = {
    "empty": b"",
    "one byte": b"\x80",
    "noise": noise(1, 300),
    "long noise": noise(2, 70_000),
    "zeros": bytes(5000),
    "half an object": b'{"run": "a", "measures": {"E1": ',
    "deep list": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "long number": b"1" * 10_000,
    "zip": b"PK\x03\x04" + noise(3, 500),
    "pickle": b"\x80\x04cos\nsystem\n(S'false'\ntR.",
    "torch": torch_file({"a": torch.ones(2)}),
}
JSON: dict[str, bytes] = {
    text: text.encode()
    for text in (
        *("null", "3", '"text"', "[]", "{}", "NaN", "[1]", "[null]", "[[]]", '[{"name": 3}]', "[{}]"),
        *('{"run": 3}', '{"measures": 3}', '{"measures": {"E1": 3}}', '{"measures": {"E1": {"settings": {}}}}'),
        *('{"validations": 3}', '{"validations": [3]}', '{"validations": [{"epoch": "a", "seconds": {}}]}'),
        *('{"ranges": []}', '{"edges": 1, "counts": [[]]}', '{"edges": ["a"], "counts": ["b"]}'),
        *('{"version": []}', '{"weights": 3}', '{"weights": {"model.pt": 3}}'),
        *('[{"image": 3}]', '[{"image": []}]', '[{"image": "\\u0000"}]', '[{"image": "a.png", "lower": {}}]'),
        *('{"markups": 3}', '{"markups": [{"controlPoints": [{"position": 3}]}]}', '{"markups": [3]}'),
        *('[{"name": "a", "center": [1e999, 2]}]', '[{"name": "a", "center": "xy", "tip": [1, 2]}]'),
    )
}
ANY = {**NO_JSON, **JSON, "utf-16": '{"a": 1}'.encode("utf-16")}


def marker(path: Path) -> None:
    (path.parent / "result.png").touch()
    reserve_output(path.parent, "{}")


def of_results(path: Path) -> None:
    (path.parent / "result.png").touch()
    LayerWriter(str(path.parent), {}, GeneratorWeights("no.pt", nn.Linear(1, 1))).reserve()


def report(path: Path) -> None:
    (path.parent / "run.json").unlink(missing_ok=True)
    content = path.read_bytes()
    path.unlink()
    found = EvaluationReport(str(path.parent), {})
    found.open("x")
    path.write_bytes(content)
    EvaluationReport(str(path.parent), {}).open("x")


def job_report(path: Path) -> None:
    JobReport(str(path.parent), "a", "b", evaluations=["."]).run()


Reader = Callable[[Path], Any]
SCORERS: dict[str, tuple[str, Reader]] = {
    "weights": ("model.pt", lambda path: load_weights(nn.Linear(2, 1), path, "generator", "name another")),
    "checkpoint": ("checkpoint_epoch=1.pt", lambda path: newest_whole_checkpoint(path.parent)),
    "sealed": ("checkpoint_epoch=1.pt", load_sealed),
    "marker": ("run.json", marker),
    "marker of results": ("run.json", of_results),
    "metrics": ("metrics.json", report),
    "figures of a job": ("metrics.json", job_report),
    "record": ("training.json", lambda path: TrainingRecord(str(path.parent))._read()),
    "list": ("list", lambda path: read_datalist(path.parent, "list")),
    "plausibility": ("plausibility.json", PlausibilityReference.read),
    "uncertainty": ("uncertainty.json", Calibration.read),
    "stated uncertainty": ("scorer_calibration.json", UncertaintyCalibration.read),
    "histogram": ("dataset.json", read_histogram),
    "metadata": ("metadata.json", lambda path: stated_sha256(path, "model.pt")),
    "version": ("metadata.json", bundle_version),
    "separated joint": ("a.pt", lambda path: SourceStore(path.parent).load(["a"])),
    "pack": ("joints.pack", lambda path: Pack(path)),
    **{
        f"points {ending}": (f"a{ending}", lambda path: read_places(path, (0.1, 0.1)))  # each by its ending
        for ending in POINTS
    },
    **{
        f"radiograph {ending}": (f"a{ending}", lambda path: read_stated(path))
        for ending in (".png", ".jpg", ".bmp", ".tif", ".nii", ".nii.gz", ".dcm")
    },
    "mask": ("a_mask_lower.png", lambda path: read_mask(path)),
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "scorer"), SCORERS.values(), ids=list(SCORERS))
def test_a_file_of_anything_is_refused_by_its_name(tmp_path: Path, name: str, scorer: Reader) -> None:
    refused = set()
    for what, content in ANY.items():
        path = tmp_path / name
        path.write_bytes(content)
        try:
            scorer(path)
        except InputError as error:
            refused.add(what)
            assert name in str(error) or str(path.parent) in str(error), what
            assert len(str(error)) < 2000 and "\n" not in str(error), what
    needed = NO_JSON.keys() - ({"torch"} if name.endswith(".pt") else set())
    assert needed <= refused, needed - refused
