"""Entry point of every run: checks its options before anything is computed or written."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bundle.base import REDACTION
from bundle.errors import InputError, report_plainly
from bundle.io import DATA_SETS, LISTS, OR_FOLDER, meant_list, private_folder, private_list
from bundle.workflow.ending import adapt_tracking, remedy_of, running_workflow, stop_plainly
from bundle.workflow.option_kinds import check_epochs, check_values, leaves, read_switches
from bundle.workflow.option_names import (
    check_former_keys,
    check_former_names,
    check_names,
    configured_by,
    given_options,
)
from bundle.workflow.option_shapes import check_shapes
from bundle.workflow.option_use import check_used, check_weights_used, used_keys
from monai.bundle import ConfigWorkflow
from monai.utils import ensure_tuple

CHECKED = "bundle.workflow.check_options"
"""Target of the item of this module in configurations."""

_TRAININGS = ("training", "pretraining", "fine_tuning")


class CheckedWorkflow(ConfigWorkflow):
    """Workflow that checks the names of its options before MONAI merges them into the configurations.

    Without it, MONAI fails at an option below a key that does not exist, before :func:`check_options` runs.

    Args:
        config_file: configuration files.
        options: as for :class:`monai.bundle.ConfigWorkflow`.

    Raises:
        InputError: an option is misspelt, or a name is a former one.
    """

    def __init__(self, config_file: str | Sequence[str], **options: Any) -> None:
        report_plainly()
        if _is_command_line(sys.argv):
            _check_names_once(tuple(sys.argv[2:]))
        check_former_names([str(file) for file in ensure_tuple(config_file)], options)
        super().__init__(config_file, **options)


def check_options() -> None:
    """Check the options of the starting run.

    It is the first item of ``initialize``, where the bundle can already be imported, and of each list that is run.

    Errors are then reported in one line (:func:`bundle.errors.report_plainly`). Names are checked only in runs of
    MONAI's command line, since a run from Python may add its own keys; values are checked in both.

    Raises:
        InputError: an option is misspelt, has a former name or no effect, or its value is invalid.
    """
    report_plainly()
    workflow = running_workflow()
    configured = _check_names_once(tuple(sys.argv[2:])) if _is_command_line(sys.argv) else {}
    if workflow is None:
        return
    content = {key: value for key, value in workflow.parser.get().items() if key != workflow.parser.meta_key}
    check_former_keys(content)
    if _is_command_line(sys.argv):
        stop_plainly(remedy_of(content, used_keys(content, [str(workflow.run_id)])))
    if read_switches(content) | adapt_tracking(content) | _name_list(content):
        whole: Any = workflow.parser.config
        whole.update(content)
        workflow.parser.parse(reset=True)
    _hide_data_sets(workflow, content)
    _check_run_id(str(workflow.run_id), content)
    check_values(content)
    if configured and not _compared:
        _compared.append(True)
        check_shapes(given_options(sys.argv[2:]), configured, content)
        check_used(str(workflow.run_id), given_options(sys.argv[2:]), content)
    check_weights_used(workflow.run_id, content)
    if workflow.run_id in _TRAININGS or (workflow.run_id == "run" and "train" in content):
        check_epochs(content)


def _name_list(content: dict[str, Any]) -> bool:
    """Resolve a name of the form ``LIST|*`` to the list or the folder; return whether anything was replaced."""
    folder, name = content.get("dataset_dir"), content.get("datalist")
    if not isinstance(name, str) or not name.endswith(OR_FOLDER) or (folder and not _is_given(folder)):
        return False
    try:
        content["datalist"] = meant_list(folder or "", name)
    except InputError:  # reported where the list is read
        return False
    return True


def _hide_data_sets(workflow: ConfigWorkflow, content: Mapping[str, Any]) -> None:
    """Hide folders of data sets and names of lists in later logs and in MONAI's copy of the options.

    MONAI writes that copy, for experiment tracking, before any code of the bundle runs.
    """
    for path, value, _ in leaves(content):
        if path[-1] in DATA_SETS and _is_given(value):
            REDACTION.hide_folder(value, private_folder(value))
        elif path[-1] in LISTS and _is_given(value):
            REDACTION.hide_list(value.removesuffix(".json"), private_list(value))
    if isinstance(content.get("save_execute_config"), str):
        copy = Path(workflow.parser.get_parsed_content("save_execute_config"))
        if copy.is_file():
            copy.write_text(REDACTION.in_record(copy.read_text()))


def _is_given(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value[0] not in "@$%*"


_compared: list[bool] = []
"""Whether the options of the command line are compared: once, in the outermost run."""


@cache
def _check_names_once(arguments: tuple[str, ...]) -> dict[str, Any]:
    check_names(arguments)
    return configured_by(given_options(arguments))


def _check_run_id(run_id: str, content: Mapping[str, Any]) -> None:
    if isinstance(content.get(run_id), list | str):
        return
    lists = sorted(
        name
        for name, value in content.items()
        if isinstance(value, list) and CHECKED in str(value) and name != "initialize"
    )
    if not lists and not _is_command_line(sys.argv):
        return  # only inspected and run in parts, by MONAI's Python tools
    near = difflib.get_close_matches(run_id, lists, 1)
    known = f"Run one of {', '.join(lists)}." if lists else "It cannot be run; name another configuration."
    remedy = f"Did you mean {near[0]}?" if near else known
    msg = f"run_id: {run_id!r} is unknown in this configuration. {remedy}"
    raise InputError(msg)


def _is_command_line(argv: Sequence[str]) -> bool:
    program = Path(argv[0]) if argv else Path()
    is_bundle = program.name == "__main__.py" and program.parts[-3:-1] == ("monai", "bundle")
    return is_bundle and argv[1:2] in (["run"], ["run_workflow"])
