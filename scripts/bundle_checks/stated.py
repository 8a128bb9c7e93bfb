"""Checks of ``configs/metadata.json``: its schema, the checksums of the weights, version and pins."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import jsonschema
from scripts.bundle_checks.contents import NOT_SUBMITTED, Defect, large_files, metadata, refuse

SCHEMA = Path(__file__).parents[1] / "meta_schema_20240725.json"
"""MONAI's published schema of ``metadata.json``, unchanged, so that no check needs the network."""
FRAMEWORKS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}


def check_schema(root: Path) -> str:
    """Check that the metadata are valid by MONAI's schema and name it."""
    named = str(metadata(root).get("schema", "")).rsplit("/", 1)[-1]
    if named != SCHEMA.name:
        msg = f"configs/metadata.json: schema is '{named}'. Set it to the address of {SCHEMA.name}."
        raise Defect(msg)
    validator = jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    refuse([f"{error.json_path}: {error.message}" for error in validator.iter_errors(metadata(root))])
    return named


def weights_sha256(root: Path) -> dict[str, str]:
    """Return the SHA-256 of the local weights, by file name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((root / "models").glob("*.pt"))}


def check_weights(root: Path) -> str:
    """Check the checksums of the weights against the metadata, by which inference detects a damaged file."""
    stated = {name: entry.get("sha256") for name, entry in metadata(root).get("weights", {}).items()}
    found = weights_sha256(root)
    remedy = "restore the file, or state a new one's checksum with python scripts/verify_bundle.py --state_checksums"
    defects = [
        f"models/{name} has the sha256 {found[name]}, metadata.json states {stated.get(name)}: {remedy}"
        for name in found
        if found[name] != stated.get(name)
    ]
    downloaded = large_files(root)
    lost = [
        f"models/{name} is missing, metadata.json states its checksum: {remedy}"
        for name in stated
        if name not in found and f"models/{name}" not in downloaded
    ]
    refuse(defects + lost + calibration_defects(root, {**stated, **found}))
    return ", ".join(f"{name} {sha256[:12]}" for name, sha256 in found.items())


def calibration_defects(root: Path, found: dict[str, str]) -> list[str]:
    """Return the calibrations that were made for other weights than the shipped ones."""
    shipped = [f"{name} (sha256 {sha256[:12]})" for name, sha256 in found.items()]
    jobs = {"models/uncertainty.json": ("separator", "calibrate.yaml with --output_dir models")}
    for path in sorted((root / "models").glob("*_calibration.json")):
        job = "calibrate_grader.yaml" if path.name.startswith("grader") else "calibrate_scorer.yaml"
        jobs[f"models/{path.name}"] = ("weights", job)
    defects = []
    for file, (key, job) in jobs.items():
        stated = json.loads((root / file).read_text(encoding="utf-8")).get(key, "") if (root / file).is_file() else None
        if stated is not None and stated not in shipped:
            defects.append(f"{file} is of {stated}, not of {shipped}: calibrate again with configs/jobs/{job}")
    return defects


def state_checksums(root: Path) -> None:
    """Write the checksums of the local weights into the metadata."""
    described = metadata(root)
    described["weights"] = {name: {"sha256": sha256} for name, sha256 in weights_sha256(root).items()}
    text = json.dumps(described, indent=4, ensure_ascii=False) + "\n"
    (root / "configs" / "metadata.json").write_text(text, encoding="utf-8")


def check_version(root: Path) -> str:
    """Check that the bundle's version has an entry in its changelog."""
    version, changelog = metadata(root).get("version"), metadata(root).get("changelog", {})
    if version not in changelog:
        msg = f"configs/metadata.json: no entry for version {version} in changelog, only {sorted(changelog)}. Add one."
        raise Defect(msg)
    return str(version)


def metadata_pins(root: Path) -> dict[str, str]:
    """Return the package versions of the metadata, by lower-case name, including frameworks."""
    described = metadata(root)
    pins = {package: described[key] for key, package in FRAMEWORKS.items() if key in described}
    return {**pins, **{name.lower(): version for name, version in described["required_packages_version"].items()}}


def requirement_pins(path: Path) -> dict[str, str]:
    """Return the package versions of a requirements file, by lower-case name."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    parts = (line.partition("==") for line in lines if line)
    return {name.partition("[")[0].strip().lower(): version.strip() for name, _, version in parts}


def check_requirements(root: Path) -> str:
    """Check that ``requirements.txt`` and the metadata pin the same packages to the same versions."""
    described, required = metadata_pins(root), requirement_pins(root / "requirements.txt")
    defects = [
        f"{name}: {described.get(name, 'none')} in metadata.json, {required.get(name, 'none')} in requirements.txt"
        for name in sorted({*described, *required})
        if described.get(name) != required.get(name)
    ]
    refuse(defects)
    return f"{len(required)} pins"


def imported_modules(source: Path) -> tuple[set[str], set[str]]:
    """Return the top-level names of the modules that a Python file imports: at once, and only when needed or there."""
    tree = ast.parse(source.read_text(encoding="utf-8"), filename=str(source))
    at_once = _modules(tree.body)
    return at_once, _modules(list(ast.walk(tree))) - at_once


def _modules(nodes: Sequence[ast.AST]) -> set[str]:
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain | named}


def check_imports(root: Path) -> str:
    """Check that every third-party import of the library is pinned, because the zoo installs nothing else.

    What is imported only when needed or there may instead be pinned in another requirements file.
    """
    sources = [
        source
        for source in sorted((root / "bundle").rglob("*.py"))
        if not source.relative_to(root).as_posix().startswith(NOT_SUBMITTED)
    ]
    own = {*sys.stdlib_module_names, "bundle"}
    needed = set(metadata_pins(root))
    optional = needed.union(*(requirement_pins(path) for path in root.glob("requirements*.txt")))
    imports = {
        (module, source): pins
        for source in sources
        for modules, pins in zip(imported_modules(source), (needed, optional), strict=True)
        for module in modules - own
    }
    refuse(
        [
            f"{source.relative_to(root)} imports {module}, which metadata.json does not pin"
            for (module, source), pins in sorted(imports.items())
            if not pins & _distributions(module)
        ]
    )
    return f"{', '.join(sorted({module for module, _ in imports})) or 'none'}"


def _distributions(module: str) -> set[str]:
    """Names of the packages that may contain a module."""
    names = _installed().get(module, [module])
    return {name.lower().replace("_", "-") for name in names}


@cache
def _installed() -> Mapping[str, list[str]]:
    """Names of the installed packages, by the module that they contain."""
    return packages_distributions()
