"""Check a bundle offline like the MONAI model zoo's own checker, one line per check; exit code 1 if any fails.

The checks are in ``scripts/bundle_checks``; no check needs the network.

    python scripts/verify_bundle.py [BUNDLE_ROOT]
"""

from __future__ import annotations

import argparse
import io
import logging
import sys
import traceback
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scripts.bundle_checks.config_checks import WORKFLOWS, check_commands, check_config, check_parts, check_properties
from scripts.bundle_checks.configs import EXPERIMENTS, config_chain, config_files, config_name, is_part
from scripts.bundle_checks.contents import Defect
from scripts.bundle_checks.files import check_documents, check_files, check_large_files
from scripts.bundle_checks.network import ONNX_ARGUMENTS, check_onnx, check_shapes, check_torchscript
from scripts.bundle_checks.stated import (
    check_imports,
    check_requirements,
    check_schema,
    check_version,
    check_weights,
    state_checksums,
)

sys.path.remove(str(ROOT))  # the checked bundle imports its own package


Check = tuple[str, Callable[[], str]]


def checks(root: Path) -> list[Check]:
    """Return all checks of a bundle, by title; one for each config."""
    fixed: list[Check] = [
        ("necessary and preferred files", partial(check_files, root)),
        ("large files", partial(check_large_files, root)),
        ("documents", partial(check_documents, root)),
        ("metadata by the schema", partial(check_schema, root)),
        ("checksums of the weights", partial(check_weights, root)),
        ("version in the changelog", partial(check_version, root)),
        ("pins of metadata and requirements", partial(check_requirements, root)),
        ("imports are pinned", partial(check_imports, root)),
    ]
    stated: list[Check] = [("commands in documents and configs", partial(check_commands, root))]
    stated += [("parts of configs", partial(check_parts, root))]
    workflows: list[Check] = [(f"properties of {name}", partial(check_properties, root, name)) for name in WORKFLOWS]
    network: list[Check] = [
        ("inputs and outputs of the network", partial(check_shapes, root)),
        ("TorchScript export", partial(check_torchscript, root)),
    ]
    if (root / ONNX_ARGUMENTS).is_file():
        network.append(("ONNX export", partial(check_onnx, root)))
    return [*fixed, *config_checks(root), *stated, *workflows, *network]


def config_checks(root: Path) -> list[Check]:
    """Return a check for each config, with those of the command in its comments; parts without one run in their jobs.

    Definitions of experiments are not runs: ``tests/experiments`` reads them.
    """
    runs = [path for path in config_files(root) if path.relative_to(root / "configs").parts[0] not in EXPERIMENTS]
    chains = [config_chain(root, path) for path in runs]
    return [
        (" + ".join(config_name(root, path) for path in files), partial(check_config, root, files))
        for files in chains
        if len(files) > 1 or not is_part(root, files[0])
    ]


def run_check(check: Callable[[], str], verbose: bool) -> tuple[bool, str]:
    """Run a check with MONAI's output held back; return whether it passed, and the message.

    Any exception is a failure of the bundle: the code that raises is the bundle's own, or MONAI's over its configs.
    """
    chatter = io.StringIO()
    try:
        with redirect_stdout(chatter), redirect_stderr(chatter):
            return True, check()
    except Defect as defect:
        return False, str(defect)
    except Exception as raised:
        error: BaseException = raised
        details = "\n" + traceback.format_exc() + chatter.getvalue() if verbose else ""
        while error.__cause__:
            error = error.__cause__
        return False, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{details}"


def verify(root: Path, verbose: bool = False) -> int:
    """Run every check, print a line for each, and return the number of failures."""
    failures = 0
    for title, check in checks(root):
        passed, detail = run_check(check, verbose)
        failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'}  {title}: {detail}", flush=True)
    return failures


def main() -> int:
    """Read the command line and check; the exit code is 1 if a check failed."""
    parser = argparse.ArgumentParser(description="Check a MONAI bundle offline, as the model zoo does.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], help="folder of the bundle")
    parser.add_argument("--verbose", action="store_true", help="show tracebacks and the output of MONAI")
    parser.add_argument(
        "--state_checksums", action="store_true", help="first write the checksums of models/*.pt into the metadata"
    )
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    if arguments.state_checksums:
        state_checksums(root)
    sys.path.insert(0, str(root))
    logging.disable(logging.WARNING)
    failures = verify(root, arguments.verbose)
    print(f"{failures} checks failed" if failures else "all checks passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
