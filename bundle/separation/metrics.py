"""Separation metrics: reconstruction of the radiograph (E1) and distance from known layers (E2, E3).

The metrics are MONAI ``CumulativeIterationMetric``s, for ``monai.handlers.IgniteMetricHandler`` or a custom loop.
``get_buffer()`` returns one value per image, (N, 1), in input order; :func:`bundle.statistics.summarize` computes the
per-finger tables from these values. The value is NaN, and excluded from means, where a metric is undefined (no overlap,
no true layers ...). A prediction that is not finite gets the worst possible value, so that a diverged network does not
count as unmeasured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from bundle.joint import MCP, Keys
from bundle.physics import by_pixel_size, overlap, reconstruct, support, visible_region
from monai.metrics.regression import RegressionMetric, compute_ssim_and_cs
from monai.metrics.utils import do_metric_reduction
from monai.utils import MetricReduction, convert_to_tensor
from torch import Tensor

BATCH = 16
"""Number of images per step of :func:`values_of`."""


def truth_from_engine(
    pred: str = "pred", label: str = "label", image: str = "image", spacing: str = Keys.SPACING
) -> Callable[[Any], Any]:
    """Create the ``output_transform`` of an ``IgniteMetricHandler`` for :class:`LayerRMSE`.

    MONAI's handler passes a prediction and ONE reference to its metric, see :func:`layer_reference`.

    Args:
        pred: key of the generated layers in ``engine.state.output``, decollated or not.
        label: key of the true layers.
        image: key of radiograph and masks.
        spacing: key of the pixel size in mm; the output may lack it.

    Returns:
        A function from the engine's output to ``(y_pred, y)``.
    """

    def transform(output: Any) -> tuple[Any, Any]:
        if isinstance(output, Mapping):
            return output[pred], layer_reference(output[label], output[image], output.get(spacing))
        known = [layer_reference(one[label][None], one[image][None], one.get(spacing))[0] for one in output]
        return [one[pred] for one in output], known

    return transform


def layer_reference(truth: Tensor, images: Tensor, spacing: Tensor | None = None) -> Tensor:
    """Concatenate what :class:`LayerRMSE` compares layers with.

    Args:
        truth: true layers, (B, 3, H, W).
        images: radiograph and masks, (B, 3, H, W).
        spacing: pixel size in mm, (B,) or (B, 1); None for that of a frame of an MCP joint.

    Returns:
        (B, 7, H, W), the last channel the pixel size; (B, 6, H, W) without it.
    """
    if spacing is None:
        return torch.cat([truth, images], dim=1)
    pixel = spacing.to(images).reshape(-1, 1, 1, 1).expand_as(images[:, :1])
    return torch.cat([truth, images, pixel], dim=1)


class SeparationMetric(RegressionMetric):
    """Base class: one value per image from generated layers ``y_pred`` (B, 3, H, W) and a reference ``y``.

    Derived classes define the regions, the number of channels of the reference, and the score of a batch.

    Args:
        region: region of comparison, one of ``regions``; default: the first.
        reduction: MONAI reduction of the values by ``aggregate()``; NaN if no image has a value.
        get_not_nans: whether ``aggregate()`` also returns the number of images with a value.

    Raises:
        ValueError: if the region is unknown; on call, if the shapes do not match.
    """

    regions: ClassVar[tuple[str, ...]]
    worst: ClassVar[float] = math.inf

    def __init__(
        self,
        region: str | None = None,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__(reduction=reduction, get_not_nans=get_not_nans)
        self.region = self.regions[0] if region is None else region
        if self.region not in self.regions:
            msg = f"region must be one of {self.regions}, got {region!r}"
            raise ValueError(msg)

    def aggregate(self, reduction: MetricReduction | str | None = None) -> Any:
        """Reduce the values of all images as in MONAI, but return NaN (not 0, a perfect error) if none has a value.

        Raises:
            ValueError: if no image was passed.
        """
        values = self.get_buffer()
        if values is None:
            msg = f"{type(self).__name__}.aggregate() was called before any image was passed"
            raise ValueError(msg)
        result, not_nans = do_metric_reduction(values, reduction or self.reduction)
        result = torch.where(not_nans > 0, result, math.nan)
        return (result, not_nans) if self.get_not_nans else result

    def _channels(self, layers: int) -> int:
        """Channels of the reference: radiograph and one mask per bone."""
        return layers

    def _check_shape(self, y_pred: Tensor, y: Tensor) -> None:
        shape = tuple(y_pred.shape)
        expected = (shape[0], self._channels(shape[1]), *shape[2:])
        if len(shape) != 4 or tuple(y.shape) != expected:
            msg = f"layers must be (B, C, H, W) and the reference {expected}, got {shape} and {tuple(y.shape)}"
            raise ValueError(msg)

    def _compute_metric(self, y_pred: Tensor, y: Tensor) -> Tensor:
        layers = convert_to_tensor(y_pred, track_meta=False).float()
        broken = ~layers.isfinite().flatten(1).all(dim=1)
        usable = layers.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
        score = self._score(usable, convert_to_tensor(y, track_meta=False).float())
        return score.masked_fill(broken & ~score.isnan(), self.worst)[:, None]

    def _score(self, layers: Tensor, reference: Tensor) -> Tensor:
        """(B,) from finite layers (B, C, H, W) and the reference, both float32."""
        raise NotImplementedError


class ReconstructionMSE(SeparationMetric):
    """E1: mean squared error of R = f_r(L) against the radiograph J.

    ``y`` is the network's input [J, M_lower, M_upper], (B, 3, H, W).

    Args:
        region: "visible" (default: the finger; NaN for a frame of air only) or "frame".
        reduction: see :class:`SeparationMetric`.
        get_not_nans: see :class:`SeparationMetric`.
    """

    regions = ("visible", "frame")

    def _score(self, layers: Tensor, reference: Tensor) -> Tensor:
        J = reference[:, :1]  # noqa: N806
        return self._compare(reconstruct(layers), J, self._weights(J, reference[:, 1:]))

    def _weights(self, J: Tensor, M: Tensor) -> Tensor:  # noqa: N803
        return visible_region(J, M) if self.region == "visible" else torch.ones_like(J)

    def _compare(self, R: Tensor, J: Tensor, weights: Tensor) -> Tensor:  # noqa: N803
        return _weighted_mean((R - J) ** 2, weights)


class ReconstructionPSNR(ReconstructionMSE):
    """E1: peak signal-to-noise ratio ``-10 log10(MSE)`` in dB, for intensities in [0, 1].

    An error below ``floor`` counts as ``floor``, so that images equal to float precision score 120 dB rather than
    infinity or a value that depends on the last bit.

    Args:
        region: see :class:`ReconstructionMSE`.
        floor: lower bound of the mean squared error.
        reduction: see :class:`SeparationMetric`.
        get_not_nans: see :class:`SeparationMetric`.
    """

    worst = -math.inf

    def __init__(
        self,
        region: str | None = None,
        floor: float = 1e-12,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__(region, reduction, get_not_nans)
        self.floor = floor

    def _compare(self, R: Tensor, J: Tensor, weights: Tensor) -> Tensor:  # noqa: N803
        return -10.0 * super()._compare(R, J, weights).clamp(min=self.floor).log10()


class ReconstructionSSIM(ReconstructionMSE):
    """E1: structural similarity, MONAI's map averaged over the region; 1 for equal images.

    Windows lie inside the frame, so the outermost ``win_size // 2`` pixels do not count.

    Args:
        region: see :class:`ReconstructionMSE`; refers to the window centres.
        win_size: side of the window in pixels.
        kernel_sigma: standard deviation of the Gaussian window in pixels.
        reduction: see :class:`SeparationMetric`.
        get_not_nans: see :class:`SeparationMetric`.
    """

    worst = -1.0

    def __init__(
        self,
        region: str | None = None,
        win_size: int = 11,
        kernel_sigma: float = 1.5,
        reduction: MetricReduction | str = MetricReduction.MEAN,
        get_not_nans: bool = False,
    ) -> None:
        super().__init__(region, reduction, get_not_nans)
        self.win_size = win_size
        self.kernel_sigma = kernel_sigma

    def _compare(self, R: Tensor, J: Tensor, weights: Tensor) -> Tensor:  # noqa: N803
        window, sigma = (self.win_size,) * 2, (self.kernel_sigma,) * 2
        similarity, _ = compute_ssim_and_cs(R, J, spatial_dims=2, kernel_size=window, kernel_sigma=sigma)
        height, width = similarity.shape[-2:]
        first = (self.win_size - 1) // 2
        return _weighted_mean(similarity, weights[..., first : first + height, first : first + width])


class PixelRowFrechetDistance(ReconstructionMSE):
    """E1, for comparison only: :func:`pixel_row_frechet_distance` of R and J, both set to 0 outside the region.

    Args:
        region: "frame" (default, as the authors) or "visible".
        reduction: see :class:`SeparationMetric`.
        get_not_nans: see :class:`SeparationMetric`.
    """

    regions = ("frame", "visible")

    def _compare(self, R: Tensor, J: Tensor, weights: Tensor) -> Tensor:  # noqa: N803
        return pixel_row_frechet_distance(R * weights, J * weights)


class LayerRMSE(SeparationMetric):
    """E2 and E3: root mean squared error of the layers against true layers.

    ``y`` is that of :func:`layer_reference`: the true layers, the network's input [J, M_lower, M_upper] and optionally
    the pixel size. NaN for an image whose true layers are all zero (unknown), or whose region is smaller than a pixel.

    Args:
        region: "overlap" (default) compares the bone layers in the overlap; "bones" compares each bone layer in its
            grown support, which is the same for every separator; "soft" compares the soft-tissue layer in the visible
            region. Both bones are pooled in one value.
        reduction: see :class:`SeparationMetric`.
        get_not_nans: see :class:`SeparationMetric`.
    """

    regions = ("overlap", "bones", "soft")

    def _check_shape(self, y_pred: Tensor, y: Tensor) -> None:
        has_spacing = y_pred.ndim == y.ndim == 4 and y.shape[1] == 2 * y_pred.shape[1] + 1
        super()._check_shape(y_pred, y[:, :-1] if has_spacing else y)

    def _channels(self, layers: int) -> int:
        return 2 * layers

    def _score(self, layers: Tensor, reference: Tensor) -> Tensor:
        count = layers.shape[1]
        truth, J, M, spacing = reference.tensor_split([count, count + 1, 2 * count], 1)  # noqa: N806
        pixel = spacing[:, 0, 0, 0] if spacing.shape[1] else MCP.spacing_at(M.shape[-1])
        channels = slice(0, 1) if self.region == "soft" else slice(1, None)
        error = _weighted_mean((layers - truth)[:, channels] ** 2, self._weights(J, M, pixel)).sqrt()
        unknown = (truth == 0.0).flatten(1).all(dim=1)
        return error.masked_fill(unknown, math.nan)

    def _weights(self, J: Tensor, M: Tensor, spacing: float | Tensor) -> Tensor:  # noqa: N803
        if self.region == "soft":
            return visible_region(J, M)
        if self.region == "overlap":
            return overlap(M)
        return torch.cat(by_pixel_size(lambda pixel, part: support(part, pixel), spacing, M))


def pixel_row_frechet_distance(a: Tensor, b: Tensor) -> Tensor:
    """Compute the Frechet distance of two Gaussians fitted to the pixel rows of two images.

    The LSN authors' code reports this value as "FID": each row of ONE image is a sample, its columns the variables. It
    uses no Inception network and is not FID. Use it only for comparison with their tables.

    ``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))``. The trace of the root is the nuclear norm of
    ``A B^T / (H - 1)`` for the centred rows A and B, which is exact also for singular covariances.

    Args:
        a: images, (B, 1, H, W), H >= 2.
        b: images of the same shape.

    Returns:
        (B,), non-negative, in squared intensity summed over the columns.

    Raises:
        ValueError: if the shapes do not match.
    """
    if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 1 or a.shape[2] < 2:
        msg = f"both images must be of the same shape (B, 1, H >= 2, W), got {tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(msg)
    a, b = a[:, 0].double(), b[:, 0].double()
    mean_a, mean_b = a.mean(dim=1, keepdim=True), b.mean(dim=1, keepdim=True)
    a, b = a - mean_a, b - mean_b
    root = torch.linalg.svdvals(a @ b.mT).sum(dim=-1)
    scatter = (a**2).sum(dim=(1, 2)) + (b**2).sum(dim=(1, 2)) - 2.0 * root
    distance = ((mean_a - mean_b) ** 2).sum(dim=(1, 2)) + scatter / (a.shape[1] - 1)
    return distance.clamp(min=0.0).float()


def _weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of each sample, (B, C, H, W) to (B,); NaN for a region smaller than a pixel."""
    weights = weights.expand_as(values).flatten(1)
    area = weights.sum(dim=1)
    mean = (values.flatten(1) * weights).sum(dim=1) / area.clamp(min=1.0)
    return mean.masked_fill(area < 1.0, math.nan)


def values_of(metrics: Mapping[str, SeparationMetric], layers: Tensor, reference: Tensor) -> dict[str, Any]:
    """Compute each metric per image, (N,), from layers (N, 3, H, W) and the metrics' reference (N, C, H, W)."""
    for metric in metrics.values():
        metric.reset()
        for given, known in zip(layers.split(BATCH), reference.split(BATCH), strict=True):
            metric(given, known)
    return {name: torch.as_tensor(metric.get_buffer()).reshape(-1).numpy() for name, metric in metrics.items()}
