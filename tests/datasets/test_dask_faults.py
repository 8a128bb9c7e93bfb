"""A data set of a Dask cluster is that of a single process, whatever happens to its processes and their disks."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle.cluster import dask_cluster
from bundle.cluster.dask_cluster import DaskCluster
from bundle.errors import InputError
from bundle.io.reservations import release_outputs
from bundle.io.writing import PART
from tests.datasets.dask_processes import Processes
from tests.datasets.made_data_sets import content, made, plan

pytest.importorskip("distributed", reason="dask is not installed (requirements-scale.txt)")
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")]

MANY = {"plan": plan(count=40), "shard_size": 4}
"""Ten shards."""


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory, items: list[dict[str, Any]]) -> dict[str, bytes]:
    """The files that a single process makes."""
    return content(made(tmp_path_factory.mktemp("single"), items, **MANY))


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    started = Processes(tmp_path / "logs")
    yield started
    started.end()


@pytest.fixture
def of_cluster(tmp_path: Path, items: list[dict[str, Any]], processes: Processes) -> Callable[..., Path]:
    """Make the data set of a cluster once so many workers have joined."""

    def run(workers: int, folder: Path = tmp_path) -> Path:
        if workers:
            processes.workers(workers)
        return made(folder, items, engine=DaskCluster(scheduler=processes.address), **MANY)

    return run


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(PART)]


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_makes_the_files_of_a_single_process(
    single: dict[str, bytes], tmp_path: Path, items: list[dict[str, Any]], workers: int
) -> None:
    assert content(made(tmp_path, items, engine=DaskCluster(workers), **MANY)) == single


def test_a_worker_killed_while_it_writes_a_shard_changes_no_file(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    killed = processes.start_worker("killed")
    processes.start_worker()
    out = of_cluster(2)
    assert killed.wait(20) == -signal.SIGKILL
    assert content(out) == single and not leftovers(out)


def test_a_stopped_worker_delays_the_run_and_what_it_writes_later_changes_no_file(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    stopped = processes.start_worker("stopped")
    processes.start_worker()
    out = of_cluster(2)
    assert (processes.folder / "stopped").exists() and stopped.poll() is None
    assert content(out) == single
    os.kill(stopped.pid, signal.SIGCONT)
    stopped.wait(120)
    assert content(out) == single and not leftovers(out)


def test_a_worker_that_goes_on_while_its_shard_is_made_by_another_changes_no_file(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    stopped = processes.start_worker("stopped")
    slow = processes.start_worker("slow=0.5")
    timer = threading.Timer(9, os.kill, (stopped.pid, signal.SIGCONT))
    processes.when("stopped", timer.start)
    out = of_cluster(2)
    timer.join()
    assert content(out) == single and slow.poll() is None


def test_a_slow_worker_changes_no_file(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    processes.start_worker("slow=1")
    processes.start_worker()
    out = of_cluster(2)
    assert list(processes.folder.glob("writing-*"))
    assert content(out) == single and not leftovers(out)


@pytest.mark.parametrize("nanny", [False, True])
def test_a_scheduler_killed_and_started_again_changes_no_file(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path], nanny: bool
) -> None:
    def restart() -> None:
        processes.restart_scheduler()
        processes.start_worker()  # the others end with their scheduler

    processes.start_worker("slow=0.3", nanny=nanny)
    restarted = processes.when("writing-*", restart)
    out = of_cluster(1)
    restarted.join()
    assert content(out) == single


def test_shards_of_a_worker_whose_disk_is_full_are_made_by_another(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    processes.start_worker("full")
    processes.start_worker("slow=0.2")
    with caplog.at_level(logging.WARNING, "bundle.datasets"):
        out = of_cluster(2)
    assert (processes.folder / "full").exists()
    assert content(out) == single and not leftovers(out)
    said = [record.getMessage() for record in caplog.records if "others take over" in record.getMessage()]
    assert len(said) == 1 and "the disk is full" in said[0]


def test_a_run_whose_disks_are_all_full_ends_in_a_sentence_and_is_completed_by_a_rerun(
    single: dict[str, bytes], tmp_path: Path, processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    full = [processes.start_worker("full"), processes.start_worker("full")]
    with pytest.raises(
        InputError, match=r"out/radiographs-\d{6} could not be written .*the disk is full.*Free space.*rerun"
    ):
        of_cluster(2)
    release_outputs()
    assert not list((tmp_path / "out").glob("radiographs-*")) and not leftovers(tmp_path / "out")
    processes.start_worker()
    for worker in full:
        worker.kill()
    assert content(of_cluster(1)) == single


@pytest.mark.parametrize("what", ["bundle", "torch"])
def test_a_worker_of_another_version_makes_nothing_and_is_named(
    single: dict[str, bytes],
    processes: Processes,
    of_cluster: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    what: str,
) -> None:
    processes.start_worker(f"other={what}")
    with pytest.raises(InputError, match=rf"the worker has {what} 0\.1, the run has {what} \d.*Install"):
        of_cluster(1)
    release_outputs()
    processes.start_worker()
    assert content(of_cluster(2)) == single


def test_a_worker_without_the_output_folder_makes_nothing_and_is_named(
    single: dict[str, bytes],
    tmp_path: Path,
    processes: Processes,
    of_cluster: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    processes.start_worker(cwd=tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"elsewhere/out: not the output folder of the run at .*same path"):
        of_cluster(1, Path())
    release_outputs()
    assert not (tmp_path / "elsewhere" / "out").exists()
    processes.start_worker(cwd=tmp_path)
    assert content(of_cluster(2, Path())) == single


def test_a_worker_that_does_not_find_the_bundle_is_named(
    tmp_path: Path, processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    (tmp_path / "elsewhere").mkdir()
    processes.start_bare_worker(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"cannot load the bundle \(.*Start all workers from the root"):
        of_cluster(1)


def test_a_run_without_workers_warns_and_ends(
    processes: Processes,
    of_cluster: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(dask_cluster, "_QUIET_S", 0.05)
    monkeypatch.setattr(dask_cluster, "_PATIENCE_S", 0.1)
    with pytest.raises(InputError, match=f"{processes.address} has no worker. Start workers, and rerun"):
        of_cluster(0)
    assert f"{processes.address} has no worker. Start workers; the run waits" in caplog.text


def test_a_worker_stopped_before_the_run_does_not_hold_it_up_forever(
    single: dict[str, bytes], processes: Processes, of_cluster: Callable[..., Path]
) -> None:
    stopped = processes.start_worker()
    processes.start_worker()
    processes.workers(2)
    os.kill(stopped.pid, signal.SIGSTOP)
    assert content(of_cluster(1)) == single
