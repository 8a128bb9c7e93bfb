"""The sources of the pages: no markup from data, nothing from elsewhere, short files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[3] / "bundle" / "reading_room" / "pages"
FILES = sorted(path for path in PAGES.rglob("*") if path.is_file())
FORBIDDEN = {
    "markup or code from text": r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function)",
    "an address elsewhere": r"https?://(?!www\.w3\.org)",
    "a style in markup": r"\sstyle=",
    "a script in markup": r"<script(?![^>]*\bsrc=)[^>]*>|\son\w+=\"",
}
LINES = 350


def faults(source: str) -> list[str]:
    """What a file of the pages may not hold."""
    return [name for name, pattern in FORBIDDEN.items() if re.search(pattern, source)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_is_short_and_takes_no_markup_from_data(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    code = "\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("//", "*", "/*")))
    assert faults(code) == []
    assert source.count("\n") <= LINES


@pytest.mark.parametrize(
    "line",
    [
        "row.innerHTML = name;",
        'fetch("https://example.org/joints")',
        '<p style="color: red">',
        "<script>start()</script>",
        '<button onclick="start()">',
    ],
)
def test_markup_and_foreign_addresses_are_found(line: str) -> None:
    assert faults(line)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".js"], ids=lambda path: path.name)
def test_modules_import_by_relative_names_what_exists(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    for names, module in re.findall(r'import \{([^}]*)\} from "([^"]*)";', source):
        assert module.startswith("./"), module
        other = (path.parent / module).read_text(encoding="utf-8")
        missing = [
            name.strip()
            for name in names.split(",")
            if name.strip() and not re.search(rf"^export (async )?(function|class|const) {name.strip()}\b", other, re.M)
        ]
        assert missing == []
