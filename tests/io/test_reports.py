"""Figures as reports show them."""

from __future__ import annotations

from typing import Any

import pytest
from bundle.io.reports import flat_figures, shown_figure


def test_groups_of_figures_are_flat_in_the_table_and_settings_are_left_out() -> None:
    given = {"mae": 0.1, "by_finger": {"thumb": {"mae": 0.2}}, "settings": {"seed": 0}}
    assert flat_figures(given) == {"mae": 0.1, "by_finger thumb mae": 0.2}


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.123456, "0.1235"), ([0.5, None], "0.5 to not defined"), (3, "3"), ("inf", "inf"), (None, "not defined")],
)
def test_a_figure_is_shown_shortly(value: Any, expected: str) -> None:
    assert shown_figure(value) == expected
