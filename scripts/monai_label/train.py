"""Training of the segmentation on saved labels, by configs/jobs/segment_bones.yaml."""

from __future__ import annotations

import copy
import io
import json
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bundle.errors import InputError
from bundle.io import write_bytes, write_layers, write_masks
from bundle.joint import BONES
from bundle.networks import load_weights
from bundle.workflow import job_configs
from monai.bundle import ConfigWorkflow, create_workflow
from monailabel.interfaces.tasks.train import TrainTask
from numpy.typing import NDArray
from scipy.stats import wilcoxon
from scripts.monai_label.answers import without_path
from scripts.monai_label.datastore import FINAL, JointDatastore
from scripts.monai_label.models import BoneMaskPredictor
from scripts.monai_label.uploads import server_ended

SETTINGS = {
    "max_epochs": "epochs",
    "train_batch_size": "batch_size",
    "val_split": "validation_fraction",
    "learning_rate": "learning_rate",
    "seed": "seed",
}
"""Hyper-parameters of configs/tasks/segment_bones.yaml by the names of MONAI Label."""

DEFAULTS = {"max_epochs": 20, "train_batch_size": 4, "val_split": 0.2, "learning_rate": 0.001, "seed": 0}
"""Smaller steps than from random weights, since training starts from the shipped ones."""

FEWEST = 2
"""Minimum number of labels for a training: one to train on, one to validate."""

HELD_OUT = 12
"""Minimum number of joints for a comparison of weights."""

RISK = 0.05
"""Significance level of the comparison of weights."""

Dice = NDArray[np.float64]

_LIST = "labels"
_log = logging.getLogger(__name__)


class BoneMaskTraining(TrainTask):
    """Training of the segmentation; the new weights replace those in use only if they are better.

    Both are compared by Dice on the same labels, which are held out of the training.

    Args:
        predict_masks: segmentation whose weights are fine-tuned and replaced.
        bundle_root: root of the bundle.
    """

    def __init__(self, predict_masks: BoneMaskPredictor, bundle_root: Path) -> None:
        super().__init__("Trains the bone masks on saved labels")
        self.predict_masks = predict_masks
        self.bundle_root = bundle_root
        self._stats = predict_masks.trained.with_name("bone_masks_stats.json")

    def config(self) -> dict[str, Any]:
        """Return the client's settings: hyper-parameters, and whether to start from the weights in use."""
        return {**DEFAULTS, "pretrained": True}

    def stats(self) -> dict[str, Any]:
        """Return the figures of the last training, empty before the first."""
        return dict(json.loads(self._stats.read_bytes())) if self._stats.is_file() else {}

    def __call__(self, request: Mapping[str, Any], datastore: JointDatastore) -> dict[str, Any]:
        """Train, keep the weights if they are better, and return the figures.

        Raises:
            InputError: fewer than two labels are usable, or the server ended.
        """
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            used, left_out = write_data_set(datastore, Path(folder))
            before, after, weights = self._train(Path(folder), used, request)
        judged = judge(before, after)
        if judged["replaced"]:
            self._replace(weights)
        seconds = round(time.time() - start, 1)
        found = {"labels": used, "left_out": left_out, "held_out": len(after), **judged, "total_time": seconds}
        write_bytes(self._stats, json.dumps(found, indent=1).encode())
        _log.info(
            f"best_metric {judged['best_metric']:.4f}, dice_before {judged['dice_before']:.4f}: {judged['verdict']}"
        )
        return found

    def _train(self, folder: Path, used: int, request: Mapping[str, Any]) -> tuple[Dice, Dice, bytes]:
        """Return Dice of each held-out joint by the weights in use and by the new ones, and the new weights."""
        parts = ("network", "validate#evaluator")
        judging = self._workflow(folder, used, request, "before")
        start, judge_before = (judging.parser.get_parsed_content(key) for key in parts)
        before = self._judge_weights_in_use(start, judge_before, request.get("pretrained", True))
        workflow = self._workflow(folder, used, request, "out")
        network, evaluator = (workflow.parser.get_parsed_content(key) for key in parts)
        network.load_state_dict(start.state_dict())
        workflow.run()
        after = _dice(evaluator)
        workflow.finalize()
        content = io.BytesIO()
        torch.save({name: value.cpu() for name, value in network.state_dict().items()}, content)
        return before, after, content.getvalue()

    def _workflow(self, folder: Path, used: int, request: Mapping[str, Any], output: str) -> ConfigWorkflow:
        """Return the training of configs/tasks/segment_bones.yaml with the hyper-parameters of the request."""
        asked = {own: request.get(name, DEFAULTS[name]) for name, own in SETTINGS.items()}
        asked["validation_fraction"] = max(asked["validation_fraction"], min(HELD_OUT / used, 0.5))
        places = {"bundle_root": str(self.bundle_root), "dataset_dir": str(folder), "output_dir": str(folder / output)}
        files = job_configs("segment_bones", self.bundle_root)
        made: ConfigWorkflow = create_workflow(
            config_file=files, logging_file=False, run_id="training", datalist=_LIST, **places, **asked
        )
        return made

    def _judge_weights_in_use(self, network: torch.nn.Module, evaluator: Any, pretrained: bool) -> Dice:
        """Return the Dice of the weights in use on held-out joints; then restore the initial ones if required."""
        built = copy.deepcopy(network.state_dict())
        if self.predict_masks.weights.is_file():
            remedy = "remove the file, or train from random weights with pretrained: false"
            load_weights(network, self.predict_masks.weights, "bone segmentation", remedy, "cpu")
        found = _dice(evaluator)
        if not pretrained:
            network.load_state_dict(built)
        return found

    def _replace(self, weights: bytes) -> None:
        """Use new weights, unless the server that started the training is gone."""
        if server_ended():
            msg = "The server that started this training has ended. Start it and train again."
            raise InputError(msg)
        self.predict_masks.replace(weights)


def judge(before: Dice, after: Dice) -> dict[str, Any]:
    """Compare new weights with those in use by Wilcoxon's signed-rank test, one-sided, over held-out joints.

    Args:
        before: Dice of each joint by the weights in use.
        after: Dice of each joint by the new weights.

    Returns:
        ``dice_before`` and ``best_metric`` (means), ``p_value``, ``replaced`` and ``verdict`` in words.
    """
    differ = bool(np.abs(after - before).max() > 0.0)
    p_value = float(wilcoxon(after, before, alternative="greater").pvalue) if differ else 1.0
    means = {"dice_before": float(before.mean()), "best_metric": float(after.mean()), "p_value": p_value}
    enough = len(after) >= HELD_OUT
    better = enough and p_value < RISK and means["best_metric"] > means["dice_before"]
    verdict = (
        "the new weights replace the old ones" if better else f"the old weights stay: not better (p {p_value:.2g})"
    )
    if not enough:
        verdict = f"the old weights stay: {len(after)} joints are held out, and a comparison needs {HELD_OUT}"
    return {**means, "replaced": better, "verdict": verdict}


def _dice(evaluator: Any) -> Dice:
    """Return the Dice of each joint of an evaluator, the mean of its bones."""
    evaluator.run()
    found: Dice = np.nanmean(evaluator.state.metric_details["dice"].double().cpu().numpy(), axis=1)
    return found


def write_data_set(datastore: JointDatastore, folder: Path) -> tuple[int, dict[str, str]]:
    """Write the labelled joints as a data set with the list ``labels``; the joints of a hand stay together.

    Returns:
        Number of written joints, and the reasons for leaving out the others.

    Raises:
        InputError: fewer than two labels are usable.
    """
    entries: list[dict[str, str]] = []
    left_out: dict[str, str] = {}
    for image_id, tag in datastore.joints():
        try:
            entries.append(_write_joint(datastore, image_id, tag, folder, f"{len(entries):05d}"))
        except InputError as error:
            name = image_id if tag == FINAL else f"{image_id} ({tag})"
            left_out[name] = without_path(str(error), datastore.get_image_uri(image_id), image_id)
            _log.warning(f"Left out of the training: {left_out[name]}")
    if len(entries) < FEWEST:
        msg = f"A training needs at least {FEWEST} saved labels, {len(entries)} can be used. Save more ({left_out})."
        raise InputError(msg)
    write_bytes(folder / _LIST, json.dumps(entries).encode())
    return len(entries), left_out


def _write_joint(datastore: JointDatastore, image_id: str, tag: str, folder: Path, name: str) -> dict[str, str]:
    """Write the frame and the masks of a labelled joint; return its entry of the list."""
    view = datastore.views(image_id, tag=tag).one()
    masks = datastore.masks(image_id, view.shape, tag)
    if masks is None:
        msg = f"{image_id} has no saved label. Save one."
        raise InputError(msg)
    datastore.check_saved(image_id, tag, view, masks)
    write_layers(folder / f"{name}.nii.gz", view.image, view.spacing)
    write_masks(folder, name, view.cut(masks))
    named = {bone: f"{name}_mask_{bone}.png" for bone in BONES}
    return {"image": f"{name}.nii.gz", "joint": image_id, **named}
