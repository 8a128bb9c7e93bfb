from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bundle.reader_study import ReadingLog
from bundle.reading_room.library import Library
from bundle.reading_room.measuring import READINGS, SESSIONS, Measuring
from bundle.reading_room.rows import JointRow
from bundle.reading_room.security import Gate
from bundle.reading_room.server import application
from starlette.testclient import TestClient
from tests.reading_room.conftest import Weightless


def begin(client: TestClient, reader: str, **more: Any) -> dict[str, Any]:
    answer = client.post("/api/measuring/begin", json={"reader": reader, **more})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def measure(client: TestClient, reader: str, state: dict[str, Any], value: float | None = 1.5) -> Any:
    moved = None if value is None else [0.0, value]
    known = {"reader": reader, "id": state["next"], "place": state["place"], "grade": 1, "seconds": 2.5}
    return client.post("/api/measuring/readings", json={**known, "value_mm": value, "displacement_mm": moved})


def serving(library: Library, folder: Path, **more: Any) -> TestClient:
    """A server of a folder of readings."""
    made = application(Measuring(library, folder, **more).routes(), Gate("127.0.0.1", 8765))
    return TestClient(made, base_url="http://127.0.0.1:8765")


def test_a_session_has_repeats_and_ends(client: TestClient, tmp_path: Path) -> None:
    state = begin(client, "Ann")
    assert (state["total"], state["done"]) == (3, 0)  # two joints that can be opened, one of them twice
    while state["next"]:
        state = measure(client, "Ann", state).json()
    assert state["done"] == 3
    records = ReadingLog(tmp_path / "readings" / READINGS).effective()
    assert sorted(record["repeat"] for record in records) == [0, 0, 1]
    assert {record["joint"] for record in records} == {"phantom_0", "phantom_1"}


def test_a_session_resumes_and_undo_takes_the_last_reading_back(client: TestClient) -> None:
    first = begin(client, "Ann")
    second = measure(client, "Ann", first).json()
    assert begin(client, "Ann")["next"] == second["next"]
    assert client.post("/api/measuring/undo", json={"reader": "Ann"}).json()["next"] == first["next"]
    assert client.post("/api/measuring/undo", json={"reader": "Ann"}).status_code == 400


def test_a_session_resumes_under_another_case_of_the_name(client: TestClient) -> None:
    measure(client, "Ann", begin(client, "Ann"))
    found = begin(client, "ANN ")
    assert (found["reader"], found["done"]) == ("Ann", 1)
    assert [one["reader"] for one in client.get("/api/measuring").json()["readers"]] == ["Ann"]


def test_the_joint_after_the_next_one_is_opened_meanwhile(tmp_path: Path) -> None:
    prepared: list[str] = []
    with serving(Weightless(), tmp_path, prepare=prepared.append) as client:
        state = begin(client, "Ann")
        assert measure(client, "Ann", state).json()["next"] == prepared[0]


def test_a_reader_who_begins_on_two_servers_at_once_has_one_session(tmp_path: Path) -> None:
    class Slow(Weightless):
        """Joints that are listed while another server begins the session of the same reader."""

        def rows(self) -> Sequence[JointRow]:
            begin(serving(Weightless(), tmp_path), "Ann")
            return super().rows()

    assert begin(serving(Slow(), tmp_path), "ANN")["reader"] == "Ann"
    assert len(ReadingLog(tmp_path / SESSIONS).records()) == 1


def test_readings_on_two_servers_are_all_stored_once_and_reported_by_both(tmp_path: Path) -> None:
    servers = [serving(Weightless(), tmp_path) for _ in range(2)]

    def work(server: TestClient, reader: str) -> None:
        state = begin(server, reader)
        while state["next"]:
            answer = measure(server, reader, state)
            state = answer.json() if answer.status_code == 200 else begin(server, reader)

    with ThreadPoolExecutor() as pool:  # Ann has a window on each server
        list(pool.map(work, [*servers, *servers], ["Ann", "Ann", "Bob", "Cy"]))
    taken = [(line["reader"], line["joint"], line["repeat"]) for line in ReadingLog(tmp_path / READINGS).effective()]
    assert len(taken) == len(set(taken)) == 9
    assert [repeat for reader, _, repeat in taken if reader == "Ann"] == [0, 0, 1]
    for server in servers:
        assert server.get("/api/measuring/report").json()["figures"]["measurements"] == 9


def test_a_joint_is_measured_once_in_two_windows(client: TestClient) -> None:
    state = begin(client, "Ann")
    assert measure(client, "Ann", state).status_code == 200
    answer = measure(client, "Ann", state)
    assert answer.status_code == 409
    assert "measured already" in answer.json()["error"]


def test_readers_do_not_disturb_each_other(client: TestClient) -> None:
    ann, bob = begin(client, "Ann"), begin(client, "Bob")
    measure(client, "Ann", ann)
    assert begin(client, "Bob") == bob
    assert [one["done"] for one in client.get("/api/measuring").json()["readers"]] == [1, 0]


@pytest.mark.parametrize("reader", ["", " ", "a" * 61, "a\nb", "\x00", 5, None])
def test_names_of_readers_are_checked(client: TestClient, reader: Any) -> None:
    assert client.post("/api/measuring/begin", json={"reader": reader}).status_code == 400


@pytest.mark.parametrize(
    "value",
    [{"value_mm": 99.0}, {"value_mm": "1"}, {"grade": 5}, {"grade": True}, {"seconds": -1}, {"displacement_mm": [1]}],
)
def test_nonsense_is_not_stored(client: TestClient, tmp_path: Path, value: dict[str, Any]) -> None:
    state = begin(client, "Ann")
    known = {"reader": "Ann", "id": state["next"], "place": 0, "value_mm": 1.0, "grade": 1, "seconds": 1.0}
    answer = client.post("/api/measuring/readings", json={**known, "displacement_mm": [0.0, 1.0], **value})
    assert answer.status_code in (400, 409)
    assert next(iter(value)) in answer.json()["error"]
    assert ReadingLog(tmp_path / "readings" / READINGS).records() == []


def test_sessions_that_were_edited_are_named(client: TestClient, tmp_path: Path) -> None:
    begin(client, "Ann")
    with (tmp_path / "readings" / SESSIONS).open("a") as file:
        file.write('{"id": 2, "reader": ["x"]}\n')
    answer = client.get("/api/measuring")
    assert answer.status_code == 409
    assert answer.json()["error"].startswith("sessions.jsonl: line 2 is no session")


def test_the_agreement_is_reported(client: TestClient) -> None:
    state = begin(client, "Ann")
    while state["next"]:
        state = measure(client, "Ann", state).json()
    report = client.get("/api/measuring/report").json()
    assert report["figures"]["measurements"] == 3
    assert len(report["columns"]) == len(report["rows"][0])
    assert client.get("/api/measuring/report.csv").text.startswith("comparison,reader")
