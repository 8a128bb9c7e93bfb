"""The rooms of the package lie on floors: imports run downwards only, and by what a room names."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "bundle"

FLOORS = (
    ("base", "interruption"),
    ("errors",),
    ("joint",),
    ("physics",),
    ("phantoms", "measurement", "networks", "statistics"),
    ("segmentation", "io"),
    ("workflow", "cluster"),
    ("separation",),
    ("quality",),
    ("scoring", "hands"),
    ("inference",),
    ("datasets",),
    ("registration",),
    ("evaluation",),
    ("experiments",),
    ("reader_study",),
    ("face",),
    ("reading_room",),
)
"""From the ground up."""

FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

ALONE = (
    "bundle.io.dicom_report",
    "bundle.io.dicom_writing",
    "bundle.inference.dicom_results",
    "bundle.physics.fused_prior",
)
"""Imported by their own name: they need highdicom or numba, which not every environment has."""


def imports(tree: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Modules of the package that are imported anywhere in a file, inside functions too, with the names taken."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "bundle":
            yield str(node.module), [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names if alias.name.startswith("bundle."))


def faults(room: str, source: str) -> list[str]:
    """What a file of a room may not import."""
    found = []
    for module, names in imports(ast.parse(source)):
        other = module.split(".")[1] if "." in module else "face"
        if other == room:
            continue
        if FLOOR_OF[other] >= FLOOR_OF[room]:
            found.append(f"{module} is not below {room}")
        elif (PACKAGE / other).is_dir() and module not in ALONE and not is_package(module):
            found.append(f"{names} of {module} by another name than its room's")
    return found


def is_package(module: str) -> bool:
    return (PACKAGE.parent / Path(*module.split("."))).is_dir()


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.parent != PACKAGE or path.stem in FLOOR_OF]


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downwards_and_by_the_names_of_rooms(path: Path) -> None:
    assert faults(room_of(path), path.read_text()) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("physics", "from bundle.io import read_joint"),
        ("io", "from bundle.segmentation import BoneSegmenter"),
        ("io", "def late():\n    from bundle.separation import Generator"),
        ("separation", "from bundle.physics.motion import move"),
        ("quality", "import bundle.evaluation"),
        ("evaluation", "from bundle import Joint"),
    ],
)
def test_an_import_upwards_beside_or_past_the_name_of_a_room_is_found(room: str, line: str) -> None:
    assert faults(room, line)


def test_every_room_has_a_floor_and_few_modules_lie_flat() -> None:
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    flat = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert rooms | flat == set(FLOOR_OF)
    assert len(flat) <= 4


@pytest.mark.parametrize("room", sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))
def test_a_room_has_what_it_names(room: str) -> None:
    found = importlib.import_module(f"bundle.{room}")
    assert all(hasattr(found, name) for name in getattr(found, "__all__", []))
