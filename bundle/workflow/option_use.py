"""Use of options: the keys of a configuration on which a run depends; options without effect are refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bundle.errors import InputError
from bundle.workflow.ending import TRACKER
from bundle.workflow.option_kinds import NO_WEIGHTS, is_of_weights, leaves
from bundle.workflow.option_names import is_of_monai
from monai.bundle import ReferenceResolver


def depended_on(
    content: Mapping[str, Any], parts: Sequence[str], skip: Callable[[tuple[str, ...]], bool] = lambda path: False
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield path and value of each plain value on which parts of a configuration depend, following references.

    Args:
        content: content of the configuration.
        parts: ids of the parts; unknown ids have no values.
        skip: predicate of a path whose value is ignored.
    """
    waiting, seen = list(parts), set[str]()
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        for path, value in _leaves_at(content, part):
            if skip(path):
                continue
            yield path, value
            waiting += _named_in(value)


def _named_in(value: Any) -> list[str]:
    """Ids of the parts to which a plain value refers, or that it repeats (``%``)."""
    if not isinstance(value, str):
        return []
    return [value[1:]] if value.startswith("%") else list(ReferenceResolver.match_refs_pattern(value))


def _leaves_at(content: Any, part: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Path and value of each plain value of a part of a configuration; none for an unknown part."""
    path = tuple(ReferenceResolver.split_id(part))
    try:
        for key in path:
            content = content[int(key) if isinstance(content, list) else key]
    except (KeyError, IndexError, TypeError, ValueError):
        return
    if not isinstance(content, dict | list):
        yield path, content
        return
    for below, value, _ in leaves(content, path):
        yield below, value


def used_keys(content: Mapping[str, Any], parts: Sequence[str]) -> set[str]:
    """Return the top-level keys on which parts of a configuration depend, including those of the parts.

    Args:
        content: content of the configuration.
        parts: ids of the parts.
    """
    found = {ReferenceResolver.split_id(part)[0] for part in parts}
    for path, value in depended_on(content, parts):
        found |= {path[0], *(ReferenceResolver.split_id(part)[0] for part in _named_in(value))}  # also of an empty list
    return found


def check_used(run_id: str, names: Iterable[str], content: Mapping[str, Any]) -> None:
    """Reject options without effect.

    Options of the whole job (``run``) are accepted by its parts as well: a plan or a pre-training is run with the
    options of the training.

    Args:
        run_id: id of the list that is run.
        names: names of the options of the command line.
        content: content of the configuration.

    Raises:
        InputError: neither the run nor the whole job uses an option.
    """
    used = used_keys(content, ["initialize", run_id, "run", "finalize"])
    keys = {name: ReferenceResolver.split_id(name.removeprefix("+"))[0] for name in names}
    idle = [name for name, key in keys.items() if key in content and key not in used and not is_of_monai(key)]
    if "tracking" in keys and not _is_tracked(content, used):
        idle.append("tracking")
    if idle:
        named = ", ".join(f"--{name}" for name in idle)
        msg = f"{named}: without effect in this run. Remove {'it' if len(idle) == 1 else 'them'}."
        raise InputError(msg)


def _is_tracked(content: Mapping[str, Any], used: Collection[str]) -> bool:
    """Whether MONAI has added its handler of experiment tracking to a part of the run."""
    return any(
        value == TRACKER
        for key in used
        if isinstance(content.get(key), dict | list)
        for _, value, _ in leaves(content[key])
    )


def check_weights_used(run_id: str, content: Mapping[str, Any]) -> None:
    """Reject weights that a run would not use.

    Args:
        run_id: id of the list that is run.
        content: content of the configuration.

    Raises:
        InputError: an option names weights to which nothing in the run refers.
    """
    chosen = {name: value for name, value in content.items() if is_of_weights(name) and isinstance(value, str)}
    given = [name for name, value in chosen.items() if value not in ("", NO_WEIGHTS)]
    used = used_keys(content, ["initialize", run_id, "finalize"]) if given else set()
    for name in given:
        if name not in used:
            others = [key for key in content if is_of_weights(key) and key in used]
            remedy = f"Pass weights with --{' or --'.join(others)}" if others else f"Remove --{name}"
            msg = f"--{name}: this run does not use {content[name]}. {remedy}."
            raise InputError(msg)
