"""Stands for ``python -m monai.bundle run``: takes the same arguments, and leaves the files that a run leaves.

``FAILS`` and ``WAITS`` name a run that fails, or that waits to be killed once it has a checkpoint, by the end of its
folder. ``order.txt`` in the working directory has a line for each run, with whether it has found a checkpoint.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

run_id, *given = sys.argv[1:]
options = dict(zip(given[::2], given[1::2], strict=True))
folder = Path(options["--output_dir"])
folder.mkdir(parents=True, exist_ok=True)
checkpoint = folder / "checkpoint.pt"
with open("order.txt", "a") as file:
    file.write(f"{folder} {run_id} {'resumed' if checkpoint.exists() else 'begun'}\n")
if str(folder).endswith(os.environ.get("FAILS", "-")):
    sys.exit("error: it cannot")
for need in ("--pretrained", "--scorer_weights"):
    assert need not in options or Path(options[need]).is_file(), f"{need} {options[need]} is not there"
if run_id == "evaluating":
    error = 0.1 if "ours" in folder.parts else 0.2
    rows = "".join(f"image{index},joint{index},{error + index / 100}\n" for index in range(5))
    (folder / "per_image.csv").write_text(f"name,joint,error_mm\n{rows}")
    names = ("mae_mm", "mae_px", "mse_mm2", "r2", "explained_variance", "icc_2_1")
    (folder / "metrics.json").write_text(json.dumps({"figures": dict.fromkeys(names, error)}))
else:
    checkpoint.touch()
    while str(folder).endswith(os.environ.get("WAITS", "-")):
        time.sleep(0.1)
    (folder / {"pretraining": "pretrained.pt", "separating": "joint.pt"}.get(run_id, "last.pt")).touch()
