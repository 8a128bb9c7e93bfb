"""A folder belongs to one run at a time, and to one run's results for ever; what comes to nothing is given back."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.io import locking
from bundle.io.locking import LOCK, Holder
from bundle.io.reservations import (
    MARKER,
    fingerprint,
    holds_results,
    inner_run,
    name_result,
    release_outputs,
    reserve_output,
    reserved,
)
from bundle.io.writing import PART, unfinished, write_bytes
from tests.io.refusals import refusal

RESULT = "result.png"


def write_lock(folder: Path, holder: Holder) -> None:
    (folder / LOCK).write_text(json.dumps(asdict(holder)))


@pytest.fixture
def other() -> Iterator[Holder]:
    """Another process of this host, as the holder of a lock."""
    code = "import json; from dataclasses import asdict; from bundle.io.locking import Holder as H"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print(json.dumps(asdict(H.here())), flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield Holder(**json.loads(process.stdout.readline()))
    process.communicate("\n")


@pytest.mark.parametrize("made", [False, True], ids=["new", "empty"])
def test_a_new_or_empty_folder_is_claimed(tmp_path: Path, made: bool) -> None:
    folder = tmp_path / "a" / "b"
    if made:
        folder.mkdir(parents=True)
    assert reserve_output(str(folder), "run 1") == folder
    assert json.loads((folder / MARKER).read_text()) == {"run": "run 1"}
    assert sorted(path.name for path in folder.iterdir()) == [MARKER, LOCK]


def test_the_same_run_may_continue_in_its_folder(tmp_path: Path) -> None:
    settings = {"seed": 1, "datalist": "LS"}
    reserve_output(tmp_path, fingerprint(settings))
    write_bytes(tmp_path / "result.png", b"1")
    reserve_output(tmp_path, fingerprint(dict(reversed(settings.items()))))
    assert (tmp_path / "result.png").read_bytes() == b"1"


def test_the_results_of_another_run_are_refused_with_what_differs(tmp_path: Path) -> None:
    reserve_output(tmp_path, fingerprint({"seed": 1, "datalist": "LS", "epochs": 3}))
    write_bytes(tmp_path / RESULT, b"1")
    before = (tmp_path / MARKER).read_bytes()
    message = refusal(reserve_output, tmp_path, fingerprint({"seed": 2, "datalist": "LS", "weights": "model.pt"}))
    assert "seed was 1, is 2" in message and "epochs was 3, is None" in message and "'model.pt'" in message
    assert "datalist" not in message
    assert str(tmp_path) in message and "Choose another output folder (output_dir) or delete this one" in message
    assert (tmp_path / MARKER).read_bytes() == before


def test_results_of_other_options_are_refused_with_the_options(tmp_path: Path) -> None:
    settings = {"seed": 1, "dataset_dir": "/disk/Doe Jane"}
    reserve_output(tmp_path, fingerprint(settings, {"head#reach_mm": 0.5, "seed": 1}))
    write_bytes(tmp_path / RESULT, b"1")
    message = refusal(reserve_output, tmp_path, fingerprint(settings, {"head#reach_mm": 0.6, "seed": 1}))
    assert "(head#reach_mm was 0.5, is 0.6)" in message
    reserve_output(tmp_path, fingerprint(settings, {"head#reach_mm": 0.5, "seed": 1}))


def test_results_without_options_are_of_any_options_and_take_those_of_the_next_run(tmp_path: Path) -> None:
    reserve_output(tmp_path, fingerprint({"seed": 1, "list": ["/a/b"]}))
    write_bytes(tmp_path / RESULT, b"1")
    reserve_output(tmp_path, fingerprint({"seed": 1, "list": ["/a/b"]}, {"amp": True}))
    assert "amp was True, is False" in refusal(
        reserve_output, tmp_path, fingerprint({"seed": 1, "list": ["/a/b"]}, {"amp": False})
    )
    assert "list was" in refusal(reserve_output, tmp_path, fingerprint({"seed": 1, "list": ["/a/c"]}, {"amp": True}))


@pytest.mark.parametrize(("old", "new"), [("run 1", "run 2"), ("[1]", "[2]"), ("3", "4")])
def test_fingerprints_of_any_form_are_compared(tmp_path: Path, old: str, new: str) -> None:
    reserve_output(tmp_path, old)
    write_bytes(tmp_path / RESULT, b"1")
    assert "another run." in refusal(reserve_output, tmp_path, new)


@pytest.mark.parametrize("marker", [None, b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_folder_of_other_files_is_refused(tmp_path: Path, marker: bytes | None) -> None:
    (tmp_path / "thesis.tex").write_bytes(b"")
    if marker is not None:
        (tmp_path / MARKER).write_bytes(marker)
    message = refusal(reserve_output, tmp_path, "run")
    assert "other files" in message and str(tmp_path) in message
    assert (tmp_path / "thesis.tex").exists()


def test_what_a_killed_write_left_does_not_count_as_other_files(tmp_path: Path) -> None:
    (tmp_path / f".{MARKER}.77{PART}").write_bytes(b"{")
    reserve_output(tmp_path, "run")


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path, below: str) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    message = refusal(reserve_output, tmp_path / "out" / below, "run")
    assert "a file is in the way" in message
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_is_found_out_by_the_claim(tmp_path: Path) -> None:
    unfinished(tmp_path / MARKER).symlink_to("/dev/full")
    assert "the disk is full" in refusal(reserve_output, tmp_path, "run")
    release_outputs()
    assert list(tmp_path.iterdir()) == []


def test_a_claim_of_which_nothing_came_is_taken_back_with_the_folders_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    reserve_output(tmp_path / "mine" / "a" / "b", "run 1")
    reserve_output(tmp_path / "mine", "run 1")
    assert release_outputs() == []
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_claim_of_which_something_came_stays_and_is_named(tmp_path: Path) -> None:
    reserve_output(tmp_path / "out", "run 1")
    write_bytes(tmp_path / "out" / RESULT, b"1")
    write_bytes(tmp_path / "plausibility.json", b"{}")
    name_result(tmp_path / "plausibility.json")
    assert release_outputs() == [tmp_path / "out", tmp_path / "plausibility.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [RESULT, MARKER]
    assert release_outputs() == []


@pytest.mark.parametrize("left", [MARKER, f"sub/{MARKER}", f".x.7{PART}", "sub/"])
def test_a_folder_that_a_killed_run_claimed_without_a_result_is_free(tmp_path: Path, left: str) -> None:
    (tmp_path / left).parent.mkdir(exist_ok=True)
    if left.endswith("/"):
        (tmp_path / left).mkdir()
    else:
        (tmp_path / left).write_text('{"run": "run 1"}')
    reserve_output(tmp_path, "run 2")


def test_a_subfolder_that_is_reserved_on_its_own_is_no_result(tmp_path: Path) -> None:
    reserve_output(tmp_path, "first")
    (tmp_path / "sources").mkdir()
    write_bytes(tmp_path / "sources" / RESULT, b"1")
    release_outputs()
    assert "another run" in refusal(reserve_output, tmp_path, "second")
    reserve_output(tmp_path, "second", apart=["sources"])
    write_bytes(tmp_path / RESULT, b"1")
    release_outputs()
    with pytest.raises(InputError, match="another run"):
        reserve_output(tmp_path, "third", apart=["sources"])


def test_results_below_a_folder_count_and_claims_do_not(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / MARKER).write_text("{}")
    assert not holds_results(tmp_path)
    (tmp_path / "sources" / "a.pt").touch()
    assert holds_results(tmp_path)


def test_a_run_inside_another_one_gives_back_its_own_folder_alone(tmp_path: Path) -> None:
    reserve_output(tmp_path / "job", "job")
    with inner_run():
        reserve_output(tmp_path / "job" / "training", "training")
        (tmp_path / "job" / "training" / RESULT).touch()
    assert not (tmp_path / "job" / "training" / LOCK).exists() and (tmp_path / "job" / LOCK).exists()
    assert reserved() == [tmp_path / "job"]


def test_what_monais_tracking_writes_first_does_not_count_as_other_files(tmp_path: Path) -> None:
    (tmp_path / "config_20261129_142011.json").write_text("{}")
    (tmp_path / "mlruns.db").touch()
    reserve_output(tmp_path, "run")


@pytest.mark.long
def test_a_folder_that_another_process_is_writing_to_is_refused_with_its_host_and_id(
    tmp_path: Path, other: Holder
) -> None:
    write_lock(tmp_path, other)
    message = refusal(reserve_output, tmp_path, "run")
    assert message.startswith(f"{tmp_path}: process {other.process} on {socket.gethostname()} is writing to this")
    assert "delete" not in message
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


@pytest.mark.long
@pytest.mark.parametrize("change", [{"process": 2**22 + 1}, {"started": "1"}], ids=["dead", "id given again"])
def test_the_lock_of_a_process_that_has_ended_is_taken_over(
    tmp_path: Path, other: Holder, change: dict[str, Any]
) -> None:
    write_lock(tmp_path, replace(other, **change))
    reserve_output(tmp_path, "run")
    assert Holder(**json.loads((tmp_path / LOCK).read_text())) == Holder.here()


@pytest.mark.long
def test_a_lock_of_another_host_is_refused_with_what_to_do(tmp_path: Path, other: Holder) -> None:
    write_lock(tmp_path, replace(other, host="elsewhere", process=2**22 + 1))
    message = refusal(reserve_output, tmp_path, "run")
    assert f"process {2**22 + 1} on elsewhere" in message and f"If that process has ended, delete its {LOCK}" in message


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"host": 1}'])
def test_a_lock_that_cannot_be_read_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setattr(locking, "_PAUSE", 0.0)
    (tmp_path / LOCK).write_bytes(content)
    assert f"{LOCK}: the lock cannot be read. Delete it" in refusal(reserve_output, tmp_path, "run")


def test_the_processes_of_torchrun_share_a_folder_and_the_first_one_gives_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "r", "MASTER_ADDR": "a", "MASTER_PORT": "1", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    write_lock(tmp_path, replace(Holder.here(), host="elsewhere", process=1))
    reserve_output(tmp_path, "run")
    release_outputs()
    assert (tmp_path / LOCK).exists()
    monkeypatch.setenv("RANK", "0")
    reserve_output(tmp_path, "run")
    release_outputs()
    assert list(tmp_path.iterdir()) == []
    write_lock(tmp_path, replace(Holder.here(), run="r a 2"))
    assert "is writing to this output folder" in refusal(reserve_output, tmp_path, "run")


@pytest.mark.long
def test_a_lock_that_was_taken_over_meanwhile_is_put_back(tmp_path: Path, other: Holder) -> None:
    write_lock(tmp_path, other)
    locking._take_away(tmp_path / LOCK, replace(other, started="1"))
    assert Holder(**json.loads((tmp_path / LOCK).read_text())) == other
