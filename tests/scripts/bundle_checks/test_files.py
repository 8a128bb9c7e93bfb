"""Large files are listed with their hash, and what git ignores is left alone."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from tests.scripts.bundle_checks.small_bundle import FILES, LARGE, failures, large, write_yaml


@pytest.mark.slow
def test_a_listed_large_file_needs_its_own_hash(root: Path) -> None:
    large(root)
    name = "models/model_large.bin"
    right = hashlib.sha256((root / name).read_bytes()).hexdigest()
    entry = {"path": name, "url": "https://example.org/m", "hash_type": "sha256", "hash_val": right}
    write_yaml(root / "large_files.yml", {"large_files": [entry]})
    assert LARGE not in failures(root, LARGE)
    write_yaml(root / "large_files.yml", {"large_files": [{**entry, "hash_val": right[::-1]}]})
    assert "does not have the sha256" in failures(root, LARGE)[LARGE]


def test_a_file_to_be_downloaded_is_not_missing(root: Path) -> None:
    (root / "models" / "model.pt").unlink()
    entry = {"path": "models/model.pt", "url": "https://example.org/m", "hash_type": "md5", "hash_val": "0"}
    write_yaml(root / "large_files.yml", {"large_files": [entry]})
    assert FILES not in failures(root, FILES)


@pytest.mark.slow
def test_what_git_ignores_is_not_part_of_the_bundle(root: Path) -> None:
    large(root)
    (root / ".gitignore").write_text("*.bin\n")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    assert LARGE not in failures(root, LARGE)
