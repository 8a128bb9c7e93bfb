"""The rooms of people who read, by mouse and by keyboard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle.reader_study import make_study, read_key
from bundle.reading_room.rows import row_id
from bundle.reading_room.running import rooms_of
from tests.reading_room.conftest import Weightless
from tests.reading_room.pages.conftest import Faults, serving, sync_api
from tests.reading_room.test_studies import candidates

expect = sync_api.expect
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readings")
    make_study(folder / "studies" / "one", candidates(0), candidates(10), name="First", count=4, seed=1)
    return folder


@pytest.fixture(scope="module")
def address(readings: Path) -> Iterator[str]:
    with serving(rooms_of(Weightless(), readings)) as found:
        yield found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def begin(page: Any, room: str, reader: str) -> None:
    page.goto(f"/#/{room}")
    page.fill("#reader", reader)
    page.click("#begin")
    expect(page.locator(".cover")).to_be_hidden()


def test_a_joint_is_measured_by_keyboard_and_by_mouse(page: Any, readings: Path) -> None:
    begin(page, "measure", "Ann")
    for _ in range(15):
        page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_have_text("1 of 3 measured")
    box = page.locator(".pane").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    expect(page.locator(".cover")).to_be_hidden()
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0], middle[1] + 40, steps=4)
    page.mouse.up()
    page.click("#save")
    expect(page.locator("#progress")).to_have_text("2 of 3 measured")
    first, second = lines(readings / "readings.jsonl")[-2:]
    assert (first["value_mm"], first["grade"]) == (1.49, 1)
    side = min(box["width"], box["height"])
    assert second["value_mm"] == pytest.approx(40 * 21 / side, abs=0.05)


def test_the_automatic_value_is_not_shown_before_it_is_asked_for(page: Any) -> None:
    begin(page, "measure", "Bob")
    assert "automatic" not in page.inner_text("#status").lower()
    assert "1.6" not in page.inner_text(".desk")


def test_a_page_that_is_reloaded_resumes(page: Any) -> None:
    begin(page, "measure", "Eve")
    page.keyboard.press("x")
    expect(page.locator("#progress")).to_have_text("1 of 3 measured")
    page.reload()
    begin(page, "measure", "Eve")
    expect(page.locator("#progress")).to_have_text("1 of 3 measured")
    page.click("#undo")
    expect(page.locator("#progress")).to_have_text("0 of 3 measured")


def test_a_reader_with_markup_in_the_name_is_text(page: Any) -> None:
    name = "<img src=x onerror=alert(1)>"
    begin(page, "measure", name)
    page.goto("/#/list")
    page.goto("/#/measure")
    expect(page.locator(".sessions", has_text=name)).to_have_count(1)


def test_a_whole_study_is_answered_by_keyboard(page: Any, readings: Path) -> None:
    page.goto("/#/studies")
    page.get_by_role("button", name="Open").click()
    page.fill("#reader", "Ann")
    page.keyboard.press("Enter")
    expect(page.locator(".cover")).to_be_hidden()
    for done in range(8):
        expect(page.locator("#progress")).to_have_text(f"{done} of 8 answered")
        expect(page.get_by_role("button", name="Real")).to_be_enabled()
        page.keyboard.press("s")
        page.keyboard.press("4")
        page.keyboard.press("Enter")
    expect(page.locator(".cover")).to_contain_text("Thank you")
    page.click("#figures")
    expect(page.get_by_role("dialog")).to_contain_text("sensitivity")
    answers = lines(readings / "studies" / "one" / "answers.jsonl")
    assert {answer["answer"] for answer in answers} == {"synthetic"}
    assert len(answers) == 8


def test_the_images_of_a_study_do_not_give_the_answer_away(page: Any, readings: Path) -> None:
    from bundle.reader_study import read_study

    study = read_study(readings / "studies" / "one")
    sizes = {study.image_path(image).stat().st_size for image in study.images}
    assert len(sizes) == 1
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"/#/studies/{row_id('one')}")
    page.fill("#reader", "Cy")
    page.click("#begin")
    expect(page.locator(".cover")).to_be_hidden()
    joints = {str(entry["joint"]) for entry in read_key(study).values()}
    assert not any(joint in url for joint in joints for url in asked)


def test_two_visits_blink_and_state_the_change(page: Any) -> None:
    page.goto("/#/visits")
    expect(page.locator("#figures table")).to_be_visible()
    expect(page.locator("#figures")).to_contain_text("-0.2")
    expect(page.locator(".hint")).to_be_hidden()
    expect(page.locator(".caption").first).to_have_text("Later")
    expect(page.locator(".caption").first).to_have_text("Earlier")
    page.keyboard.press("s")
    expect(page.locator(".caption").nth(1)).to_be_visible()
    page.keyboard.press("d")
    expect(page.locator(".caption").first).to_contain_text("minus")


def test_radiographs_without_days_are_numbered_and_long_names_do_not_widen_the_panel(page: Any) -> None:
    def renamed(route: Any) -> None:
        found = route.fetch().json()
        for visit in found["joints"][0]["visits"]:
            visit.update(name="0" * 80, visit=None, joint_space_mm=1.5)
        route.fulfill(json=found)

    page.route("**/api/visits", renamed)
    page.goto("/#/visits")
    expect(page.locator("#figures table")).to_be_visible()
    expect(page.locator(".hint")).to_have_text("The days are unknown: radiographs by name.")
    assert page.locator(".curve text").all_text_contents()[-2:] == ["no. 1", "no. 2"]
    assert page.locator(".panel").evaluate("(panel) => panel.scrollWidth <= panel.clientWidth")


def test_a_joint_that_cannot_be_opened_can_be_left_out(page: Any, faults: Faults) -> None:
    page.route("**/open", lambda route: route.fulfill(json={"state": "failed", "failure": "a.png: damaged."}))
    page.goto("/#/measure")
    page.fill("#reader", "Dan")
    page.click("#begin")
    expect(page.locator(".cover")).to_contain_text("a.png: damaged.")
    expect(page.locator("#save")).to_be_disabled()
    page.keyboard.press("Escape")
    page.click("#cannot")
    expect(page.locator("#progress")).to_have_text("1 of 3 measured")


@pytest.mark.parametrize("room", ["measure", f"studies/{row_id('one')}"])
def test_nothing_is_answered_for_what_is_not_shown(page: Any, faults: Faults, readings: Path, room: str) -> None:
    """After an answer the server fails to send what follows: the answer is stored, and no other one."""
    log = readings / ("readings.jsonl" if room == "measure" else "studies/one/answers.jsonl")
    begin(page, room, "Fay")
    page.route("**/planes", lambda route: route.abort())
    page.route("**/images/*", lambda route: route.abort())
    for key in ("s", "4", "Enter"):
        page.keyboard.press(key)
    expect(page.locator(".cover")).to_contain_text("Begin again to go on.")
    count = len(lines(log))
    for key in ("s", "4", "Enter"):
        page.keyboard.press(key)
    assert len(lines(log)) == count
    page.unroute("**/planes")
    page.unroute("**/images/*")
    page.click("#begin")
    expect(page.locator(".cover")).to_be_hidden()
    assert {line["reader"] for line in lines(log)} >= {"Fay"}
    faults.found.clear()


def test_keys_save_after_a_choice_by_mouse(page: Any) -> None:
    begin(page, "measure", "Gus")
    page.get_by_role("button", name="2", exact=True).click()
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_have_text("1 of 3 measured")
    page.goto("about:blank")
    begin(page, f"studies/{row_id('one')}", "Gus")
    page.get_by_role("button", name="Real").click()
    page.get_by_role("button", name="3", exact=True).click()
    page.keyboard.press("Enter")
    expect(page.locator("#progress")).to_have_text("1 of 8 answered")


def test_a_report_has_a_figure_and_its_interval_in_one_cell_and_ends_with_its_room(page: Any) -> None:
    columns = ["comparison", "icc_2_1", "icc_2_1_low", "icc_2_1_high", "limits_low_mm", "limits_high_mm", "joints"]
    rows = [["first", 1, 0.75, 1, -0.5, 0.25, 20], ["second", None, None, None, None, None, 2]]
    page.route("**/report", lambda route: route.fulfill(json={"figures": {}, "columns": columns, "rows": rows}))
    page.goto("/#/measure")
    page.click("#agreement")
    shown = page.get_by_role("dialog").locator("tbody tr")
    expect(shown).to_have_count(3)
    assert [shown.nth(line).locator("td").all_inner_texts() for line in range(3)] == [
        ["ICC(2,1)", "1.000 (0.750 to 1.000)", ""],
        ["limits of agreement (mm)", "-0.500 to 0.250", ""],
        ["joints", "20", "2"],
    ]
    page.evaluate("location.hash = '#/list'")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_study_is_made_once_by_a_double_click(page: Any) -> None:
    asked: list[Any] = []

    def answer(route: Any) -> None:
        if route.request.method == "GET":
            route.fulfill(json={"studies": [], "can_make": True, "can_report": True})
        else:
            asked.append(route)  # not answered yet

    page.route("**/api/studies", answer)
    page.goto("/#/studies")
    page.dblclick("#make")
    expect(page.locator("#make")).to_be_disabled()
    asked[0].fulfill(json={"id": "none"})
    expect(page.locator("#make")).to_be_enabled()
    assert len(asked) == 1
