"""The definitions of the experiments: configurations that say what is compared; nothing of how it is run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from bundle.errors import InputError, chain
from bundle.experiments.report import Experiment
from monai.bundle import ConfigParser

COMMON = "configs/experiment.yaml"
"""What all experiments have in common."""

DEFINITIONS = "configs/experiments"
"""Folder of the definitions, one a file."""

EXTENDS = "extends"
"""Key of a definition that names the one that it is laid over."""


def experiment_names(root: str | Path) -> list[str]:
    """Names of the experiments that are defined.

    Args:
        root: of the bundle.
    """
    return sorted(path.stem for path in (Path(root) / DEFINITIONS).glob("*.yaml"))


def read_definition(
    root: str | Path, name: str, output_dir: str, figures_dir: str, options: Mapping[str, Any] | None = None
) -> Experiment:
    """Read an experiment.

    Args:
        root: of the bundle.
        name: of the experiment, that of its file without ending.
        output_dir: of all experiments; each has a folder there.
        figures_dir: likewise, of the figures that are kept.
        options: overrides, by the id in the configuration that they replace (``epochs``, ``task#options#image_size``).

    Raises:
        InputError: there is no such experiment, or no such option.
    """
    parser = ConfigParser()
    parser.read_config([str(Path(root) / COMMON), *_chain(Path(root), name)])
    content = parser.get()
    unknown = [key for key in options or {} if key.split("#")[0] not in content]
    if unknown:
        raise InputError(f"{name}: there is no option {', '.join(unknown)}: it has {', '.join(sorted(content))}")
    folders = {"output_dir": f"{output_dir}/{name}", "figures_dir": f"{figures_dir}/{name}"}
    parser.update({**(options or {}), "name": name, **folders})
    try:
        found = parser.get_parsed_content("experiment")
    except RuntimeError as error:  # MONAI's, around that of a part
        cause = next((link for link in chain(error) if isinstance(link, InputError)), error)
        raise InputError(f"{name}: {cause}") from error
    assert isinstance(found, Experiment)
    return found


def typed(option: Any) -> Any:
    """An option of Snakemake's ``--config``, which has numbers, switches and nothing as text: as YAML means them.

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
    """Files of a definition, each laid over those before."""
    known = experiment_names(root)
    if name not in known:
        raise InputError(f"{DEFINITIONS}/{name}.yaml: there is no such experiment: choose of {', '.join(known)}")
    path = str(root / DEFINITIONS / f"{name}.yaml")
    below = ConfigParser.load_config_file(path).get(EXTENDS)
    return [*(_chain(root, below) if below else []), path]
