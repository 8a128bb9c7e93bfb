from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from bundle.reader_study import Candidate, Study, make_study, read_key
from bundle.reading_room.rows import row_id
from bundle.reading_room.running import study_rooms
from bundle.reading_room.security import Gate
from bundle.reading_room.server import application
from bundle.reading_room.studies import Studies
from starlette.testclient import TestClient


def candidates(first: int, count: int = 6) -> list[Candidate]:
    """Frames of noise, each as the radiograph of another joint."""

    def image(seed: int) -> torch.Tensor:
        return torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(seed))

    known = [(f"{seed}", f"joint_{seed}", "ring", 1.6, 21 / 256) for seed in range(first, first + count)]
    return [Candidate(*one, partial(image, int(one[0]))) for one in known]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return make_study(tmp_path_factory.mktemp("studies") / "one", candidates(0), candidates(10), count=4, seed=1)


@pytest.fixture
def asked(study: Study) -> Iterator[TestClient]:
    made = application(Studies(study.folder.parent).routes(), Gate("127.0.0.1", 8765))
    with TestClient(made, base_url="http://127.0.0.1:8765") as client:
        yield client
    (study.folder / "answers.jsonl").unlink(missing_ok=True)


ADDRESS = f"/api/studies/{row_id('one')}"


def answer(client: TestClient, reader: str, shown: str, **more: Any) -> Any:
    known = {"reader": reader, "image": shown, "answer": "real", "confidence": 3, "seconds": 1.0}
    return client.post(f"{ADDRESS}/answers", json={**known, **more})


def test_a_study_is_answered_image_by_image(asked: TestClient, study: Study) -> None:
    key, state = read_key(study), asked.post(f"{ADDRESS}/begin", json={"reader": "Ann"}).json()
    for _ in range(8):
        assert asked.get(f"{ADDRESS}/images/{state['next']}").headers["content-type"] == "image/png"
        state = answer(asked, "Ann", state["next"], answer=key[state["next"]]["kind"], confidence=5).json()
    assert (state["done"], state["next"]) == (8, None)
    figures = asked.get(f"{ADDRESS}/report").json()["figures"]
    assert figures["readers"]["Ann"]["accuracy"] == 1.0
    (listed,) = asked.get("/api/studies").json()["studies"]
    assert listed["readers"] == [{"reader": "Ann", "done": 8}]
    assert set(listed) == {"id", "name", "failure", "images", "readers"}


def test_an_answer_is_taken_back(asked: TestClient) -> None:
    first = asked.post(f"{ADDRESS}/begin", json={"reader": "Bob"}).json()
    answer(asked, "Bob", first["next"])
    assert asked.post(f"{ADDRESS}/undo", json={"reader": "Bob"}).json() == first
    assert asked.post(f"{ADDRESS}/undo", json={"reader": "Bob"}).status_code == 400


def test_a_reader_resumes_under_another_case_of_the_name(asked: TestClient) -> None:
    first = asked.post(f"{ADDRESS}/begin", json={"reader": "Ann"}).json()
    second = answer(asked, "Ann", first["next"]).json()
    found = asked.post(f"{ADDRESS}/begin", json={"reader": " ann"}).json()
    assert (found["reader"], found["done"], found["next"]) == ("Ann", 1, second["next"])


def test_images_are_not_compressed_so_that_their_sizes_are_equal(asked: TestClient, study: Study) -> None:
    answers = [asked.get(f"{ADDRESS}/images/{image}", headers={"Accept-Encoding": "gzip"}) for image in study.images]
    names = {name.lower() for each in answers for name in each.headers}
    assert len({each.headers["content-length"] for each in answers}) == 1
    assert not names & {"content-encoding", "etag", "last-modified"}


def test_a_request_of_a_study_does_not_search_the_folder(asked: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked.get("/api/studies")
    monkeypatch.setattr("bundle.reading_room.studies.find_studies", lambda _: pytest.fail("the folder was searched"))
    assert asked.post(f"{ADDRESS}/begin", json={"reader": "Ann"}).status_code == 200


def test_readers_see_studies_without_figures(study: Study) -> None:
    made = application(Studies(study.folder.parent, figures=False).routes(), Gate("127.0.0.1", 8765))
    with TestClient(made, base_url="http://127.0.0.1:8765") as client:
        assert client.get("/api/studies").json()["can_report"] is False
        assert client.get(f"{ADDRESS}/report").status_code == 404
        assert client.get(f"{ADDRESS}/report.csv").status_code == 404


@pytest.mark.parametrize(
    "path", ["images/key.json", "images/..%2fkey", "images/image_999", "key.json", "../key.json", "study.json"]
)
def test_the_key_is_not_served(asked: TestClient, path: str) -> None:
    found = asked.get(f"{ADDRESS}/{path}")
    assert found.status_code in (404, 405, 409)
    assert "synthetic" not in found.text


def test_a_log_that_was_edited_is_named(asked: TestClient, study: Study) -> None:
    log = study.folder / "answers.jsonl"
    log.write_text('{"id": 1, "reader": "Ann", "image": 5, "answer": ["x"]}\n{"id": 2, "reader": ["x"]}\n')
    assert asked.post(f"{ADDRESS}/begin", json={"reader": "Ann"}).json()["done"] == 0
    assert asked.get(f"{ADDRESS}/report").json()["error"].startswith("reading 1 of the log: image")
    log.write_text("{broken\n")
    (listed,) = asked.get("/api/studies").json()["studies"]
    assert "answers.jsonl: line 1" in listed["failure"]


@pytest.mark.parametrize("more", [{"answer": "maybe"}, {"confidence": 6}, {"seconds": "1"}, {"image": "../key"}])
def test_faulty_answers_are_refused(asked: TestClient, more: dict[str, Any]) -> None:
    image = asked.post(f"{ADDRESS}/begin", json={"reader": "Cy"}).json()["next"]
    assert answer(asked, "Cy", image, **more).status_code in (400, 409)
    assert asked.post(f"{ADDRESS}/begin", json={"reader": "Cy"}).json()["done"] == 0


def test_without_a_data_set_no_study_is_made(asked: TestClient) -> None:
    made = asked.post("/api/studies", json={"name": "x", "count": 4, "seed": 0})
    assert made.status_code == 409
    assert "data set" in made.json()["error"]


def test_damaged_studies_and_equal_names_are_listed_with_their_reason(asked: TestClient, study: Study) -> None:
    other: Path = study.folder.parent / "two"
    other.mkdir()
    (other / "study.json").write_text("{")
    try:
        found = asked.get("/api/studies").json()["studies"]
    finally:
        (other / "study.json").unlink()
        other.rmdir()
    assert [bool(one["failure"]) for one in found] == [False, True]
    assert str(other.parent) not in found[1]["failure"]


def test_the_pages_for_readers_offer_studies_alone(tmp_path: Path) -> None:
    with TestClient(
        application(study_rooms(tmp_path), Gate("127.0.0.1", 8765)), base_url="http://127.0.0.1:8765"
    ) as client:
        assert client.get("/api/room").json()["rooms"] == ["studies"]
        assert client.get("/api/joints").json()["joints"] == []
        assert client.post("/api/studies", json={"name": "x", "count": 4, "seed": 0}).status_code == 409
        assert client.get("/api/measuring").status_code == client.get("/api/visits").status_code == 404
