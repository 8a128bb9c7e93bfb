"""Checks of the files and documents of a bundle."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scripts.bundle_checks.contents import Defect, bundle_files, large_files, refuse

NECESSARY = ("configs/metadata.json", "LICENSE")
PREFERRED = ("models/model.pt", "configs/inference.json", "configs/logging.conf")
CARDS = ("docs/README.md", "docs/model_card.md")
LICENCE = "docs/data_license.txt"
HEADINGS = (
    "# Model Overview",
    "## Data",
    "## Training configuration",
    "### Input",
    "### Output",
    "## Performance",
    "## MONAI Bundle Commands",
    "# References",
    "# License",
)
UNFINISHED = ("TODO", "FIXME", "TBD")
LARGE = 25 * 2**20
LARGE_FILE_KEYS = ("path", "url", "hash_val", "hash_type")


def check_files(root: Path) -> str:
    """Check that necessary and preferred files exist (or are downloadable), and that model.pt is named as expected."""
    downloadable = large_files(root)
    wanted = (*NECESSARY, *PREFERRED)
    refuse([f"missing {name}" for name in wanted if name not in downloadable and not (root / name).is_file()])
    weights = sorted((path.name for path in (root / "models").glob("*.pt")), key=len)
    if weights and weights[0] != "model.pt":
        msg = f"models/{weights[0]}: a shorter name than model.pt, and MONAI Label loads the shortest. Rename it."
        raise Defect(msg)
    return f"{len(wanted)} files"


def check_large_files(root: Path) -> str:
    """Check that files above 25 MB are in ``large_files.yml``, with complete entries and correct hashes."""
    entries = large_files(root)
    defects = [defect for name, entry in entries.items() for defect in large_file_defects(root / name, entry)]
    for path in bundle_files(root):
        size, name = path.stat().st_size, path.relative_to(root).as_posix()
        if size > LARGE and name not in entries:
            defects.append(f"{name} has {size / 2**20:.0f} MB and no entry in large_files.yml")
    refuse(defects)
    return f"{len(entries)} listed"


def large_file_defects(path: Path, entry: dict[str, str]) -> list[str]:
    """Return the keys that an entry of ``large_files.yml`` lacks, or the mismatch of its hash with a local file."""
    missing = [key for key in LARGE_FILE_KEYS if not entry.get(key)]
    if missing:
        return [f"large_files.yml: the entry of {path.name} lacks {', '.join(missing)}"]
    if path.is_file() and hashlib.new(entry["hash_type"], path.read_bytes()).hexdigest() != entry["hash_val"]:
        return [f"{path.name} does not have the {entry['hash_type']} of large_files.yml"]
    return []


def check_documents(root: Path) -> str:
    """Check that the model card follows the zoo's template and is finished, and that the data licence is not empty.

    The card is ``docs/model_card.md`` in the repository, whose README MONAI's ``push_to_hf_hub`` would replace by
    ``docs/README.md``; ``scripts/package_bundle.py`` makes the latter from it.
    """
    name = model_card(root)
    refuse([f"missing {wanted}" for wanted in (name, LICENCE) if not (root / wanted).is_file()])
    card, licence = ((root / wanted).read_text(encoding="utf-8") for wanted in (name, LICENCE))
    defects = [f"{name}: no heading '{heading}'" for heading in HEADINGS if heading not in card.splitlines()]
    defects += [f"{name}: unfinished, it contains {word}" for word in UNFINISHED if word in card]
    defects += [] if licence.strip() else ["docs/data_license.txt is empty"]
    refuse(defects)
    return f"{len(HEADINGS)} sections"


def model_card(root: Path) -> str:
    """Return the name of the model card: the zoo's, unless the bundle only has that of the repository."""
    return next((name for name in CARDS if (root / name).is_file()), CARDS[0])
