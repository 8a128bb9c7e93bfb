"""Steps that tests of the pages share."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np

LOADED = """
async function loaded(id) {
  const { Composition } = await import("/pages/js/composition.js");
  const { splitPlanes } = await import("/pages/js/planes.js");
  const geometry = await (await fetch(`/api/joints/${id}`)).json();
  const planes = splitPlanes(await (await fetch(`/api/joints/${id}/planes`)).arrayBuffer(), geometry);
  const composition = new Composition(document.createElement("canvas"));
  composition.setJoint(planes, geometry);
  return { composition, geometry, planes };
}
function encoded(bytes) {
  return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
}
"""
"""Functions for scripts: the composition of a joint, and bytes as text."""


def run(page: Any, body: str, *given: Any) -> Any:
    """Run the body of an asynchronous function of ``given`` in a page."""
    limit = "new Promise((_, refuse) => setTimeout(() => refuse(new Error('the script did not end')), 20000))"
    script = f"(given) => Promise.race([(async () => {{ {LOADED} {body} }})(), {limit}])"
    return page.evaluate(script, list(given))


def composed(page: Any, joint: str, settings: dict[str, Any]) -> np.ndarray:
    """Gray values (H, W), 0 to 255, of a joint that is drawn with some settings in the browser."""
    body = """
    const { composition, geometry } = await loaded(given[0]);
    composition.draw(given[1]);
    const gray = composition.pixels();
    composition.close();
    return { gray: encoded(gray), height: geometry.height, width: geometry.width };
    """
    return decoded(run(page, body, joint, settings))


def decoded(answer: dict[str, Any]) -> np.ndarray:
    """Gray values (H, W) from the answer of a script."""
    values = np.frombuffer(base64.b64decode(answer["gray"]), np.uint8)
    return values.reshape(answer["height"], answer["width"]).astype(float)


def look(page: Any, joint: str) -> None:
    """Open a joint in the room "Look"."""
    page.goto(f"/#/look/{joint}")
    page.locator(".values", has_text="W").wait_for()


def serve_rows(page: Any, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer a page's requests for the list with rows of the test, which it may replace with a new revision."""
    state = {"revision": 1, "rows": rows}

    def answer(route: Any) -> None:
        known = f"revision={state['revision']}" in route.request.url
        joints = None if known else state["rows"]
        content = json.dumps({"revision": state["revision"], "joints": joints})
        route.fulfill(status=200, content_type="application/json", body=content)

    page.route("**/api/joints", answer)
    page.route("**/api/joints?*", answer)
    page.route("**/thumbnail", lambda route: route.fulfill(status=200, content_type="image/png", body=PIXEL))
    return state


PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
"""A PNG of one pixel."""


def row(number: int, **more: Any) -> dict[str, Any]:
    """A row of the list."""
    fingers = ("index", "middle", "ring", "small")
    made = {
        "id": f"{number:016x}",
        "name": f"joint_{number}",
        "hand": None,
        "patient": None,
        "visit": None,
        "side": None,
        "finger": fingers[number % 4],
        "joint": "MCP",
        "joint_space_mm": 0.5 + (number * 37 % 200) / 100,
        "joint_space_sd_mm": 0.07,
        "grade": number % 5,
        "refused": False,
        "plausible": number % 10 != 0,
        "reasons": [] if number % 10 else ["exposure"],
        "state": "ready",
        "failure": "",
    }
    return {**made, **more}
