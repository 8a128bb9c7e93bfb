"""Check a bundle offline like the MONAI model zoo's own checker, one line per check; exit code 1 if any fails.

``meta_schema_20240725.json`` beside this file is MONAI's published schema of ``metadata.json``, unchanged, so that no
check needs the network.

    python scripts/verify_bundle.py [BUNDLE_ROOT]
"""

from __future__ import annotations

import argparse
import ast
import builtins
import hashlib
import importlib
import inspect
import io
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import torch
import yaml
from monai.bundle import (
    ConfigComponent,
    ConfigExpression,
    ConfigItem,
    ConfigParser,
    ConfigWorkflow,
    ReferenceResolver,
    ckpt_export,
    onnx_export,
    verify_net_in_out,
)
from torch import Tensor, nn
from torch.nn import functional as F

SCHEMA = Path(__file__).with_name("meta_schema_20240725.json")
NECESSARY = ("configs/metadata.json", "LICENSE")
PREFERRED = ("models/model.pt", "configs/inference.json", "configs/logging.conf")
CARDS = ("docs/README.md", "docs/model_card.md")
LICENCE = "docs/data_license.txt"
HEADINGS = (
    "# Model Overview",
    "## Data",
    "## Training configuration",
    "### Input",
    "### Output",
    "## Performance",
    "## MONAI Bundle Commands",
    "# References",
    "# License",
)
UNFINISHED = ("TODO", "FIXME", "TBD")
LARGE = 25 * 2**20
LARGE_FILE_KEYS = ("path", "url", "hash_val", "hash_type")
FRAMEWORKS = {"monai_version": "monai", "pytorch_version": "torch", "numpy_version": "numpy"}
WORKFLOWS = {"train": "train", "inference": "infer"}
REFERENCES = ReferenceResolver._vars
TOLERANCE = 1e-5
ONNX_TOLERANCE = 5e-5
BLOB = 16
ONNX_ARGUMENTS = "configs/jobs/export_onnx.yaml"
RUN = "monai.bundle run"
LAID = ("parts", "tasks", "variants")
EXPERIMENTS = ("experiment.yaml", "experiments")
RUN_OPTIONS = ("args_file", "config_file", "meta_file", "logging_file")


class Defect(ValueError):
    """A defect of the bundle on which the zoo's checker, or a user, would stumble."""


class StaticWorkflow(ConfigWorkflow):
    """A workflow whose properties are looked up in the config but not built: no data set, no network, no trainer."""

    def _get_property(self, name: str, property: dict) -> Any:
        try:
            found = self._get_prop_id(name, property)
        except KeyError as error:
            raise AttributeError(str(error)) from error
        return None if found is None else self.parser[found]


def refuse(defects: list[str]) -> None:
    """Raise all defects as one; do nothing if there are none."""
    if defects:
        raise Defect("; ".join(defects))


def metadata(root: Path) -> dict[str, Any]:
    """Read the bundle's ``configs/metadata.json``."""
    path = root / "configs" / "metadata.json"
    if not path.is_file():
        msg = f"{path}: missing"
        raise Defect(msg)
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        msg = f"{path}: not a JSON object: {error}"
        raise Defect(msg) from error


def large_files(root: Path) -> dict[str, dict[str, str]]:
    """Read the entries of the bundle's ``large_files.yml`` (or .yaml, .json) by path; none without such a file."""
    for path in (root / f"large_files.{suffix}" for suffix in ("yml", "yaml", "json")):
        if path.is_file():
            entries = yaml.safe_load(path.read_text(encoding="utf-8"))["large_files"]
            return {str(entry.get("path")): entry for entry in entries}
    return {}


NOT_SUBMITTED = ("bundle/reading_room/",)
"""Folders of the repository that are not submitted to the zoo: their program and requirements are not, either."""


def bundle_files(root: Path) -> Iterator[Path]:
    """Yield the files of a submission to the zoo: those git does not ignore, or without git all but hidden ones."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
        yield from (root / name for name in listed if name and (root / name).is_file())
        return
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(folder) / name for name in names)


def check_files(root: Path) -> str:
    """Check that necessary and preferred files exist (or are downloadable), and that model.pt is named as expected."""
    downloadable = large_files(root)
    wanted = (*NECESSARY, *PREFERRED)
    refuse([f"missing {name}" for name in wanted if name not in downloadable and not (root / name).is_file()])
    weights = sorted((path.name for path in (root / "models").glob("*.pt")), key=len)
    if weights and weights[0] != "model.pt":
        msg = f"models/{weights[0]}: a shorter name than model.pt, and MONAI Label loads the shortest. Rename it."
        raise Defect(msg)
    return f"{len(wanted)} files"


def check_large_files(root: Path) -> str:
    """Check that files above 25 MB are in ``large_files.yml``, with complete entries and correct hashes."""
    entries = large_files(root)
    defects = [defect for name, entry in entries.items() for defect in large_file_defects(root / name, entry)]
    for path in bundle_files(root):
        size, name = path.stat().st_size, path.relative_to(root).as_posix()
        if size > LARGE and name not in entries:
            defects.append(f"{name} has {size / 2**20:.0f} MB and no entry in large_files.yml")
    refuse(defects)
    return f"{len(entries)} listed"


def large_file_defects(path: Path, entry: dict[str, str]) -> list[str]:
    """Return the keys that an entry of ``large_files.yml`` lacks, or the mismatch of its hash with a local file."""
    missing = [key for key in LARGE_FILE_KEYS if not entry.get(key)]
    if missing:
        return [f"large_files.yml: the entry of {path.name} lacks {', '.join(missing)}"]
    if path.is_file() and hashlib.new(entry["hash_type"], path.read_bytes()).hexdigest() != entry["hash_val"]:
        return [f"{path.name} does not have the {entry['hash_type']} of large_files.yml"]
    return []


def check_documents(root: Path) -> str:
    """Check that the model card follows the zoo's template and is finished, and that the data licence is not empty.

    The card is ``docs/model_card.md`` in the repository, whose README MONAI's ``push_to_hf_hub`` would replace by
    ``docs/README.md``; ``scripts/package_bundle.py`` makes the latter from it.
    """
    name = model_card(root)
    refuse([f"missing {wanted}" for wanted in (name, LICENCE) if not (root / wanted).is_file()])
    card, licence = ((root / wanted).read_text(encoding="utf-8") for wanted in (name, LICENCE))
    defects = [f"{name}: no heading '{heading}'" for heading in HEADINGS if heading not in card.splitlines()]
    defects += [f"{name}: unfinished, it contains {word}" for word in UNFINISHED if word in card]
    defects += [] if licence.strip() else ["docs/data_license.txt is empty"]
    refuse(defects)
    return f"{len(HEADINGS)} sections"


def model_card(root: Path) -> str:
    """Return the name of the model card: the zoo's, unless the bundle only has that of the repository."""
    return next((name for name in CARDS if (root / name).is_file()), CARDS[0])


def check_schema(root: Path) -> str:
    """Check that the metadata are valid by MONAI's schema and name it."""
    named = str(metadata(root).get("schema", "")).rsplit("/", 1)[-1]
    if named != SCHEMA.name:
        msg = f"configs/metadata.json: schema is '{named}'. Set it to the address of {SCHEMA.name}."
        raise Defect(msg)
    validator = jsonschema.Draft201909Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    refuse([f"{error.json_path}: {error.message}" for error in validator.iter_errors(metadata(root))])
    return named


def weights_sha256(root: Path) -> dict[str, str]:
    """Return the SHA-256 of the local weights, by file name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((root / "models").glob("*.pt"))}


def check_weights(root: Path) -> str:
    """Check the checksums of the weights against the metadata, by which inference detects a damaged file."""
    stated = {name: entry.get("sha256") for name, entry in metadata(root).get("weights", {}).items()}
    found = weights_sha256(root)
    remedy = (
        f"restore the file, or state a new one's checksum by python scripts/{Path(__file__).name} --state_checksums"
    )
    defects = [
        f"models/{name} has the sha256 {found[name]}, metadata.json states {stated.get(name)}: {remedy}"
        for name in found
        if found[name] != stated.get(name)
    ]
    downloaded = large_files(root)
    lost = [
        f"models/{name} is missing, metadata.json states its checksum: {remedy}"
        for name in stated
        if name not in found and f"models/{name}" not in downloaded
    ]
    refuse(defects + lost + calibration_defects(root, {**stated, **found}))
    return ", ".join(f"{name} {sha256[:12]}" for name, sha256 in found.items())


def calibration_defects(root: Path, found: dict[str, str]) -> list[str]:
    """Return whether the shipped expected errors were calibrated for other weights."""
    path = root / "models" / "uncertainty.json"
    if not path.is_file():
        return []
    separator = json.loads(path.read_text(encoding="utf-8")).get("separator", "")
    shipped = [f"{name} (sha256 {sha256[:12]})" for name, sha256 in found.items()]
    remedy = "calibrate anew by configs/jobs/calibrate.yaml with --output_dir models"
    return [] if separator in shipped else [f"models/uncertainty.json is of {separator}, not of {shipped}: {remedy}"]


def state_checksums(root: Path) -> None:
    """Write the checksums of the local weights into the metadata."""
    described = metadata(root)
    described["weights"] = {name: {"sha256": sha256} for name, sha256 in weights_sha256(root).items()}
    text = json.dumps(described, indent=4, ensure_ascii=False) + "\n"
    (root / "configs" / "metadata.json").write_text(text, encoding="utf-8")


def check_version(root: Path) -> str:
    """Check that the bundle's version has an entry in its changelog."""
    version, changelog = metadata(root).get("version"), metadata(root).get("changelog", {})
    if version not in changelog:
        msg = f"configs/metadata.json: no entry for version {version} in changelog, only {sorted(changelog)}. Add one."
        raise Defect(msg)
    return str(version)


def metadata_pins(root: Path) -> dict[str, str]:
    """Return the package versions of the metadata, by lower-case name, including frameworks."""
    described = metadata(root)
    pins = {package: described[key] for key, package in FRAMEWORKS.items() if key in described}
    return {**pins, **{name.lower(): version for name, version in described["required_packages_version"].items()}}


def requirement_pins(path: Path) -> dict[str, str]:
    """Return the package versions of a requirements file, by lower-case name."""
    lines = (line.split("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    parts = (line.partition("==") for line in lines if line)
    return {name.strip().lower(): version.strip() for name, _, version in parts}


def check_requirements(root: Path) -> str:
    """Check that ``requirements.txt`` and the metadata pin the same packages to the same versions."""
    described, required = metadata_pins(root), requirement_pins(root / "requirements.txt")
    defects = [
        f"{name}: {described.get(name, 'none')} in metadata.json, {required.get(name, 'none')} in requirements.txt"
        for name in sorted({*described, *required})
        if described.get(name) != required.get(name)
    ]
    refuse(defects)
    return f"{len(required)} pins"


def imported_modules(source: Path) -> set[str]:
    """Return the top-level names of the modules that a Python file imports."""
    nodes = list(ast.walk(ast.parse(source.read_text(encoding="utf-8"), filename=str(source))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in plain | named}


def check_imports(root: Path) -> str:
    """Check that every third-party import of the library is pinned, because the zoo installs nothing else."""
    sources = [
        source
        for source in sorted((root / "bundle").rglob("*.py"))
        if not source.relative_to(root).as_posix().startswith(NOT_SUBMITTED)
    ]
    own = {*sys.stdlib_module_names, "bundle"}
    modules = {module: source for source in sources for module in imported_modules(source) if module not in own}
    pins, distributions = set(metadata_pins(root)), packages_distributions()
    defects = [
        f"{source.relative_to(root)} imports {module}, which metadata.json does not pin"
        for module, source in sorted(modules.items())
        if not pins & {name.lower() for name in distributions.get(module, [module])}
    ]
    refuse(defects)
    return f"{', '.join(sorted(modules)) or 'none'}"


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


def check_parts(root: Path) -> str:
    """Check that every config that is laid over others is used by some job, in its run or in its evaluations."""
    parts = [config_name(root, path) for path in config_files(root) if is_part(root, path)]
    named = {name for path in config_files(root) for name in configs_named_in(path)}
    refuse([f"no config lays configs/{name} over others" for name in parts if name not in named])
    return f"{len(parts)} parts"


def configs_named_in(path: Path) -> list[str]:
    """Return the names below ``configs`` in a config, except in its comments."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#"))
    return [name for line in lines for name in re.findall(r"configs/([\w./-]+\.(?:json|ya?ml))", line)]


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
    """Return whether an expression fails to parse, uses unknown names, or imports the bundle before its path is set."""
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
    """Return whether a component's target is missing or refuses its arguments; targets by expressions are skipped."""
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


def check_shapes(root: Path) -> str:
    """Check inputs and outputs of the network against the metadata (MONAI's own ``verify_net_in_out``)."""
    meta, config = str(root / "configs" / "metadata.json"), str(named_config(root, "inference"))
    verify_net_in_out("network_def", meta, config, device="cpu", bundle_root=str(root))
    formats = metadata(root)["network_data_format"]
    names = [*formats["inputs"]], [*formats["outputs"]]
    if names != (["image"], ["pred"]):
        msg = f"configs/metadata.json: inputs {names[0]}, outputs {names[1]}. Name them 'image' and 'pred'."
        raise Defect(msg)
    return " -> ".join(str(io["num_channels"]) for io in (formats["inputs"]["image"], formats["outputs"]["pred"]))


def load_network(root: Path) -> nn.Module:
    """Load ``network_def`` of the inference config with the weights of ``models/model.pt``, which must fit exactly."""
    parser = ConfigParser(config=read_config([named_config(root, "inference")]))
    parser["bundle_root"] = str(root)
    network = parser.get_parsed_content("network_def")
    weights = torch.load(root / "models" / "model.pt", map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(weights)
    except (AttributeError, RuntimeError, TypeError) as error:
        msg = f"models/model.pt: not the flat state dict of network_def: {' '.join(str(error).split())[:300]}"
        raise Defect(msg) from error
    return network.eval()


def example_input(root: Path, images: int = 2) -> Tensor:
    """Return random images of the shape and value range in the metadata, smooth, so that their masks are not noise."""
    image = metadata(root)["network_data_format"]["inputs"]["image"]
    low, high = image["value_range"]
    size = [side // BLOB for side in image["spatial_shape"]]
    noise = torch.rand((images, image["num_channels"], *size), generator=torch.Generator().manual_seed(0))
    return low + (high - low) * F.interpolate(noise, size=image["spatial_shape"], mode="bilinear")


def check_torchscript(root: Path) -> str:
    """Check that the weights export by ``ckpt_export``, and that the exported network equals the eager one."""
    network, image = load_network(root), example_input(root)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        exported = str(Path(folder) / "model.ts")
        ckpt_export("network_def", exported, **export_files(root))
        difference = (torch.jit.load(exported)(image) - network(image)).abs().max().item()
    if not difference <= TOLERANCE:
        msg = f"The TorchScript network differs from the eager one by {difference:.3g}, more than {TOLERANCE:g}."
        raise Defect(msg)
    return f"largest difference {difference:.2g}"


def check_onnx(root: Path) -> str:
    """Check that the weights export by ``onnx_export``, and that ONNX Runtime equals torch, for one and more images."""
    onnxruntime = export_requirement("onnxruntime")
    network, images = load_network(root), example_input(root, 3)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        exported = str(Path(folder) / "model.onnx")
        onnx_export(args_file=str(root / ONNX_ARGUMENTS), filepath=exported, **export_files(root))
        session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
        found = [torch.from_numpy(session.run(["pred"], {"image": part.numpy()})[0]) for part in images.split([1, 2])]
        difference = (torch.cat(found) - network(images)).abs().max().item()
    if not difference <= ONNX_TOLERANCE:
        msg = f"ONNX Runtime differs from torch by {difference:.3g}, more than {ONNX_TOLERANCE:g}."
        raise Defect(msg)
    return f"largest difference {difference:.2g}"


def export_requirement(name: str) -> Any:
    """Import a module of ``requirements-export.txt``."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"no module {name}: python -m pip install -r requirements-export.txt"
        raise Defect(msg) from error


def export_files(root: Path) -> dict[str, Any]:
    """Return the arguments of MONAI's exports for a bundle, independent of the working directory."""
    return {
        "ckpt_file": str(root / "models" / "model.pt"),
        "meta_file": str(root / "configs" / "metadata.json"),
        "config_file": str(named_config(root, "inference")),
        "bundle_root": str(root),
    }


Check = tuple[str, Callable[[], str]]


def checks(root: Path) -> list[Check]:
    """Return all checks of a bundle, by title; one for each config."""
    fixed: list[Check] = [
        ("necessary and preferred files", partial(check_files, root)),
        ("large files", partial(check_large_files, root)),
        ("documents", partial(check_documents, root)),
        ("metadata by the schema", partial(check_schema, root)),
        ("checksums of the weights", partial(check_weights, root)),
        ("version in the changelog", partial(check_version, root)),
        ("pins of metadata and requirements", partial(check_requirements, root)),
        ("imports are pinned", partial(check_imports, root)),
    ]
    stated: list[Check] = [("commands in documents and configs", partial(check_commands, root))]
    stated += [("parts of configs", partial(check_parts, root))]
    workflows: list[Check] = [(f"properties of {name}", partial(check_properties, root, name)) for name in WORKFLOWS]
    network: list[Check] = [
        ("inputs and outputs of the network", partial(check_shapes, root)),
        ("TorchScript export", partial(check_torchscript, root)),
    ]
    if (root / ONNX_ARGUMENTS).is_file():
        network.append(("ONNX export", partial(check_onnx, root)))
    return [*fixed, *config_checks(root), *stated, *workflows, *network]


def config_checks(root: Path) -> list[Check]:
    """Return one check for each config, with those it is laid over by its own command; others follow with their jobs.

    Definitions of experiments are not runs: ``tests/experiments`` reads them.
    """
    runs = [path for path in config_files(root) if path.relative_to(root / "configs").parts[0] not in EXPERIMENTS]
    chains = [config_chain(root, path) for path in runs]
    return [
        (" + ".join(config_name(root, path) for path in files), partial(check_config, root, files))
        for files in chains
        if len(files) > 1 or not is_part(root, files[0])
    ]


def run_check(check: Callable[[], str], verbose: bool) -> tuple[bool, str]:
    """Run a check with MONAI's output held back; return whether it passed, and the message.

    Any exception is a failure of the bundle: the code that raises is the bundle's own, or MONAI's over its configs.
    """
    chatter = io.StringIO()
    try:
        with redirect_stdout(chatter), redirect_stderr(chatter):
            return True, check()
    except Defect as defect:
        return False, str(defect)
    except Exception as raised:
        error: BaseException = raised
        details = "\n" + traceback.format_exc() + chatter.getvalue() if verbose else ""
        while error.__cause__:
            error = error.__cause__
        return False, f"{type(error).__name__}: {' '.join(str(error).split())[:500]}{details}"


def verify(root: Path, verbose: bool = False) -> int:
    """Run every check, print a line for each, and return the number of failures."""
    failures = 0
    for title, check in checks(root):
        passed, detail = run_check(check, verbose)
        failures += not passed
        print(f"{'ok  ' if passed else 'FAIL'}  {title}: {detail}", flush=True)
    return failures


def main() -> int:
    """Read the command line and check; the exit code is 1 if a check failed."""
    parser = argparse.ArgumentParser(description="Check a MONAI bundle offline, as the model zoo does.")
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).parents[1], help="folder of the bundle")
    parser.add_argument("--verbose", action="store_true", help="show tracebacks and the output of MONAI")
    parser.add_argument(
        "--state_checksums", action="store_true", help="first write the checksums of models/*.pt into the metadata"
    )
    arguments = parser.parse_args()
    root = arguments.root.resolve()
    if arguments.state_checksums:
        state_checksums(root)
    sys.path.insert(0, str(root))
    logging.disable(logging.WARNING)
    failures = verify(root, arguments.verbose)
    print(f"{failures} checks failed" if failures else "all checks passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
