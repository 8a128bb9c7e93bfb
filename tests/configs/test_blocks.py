"""Inference in blocks of a list has the results of inference at once, whatever carries them out."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from bundle.inference.blocks import BLOCKS, DONE
from tests.configs.conftest import Bundle, of_job
from tests.datasets.dask_processes import Processes

pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file")

SMALL = {"image_size": 64, "batch_size": 2, "weights": "none", "runtime": "torch"}
INFER, IN_BLOCKS = of_job("infer"), of_job("infer_blocks")


def options(data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return {**SMALL, "dataset_dir": str(data), "output_dir": str(out), **more}


def in_blocks(data: Path, out: Path, **more: Any) -> dict[str, Any]:
    return options(data, out, block_size=2, **more)


def results(folder: Path) -> dict[str, bytes]:
    """Files of a run without its blocks."""
    inside = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.as_posix(): (folder / path).read_bytes() for path in inside if BLOCKS not in path.parts}


def break_one(data: Path) -> None:
    """Turn the list into a folder of which one radiograph cannot be read."""
    (data / "LS_K1_all_test").unlink()
    broken = sorted(data.rglob("1.jpg"))[0]
    broken.write_bytes(broken.read_bytes()[:200])


@pytest.mark.slow
def test_the_results_are_those_of_inference_at_once(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    break_one(data)
    bundle.run("evaluating", *INFER, **options(data, tmp_path / "whole"))
    bundle.run("evaluating", *IN_BLOCKS, **in_blocks(data, tmp_path / "blocks"))
    whole = results(tmp_path / "whole")
    assert results(tmp_path / "blocks") == whole
    assert len(whole["rejected.jsonl"].splitlines()) == 1 and len(list((tmp_path / "blocks" / BLOCKS).iterdir())) > 1


@pytest.mark.long
@pytest.mark.parametrize("engine", ["processes", "dask"])
def test_several_processes_write_the_same_results(bundle: Bundle, data: Path, tmp_path: Path, engine: str) -> None:
    if engine == "dask":
        pytest.importorskip("distributed", reason="dask is not installed (requirements-scale.txt)")
    break_one(data)
    bundle.run("evaluating", *INFER, **options(data, tmp_path / "whole"))
    more = in_blocks(data, tmp_path / "blocks", workers=2, engine=engine)
    ended = bundle.command("evaluating", *IN_BLOCKS, **more)
    assert ended.returncode == 0, ended.stderr
    assert results(tmp_path / "blocks") == results(tmp_path / "whole")


@pytest.mark.long
def test_a_killed_run_is_resumed_and_finished_blocks_are_not_repeated(
    bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    bundle.run("evaluating", *INFER, **options(data, tmp_path / "whole", strict=False))
    out = tmp_path / "blocks"
    process = bundle.start("evaluating", *IN_BLOCKS, **in_blocks(data, out))
    while process.poll() is None and not list(out.glob(f"{BLOCKS}/*/{DONE}")):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in out.glob(f"{BLOCKS}/*/{DONE}")}
    bundle.run("evaluating", *IN_BLOCKS, **in_blocks(data, out))
    assert results(out) == results(tmp_path / "whole")
    assert done and all(path.stat().st_mtime_ns == moment for path, moment in done.items())


@pytest.mark.long
def test_a_worker_killed_within_a_block_changes_no_result(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="dask is not installed (requirements-scale.txt)")
    bundle.run("evaluating", *INFER, **options(data, tmp_path / "whole", strict=False))
    processes = Processes(tmp_path / "logs")
    try:
        killed = processes.start_worker("killed-in-block")
        processes.start_worker()
        processes.workers(2)
        out = tmp_path / "out"
        more = in_blocks(data, out, engine="dask", scheduler=processes.address)
        ended = bundle.command("evaluating", *IN_BLOCKS, **more)
        assert ended.returncode == 0, ended.stderr
        assert killed.wait(20) == -signal.SIGKILL
    finally:
        processes.end()
    assert results(out) == results(tmp_path / "whole")


@pytest.mark.slow
def test_an_added_radiograph_is_separated_alone_and_a_removed_one_disappears(
    bundle: Bundle, data: Path, tmp_path: Path
) -> None:
    (data / "LS_K1_all_test").unlink()
    held = sorted(data.rglob("1.jpg"))[0]
    held.rename(tmp_path / "held")
    out = tmp_path / "blocks"
    bundle.run("evaluating", *IN_BLOCKS, **in_blocks(data, out))
    first = {path.name: path.stat().st_mtime_ns for path in out.glob("*_layers.nii.gz")}
    (tmp_path / "held").rename(held)
    removed = sorted(data.rglob("1.jpg"))[-1]
    removed.unlink()
    bundle.run("evaluating", *IN_BLOCKS, **in_blocks(data, out))
    then = {path.name: path.stat().st_mtime_ns for path in out.glob("*_layers.nii.gz")}
    assert all(then[name] == moment for name, moment in first.items()) and len(then) == len(first) + 1
    names = [json.loads(line)["name"] for line in (out / "quality.jsonl").read_text().splitlines()]
    assert len(names) == len(first) and not any(removed.parent.name in name for name in names)


@pytest.mark.slow
def test_a_data_set_with_sources_in_blocks_is_that_of_one_audit(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    break_one(data)
    more = {"count": 4, "shard_size": 2, "gate#tolerance_mm": 0.2, "gate#plausible": False}
    bundle.run("synthesizing", *of_job("synthesize"), **options(data, tmp_path / "whole", **more))
    bundle.run("synthesizing", *of_job("synthesize_blocks"), **in_blocks(data, tmp_path / "out", **more))
    whole, found = results(tmp_path / "whole"), results(tmp_path / "out")
    cards = [json.loads(files.pop("dataset.json")) for files in (whole, found)]
    assert found == whole and cards[0]["images"] == cards[1]["images"] > 0
    assert cards[0]["measured_anew"] == cards[1]["measured_anew"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"strict": True}, "blocks are written before the whole list is checked"),
        ({"dataset_dir": ""}, "Pass --dataset_dir"),
        ({"scheduler": "tcp://127.0.0.1:9"}, "Pass --engine dask as well"),
        ({"block_size": 0}, "block_size"),
    ],
)
def test_options_that_do_not_fit_blocks_are_refused(
    bundle: Bundle, data: Path, tmp_path: Path, more: dict[str, Any], said: str
) -> None:
    assert said in bundle.refusal("evaluating", *IN_BLOCKS, **{**in_blocks(data, tmp_path / "out"), **more})
    assert not list(tmp_path.glob("out/*_layers.nii.gz"))
