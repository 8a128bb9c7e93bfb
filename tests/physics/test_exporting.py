"""What is written otherwise for ONNX gives what torch gives; without an export everything is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics import exporting
from bundle.physics import laplace as multigrid
from bundle.physics.exporting import expm1
from bundle.physics.harmonic import separate
from torch import Tensor, nn


class WeightFree(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return separate(image[:, :1], image[:, 1:])


@pytest.fixture(scope="module")
def joints() -> Tensor:
    made = [render(sample_parameters(seed, size=32, spacing=21.0 / 32)) for seed in range(3)]
    return torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in made])[..., :27]


@pytest.mark.long
def test_an_exported_separation_of_any_size_takes_any_number_of_joints(joints: Tensor, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    file, axes = str(tmp_path / "model.onnx"), {"image": {0: "batch"}, "pred": {0: "batch"}}
    names = {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": axes}
    torch.onnx.export(WeightFree(), (joints[:1],), file, opset_version=18, dynamo=False, **names)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"image": joints.numpy()})[0])
    torch.testing.assert_close(found, WeightFree()(joints), rtol=0.0, atol=1e-5)


def test_the_iterated_inverse_is_the_inverse_and_finite_where_no_pixel_is_known(joints: Tensor) -> None:
    known = 1.0 - joints[:, 1:].amax(dim=1, keepdim=True)
    known[-1] = 0.0
    coarsest = multigrid._levels(joints[:, :1], known)[0][-1]
    exact = multigrid._inverse(coarsest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multigrid, "exporting", lambda: True)
        iterated = multigrid._inverse(coarsest)
    torch.testing.assert_close(iterated[:-1], exact[:-1], rtol=1e-4, atol=1e-6)
    assert bool(iterated.isfinite().all())


def test_nothing_is_exported_without_an_export(monkeypatch: pytest.MonkeyPatch) -> None:
    small = torch.tensor([1e-10])
    assert not exporting.exporting()
    assert not torch.jit.script(exporting.exporting)()
    assert float(expm1(small)) == float(torch.expm1(small))
    monkeypatch.setattr(exporting, "exporting", lambda: True)
    assert float(expm1(small)) == 0.0
