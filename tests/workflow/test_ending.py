"""A run that is stopped says so in a line, keeps what is whole and gives its folder back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bundle.workflow.ending import TRACKER, adapt_tracking, iteration_loss, remedy_of

STOPPED = """
import sys, time, multiprocessing
from pathlib import Path
from bundle.io.reservations import reserve_output
from bundle.io.writing import replacing
from bundle.workflow.ending import running, stop_plainly

def work():
    while True:
        time.sleep(0.01)

stop_plainly("run the command again to finish it")
folder = reserve_output(Path(sys.argv[1]), "run")
if sys.argv[2] == "some":
    (folder / "result").touch()
worker = multiprocessing.get_context("fork").Process(target=work)
worker.start()
with replacing(folder / "half"):
    with running([sys.executable, "-c", "import time; time.sleep(60)"]):
        print(worker.pid, flush=True)
        time.sleep(60)
"""


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("result", ["some", "none"])
def test_a_run_that_is_stopped_ends_in_a_line_with_what_it_works_with(
    tmp_path: Path, number: signal.Signals, result: str
) -> None:
    command = [sys.executable, "-c", STOPPED, str(tmp_path / "out"), result]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    kept = f"results so far are in {tmp_path / 'out'}; " if result == "some" else ""
    assert said == f"\nstopped: {kept}run the command again to finish it\n"
    assert sorted(path.name for path in tmp_path.rglob("*")) == (["out", "result", "run.json"] if kept else [])
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


def test_the_remedy_names_resume_where_the_run_uses_it() -> None:
    assert remedy_of({"resume": False}, {"resume"}) == "run the command again with --resume true to resume"
    assert remedy_of({"resume": "true"}, {"resume"}) == "run the command again to resume"
    assert remedy_of({"resume": False}, {"seed"}) == remedy_of({}, ()) == "run the command again to finish it"


def test_experiment_tracking_stays_open_and_reads_the_loss_of_any_trainer() -> None:
    handlers = [{"_target_": "Other"}, {"_target_": TRACKER, "close_on_complete": True}]
    assert adapt_tracking({"train": {"handlers": handlers}}) and not adapt_tracking({"train": {"handlers": handlers}})
    assert handlers[0] == {"_target_": "Other"} and handlers[1]["close_on_complete"] is False
    assert handlers[1]["output_transform"] == {"_target_": "bundle.workflow.iteration_loss", "_mode_": "callable"}
    assert iteration_loss({"loss": 0.5}) == iteration_loss([{"loss": 0.5}, {"loss": 2.0}]) == 0.5
