"""Checks of configs: their commands, references, expressions, targets, and the properties that MONAI requires."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from monai.bundle import ConfigComponent, ConfigExpression, ConfigItem, ConfigWorkflow, ReferenceResolver
from scripts.bundle_checks.configs import (
    Command,
    commands,
    config_files,
    config_name,
    configs_named_in,
    is_part,
    named_config,
    whole_config,
)
from scripts.bundle_checks.contents import Defect, refuse

WORKFLOWS = {"train": "train", "inference": "infer"}
REFERENCES = ReferenceResolver._vars


class StaticWorkflow(ConfigWorkflow):
    """A workflow whose properties are looked up in the config but not built: no data set, no network, no trainer."""

    def _get_property(self, name: str, property: dict) -> Any:
        try:
            found = self._get_prop_id(name, property)
        except KeyError as error:
            raise AttributeError(str(error)) from error
        return None if found is None else self.parser[found]


def check_parts(root: Path) -> str:
    """Check that every config that is laid over others is used by some job, in its run or in its evaluations."""
    parts = [config_name(root, path) for path in config_files(root) if is_part(root, path)]
    named = {name for path in config_files(root) for name in configs_named_in(path)}
    refuse([f"no config lays configs/{name} over others" for name in parts if name not in named])
    return f"{len(parts)} parts"


def check_commands(root: Path) -> str:
    """Check that the commands in documents and configs name existing configs, runs and options."""
    texts = [path for path in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if path.is_file()]
    stated = [(path, command) for path in [*texts, *config_files(root)] for command in commands(path)]
    refuse(
        [f"{path.relative_to(root)}: {defect}" for path, command in stated for defect in command_defects(root, command)]
    )
    return f"{len(stated)} commands"


def command_defects(root: Path, command: Command) -> list[str]:
    """Return the names in a command that its configs lack."""
    files = [root / "configs" / name for name in command.files]
    missing = [f"no config configs/{path.name}" for path in files if not path.is_file()]
    if missing:
        return missing
    parser = whole_config(root, files)
    named = [command.run_id, *command.options]
    return [f"{' + '.join(command.files)} has no '{name}'" for name in named if name not in parser]


def check_config(root: Path, files: list[Path]) -> str:
    """Check that a config parses, its references and names resolve, and its targets exist and accept the arguments."""
    parser = whole_config(root, files)
    parser.read_meta(str(root / "configs" / "metadata.json"))
    parser.parse()
    run = parser.get("run_id")
    refuse([] if run is None or run in parser else [f"no run {run!r}"])
    items = parser.ref_resolver.items
    known, names = set(items), {*dir(builtins), REFERENCES, *parser.globals, *imported_names(items.values())}
    refuse([defect for item in items.values() for defect in item_defects(item, known, names)])
    return f"{len(items)} items"


def imported_names(items: Iterable[ConfigItem]) -> set[str]:
    """Return the names that the import statements of a parsed config (``$import os``) give to its expressions."""
    texts = (item.get_config() for item in items if isinstance(item, ConfigExpression))
    imports = [ast.parse(text[1:]).body[0] for text in texts if ConfigExpression.is_import_statement(text)]
    aliases = [alias for node in imports if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    return {alias.asname or alias.name.split(".")[0] for alias in aliases}


def item_defects(item: ConfigItem, known: set[str], names: set[str]) -> list[str]:
    """Return the defects of one item of a config with the items ``known`` and the expression names ``names``."""
    if isinstance(item, ConfigComponent):
        return component_defects(item)
    text = item.get_config()
    references = ReferenceResolver.match_refs_pattern(text) if isinstance(text, str) else {}
    lost = [name for name in references if name not in known]
    if lost or not isinstance(item, ConfigExpression):
        return [f"{item.get_id()} refers to @{name}, which does not exist" for name in lost]
    return expression_defects(item.get_id(), ReferenceResolver.update_refs_pattern(text, references)[1:], names)


def expression_defects(name: str, code: str, names: set[str]) -> list[str]:
    """Return the defects of an expression: invalid syntax, unknown names, or an import of the bundle, too early."""
    try:
        nodes = list(ast.walk(ast.parse(code)))
    except SyntaxError as error:
        return [f"{name}: {error.msg} in '{code}'"]
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    if any(module.split(".")[0] == "bundle" for module in modules):
        return [f"{name}: '{code}' runs before the bundle is on the path; name its classes by _target_"]
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    bound = {node.arg for node in nodes if isinstance(node, ast.arg)}
    bound |= {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return [f"{name}: unknown name {lost} in '{code}'" for lost in sorted(used - bound - names)]


def component_defects(component: ConfigComponent) -> list[str]:
    """Return the defects of a component: a missing target, or refused arguments; targets by expressions are skipped."""
    name = component.resolve_module_name()
    if not isinstance(name, str) or name.startswith("$"):
        return []
    try:
        target = locate(name)
        signature = inspect.signature(target)
    except (AttributeError, ImportError) as error:
        return [f"{component.get_id()}: no target {name} ({error})"]
    except ValueError:
        return []
    whole = component.get_config().get("_mode_", "default") == "default"
    try:
        (signature.bind if whole else signature.bind_partial)(**component.resolve_args())
    except TypeError as error:
        return [f"{component.get_id()}: {name}: {error}"]
    return []


def locate(name: str) -> Any:
    """Return the object of a dotted name, imported as far as its modules go."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
                raise
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    msg = f"no module {parts[0]}"
    raise ImportError(msg)


def check_properties(root: Path, name: str) -> str:
    """Check that the workflow has the properties that MONAI requires of its kind, under the required names."""
    path = named_config(root, name)
    logs = str(root / "configs" / "logging.conf")
    workflow = StaticWorkflow(str(path), logging_file=logs, workflow_type=WORKFLOWS[name], bundle_root=str(root))
    workflow.parser.parse()
    try:
        wrong = workflow.check_properties()
    except (AttributeError, TypeError, KeyError) as error:
        msg = f"MONAI's check of the properties breaks on {path.name}: {error} (handlers are dicts behind a reference)"
        raise Defect(msg) from error
    refuse([f"{path.name}: missing or under a wrong name: {', '.join(wrong)}"] if wrong else [])
    return str(len(workflow.properties))
