"""Engines that carry out independent tasks: processes of this machine, or the workers of a Dask cluster."""

from __future__ import annotations

from bundle.cluster.dask_cluster import DaskCluster
from bundle.cluster.engines import ENGINES, Processes, task_engine
from bundle.cluster.tasks import Engine, FolderTasks, Tasks

__all__ = ["ENGINES", "DaskCluster", "Engine", "FolderTasks", "Processes", "Tasks", "task_engine"]
