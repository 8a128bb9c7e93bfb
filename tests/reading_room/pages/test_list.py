"""The room "List": filter, order, long lists, keyboard, lists that grow."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import BAD, MARKUP, Faults, Room
from .looking import PIXEL, row, serve_rows

MANY = 5000


@pytest.fixture
def many(page: Any) -> Any:
    """A page with 5,000 joints, the last one of which failed."""
    rows = [row(number) for number in range(MANY)]
    rows[-1].update(state="failed", failure="joint_4999.png: damaged. Remove it.", grade=None, joint_space_mm=None)
    page.rows = serve_rows(page, rows)
    page.goto("/")
    page.locator(".joint-row").first.wait_for()
    return page


def names(page: Any) -> list[str]:
    """Names of the joints in sight, from the top."""
    script = """() => {
      const top = (each) => each.getBoundingClientRect().top;
      const head = document.querySelector(".head").getBoundingClientRect().bottom;
      const rows = [...document.querySelectorAll(".joint-row")].filter((each) => top(each) >= head - 1);
      return rows.sort((a, b) => top(a) - top(b)).map((each) => each.querySelector(".name").textContent);
    }"""
    return page.evaluate(script)


def count(page: Any) -> str:
    return page.locator(".toolbar .count").inner_text()


@pytest.mark.slow
def test_a_long_list_holds_only_the_rows_in_sight_and_reaches_its_end(many: Any) -> None:
    assert many.locator(".joint-row").count() < 40
    assert count(many) == "5,000 joints, 1 failed"
    many.keyboard.press("End")
    last = many.locator(".joint-row", has_text="joint_4999")
    last.wait_for()
    assert "joint_4999.png: damaged. Remove it." in last.inner_text()
    assert last.get_attribute("aria-selected") == "true"
    assert many.locator(".joint-row").count() < 40


@pytest.mark.slow
def test_the_list_is_filtered_by_text_and_by_values(many: Any) -> None:
    many.keyboard.press("/")
    many.keyboard.type("joint_12 ring")
    ring = [number for number in range(MANY) if "joint_12" in f"joint_{number}" and number % 4 == 2]
    assert count(many).startswith(f"{len(ring)} of 5,000")
    many.get_by_label("Grade").select_option("0")
    assert count(many).startswith(f"{sum(number % 5 == 0 for number in ring)} of 5,000")
    many.get_by_role("button", name="Clear").click()
    many.get_by_label("Plausibility").select_option("implausible")
    assert count(many).startswith("500 of 5,000")
    many.get_by_label("Measurement").select_option("failed")
    assert count(many).startswith("0 of 5,000")
    many.get_by_label("Plausibility").select_option("")
    assert names(many) == ["joint_4999"]


@pytest.mark.slow
def test_columns_sort_upwards_then_downwards_then_not_at_all(many: Any) -> None:
    header = many.get_by_role("columnheader", name="Joint space")
    header.get_by_role("button").click()
    assert header.get_attribute("aria-sort") == "ascending"
    assert many.locator(".cell.joint_space_mm").nth(1).inner_text() == "0.50 \u00b1 0.07"
    header.get_by_role("button").press("Enter")
    assert header.get_attribute("aria-sort") == "descending"
    assert all(
        name == f"joint_{number}" and number * 37 % 200 == 199 for name in names(many) for number in [int(name[6:])]
    )
    header.get_by_role("button").click()
    assert names(many)[:2] == ["joint_0", "joint_1"]
    many.get_by_role("columnheader", name="Name").get_by_role("button").click()
    assert names(many)[:3] == ["joint_0", "joint_1", "joint_2"]  # numbers in names count as numbers


@pytest.mark.slow
def test_a_list_that_grows_keeps_scroll_position_selection_and_filter(many: Any) -> None:
    many.keyboard.press("/")
    many.keyboard.type("joint")
    many.keyboard.press("Enter")
    for _ in range(3):
        many.keyboard.press("PageDown")
    before, top = names(many), many.evaluate("document.querySelector('.scroller').scrollTop")
    assert top > 0
    added = [row(MANY + number) for number in range(3)]
    many.rows.update(revision=2, rows=[*added, *many.rows["rows"]])
    many.locator(".toolbar .count", has_text="5,003 joints").wait_for()
    assert names(many) == before
    assert many.evaluate("document.querySelector('.scroller').scrollTop") == top + 3 * 48
    assert many.locator("[aria-selected='true']").count() == 1
    assert many.get_by_label("Filter by text").input_value() == "joint"


@pytest.mark.slow
def test_hands_keep_their_joints_together_and_columns_appear_with_their_values(page: Any) -> None:
    rows = [row(number, hand=f"hand_{number % 3}", patient="p1", visit=30) for number in range(12)]
    serve_rows(page, [*rows, row(12, grade=None, plausible=None, joint_space_mm=None, state="closed")])
    page.goto("/")
    page.locator(".hand").first.wait_for()
    assert page.locator(".hand").all_inner_texts()[0].startswith("hand_0")
    assert names(page)[:4] == ["joint_0", "joint_3", "joint_6", "joint_9"]
    assert page.locator(".hand").last.inner_text().startswith("Without a hand")
    assert page.get_by_role("columnheader", name="Patient").count() == 1
    assert page.locator(".joint-row", has_text="joint_12").locator(".joint_space_mm").inner_text() == "not opened"
    page.get_by_role("button", name="Group by hand").click()
    assert page.locator(".hand").count() == 0
    assert names(page)[:2] == ["joint_0", "joint_1"]


@pytest.mark.slow
def test_text_of_the_server_is_shown_as_text(page: Any) -> None:
    serve_rows(
        page, [row(0, name=MARKUP, hand=MARKUP, patient=MARKUP, reasons=[MARKUP], plausible=False, finger=MARKUP)]
    )
    page.goto("/")
    page.locator(".joint-row").wait_for()
    assert page.locator(".joint-row .name").inner_text() == MARKUP
    assert page.locator("img[src='x']").count() == 0


@pytest.mark.slow
def test_a_joint_is_opened_by_keyboard_and_the_list_returns_as_it_was(page: Any, room: Room) -> None:
    page.goto("/")
    page.locator(".joint-row").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press(" ")
    page.get_by_role("button", name="Export 1").wait_for()
    page.keyboard.press("Enter")
    page.locator(".panel h1", has_text=MARKUP).wait_for()
    page.keyboard.press("Escape")
    assert page.locator("[aria-selected='true'] .name").inner_text() == MARKUP
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.locator(".cover", has_text="bad.png: damaged. Remove it.").wait_for()
    assert page.url.endswith(BAD)


@pytest.mark.slow
def test_a_server_that_stops_is_reported_until_it_answers_again(many: Any, faults: Faults) -> None:
    many.route("**/api/joints?*", lambda route: route.abort())
    many.locator("#status", has_text="The server does not answer").wait_for()
    assert many.locator(".joint-row").count() > 10
    many.unroute("**/api/joints?*")
    many.route("**/api/joints?*", lambda route: route.fulfill(json={"revision": 1, "joints": None}))
    many.locator("#status[data-kind='note']").wait_for(state="attached")
    assert many.locator("#status").inner_text() == ""
    faults.found.clear()


@pytest.mark.slow
def test_a_thumbnail_is_neutral_until_it_is_loaded(page: Any) -> None:
    serve_rows(page, [row(0)])
    waiting: list[Any] = []
    page.route("**/thumbnail", lambda route: waiting.append(route))
    page.goto("/")
    page.locator(".frame img").wait_for(state="attached")
    ground = "getComputedStyle(document.querySelector('.frame')).backgroundColor"
    assert page.evaluate(ground) != "rgb(0, 0, 0)"
    waiting[0].fulfill(status=200, content_type="image/png", body=PIXEL)
    page.locator(".frame.loaded").wait_for()
    assert page.evaluate(ground) == "rgb(0, 0, 0)"


@pytest.mark.slow
def test_the_chosen_colours_are_kept(page: Any) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    page.emulate_media(color_scheme="dark")
    page.goto("/")
    page.locator(".joint-row").first.wait_for()
    dark = page.evaluate(ground)
    page.keyboard.press("t")
    light = page.evaluate(ground)
    assert light != dark
    page.reload()
    page.locator(".joint-row").first.wait_for()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Colours: light").click()
    assert page.evaluate(ground) == dark
