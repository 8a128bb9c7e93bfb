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


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readings")
    make_study(folder / "studies" / "one", candidates(0), candidates(10), name="First", count=4, seed=1)
    return folder


@pytest.fixture(scope="module")
def address(readings: Path) -> Iterator[str]:
    with serving(rooms_of(Weightless(), readings)) as found:
        yield found


@pytest.fixture
def own(chromium: Any, address: str, faults: Faults) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, base_url=address)
    context.set_default_timeout(20_000)
    page = context.new_page()
    faults.watch(page)
    yield page
    context.close()
    assert faults.found == []


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def begin(page: Any, room: str, reader: str) -> None:
    page.goto(f"/#/{room}")
    page.fill("#reader", reader)
    page.click("#begin")
    expect(page.locator(".cover")).to_be_hidden()


def test_a_joint_is_measured_by_keyboard_and_by_mouse(own: Any, readings: Path) -> None:
    begin(own, "measure", "Ann")
    for _ in range(15):
        own.keyboard.press("Shift+ArrowDown")
    own.keyboard.press("ArrowUp")
    own.keyboard.press("1")
    own.keyboard.press("Enter")
    expect(own.locator("#progress")).to_have_text("1 of 3 measured")
    box = own.locator(".pane").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    expect(own.locator(".cover")).to_be_hidden()
    own.mouse.move(*middle)
    own.mouse.down()
    own.mouse.move(middle[0], middle[1] + 40, steps=4)
    own.mouse.up()
    own.click("#save")
    expect(own.locator("#progress")).to_have_text("2 of 3 measured")
    first, second = lines(readings / "readings.jsonl")[-2:]
    assert (first["value_mm"], first["grade"]) == (1.49, 1)
    side = min(box["width"], box["height"])
    assert second["value_mm"] == pytest.approx(40 * 21 / side, abs=0.05)


def test_the_automatic_value_is_not_shown_before_it_is_asked_for(own: Any) -> None:
    begin(own, "measure", "Bob")
    assert "automatic" not in own.inner_text("#status").lower()
    assert "1.6" not in own.inner_text(".desk")


def test_a_page_that_is_reloaded_resumes(own: Any) -> None:
    begin(own, "measure", "Eve")
    own.keyboard.press("x")
    expect(own.locator("#progress")).to_have_text("1 of 3 measured")
    own.reload()
    begin(own, "measure", "Eve")
    expect(own.locator("#progress")).to_have_text("1 of 3 measured")
    own.click("#undo")
    expect(own.locator("#progress")).to_have_text("0 of 3 measured")


def test_a_reader_with_markup_in_the_name_is_text(own: Any) -> None:
    name = "<img src=x onerror=alert(1)>"
    begin(own, "measure", name)
    own.goto("/#/list")
    own.goto("/#/measure")
    expect(own.locator(".facts", has_text=name)).to_have_count(1)


def test_a_whole_study_is_answered_by_keyboard(own: Any, readings: Path) -> None:
    own.goto("/#/studies")
    own.get_by_role("button", name="Open").click()
    own.fill("#reader", "Ann")
    own.keyboard.press("Enter")
    expect(own.locator(".cover")).to_be_hidden()
    for done in range(8):
        expect(own.locator("#progress")).to_have_text(f"{done} of 8 answered")
        expect(own.get_by_role("button", name="Real")).to_be_enabled()
        own.keyboard.press("s")
        own.keyboard.press("4")
        own.keyboard.press("Enter")
    expect(own.locator(".cover")).to_contain_text("Thank you")
    own.click("#figures")
    expect(own.get_by_role("dialog")).to_contain_text("sensitivity")
    answers = lines(readings / "studies" / "one" / "answers.jsonl")
    assert {answer["answer"] for answer in answers} == {"synthetic"}
    assert len(answers) == 8


def test_the_images_of_a_study_do_not_give_the_answer_away(own: Any, readings: Path) -> None:
    from bundle.reader_study import read_study

    study = read_study(readings / "studies" / "one")
    sizes = {study.image_path(image).stat().st_size for image in study.images}
    assert len(sizes) == 1
    asked: list[str] = []
    own.on("request", lambda request: asked.append(request.url))
    own.goto(f"/#/studies/{row_id('one')}")
    own.fill("#reader", "Cy")
    own.click("#begin")
    expect(own.locator(".cover")).to_be_hidden()
    joints = {str(entry["joint"]) for entry in read_key(study).values()}
    assert not any(joint in url for joint in joints for url in asked)


def test_two_visits_blink_and_state_the_change(own: Any) -> None:
    own.goto("/#/visits")
    expect(own.locator("#figures table")).to_be_visible()
    expect(own.locator("#figures")).to_contain_text("-0.2")
    expect(own.locator(".caption").first).to_have_text("Later")
    expect(own.locator(".caption").first).to_have_text("Earlier")
    own.keyboard.press("s")
    expect(own.locator(".caption").nth(1)).to_be_visible()
    own.keyboard.press("d")
    expect(own.locator(".caption").first).to_contain_text("minus")
