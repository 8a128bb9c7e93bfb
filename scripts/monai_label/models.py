"""The networks of the bundle's configurations: prediction of bone masks, separation of layers, joints of hands."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from bundle.errors import InputError
from bundle.hands import JointFinder, Recentring
from bundle.io import FoundPlace, Item, JointFrame, agreed_plates, check_area, usable, write_bytes
from bundle.joint import BONES, MCP, Keys
from bundle.networks import file_label
from bundle.physics import continue_to_border, union
from bundle.quality import PlausibilityReference, bone_disagreement
from bundle.segmentation import BoneSegmenter
from monai.bundle import ConfigParser
from scripts.monai_label.view import HandJoints
from torch import Tensor

STATED = (Keys.NAME, Keys.FINGER, Keys.SIDE, Keys.SCORE, Keys.GROWTH_PLATE)
"""Keys that an answer states of a joint found in a hand."""

BONE_MASKS = "bone_masks.pt"
"""Weights of the segmentation, shipped in models/ of the bundle or trained here."""


class Separation(NamedTuple):
    """A separated joint.

    Attributes:
        layers: soft tissue, lower bone and upper bone, (3, 256, 256) in [0, 1].
        quality: its assessment by :class:`bundle.inference.JointQuality`.
        uncertainty: standard deviation of the bone layers between the joint and its mirror image, in intensity.
    """

    layers: Tensor
    quality: dict[str, Any]
    uncertainty: float


class BoneMaskPredictor:
    """Prediction of bone masks by the newest weights: those trained here, otherwise the shipped ones.

    Args:
        bundle_root: root of the bundle.
        model_dir: folder of trained weights.
    """

    def __init__(self, bundle_root: Path, model_dir: Path) -> None:
        self.trained = model_dir / BONE_MASKS
        self._shipped = bundle_root / "models" / BONE_MASKS
        self._metadata = bundle_root / "configs" / "metadata.json"
        self._network = _read_config(bundle_root).get_parsed_content("segmenter#network")
        self._segmenter: BoneSegmenter | None = None
        self._state: tuple[Any, ...] = ()

    @property
    def weights(self) -> Path:
        """The file of the weights in use."""
        return self.trained if self.trained.is_file() else self._shipped

    @property
    def source(self) -> str:
        """Name and checksum of the weights."""
        return file_label(self.weights)

    def __call__(self, image: Tensor) -> Tensor:
        """Return masks (2, H, W) of 0 and 1 of a radiograph (1, H, W); all 0 if a bone is not found.

        Raises:
            InputError: there are no weights, or not those of this network.
        """
        state = (self.weights, self.weights.stat().st_mtime_ns if self.weights.is_file() else 0)
        if self._segmenter is None or state != self._state:
            metadata = str(self._metadata) if self.weights == self._shipped else ""
            self._segmenter, self._state = BoneSegmenter(self._network, self.weights, metadata), state
        return self._segmenter(image)

    def replace(self, weights: bytes) -> None:
        """Use other weights from now on; keep the previous ones beside them."""
        if self.weights.is_file():
            write_bytes(self._previous, self.weights.read_bytes())
        write_bytes(self.trained, weights)

    def undo(self) -> str:
        """Swap the weights in use with the previous ones; return their name and checksum.

        Raises:
            InputError: there are no previous weights.
        """
        if not self._previous.is_file():
            msg = f"{self.trained.name}: no previous weights. Train first."
            raise InputError(msg)
        before = self._previous.read_bytes()
        self.replace(before)
        return self.source

    @property
    def _previous(self) -> Path:
        return self.trained.with_name("bone_masks_previous.pt")


class LayerSeparator:
    """Separation of joints by configs/inference.json, with their mirror images for the uncertainty.

    Args:
        bundle_root: root of the bundle.
    """

    def __init__(self, bundle_root: Path) -> None:
        self._config = _read_config(bundle_root)
        self._config["flips"] = True
        self._quality = self._config.get_parsed_content("quality")
        self._weights = self._config.get_parsed_content("used_weights")
        self._weights(None)
        self._lock = threading.Lock()

    @property
    def reference(self) -> PlausibilityReference:
        """Plausibility reference of images and masks."""
        found: PlausibilityReference = self._quality.reference
        return found

    @property
    def source(self) -> str:
        """Name of the separator with the checksum of its weights."""
        return str(self._weights.source)

    def __call__(self, image: Tensor, masks: Tensor, name: str, spacing: float) -> Separation:
        """Separate a joint.

        Args:
            image: intensity, (1, 256, 256).
            masks: masks of the lower and the upper bone, (2, 256, 256).
            name: name of the joint, for its assessment.
            spacing: pixel size in mm.

        Raises:
            InputError: a mask is empty or covers the frame.
        """
        for mask, bone in zip(masks, BONES, strict=True):
            check_area(mask.numpy() > 0.5, f"of the {bone} bone of {name}")
        joint = torch.cat([image, continue_to_border(masks)])
        with self._lock, torch.no_grad():
            return self._separate(joint, name, spacing)

    def _separate(self, joint: Tensor, name: str, spacing: float) -> Separation:
        network, inferer, device, finish = (
            self._config.get_parsed_content(key) for key in ("network", "inferer", "device", "postprocessing")
        )
        answer = inferer.answer(joint[None].to(device), network.eval())
        layers, deviation = answer.layers[0].cpu(), answer.deviation.cpu()
        output = {"answer": layers, "deviation": deviation[0]}
        said = self._quality({"image": joint, "name": name, "joint": name, Keys.SPACING: spacing}, output)
        uncertainty = bone_disagreement(deviation, union(joint[None, 1:]))
        separated = finish({"image": joint, "pred": layers, Keys.SPACING: spacing})["pred"]
        return Separation(separated, said, float(uncertainty))


class HandJointFinder:
    """Finder of the MCP joints of a hand, with frames centred on the joint spaces, as in the job ``hands``.

    Args:
        bundle_root: root of the bundle.
    """

    def __init__(self, bundle_root: Path) -> None:
        config = _read_config(bundle_root, "parts/finder.yaml")
        self._find = JointFinder(config.get_parsed_content("finder"), MCP.name)
        self._place: Recentring = config.get_parsed_content("recentring")
        self._lock = threading.Lock()

    def __call__(self, radiograph: Tensor, pixels: tuple[float, float]) -> HandJoints:
        """Find the joints in a radiograph (1, H, W) with a pixel height and width in mm.

        Raises:
            InputError: the radiograph is inverted, or the weights are missing.
        """
        with self._lock:
            found = [
                _item(one, JointFrame(one.place, pixels, MCP.pixels, MCP.frame_mm)) for one in self._find(radiograph)
            ]
            placed, left_out = usable(found, partial(self._placed, radiograph))
        joints = [(one[Keys.FRAME], {key: one[key] for key in STATED}) for one in agreed_plates(placed)]
        return HandJoints(joints, left_out)

    def _placed(self, radiograph: Tensor, item: Item) -> Item:
        """Place the frame of a joint on its joint space."""
        if item[Keys.REFUSED]:
            raise InputError(item[Keys.REFUSED])
        frame, known = self._place(radiograph, item[Keys.FRAME])
        return {**item, **known, Keys.FRAME: frame}


def _item(found: FoundPlace, frame: JointFrame) -> Item:
    """Item of a joint that was found in a radiograph."""
    name, stated = found.place.name, found.place.stated
    known = {Keys.IMAGE: "", Keys.NAME: name, Keys.FINGER: stated.finger, Keys.SIDE: stated.side, Keys.FRAME: frame}
    return {**known, Keys.SCORE: round(found.score, 4), Keys.REFUSED: found.refused}


def _read_config(bundle_root: Path, *parts: str) -> ConfigParser:
    """Read the inference configuration of the bundle, with parts, independent of the working directory."""
    config = ConfigParser()
    config.read_config([str(bundle_root / "configs" / name) for name in ("inference.json", *parts)])
    config["bundle_root"] = str(bundle_root)
    return config
