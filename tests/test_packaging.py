"""What `pip install .` takes along."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_room_is_installed_with_configurations_and_weights(project: dict[str, Any]) -> None:
    rooms = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "bundle").rglob("__init__.py")}
    assert set(project["tool"]["setuptools"]["packages"]) == rooms | {"bundle.configs", "bundle.models"}


def test_the_version_is_that_of_the_metadata(project: dict[str, Any]) -> None:
    metadata = json.loads((ROOT / "configs" / "metadata.json").read_text())
    assert project["project"]["version"] == metadata["version"]


def test_the_pages_of_the_reading_room_are_installed(project: dict[str, Any]) -> None:
    (pattern,) = project["tool"]["setuptools"]["package-data"]["bundle.reading_room"]
    folder = ROOT / "bundle" / "reading_room"
    pages = {path for path in (folder / "pages").rglob("*") if path.is_file()}
    assert pages and {path for path in folder.glob(f"{pattern}/*") if path.is_file()} == pages
