"""Runtimes give the results of torch; the export is stored whole, and a damaged or foreign file is replaced."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from bundle.base import CACHE, cache_folder
from bundle.errors import InputError
from bundle.networks import compiled, exported, installed_runtimes, runtimes
from bundle.networks.backbones import make_backbone
from bundle.networks.exported import ExportedNetwork
from torch import Tensor, nn

SHAPE = (1, 3, 64, 64)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=list(runtimes.RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> str:
    if not runtimes.RUNTIMES[request.param].is_installed():
        pytest.skip(f"{request.param} is not installed")
    return str(request.param)


@pytest.fixture
def exporting() -> None:
    pytest.importorskip("onnx")


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make_backbone("SubpixelUNet", 3, 2, {"features": [8] * 6, "width": 4}).eval()


def image(seed: int = 0) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.slow
@torch.no_grad()
def test_a_compiled_network_equals_torch_in_any_thread(runtime: str) -> None:
    usual = network()
    fast, images = compiled(usual, runtime), [image(seed) for seed in range(4)]
    found = [fast(one) for one in images]
    for one, layers in zip(images, found, strict=True):
        torch.testing.assert_close(layers, usual(one), atol=5e-6, rtol=0)
    with ThreadPoolExecutor(3) as pool:
        assert all(torch.equal(*pair) for pair in zip(pool.map(_without_gradients(fast), images), found, strict=True))


def test_nothing_is_reported_to_the_maker_of_a_runtime() -> None:
    if not runtimes.OpenVino.is_installed():
        pytest.skip("openvino is not installed")
    runtimes._openvino()
    assert not [name for name in sys.modules if name.startswith(runtimes.TELEMETRY)]
    assert sys.modules["openvino.tools.ovc.telemetry_utils"].tm.__name__.endswith("telemetry_stub")


def _without_gradients(work: nn.Module) -> object:
    """Gradients are recorded per thread."""

    @torch.no_grad()
    def made(given: Tensor) -> Tensor:
        found: Tensor = work(given)
        return found

    return made


@pytest.mark.slow
def test_changed_weights_and_gradients_reach_a_compiled_network(runtime: str) -> None:
    usual = network()
    fast = compiled(usual, runtime)
    with torch.no_grad():
        before = fast(image())
        usual.load_state_dict(network(1).state_dict())
        torch.testing.assert_close(fast(image()), usual(image()), atol=5e-6, rtol=0)
        assert not torch.allclose(fast(image()), before, atol=1e-3)
    fast(image()).sum().backward()
    assert all(value.grad is not None for value in usual.parameters())
    assert torch.equal(fast(image()), usual(image()))


@pytest.mark.slow
@pytest.mark.usefixtures("exporting")
def test_an_export_is_stored_once_and_read_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ExportedNetwork(network(), SHAPE).model()
    (file,) = cache.iterdir()
    assert file.suffix == ".onnx" and file.read_bytes() == model
    monkeypatch.setattr(ExportedNetwork, "_export", lambda self: pytest.fail("exported again"))
    assert ExportedNetwork(network(), SHAPE).model() == model


@pytest.mark.slow
@pytest.mark.usefixtures("exporting")
def test_an_export_leaves_the_mode_of_each_module(cache: Path) -> None:
    usual = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(), nn.BatchNorm2d(3))  # the whole in training mode
    usual[1].eval()
    before = [module.training for module in usual.modules()]
    ExportedNetwork(usual, SHAPE).model()
    assert [module.training for module in usual.modules()] == before
    assert torch.equal(usual[2].running_mean, torch.zeros(3))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.usefixtures("exporting")
def test_a_damaged_or_foreign_file_is_replaced(cache: Path) -> None:
    model = ExportedNetwork(network(), SHAPE).model()
    (file,) = cache.iterdir()
    file.write_bytes(model[:-1])
    (cache / f"{file.name[:64]}-{'0' * 64}.onnx").write_bytes(model)
    assert ExportedNetwork(network(), SHAPE).model() == model
    assert [path.read_bytes() for path in cache.iterdir()] == [model]


@pytest.mark.usefixtures("exporting")
def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(CACHE, str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(ExportedNetwork, "_export", lambda self: b"model")
    assert ExportedNetwork(network(), SHAPE).model() == b"model"


def test_networks_weights_shapes_and_versions_have_files_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExportedNetwork, "_export", lambda self: b"model")
    keys = [ExportedNetwork(network(seed), shape).key for seed in (0, 1) for shape in (SHAPE, (1, 3, 96, 96))]
    monkeypatch.setattr(exported, "package_label", lambda name: f"{name} 0")
    assert len({*keys, ExportedNetwork(network(), SHAPE).key}) == 5


def test_the_least_recently_used_files_are_removed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir()
    for age in range(exported.STORED + 2):
        file = cache / f"{age}.onnx"
        file.write_bytes(b"")
        os.utime(file, (1000 - age, 1000 - age))
    monkeypatch.setattr(ExportedNetwork, "_export", lambda self: b"model")
    exporter = ExportedNetwork(network(), SHAPE)
    exporter.model()
    left = {path.name for path in cache.iterdir()}
    assert left == {*(f"{age}.onnx" for age in range(exported.STORED - 1)), exporter._name(b"model")}


def test_the_cache_is_in_the_users_folder_unless_the_environment_names_another(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv(CACHE)
    monkeypatch.setenv("XDG_CACHE_HOME", "elsewhere")
    assert cache_folder() == Path("elsewhere") / "finger-joint-layer-separation"


def test_unknown_and_missing_runtimes_are_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"^--runtime 'tensorrt' is unknown. Pass openvino, onnxruntime, torch\.$"):
        compiled(network(), "tensorrt")
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    assert installed_runtimes() == []
    remedy = r"Install it with `pip install openvino onnx`, or pass --runtime torch\.$"
    with pytest.raises(InputError, match=rf"^--runtime openvino is not installed. {remedy}"):
        compiled(network(), "openvino")


@pytest.mark.parametrize(
    ("flags", "known"), [("fma avx2", False), ("avx2 avx512_bf16 fma", True), ("amx_tile amx_bf16", True)]
)
def test_bfloat16_is_allowed_and_used_where_the_processor_has_it(
    flags: str, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text(f"model name\t: one\nflags\t\t: fpu {flags}\n")
    monkeypatch.setattr(runtimes, "PROCESSOR", information)
    assert runtimes.processor_has_bfloat16() is known
    assert runtimes.OpenVino.has_bfloat16() is known and not runtimes.OnnxRuntime.has_bfloat16()
    monkeypatch.setattr(runtimes, "find_spec", lambda name: name)
    assert compiled(network(), "openvino", amp=True).in_bfloat16 is known
    assert not compiled(network(), "openvino").in_bfloat16
    assert not compiled(network(), "onnxruntime", amp=True).in_bfloat16
