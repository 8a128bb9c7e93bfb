"""The simulation of a Dask cluster counts what a scheduler costs."""

from __future__ import annotations

import pytest
from scripts.simulate_cluster import Cost, Waiting, cluster, report, run

distributed = pytest.importorskip("distributed", reason="requirements-scale.txt is not installed")


def test_a_data_set_is_extrapolated_in_proportion_to_its_tasks() -> None:
    free, waiting = Cost(2000, 10.0, 2.0, 8.0), Cost(100, 12.0, 0.1, 0.4)
    lines = report(20, free, waiting, seconds=2.0, images=10**6, shard_size=1000, rate=100.0).splitlines()
    assert "10.0 s; scheduler 1.00 ms of processor time and 4.0 KB a task" in lines[0]
    assert "12.0 s, at best 10.0 s" in lines[1]
    assert "1000 tasks, 0.14 h; 2 tasks/s, which take 0 % of the scheduler's time" in lines[2]
    assert "scheduler 4 MB more than empty" in lines[2]


@pytest.mark.long
def test_every_task_is_carried_out_once_by_all_workers_together() -> None:
    with cluster(4) as (address, process):
        cost = run(address, process, tasks=40, seconds=0.1)
    assert cost.tasks == 40
    assert cost.seconds >= 1.0  # four at a time
    assert cost.scheduler_s > 0.0


def test_a_task_waits_and_returns_its_number() -> None:
    tasks = Waiting(3, 0.0)
    assert [tasks[row] for row in range(len(tasks))] == [0, 1, 2]
