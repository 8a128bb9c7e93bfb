"""The MONAI Label server, in an environment of its own (requirements-monai-label.txt).

The environment is that of the Python that the environment variable MONAI_LABEL_PYTHON names, or .venv-label in the root
of the repository. Without it, tests of the server are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tests.scripts.monai_label.label_server import ROOT, Server, started
from tests.scripts.monai_label.studies import write_studies, write_untrained_weights


@pytest.fixture(scope="module")
def label_python() -> str:
    """Python of the environment of MONAI Label."""
    own = ROOT / ".venv-label" / "bin" / "python"
    named = os.environ.get("MONAI_LABEL_PYTHON") or (str(own) if own.is_file() else "")
    if not named:
        pytest.skip("neither MONAI_LABEL_PYTHON nor .venv-label has an environment with MONAI Label")
    return named


@pytest.fixture(scope="module")
def server(label_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The real server, started as documented but on a free port, with untrained weights of the segmentation."""
    folder = tmp_path_factory.mktemp("monai_label")
    write_studies(folder / "studies")
    write_untrained_weights(folder / "model" / "bone_masks.pt")
    with started(label_python, folder) as (running, _):
        yield running
