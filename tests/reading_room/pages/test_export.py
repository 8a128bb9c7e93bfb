"""The exported file shows joints without a server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bundle.reading_room.opened import Change

from .conftest import MARKED, MARKUP, TALL, Faults, Room
from .looking import decoded, look, row, serve_rows

COMPOSED = """async (joint) => {
  const composition = new module_composition.Composition(document.createElement("canvas"));
  composition.setJoint(await module_viewer.embeddedPlanes(joint), joint);
  composition.draw({ change_mm: -0.8, rotation_deg: 4 });
  const gray = btoa(Array.from(composition.pixels(), (value) => String.fromCharCode(value)).join(""));
  return { gray, height: joint.height, width: joint.width };
}"""


def embedded(file: Path) -> list[dict[str, Any]]:
    """The joints of an exported file."""
    found = re.search(r'id="joints">(.*?)</script>', file.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])["joints"]


@pytest.fixture
def exported(page: Any, tmp_path: Path) -> Path:
    """A file of two joints, chosen in the dialog."""
    look(page, TALL)
    page.keyboard.press("x")
    dialog = page.get_by_role("dialog", name="Export")
    assert dialog.get_by_label("tall").is_checked()
    dialog.get_by_label("Filter the joints").fill("img")
    dialog.get_by_label(MARKUP).check()
    dialog.locator("[role=status]", has_text="2 of at most 50 joints chosen").wait_for()
    with page.expect_download() as download:
        dialog.get_by_role("button", name="Save as one file").click()
    file = tmp_path / "joints.html"
    download.value.save_as(file)
    return file


@pytest.mark.slow
def test_the_file_looks_and_moves_without_a_server(exported: Path, chromium: Any, room: Room) -> None:
    faults = Faults()
    page = chromium.new_page(viewport={"width": 900, "height": 600}, offline=True)
    faults.watch(page)
    page.goto(exported.as_uri())
    page.locator(".values", has_text="W").wait_for()
    joints = {joint["name"]: joint for joint in embedded(exported)}
    assert set(joints) == {"tall", MARKUP}
    image = decoded(page.evaluate(COMPOSED, joints["tall"])) / 255
    expected = room.library.made[TALL].synthesized(Change(-0.8, 0.0, 4.0))[0].numpy()
    assert np.abs(image - expected).max() <= 1 / 255
    before = page.locator(".pane").screenshot()
    page.keyboard.press("j")
    page.keyboard.press("PageUp")
    page.wait_for_timeout(200)
    assert page.locator(".pane").screenshot() != before
    page.keyboard.press("n")
    page.locator(".caption", has_text=MARKUP).wait_for()
    assert page.locator("img").count() == 0
    page.close()
    assert faults.found == []


@pytest.mark.slow
def test_an_export_holds_at_most_fifty_joints(page: Any) -> None:
    serve_rows(page, [row(number) for number in range(60)])
    page.goto("/")
    page.locator(".joint-row").first.wait_for()
    press = "(key) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }))"
    page.evaluate(f"() => {{ for (let i = 0; i < 51; i += 1) ['ArrowDown', ' '].forEach({press}); }}")
    page.locator("#status", has_text="An export holds at most 50 joints.").wait_for()
    page.get_by_role("button", name="Export 50").click()
    dialog = page.get_by_role("dialog", name="Export")
    dialog.get_by_role("button", name="Choose none").click()
    assert dialog.get_by_role("button", name="Save as one file").is_disabled()


@pytest.mark.slow
def test_a_fault_of_the_export_is_shown_in_the_dialog(page: Any, faults: Faults) -> None:
    page.route("**/api/export", lambda route: route.fulfill(status=507, json={"error": "The disk is full. Free some."}))
    look(page, MARKED)
    page.keyboard.press("x")
    page.get_by_role("button", name="Save as one file").click()
    page.get_by_role("alert").filter(has_text="The disk is full. Free some.").wait_for()
    faults.found.clear()
