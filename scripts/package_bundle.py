"""Package the bundle for MONAI's model zoo or a model hub: a folder with only what is needed to run, and its zip.

python scripts/package_bundle.py --output outputs/package [--repository https://github.com/OWNER/NAME]
    [--weights_url https://HOST/FOLDER]

The folder has the model card as ``docs/README.md``. MONAI's ``push_to_hf_hub`` copies it over ``README.md``, which the
folder lacks; the card's links must therefore not lead to files: they lead into the repository, or are plain text
without ``--repository``. The zoo accepts no file above 1 MB: with ``--weights_url`` the weights are left out and listed
in ``large_files.yml``, from which ``python -m monai.bundle download_large_files`` downloads them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urljoin

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bundle.interruption import end_when_interrupted

if __name__ == "__main__":
    end_when_interrupted()

import yaml
from bundle.errors import InputError, report_plainly
from bundle.io import storing
from scripts.bundle_checks.contents import NOT_SUBMITTED, bundle_files, metadata
from scripts.write_documents import QUOTE

NAME = "finger_joint_layer_separation"
FOLDERS = ("bundle/", "configs/", "models/")
FILES = (
    "LICENSE",
    "docs/data_license.txt",
    "requirements.txt",
    "requirements-export.txt",
    "requirements-runtimes.txt",
    "requirements-scale.txt",
)
CARD = "docs/model_card.md"
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?![a-z]+:)([^)\s]*)\)")
REPOSITORY_ALONE = re.compile(r"<!-- repository -->.*?<!-- /repository -->\n*", re.DOTALL)
LARGE = 2**20


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, make the folder and its zip, and print their paths."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--output", type=Path, default=ROOT / "outputs" / "package", help="parent of the new folder")
    options.add_argument("--repository", default="", help="address of the repository, the target of links")
    options.add_argument("--weights_url", default="", help="address of the weights, which are then left out")
    given = options.parse_args(arguments)
    with storing(given.output):
        folder = package(ROOT, given.output / NAME, given.repository, given.weights_url)
        archive = shutil.make_archive(str(folder), "zip", given.output, NAME)
    print(f"{folder} and {archive}; check the folder with: python scripts/verify_bundle.py {folder}")


def package(root: Path, folder: Path, repository: str = "", weights_url: str = "") -> Path:
    """Make the package folder of a bundle's repository.

    Args:
        root: root of the repository.
        folder: folder to make.
        repository: address of the repository, the target of the card's links; without it they are plain text.
        weights_url: address of the folder of the weights; without it they are copied.

    Raises:
        InputError: the folder, or its zip, already exists.
    """
    for taken in (folder, folder.with_suffix(".zip")):
        if taken.exists():
            msg = f"{taken} already exists. Remove it, or pass another --output."
            raise InputError(msg)
    for path in packaged_files(root):
        target = folder / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not (weights_url and is_large(path)):
            shutil.copyfile(path, target)
    card = (root / CARD).read_text(encoding="utf-8")
    (folder / "docs" / "README.md").write_text(packaged_card(card, repository), encoding="utf-8")
    if weights_url:
        (folder / "large_files.yml").write_text(large_files(root, weights_url), encoding="utf-8")
    return folder


def packaged_files(root: Path) -> list[Path]:
    """Return the files needed to run and their documents; only the weights that the metadata state."""
    names = {path.relative_to(root).as_posix(): path for path in bundle_files(root)}
    wanted = (name for name in sorted(names) if name in FILES or name.startswith(FOLDERS))
    kept = [names[name] for name in wanted if not name.startswith(NOT_SUBMITTED)]
    weights = metadata(root)["weights"]
    return [path for path in kept if path.suffix not in (".pt", ".pyc") or path.name in weights]


def is_large(path: Path) -> bool:
    """Whether the zoo's hook ``check-added-large-files --maxkb=1024`` refuses a file."""
    return path.stat().st_size > LARGE


def packaged_card(card: str, repository: str) -> str:
    """Return the model card without parts, links and figure sources that exist only in the repository."""
    shared = QUOTE.sub(lambda quote: quote["shown"], REPOSITORY_ALONE.sub("", card))
    return LINK.sub(lambda link: packaged_link(link[1], link[2], link[3], repository), shared)


def packaged_link(mark: str, text: str, target: str, repository: str) -> str:
    """Return a Markdown link of the model card, or an image if it has a mark; ``target`` is relative to the card."""
    if not repository:
        return f"*{text}*" if mark else text
    kind = "raw" if mark else "blob"
    return f"{mark}[{text}]({urljoin(f'{repository}/{kind}/main/{CARD}', target)})"


def large_files(root: Path, weights_url: str) -> str:
    """Return ``large_files.yml`` of the weights, with the keys that MONAI reads."""
    address = weights_url.rstrip("/")
    entries = [
        {"path": f"models/{name}", "url": f"{address}/{name}", "hash_val": stated["sha256"], "hash_type": "sha256"}
        for name, stated in metadata(root)["weights"].items()
        if is_large(root / "models" / name)
    ]
    return yaml.safe_dump({"large_files": entries}, sort_keys=False)


if __name__ == "__main__":
    report_plainly()
    main()
