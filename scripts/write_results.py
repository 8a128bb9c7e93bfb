"""Write docs/results.md from the metrics.json of evaluations, one row per method, and store these files beside it.

    python scripts/write_results.py "Weight-free=outputs/weight_free" "Ours=outputs/evaluate+outputs/realism" \\
      --experiments outputs/experiments/read_joint_space

Jobs (configs/jobs) need not be named: each job with a metrics.json in outputs/jobs, or stored in docs/results/jobs, is
a row.

A path is the output folder of an evaluation, or a stored file: run on docs/results/*.json, the script writes the same
document. A plus joins evaluations of one method that ran side by side. The stored files contain no absolute paths.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

from bundle.errors import report_plainly
from bundle.experiments import ExperimentReport, read_experiment
from bundle.io import write_bytes
from scripts.results_document.document import FULL, SMALL, document
from scripts.results_document.methods import TASKS, Method, check_same_images, kept_report, read_jobs, read_method

OUTPUT = ROOT / "docs" / "results.md"
JOBS_OUTPUT = ROOT / "outputs" / "jobs"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and write the document."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("methods", nargs="+", metavar="LABEL=PATH[+PATH]", help="a row, in this order")
    options.add_argument("--ablations", nargs="+", default=[], metavar="LABEL=PATH", help="rows of a separate table")
    options.add_argument(
        "--experiments",
        nargs="+",
        default=[],
        metavar="PATH",
        help="experiments with pre-training (configs/experiments)",
    )
    options.add_argument("--jobs", type=Path, default=JOBS_OUTPUT, help="folder of the results of jobs (configs/jobs)")
    options.add_argument("--output", type=Path, default=OUTPUT)
    chosen = options.parse_args(arguments)
    report_plainly()
    methods, ablations = ([read_method(given) for given in rows] for rows in (chosen.methods, chosen.ablations))
    kept = chosen.output.parent / "results"
    jobs = read_jobs(chosen.jobs, kept / "jobs")
    again = {"": kept_files(methods), "--ablations": kept_files(ablations)}
    methods, at_full_width = [*methods, *jobs.get("methods", [])], jobs.get("ablations", [])
    separators = [*methods, *ablations, *at_full_width]
    check_same_images(separators)
    experiments = [ExperimentReport(kept_report(read_experiment(path).found)) for path in chosen.experiments]
    (kept / "jobs").mkdir(parents=True, exist_ok=True)
    tasks = jobs.get(TASKS, [])
    for method in [*separators, *tasks]:
        write_bytes(kept / method.file, f"{json.dumps(method.report, indent=1)}\n".encode())
    for experiment in experiments:
        experiment.keep(kept / "experiments")
    again["--experiments"] = [f"docs/results/experiments/{experiment.file}.json" for experiment in experiments]
    given = [part for option, rows in again.items() if rows for part in ([option] if option else []) + rows]
    command = shlex.join(["python", "scripts/write_results.py", *given])
    tables = {SMALL: ablations, FULL: at_full_width}
    write_bytes(chosen.output, document(methods, tables, experiments, tasks, command).encode())


def kept_files(methods: Sequence[Method]) -> list[str]:
    """Return the arguments that write the same rows again."""
    return [f"{method.label}=docs/results/{method.file}" for method in methods]


if __name__ == "__main__":
    main()
