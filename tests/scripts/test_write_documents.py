from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from scripts import write_documents
from scripts.write_documents import METADATA, changelog, copied_figures, differences, figure, shown, written

ROOT = Path(__file__).resolve().parents[2]
CARD = "docs/model_card.md"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The documents of this repository, and the figures that they quote."""
    quoting = (*write_documents.QUOTING, *write_documents.PARTLY)
    for name in (*quoting, "configs/metadata.json", "CHANGELOG.md", "CITATION.cff"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "docs" / "results").symlink_to(ROOT / "docs" / "results")
    (tmp_path / "models").symlink_to(ROOT / "models")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.slow
def test_the_documents_of_the_repository_are_up_to_date() -> None:
    assert differences(ROOT) == []


@pytest.mark.slow
def test_a_wrong_figure_is_found_with_its_line_and_mended(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(root / CARD, "<!--=ours:E2/deep_overlap_rmse .4f-->0.0418", "<!--=ours:E2/deep_overlap_rmse .4f-->0.0319")
    with pytest.raises(InputError, match=r"model_card.md:\d+: ours:E2/deep_overlap_rmse: '0.0319' should be '0.0418'"):
        write_documents.main(["--check"], root)
    write_documents.main([], root)
    write_documents.main(["--check"], root)
    assert (root / CARD).read_text() == (ROOT / CARD).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["an error of 0.042 remains", "43 % less", "| 0.0418 |", "AUC 0.960."])
def test_a_figure_that_is_typed_is_found(root: Path, typed: str) -> None:
    change(root / CARD, "## Performance\n", f"## Performance\n\n{typed}\n")
    (found,) = differences(root)
    assert found.place.startswith(CARD)
    assert found.states in typed


@pytest.mark.parametrize(
    "text", ["`--prob 0.3`", "```\na 0.3\n```", "[a](a_0.3.md)", "Python 3.10 to 3.12", "1190 joints"]
)
def test_code_links_and_settings_are_no_typed_figures(text: str) -> None:
    assert list(copied_figures("a.md", text)) == []


@pytest.mark.slow
@pytest.mark.parametrize(("key", "value"), [("ssim", 0.9), ("typed", 0.5)])
def test_a_wrong_or_typed_figure_of_the_metadata_is_found(root: Path, key: str, value: float) -> None:
    path = root / "configs" / "metadata.json"
    metadata: dict[str, Any] = json.loads(path.read_text())
    metadata["eval_metrics"][key] = value
    path.write_text(json.dumps(metadata, indent=4, ensure_ascii=False) + "\n")
    (found,) = differences(root)
    assert found.place.startswith("configs/metadata.json")
    assert found.states != found.should


def test_each_figure_of_the_metadata_has_a_source() -> None:
    assert set(json.loads((ROOT / "configs" / "metadata.json").read_text())["eval_metrics"]) == set(METADATA)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"), [("CHANGELOG.md", "## 0.9.0", "## 0.9"), ("CITATION.cff", "\nversion: 1", "\nversion: 9")]
)
def test_another_changelog_or_version_is_found(root: Path, name: str, old: str, new: str) -> None:
    change(root / name, old, new)
    assert [found.place.split(":")[0] for found in differences(root)] == [name]


@pytest.mark.slow
def test_a_missing_changelog_is_written(root: Path) -> None:
    (root / "CHANGELOG.md").unlink()
    assert len(differences(root)) == 1
    write_documents.main([], root)
    assert (root / "CHANGELOG.md").read_text() == written(ROOT)["CHANGELOG.md"]


def test_the_changelog_has_a_line_a_change_and_the_newest_version_first() -> None:
    entries = {"0.9.0": "one", "0.10.0": "two (with a; in it); three"}
    text = changelog(json.dumps({"changelog": entries}))
    assert text.index("## 0.10.0") < text.index("## 0.9.0")
    assert "\n- two (with a; in it)\n- three\n" in text


def test_figures_are_found_in_measures_lists_and_by_selections(tmp_path: Path) -> None:
    report = {"measures": {"E2": {"figures": {"a": {"b": [0.25, 0.5]}}}}, "cells": [{"arm": "x", "n": 1.0, "y": 7}]}
    (tmp_path / "docs" / "results").mkdir(parents=True)
    (tmp_path / "docs" / "results" / "ours.json").write_text(json.dumps(report))
    assert figure("ours:E2/a/b/1", tmp_path) == 0.5
    assert figure("ours:cells[arm=x,n=1.0]/y", tmp_path) == 7
    assert shown("ours:E2/a/b/0", ".0p", tmp_path) == "25"
    for wrong in ("ours:E2/a/c", "ours:cells[arm=z]/y", "gone:E2/a", "ours:E2/a/b/9"):
        with pytest.raises(InputError, match="no such figure"):
            figure(wrong, tmp_path)
    with pytest.raises(InputError, match="cannot be written"):
        shown("ours:E2/a", ".3f", tmp_path)
