from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from bundle.reading_room.rows import row_id
from bundle.reading_room.running import rooms_of
from bundle.reading_room.security import Gate
from bundle.reading_room.server import application
from PIL import Image
from starlette.testclient import TestClient
from tests.reading_room.conftest import Weightless

PHANTOM, LATER, BAD = (row_id(name) for name in ("phantom_0", "phantom_1", "bad"))


def test_the_list_is_sent_once_for_each_revision(client: TestClient) -> None:
    first = client.get("/api/joints").json()
    assert [row["name"] for row in first["joints"]] == ["phantom_0", "phantom_1", "bad"]
    assert first["joints"][2]["failure"] == "bad.png: damaged. Remove it."
    assert client.get("/api/joints", params={"revision": first["revision"]}).json()["joints"] is None
    assert client.get("/api/joints", params={"revision": "../x"}).json() == first


def test_revisions_of_another_server_are_unknown(client: TestClient, tmp_path: Path) -> None:
    known = client.get("/api/joints").json()["revision"]
    made = application(rooms_of(Weightless(), tmp_path / "other"), Gate("127.0.0.1", 8765))
    with TestClient(made, base_url="http://127.0.0.1:8765") as other:
        assert other.get("/api/joints", params={"revision": known}).json()["joints"]


def test_a_joint_opens_in_the_background(client: TestClient) -> None:
    for _ in range(100):
        state = client.post(f"/api/joints/{PHANTOM}/open", json={}).json()
        if state["state"] != "opening":
            break
        time.sleep(0.05)
    assert state == {"state": "ready"}


def test_planes_geometry_and_thumbnail_describe_the_joint(client: TestClient) -> None:
    known = client.get(f"/api/joints/{PHANTOM}").json()
    assert known["joint_space_mm"] == pytest.approx(1.6, abs=0.1)
    inner, outer = known["height"] * known["width"], (known["height"] + 2 * known["margin"]) ** 2
    planes = np.frombuffer(client.get(f"/api/joints/{PHANTOM}/planes").content, "<u2")
    assert len(planes) == 3 * inner + 2 * outer
    assert planes[inner : inner + outer].max() > 10_000
    assert Image.open(io.BytesIO(client.get(f"/api/joints/{PHANTOM}/thumbnail").content)).size == (96, 96)


def changed(client: TestClient, **body: Any) -> bytes:
    answer = client.post(f"/api/joints/{PHANTOM}/synthesize", json=body)
    assert answer.status_code == 200, answer.text
    return answer.content


def test_saved_files_hold_the_requested_change(client: TestClient) -> None:
    still = np.asarray(Image.open(io.BytesIO(changed(client, noise_texture=False))), dtype=float)
    wider = np.asarray(Image.open(io.BytesIO(changed(client, change_mm=0.5, noise_texture=False))), dtype=float)
    assert np.abs(still - wider).max() > 5000
    stored = pydicom.dcmread(io.BytesIO(changed(client, change_mm=0.5, format="dcm", seed=7)))
    assert '"change_mm": 0.5' in stored.DerivationDescription
    assert '"noise_seed": 7' in stored.DerivationDescription


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"change_mm": "$1"}, "change_mm must be a number"),
        ({"change_mm": True}, "change_mm must be a number"),
        ({"change_mm": 10**400}, "change_mm must be a number"),
        ({"seed": -(10**400)}, "seed must be a number"),
        ({"rotation_deg": 1e9}, "rotation_deg must be a number from -45 to 45"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"format": "../x"}, "format must be one of png, dcm"),
        ({"noise_texture": "false"}, "noise_texture must be true or false"),
    ],
)
def test_faulty_values_are_answered_by_name(client: TestClient, body: dict[str, Any], reason: str) -> None:
    answer = client.post(f"/api/joints/{PHANTOM}/synthesize", json=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'"x"', b"\xff", b"[" * 150_000])
def test_bodies_that_are_no_object_are_refused(client: TestClient, content: bytes) -> None:
    answer = client.post(f"/api/joints/{PHANTOM}/open", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_long_bodies_and_other_kinds_are_refused(client: TestClient) -> None:
    path = f"/api/joints/{PHANTOM}/open"
    assert client.post(path, content=b" " * 300_000, headers={"Content-Type": "application/json"}).status_code == 400
    assert client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}).status_code == 400


@pytest.mark.parametrize("path", ["/api/joints/none", "/api/joints/none/planes", "/api/joints/..%2f..%2fx/planes"])
def test_unknown_joints_are_not_found(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/pages/../server.py", "/pages/%2e%2e/server.py", "/pages/..%5cserver.py"])
def test_only_pages_are_served(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404


def test_joints_are_exported_as_one_file(client: TestClient) -> None:
    page = client.post("/api/export", json={"ids": [PHANTOM, LATER]}).text
    assert page.count('"planes": ') == 2
    assert "import " not in page.split("<script>")[1].split("\n")[1]
    assert client.post("/api/export", json={"ids": []}).status_code == 400
    assert client.post("/api/export", json={"ids": ["x"] * 51}).status_code == 400


def test_two_visits_are_registered(client: TestClient) -> None:
    (joint,) = client.get("/api/visits").json()["joints"]
    assert [visit["id"] for visit in joint["visits"]] == [PHANTOM, LATER]
    pair = client.get(f"/api/pairs/{PHANTOM}/{LATER}").json()
    assert pair["registered_change_mm"] == pytest.approx(-0.2, abs=0.02)
    assert pair["change_mm"] == pytest.approx(-0.2, abs=0.05)
    planes = client.get(f"/api/pairs/{PHANTOM}/{LATER}/planes").content
    assert len(planes) == 3 * 2 * pair["height"] * pair["width"]
    assert client.get(f"/api/pairs/{PHANTOM}/{PHANTOM}").status_code == 400
    assert client.get(f"/api/pairs/{PHANTOM}/{BAD}").status_code == 400
