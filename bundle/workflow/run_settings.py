"""Settings that define a training or its results: stored with them, compared on resume."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from bundle.errors import InputError
from bundle.io import fingerprint, private_name, private_setting
from bundle.networks import file_digest, file_label
from bundle.workflow.ending import running_workflow
from bundle.workflow.option_kinds import DEVICE, PATH, is_of_weights, kind_of
from bundle.workflow.option_names import present_names
from bundle.workflow.option_use import depended_on
from monai.bundle import ConfigParser

MAY_CHANGE = frozenset(
    (
        # duration: a training can be extended
        *("epochs", "stage2_epochs", "pretraining_epochs", "max_epochs", "minutes", "resume"),
        # device and number of loading processes
        *("device", "runtime", "network_runtime", "num_workers", "workers", "compiled", "channels_last", "follower"),
        # folders; the joints themselves are compared
        *("bundle_root", "dataset_dir", "packed", "sources_dir", "labels_dir"),
        *("output_dir", "ckpt_dir", "log_dir", "montage_dir", "strict"),
        # intervals of output
        *("log_interval", "save_interval"),
    )
)
"""Keys of a configuration that may change on resume."""

FREE_OF_RESULTS = MAY_CHANGE | {"batch_size", "layers_dir"}
"""Keys of a configuration that may change when results are resumed."""

FILES = ("load_path", "plausibility_reference", "uncertainty_calibration")
"""Keys of files on whose content results depend."""

SHOWN = 6
"""Maximum number of changed settings in a message."""


class EarlierVersionError(InputError):
    """Error about settings with former names, which cannot be passed to this version."""


class RunSettings:
    """Settings on which a training depends, as part of its checkpoints.

    They are found by following references from its trainers, schedules and similar parts through the configuration of
    the starting run. Outside a run there are none, and nothing is compared. Handlers, which log and save, are excluded.

    Args:
        parts: ids of these parts in the configuration.
        joints: items of the training; they define the run, their folder does not.
    """

    def __init__(self, parts: Sequence[str], joints: Iterable[Mapping[str, Any]] = ()) -> None:
        self.values = running_settings(parts)
        if self.values:
            self.values |= {"joints": _joints_label(joints), "processes": idist.get_world_size()}

    def state_dict(self) -> dict[str, Any]:
        """Return the settings, plain values by id."""
        return dict(self.values)

    def load_state_dict(self, written: Mapping[str, Any]) -> None:
        """Compare the settings with those of a checkpoint.

        Raises:
            EarlierVersionError: a setting has a former name; the message states the present one.
            InputError: a setting differs; the message states its name, the old and the new value.
        """
        changed = changes(written, self.values) if written and self.values else []
        if changed and (former := former_names(written, self.values)):
            raise EarlierVersionError(f"it is from an earlier version: {'; '.join(former)}")
        if changed:
            more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
            raise InputError(f"{'; '.join(changed[:SHOWN])}{more}")


def running_settings(parts: Sequence[str]) -> dict[str, Any]:
    """Collect :func:`settings_of` parts of the starting run's configuration; empty outside a run."""
    workflow = running_workflow()
    return {} if workflow is None else settings_of(workflow.parser, parts)


def results_run(settings: Mapping[str, Any], defined_by: Sequence[str] = ()) -> str:
    """Serialize the settings of results and the options on which these depend, for :func:`bundle.io.reserve_output`.

    The options are those of the starting run's configuration; outside a run there are none, and they are not compared.
    Files count by their content. The separator's weights are excluded, since the results state the separator, and so
    are :data:`FREE_OF_RESULTS`.

    Args:
        settings: settings of the run.
        defined_by: ids of the parts of the configuration that make the results.
    """
    workflow = running_workflow()
    if workflow is None:
        return fingerprint(settings)
    found = depended_on(workflow.parser.get(), defined_by, _is_free_of_results)
    return fingerprint(settings, {"#".join(path): _defining(workflow.parser, path, value) for path, value in found})


def _is_free_of_results(path: tuple[str, ...]) -> bool:
    return any(key in FREE_OF_RESULTS or key.endswith("handlers") for key in path) or is_of_weights(path[0])


def _defining(parser: ConfigParser, path: tuple[str, ...], value: Any) -> Any:
    """A value as compared: a file by its content, an option by its value."""
    if path[-1] not in FILES or not isinstance(value, str):
        return _kept(path, _evaluated(parser, path, value))
    file: Any = parser.ref_resolver.get_resolved_content("#".join(path)) if value.startswith(("$", "@")) else value
    is_file = isinstance(file, str) and Path(file).is_file()
    return f"sha256 {file_digest(Path(file))}" if is_file else discreet_value(path[-1], file)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each differing setting; those on which other settings depend come first."""
    keys = sorted((key for key in old.keys() | new.keys() if old.get(key) != new.get(key)), key=_nesting)
    return [f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in keys]


def former_names(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each top-level key of ``old`` that has another name in ``new``."""
    before, after = ({key.partition("#")[0] for key in settings} for settings in (old, new))
    present = {key: present_names(key, after - before) for key in sorted(before)}
    return [f"{key} is now {' or '.join(names)}" for key, names in present.items() if names]


def _nesting(name: str) -> tuple[int, str]:
    return name.count("#"), name


def settings_of(parser: ConfigParser, parts: Sequence[str]) -> dict[str, Any]:
    """Collect the plain values on which parts of a configuration depend, by id, without those that may change.

    Expressions of options of a declared kind are replaced by their values.

    Args:
        parser: parser of the configuration.
        parts: ids of the parts.
    """
    return {
        "#".join(path): _kept(path, _evaluated(parser, path, value))
        for path, value in depended_on(parser.get(), parts, _may_change)
    }


def _may_change(path: tuple[str, ...]) -> bool:
    return any(key in MAY_CHANGE or key.endswith("handlers") for key in path)


def _evaluated(parser: ConfigParser, path: tuple[str, ...], value: Any) -> Any:
    is_option = len(path) == 1 and kind_of(path) not in (None, DEVICE, PATH)
    is_expression = isinstance(value, str) and value.startswith(("$", "@"))
    return parser.ref_resolver.get_resolved_content(path[0]) if is_option and is_expression else value


def _kept(path: tuple[str, ...], value: Any) -> Any:
    """A value as compared and shown; weights files by their content."""
    if kind_of(path) is PATH and isinstance(value, str) and value and Path(value).is_file():
        return file_label(Path(value))
    return discreet_value(path[-1], value)


def discreet_value(name: str, value: Any) -> Any:
    """Return a plain value without identity and folders; for other values the name of the type."""
    if isinstance(value, str):
        return private_name(private_setting(name, value), "")
    return value if value is None or isinstance(value, bool | int | float) else type(value).__name__


def _joints_label(joints: Iterable[Mapping[str, Any]]) -> str:
    """The number of joints and a checksum of their names."""
    names = sorted(str(joint.get("name", "")) for joint in joints)
    return f"{len(names)} joints ({hashlib.sha256(repr(names).encode()).hexdigest()[:8]})"
