"""Training of the segmentation on saved labels, by configs/segment_bones.yaml."""

from __future__ import annotations

import copy
import json
import logging
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow, create_workflow
from monailabel.interfaces.tasks.train import TrainTask

from bundle.data.loading import BONES
from bundle.data.writing import replacing, write_bytes, write_layers, write_masks
from bundle.errors import InputError
from bundle.networks.weights import load_weights
from scripts.monai_label.answers import without_path
from scripts.monai_label.datastore import JointDatastore
from scripts.monai_label.models import BoneDrawer

SETTINGS = {
    "max_epochs": "epochs",
    "train_batch_size": "batch_size",
    "val_split": "validation_fraction",
    "learning_rate": "learning_rate",
    "seed": "seed",
}
"""Hyper-parameters of configs/segment_bones.yaml by the names of MONAI Label."""

DEFAULTS = {"max_epochs": 20, "train_batch_size": 4, "val_split": 0.2, "learning_rate": 0.001, "seed": 0}
"""Gentler than from scratch: the shipped weights are trained on."""

FEWEST = 2
"""Labels that a training needs: one to learn from, one to judge by."""

_LIST = "labels"
_log = logging.getLogger(__name__)


class BoneMaskTraining(TrainTask):
    """Trains the segmentation; its weights replace those in use only if they are better.

    Both are judged by Dice on the same labels, which are held out of the training.

    Args:
        draw: the segmentation, whose weights are trained on and replaced.
        bundle_root: of the bundle.
    """

    def __init__(self, draw: BoneDrawer, bundle_root: Path) -> None:
        super().__init__("Trains the bone masks on saved labels")
        self.draw = draw
        self.bundle_root = bundle_root
        self._stats = draw.trained.with_name("bone_masks_stats.json")

    def config(self) -> dict[str, Any]:
        """What a client can set: hyper-parameters, and whether to start from the weights in use."""
        return {**DEFAULTS, "pretrained": True}

    def stats(self) -> dict[str, Any]:
        """Figures of the last training, empty before the first."""
        return dict(json.loads(self._stats.read_bytes())) if self._stats.is_file() else {}

    def __call__(self, request: Mapping[str, Any], datastore: JointDatastore) -> dict[str, Any]:
        """Train, and keep the weights if they are better; the figures.

        Raises:
            InputError: fewer than two labels can be used, or a setting cannot.
        """
        start = time.time()
        with tempfile.TemporaryDirectory() as folder:
            used, left_out = write_data_set(datastore, Path(folder))
            before, after, held_out = self._train(Path(folder), request)
            replaced = after > before
            if replaced:
                self._replace(Path(folder) / "out" / "model.pt")
        figures = {"labels": used, "left_out": left_out, "held_out": held_out, "dice_before": before}
        seconds = round(time.time() - start, 1)
        found = {**figures, "best_metric": after, "replaced": replaced, "total_time": seconds}
        write_bytes(self._stats, json.dumps(found, indent=1).encode())
        return found

    def _train(self, folder: Path, request: Mapping[str, Any]) -> tuple[float, float, int]:
        """Dice on the held-out labels of the weights in use and of the best since, and how many there are."""
        asked = {own: request.get(name, DEFAULTS[name]) for name, own in SETTINGS.items()}
        places = {"bundle_root": str(self.bundle_root), "dataset_dir": str(folder), "output_dir": str(folder / "out")}
        config = str(self.bundle_root / "configs" / "segment_bones.yaml")
        workflow = create_workflow(
            config_file=config, logging_file=False, run_id="training", datalist=_LIST, **places, **asked
        )
        evaluator, held_out = (
            workflow.parser.get_parsed_content(key) for key in ("validate#evaluator", "validate#dataset#data")
        )
        before = self._judge_weights_in_use(workflow, request.get("pretrained", True))
        workflow.run()
        workflow.finalize()
        return before, float(evaluator.state.best_metric), len(held_out)

    def _judge_weights_in_use(self, workflow: ConfigWorkflow, pretrained: bool) -> float:
        """Their Dice on the held-out labels; the network starts from them, or as it was built.

        The evaluator keeps the best weights that it sees, these included.
        """
        network, evaluator = (workflow.parser.get_parsed_content(key) for key in ("network", "validate#evaluator"))
        built = copy.deepcopy(network.state_dict())
        if self.draw.weights.is_file():
            remedy = "remove the file, or train it anew by pretrained: false"
            load_weights(network, self.draw.weights, "bone segmentation", remedy, "cpu")
        evaluator.run()
        if not pretrained:
            network.load_state_dict(built)
        return float(evaluator.state.metrics["dice"])

    def _replace(self, weights: Path) -> None:
        with replacing(self.draw.trained) as file:
            file.write(weights.read_bytes())


def write_data_set(datastore: JointDatastore, folder: Path) -> tuple[int, dict[str, str]]:
    """Write the joints that have a label as a data set with the list ``labels``; each image is a joint of its own.

    Returns:
        How many there are, and why others are left out.

    Raises:
        InputError: fewer than two.
    """
    entries: list[dict[str, str]] = []
    left_out: dict[str, str] = {}
    for image_id in datastore.get_labeled_images():
        try:
            entries.append(_write_joint(datastore, image_id, folder, f"{len(entries):05d}"))
        except InputError as error:
            left_out[image_id] = without_path(str(error), datastore.get_image_uri(image_id), image_id)
            _log.warning(f"Left out of the training: {left_out[image_id]}")
    if len(entries) < FEWEST:
        msg = f"expected at least {FEWEST} saved labels to train on, got {len(entries)}: save more ({left_out})"
        raise InputError(msg)
    write_bytes(folder / _LIST, json.dumps(entries).encode())
    return len(entries), left_out


def _write_joint(datastore: JointDatastore, image_id: str, folder: Path, name: str) -> dict[str, str]:
    """Write the frame and the masks of a labelled joint; its entry of the list."""
    view = datastore.view(image_id)
    masks = datastore.masks(image_id, view.shape)
    if masks is None:
        msg = f"expected a saved label, got none: {image_id}: save one"
        raise InputError(msg)
    write_layers(folder / f"{name}.nii.gz", view.image, view.spacing)
    write_masks(folder, name, view.cut(masks))
    named = {bone: f"{name}_mask_{bone}.png" for bone in BONES}
    return {"image": f"{name}.nii.gz", "joint": image_id, **named}
