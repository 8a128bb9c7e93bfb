"""Metrics through Ignite, and the true layers that an engine hands them."""

from __future__ import annotations

import pytest
import torch
from bundle.joint import MCP
from bundle.physics.radiograph import partition
from bundle.separation.metrics import LayerRMSE, ReconstructionPSNR, layer_reference, truth_from_engine
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine
from tests.separation.metric_images import B, W, images, layers, per_image
from torch import Tensor


class Thirds(torch.nn.Module):
    """A separator that gives each layer a third of the attenuation, darkened by a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(0.9))

    def forward(self, image: Tensor) -> Tensor:
        return self.scale * partition(image[:, :1], torch.full_like(image, 1 / 3))


def evaluate(decollate: bool) -> SupervisedEvaluator:
    truth = layers(seed=3)
    truth[1] = 0.0
    samples = [{"image": MetaTensor(i), "label": MetaTensor(t)} for i, t in zip(images(), truth, strict=True)]
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=DataLoader(Dataset(samples), batch_size=2, num_workers=0),
        network=Thirds(),
        key_val_metric={
            "psnr": IgniteMetricHandler(ReconstructionPSNR(), output_transform=from_engine(["pred", "image"]))
        },
        additional_metrics={
            "overlap": IgniteMetricHandler(LayerRMSE("overlap"), output_transform=truth_from_engine()),
            "bones": IgniteMetricHandler(LayerRMSE("bones"), output_transform=truth_from_engine()),
        },
        decollate=decollate,
    )
    evaluator.run()
    return evaluator


@pytest.mark.parametrize("decollate", [True, False])
def test_metrics_run_through_an_ignite_evaluator(decollate: bool) -> None:
    state = evaluate(decollate).state
    pred = Thirds()(images()).detach()
    psnr = per_image(ReconstructionPSNR(), pred, images())
    assert state.metrics["psnr"] == pytest.approx(sum(psnr) / 3.0)
    assert state.metric_details["psnr"][:, 0].tolist() == pytest.approx(psnr)
    reference = torch.cat([layers(seed=3), images()], dim=1)
    both, bones = (per_image(LayerRMSE(region), pred, reference) for region in ("overlap", "bones"))
    assert state.metrics["overlap"] == pytest.approx(both[0])
    assert state.metrics["bones"] == pytest.approx((bones[0] + bones[2]) / 2.0)
    assert state.metric_details["bones"].isnan()[:, 0].tolist() == [False, True, False]


def test_a_second_run_of_the_evaluator_starts_afresh() -> None:
    evaluator = evaluate(decollate=True)
    first = dict(evaluator.state.metrics)
    evaluator.run()
    assert evaluator.state.metrics == first
    assert len(evaluator.state.metric_details["psnr"]) == B


def test_truth_from_engine_joins_true_layers_and_image() -> None:
    batch = {"pred": layers(), "label": layers(seed=3), "image": images()}
    y_pred, y = truth_from_engine()(batch)
    assert torch.equal(y_pred, layers()) and torch.equal(y, torch.cat([layers(seed=3), images()], dim=1))
    y_preds, ys = truth_from_engine()(decollate_batch(batch))
    assert torch.equal(torch.stack(y_preds), y_pred) and torch.equal(torch.stack(ys), y)


def test_the_supports_of_bones_are_of_the_pixel_size_that_comes_with_the_image() -> None:
    pixels = torch.tensor([[MCP.spacing_at(W)], [0.1 * MCP.spacing_at(W)]])
    batch = {"pred": layers()[:2], "label": layers(seed=3)[:2], "image": images()[:2], "spacing": pixels}
    one, several = truth_from_engine()(batch), truth_from_engine()(decollate_batch(batch))
    assert torch.equal(one[0], torch.stack(several[0])) and torch.equal(one[1], torch.stack(several[1]))
    found = per_image(LayerRMSE("bones"), *one)
    plain = per_image(LayerRMSE("bones"), one[0], layer_reference(batch["label"], batch["image"]))
    assert found[0] == plain[0] and found[1] != plain[1]
    for region in ("overlap", "soft"):
        assert per_image(LayerRMSE(region), *one) == pytest.approx(
            per_image(LayerRMSE(region), one[0], one[1][:, :-1]), nan_ok=True
        )
