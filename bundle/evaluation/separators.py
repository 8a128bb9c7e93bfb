"""Who separates: a network, or whoever wrote a folder of layers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from bundle.errors import InputError, flag
from bundle.io import MaskMaker, layer_files, read_layers
from bundle.joint import MCP
from bundle.segmentation import with_predicted_masks
from torch import Tensor, nn


class Separator(Protocol):
    """What gives layers to joints."""

    @property
    def source(self) -> str:
        """What it is, with what tells it from others."""

    @property
    def training(self) -> dict[str, Any] | None:
        """How it was trained, where that is known."""

    def prepare(self, names: Iterable[str]) -> None:
        """Get ready for joints of these names, or refuse before anything is measured."""

    def __call__(self, names: Sequence[str], images: Tensor, postprocessed: bool = False) -> Tensor:
        """Layers (B, 3, H, W) of radiographs with masks (B, 3, H, W), on the CPU; if delivered, as inference writes."""


class NetworkSeparator:
    """Separates by a network, with weights or without.

    Args:
        network: from images (B, 3, H, W) to layers.
        weights: of the network, :class:`bundle.workflow.GeneratorWeights`.
        inferer: MONAI's, how the network is used.
        postprocessing: MONAI's, of ``image`` and ``pred`` of a joint: what inference writes.
        device: where.
        segment: draws the masks that the network sees in place of those given.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Any,
        inferer: Callable[..., Tensor],
        postprocessing: Callable[[Any], Any],
        device: Any = "cpu",
        segment: MaskMaker | None = None,
    ) -> None:
        self.segment = segment
        self.network, self.weights, self.inferer, self.device = network, weights, inferer, device
        self.postprocessing = postprocessing

    @property
    def source(self) -> str:
        """The file of the weights with its checksum, or the separator without weights; and what draws masks."""
        return f"{self.weights.source}{f', masks drawn by {self.segment}' if self.segment else ''}"

    @property
    def training(self) -> dict[str, Any] | None:
        """The record beside the weights."""
        record: dict[str, Any] | None = self.weights.training
        return record

    def prepare(self, names: Iterable[str]) -> None:
        """Load the weights."""
        self.weights(None)
        self.network.eval()

    @torch.no_grad()
    def __call__(self, names: Sequence[str], images: Tensor, postprocessed: bool = False) -> Tensor:
        """Separate a batch."""
        if self.segment is not None:
            pixel = MCP.spacing_at(images.shape[-1])
            images = torch.stack([with_predicted_masks(image, self.segment, pixel) for image in images])
        layers = self.inferer(images.to(self.device), self.network).detach().float().cpu()
        if not postprocessed:
            return layers
        joints = [{"image": image, "pred": pred} for image, pred in zip(images, layers, strict=True)]
        return torch.stack([self.postprocessing(joint)["pred"] for joint in joints])


class LayersFolder:
    """The layers that another program wrote: ``<name>_layers.nii.gz``, or three 8-bit PNGs, as inference writes them.

    Args:
        folder: of the files (:func:`bundle.io.read_layers`).

    Raises:
        InputError: there is no such folder; on use, if a file is missing, cannot be read or has the wrong shape.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            msg = f"expected a folder of layers, found none: {self.folder}: correct layers_dir"
            raise InputError(msg)
        self.digest = ""

    @property
    def source(self) -> str:
        """The folder's name with the checksum of the files that are used."""
        return f"layers in {self.folder.absolute().name} (sha256 {self.digest[:12]})"

    @property
    def training(self) -> None:
        """Not known."""
        return None

    def prepare(self, names: Iterable[str]) -> None:
        """Find the files of all joints."""
        checksum = hashlib.sha256()
        for name in sorted(names):
            for path in layer_files(self.folder, name):
                checksum.update(path.name.encode() + path.read_bytes())
        self.digest = checksum.hexdigest()

    def __call__(self, names: Sequence[str], images: Tensor, postprocessed: bool = False) -> Tensor:
        """Read the layers of a batch."""
        height, width = images.shape[-2:]
        return torch.stack([read_layers(self.folder, name, (height, width)) for name in names])


def choose_separator(
    layers_dir: str,
    network: nn.Module,
    weights: Any,
    inferer: Any,
    postprocessing: Any,
    device: Any,
    segmenter: MaskMaker | None = None,
    predicted_masks: bool | str = False,
) -> Separator:
    """The layers in ``layers_dir``, or where that is empty the network, which sees drawn masks if that is asked for."""
    if layers_dir:
        return LayersFolder(layers_dir)
    segment = segmenter if flag(predicted_masks) else None
    return NetworkSeparator(network, weights, inferer, postprocessing, device, segment)
