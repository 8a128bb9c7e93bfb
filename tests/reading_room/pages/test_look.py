"""The room "Look": sliders, layers, window, saving, by mouse and by keyboard."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from bundle.reading_room.opened import Change
from PIL import Image

from .conftest import LATE, MARKED, TALL, Faults, Room
from .looking import look


@pytest.fixture
def tall(page: Any) -> Any:
    """A page that looks at a joint."""
    look(page, TALL)
    return page


def exact(page: Any, name: str) -> float:
    """Number in the field of a slider."""
    return float(page.get_by_label(f"{name} in", exact=False).and_(page.locator("[type=text]")).input_value())


def saved_change(page: Any) -> dict[str, Any]:
    """Motion that the page asks for when it saves."""
    with page.expect_request("**/synthesize") as asked, page.expect_download():
        page.get_by_role("button", name="PNG").click()
    return asked.value.post_data_json


@pytest.mark.slow
def test_sliders_move_by_keyboard_in_tenths_and_hundredths(tall: Any, room: Room) -> None:
    measured = exact(tall, "Joint space")
    assert measured == pytest.approx(float(room.library.made[TALL].space.mean), abs=0.005)
    tall.keyboard.press("j")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown", "Shift+ArrowLeft"):
        tall.keyboard.press(key)
    assert exact(tall, "Joint space") == pytest.approx(measured + 0.29, abs=0.006)
    tall.keyboard.press("k")
    tall.keyboard.press("ArrowLeft")
    tall.keyboard.press("l")
    tall.keyboard.press("Shift+ArrowRight")
    wanted = saved_change(tall)
    assert [wanted[key] for key in ("change_mm", "sideways_mm", "rotation_deg")] == [0.29, -0.1, 0.1]
    tall.keyboard.press("0")
    assert exact(tall, "Joint space") == measured


@pytest.mark.slow
def test_sliders_move_by_mouse_and_take_exact_numbers(tall: Any) -> None:
    measured = exact(tall, "Joint space")
    box = tall.locator(".slider input[type=range]").first.bounding_box()
    tall.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tall.mouse.down()
    tall.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=4)
    tall.mouse.up()
    assert exact(tall, "Joint space") > measured + 1
    field = tall.get_by_label("Joint space in mm, exact")
    field.fill("2,25")
    field.press("Enter")
    assert exact(tall, "Joint space") == 2.25
    assert saved_change(tall)["change_mm"] == pytest.approx(2.25 - measured, abs=0.006)
    field.fill("wide")
    field.press("Enter")
    assert "wrong" in field.get_attribute("class")


@pytest.mark.slow
def test_a_saved_file_is_the_synthesis_of_the_same_motion_and_seed(tall: Any, room: Room) -> None:
    tall.keyboard.press("k")
    tall.keyboard.press("PageUp")
    tall.get_by_label("Seed of the noise texture").fill("7")
    with tall.expect_download() as download:
        tall.get_by_role("button", name="PNG").click()
    assert download.value.suggested_filename == "tall_+0.00mm.png"
    values = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())), float) / 65535
    expected = room.library.made[TALL].synthesized(Change(0.0, 1.0), seed=7)[0].numpy()
    assert np.abs(values - expected).max() < 1 / 65000
    tall.locator("#status", has_text="Saved tall_+0.00mm.png.").wait_for()
    with tall.expect_download() as download:
        tall.get_by_role("button", name="DICOM").click()
    assert download.value.path().read_bytes()[128:132] == b"DICM"
    tall.get_by_label("Seed of the noise texture").fill("-1")
    tall.get_by_role("button", name="PNG").click()
    tall.locator("#status[data-kind='fault']", has_text="whole number").wait_for()


@pytest.mark.slow
def test_layers_and_marks_switch_by_key_and_by_button_and_the_image_changes(tall: Any) -> None:
    images = [tall.locator(".pane").screenshot()]
    for key in ("1", "2", "3", "m", "i"):
        tall.keyboard.press(key)
        tall.wait_for_timeout(60)
        images.append(tall.locator(".pane").screenshot())
    assert len(set(images)) == len(images)
    for name in ("Soft tissue", "Lower bone", "Upper bone"):
        assert tall.get_by_role("button", name=name).get_attribute("aria-pressed") == "false"
    tall.get_by_role("button", name="Soft tissue").click()
    assert tall.get_by_role("button", name="Soft tissue").get_attribute("aria-pressed") == "true"


@pytest.mark.slow
def test_dragging_and_wheel_change_window_zoom_and_pan(tall: Any) -> None:
    values, image = tall.locator(".values"), tall.locator("canvas.image")
    assert values.inner_text() == "W 100 %  L 50 %  \u00d71.00"
    box = tall.locator(".pane").bounding_box()
    x, y = box["x"] + 300, box["y"] + 300

    def drag(button: str = "left") -> None:
        tall.mouse.move(x, y)
        tall.mouse.down(button=button)
        tall.mouse.move(x - 90, y + 60, steps=3)
        tall.mouse.up(button=button)

    placed = image.bounding_box()
    drag()
    tall.wait_for_timeout(60)
    moved = image.bounding_box()
    assert (moved["x"] - placed["x"], moved["y"] - placed["y"]) == pytest.approx((-90, 60), abs=1)
    drag("right")
    tall.locator(".values", has_not_text="W 100 %").wait_for()
    tall.keyboard.press("r")
    tall.locator(".values", has_text="W 100 %  L 50 %  \u00d71.00").wait_for()
    tall.keyboard.down("w")
    drag()
    tall.keyboard.up("w")
    tall.locator(".values", has_not_text="W 100 %").wait_for()
    tall.keyboard.press("r")
    tall.mouse.move(x, y)
    tall.mouse.wheel(0, -400)
    tall.locator(".values", has_text="\u00d71.82").wait_for()
    zoomed = image.bounding_box()
    for axis, at in (("x", x), ("y", y)):  # the point below the pointer stays
        assert (at - zoomed[axis]) / 1.8221 == pytest.approx(at - placed[axis], abs=1)


@pytest.mark.slow
def test_the_original_lies_beside_and_stays_still(tall: Any) -> None:
    tall.keyboard.press("o")
    original = tall.get_by_label("Original radiograph")
    original.locator(".values", has_text="W").wait_for()
    still, moving = original.screenshot(), tall.get_by_label("Radiograph", exact=True).screenshot()
    tall.keyboard.press("j")
    tall.keyboard.press("PageUp")
    tall.wait_for_timeout(200)
    assert original.screenshot() == still
    assert tall.get_by_label("Radiograph", exact=True).screenshot() != moving
    tall.keyboard.press("o")
    assert original.count() == 0


@pytest.mark.slow
def test_a_closed_joint_is_separated_with_progress_and_its_neighbours_follow(page: Any) -> None:
    stages = ["waiting", "separating"]

    def opening(route: Any) -> None:
        stage = stages.pop(0) if stages else None
        if stage is None:
            route.continue_()
        else:
            route.fulfill(json={"state": "opening", "stage": stage, "fraction": 0.5})

    page.route(f"**/api/joints/{LATE}/open", opening)
    page.goto(f"/#/look/{LATE}")
    page.locator(".cover progress").wait_for()
    page.locator(".values", has_text="W").wait_for()
    page.keyboard.press("p")
    page.locator(".panel h1", has_text="<img").wait_for()
    page.get_by_role("button", name="Previous").click()
    page.locator(".panel h1", has_text="tall").wait_for()
    page.keyboard.press("p")
    page.locator("#status", has_text="This is the first joint of the list.").wait_for()


@pytest.mark.slow
def test_a_radiograph_of_a_hand_leads_to_its_first_joint(page: Any) -> None:
    page.route(f"**/api/joints/{LATE}/open", lambda route: route.fulfill(json={"state": "hand", "joints": [TALL]}))
    page.goto(f"/#/look/{LATE}")
    page.locator(".panel h1", has_text="tall").wait_for()
    page.locator(".values", has_text="W").wait_for()
    assert page.locator("#status").inner_text() == "The radiograph shows a hand with 1 joint."
    page.keyboard.press("n")
    page.locator(".panel h1", has_text="<img").wait_for()
    assert page.locator("#status").inner_text() == ""


@pytest.mark.slow
@pytest.mark.parametrize("given", ["/#/constructor", "/#/look/%", "/#/look/none"])
def test_an_unknown_address_ends_in_the_list_or_in_a_message(page: Any, faults: Faults, given: str) -> None:
    page.goto(given)
    page.locator(".joint-row, .cover .wrong").first.wait_for()
    faults.found = [fault for fault in faults.found if "404" not in fault]


@pytest.mark.slow
def test_a_refused_measurement_leaves_only_the_change(page: Any) -> None:
    def refused(route: Any) -> None:
        answer = route.fetch()
        told = {"joint_space_mm": None, "joint_space_sd_mm": None, "refused": "the articular floor fades"}
        route.fulfill(json={**answer.json(), **told})

    page.route(f"**/api/joints/{MARKED}", refused)
    look(page, MARKED)
    assert page.locator(".slider .name").first.inner_text() == "Change of joint space"
    assert "the articular floor fades" in page.locator(".facts").inner_text()
    page.keyboard.press("j")
    page.keyboard.press("ArrowLeft")
    assert saved_change(page)["change_mm"] == -0.1


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 800), (900, 600)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_nothing_scrolls_in_the_room_and_every_control_has_a_name(tall: Any, size: tuple[int, int]) -> None:
    tall.set_viewport_size({"width": size[0], "height": size[1]})
    overflow = """() => ["html", ".panel", ".panes"].filter((name) => {
      const each = document.querySelector(name);
      return each.scrollHeight > each.clientHeight || each.scrollWidth > each.clientWidth;
    })"""
    assert tall.evaluate(overflow) == []
    cut = "() => [...document.querySelectorAll('.panel button')].filter((e) => e.scrollWidth > e.clientWidth).length"
    assert tall.evaluate(cut) == 0
    unnamed = """() => [...document.querySelectorAll("button, input, select, a")].filter((each) =>
      !each.getAttribute("aria-label") && !each.textContent.trim() && !each.closest("label")).length"""
    assert tall.evaluate(unnamed) == 0


@pytest.mark.slow
def test_a_browser_without_webgl_says_so_and_saves_all_the_same(page: Any, faults: Faults) -> None:
    page.add_init_script(
        "const made = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...more) {"
        " return kind === 'webgl2' ? null : made.call(this, kind, ...more); };"
    )
    page.goto(f"/#/look/{TALL}")
    page.locator(".missing", has_text="This browser has no WebGL 2").wait_for()
    page.locator(".cover").wait_for(state="hidden")
    assert saved_change(page)["change_mm"] == 0
    page.keyboard.press("Escape")
    page.locator(".joint-row").first.wait_for()


@pytest.mark.slow
def test_the_key_table_lists_what_is_bound_and_gives_the_focus_back(tall: Any) -> None:
    tall.keyboard.press("j")
    tall.keyboard.press("?")
    table = tall.get_by_role("dialog", name="Keys and gestures")
    assert {"Image", "Look", "Everywhere"} <= set(table.locator("h3").all_inner_texts())
    tall.keyboard.press("1")
    assert tall.get_by_role("button", name="Soft tissue").get_attribute("aria-pressed") == "true"
    tall.keyboard.press("Escape")
    assert table.count() == 0
    assert tall.evaluate("document.activeElement.type") == "range"
    assert "/look/" in tall.url


@pytest.mark.slow
def test_a_violation_of_the_policy_would_be_found(tall: Any, faults: Faults) -> None:
    tall.evaluate("document.body.setAttribute('style', 'color: red')")
    tall.wait_for_timeout(100)
    assert any("Content Security Policy" in fault for fault in faults.found)
    faults.found.clear()
