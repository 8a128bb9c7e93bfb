"""The log of readings: what was acknowledged stays, through kills, full disks and several writers."""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundle.errors import InputError
from bundle.reader_study.readings import ReadingLog

KILLS = 50


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.jsonl"


def forked(work: Callable[[int], None]) -> tuple[int, int]:
    """Start a process that does ``work`` with the writing end of a pipe; return its id and the reading end."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        return child, ours
    try:
        os.close(ours)
        work(theirs)
    finally:
        os._exit(0)


def read_all(pipe: int) -> bytes:
    with os.fdopen(pipe, "rb") as file:
        return file.read()


def test_a_reading_gets_its_number_time_and_version(path: Path) -> None:
    log = ReadingLog(path)
    first, second = log.append({"reader": "A", "value_mm": 1.5}), log.append({"reader": "B"})
    assert (first["id"], second["id"]) == (1, 2)
    assert first["time"].endswith("+00:00") and first["version"].count(".") == 2
    assert [json.loads(line) for line in path.read_text().splitlines()] == [first, second] == ReadingLog(path).records()


def test_the_numbers_go_on_in_a_log_that_is_opened_again(path: Path) -> None:
    ReadingLog(path).append({"reader": "A"})
    assert ReadingLog(path).append({"reader": "A"})["id"] == 2


def test_names_with_markup_and_line_breaks_stay_in_one_line(path: Path) -> None:
    name = "<b>\u2028\n\ud800</b>"
    ReadingLog(path).append({"reader": name})
    assert path.read_bytes().count(b"\n") == 1
    assert ReadingLog(path).records()[0]["reader"] == name


def appending(path: Path, seed: int) -> Callable[[int], None]:
    """Append without end, and write each acknowledged number to the pipe; some lines are long enough to be cut."""

    def work(pipe: int) -> None:
        log, sizes = ReadingLog(path), random.Random(seed)
        while True:
            size = 100_000 if sizes.random() < 0.2 else 50
            line = log.append({"reader": "A", "note": "x" * size})
            os.write(pipe, f"{line['id']}\n".encode())

    return work


def killed_after(path: Path, kill: int) -> list[int]:
    """Kill a process that appends at a random moment after a few readings; return the numbers it acknowledged."""
    moments = random.Random(kill)
    child, pipe = forked(appending(path, kill))
    with os.fdopen(pipe, "rb") as acknowledged:
        seen = [acknowledged.readline() for _ in range(moments.randint(1, 4))]
        time.sleep(moments.uniform(0.0, 0.004))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = [*seen, *acknowledged.read().splitlines(keepends=True)]
    return [int(line) for line in lines if line.endswith(b"\n")]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_no_acknowledged_reading_is_lost_in_fifty_kills(path: Path) -> None:
    acknowledged = list[int]()
    for kill in range(KILLS):
        acknowledged += killed_after(path, kill)
        log = ReadingLog(path)
        assert path.read_bytes().endswith(b"\n")
        numbers = [record["id"] for record in log.records()]
        assert set(acknowledged) <= set(numbers) and numbers == list(range(1, len(numbers) + 1))
    assert len(acknowledged) >= KILLS


def test_a_half_written_line_is_kept_aside_at_the_next_opening(path: Path) -> None:
    ReadingLog(path).append({"reader": "A"})
    with path.open("ab") as file:
        file.write(b'{"id": 2, "reader": "B", "val')
    log = ReadingLog(path)
    assert [record["reader"] for record in log.records()] == ["A"]
    assert path.with_name("readings.jsonl.unfinished").read_bytes() == b'{"id": 2, "reader": "B", "val\n'
    assert log.append({"reader": "C"})["id"] == 2


def test_a_line_that_another_process_left_half_written_does_not_join_the_next_one(path: Path) -> None:
    log = ReadingLog(path)
    log.append({"reader": "A"})
    with path.open("ab") as file:
        file.write(b'{"id": 2, "rea')
    assert log.append({"reader": "C"})["id"] == 2
    assert [record["reader"] for record in ReadingLog(path).records()] == ["A", "C"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_threads_and_processes_share_a_log(path: Path) -> None:
    def work(pipe: int) -> None:
        log = ReadingLog(path)
        for _ in range(30):
            os.write(pipe, f"{log.append({'reader': 'process'})['id']} ".encode())

    children = [forked(work) for _ in range(3)]
    log, ours = ReadingLog(path), list[int]()

    def thread() -> None:
        ours.extend([log.append({"reader": "thread"})["id"] for _ in range(30)])

    threads = [threading.Thread(target=thread) for _ in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    theirs = [int(number) for _, pipe in children for number in read_all(pipe).split()]
    for child, _ in children:
        os.waitpid(child, 0)
    assert sorted(ours + theirs) == list(range(1, 181)) == [record["id"] for record in log.records()]


def test_a_reading_is_flushed_to_the_disk_before_it_is_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed, flush = list[int](), os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (flushed.append(os.fstat(file).st_ino), flush(file)))
    ReadingLog(path).append({"reader": "A"})
    assert flushed == [path.stat().st_ino, path.parent.stat().st_ino]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_nothing_of_the_line(path: Path, call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = ReadingLog(path)
    log.append({"reader": "A"})
    before, write = path.read_bytes(), os.write

    def full(file: int, *data: Any) -> int:
        if call == "write" and len(data[0]) > 20:
            return write(file, bytes(data[0])[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(InputError, match=rf"^{path} could not be written .* the disk is full\. Free space"):
            log.append({"reader": "B"})
    assert path.read_bytes() == before
    assert log.append({"reader": "B"})["id"] == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_file_that_may_not_grow_keeps_its_lines(path: Path) -> None:
    """The kernel itself writes a part of the line and then refuses the rest."""
    ReadingLog(path).append({"reader": "A"})
    before = path.read_bytes()

    def work(pipe: int) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40,) * 2)
        try:
            ReadingLog(path).append({"reader": "B", "note": "x" * 100})
        except InputError as error:
            os.write(pipe, str(error).encode())

    child, pipe = forked(work)
    assert b"exceeds the size limit" in read_all(pipe)
    os.waitpid(child, 0)
    assert path.read_bytes() == before


def test_undo_is_another_line_and_can_be_undone(path: Path) -> None:
    log = ReadingLog(path)
    first = log.append({"reader": "A", "value_mm": 1.0})
    log.append({"reader": "A", "value_mm": 2.0})
    undo = log.undo(first["id"], reader="A")
    assert [record["value_mm"] for record in log.effective()] == [2.0]
    log.undo(undo["id"])
    assert [record["value_mm"] for record in log.effective()] == [1.0, 2.0]
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize("identity", [7, True, "1", None, 1.0, -1])
def test_a_line_that_does_not_exist_cannot_be_undone(path: Path, identity: Any) -> None:
    log = ReadingLog(path)
    log.append({"reader": "A"})
    with pytest.raises(InputError, match="there is no line"):
        log.append({"undoes": identity})
    assert len(log.records()) == 1


def test_nobody_undoes_twice_or_for_somebody_else(path: Path) -> None:
    log = ReadingLog(path)
    log.append({"reader": "A"})
    with pytest.raises(InputError, match="another reader"):
        log.undo(1, reader="B")
    log.undo(1, reader="A")
    with pytest.raises(InputError, match="there is no line 1"):
        log.undo(1, reader="A")


@pytest.mark.parametrize("record", [{"id": 4}, {"time": ""}, {"version": "1"}, {"value": float("nan")}, {"value": {1}}])
def test_a_record_that_is_no_reading_is_refused(path: Path, record: dict[str, Any]) -> None:
    log = ReadingLog(path)
    with pytest.raises(InputError, match=str(path)):
        log.append(record)
    assert log.records() == []


DAMAGES = [
    b"{",
    b"",
    b"[1]",
    b"\xff\xfe",
    b'{"id": 1, "reader": "again"}',
    b'{"id": true}',
    b'{"reader": "A"}',
    b'{"id": 3, "undoes": [2]}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: repr(damage[:20]))
def test_a_damaged_line_is_named_by_file_and_line(path: Path, damage: bytes) -> None:
    log = ReadingLog(path)
    log.append({"reader": "A"})
    log.append({"reader": "A"})
    with path.open("ab") as file:
        file.write(damage + b"\n")
    for use in (log.records, lambda: log.append({"reader": "B"}), lambda: ReadingLog(path)):
        with pytest.raises(InputError, match=rf"^{path}: line 3 is no reading"):
            use()


def test_a_log_that_is_replaced_is_read_anew(path: Path) -> None:
    log = ReadingLog(path)
    for _ in range(3):
        log.append({"reader": "A"})
    path.unlink()
    assert log.append({"reader": "B"})["id"] == 1
    assert [record["reader"] for record in log.records()] == ["B"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        ReadingLog(tmp_path)
    with pytest.raises(InputError, match="the folder does not exist"):
        ReadingLog(tmp_path / "absent" / "readings.jsonl").append({"reader": "A"})
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no regular file"):
        ReadingLog(tmp_path / "pipe")


def test_a_record_made_of_the_effective_ones_may_be_one_of_them(path: Path) -> None:
    log = ReadingLog(path)
    first = log.append({"reader": "A"})
    assert log.append_after(lambda effective: effective[0]) == first
    assert len(log.records()) == 1
