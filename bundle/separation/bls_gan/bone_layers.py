"""Generator of BLS-GAN (arXiv 2409.07304): two bone layers, each with its soft tissue, and the correction k."""

from __future__ import annotations

import torch
from bundle.joint import MCP
from bundle.networks import ReducedResolution
from bundle.physics import attenuation, intensity, laplace_fill, overlap, support, union
from torch import Tensor, nn


class Correction(nn.Module):
    """Small regressor of k, the intensity of the soft tissue in the overlap, from a radiograph.

    The published network is a VGG11 with a head for 256 x 256 images (42 M parameters). This network has the same
    convolutions, starting at ``width`` channels, and global average pooling, so that it accepts any image size.

    Args:
        width: channels of the first convolution; later ones double up to ``8 * width``. Published: 64.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 8 * width, 8 * width]
        layers: list[nn.Module] = []
        for depth, (before, after) in enumerate(zip([1, *widths], widths, strict=False)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU()]
            if depth >= 2:
                layers += [nn.Conv2d(after, after, 3, padding=1), nn.ReLU()]
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.k = nn.Sequential(nn.Linear(widths[-1], 2 * width), nn.ReLU(), nn.Linear(2 * width, 1), nn.Sigmoid())

    def forward(self, image: Tensor) -> Tensor:
        """Predict k in (0, 1), (B, 1, 1, 1), from radiographs (B, 1, H, W)."""
        return self.k(self.features(image))[..., None, None]


class BoneLayerGenerator(nn.Module):
    """``B = N_G(J, M) * M``: each bone with its soft tissue, plus k for the reconstruction (:func:`reconstruct_bones`).

    BLS-GAN has no soft-tissue layer. For three layers, soft tissue is the radiograph outside the masks; inside, it is
    the Laplace fill from the tissue outside the grown support. A bone layer is the excess over that tissue,
    ``L_i = 1 - (1 - B_i) / (1 - L_0)``, clipped at 0.

    Args:
        backbone: network from (B, 3, H, W) to (B, 2, H, W).
        correction: network from (B, 1, H, W) to k (B, 1, 1, 1).
        reduction: downsampling factor of the backbone's input.
        spacing_mm: pixel size in mm of the images that the network is made for.
    """

    def __init__(
        self, backbone: nn.Module, correction: nn.Module, reduction: int = 1, spacing_mm: float = MCP.spacing_mm
    ) -> None:
        super().__init__()
        self.spacing_mm = spacing_mm
        self.backbone = ReducedResolution(backbone, reduction)
        self.correction = correction

    def forward(self, image: Tensor, separated: bool = True) -> Tensor:
        """Separate images (B, 3, H, W) = [J, M_lower, M_upper]; the backbone receives only the bone pixels.

        Args:
            image: float, values in [0, 1].
            separated: whether to return layers. False returns the training outputs: k on every pixel, and the two bones
                B with their soft tissue.

        Returns:
            Layers soft tissue, lower bone, upper bone, (B, 3, H, W) in [0, 1]; or [k, B_lower, B_upper].
        """
        masks = image[:, 1:]
        shown = image[:, :1] * union(masks)
        logits = self.backbone(torch.cat([shown, masks], dim=1))
        bones = torch.sigmoid(logits.to(image.dtype)) * masks
        if separated:
            return self._layers(image[:, :1], masks, bones)
        return torch.cat([self.correction(shown).to(image.dtype).expand_as(shown), bones], dim=1)

    def _layers(self, radiograph: Tensor, masks: Tensor, bones: Tensor) -> Tensor:
        soft = filled_tissue(radiograph, masks, self.spacing_mm)
        excess = 1.0 - (1.0 - bones) / (1.0 - soft).clamp(min=1e-3)
        return torch.cat([soft, excess.clamp(0.0, 1.0) * masks], dim=1)


def filled_tissue(radiograph: Tensor, masks: Tensor, spacing_mm: float = MCP.spacing_mm) -> Tensor:
    """Estimate soft tissue (B, 1, H, W): J outside the masks; inside, the weight-free fill, at most J."""
    total = attenuation(radiograph)
    tissue = (support(masks, spacing_mm).amax(dim=1, keepdim=True) < 0.5).to(total.dtype)
    fill = torch.minimum(laplace_fill(total, tissue).clamp(min=0.0), total)
    return torch.where(union(masks) > 0.5, intensity(fill), radiograph)


def reconstruct_bones(bones: Tensor, k: Tensor, masks: Tensor) -> Tensor:
    """``R = 1 - (1 - B_1) (1 - B_2) / (1 - k M_cap)``: k removes once the tissue that both bones contain.

    Args:
        bones: (B, 2, H, W), each with its soft tissue, 0 outside its mask.
        k: intensity of the soft tissue in the overlap, (B, 1, H, W) or (B, 1, 1, 1).
        masks: (B, 2, H, W).

    Returns:
        The radiograph of the bones, (B, 1, H, W).
    """
    through = (1.0 - bones).prod(dim=1, keepdim=True)
    return 1.0 - through / (1.0 - k * overlap(masks)).clamp(min=1e-3)
