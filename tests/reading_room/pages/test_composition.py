"""The shader against the Python synthesis, on every pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bundle.reading_room.opened import Change

from .conftest import MARKED, TALL, Room
from .looking import composed, decoded, run

MOTIONS = {
    "still": Change(),
    "wide": Change(2.5),
    "narrow": Change(-1.7),
    "sideways": Change(0.0, 1.3),
    "rotated": Change(0.0, 0.0, 11.0),
    "all": Change(0.83, -0.47, -7.3),
    "past the continued border": Change(10.0, -10.0, 45.0),
    "closed past the border": Change(-10.0, 8.0, -30.0),
}
ALL = {"soft": True, "lower": True, "upper": True}


def synthesized(room: Room, joint: str, change: Change) -> np.ndarray:
    """Radiograph (H, W) of Python, 0 to 1."""
    return room.library.made[joint].synthesized(change)[0].double().numpy()


@pytest.fixture
def opened(page: Any) -> Any:
    """A page of a server that has both joints open."""
    page.goto("/")
    for joint in (MARKED, TALL):
        assert page.request.get(f"/api/joints/{joint}").ok
    return page


@pytest.mark.slow
@pytest.mark.parametrize("joint", [MARKED, TALL], ids=["square", "tall"])
def test_every_pixel_equals_the_synthesis_of_python(opened: Any, room: Room, joint: str) -> None:
    differences = {
        name: np.abs(composed(opened, joint, {**vars(change), "layers": ALL}) / 255 - synthesized(room, joint, change))
        for name, change in MOTIONS.items()
    }
    assert {name: float(each.max()) for name, each in differences.items() if each.max() > 1 / 255} == {}
    still = synthesized(room, joint, Change())
    assert np.abs(synthesized(room, joint, MOTIONS["narrow"]) - still).max() > 0.05  # the comparison can fail


@pytest.mark.slow
def test_layers_that_are_off_do_not_absorb(opened: Any, room: Room) -> None:
    layers = room.library.made[TALL].layers.layers.numpy()
    for index, name in enumerate(ALL):
        gray = composed(opened, TALL, {"layers": {each: each == name for each in ALL}})
        assert np.abs(gray / 255 - layers[index]).max() <= 1 / 255
    assert composed(opened, TALL, {"layers": dict.fromkeys(ALL, False)}).max() == 0


@pytest.mark.slow
def test_window_and_inversion_apply_to_the_canvas_and_not_to_the_pixels(opened: Any, room: Room) -> None:
    body = """
    const { composition, geometry: { width, height } } = await loaded(given[0]);
    composition.draw({ window: [0.2, 0.6], invert: true });
    const seen = new OffscreenCanvas(width, height).getContext("2d");
    seen.drawImage(composition.canvas, 0, 0);
    const shown = seen.getImageData(0, 0, width, height).data.filter((_, index) => index % 4 === 0);
    return { gray: encoded(shown), full: encoded(composition.pixels()), height, width };
    """
    answer = run(opened, body, TALL)
    image = synthesized(room, TALL, Change())
    assert np.abs(decoded(answer) / 255 - (1 - np.clip((image - 0.2) / 0.4, 0, 1))).max() <= 1 / 255
    assert np.abs(decoded({**answer, "gray": answer["full"]}) / 255 - image).max() <= 1 / 255


@pytest.mark.slow
def test_a_lost_context_is_restored(opened: Any) -> None:
    body = """
    const { composition } = await loaded(given[0]);
    composition.draw({ change_mm: 1 });
    const before = encoded(composition.pixels());
    const restored = new Promise((resolve) => composition.canvas.addEventListener("webglcontextrestored", resolve));
    const loss = composition.gl.getExtension("WEBGL_lose_context");
    loss.loseContext();
    const lost = new Promise((resolve) => composition.canvas.addEventListener("webglcontextlost", resolve));
    await lost.then(() => new Promise((resolve) => setTimeout(resolve)));
    composition.draw({ change_mm: 1 });
    loss.restoreContext();
    await restored;
    return [before, encoded(composition.pixels())];
    """
    before, after = run(opened, body, TALL)
    assert before == after


@pytest.mark.slow
def test_surfaces_and_masks_move_with_their_bones(opened: Any, room: Room) -> None:
    body = """
    const { movedPoint, boneMotion } = await import("/pages/js/motion.js");
    const geometry = await (await fetch(`/api/joints/${given[0]}`)).json();
    return [-0.5, 0.5].map((share) => movedPoint(geometry, boneMotion(geometry, given[1], share), [40, 90]));
    """
    change = Change(0.83, -0.47, -7.3)
    made = room.library.made[TALL]
    moved = run(opened, body, TALL, vars(change))
    motion, (height, width) = made.motion(change), made.layers.layers.shape[1:]
    for bone, point in enumerate(moved):
        start = np.array([40 - (width - 1) / 2, 90 - (height - 1) / 2]) * made.spacing_mm
        angle = np.deg2rad(float(motion.rotation[0, bone]))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        center, shift = (each[0, bone].double().numpy() for each in (motion.center, motion.translation))
        expected = (turn @ (start - center) + center + shift) / made.spacing_mm + [(width - 1) / 2, (height - 1) / 2]
        np.testing.assert_allclose(point, expected, atol=1e-4)
