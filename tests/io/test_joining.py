"""Files of lines are joined in order."""

from __future__ import annotations

from pathlib import Path

from bundle.io.joining import join_lines


def parts(folder: Path, *texts: str) -> list[Path]:
    paths = [folder / f"{number}" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def test_lines_are_joined_in_order(tmp_path: Path) -> None:
    join_lines(tmp_path / "all", [*parts(tmp_path, "a\nb\n", "", "c\n"), tmp_path / "absent"])
    assert (tmp_path / "all").read_text() == "a\nb\nc\n"


def test_a_header_is_kept_once_wherever_it_comes_first(tmp_path: Path) -> None:
    join_lines(tmp_path / "all", [tmp_path / "absent", *parts(tmp_path, "name\na\n", "name\nb\n")], header=True)
    assert (tmp_path / "all").read_text() == "name\na\nb\n"


def test_without_lines_the_joined_file_is_removed(tmp_path: Path) -> None:
    (tmp_path / "all").write_text("of an earlier run\n")
    join_lines(tmp_path / "all", parts(tmp_path, ""))
    assert not (tmp_path / "all").exists()
