"""Source joints are separated once, and kept as the same bytes whoever separates them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ignite.distributed as idist
import pytest
import torch
from bundle.datasets.source_writer import SourceWriter
from bundle.datasets.sources import SourceStore
from bundle.errors import InputError
from bundle.io.audit import Joints
from bundle.io.locking import LOCK
from bundle.io.reservations import release_outputs
from bundle.workflow.weights import GeneratorWeights
from tests.datasets.made_data_sets import content, separated, unjudged
from torch import nn


def test_several_runs_read_joints_that_are_all_kept_and_one_separates_others(
    tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    sources = tmp_path / "sources"
    separated(sources, items[:2], tmp_path)
    release_outputs()
    before = content(sources)
    holder = {"host": "another", "process": 1, "started": "", "run": "another 1"}
    (sources / LOCK).write_text(json.dumps(holder))
    separated(sources, items[:2], tmp_path)
    assert json.loads((sources / LOCK).read_text()) == holder and {**content(sources), LOCK: b""} == {
        **before,
        LOCK: b"",
    }
    with pytest.raises(InputError, match="process 1 on another is writing"):
        separated(sources, items, tmp_path)


def test_kept_joints_of_other_settings_are_not_read(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    separated(tmp_path / "sources", items, tmp_path)
    release_outputs()
    kept = GeneratorWeights(str(tmp_path / "no.pt"), nn.Conv2d(1, 1, 1))
    other = SourceWriter(str(tmp_path / "sources"), {"seed": 1}, kept, unjudged)  # type: ignore[arg-type]
    other.remaining(items)
    with pytest.raises(InputError, match="seed was 0, is 1"):
        other.begin()


def test_processes_with_different_runtimes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idist, "get_world_size", lambda: 2)
    monkeypatch.setattr(idist, "all_gather", lambda name: [name, "torch"])
    kept = GeneratorWeights(str(tmp_path / "no.pt"), nn.Conv2d(1, 1, 1))
    for name in ("torch", "openvino"):
        inferer: Any = SimpleNamespace(runtime_name=name)
        writer = SourceWriter(str(tmp_path / name), {}, kept, unjudged, inferer=inferer)  # type: ignore[arg-type]
        if name == "torch":
            writer.begin()
        else:
            with pytest.raises(InputError, match=r"runtimes, openvino and torch\. Pass --runtime torch to all"):
                writer.begin()


@pytest.mark.slow
def test_a_source_is_separated_once_and_again_when_its_files_have_changed(
    tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    known = [{**item, "digest": "1"} for item in items]
    writer = separated(tmp_path / "sources", known, tmp_path)
    assert writer.remaining(known) == []
    assert writer.remaining([{**known[0], "digest": "2"}, *known[1:]]) == [{**known[0], "digest": "2"}]
    kept = SourceStore(tmp_path / "sources").find(items[0]["name"])
    assert kept is not None and kept.separator == "weight-free separator"


@pytest.mark.slow
@pytest.mark.parametrize(("first", "batch_size", "threads"), [(1, 2, 1), (2, 3, 1), (0, 3, 3), (0, 1, 2)])
def test_sources_are_the_same_bytes_however_they_were_put_together(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], first: int, batch_size: int, threads: int
) -> None:
    """Also when the separation was stopped after the first ones."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    separated(tmp_path / "sources", items[:first], tmp_path, batch_size)
    separated(tmp_path / "sources", items, tmp_path, batch_size)
    torch.set_num_threads(before)
    for item in items:
        one, other = (folder / "sources" / f"{item['name']}.pt" for folder in (tmp_path, whole))
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.slow
def test_rejected_joints_are_listed_beside_the_sources(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    separated(tmp_path / "sources", Joints(items, [("hand", "no spacing")]), tmp_path)
    listed = (tmp_path / "sources" / "rejected.jsonl").read_text()
    assert json.loads(listed) == {"name": "hand", "reason": "no spacing"}
