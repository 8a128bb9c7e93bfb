"""The folder for the model zoo or a hub: it runs in a process of its own, and its documents lead nowhere wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from bundle.errors import InputError
from scripts import package_bundle, verify_bundle

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)]+)\)")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("package")
    package_bundle.main(["--output", str(output)])
    return output / package_bundle.NAME


def lost_links(root: Path) -> list[str]:
    """Relative links of a bundle's documents to files that it does not have, from ``docs`` and from the root alike."""
    found = [(path, link) for path in root.rglob("*.md") for link in LINK.findall(path.read_text())]
    near = [(path, link.split("#")[0]) for path, link in found if not link.startswith("https://")]
    places = [(link, (path.parent / link, root / link)) for path, link in near]
    return [link for link, both in places if not all(place.exists() for place in both)]


@pytest.mark.slow
def test_only_what_runs_is_packaged(package: Path) -> None:
    assert sorted(path.name for path in package.iterdir()) == [
        "LICENSE", "bundle", "configs", "docs", "models", "requirements-export.txt",
            "requirements-runtimes.txt", "requirements-scale.txt", "requirements.txt",
    ]  # fmt: skip
    assert sorted(path.name for path in (package / "docs").iterdir()) == ["README.md", "data_license.txt"]
    assert not list(package.rglob("*.pyc"))
    assert not (package / "bundle" / "reading_room").exists()
    assert package.with_suffix(".zip").is_file()


@pytest.mark.long
def test_the_packaged_bundle_separates_a_phantom_in_a_process_of_its_own(package: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        str(package / "configs" / "inference.json"),
    ]
    options = ["--bundle_root", str(package), "--phantoms", "1", "--output_dir", str(tmp_path / "made")]
    result = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "made").glob("*_layers.nii.gz"))


@pytest.mark.long
def test_the_packaged_bundle_passes_the_quick_checks_of_the_zoo(package: Path) -> None:
    quick = [title for title, _ in verify_bundle.checks(package)][:8]
    checks = dict(verify_bundle.checks(package))
    results = {title: verify_bundle.run_check(checks[title], verbose=False) for title in quick}
    assert {title: reason for title, (passed, reason) in results.items() if not passed} == {}


def test_links_of_the_packaged_documents_lead_to_files_or_to_the_repository(package: Path) -> None:
    assert lost_links(package) == []
    (package / "docs" / "lost.md").write_text("[results](results.md)")
    assert lost_links(package) == ["results.md"]
    (package / "docs" / "lost.md").unlink()


def test_a_link_of_the_card_leads_into_the_repository_or_is_plain_text() -> None:
    card = "See [results](results.md#e1), ![a picture](failures.png), [code](../bundle/measurement/joint_space.py), [MONAI](https://monai.io).\n"
    card += "<!-- repository -->\nonly there\n<!-- /repository -->\nend"
    assert package_bundle.packaged_card(card, "") == ("See results, *a picture*, code, [MONAI](https://monai.io).\nend")
    assert package_bundle.packaged_card("An error of <!--=ours:E2/a .3f-->0.042<!--/-->.", "") == "An error of 0.042."
    linked = package_bundle.packaged_card(card, "https://host/a/b")
    assert "[results](https://host/a/b/blob/main/docs/results.md#e1)" in linked
    assert "![a picture](https://host/a/b/raw/main/docs/failures.png)" in linked
    assert "[code](https://host/a/b/blob/main/bundle/measurement/joint_space.py)" in linked


def test_weights_that_are_too_large_for_the_zoo_are_listed_instead(tmp_path: Path) -> None:
    folder = package_bundle.package(ROOT, tmp_path / "bundle", weights_url="https://host/weights/")
    listed = yaml.safe_load((folder / "large_files.yml").read_text())["large_files"]
    assert sorted(entry["path"] for entry in listed) == sorted(
        f"models/{path.name}" for path in ROOT.glob("models/*.pt")
    )
    assert {entry["url"] for entry in listed} == {
        f"https://host/weights/{path.name}" for path in ROOT.glob("models/*.pt")
    }
    assert max(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= package_bundle.LARGE
    checks = (verify_bundle.check_files, verify_bundle.check_large_files, verify_bundle.check_weights)
    assert all(verify_bundle.run_check(lambda check=check: check(folder), verbose=False)[0] for check in checks)


def test_nothing_that_is_there_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "bundle.zip").write_text("mine")
    with pytest.raises(InputError, match=r"bundle\.zip already exists"):
        package_bundle.package(ROOT, tmp_path / "bundle")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="could not be written"):
        package_bundle.main(["--output", str(tmp_path / "file" / "package")])


def test_the_repository_has_no_document_that_a_push_to_a_hub_copies_over_its_readme() -> None:
    assert not (ROOT / "docs" / "README.md").exists()
