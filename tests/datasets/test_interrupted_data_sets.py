"""Data sets that were stopped or damaged are completed to the same files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle.datasets.factory import RadiographFactory
from bundle.datasets.sources import SourceStore
from bundle.errors import InputError
from bundle.io.locking import LOCK
from bundle.io.reservations import release_outputs
from tests.datasets.made_data_sets import content, made, truths


@pytest.mark.slow
def test_a_stopped_data_set_goes_on_and_ends_in_the_same_files(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, real = [], RadiographFactory.make

    def stopped(self: RadiographFactory, specifications: Any) -> Any:
        calls.append(len(specifications))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, specifications)

    monkeypatch.setattr(RadiographFactory, "make", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, items)
    assert not (tmp_path / "out" / "dataset.json").exists()
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("summary-*")}
    assert 0 < len(done) < 3
    assert content(made(tmp_path, items)) == content(whole)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


def flip(path: Path) -> None:
    """Another last bit, at the same size."""
    found = bytearray(path.read_bytes())
    found[-1] ^= 1
    path.write_bytes(bytes(found))


HARM: dict[str, Callable[[Path], Any]] = {
    "picture gone": lambda out: (out / "radiographs-000001" / "000000009.png").unlink(),
    "picture changed": lambda out: flip(out / "radiographs-000001" / "000000009.png"),
    "truth gone": lambda out: (out / "truth-000001.jsonl").unlink(),
    "truth changed": lambda out: flip(out / "truth-000001.jsonl"),
    "folder gone": lambda out: shutil.rmtree(out / "radiographs-000001"),
    "summary damaged": lambda out: (out / "summary-000001.json").write_bytes(b"[1"),
    "summary of another kind": lambda out: (out / "summary-000001.json").write_bytes(b"[1]"),
}


@pytest.mark.slow
@pytest.mark.parametrize("harm", HARM)
def test_a_shard_that_is_not_whole_is_made_again_and_no_other(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], harm: str
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    HARM[harm](tmp_path / "out")
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("summary-*") if "000001" not in path.name}
    assert content(made(tmp_path, items)) == content(whole)
    assert all(path.stat().st_mtime_ns == when for path, when in done.items())


@pytest.mark.slow
def test_an_archive_that_is_damaged_is_made_again(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    first = content(made(tmp_path, items, format="webdataset"))
    flip(tmp_path / "out" / "radiographs-000000.tar")
    (tmp_path / "out" / "radiographs-000002.tar").unlink()
    assert content(made(tmp_path, items, format="webdataset")) == first


@pytest.mark.slow
@pytest.mark.parametrize("harm", [Path.unlink, flip])
def test_a_source_that_is_damaged_is_separated_again(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]], harm: Callable[[Path], Any]
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    harm(tmp_path / "out" / "sources" / f"{items[1]['name']}.pt")
    assert content(made(tmp_path, items)) == content(whole)
    assert SourceStore(tmp_path / "out" / "sources").find(items[1]["name"]) is not None


@pytest.mark.slow
def test_a_half_made_data_set_of_an_older_version_is_refused_by_its_source_joints(
    whole: Path, tmp_path: Path, items: list[dict[str, Any]]
) -> None:
    shutil.copytree(whole, tmp_path / "out")
    (tmp_path / "out" / "summary-000002.json").unlink()
    record = tmp_path / "out" / "sources" / f"{items[0]['name']}.json"
    known = json.loads(record.read_text())
    known["jsw_mm"] = known.pop("joint_space_mm")
    record.write_text(json.dumps(known))
    before = content(tmp_path / "out")
    with pytest.raises(InputError, match="stored by an older version, which measured the gap between the outlines"):
        made(tmp_path, items)
    release_outputs()
    assert {**content(tmp_path / "out"), LOCK: b""} == {**before, LOCK: b""}


@pytest.mark.slow
def test_shards_are_made_anew_when_their_sources_have_changed(tmp_path: Path, items: list[dict[str, Any]]) -> None:
    first = made(tmp_path, [{**item, "digest": "1"} for item in items])
    before = content(first)
    again = content(made(tmp_path, [{**item, "digest": "2"} for item in items]))
    assert {line["digest"] for line in truths(first)} == {"2"}
    assert before.keys() == again.keys()


@pytest.mark.slow
@pytest.mark.parametrize("damage", [b"", b"\x80\xff", b"[" * 100_000, b"3", b'{"made_from": "x"}'])
def test_a_shard_whose_summary_is_damaged_is_made_anew(
    tmp_path: Path, items: list[dict[str, Any]], damage: bytes
) -> None:
    made(tmp_path, items)
    summary = next((tmp_path).rglob("summary-000000.json"))
    before = summary.read_bytes()
    summary.write_bytes(damage)
    made(tmp_path, items)
    assert summary.read_bytes() == before
