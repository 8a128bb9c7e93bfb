"""Layers of a sample are separated and composed."""

from __future__ import annotations

import pytest
import torch
from bundle.joint import MCP
from bundle.physics.partial_volume import clear_outlines
from bundle.physics.radiograph import reconstruct
from bundle.separation.transforms.layers import ClearOutlinesd, Reconstructd, SeparateLayersd
from tests.separation.transforms.samples import SIZE, Sample, rendered, same, sample


def test_layers_are_separated_where_they_are_not_known() -> None:
    given = sample(label=torch.zeros(3, SIZE, SIZE))
    assert torch.equal(SeparateLayersd()(given)["label"], rendered(0, 1.3)[1])
    del given["truth"]
    assert torch.equal(SeparateLayersd()(given)["label"], rendered(0, 1.3)[1])
    known = sample(label=torch.full((3, SIZE, SIZE), 0.5), truth=torch.ones(1))
    assert same(SeparateLayersd()(known), known)


def test_separating_follows_its_keys() -> None:
    given: Sample = {"joint": sample()["image"], "known": torch.zeros(1)}
    result = SeparateLayersd("joint", label_key="layers", truth_key="known")(given)
    assert torch.equal(result["layers"], rendered(0, 1.3)[1])
    assert "layers" not in given
    with pytest.raises(KeyError, match="`image` of transform `SeparateLayersd`"):
        SeparateLayersd()(given)
    assert same(SeparateLayersd(allow_missing_keys=True)(given), given)


def separated(**known: float) -> Sample:
    sizes = {key: torch.tensor([value]) for key, value in known.items()}
    return {"image": sample()["image"], "pred": rendered(1, 0.5)[1], **sizes}


@pytest.mark.parametrize(("known", "pixel"), [({}, MCP.spacing_at(SIZE)), ({"spacing": 0.1}, 0.1)])
def test_layers_are_cleared_along_the_outlines(known: dict[str, float], pixel: float) -> None:
    given = separated(**known)
    expected = clear_outlines(given["pred"][None], given["image"][None, 1:], pixel)[0]
    assert torch.equal(ClearOutlinesd()(given)["pred"], expected)
    assert not torch.equal(expected, given["pred"])


def test_clearing_follows_its_keys() -> None:
    given: Sample = {"joint": sample()["image"], "layers": rendered(1, 0.5)[1]}
    cleared = ClearOutlinesd("layers", image_key="joint")(given)["layers"]
    assert torch.equal(cleared, ClearOutlinesd()(separated())["pred"])
    with pytest.raises(KeyError, match="`pred` of transform `ClearOutlinesd`"):
        ClearOutlinesd()(given)
    assert same(ClearOutlinesd(allow_missing_keys=True)(given), given)


def test_composing_writes_one_radiograph_for_each_key() -> None:
    given: Sample = {"label": rendered(0, 1.3)[1], "pred": rendered(1, 0.5)[1]}
    result = Reconstructd(("label", "pred"), output_postfix="image")(given)
    assert result.keys() == {"label", "pred", "label_image", "pred_image"}
    assert torch.equal(result["pred_image"], reconstruct(given["pred"]))
    assert torch.equal(result["label"], given["label"])
    with pytest.raises(KeyError, match="`absent` of transform `Reconstructd`"):
        Reconstructd("absent")(given)
    assert Reconstructd("absent", allow_missing_keys=True)(given).keys() == given.keys()
