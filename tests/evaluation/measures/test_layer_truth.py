from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.evaluation.measures.layer_truth import LayerTruth
from bundle.io.loading import Item
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.statistics.measured import SeparatedJoints

SIZE = 64
SPACING = 21 / SIZE
WIDTHS = (-0.9, -0.5, -0.9, 1.5)


@pytest.fixture(scope="module")
def joints() -> dict[str, Any]:
    """Four phantoms, the last without overlap, in two groups."""
    phantoms = [
        render(sample_parameters(seed, size=SIZE, spacing=SPACING, outline_gap_mm=jsw))
        for seed, jsw in enumerate(WIDTHS)
    ]
    images = torch.stack([torch.cat([phantom.image, (phantom.masks > 0.5).float()]) for phantom in phantoms])
    items: list[Item] = [
        {"name": f"p{row}_1", "joint": f"p{row}", "finger": "ring", "side": "left", "spacing": SPACING, "depth": depth}
        for row, depth in enumerate(["deep", "deep", "real", "real"])
    ]
    return {"items": items, "images": images, "truth": torch.stack([phantom.layers for phantom in phantoms])}


def test_the_true_layers_have_no_error(joints: dict[str, Any]) -> None:
    figures = LayerTruth(samples=10)(SeparatedJoints(layers=joints["truth"], **joints)).figures
    assert figures["overlap_rmse"] == figures["bones_rmse"] == figures["soft_rmse"] == 0.0
    assert figures["weight_free_overlap_rmse"] > 0.02
    assert figures["images"] == 4


def test_the_reference_is_the_weight_free_separator_on_the_same_images(joints: dict[str, Any]) -> None:
    images = joints["images"]
    measured = LayerTruth(samples=10)(SeparatedJoints(layers=separate(images[:, :1], images[:, 1:], SPACING), **joints))
    for region in ("overlap", "bones", "soft"):
        own, theirs = measured.figures[f"{region}_rmse"], measured.figures[f"weight_free_{region}_rmse"]
        assert own == pytest.approx(theirs, rel=1e-5)
        assert own > 0.0


def test_an_error_in_the_overlap_is_its_root_mean_square(joints: dict[str, Any]) -> None:
    """Both bone layers 0.03 off in the overlap, the soft tissue 0.02 off everywhere."""
    both = joints["images"][:, 1:].prod(dim=1, keepdim=True)
    layers = joints["truth"] + torch.cat([torch.full_like(both, 0.02), 0.03 * both, -0.03 * both], dim=1)
    measured = LayerTruth(samples=10)(SeparatedJoints(layers=layers, **joints))
    assert measured.figures["overlap_rmse"] == pytest.approx(0.03, rel=1e-3)
    assert measured.figures["soft_rmse"] == pytest.approx(0.02, rel=1e-3)
    assert 0.0 < measured.figures["bones_rmse"] < 0.03


def test_groups_have_figures_of_their_own(joints: dict[str, Any]) -> None:
    layers = joints["truth"].clone()
    layers[:2, 0] += 0.01
    layers[2:, 0] += 0.02
    measured = LayerTruth(group_by="depth", samples=10)(SeparatedJoints(layers=layers, **joints))
    assert measured.figures["deep_soft_rmse"] == pytest.approx(0.01, rel=1e-3)
    assert measured.figures["real_soft_rmse"] == pytest.approx(0.02, rel=1e-3)
    assert measured.figures["deep_images"] == measured.figures["real_images"] == 2
    assert measured.per_image["depth"].tolist() == ["deep", "deep", "real", "real"]


def test_sizes_and_the_worst_are_those_of_the_overlap(joints: dict[str, Any]) -> None:
    layers = joints["truth"].clone()
    layers[2, 1] = (layers[2, 1] + 0.2).clamp(max=1.0)
    measured = LayerTruth(samples=10)(SeparatedJoints(layers=layers, **joints))
    assert measured.worst[0] == "p2_1"
    assert measured.worst[-1] == "p3_1"
    pixels = joints["images"][:, 1:].prod(dim=1).sum(dim=(1, 2))
    assert measured.per_image["overlap_px"].tolist() == pixels.tolist()
    assert measured.per_image["outline_gap_mm"].tolist() == pytest.approx(WIDTHS, abs=0.3)
    assert list(measured.plots) == ["error_against_overlap"]


def test_joints_without_true_layers_are_refused(joints: dict[str, Any]) -> None:
    unknown = SeparatedJoints(joints["items"], joints["images"], joints["truth"])
    with pytest.raises(ValueError, match="the true layers of some joints are unknown"):
        LayerTruth()(unknown)
