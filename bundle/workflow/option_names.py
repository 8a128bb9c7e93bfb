"""Names of options: misspelt and former ones are refused, with the names that are meant."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pydoc import locate
from typing import Any

from bundle.errors import InputError
from monai.bundle import ComponentLocator, ConfigParser, ReferenceResolver
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS, merge_kv

RUN_ARGUMENTS = {
    *("args_file", "config_file", "final_id", "init_id", "logging_file", "meta_file", "properties_path", "run_id"),
    *("tracking", "workflow_name", "workflow_type"),
}
"""Arguments of MONAI's own command line."""

_MLFLOW: Any = DEFAULT_EXP_MGMT_SETTINGS["mlflow"]
TRACKING_ARGUMENTS = {*_MLFLOW["configs"], "output_dir"}
"""Keys that MONAI's experiment tracking adds."""

FORMER: dict[str, tuple[str, ...]] = {
    "blur": ("blur_px",),
    "changes": ("changes_mm",),
    "joint_space": ("joint_space_mm",),
    "jsw": ("joint_space_mm",),
    "rotation": ("rotation_deg", "rotation_rad"),
    "sideways": ("sideways_mm",),
    "sigma": ("sigma_px",),
    "translation": ("translation_px",),
    "turning": ("rotation_deg",),
    "within": ("within_px",),
}
"""Keys of earlier versions with the keys that replaced them, in one configuration or component or another.

A key counts as a former name only beside a key that replaced it, so that other components may have such a key.
"""

_COMPONENT_KEYS = {"_target_", "_disabled_", "_requires_", "_desc_", "_mode_"}


def given_options(arguments: Sequence[str]) -> dict[str, str]:
    """Parse the options of a command line as Fire does, ``--key value`` and ``--key=value``, to texts.

    >>> given_options(["training", "--config_file", "a.yaml", "--noise#lowest=-1", "--strict"])
    {'config_file': 'a.yaml', 'noise#lowest': '-1', 'strict': 'True'}

    Args:
        arguments: arguments after ``run``.
    """
    found: dict[str, str] = {}
    rest = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    while rest:
        argument = rest.pop(0)
        if not _is_option(argument):
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        if not equals:
            value = rest.pop(0) if rest and not _is_option(rest[0]) else "True"
        found[name.replace("-", "_")] = value
    return found


def _is_option(argument: str) -> bool:
    return re.match(r"--|-[a-zA-Z]", argument) is not None


def check_names(arguments: Sequence[str]) -> None:
    """Reject former names in the files of a command line, and options that are not keys of its configurations.

    Args:
        arguments: arguments after ``run``.

    Raises:
        InputError: a name is a former one, or an option names no key; the message suggests the nearest one.
    """
    given = given_options(arguments)
    args = _files(given.get("args_file"))
    check_former_names([*_config_files(given, _content_of(args)), *args], given)
    content = configured_by(given)
    faults = [fault for name in given if (fault := _fault(name, content))]
    if faults:
        raise InputError(" ".join(faults))


def configured_by(given: Mapping[str, str]) -> dict[str, Any]:
    """Return the content of the configurations that a command line names, with the keys of its arguments file.

    Args:
        given: options of the command line (:func:`given_options`).
    """
    args = _content_of(_files(given.get("args_file")))
    parser = ConfigParser(config=ConfigParser.load_config_files(_config_files(given, args)))
    for key, value in args.items():
        merge_kv(parser, key, value)
    return dict(parser.get())


def _content_of(files: Sequence[str]) -> dict[str, Any]:
    """Keys of arguments files."""
    content: dict[str, Any] = {}
    for file in files:
        content |= ConfigParser.load_config_file(file)
    return content


def _config_files(given: Mapping[str, str], args: Mapping[str, Any]) -> list[str]:
    return _files(given["config_file"]) if "config_file" in given else _files(args.get("config_file"))


def _files(text: Any) -> list[str]:
    """Paths in the forms of MONAI's command line: one, several with commas, or a list."""
    if not isinstance(text, str):
        return list(text or [])
    return [part.strip(" '\"") for part in text.strip().strip("[]()").split(",") if part.strip(" '\"")]


def check_former_names(files: Sequence[str], options: Iterable[str] = ()) -> None:
    """Reject former names at the top of configuration files and in options, before MONAI merges them.

    Args:
        files: configuration files of a run, and its arguments file.
        options: names of its options.

    Raises:
        InputError: a key of a file or an option has a former name; the message states the present one.
    """
    keys = {file: list(ConfigParser.load_config_file(file)) for file in files}
    known = {_path(key)[0] for of_file in keys.values() for key in of_file}
    stated = [(f"{file}: ", "", key) for file, of_file in keys.items() for key in of_file]
    stated += [("", "--", name) for name in options]
    faults = [f"{where}{fault}" for where, dashes, name in stated if (fault := _former(_path(name), 0, known, dashes))]
    if faults:
        raise InputError(" ".join(faults))


def check_former_keys(content: Mapping[str, Any]) -> None:
    """Reject former names at the top of a configuration and among the arguments of its components.

    Args:
        content: content of the configuration.

    Raises:
        InputError: a key has a former name; the message states the present one.
    """
    faults = [fault for path, known in _beside(content) if (fault := _former(path, len(path) - 1, known, ""))]
    if faults:
        raise InputError(" ".join(faults))


def _beside(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Collection[str]]]:
    """Yield the path of each key in :data:`FORMER`, and the keys or arguments that exist in its place."""
    items = content if isinstance(content, list) else ()
    pairs = list(content.items() if isinstance(content, Mapping) else enumerate(items))
    former = [str(key) for key, _ in pairs if key in FORMER]
    if former:
        known = {*content} if not path else _arguments(str(content.get("_target_"))) or ()
        yield from (((*path, key), known) for key in former if not path or key not in known)
    for key, value in pairs:
        yield from _beside(value, (*path, str(key)))


def _path(name: str) -> list[str]:
    return ReferenceResolver.split_id(name.removeprefix("+"))


def present_names(key: str, known: Collection[str]) -> list[str]:
    """Return the known keys that replaced a former one; none for any other key."""
    return [name for name in FORMER.get(key, ()) if name in known]


def _former(path: Sequence[str], depth: int, known: Collection[str], dashes: str) -> str:
    """The fault of a name whose key at a depth is a former one; empty for another name."""
    renamed = ([*path[:depth], name, *path[depth + 1 :]] for name in present_names(path[depth], known))
    names = " or ".join(dashes + "#".join(name) for name in renamed)
    return f"{dashes}{'#'.join(path)} is now {names}. Rename it." if names else ""


def is_of_monai(key: str) -> bool:
    """Whether a top-level key is one of MONAI's command line, experiment tracking or metadata."""
    return key in RUN_ARGUMENTS | TRACKING_ARGUMENTS or key == ConfigParser.meta_key


def _fault(name: str, content: dict[str, Any]) -> str:
    """The fault in the name of an option; empty for a known key."""
    keys = _path(name)
    if is_of_monai(keys[0]) and (len(keys) == 1 or keys[0] == ConfigParser.meta_key):
        return ""
    here: Any = content
    for depth, key in enumerate(keys):
        known = {*content} if depth == 0 else _known(here)
        if known is not None and (former := _former(keys, depth, known, "--")):
            return former
        if known is not None and key not in known:
            return _unknown(name, keys[:depth], key, known | (RUN_ARGUMENTS if depth == 0 else set()))
        here = _below(here, key)
    return ""


def _unknown(name: str, parents: Sequence[str], key: str, known: set[str]) -> str:
    near = difflib.get_close_matches(key, sorted(known), 1)
    meant = "#".join([*parents, *near])
    remedy = f"Did you mean --{meant}?" if near else "See the keys of the configurations."
    return f"--{name} is not an option of this run. {remedy}"


def _below(here: Any, key: str) -> Any:
    """Value at a key; None for a new key or a reference."""
    if isinstance(here, list):
        return here[int(key)]
    return here.get(key) if isinstance(here, dict) else None


def _known(here: Any) -> set[str] | None:
    """Keys that a value of a configuration accepts; None for any."""
    if isinstance(here, list):
        return {str(index) for index in range(len(here))}
    if not isinstance(here, dict):
        return None
    if "_target_" in here:
        taken = _arguments(str(here["_target_"]))
        return None if taken is None else {*here, *taken, *_COMPONENT_KEYS}
    return {*here} if any(isinstance(value, dict) and "_target_" in value for value in here.values()) else None


def _arguments(target: str) -> set[str] | None:
    """Names of the arguments of a component; None if it accepts any or is not found."""
    modules = [] if "." in target else ComponentLocator().get_component_module_name(target) or []
    module = modules[0] if isinstance(modules, list) and modules else modules
    found: Any = locate(f"{module}.{target}" if module else target)
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return None
    return set(parameters)
