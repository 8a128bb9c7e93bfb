"""Provenance of a result: the command that produced it and the machine."""

from __future__ import annotations

import platform
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import monai
import torch
from bundle.base import REDACTION, read_json
from bundle.errors import InputError
from bundle.io.identity import private_setting


def command_line() -> str | None:
    """Return the command of this process as typed in a shell; None if not started by ``monai.bundle``.

    Absolute paths are cut to their last part, to hide the folders of the machine. Data sets and lists are named as by
    :func:`bundle.io.private_setting`.
    """
    program = Path(sys.argv[0])
    if (program.parent.name, program.name) != ("bundle", "__main__.py"):
        return None
    return " ".join(["python -m monai.bundle", *(_quoted(part) for part in _private_arguments(sys.argv[1:]))])


def _private_arguments(arguments: Sequence[str]) -> list[str]:
    """Arguments of a command line, with private values of options."""
    found, option = [], ""
    for argument in arguments:
        name, equals, value = argument.partition("=") if argument.startswith("--") else (option, "", argument)
        shown = REDACTION.in_record(private_setting(name.lstrip("-"), value)) if value else ""
        found.append(f"{name}{equals}{shown}" if argument.startswith("--") else shown)
        option = name if argument.startswith("--") and not equals else ""
    return found


def _quoted(argument: str) -> str:
    """An argument quoted for a shell; lists of names, which contain single quotes, in double quotes."""
    if "'" in argument and not set(argument) & set('"$`\\!'):
        return f'"{argument}"'  # noqa: B907
    return shlex.quote(argument)


def bundle_root() -> Path:
    """Root folder of configurations and weights: the checkout, or the installed package."""
    here = Path(__file__).parents[1]
    return here if (here / "configs").is_dir() else here.parent


def bundle_version(metadata: str | Path = "") -> str:
    """Read the version of the bundle from its metadata file; default: the file of this bundle.

    Raises:
        InputError: the file cannot be read.
    """
    metadata = metadata or bundle_root() / "configs" / "metadata.json"
    try:
        return str(read_json(metadata)["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{metadata}: the metadata of the bundle have no readable version ({error}). Restore the file."
        raise InputError(msg) from error


def processor() -> str:
    """Return the name of the CPU."""
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.is_file() else ""
    names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return names[0] if names else platform.processor() or platform.machine()


def machine(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Describe platform, CPU, device, threads and versions, for the results."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "platform": platform.platform(),
        "cpu": processor(),
        "device": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "monai": monai.__version__,
    }
