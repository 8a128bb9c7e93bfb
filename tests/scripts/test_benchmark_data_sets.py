"""The speed of data sets: the loop that it is compared with makes the same images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bundle.errors import InputError
from scripts import benchmark_data_sets
from scripts.benchmarks.data_set_speed import Joints, difference, steps
from scripts.benchmarks.pil_loop import PilLoop, loops

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def joints(tmp_path_factory: pytest.TempPathFactory) -> Joints:
    return Joints(tmp_path_factory.mktemp("sources"), 2)


@pytest.mark.slow
def test_the_loop_makes_the_images_of_the_factory(joints: Joints) -> None:
    found = difference(joints, PilLoop(joints.layers, joints.masks, "all"))
    assert found["image"] < 2e-3
    assert found["masks"] < 1e-5
    assert found["outline_gap"] < 1e-4


@pytest.mark.slow
def test_the_loops_make_the_same_whatever_they_keep(joints: Joints) -> None:
    (specification,) = joints.specifications.sample([3])
    _, first, *others = [loop(specification) for loop in loops(joints.layers, joints.masks).values()]
    for image, masks, width in others:
        np.testing.assert_allclose(image, first[0], atol=1e-4)
        np.testing.assert_allclose(masks, first[1], atol=1e-6)
        assert width == pytest.approx(first[2], abs=1e-6)


@pytest.mark.slow
def test_a_loop_with_the_network_moves_the_bones_of_its_layers_alike(joints: Joints) -> None:
    (specification,) = joints.specifications.sample([3])
    network, without, *_ = [loop(specification) for loop in loops(joints.layers, joints.masks).values()]
    assert 1e-3 < np.sqrt(np.square(network[0] - without[0]).mean()) < 0.05
    np.testing.assert_allclose(network[1], without[1], atol=1e-6)
    assert network[2] == pytest.approx(without[2], abs=1e-6)


@pytest.mark.slow
def test_every_step_has_a_time(joints: Joints, tmp_path: Path) -> None:
    found = steps(joints, tmp_path, 0.1)
    assert {"motion", "motion, noise texture and composition", "compression", "tar archive"} <= set(found)
    assert all(time > 0.0 for time in found.values())


@pytest.mark.long
def test_the_report_is_written(tmp_path: Path) -> None:
    output = tmp_path / "speed.md"
    command = [sys.executable, "scripts/benchmark_data_sets.py", "--joints", "2", "--seconds", "0.4"]
    result = subprocess.run([*command, "--output", str(output)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    text = output.read_text()
    assert text.startswith("# Speed of data sets")
    assert all(f"| {name} |" in text for name in (*loops({}, {}), "factory, 2 processes", "compression"))


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark_data_sets, "report", lambda *_: pytest.fail("measured"))
    monkeypatch.setattr(sys, "argv", ["benchmark_data_sets.py", "--output", str(tmp_path / "nowhere" / "speed.md")])
    with pytest.raises(InputError, match="the folder does not exist"):
        benchmark_data_sets.main()
