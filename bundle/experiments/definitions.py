"""Definitions of the experiments: configurations of what is compared, independent of how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from bundle.errors import InputError, chain
from bundle.experiments.report import Experiment
from monai.bundle import ConfigParser

COMMON = "configs/experiment.yaml"
"""Settings common to all experiments."""

DEFINITIONS = "configs/experiments"
"""Folder of the definitions, one per file."""

EXTENDS = "extends"
"""Key of a definition that names the one it extends."""


def experiment_names(root: str | Path) -> list[str]:
    """Return the names of the defined experiments.

    Args:
        root: root of the bundle.
    """
    return sorted(path.stem for path in (Path(root) / DEFINITIONS).glob("*.yaml"))


def read_definition(
    root: str | Path, name: str, output_dir: str, figures_dir: str, options: Mapping[str, Any] | None = None
) -> Experiment:
    """Read an experiment.

    Args:
        root: root of the bundle.
        name: name of the experiment, the stem of its file.
        output_dir: output folder of all experiments; each has a folder in it.
        figures_dir: folder of the stored figures of all experiments; each has a folder in it.
        options: overrides, by the id in the configuration that they replace (``epochs``, ``task#options#image_size``).

    Raises:
        InputError: there is no such experiment, or no such option.
    """
    parser = ConfigParser()
    parser.read_config([str(Path(root) / COMMON), *_chain(Path(root), name)])
    content = parser.get()
    unknown = [key for key in options or {} if key.split("#")[0] not in content]
    if unknown:
        raise InputError(f"{name}: there is no option {', '.join(unknown)}. Choose from {', '.join(sorted(content))}.")
    folders = {"output_dir": f"{output_dir}/{name}", "figures_dir": f"{figures_dir}/{name}"}
    parser.update({**(options or {}), "name": name, **folders})
    try:
        found = parser.get_parsed_content("experiment")
    except RuntimeError as error:  # MONAI wraps the error of a component
        cause = next((link for link in chain(error) if isinstance(link, InputError)), error)
        raise InputError(f"{name}: {cause}") from error
    assert isinstance(found, Experiment)
    return found


def typed(option: Any) -> Any:
    """Convert an option of Snakemake's ``--config``, which passes numbers, switches and null as text, by YAML rules.

    >>> typed({"epochs": "3", "amp": "false", "scorer_options": "{'widen_factor': 0.5}"})
    {'epochs': 3, 'amp': False, 'scorer_options': "{'widen_factor': 0.5}"}
    """
    if isinstance(option, Mapping):
        return {name: typed(value) for name, value in option.items()}
    if isinstance(option, list):
        return [typed(value) for value in option]
    meant = yaml.safe_load(option) if isinstance(option, str) else option
    return meant if isinstance(meant, (int, float, str)) or meant is None else option


def _chain(root: Path, name: str) -> list[str]:
    """Return the files of a definition, each overriding those before it."""
    known = experiment_names(root)
    if name not in known:
        raise InputError(f"{DEFINITIONS}/{name}.yaml: no such experiment. Choose one of {', '.join(known)}.")
    path = str(root / DEFINITIONS / f"{name}.yaml")
    below = ConfigParser.load_config_file(path).get(EXTENDS)
    return [*(_chain(root, below) if below else []), path]
