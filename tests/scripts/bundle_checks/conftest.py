"""A bundle that breaks no rule, and copies of it to break."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from monai.networks.nets import BasicUNet
from scripts.bundle_checks import files, stated
from tests.scripts.bundle_checks.small_bundle import (
    CONFIGS,
    FEATURES,
    INFERENCE,
    ROOT,
    TRAIN,
    edit,
    overlay,
    shrink,
    write_yaml,
)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete bundle around a network of a few thousand weights, that breaks no rule."""
    root = tmp_path_factory.mktemp("template")
    for folder in ("bundle", "configs/jobs", "docs", "models"):
        (root / folder).mkdir(parents=True)
    (root / "bundle" / "shapes.py").write_text("import math\n\nimport torch\nfrom scipy import ndimage\n")
    shutil.copy(ROOT / "LICENSE", root)
    for name in ("requirements.txt", "docs/data_license.txt", *CONFIGS):
        shutil.copy(ROOT / name, root / name)
    (root / "docs" / "README.md").write_text("\n\n".join(files.HEADINGS), encoding="utf-8")
    edit(root / "configs" / "metadata.json", shrink)
    (root / "configs" / "inference.json").write_text(json.dumps(INFERENCE), encoding="utf-8")
    write_yaml(root / "configs" / "train.yaml", TRAIN)
    overlay("learning_rate: 0.01\ndoubled: $2 * @learning_rate")(root)
    torch.manual_seed(0)
    network = BasicUNet(2, 3, 3, FEATURES, upsample="nontrainable")
    torch.save(network.state_dict(), root / "models" / "model.pt")
    stated.state_checksums(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the good bundle to break; MONAI's checks set up logging, which is put back afterwards."""
    copy = tmp_path / "joint_bundle"
    shutil.copytree(template, copy)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield copy
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
