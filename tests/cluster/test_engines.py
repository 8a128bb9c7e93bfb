"""Engines carry out every task, whatever happens to a worker or to the scheduler."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from bundle.cluster import dask_cluster
from bundle.cluster.dask_cluster import DaskCluster
from bundle.cluster.engines import Processes, task_engine
from bundle.cluster.tasks import Engine, Tasks
from bundle.errors import InputError

dask = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


class Written(Tasks):
    """Tasks that write a file each, in ``seconds``; the first attempt at ``fatal`` ends its process."""

    def __init__(self, folder: Path, count: int, seconds: float = 0.0, fatal: int = -1) -> None:
        self.folder, self.count, self.seconds, self.fatal = folder, count, seconds, fatal

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> int:
        begun = self.folder / f"begun-{row}"
        if row == self.fatal and not begun.exists():
            begun.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds)
        (self.folder / f"{row}.txt").write_text(str(row))
        return row


class Failing(Written):
    """Tasks of which one reports a full disk."""

    def __getitem__(self, row: int) -> int:
        if row == 2:
            msg = "shard 2: the disk is full. Free space."
            raise InputError(msg)
        return row


def written(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.txt"))


@pytest.fixture
def distributed() -> Any:
    return pytest.importorskip("distributed", reason="dask is not installed (requirements-scale.txt)")


@pytest.fixture
def within(distributed: Any, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A cluster whose workers are threads of this process, which starts at once."""

    @contextmanager
    def client(self: DaskCluster) -> Iterator[Any]:
        cluster = distributed.LocalCluster(2, threads_per_worker=2, processes=False, dashboard_address=None)
        with cluster, distributed.Client(cluster) as made:
            yield made

    monkeypatch.setattr(DaskCluster, "_client", client)
    return DaskCluster()


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_processes_carry_out_every_task(tmp_path: Path, workers: int) -> None:
    assert sorted(Processes(workers).run(Written(tmp_path, 5))) == list(range(5))
    assert written(tmp_path) == [f"{row}.txt" for row in range(5)]


@dask
@pytest.mark.slow
def test_a_cluster_carries_out_every_task_once(within: Engine, tmp_path: Path) -> None:
    assert sorted(within.run(Written(tmp_path, 20))) == list(range(20))
    assert written(tmp_path) == sorted(f"{row}.txt" for row in range(20))


@dask
@pytest.mark.slow
def test_the_error_of_a_task_is_that_of_the_run(within: Engine, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the disk is full"):
        list(within.run(Failing(tmp_path, 4)))


@dask
@pytest.mark.slow
def test_what_is_left_is_submitted_again_where_the_scheduler_is_lost(
    within: Engine, tmp_path: Path, distributed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, submitted = dask_cluster._carried_out, []

    def carried_out(client: Any, tasks: Any, left: set[int]) -> Iterator[int]:
        submitted.append(set(left))
        for done, row in enumerate(whole(client, tasks, left)):
            yield row
            if len(submitted) == 1 and done == 3:
                raise distributed.comm.CommClosedError("gone")

    monkeypatch.setattr(dask_cluster, "_carried_out", carried_out)
    monkeypatch.setattr(dask_cluster, "_PAUSE_S", 0.0)
    assert sorted(within.run(Written(tmp_path, 12))) == list(range(12))
    assert len(submitted) == 2 and len(submitted[1]) == 12 - 4


@dask
@pytest.mark.long
def test_tasks_of_a_killed_worker_are_carried_out_by_another(distributed: Any, tmp_path: Path) -> None:
    done = list(DaskCluster(workers=2).run(Written(tmp_path, 8, seconds=0.2, fatal=3)))
    assert sorted(done) == list(range(8)) and (tmp_path / "begun-3").exists()
    assert written(tmp_path) == [f"{row}.txt" for row in range(8)]


@dask
@pytest.mark.slow
def test_a_scheduler_lost_again_and_again_ends_the_run(
    within: Engine, tmp_path: Path, distributed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> Iterator[int]:
        raise distributed.comm.CommClosedError("gone")
        yield

    monkeypatch.setattr(dask_cluster, "_carried_out", lost)
    monkeypatch.setattr(dask_cluster, "_PAUSE_S", 0.0)
    with pytest.raises(InputError, match=r"lost 5 times in a row.*rerun the command"):
        list(within.run(Written(tmp_path, 2)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "ray"}, "engine is 'ray'. Pass processes or dask"),
        ({"scheduler": "tcp://a:1"}, "Pass --engine dask as well"),
        ({"name": "dask", "scheduler": "tcp://a:1", "workers": 2}, "has workers of its own. Leave out --workers"),
    ],
)
def test_options_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        task_engine(**options)


def test_an_absent_scheduler_is_named(distributed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "Client", refused)
    with pytest.raises(InputError, match=r"tcp://127\.0\.0\.1:9: no Dask scheduler answers"):
        list(task_engine("dask", scheduler="tcp://127.0.0.1:9").run(Written(tmp_path, 1)))


def refused(*_: Any, **__: Any) -> None:
    msg = "Timed out trying to connect"
    raise OSError(msg)


def test_without_dask_its_requirements_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install -r requirements-scale\.txt"):
        list(task_engine("dask").run(Written(tmp_path, 1)))
