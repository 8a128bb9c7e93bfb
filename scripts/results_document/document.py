"""The document and its sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundle.experiments import ExperimentReport, downstream_section
from bundle.io import shown_figure
from scripts.results_document.columns import ABLATIONS, ABSENT, COLUMNS, MAIN, SAID
from scripts.results_document.methods import Method
from scripts.results_document.tables import provenance, table
from scripts.results_document.tasks import tasks_section

CONFIGS = "--config_file configs/evaluate.yaml --dataset_dir Data"
OTHERS = f"""```bash
python -m monai.bundle run exporting {CONFIGS} --output_dir outputs/joints
python -m monai.bundle run evaluating {CONFIGS} --layers_dir outputs/layers --output_dir outputs/other
```"""


def document(
    methods: Sequence[Method],
    ablations: Mapping[tuple[str, str], Sequence[Method]],
    experiments: Sequence[ExperimentReport],
    tasks: Sequence[Method],
    command: str,
) -> str:
    """Return the whole document."""
    measured = [name for name in COLUMNS if any(name in method.report["measures"] for method in methods)]
    details = [f"## {name}\n\n{SAID[name]}\n\n{table(COLUMNS[name], _with(name, methods))}" for name in measured]
    parts = [
        "# Results",
        f"Written by `{command}`; not to be edited.",
        "One row per method; brackets are 95 % bootstrap intervals over joints. Errors are in intensity, 0 to 1. All "
        "methods see the same images. The measures are described below; their goals are the project's own. The figures "
        '"as published" are of the authors\' test set, of which this one is a subset.',
        table(MAIN, methods),
        *rivals_note(methods),
        *details,
        *fingers_section(methods),
        *(part for of, rows in ablations.items() for part in ablation_section(of, rows)),
        *downstream_section(experiments),
        *tasks_section(tasks),
        "## Montages\n\nThe radiographs carry no licence and are not shown here. The commands below write montages of "
        "the worst joints of each measure (`worst/`), of random test joints (`random/`) and the plots (ROC, "
        "Bland-Altman, error against overlap) into their output folder.",
        "## A row for another program\n\nExport the joints, separate each joint of the list `evaluation.json`, write "
        "its layers as `<name>_layers.nii.gz` or three PNGs (`name` as listed), and evaluate the folder:\n\n"
        f"{OTHERS}",
        "## How each row was made\n\n`Data` is the folder of the public data set.",
        *(provenance(method) for method in [*methods, *(row for rows in ablations.values() for row in rows)]),
    ]
    return "\n\n".join(parts) + "\n"


RIVALS = (
    "No GPU has run the jobs of [jobs.md](jobs.md) yet. Until then, LSN and BLS-GAN are listed at a quarter of their "
    "width, trained on a CPU for the few epochs in their labels; as published they have their full width and 400 and "
    "280 epochs. Their errors are still decreasing at the end of these trainings (the curves are below, in the "
    "provenance of each row): the methods can do better than these rows."
)


def rivals_note(methods: Sequence[Method]) -> list[str]:
    """Return a note on how the published methods were trained; nothing once LSN was trained as published."""
    named = any(method.label.startswith(("LSN", "BLS-GAN")) for method in methods)
    published = any(method.report.get("job", {}).get("name") == "lsn_published" for method in methods)
    return [RIVALS] if named and not published else []


def _with(measure: str, methods: Sequence[Method]) -> list[Method]:
    """Return the methods with figures of a measure."""
    return [method for method in methods if measure in method.report["measures"]]


SMALL = (
    "Ablations",
    "Variants of one method (as in Table 2 of LSN), trained with one budget: small networks, the paper's losses and "
    "head. They compare with each other, not with the rows above.",
)
FULL = (
    "Ablations at full width",
    "LSN as published (as in Table 2), each for a tenth of its schedule; the one without stage 1 has as many steps.",
)
"""Titles and texts of the tables of ablations."""


def ablation_section(title: tuple[str, str], ablations: Sequence[Method]) -> list[str]:
    """Return the table of a method's variants; nothing without variants."""
    if not ablations:
        return []
    shown = [column for column in ABLATIONS if any(column.measure in method.report["measures"] for method in ablations)]
    return [f"## {title[0]}\n\n{title[1]}\n\n{table(shown, ablations)}"]


FINGERS = ("thumb", "index", "middle", "ring", "small")


def fingers_section(methods: Sequence[Method]) -> list[str]:
    """Return E1 by finger, like Table 1 of LSN."""
    rows = [[method.label, *(_finger(method, finger) for finger in FINGERS)] for method in _with("E1", methods)]
    if not rows:
        return []
    head = [["method", *FINGERS], ["---", *["---:"] * len(FINGERS)]]
    lines = "\n".join(f"| {' | '.join(cells)} |" for cells in [*head, *rows])
    text = "PSNR (dB) of the reconstruction in the visible region, mean and standard deviation over the images."
    return [f"## E1 by finger\n\n{text}\n\n{lines}"]


def _finger(method: Method, finger: str) -> str:
    """Format mean and standard deviation of a finger's PSNR."""
    found = method.report["measures"]["E1"].get("fingers", [])
    for entry in found:
        if (entry["finger"], entry["metric"]) == (finger, "psnr"):
            return f"{shown_figure(entry['mean'], 4)} ± {shown_figure(entry['std'], 2)}"
    return ABSENT
