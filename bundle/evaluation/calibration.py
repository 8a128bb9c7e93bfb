"""Calibration of plausibility and uncertainty from data: ranges of plausible joints, and expected errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.evaluation.sets import ClosedJoints, JointSet, as_a_file_holds
from bundle.io import command_line, disjoint_seed, name_result, private_setting, storing
from bundle.quality import (
    PROPERTIES,
    SIGNS,
    Calibration,
    FlipInferer,
    PlausibilityReference,
    another_scanner,
    held_out_figures,
    measure,
    overlap_signs,
)
from bundle.separation import LayerRMSE, OverlapRange
from bundle.statistics import IDENTITY
from tqdm import tqdm

SCANNED = 300
"""Number of joints whose varied images limit the appearance of plausible images."""


def properties_of(joints: JointSet) -> pd.DataFrame:
    """Measure all of :data:`bundle.quality.PROPERTIES`, a row for each joint of a set."""
    items = tqdm(joints.items, desc="measuring joints", unit="joint", mininterval=0.5)
    rows = [measure(joints.load(item)["image"], float(item["spacing"])) for item in items]
    return pd.DataFrame(rows, columns=list(PROPERTIES))


def write_plausibility_reference(
    path: str | Path, sets: Mapping[str, JointSet], false_alarms: float, settings: Mapping[str, Any]
) -> PlausibilityReference:
    """Fit the ranges of plausible images and write them; subluxed joints are left out.

    Args:
        path: path of the JSON file.
        sets: kinds of plausible images by name. The first gives the medians; the ranges include those of each kind.
        false_alarms: fraction of each kind's images that lie outside its own ranges, and of varied joints
            (:func:`scanned_elsewhere`) that lie beyond the limit of the appearance.
        settings: data and seed, written to the file as well.
    """
    _make_room(path)
    values = {name: _in_line(properties_of(joints)) for name, joints in sets.items()}
    made = {
        **private_setting("", settings),
        "false_alarms": false_alarms,
        "images": {name: len(part) for name, part in values.items()},
    }
    fitted = [
        PlausibilityReference.fit(part, false_alarms, {**made, "command": command_line()}) for part in values.values()
    ]
    reference = fitted[0]
    for other in fitted[1:]:
        reference = reference.widened(other)
    scanned = scanned_elsewhere(next(iter(sets.values())), int(settings["seed"]))
    reference = reference.with_appearance(scanned, false_alarms)
    reference.write(path)
    name_result(path)
    return reference


def _in_line(values: pd.DataFrame) -> pd.DataFrame:
    """Leave out joints that are subluxed."""
    return values[~(values["subluxation"] > 0.0)]


def scanned_elsewhere(joints: JointSet, seed: int, count: int = SCANNED) -> pd.DataFrame:
    """Measure joints of a set as :func:`bundle.quality.another_scanner` varies them.

    Args:
        joints: set of joints.
        seed: random seed of the variation.
        count: maximum number of joints, evenly spread over the set.
    """
    rows = np.unique(np.linspace(0, len(joints.items) - 1, count).astype(int))
    random, varied = np.random.RandomState(seed), []
    for row in tqdm(rows, desc="measuring varied joints", unit="joint", mininterval=0.5):
        image, spacing = joints.load(joints.items[row])["image"], float(joints.items[row]["spacing"])
        varied.append(measure(*another_scanner(image, spacing, random)))
    return pd.DataFrame(varied, columns=list(PROPERTIES))


def _make_room(path: str | Path) -> None:
    """Create the folder of a file before any computation; raises InputError if it cannot be created."""
    path = Path(path)
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True)
class HeldOut:
    """Joints that the weights were not trained on.

    Attributes:
        datalist: name of their list; "phantoms" for phantoms.
        role: their role in the list (:func:`bundle.io.joint_items`).
        seed: random seed of the split of the list, or of the phantoms.
    """

    datalist: str
    role: str
    seed: int


def held_out(dataset_dir: str, datalist: str, role: str, split_seed: int, phantom_seed: int) -> HeldOut:
    """Return the joints for the calibration of errors: held-out joints of a list, or phantoms that no training makes.

    Args:
        dataset_dir: root of the data set; empty for phantoms.
        datalist: name of the list.
        role: role in the list of the joints that the training held out.
        split_seed: random seed with which the training split the list.
        phantom_seed: random seed of the phantoms of the run.
    """
    if dataset_dir:
        return HeldOut(datalist, role, split_seed)
    return HeldOut("phantoms", "all", disjoint_seed(phantom_seed, "testing"))


def closed_repeatedly(joints: JointSet, overlap: OverlapRange, closures: int, seed: int) -> list[ClosedJoints]:
    """Close the joints of a set that do not overlap, repeatedly, with the seeds ``seed``, ``seed + 1`` and so on."""
    return [ClosedJoints(joints, {"closed": overlap}, seed + number) for number in range(closures)]


def write_calibration(
    path: str | Path,
    closed: Sequence[JointSet],
    count: int,
    network: Callable[[torch.Tensor], torch.Tensor],
    weights: Any,
    device: Any,
    settings: Mapping[str, Any],
) -> Calibration:
    """Calibrate the error of a network on joints whose layers are known, and write the calibration.

    Args:
        path: path of the JSON file.
        closed: the same joints with true layers, in one or more ways (:func:`closed_repeatedly`).
        count: maximum number of joints, evenly spread over the set.
        network: the separator.
        weights: its :class:`bundle.workflow.GeneratorWeights`.
        device: device of the network.
        settings: data and seed, written to the file as well.
    """
    _make_room(path)
    weights(None)
    found = pd.concat([signs_and_error(joints, count, network, device) for joints in closed]).dropna()
    samples = {name: found[name].to_numpy() for name in SIGNS}, found["error"].to_numpy(), found["joint"].to_numpy()
    figures = {name: round(value, 3) for name, value in held_out_figures(*samples).items()}
    sizes = {"samples": len(found), "joints": found["joint"].nunique()}
    made = {**private_setting("", settings), **sizes, "joints_left_out": figures, "command": command_line()}
    calibration = Calibration.fit(*samples, weights.source, made)
    calibration.write(path)
    name_result(path)
    return calibration


@torch.no_grad()
def signs_and_error(
    closed: JointSet, count: int, network: Callable[[torch.Tensor], torch.Tensor], device: Any
) -> pd.DataFrame:
    """Compute the predictors of the error in the overlap and the true error of the mean prediction there (E2).

    One row per joint. The network sees the joints as stored in a file.
    """
    inferer, error, rows = FlipInferer(), LayerRMSE("overlap"), []
    if isinstance(network, torch.nn.Module):
        network.eval()
    chosen = np.unique(np.linspace(0, len(closed.items) - 1, min(count, len(closed.items))).astype(int))
    for index in tqdm(chosen, desc="calibrating", unit="joint", mininterval=0.5):
        item = closed.items[index]
        joint = closed.load(item)
        image, truth = as_a_file_holds(joint["image"])[None], joint["label"][None]
        answer = inferer.answer(image.to(device), network)
        if answer.deviation is None:
            msg = "the inferer gave no predictions for mirror images"
            raise RuntimeError(msg)
        layers = answer.layers.cpu()
        signs = overlap_signs(layers, answer.deviation.cpu(), image[:, 1:], float(item["spacing"]))
        true_error = torch.as_tensor(error(layers, torch.cat([truth, image], dim=1)))
        names = {key: item[key] for key in IDENTITY}
        rows.append({**names, **{name: float(sign) for name, sign in signs.items()}, "error": float(true_error)})
    return pd.DataFrame(rows, columns=[*IDENTITY, *SIGNS, "error"])
