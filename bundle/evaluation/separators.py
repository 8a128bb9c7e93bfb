"""Separators to evaluate: a network, or a folder of layers from any program."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from bundle.errors import InputError, flag
from bundle.io import MaskMaker, layer_files, read_layers
from bundle.joint import MCP, Keys
from bundle.quality import FlipInferer
from bundle.segmentation import with_predicted_masks
from bundle.separation import OverlapSampler
from torch import Tensor, nn


class Separator(Protocol):
    """Separator of joints into layers; an optional ``computed`` gives runtime, precision and flips for the results."""

    @property
    def source(self) -> str:
        """Name of the separator, with the weights or files that identify it."""

    @property
    def training(self) -> dict[str, Any] | None:
        """Record of its training, if known."""

    def prepare(self, names: Iterable[str]) -> None:
        """Prepare for joints with these names, or refuse before anything is measured."""

    def __call__(
        self, names: Sequence[str], images: Tensor, postprocessed: bool = False, spacings: Sequence[float] = ()
    ) -> Tensor:
        """Return the layers (B, 3, H, W), on the CPU, of radiographs with masks (B, 3, H, W).

        ``postprocessed`` requests the layers as inference writes them, with noise texture below the bones. The pixel
        sizes ``spacings`` in mm, one for each radiograph, follow from the width of the images if they are not given.
        """


class NetworkSeparator:
    """Separation by a network, with or without weights.

    Args:
        network: network from images (B, 3, H, W) to layers.
        weights: weights of the network, :class:`bundle.workflow.GeneratorWeights`.
        inferer: MONAI inferer of the network.
        corrections: MONAI transform of ``image`` and ``pred`` of a joint, applied to all layers.
        postprocessing: MONAI transform that inference applies, corrections included, to postprocessed layers.
        device: device of the network.
        segment: segmentation network whose masks replace the given ones.
        sampler: sampler of the textures of overlapping bones that the corrections apply, named in :attr:`source`.
    """

    def __init__(
        self,
        network: nn.Module,
        weights: Any,
        inferer: Callable[..., Tensor],
        corrections: Callable[[Any], Any],
        postprocessing: Callable[[Any], Any],
        device: Any = "cpu",
        segment: MaskMaker | None = None,
        sampler: OverlapSampler | None = None,
    ) -> None:
        self.segment, self.sampler = segment, sampler
        self.network, self.weights, self.inferer, self.device = network, weights, inferer, device
        self.corrections, self.postprocessing = corrections, postprocessing

    @property
    def source(self) -> str:
        """File and checksum of the weights (or the weight-free separator), of the masks' network and of the sampler."""
        masks = f", masks predicted by {self.segment}" if self.segment else ""
        return f"{self.weights.source}{masks}{f', overlap sampled by {self.sampler}' if self.sampler else ''}"

    @property
    def training(self) -> dict[str, Any] | None:
        """The training record beside the weights."""
        record: dict[str, Any] | None = self.weights.training
        return record

    @property
    def computed(self) -> Mapping[str, Any]:
        """See :meth:`bundle.quality.FlipInferer.described`; empty for another inferer."""
        return self.inferer.described() if isinstance(self.inferer, FlipInferer) else {}

    def prepare(self, names: Iterable[str]) -> None:
        """Load the weights."""
        self.weights(None)
        self.network.eval()

    @torch.no_grad()
    def __call__(
        self, names: Sequence[str], images: Tensor, postprocessed: bool = False, spacings: Sequence[float] = ()
    ) -> Tensor:
        """Separate a batch."""
        if self.segment is not None:
            pixel = MCP.spacing_at(images.shape[-1])
            images = torch.stack([with_predicted_masks(image, self.segment, pixel) for image in images])
        layers = self.inferer(images.to(self.device), self.network).detach().float().cpu()
        sizes = [{Keys.SPACING: spacing} for spacing in spacings] or [{}] * len(images)
        joints = [
            {**size, Keys.IMAGE: image, Keys.PRED: pred}
            for image, pred, size in zip(images, layers, sizes, strict=True)
        ]
        transform = self.postprocessing if postprocessed else self.corrections
        return torch.stack([transform(joint)[Keys.PRED] for joint in joints])


class LayersFolder:
    """Layers from another program: ``<name>_layers.nii.gz``, or three 8-bit PNGs, as inference writes them.

    Args:
        folder: folder of the files (:func:`bundle.io.read_layers`).

    Raises:
        InputError: the folder does not exist; on use, a file is missing, unreadable or has the wrong shape.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            msg = f"{self.folder}: the folder of layers does not exist. Correct layers_dir."
            raise InputError(msg)
        self.digest = ""

    @property
    def source(self) -> str:
        """Name of the folder with the checksum of the files used."""
        return f"layers in {self.folder.absolute().name} (sha256 {self.digest[:12]})"

    @property
    def training(self) -> None:
        """Unknown."""
        return None

    def prepare(self, names: Iterable[str]) -> None:
        """Find the files of all joints."""
        checksum = hashlib.sha256()
        for name in sorted(names):
            for path in layer_files(self.folder, name):
                checksum.update(path.name.encode() + path.read_bytes())
        self.digest = checksum.hexdigest()

    def __call__(
        self, names: Sequence[str], images: Tensor, postprocessed: bool = False, spacings: Sequence[float] = ()
    ) -> Tensor:
        """Read the layers of a batch."""
        height, width = images.shape[-2:]
        return torch.stack([read_layers(self.folder, name, (height, width)) for name in names])


def choose_separator(
    layers_dir: str,
    network: nn.Module,
    weights: Any,
    inferer: Any,
    corrections: Any,
    postprocessing: Any,
    device: Any,
    segmenter: MaskMaker | None = None,
    predicted_masks: bool | str = False,
    sampler: OverlapSampler | None = None,
) -> Separator:
    """Choose the layers in ``layers_dir``, or the network, optionally with predicted masks and sampled overlaps."""
    if layers_dir:
        return LayersFolder(layers_dir)
    segment = segmenter if flag(predicted_masks) else None
    return NetworkSeparator(network, weights, inferer, corrections, postprocessing, device, segment, sampler)


class SeparatesAnew:
    """Separation of radiographs that no set of joints holds, such as synthetic ones.

    Args:
        separator: the separator.
    """

    def __init__(self, separator: Separator) -> None:
        self.separator = separator

    @classmethod
    def of(cls, separator: Separator) -> SeparatesAnew | None:
        """Return the function of a separator; None if its layers are those of a folder."""
        return None if isinstance(separator, LayersFolder) else cls(separator)

    def __call__(self, images: Tensor) -> Tensor:
        """Separate radiographs with masks (B, 3, H, W) into layers."""
        return self.separator(["synthetic"] * len(images), images)

    def __str__(self) -> str:
        return self.separator.source
