"""The settings that define a training: written into its checkpoints, compared when it is resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from bundle.errors import InputError
from bundle.io import private_name, private_setting
from bundle.networks import file_label
from bundle.workflow.ending import running_workflow
from bundle.workflow.option_kinds import DEVICE, PATH, kind_of
from bundle.workflow.options import depended_on
from monai.bundle import ConfigParser

MAY_CHANGE = frozenset(
    (
        # how long: a training can be made longer
        *("epochs", "stage2_epochs", "pretraining_epochs", "max_epochs", "minutes", "resume"),
        # where it runs, and with how many processes that load
        *("device", "num_workers", "workers", "compiled", "channels_last", "follower"),
        # where things lie; the joints themselves are compared
        *("bundle_root", "dataset_dir", "packed", "sources_dir"),
        *("output_dir", "ckpt_dir", "log_dir", "montage_dir", "strict"),
        # what is written, and how often
        *("log_interval", "save_interval"),
    )
)
"""Keys of a configuration that a resumed training may have others of."""

SHOWN = 6
"""Changed settings that a message names."""


class RunSettings:
    """The settings that a training depends on, as a part of what checkpoints hold.

    They are found by following references from its trainers, schedules and the like through the configuration of the
    run that is starting. Outside of a run there are none, and nothing is compared. Handlers, which log and save, do not
    count.

    Args:
        parts: ids of these in the configuration.
        joints: that are trained on: they define the run, not the folder in which they lie.
    """

    def __init__(self, parts: Sequence[str], joints: Iterable[Mapping[str, Any]] = ()) -> None:
        self.values = running_settings(parts)
        if self.values:
            self.values |= {"joints": _joints_label(joints), "processes": idist.get_world_size()}

    def state_dict(self) -> dict[str, Any]:
        """The settings, plain values by their ids."""
        return dict(self.values)

    def load_state_dict(self, written: Mapping[str, Any]) -> None:
        """Compare the settings with those that a checkpoint was written with.

        Raises:
            InputError: one is another, with its name, the old and the new value.
        """
        changed = changes(written, self.values) if written and self.values else []
        if changed:
            more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
            raise InputError(f"{'; '.join(changed[:SHOWN])}{more}")


def running_settings(parts: Sequence[str]) -> dict[str, Any]:
    """:func:`settings_of` parts of the configuration of the run that is starting; none outside of a run."""
    workflow = running_workflow()
    return {} if workflow is None else settings_of(workflow.parser, parts)


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Each setting that differs, in words; those of which others are expressions first."""
    keys = sorted((key for key in old.keys() | new.keys() if old.get(key) != new.get(key)), key=_nesting)
    return [f"{key} was {old.get(key)!r} and is {new.get(key)!r}" for key in keys]


def _nesting(name: str) -> tuple[int, str]:
    return name.count("#"), name


def settings_of(parser: ConfigParser, parts: Sequence[str]) -> dict[str, Any]:
    """Plain values that parts of a configuration depend on, by their ids, without those that may change.

    Options of a declared kind that are expressions count by what they evaluate to.

    Args:
        parser: of the configuration.
        parts: their ids.
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
    """A value as it is compared and shown: weights by their content."""
    if kind_of(path) is PATH and isinstance(value, str) and value and Path(value).is_file():
        return file_label(Path(value))
    return discreet_value(path[-1], value)


def discreet_value(name: str, value: Any) -> Any:
    """A plain value that tells neither whose radiographs these are nor where they lie; of other values the type."""
    if isinstance(value, str):
        return private_name(private_setting(name, value), "")
    return value if value is None or isinstance(value, bool | int | float) else type(value).__name__


def _joints_label(joints: Iterable[Mapping[str, Any]]) -> str:
    """How many joints there are, and what tells them from others."""
    names = sorted(str(joint.get("name", "")) for joint in joints)
    return f"{len(names)} joints ({hashlib.sha256(repr(names).encode()).hexdigest()[:8]})"
