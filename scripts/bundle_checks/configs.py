"""The configs of a bundle, and the commands that run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from monai.bundle import ConfigParser
from scripts.bundle_checks.contents import Defect, refuse

RUN = "monai.bundle run"
LAID = ("parts", "tasks", "variants")
EXPERIMENTS = ("experiment.yaml", "experiments")
RUN_OPTIONS = ("args_file", "config_file", "meta_file", "logging_file")


def config_files(root: Path) -> list[Path]:
    """Return every config of the bundle, including those in folders, except ``metadata.json``."""
    files = (path for path in sorted((root / "configs").rglob("*")) if path.suffix in (".json", ".yaml", ".yml"))
    return [path for path in files if path.name != "metadata.json"]


def named_config(root: Path, name: str) -> Path:
    """Return the config with a name, YAML or JSON; the latter may only refer to the YAML file."""
    found = [path for path in config_files(root) if path.stem == name]
    if found:
        return found[-1]
    msg = f"configs/{name}.json or configs/{name}.yaml: missing"
    raise Defect(msg)


def read_config(files: list[Path]) -> dict[str, Any]:
    """Read config files, later ones over earlier ones."""
    refuse([f"no config configs/{path.name}" for path in files if not path.is_file()])
    try:
        return dict(ConfigParser.load_config_files([str(path) for path in files]))
    except (ValueError, yaml.YAMLError) as error:
        msg = f"{files[-1].name} does not parse: {' '.join(str(error).split())}"
        raise Defect(msg) from error


class Command(NamedTuple):
    """A command line ``monai.bundle run ...`` in a document or a config's comment; files below ``configs``."""

    run_id: str
    files: list[str]
    options: list[str]


def commands(path: Path) -> list[Command]:
    """Return the commands with a config in a text, one per line, or continued by backslashes."""
    text = re.sub(r"\\\n[#\s]*", "", path.read_text(encoding="utf-8"))
    stated = [line.split(RUN, 1)[1].split("`")[0] for line in text.splitlines() if RUN in line]
    return [command for line in stated for command in [parse_command(line)] if command.files]


def parse_command(line: str) -> Command:
    """Parse the part of a command line after ``monai.bundle run``."""
    words = re.findall(r"\"[^\"]*\"|[^\s=]+", line)
    run_id = words[0] if words and not words[0].startswith("-") else "run"
    values: dict[str, str] = dict(zip(words, [*words[1:], ""], strict=False))
    given = values.get("--args_file", values.get("--config_file", ""))
    files = re.findall(r"(?:configs/)?([\w./-]+\.(?:json|ya?ml))", given)
    return Command(
        run_id, files, [word[2:] for word in values if word.startswith("--") and word[2:] not in RUN_OPTIONS]
    )


def config_name(root: Path, path: Path) -> str:
    """Return the name of a config below ``configs``."""
    return path.relative_to(root / "configs").as_posix()


def config_chain(root: Path, path: Path) -> list[Path]:
    """Return the configs run together with this one, by a command in its comments, preferably one that ends with it."""
    name = config_name(root, path)
    naming = [command.files for command in commands(path) if name in command.files]
    chosen = next(iter(sorted(naming, key=lambda files: files[-1] != name)), [name])
    return [root / "configs" / named for named in chosen]


def is_arguments(root: Path, path: Path) -> bool:
    """Whether a config is a file of command-line arguments: a job, which names the configs that it runs."""
    return path.is_relative_to(root / "configs" / "jobs")


def is_part(root: Path, path: Path) -> bool:
    """Whether a config is laid over others, by a job or by another config, and never run alone."""
    return path.relative_to(root / "configs").parts[0] in LAID


def whole_config(root: Path, files: list[Path]) -> ConfigParser:
    """Return the configs of a command; for a job those that it names, with its own values over them."""
    if len(files) != 1 or not is_arguments(root, files[0]):
        return ConfigParser(config=read_config(files))
    values = dict(ConfigParser.load_config_file(str(files[0])))
    named = values.pop("config_file", [])
    parser = ConfigParser(config=read_config([root / name for name in ([named] if isinstance(named, str) else named)]))
    parser.update(values)
    return parser


def configs_named_in(path: Path) -> list[str]:
    """Return the names below ``configs`` in a config, except in its comments."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#"))
    return [name for line in lines for name in re.findall(r"configs/([\w./-]+\.(?:json|ya?ml))", line)]
