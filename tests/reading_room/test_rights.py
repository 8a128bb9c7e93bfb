"""Folders and files without the right to read or write, as a user who is not the superuser."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundle.errors import InputError
from bundle.io import bundle_root, read_separated
from bundle.reader_study import ReadingLog, Study, find_studies, make_study, read_key
from bundle.reading_room import library_of, rooms_of
from bundle.reading_room.measuring import READINGS
from bundle.reading_room.security import Gate
from bundle.reading_room.server import application
from starlette.testclient import TestClient
from tests.reading_room.conftest import Weightless
from tests.reading_room.test_studies import candidates

pytestmark = pytest.mark.skipif(os.name == "nt", reason="rights of POSIX")

NOBODY = 65534
CLOSED, READABLE = 0o000, 0o555


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder of a user who is not the superuser, and who runs the test."""
    made, superuser = Path(tempfile.mkdtemp()), os.geteuid() == 0
    if superuser:
        os.chown(made, NOBODY, NOBODY)
        os.seteuid(NOBODY)
    try:
        if not os.access(bundle_root() / "configs" / "metadata.json", os.R_OK, effective_ids=True):
            pytest.skip("run by the superuser in a folder that no other user may read")
        yield made
    finally:
        for path in (made, *made.glob("*")):
            path.chmod(0o700)
        if superuser:
            os.seteuid(0)
        shutil.rmtree(made)


def served(readings: Path) -> TestClient:
    made = application(rooms_of(Weightless(), readings), Gate("127.0.0.1", 8765))
    return TestClient(made, base_url="http://127.0.0.1:8765")


def test_a_log_that_may_only_be_read_is_read_and_stays_as_it_is(folder: Path) -> None:
    path = folder / READINGS
    ReadingLog(path).append({"reader": "Ann"})
    content = path.read_bytes() + b'{"id": 2, "rea'
    path.write_bytes(content)
    path.chmod(0o400)
    log = ReadingLog(path)
    assert [line["reader"] for line in log.effective()] == ["Ann"]
    with pytest.raises(InputError, match="no permission to write"):
        log.append({"reader": "Bob"})
    assert path.read_bytes() == content


def test_a_log_that_cannot_be_read_is_refused(folder: Path) -> None:
    path = folder / READINGS
    ReadingLog(path).append({"reader": "Ann"})
    path.chmod(CLOSED)
    with pytest.raises(InputError, match=r"readings\.jsonl cannot be read \(Permission denied\)\. Change its perm"):
        rooms_of(Weightless(), folder)


def test_folders_that_cannot_be_read_are_refused_at_the_start(folder: Path) -> None:
    folder.chmod(CLOSED)
    for refused in (folder, folder / "results"):
        with pytest.raises(InputError, match=f"^{refused} cannot be read .*Change its permissions"):
            library_of(refused)
    with pytest.raises(InputError, match=f"^{folder} cannot be read"):
        rooms_of(Weightless(), folder)


def test_results_whose_list_cannot_be_read_say_so(folder: Path) -> None:
    path = folder / "joints.jsonl"
    path.write_text("")
    path.chmod(CLOSED)
    with pytest.raises(InputError, match=r"joints\.jsonl cannot be read"):
        library_of(folder).rows()


def test_a_layer_file_that_cannot_be_read_says_so(folder: Path) -> None:
    path = folder / "a_layers.nii.gz"
    path.write_bytes(b"")
    path.chmod(CLOSED)
    with pytest.raises(InputError, match=r"a_layers\.nii\.gz: no permission to read the image\. Change the perm"):
        read_separated(folder, "a")


def test_a_session_in_a_folder_that_cannot_be_written_says_so(folder: Path) -> None:
    folder.chmod(READABLE)
    client = served(folder / "readings")
    answer = client.post("/api/measuring/begin", json={"reader": "Ann"})
    assert answer.status_code == 409
    assert "no permission to write. Choose another output folder" in answer.json()["error"]
    assert client.get("/api/measuring").json() == {"readers": []}


@pytest.fixture
def study(folder: Path) -> Study:
    return make_study(folder / "one", candidates(0), candidates(10), count=4, seed=1)


def test_a_study_whose_folder_is_closed_is_listed_with_the_reason(study: Study) -> None:
    study.folder.chmod(CLOSED)
    (found,) = find_studies(study.folder.parent)
    assert (found.folder, found.study) == (study.folder, None)
    assert "cannot be read (Permission denied)" in found.failure


def test_a_key_and_an_image_that_cannot_be_read_are_not_called_damaged(study: Study) -> None:
    (study.folder / "key.json").chmod(CLOSED)
    study.image_path("image_001").chmod(CLOSED)
    with pytest.raises(InputError, match=r"key\.json cannot be read"):
        read_key(study)
    with pytest.raises(InputError, match=r"image_001\.png cannot be read"):
        study.read_image("image_001")
