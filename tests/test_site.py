"""What the documentation site makes of the package, and what it must not load."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("sphinx")

from docs.offline import loaded_from_elsewhere, pages_that_load_from_elsewhere
from docs.reference_pages import (
    EQUATIONS,
    equation_index,
    equations_page,
    mentioned,
    names_of,
    public_name,
    public_rooms,
    room_page,
)

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("losses: Eq. 7, 8, 9 and 11", ["Eq. 7", "Eq. 8", "Eq. 9", "Eq. 11"]),
        ("(Eq. 1, 4 to 6 and 13)", ["Eq. 1", "Eq. 4", "Eq. 5", "Eq. 6", "Eq. 13"]),
        ("Eq. 5-6, a stage of Algorithm 1", ["Eq. 5", "Eq. 6", "Algorithm 1"]),
        ("which is Eq.\n    8 of it", ["Eq. 8"]),
        ("of 12 joints, 3 to 4 times", []),
    ],
)
def test_equations_are_found_in_lists_and_ranges(text: str, found: list[str]) -> None:
    assert mentioned(text) == found


def test_an_equation_is_found_in_a_docstring_of_any_depth(tmp_path: Path) -> None:
    (tmp_path / "bundle" / "room").mkdir(parents=True)
    text = "Compose it (Eq. 4), so that it is whole.\n\n        More.\n        "
    source = f'class Outer:\n    def inner(self):\n        """{text}"""\n'
    (tmp_path / "bundle" / "room" / "module.py").write_text(source)
    (found,) = equation_index(tmp_path)["Eq. 4"]
    assert (found.module, found.name, found.line) == ("bundle.room.module", "Outer.inner", 2)
    assert found.summary == "Compose it (Eq. 4), so that it is whole."


@pytest.mark.slow
def test_every_equation_of_the_paper_is_implemented_and_leads_to_its_function() -> None:
    index = equation_index(ROOT)
    assert set(EQUATIONS) == set(index)
    assert all(any(mention.name for mention in mentions) for mentions in index.values())
    page = equations_page(index)
    assert "Not implemented" not in page
    assert "| `bundle.physics.reconstruct` |" in page.split("## Eq. 4")[1].split("## Eq. 5")[0]
    assert "| `bundle.separation.GeneratorLoss` |" in page.split("## Eq. 7")[1].split("## Eq. 8")[0]


def test_a_name_by_its_module_leads_to_its_room() -> None:
    assert public_name("bundle.physics.radiograph.reconstruct") == "bundle.physics.reconstruct"
    assert public_name("bundle.separation.losses.GeneratorLoss.uses") == "bundle.separation.GeneratorLoss.uses"
    assert public_name("bundle.physics.reconstruct") == "bundle.physics.reconstruct"
    assert public_name("bundle.separation.losses.Separation") == ""


@pytest.mark.slow
def test_the_page_of_a_room_has_all_that_it_makes_public() -> None:
    rooms = public_rooms(ROOT)
    assert {"bundle", "bundle.physics", "bundle.separation.transforms"} <= set(rooms)
    for room in rooms:
        page = room_page(room)
        assert all(f":: {name}\n" in page or f".{name}`\n" in page for name in names_of(room))
    assert ":: PartitionHead\n" in room_page("bundle.separation")
    assert ":: PartitionHead\n" not in room_page("bundle.separation.heads")


def test_what_a_page_loads_from_elsewhere_is_found_and_links_are_not(tmp_path: Path) -> None:
    page = '<a href="https://a.org">a</a><link rel="canonical" href="https://a.org"><img src="_static/a.png">'
    planted = {
        '<script async src="https://cdn.org/a.js"></script>': "https://cdn.org/a.js",
        '<link href="//fonts.org/a.css" rel="stylesheet">': "//fonts.org/a.css",
        "<style>@import url('https://fonts.org/b.css')</style>": "https://fonts.org/b.css",
        '<img alt="" src="http://a.org/a.png">': "http://a.org/a.png",
    }
    assert loaded_from_elsewhere(page) == []
    for text, address in planted.items():
        assert loaded_from_elsewhere(page + text) == [address]
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.css").write_text("p { background: url(https://a.org/c.png) }")
    assert list(pages_that_load_from_elsewhere(tmp_path)) == ["a/b.css: https://a.org/c.png"]
