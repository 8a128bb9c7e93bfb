"""A generator gives the same layers in every runtime; the choice is stated, and so is the reason of a fallback."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.base import CACHE, NUMBA, cache_folder
from bundle.errors import InputError
from bundle.networks import compiled, runtimes
from bundle.networks.backbones import make_backbone
from bundle.networks.blockwise import blockwise
from bundle.networks.exported import ExportedNetwork
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.quality.uncertainty import FlipInferer
from bundle.separation import generator as generators
from bundle.separation import network_runtime
from bundle.separation.baselines import HalfSplit
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead
from bundle.separation.network_runtime import LIMIT, NetworkRuntime
from torch import Tensor, nn

SIZE = 64


@pytest.fixture(autouse=True)
def of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache of its own, the default runtime, and a head that torch computes."""
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    monkeypatch.delenv(network_runtime.DEFAULT)
    monkeypatch.setattr(generators, "has_numba", lambda: False)


def generator(scale: float = 1.0) -> Generator:
    torch.manual_seed(0)
    head = PartitionHead(spacing_mm=21 / SIZE)
    found = Generator(make_backbone("SubpixelUNet", 6, 3, {"features": [8] * 6, "width": 4}), head)
    nn.init.normal_(found.start.weight, std=scale)  # type: ignore[arg-type]
    return found.eval()


def images() -> Tensor:
    made = [render(sample_parameters(seed, outline_gap_mm=-0.5, size=SIZE, spacing=21 / SIZE)) for seed in (1, 2)]
    return torch.stack([torch.cat([one.image, one.masks]) for one in made])


def of(network: Any, runtime: str = "", **options: Any) -> NetworkRuntime:
    return NetworkRuntime(network, lambda engine: None, runtime, size=SIZE, **options)


def inferer(network: Any, runtime: str = "", **options: Any) -> FlipInferer:
    return FlipInferer(runtime=of(network, runtime, **options), **options)


class _Other(runtimes.Runtime):
    """A runtime that answers something else."""

    name = "other"

    def __init__(self, model: bytes, bfloat16: bool = False) -> None:
        self.channels = 3

    def __call__(self, image: Any) -> Any:
        return np.arange(3, dtype=np.float32).reshape(1, 3, 1, 1) * np.ones_like(image[:, :1])

    @classmethod
    def is_installed(cls) -> bool:
        return True


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this runtime is installed, and its difference is no gross one."""
    monkeypatch.setattr(network_runtime, "AMP_LIMIT", 2.0)
    monkeypatch.setattr(ExportedNetwork, "_export", lambda self: b"")
    monkeypatch.setattr(network_runtime, "RUNTIMES", {"other": _Other})
    monkeypatch.setattr(runtimes, "RUNTIMES", {"other": _Other})


@pytest.mark.slow
@pytest.mark.parametrize("name", list(runtimes.RUNTIMES))
@torch.no_grad()
def test_layers_are_those_of_torch_and_do_not_depend_on_the_batch(name: str, caplog: pytest.LogCaptureFixture) -> None:
    if not runtimes.RUNTIMES[name].is_installed():
        pytest.skip(f"{name} is not installed")
    network, joints = generator(), images()
    fast, state = inferer(network, name), (torch.get_rng_state(), np.random.get_state()[1].copy())  # type: ignore[index]
    with caplog.at_level(logging.INFO, "bundle.separation"):
        found = fast.answer(joints, network)
    wanted = FlipInferer().answer(joints, network)
    assert not torch.equal(found.layers, wanted.layers)
    assert float((found.layers - wanted.layers).abs().max()) <= LIMIT
    assert torch.equal(torch.cat([fast(joint[None], network) for joint in joints]), found.layers)
    assert fast.described() == {"runtime": runtimes.RUNTIMES[name].label(), "precision": "float32", "flips": True}
    assert caplog.messages == [f"The network runs in {runtimes.RUNTIMES[name].label()} in float32."]
    after = torch.get_rng_state(), np.random.get_state()[1]  # type: ignore[index]
    assert torch.equal(state[0], after[0]) and np.array_equal(state[1], after[1])


@pytest.mark.slow
@torch.no_grad()
def test_the_default_is_the_fastest_installed_runtime() -> None:
    installed = runtimes.installed_runtimes()
    if not installed:
        pytest.skip("no runtime is installed")
    assert of(generator()).name == installed[0].name


@torch.no_grad()
def test_torch_keeps_every_bit_and_says_why_it_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    network, joints = generator(), images()
    for name in ("", "torch"):
        caplog.clear()
        with caplog.at_level(logging.INFO, "bundle.separation"):
            assert torch.equal(inferer(network, name)(joints, network), FlipInferer()(joints, network))
        assert len(caplog.messages) == (not name)
    caplog.clear()
    with caplog.at_level(logging.INFO, "bundle.separation"):
        assert inferer(network).described() == {
            "runtime": runtimes.package_label("torch"),
            "precision": "float32",
            "flips": True,
        }
    remedy = "no faster runtime is installed (pip install openvino onnx)"
    assert caplog.messages == [f"The network runs in {runtimes.package_label('torch')}: {remedy}."]
    with pytest.raises(InputError, match="--runtime openvino is not installed"):
        assert of(network, "openvino").name


def test_an_unknown_runtime_is_refused_also_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="'tensorrt' is unknown"):
        of(generator(), "tensorrt")
    monkeypatch.setenv(network_runtime.DEFAULT, "fast")
    with pytest.raises(InputError, match="'fast' is unknown"):
        of(generator())


@pytest.mark.usefixtures("other")
@torch.no_grad()
def test_a_runtime_that_differs_is_passed_over_and_on_request_used_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    network, joints = generator(), images()
    with caplog.at_level(logging.INFO, "bundle.separation"):
        assert torch.equal(inferer(network)(joints, network), FlipInferer()(joints, network))
        assert of(network, "other").name == "other"
    torch_line, warning = caplog.messages
    assert torch_line.startswith("The network runs in torch") and ": other in float32 differs from torch" in torch_line
    assert "more than 2e-06" in warning and caplog.records[1].levelname == "WARNING"


@pytest.mark.usefixtures("other")
@torch.no_grad()
def test_a_runtime_with_other_layers_is_refused_also_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_runtime, "AMP_LIMIT", 2e-3)
    assert of(generator()).name == "torch"
    with pytest.raises(
        InputError, match=r"cannot compute this network \(its layers differ from those of torch by up to"
    ):
        assert of(generator(), "other").name
    monkeypatch.setattr(_Other, "__call__", lambda self, image: np.full_like(image[:, :3], np.nan))
    assert of(generator()).name == "torch"


@pytest.mark.usefixtures("other")
@torch.no_grad()
def test_other_networks_gradients_and_training_run_in_torch() -> None:
    network, joints = generator(), images()
    fast = of(network, "other")
    assert fast.of(network, joints) is not None
    assert fast.of(generator(), joints) is None
    with torch.enable_grad():
        assert fast.of(network, joints) is None
    assert fast.of(network.train(), joints) is None
    chosen_in_training = inferer(network, "other")
    assert chosen_in_training.runtime_name == "other"
    assert not torch.allclose(chosen_in_training(joints, network.eval()), FlipInferer()(joints, network), atol=1e-3)


@pytest.mark.usefixtures("other")
@pytest.mark.parametrize(
    ("network", "reason"), [(HalfSplit(), "HalfSplit has no backbone"), (generator(0.0), "without weights its logits")]
)
def test_a_separator_without_a_trained_network_runs_in_torch(
    network: nn.Module, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    if isinstance(network, Generator):
        nn.init.zeros_(network.start.bias)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "bundle.separation"):
        assert of(network, "other").name == "torch"
    assert reason in caplog.text


@pytest.mark.usefixtures("other")
def test_a_requested_runtime_that_cannot_compute_the_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Any) -> bytes:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(ExportedNetwork, "_export", refuse)
    assert of(generator()).name == "torch"
    with pytest.raises(
        InputError, match=r"--runtime other cannot compute this network \(no such operator\). Pass --ru"
    ):
        assert of(generator(), "other").name
    elsewhere = generator().to("meta")
    assert of(elsewhere).name == "torch"
    with pytest.raises(InputError, match=r"--runtime other needs a CPU, and the network is on meta. Pass --device cpu"):
        assert of(elsewhere, "other").name


@pytest.mark.slow
@torch.no_grad()
def test_a_file_of_another_network_in_the_cache_is_found_by_its_layers() -> None:
    if not runtimes.installed_runtimes():
        pytest.skip("no runtime is installed")
    name = runtimes.installed_runtimes()[0].name
    network, planted = generator(), generator(2.0)
    exports = [
        ExportedNetwork(blockwise(nn.Sequential(one.backbone, one.start)), (1, 6, SIZE, SIZE))
        for one in (network, planted)
    ]
    model = exports[1].made()
    path = cache_folder() / exports[0]._name(model)
    path.write_bytes(model)
    assert exports[0].model() == model
    found = inferer(network, name)(images(), network)
    assert float((found - FlipInferer()(images(), network)).abs().max()) <= LIMIT
    assert not path.is_file()


@pytest.mark.usefixtures("other")
@torch.no_grad()
def test_mixed_precision_allows_bfloat16_and_uses_it_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = generator()
    assert of(network, "other", amp=True).precision == "float32"
    assert of(network, amp="true").precision == "bfloat16"  # torch, by autocast
    monkeypatch.setattr(_Other, "has_bfloat16", lambda: True)
    assert of(network, "other", amp=True).precision == "bfloat16"
    assert compiled(network, "other", amp=True).in_bfloat16
    with pytest.raises(InputError, match=r"inferer#amp is False and that of its runtime True. Pass --amp for both"):
        FlipInferer(amp=False, runtime=of(network, amp=True))


@pytest.mark.slow
@pytest.mark.usefixtures("other")
@torch.no_grad()
def test_numba_computes_the_prior_beside_a_runtime_and_the_provenance_names_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip(NUMBA)
    monkeypatch.delenv(CACHE)  # compiled loops are kept for later runs of the tests
    monkeypatch.setattr(generators, "has_numba", lambda: True)
    monkeypatch.setattr(network_runtime, "LIMIT", 2.0)
    network = generator()
    with caplog.at_level(logging.INFO, "bundle.separation"):
        used = of(network, "other")
        assert used.name == f"other+{NUMBA}"
    assert caplog.messages == [f"The network runs in other in float32, its prior in {runtimes.package_label(NUMBA)}."]
    assert FlipInferer(runtime=used).described()["runtime"] == f"other + {runtimes.package_label(NUMBA)}"
    assert of(network, "torch").name == "torch"


@pytest.mark.usefixtures("other")
@torch.no_grad()
def test_a_prior_that_fails_or_differs_is_left_to_torch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(network_runtime, "LIMIT", 2.0)

    def broken(self: Generator) -> Generator:
        raise RuntimeError("cannot cache function")

    for planted, reason in ((broken, "cannot cache function"), (lambda self: lambda image: image, "differs by up to")):
        monkeypatch.setattr(Generator, "with_fused_head", planted)
        with caplog.at_level(logging.INFO, "bundle.separation"):
            assert of(generator(), "other").name == "other"
        assert ", its prior in torch: " in caplog.messages[-1] and reason in caplog.messages[-1]
