"""Kinds and ranges of options: the values that each key of a configuration accepts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from bundle.errors import InputError
from bundle.workflow.value_kinds import (
    ANGLE,
    DEVICE,
    PAIR,
    PATH,
    PROBABILITY,
    RATE,
    RUNTIME,
    SWITCH,
    SWITCH_OR_PROBABILITY,
    TEXT,
    Kind,
    number,
    whole,
)

_SWITCHES = (
    "amp",
    "channels_last",
    "clear_outlines",
    "compiled",
    "flips",
    "follower",
    "noise_texture",
    "keep_identity",
    "main_trains_generator_alone",
    "pairs",
    "estimate_spacing",
    "open_growth_plates",
    "overviews",
    "recentre",
    "refine",
    "resume",
    "sample_overlap",
    "shuffle",
    "strict",
    "sync_bn",
    "plausible",
    "use_discriminator",
    "use_motion",
    "use_supervisor",
)
_COUNTS = (
    "adversary_reduction",
    "attempts",
    "bootstrap",
    "calibrated",
    "correction_width",
    "count",
    "detector_fits",
    "frame_size",
    "halve_lr_every",
    "image_size",
    "jobs",
    "log_interval",
    "longer_images",
    "motions",
    "outputs",
    "pretraining_epochs",
    "pretraining_images",
    "pretraining_pairs",
    "crop_views",
    "film_views",
    "published_width",
    "closures",
    "reduction",
    "registration_size",
    "registration_view",
    "retaken_phantoms",
    "moved_phantoms",
    "destroyed_phantoms",
    "rounds",
    "samples",
    "sampling_steps",
    "save_interval",
    "block_size",
    "shard_size",
    "synthetic_pairs",
    "takes",
    "test_pairs_per_joint",
    "test_phantoms",
    "threads",
    "training_joints",
    "val_interval",
    "validation_views",
    "variations",
    "width",
)
_COUNTS_FROM_0 = (
    "added_phantoms",
    "crop_size",
    "least_images",
    "least_pairs",
    "mixed_pairs",
    "pairs_per_joint",
    "phantoms",
    "placements",
    "repeats",
    "seed",
    "*_seed",
    "worst",
)
_AMOUNTS = (
    "magnification",
    "minutes",
    "noise",
    "outline_mm",
    "overlap_weight",
    "peak_tflops",
    "scale",
    "seen_weight",
    "shift_mm",
    "sigma_px",
    "spacing",
    "tolerance_mm",
    "translation_px",
    "weight_decay",
)
_PROBABILITIES = (
    "annotated",
    "collimated",
    "false_alarms",
    "held_out",
    "largest_overlap",
    "pretraining_part",
    "closed",
    "reversing",
    "stage2_pseudo",
    "upper_share",
    "validation_fraction",
)
_PAIRS = ("blur_px", "gamma")
_PATHS = (
    "bundle_root",
    "ckpt_dir",
    "dataset_dir",
    "joints_dir",
    "labels_dir",
    "layers_dir",
    "log_dir",
    "montage_dir",
    "output_dir",
    "packed",
    "no_hands_dir",
    "sources_dir",
)
NO_WEIGHTS = "none"
"""Name on the command line for no weights."""
_WEIGHTS = ("pretrained", "weights", "*_weights")
_TEXTS = (
    "adversary",
    "backbone",
    "calibrated_role",
    "datalist",
    "engine",
    "format",
    "label",
    "method",
    "scorer_name",
    "shipped",
    "registrar_name",
    "scheduler",
    "test_datalist",
)

KINDS: dict[str, Kind] = {
    **dict.fromkeys(_SWITCHES, SWITCH),
    **dict.fromkeys(_COUNTS, whole(1)),
    **dict.fromkeys(_COUNTS_FROM_0, whole(0)),
    **dict.fromkeys(_AMOUNTS, number(0)),
    **dict.fromkeys((*_PATHS, *_WEIGHTS), PATH),
    **dict.fromkeys(_TEXTS, TEXT),
    **dict.fromkeys(_PROBABILITIES, PROBABILITY),
    **dict.fromkeys(_PAIRS, PAIR),
    "epochs": whole(0),
    "*_epochs": whole(0),
    "*batch_size": whole(1),
    "num_workers": whole(0),
    "workers": whole(0),
    "learning_rate": RATE,
    "*_rate": RATE,
    "*_lr": RATE,
    "average_momentum": number(0, 1, above=True),
    "predicted_masks": SWITCH_OR_PROBABILITY,
    "device": DEVICE,
    "runtime": RUNTIME,
    "normal_joint_space_mm": number(0, 10),
    "frame_field_mm": number(0, 100, above=True),
    "reading_size": whole(32),
    "turn_deg": number(0, 180),
    "rotation_rad": number(0, math.pi),
    "rotation_deg#lowest": ANGLE,
    "rotation_deg#highest": ANGLE,
    "noise#lowest": number(0),
    "noise#highest": number(0),
    "added_noise#lowest": number(0),
    "added_noise#highest": number(0),
}
"""Kinds by top-level key of a configuration, or by path; ``*`` in a top-level key stands for any letters; the first
match counts."""

NESTED: dict[str, Kind] = {
    "max_epochs": whole(0),
    "batch_size": whole(1),
    "num_workers": whole(0),
    "lr": RATE,
    "rotation_deg": number(0, 180),
    "amp": SWITCH,
    "shuffle": SWITCH,
    **dict.fromkeys(("mirror", "prob"), PROBABILITY),
}
"""Kinds by the last key of a path, anywhere below the top."""

_REFERENCES = ("@", "$", "%")


def kind_of(path: Sequence[str]) -> Kind | None:
    """Find the kind of the values at a path; None if undeclared."""
    name = "#".join(path)
    if len(path) > 1:
        return KINDS.get(name, NESTED.get(path[-1]))
    return next((kind for pattern, kind in KINDS.items() if fnmatchcase(name, pattern)), None)


def is_of_weights(name: str) -> bool:
    """Whether a top-level key of a configuration names a weights file."""
    return any(fnmatchcase(name, pattern) for pattern in _WEIGHTS)


def leaves(content: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield path and value of each plain value of nested mappings and lists, and the mapping or list that holds it."""
    pairs = content.items() if isinstance(content, Mapping) else enumerate(content)
    for key, value in pairs:
        below = (*path, str(key))
        if isinstance(value, dict | list):
            yield from leaves(value, below)
        else:
            yield below, value, content


_MEANINGS = {"true": True, "false": False, "null": None}
"""Values that MONAI passes from the command line as text."""


def read_switches(content: dict[str, Any]) -> bool:
    """Replace the texts ``true``, ``false`` and ``null`` by their values, at every depth.

    Args:
        content: content of a configuration; changed in place, except paths and names.

    Returns:
        Whether anything was replaced.
    """
    texts = [
        (path, _MEANINGS[value.strip().lower()], holder)
        for path, value, holder in leaves(content)
        if isinstance(value, str) and value.strip().lower() in _MEANINGS and kind_of(path) not in (PATH, TEXT)
    ]
    for path, meaning, holder in texts:
        holder[path[-1] if isinstance(holder, dict) else int(path[-1])] = meaning
    return bool(texts)


def check_values(content: Mapping[str, Any]) -> None:
    """Reject invalid values; expressions and references are left to the components that evaluate them.

    Args:
        content: content of a configuration.

    Raises:
        InputError: a value is not of the kind declared for its key.
    """
    lists = (((key,), value) for key, value in content.items() if isinstance(value, list | tuple))
    for path, value in (*lists, *((path, value) for path, value, _ in leaves(content))):
        kind = kind_of(path)
        if kind is None or value is None or (isinstance(value, str) and value.startswith(_REFERENCES)):
            continue
        kind.check("#".join(path), value)


def check_epochs(content: Mapping[str, Any]) -> None:
    """Reject a training without any epoch; a job's 0 stands for its published schedule.

    Args:
        content: content of a configuration.

    Raises:
        InputError: all epochs are 0.
    """
    if "working" in content:
        return
    for names in (("stage1_epochs", "stage2_epochs"), ("epochs",)):
        if all(content.get(name) == 0 for name in names):
            options = [f"--{name}" for name in names]
            msg = f"{' and '.join(options)}: no epoch to train. Pass at least 1 as {' or '.join(options)}."
            raise InputError(msg)
