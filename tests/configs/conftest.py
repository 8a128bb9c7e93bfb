"""The bundle as a user runs it, in this process or by the command line, and a small data set in the public layout."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.joint import FINGERS, MCP
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.workflow import job_configs
from monai.bundle import ConfigWorkflow, create_workflow
from monai.data import set_track_meta
from monai.utils import set_determinism
from PIL import Image

SPACING = MCP.spacing_mm

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted(path for path in (ROOT / "configs").rglob("*.*") if path.suffix in (".yaml", ".json"))
CONFIGS = [path for path in CONFIGS if path.stem not in ("metadata", "export_onnx")]
SIZE = 64
FINGER_CODES = {"small": "2", "ring": "5", "middle": "8", "index": "11", "thumb": "13"}


def of_job(name: str) -> tuple[str, ...]:
    """Names below ``configs`` of the configurations of a job."""
    return tuple(Path(file).relative_to(ROOT / "configs").as_posix() for file in job_configs(name, ROOT))


class Bundle:
    """Runs configurations of this bundle with ``--<option> <value>``."""

    root = ROOT
    size = SIZE

    def __init__(self, capture: Callable[[], str]) -> None:
        self._capture = capture

    def run(self, run_id: str, *configs: str, **options: Any) -> ConfigWorkflow:
        """Run in this process, as ``monai.bundle.run`` does; returns the workflow."""
        files = [str(ROOT / "configs" / name) for name in configs]
        workflow = create_workflow(config_file=files, logging_file=False, run_id=run_id, **options)
        workflow.run()
        workflow.finalize()
        return workflow

    def refusal(self, run_id: str, *configs: str, **options: Any) -> str:
        """What Python prints on stderr when a run in this process ends by an exception."""
        sys.excepthook = sys.__excepthook__
        self._capture()
        try:
            self.run(run_id, *configs, **options)
        except Exception:
            self._capture()
            sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
            return self._capture()
        pytest.fail(f"expected {configs} to be refused with {options}")

    def start(self, run_id: str, *configs: str, **options: Any) -> subprocess.Popen[str]:
        """Start by the command line, in the root of the repository."""
        files = [f"configs/{name}" for name in configs]
        command = [sys.executable, "-m", "monai.bundle", "run", run_id, "--config_file", str(files)]
        popen = {key: options.pop(key) for key in ("preexec_fn",) if key in options}
        for key, value in options.items():
            command += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **pipes, **popen)

    def command(self, run_id: str, *configs: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run by the command line to the end."""
        process = self.start(run_id, *configs, **options)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


@pytest.fixture
def bundle(capfd: pytest.CaptureFixture[str]) -> Iterator[Bundle]:
    """The bundle; what a run changes in this process is restored."""
    hook, factory, path = sys.excepthook, logging.getLogRecordFactory(), list(sys.path)
    handlers, level = list(logging.root.handlers), logging.root.level
    yield Bundle(lambda: capfd.readouterr().err)
    sys.excepthook, sys.path = hook, path
    logging.setLogRecordFactory(factory)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    logging.getLogger("monai.handlers.StatsHandler").handlers.clear()
    for name in logging.root.manager.loggerDict:
        logging.getLogger(name).disabled = False
    set_determinism(None)
    set_track_meta(True)


@pytest.fixture
def in_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The root of the repository is the working directory."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def commands() -> Bundle:
    """The bundle for runs by the command line that several tests share."""
    return Bundle(lambda: "")


def write_case(folder: Path, seed: int, outline_gap_mm: float) -> dict[str, str]:
    """Write a phantom as the public set has its cases; its entry of the list."""
    parameters = sample_parameters(seed, size=SIZE, spacing=256 * SPACING / SIZE, outline_gap_mm=outline_gap_mm)
    phantom = render(parameters)
    joint = f"{seed:05d}_{parameters.side[0].upper()}_{FINGER_CODES[parameters.finger]}"
    case = folder / "case" / joint
    case.mkdir(parents=True)
    grey = np.rint(phantom.image[0].numpy() * 255).astype(np.uint8)
    Image.fromarray(grey).convert("RGB").save(case / "1.jpg", quality=95)
    for mask, bone in zip(phantom.masks.numpy(), ("lower", "upper"), strict=True):
        Image.fromarray((mask > 0.5).astype(np.uint8) * np.uint8(255)).save(case / f"1_mask_{bone}.bmp")
    names = {"image": "1.jpg", "lower": "1_mask_lower.bmp", "upper": "1_mask_upper.bmp"}
    return {key: f"case/{joint}/{name}" for key, name in names.items()}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data set of five joints in the public layout: the list ``LS_K1_all_test``, the last joint overlaps."""
    folder = tmp_path / "Data"
    widths = [1.6, 1.2, 2.0, 0.8, -0.8]
    entries = [write_case(folder, seed, width) for seed, width in enumerate(widths)]
    (folder / "LS_K1_all_test").write_text(json.dumps(entries))
    return folder


@pytest.fixture
def training_data(tmp_path: Path) -> Path:
    """A data set of twelve joints, none of which overlaps: the list ``LS_K1_all_train``."""
    folder = tmp_path / "Data"
    entries = [write_case(folder, seed, 0.8 + 0.1 * seed) for seed in range(12)]
    (folder / "LS_K1_all_train").write_text(json.dumps(entries))
    return folder


assert set(FINGER_CODES) == set(FINGERS)
