"""Configurations that extend another one, for cases in which MONAI reads a single file of a fixed name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bundle.workflow.ending import running_workflow
from monai.bundle import ConfigParser

INITIALIZE = "initialize"


def extend_config(base: str, without: Sequence[str] = ()) -> None:
    """Extend a base configuration by the starting one; an item of its ``initialize``.

    Values of the starting one take precedence, key by key for mappings without ``_target_``. The ``initialize`` items
    of the base follow its own. An extended configuration is left unchanged.

    Args:
        base: name of the base file, in the folder of the configuration.
        without: keys of the base that are omitted.
    """
    workflow = running_workflow()
    if workflow is None:
        return
    content = dict(workflow.parser.get())
    below = ConfigParser.load_config_file(workflow.config_root_path / base)
    below = {key: value for key, value in below.items() if key not in without}
    first, then = content.get(INITIALIZE, []), below.pop(INITIALIZE, [])
    below[INITIALIZE] = [*first, *(item for item in then if item not in first)]
    whole = laid_over(below, {key: value for key, value in content.items() if key != INITIALIZE})
    if whole != content:
        workflow.parser.set(whole)
        workflow.initialize()


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the content of one configuration over that of another.

    >>> laid_over({"network": {"depth": 3, "width": 4}}, {"network": {"width": 8}})
    {'network': {'depth': 3, 'width': 8}}
    """
    whole = dict(below)
    for key, value in above.items():
        is_part = isinstance(value, dict) and isinstance(whole.get(key), dict) and "_target_" not in value
        whole[key] = laid_over(whole[key], value) if is_part else value
    return whole
