"""What is written more than once in configurations is found, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripts import repeated_lines
from scripts.repeated_lines import RUN, Line, counted_lines, read_configs, repeated_blocks

ALPHABET = st.lists(st.sampled_from("ab"), max_size=20)
OWN = [f"own_{number}: {number}" for number in range(20)]
PLANTED = [f"planted_{number}: '#{number}'" for number in range(RUN)]


def write(folder: Path, name: str, *lines: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def naive(files: dict[str, list[Line]]) -> set[tuple[str, int]]:
    """Every line that any pair of separate runs has."""
    runs = [(name, start) for name, lines in files.items() for start in range(len(lines) - RUN + 1)]
    found = set()
    for one in runs:
        for other in runs:
            texts = [[line.text for line in files[name][start : start + RUN]] for name, start in (one, other)]
            if texts[0] == texts[1] and (one[0] != other[0] or abs(one[1] - other[1]) >= RUN):
                found |= {(one[0], one[1] + offset) for offset in range(RUN)}
    return found


@given(ALPHABET, ALPHABET)
def test_exactly_the_lines_of_runs_that_are_elsewhere_are_repeated(first: list[str], second: list[str]) -> None:
    files = {name: [Line(row, text) for row, text in enumerate(texts)] for name, texts in (("a", first), ("b", second))}
    assert repeated_lines.repeated_lines(files) == naive(files)
    assert bool(repeated_blocks(files)) == bool(naive(files))


def test_comments_blank_lines_and_indentation_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "# of a", *OWN[:3], *PLANTED)
    spaced = [line for text in PLANTED for line in (f"    {text}  # said here", "", "  # and here")]
    write(tmp_path, "parts/b.yaml", *OWN[4:6], *spaced)
    files = read_configs(tmp_path)
    assert sum(map(len, files.values())) == 5 + 2 * RUN
    assert len(repeated_lines.repeated_lines(files)) == 2 * RUN
    assert [str(block) for block in repeated_blocks(files)] == ["a.yaml:5-10 = parts/b.yaml:3-18"]


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ("a#b: 1", ["a#b: 1"]),
        ("a: '#1' # x", ["a: '#1'"]),
        ('a: " # 1"', ['a: " # 1"']),
        ("a: $'it' # isn't", ["a: $'it'"]),
        ("  # only said", []),
        ("a: it's # x", ["a: it's # x"]),
    ],
)
def test_a_comment_starts_after_white_space_and_outside_of_quotes(line: str, counted: list[str]) -> None:
    assert [found.text for found in counted_lines(line)] == counted


def test_the_metadata_is_no_configuration_and_json_has_no_comments(tmp_path: Path) -> None:
    write(tmp_path, "metadata.json", *PLANTED)
    write(tmp_path, "inference.json", '"a": "b #c"', '"d": 1 # e')
    assert [line.text for line in read_configs(tmp_path)["inference.json"]] == ['"a": "b #c"', '"d": 1 # e']
    assert list(read_configs(tmp_path)) == ["inference.json"]


@pytest.mark.parametrize("places", [("a.yaml", "b.yaml"), ("a.yaml", "a.yaml")], ids=["two files", "one file"])
def test_a_planted_repetition_fails_and_is_shown(
    tmp_path: Path, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {place: [f"of: {place}"] for place in places}
    monkeypatch.setattr(sys, "argv", ["repeated_lines.py", str(tmp_path)])
    for name, lines in contents.items():
        write(tmp_path, name, *lines)
    assert repeated_lines.main() == 0
    for place in places:
        contents[place] += [*PLANTED, f"end of {place}: {len(contents[place])}"]
    for name, lines in contents.items():
        write(tmp_path, name, *lines)
    capsys.readouterr()
    assert repeated_lines.main() == 1
    said = capsys.readouterr().out
    assert f"{places[0]}:2-7 = {places[1]}:" in said and f"({2 * RUN} lines)" in said


def test_a_run_that_is_one_line_short_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        write(tmp_path, f"{name}.yaml", f"{name}: 1", *PLANTED[1:])
    monkeypatch.setattr(sys, "argv", ["repeated_lines.py", str(tmp_path), "--most", "0"])
    assert repeated_lines.main() == 0


def test_a_folder_without_configurations_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["repeated_lines.py", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        repeated_lines.main()
    assert ended.value.code == 2


def test_the_configurations_of_this_bundle_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["repeated_lines.py", "--most", "5"])
    assert repeated_lines.main() == 0
