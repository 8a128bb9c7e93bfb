from __future__ import annotations

from pathlib import Path

import pytest
from bundle.errors import InputError
from scripts import check_requirements
from scripts.check_requirements import check, outermost, resolve, stated_pythons

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    path = tmp_path / "requirements.txt"
    path.write_text("# What runs: Python 3.10 to 3.12.\na==1\n")
    return path


def test_each_requirements_file_states_its_pythons() -> None:
    stated = {path.name: stated_pythons(path) for path in ROOT.glob("requirements*.txt")}
    assert stated.pop("requirements-monai-label.txt") == range(11, 12)
    assert set(stated.values()) == {range(10, 13)}


def test_a_file_that_states_no_python_is_refused(requirements: Path) -> None:
    requirements.write_text("# What runs.\na==1\n\n# Python 3.10 to 3.12\n")
    with pytest.raises(InputError, match=r"requirements.txt: the head states no Python version. Begin it"):
        check(requirements)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.txt: no such requirements file"):
        check(tmp_path / "absent.txt")


def test_a_file_for_another_python_is_skipped_with_the_reason(requirements: Path) -> None:
    assert check(requirements, minor=9) == "requirements.txt: skipped: it is for Python 3.10 to 3.12, this is 3.9"


def test_a_file_for_the_running_python_is_resolved(requirements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []
    monkeypatch.setattr(check_requirements, "resolve", asked.append)
    assert check(requirements, minor=12) == "requirements.txt: resolves with Python 3.12"
    assert asked == [requirements]


def test_a_file_that_another_one_includes_is_resolved_with_it(requirements: Path) -> None:
    tools = requirements.with_name("requirements-dev.txt")
    tools.write_text("# Tools: Python 3.10 to 3.12.\n-r requirements.txt\nb==1\n")
    other = requirements.with_name("requirements-other.txt")
    other.write_text("# Another environment: Python 3.11.\nc==1 # not -r requirements-dev.txt\n")
    assert outermost([tools, other, requirements]) == [tools, other]


def test_every_file_of_the_repository_is_resolved_alone_or_with_another() -> None:
    assert [path.name for path in outermost(sorted(ROOT.glob("requirements*.txt")))] == [
        "requirements-dev.txt",
        "requirements-monai-label.txt",
        "requirements-tracking.txt",
    ]


@pytest.mark.slow
def test_pins_that_pip_cannot_install_are_found(requirements: Path) -> None:
    (requirements.parent / "empty").mkdir()
    requirements.write_text(f"--no-index\n--find-links {requirements.parent / 'empty'}\nno-such-package-here==1\n")
    with pytest.raises(
        InputError, match=r"requirements.txt: pip cannot install it. Change its pins.\n.*no-such-package"
    ):
        resolve(requirements)
