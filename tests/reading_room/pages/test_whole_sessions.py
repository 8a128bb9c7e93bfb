"""Whole sessions by scripted readers, and kills of the server: minutes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from bundle.phantoms import true_joint_space
from bundle.reader_study import Study, make_study, read_key
from bundle.reading_room.demo import Demo, parameters_of
from bundle.reading_room.rows import row_id
from bundle.reading_room.running import rooms_of
from tests.reading_room.pages.conftest import ROOT, serving, sync_api
from tests.reading_room.test_studies import candidates

pytestmark = [pytest.mark.slow, pytest.mark.long]

expect = sync_api.expect
SENSITIVE, SPECIFIC = 40, 30
"""Images of fifty on each side that the scripted reader gets right."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("readings") / "studies" / "whole"
    return make_study(folder, candidates(0, 50), candidates(100, 50), name="Whole", count=50, seed=3)


def test_a_reader_of_known_accuracy_is_recovered(page: Any, study: Study) -> None:
    key = read_key(study)
    sides = {kind: [image for image in study.images if key[image]["kind"] == kind] for kind in ("synthetic", "real")}
    right = {*sides["synthetic"][:SENSITIVE], *sides["real"][:SPECIFIC]}
    with serving(rooms_of(Demo(phantoms=1), study.folder.parents[1])) as address:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}#/studies/{row_id('whole')}")
        page.fill("#reader", "Ann")
        page.click("#begin")
        for done in range(100):
            expect(page.locator("#progress")).to_have_text(f"{done} of 100 answered")
            expect(page.get_by_role("button", name="Real")).to_be_enabled()
            image = [url for url in asked if "/images/" in url][-1].rsplit("/", 1)[1]
            is_synthetic = (key[image]["kind"] == "synthetic") == (image in right)
            for pressed in ("s" if is_synthetic else "r", "3", "Enter"):
                page.keyboard.press(pressed)
        expect(page.locator(".cover")).to_contain_text("Thank you")
        with urllib.request.urlopen(f"{address}api/studies/{row_id('whole')}/report") as answer:
            ann = json.loads(answer.read())["figures"]["readers"]["Ann"]
        page.goto("about:blank")  # the page asks no server that has ended
    assert (ann["sensitivity"], ann["specificity"]) == (SENSITIVE / 50, SPECIFIC / 50)


def test_a_perfect_aligner_agrees_with_the_automatic_measurement(page: Any, tmp_path: Path) -> None:
    library = Demo(phantoms=7)
    with serving(rooms_of(library, tmp_path / "readings")) as address:
        began = time.monotonic()
        page.goto(f"{address}#/measure")
        page.fill("#reader", "Ann")
        page.click("#begin")
        for done in range(20):
            expect(page.locator("#progress")).to_contain_text(f"{done} of")
            expect(page.locator("#save")).to_be_enabled()
            with urllib.request.urlopen(f"{address}api/measuring") as answer:
                identifier = json.loads(answer.read())["readers"][0]["next"]
            width = round(true_joint_space(parameters_of(*library.made[identifier])), 2)
            page.get_by_role("textbox", name="Distance").fill(f"{width:.2f}")
            page.keyboard.press("Enter")
            page.click("#save")
        expect(page.locator("#progress")).to_contain_text("20 of")
        assert time.monotonic() - began < 600
        with urllib.request.urlopen(f"{address}api/measuring/report") as answer:
            agreement = json.loads(answer.read())["figures"]["automatic"]["Ann"]
        page.goto("about:blank")  # the page asks no server that has ended
    assert abs(agreement["bias_mm"]) <= 0.03
    assert agreement["mae_mm"] <= 0.03


def post(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{address}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found


def started(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """Start the program and wait for its address."""
    command = [sys.executable, "scripts/reading_room.py", "--demo", "--no-browser", "--port", "0"]
    run = subprocess.Popen([*command, "--output_dir", str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    address = run.stdout.readline().split(" ")[2]
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{address}api/room", timeout=5).close()
            return run, address
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise AssertionError(address)


def test_no_acknowledged_reading_is_lost_by_kills(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    chance = random.Random(0)
    for _ in range(5):
        run, address = started(tmp_path)
        state = post(address, "api/measuring/begin", {"reader": "Ann", "new": True})
        stop = time.monotonic() + chance.uniform(0.05, 0.4)
        while time.monotonic() < stop and state["next"]:
            known = {"reader": "Ann", "id": state["next"], "place": state["place"], "grade": None, "seconds": 1.0}
            state = post(address, "api/measuring/readings", {**known, "value_mm": 1.0, "displacement_mm": [0.0, 1.0]})
            acknowledged.append(state["saved"])
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    lines = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert set(acknowledged) <= {line["id"] for line in lines}
    assert len(acknowledged) > 20
