"""Metrics against loops over pixels and against MONAI's own."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from bundle.joint import MCP
from bundle.physics.harmonic import separate, support
from bundle.physics.masks import overlap, visible_region
from bundle.physics.radiograph import reconstruct
from bundle.separation.metrics import (
    LayerRMSE,
    PixelRowFrechetDistance,
    ReconstructionMSE,
    ReconstructionPSNR,
    ReconstructionSSIM,
    SeparationMetric,
    pixel_row_frechet_distance,
)
from monai.data import MetaTensor
from monai.metrics import MSEMetric, PSNRMetric, SSIMMetric
from monai.metrics.fid import get_fid_score
from tests.separation.metric_images import B, H, W, draw, images, layers, per_image
from torch import Tensor

RECONSTRUCTION = [ReconstructionMSE, ReconstructionPSNR, ReconstructionSSIM, PixelRowFrechetDistance]


def pixels() -> list[tuple[int, int]]:
    return list(itertools.product(range(H), range(W)))


def naive_visible(J: Tensor, M: Tensor, y: int, x: int) -> bool:
    return bool(J[0, y, x] > 0.02) or bool(M[:, y, x].max() > 0.5)


def naive_mse(image: Tensor, L: Tensor, region: str) -> float:
    J, M = image[:1].double(), image[1:]
    errors = []
    for y, x in pixels():
        if region == "frame" or naive_visible(J, M, y, x):
            R = 1.0 - math.prod(1.0 - float(L[c, y, x]) for c in range(3))
            errors.append((R - float(J[0, y, x])) ** 2)
    return sum(errors) / len(errors)


def naive_ssim(image: Tensor, L: Tensor, region: str) -> float:
    """Wang et al. 2004, Eq. 13, with a Gaussian window of 11 pixels and sigma 1.5."""
    J, M = image[0].double(), image[1:]
    R = reconstruct(L.double())[0]
    g = torch.exp(-(torch.arange(-5, 6, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    window = g[:, None] * g[None, :] / g.sum() ** 2
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for y, x in pixels():
        if not (5 <= y < H - 5 and 5 <= x < W - 5):
            continue
        if region == "visible" and not naive_visible(image[:1], M, y, x):
            continue
        a, b = R[y - 5 : y + 6, x - 5 : x + 6], J[y - 5 : y + 6, x - 5 : x + 6]
        mean_a, mean_b = (window * a).sum(), (window * b).sum()
        var_a, var_b = (window * (a - mean_a) ** 2).sum(), (window * (b - mean_b) ** 2).sum()
        cov = (window * (a - mean_a) * (b - mean_b)).sum()
        numerator = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
        values.append(float(numerator / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))))
    return sum(values) / len(values)


@pytest.mark.parametrize("region", ["visible", "frame"])
def test_mse_and_psnr_are_the_loop_over_the_pixels(region: str) -> None:
    expected = [naive_mse(image, L, region) for image, L in zip(images(), layers(), strict=True)]
    assert per_image(ReconstructionMSE(region), layers(), images()) == pytest.approx(expected, rel=1e-5)
    decibel = [-10.0 * math.log10(mse) for mse in expected]
    assert per_image(ReconstructionPSNR(region), layers(), images()) == pytest.approx(decibel, rel=1e-5)


@pytest.mark.parametrize("region", ["visible", "frame"])
def test_ssim_is_the_loop_over_the_windows(region: str) -> None:
    """The left border is made of the air that the visible region leaves out, up to the first window's centre."""
    image = images()
    image[:, 0, :, :8] = 0.0
    expected = [naive_ssim(J, L, region) for J, L in zip(image, layers(), strict=True)]
    assert per_image(ReconstructionSSIM(region), layers(), image) == pytest.approx(expected, rel=1e-4)


def test_frame_metrics_are_those_of_monai() -> None:
    R, J = reconstruct(layers()), images()[:, :1]
    pairs = [
        (ReconstructionMSE("frame"), MSEMetric()),
        (ReconstructionPSNR("frame"), PSNRMetric(max_val=1.0)),
        (ReconstructionSSIM("frame"), SSIMMetric(spatial_dims=2)),
    ]
    for ours, monai in pairs:
        expected = monai(R, J)
        assert isinstance(expected, Tensor)
        assert per_image(ours, layers(), images()) == pytest.approx(expected[:, 0].tolist(), rel=1e-6)


@pytest.mark.parametrize("metric", [ReconstructionMSE, PixelRowFrechetDistance])
def test_what_the_air_shows_counts_in_the_frame_only(metric: type[ReconstructionMSE]) -> None:
    wrong_in_air = layers()
    wrong_in_air[..., :4] = 0.9
    visible, frame = metric("visible"), metric("frame")
    assert per_image(visible, wrong_in_air, images()) == per_image(visible, layers(), images())
    assert min(per_image(frame, wrong_in_air, images())) > 0.1


def test_an_error_of_a_hundredth_is_forty_decibel() -> None:
    image = images()
    soft_only = torch.cat([image[:, :1] + 0.01, torch.zeros(B, 2, H, W)], dim=1)
    for region in ("visible", "frame"):
        assert per_image(ReconstructionMSE(region), soft_only, image) == pytest.approx([1e-4] * B, rel=1e-4)
        assert per_image(ReconstructionPSNR(region), soft_only, image) == pytest.approx([40.0] * B, abs=1e-3)


@pytest.mark.parametrize("region", ["visible", "frame"])
def test_exact_reconstruction_has_the_stated_finite_values(region: str) -> None:
    image = images()
    exact = separate(image[:, :1], image[:, 1:])
    assert float((exact[:, 1:] > 0.0).float().mean()) > 0.05
    assert per_image(ReconstructionMSE(region), exact, image) == pytest.approx([0.0] * B, abs=1e-12)
    assert per_image(ReconstructionPSNR(region), exact, image) == pytest.approx([120.0] * B)
    assert per_image(ReconstructionPSNR(region, floor=1e-9), exact, image) == pytest.approx([90.0] * B)
    assert per_image(ReconstructionSSIM(region), exact, image) == pytest.approx([1.0] * B, abs=1e-5)
    assert per_image(PixelRowFrechetDistance(region), exact, image) == pytest.approx([0.0] * B, abs=1e-9)


@pytest.mark.parametrize("metric", [*RECONSTRUCTION, LayerRMSE])
def test_a_batch_a_list_and_meta_tensors_give_the_same(metric: type[SeparationMetric]) -> None:
    y = images() if metric is not LayerRMSE else torch.cat([layers(seed=3), images()], dim=1)
    batch = per_image(metric(), layers(), y)
    metas = [[MetaTensor(x, meta={"filename_or_obj": "a.png"}) for x in t] for t in (layers(), y)]
    assert per_image(metric(), list(layers()), list(y)) == pytest.approx(batch, rel=1e-4, nan_ok=True)
    assert per_image(metric(), *metas) == pytest.approx(batch, rel=1e-4, nan_ok=True)


def test_half_precision_layers_are_measured_in_float32() -> None:
    half = layers().half()
    assert per_image(ReconstructionMSE(), half, images()) == per_image(ReconstructionMSE(), half.float(), images())


def test_a_frame_of_air_has_no_visible_error() -> None:
    image = torch.zeros(1, 3, H, W)
    for metric in RECONSTRUCTION[:3]:
        assert per_image(metric("visible"), layers()[:1], image) == pytest.approx([math.nan], nan_ok=True)


def naive_layer_rmse(L: Tensor, truth: Tensor, image: Tensor, region: str) -> float:
    M, grown = image[1:], support(image[None, 1:], MCP.spacing_at(W))[0]
    errors = []
    for y, x in pixels():
        for c in (0, 1, 2):
            both = bool(M[0, y, x]) and bool(M[1, y, x])
            inside = {
                "overlap": c > 0 and both,
                "bones": c > 0 and bool(grown[c - 1, y, x]),
                "soft": c == 0 and naive_visible(image[:1], M, y, x),
            }[region]
            if inside:
                errors.append(float(L[c, y, x] - truth[c, y, x]) ** 2)
    return math.sqrt(sum(errors) / len(errors)) if errors else math.nan


@pytest.mark.parametrize("region", ["overlap", "bones", "soft"])
def test_layer_rmse_is_the_loop_over_the_region(region: str) -> None:
    truth, image = layers(seed=3), images()
    expected = [naive_layer_rmse(*sample, region) for sample in zip(layers(), truth, image, strict=True)]
    assert math.isnan(expected[-1]) == (region == "overlap")
    measured = per_image(LayerRMSE(region), layers(), torch.cat([truth, image], dim=1))
    assert measured == pytest.approx(expected, rel=1e-5, nan_ok=True)


def test_layer_rmse_sees_each_region_alone() -> None:
    truth, image = layers(seed=3), images()[:1]
    y = torch.cat([truth[:1], image], dim=1)
    off = torch.zeros(1, 3, H, W)
    off[:, 1:] = 0.1 * overlap(image[:, 1:])
    assert per_image(LayerRMSE("overlap"), truth[:1] + off, y) == pytest.approx([0.1], rel=1e-5)
    assert 0.0 < per_image(LayerRMSE("bones"), truth[:1] + off, y)[0] < 0.1
    assert per_image(LayerRMSE("soft"), truth[:1] + off, y) == [0.0]
    off = torch.zeros(1, 3, H, W)
    off[:, :1] = 0.2 * visible_region(image[:, :1], image[:, 1:])
    assert per_image(LayerRMSE("soft"), truth[:1] + off, y) == pytest.approx([0.2], rel=1e-5)
    assert per_image(LayerRMSE("bones"), truth[:1] + off, y) == [0.0]


def test_layer_rmse_of_an_overlap_of_one_pixel_is_its_error() -> None:
    truth, image = layers(seed=3)[:1], images()[:1]
    image[:, 2] = 0.0
    image[:, 2, 12, 10] = 1.0
    off = torch.zeros(1, 3, H, W)
    off[:, 1, 12, 10] = 0.3
    expected = math.sqrt(0.3**2 / 2.0)
    assert per_image(LayerRMSE("overlap"), truth + off, torch.cat([truth, image], dim=1)) == pytest.approx([expected])


def test_layer_rmse_without_true_layers_is_not_defined() -> None:
    truth = layers(seed=3)
    truth[1] = 0.0
    for region in LayerRMSE.regions:
        values = per_image(LayerRMSE(region), layers(), torch.cat([truth, images()], dim=1))
        assert math.isnan(values[1]) and not math.isnan(values[0])


def test_undefined_images_are_left_out_of_the_mean() -> None:
    metric = LayerRMSE("overlap", get_not_nans=True)
    values = per_image(metric, layers(), torch.cat([layers(seed=3), images()], dim=1))
    mean, count = metric.aggregate()
    assert float(count) == 2.0
    assert float(mean) == pytest.approx(sum(values[:2]) / 2.0)


def test_a_mean_over_no_image_is_not_a_perfect_error() -> None:
    metric = LayerRMSE("overlap")
    metric(layers(), torch.cat([torch.zeros(B, 3, H, W), images()], dim=1))
    assert math.isnan(metric.aggregate())
    assert metric.aggregate(reduction="none").isnan().all()


@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("metric", "worst"),
    [
        (ReconstructionMSE(), math.inf),
        (ReconstructionPSNR(), -math.inf),
        (ReconstructionSSIM(), -1.0),
        (PixelRowFrechetDistance(), math.inf),
    ],
)
def test_a_prediction_that_is_not_finite_is_the_worst(metric: SeparationMetric, worst: float, broken: float) -> None:
    y_pred = layers()
    y_pred[1, 0, 3, 10] = broken
    values = per_image(metric, y_pred, images())
    assert values[1] == worst
    assert all(math.isfinite(values[i]) for i in (0, 2))
    assert float(metric.aggregate()) == pytest.approx((values[0] + worst + values[2]) / 3.0)


def test_a_broken_prediction_does_not_make_an_unknown_truth_known() -> None:
    y_pred = torch.full((B, 3, H, W), math.nan)
    values = per_image(LayerRMSE("overlap"), y_pred, torch.cat([layers(), images()], dim=1))
    assert values == pytest.approx([math.inf, math.inf, math.nan], nan_ok=True)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\('visible', 'frame'\), got 'overlap'"):
        ReconstructionMSE("overlap")


@pytest.mark.parametrize("metric", [ReconstructionPSNR(), LayerRMSE()])
def test_a_reference_that_does_not_fit_is_refused(metric: SeparationMetric) -> None:
    with pytest.raises(ValueError, match=r"got \(3, 3, 20, 17\) and \(3, 1, 20, 17\)"):
        metric(layers(), images()[:, :1])


def test_aggregate_before_any_image_is_refused() -> None:
    with pytest.raises(ValueError, match=r"ReconstructionMSE\.aggregate\(\) was called before any image"):
        ReconstructionMSE().aggregate()


def test_frechet_distance_is_that_of_monai_for_the_rows() -> None:
    """Taller than wide, so that MONAI's square root of the covariances is well conditioned."""
    a, b = draw(2, 1, 60, 8, seed=4), draw(2, 1, 60, 8, seed=5) ** 2
    expected = [float(get_fid_score(x[0], y[0])) for x, y in zip(a, b, strict=True)]
    assert pixel_row_frechet_distance(a, b).tolist() == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_of_a_brighter_image_is_the_shift_of_its_rows() -> None:
    a = draw(1, 1, 6, 9)
    assert float(pixel_row_frechet_distance(a, a + 0.1)) == pytest.approx(9 * 0.1**2, rel=1e-4)


def test_frechet_distance_of_a_scaled_image_is_known_with_singular_covariances() -> None:
    """S_b = s^2 S_a, so the distance is (1 - s)^2 (|m_a|^2 + tr S_a); 6 rows of 9 columns are singular."""
    a = draw(1, 1, 6, 9)
    rows = a[0, 0].double()
    expected = 0.7**2 * float((rows.mean(0) ** 2).sum() + rows.var(0, correction=1).sum())
    assert float(pixel_row_frechet_distance(a, 0.3 * a)) == pytest.approx(expected, rel=1e-5)


def test_frechet_distance_does_not_know_the_order_of_the_rows() -> None:
    a = draw(1, 1, 12, 9)
    assert float(pixel_row_frechet_distance(a, a.flip(2))) == pytest.approx(0.0, abs=1e-9)
    assert float(pixel_row_frechet_distance(a, a.flip(3))) > 0.01


def test_frechet_distance_refuses_more_than_one_channel() -> None:
    with pytest.raises(ValueError, match=r"got \(3, 3, 20, 17\)"):
        pixel_row_frechet_distance(layers(), layers())
