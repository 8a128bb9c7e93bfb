"""A Dask scheduler and workers as processes of their own, with faults in single workers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAULTS = Path(__file__).with_name("worker_faults.py")
PATIENCE_S = 240.0


class Processes:
    """A scheduler at a port that stays the same, and its workers; their logs lie in a folder.

    Args:
        folder: folder of logs, and of the marks that faults leave.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder, self.address = folder, f"tcp://127.0.0.1:{self.port}"
        self.started: list[subprocess.Popen[bytes]] = []
        self.scheduler = self.start_scheduler()

    def start_scheduler(self) -> subprocess.Popen[bytes]:
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"
        )
        return self.scheduler

    def restart_scheduler(self) -> None:
        end(self.scheduler)
        time.sleep(2)
        self.start_scheduler()

    def start_worker(self, fault: str = "", cwd: Path = ROOT, nanny: bool = False) -> subprocess.Popen[bytes]:
        options = ["--nthreads", "1", "--no-dashboard", "--preload", str(FAULTS), *([] if nanny else ["--no-nanny"])]
        return self._start("dask_worker", self.address, *options, fault=fault, cwd=cwd)

    def start_bare_worker(self, cwd: Path) -> subprocess.Popen[bytes]:
        """Start a worker that does not find the bundle."""
        return self._start("dask_worker", self.address, "--no-dashboard", "--no-nanny", cwd=cwd, path=cwd)

    def _start(
        self, command: str, *arguments: str, fault: str = "", cwd: Path = ROOT, path: Path = ROOT
    ) -> subprocess.Popen[bytes]:
        known = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(path), "FAULT": fault, "MARKS": str(self.folder)}
        ttl = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "5s"}
        with (self.folder / f"{len(self.started)}-{command}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{command}", *arguments],
                cwd=cwd,
                env={**os.environ, **known, **ttl},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def workers(self, count: int) -> None:
        """Wait until so many workers have joined."""
        from distributed import Client

        with Client(self.address, timeout=60) as client:
            client.wait_for_workers(count, timeout=120)

    def when(self, mark: str, then: Callable[[], object]) -> threading.Thread:
        """Act once a fault has left its mark."""
        thread = threading.Thread(target=lambda: (self.wait_for(mark), then()), daemon=True)
        thread.start()
        return thread

    def wait_for(self, mark: str) -> Path:
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            found = list(self.folder.glob(mark))
            if found:
                return found[0]
            time.sleep(0.05)
        raise TimeoutError(mark)

    def end(self) -> None:
        for process in self.started:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with its children, also a stopped one."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
