"""What trust and uncertainty are judged by, made from data: ranges of trusted joints and what disagreement means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from bundle.evaluation import JointSet
from bundle.metrics import LayerRMSE
from bundle.provenance import command_line
from bundle.trust import PROPERTIES, TrustReference, measure
from bundle.uncertainty import Calibration, FlipInferer, overlap_disagreement


def properties_of(joints: JointSet) -> pd.DataFrame:
    """A row for each joint of a set with all of :data:`bundle.trust.PROPERTIES`."""
    items = tqdm(joints.items, desc="measuring joints", unit="joint", mininterval=0.5)
    rows = [measure(joints.load(item)["image"], float(item["spacing"])) for item in items]
    return pd.DataFrame(rows, columns=list(PROPERTIES))


def write_trust_reference(
    path: str | Path, sets: Mapping[str, JointSet], false_alarms: float, settings: Mapping[str, Any]
) -> TrustReference:
    """Fit the ranges of trusted images and write them.

    Args:
        path: of the JSON file.
        sets: kinds of trusted images by name. The first gives the medians; the ranges hold each kind's own.
        false_alarms: part of each kind's images that its own ranges leave out.
        settings: data and seed, which are written too.
    """
    values = {name: properties_of(joints) for name, joints in sets.items()}
    made = {**settings, "false_alarms": false_alarms, "images": {name: len(part) for name, part in values.items()}}
    fitted = [TrustReference.fit(part, false_alarms, {**made, "command": command_line()}) for part in values.values()]
    reference = fitted[0]
    for other in fitted[1:]:
        reference = reference.widened(other)
    reference.write(path)
    return reference


def write_calibration(
    path: str | Path,
    pushed: JointSet,
    count: int,
    network: Callable[[torch.Tensor], torch.Tensor],
    weights: Any,
    device: Any,
    settings: Mapping[str, Any],
) -> Calibration:
    """Calibrate the disagreement of a network with its mirrored self on joints whose layers are known, and write it.

    Args:
        path: of the JSON file.
        pushed: joints with true layers (:class:`bundle.evaluation.PushedJoints`).
        count: of joints that are used, evenly spread over the set; all where there are fewer.
        network: the separator.
        weights: its :class:`bundle.handlers.GeneratorWeights`.
        device: that the network is on.
        settings: data and seed, which are written too.
    """
    weights(None)
    found = disagreement_and_error(pushed, count, network, device)
    rank = float(spearmanr(found["disagreement"], found["error"], nan_policy="omit").statistic)
    made = {**settings, "joints": int(found.notna().all(axis=1).sum()), "spearman": round(rank, 3)}
    calibration = Calibration.fit(
        found["disagreement"], found["error"], weights.source, {**made, "command": command_line()}
    )
    calibration.write(path)
    return calibration


@torch.no_grad()
def disagreement_and_error(
    pushed: JointSet, count: int, network: Callable[[torch.Tensor], torch.Tensor], device: Any
) -> pd.DataFrame:
    """Disagreement in the overlap and the true error of the mean answer there (E2), a row for each joint."""
    inferer, error, rows = FlipInferer(), LayerRMSE("overlap"), []
    if isinstance(network, torch.nn.Module):
        network.eval()
    chosen = np.unique(np.linspace(0, len(pushed.items) - 1, min(count, len(pushed.items))).astype(int))
    for index in tqdm(chosen, desc="calibrating", unit="joint", mininterval=0.5):
        item = pushed.items[index]
        joint = pushed.load(item)
        image, truth = joint["image"][None], joint["label"][None]
        layers = inferer(image.to(device), network).cpu()
        if inferer.deviation is None:
            msg = "expected the answers to mirror images, got none"
            raise RuntimeError(msg)
        disagreement = overlap_disagreement(inferer.deviation.cpu(), image[:, 1:])
        true_error = torch.as_tensor(error(layers, torch.cat([truth, image], dim=1)))
        names = {key: item[key] for key in ("name", "joint", "finger")}
        rows.append({**names, "disagreement": float(disagreement), "error": float(true_error)})
    return pd.DataFrame(rows)
