"""Checks of the network with its weights: shapes and exports."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ckpt_export, onnx_export, verify_net_in_out
from scripts.bundle_checks.configs import named_config, read_config
from scripts.bundle_checks.contents import Defect, metadata
from torch import Tensor, nn
from torch.nn import functional as F

TOLERANCE = 1e-5
ONNX_TOLERANCE = 5e-5
BLOB = 16
ONNX_ARGUMENTS = "configs/jobs/export_onnx.yaml"


def check_shapes(root: Path) -> str:
    """Check inputs and outputs of the network against the metadata (MONAI's own ``verify_net_in_out``)."""
    meta, config = str(root / "configs" / "metadata.json"), str(named_config(root, "inference"))
    verify_net_in_out("network_def", meta, config, device="cpu", bundle_root=str(root))
    formats = metadata(root)["network_data_format"]
    names = [*formats["inputs"]], [*formats["outputs"]]
    if names != (["image"], ["pred"]):
        msg = f"configs/metadata.json: inputs {names[0]}, outputs {names[1]}. Name them 'image' and 'pred'."
        raise Defect(msg)
    return " -> ".join(str(io["num_channels"]) for io in (formats["inputs"]["image"], formats["outputs"]["pred"]))


def load_network(root: Path) -> nn.Module:
    """Load ``network_def`` of the inference config with the weights of ``models/model.pt``, which must fit exactly."""
    parser = ConfigParser(config=read_config([named_config(root, "inference")]))
    parser["bundle_root"] = str(root)
    network = parser.get_parsed_content("network_def")
    weights = torch.load(root / "models" / "model.pt", map_location="cpu", weights_only=True)
    try:
        network.load_state_dict(weights)
    except (AttributeError, RuntimeError, TypeError) as error:
        msg = f"models/model.pt: not the flat state dict of network_def: {' '.join(str(error).split())[:300]}"
        raise Defect(msg) from error
    return network.eval()


def example_input(root: Path, images: int = 2) -> Tensor:
    """Return random images of the shape and value range in the metadata, smooth, so that their masks are not noise."""
    image = metadata(root)["network_data_format"]["inputs"]["image"]
    low, high = image["value_range"]
    size = [side // BLOB for side in image["spatial_shape"]]
    noise = torch.rand((images, image["num_channels"], *size), generator=torch.Generator().manual_seed(0))
    return low + (high - low) * F.interpolate(noise, size=image["spatial_shape"], mode="bilinear")


def check_torchscript(root: Path) -> str:
    """Check that the weights export by ``ckpt_export``, and that the exported network equals the eager one."""
    network, image = load_network(root), example_input(root)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        exported = str(Path(folder) / "model.ts")
        ckpt_export("network_def", exported, **export_files(root))
        difference = (torch.jit.load(exported)(image) - network(image)).abs().max().item()
    if not difference <= TOLERANCE:
        msg = f"The TorchScript network differs from the eager one by {difference:.3g}, more than {TOLERANCE:g}."
        raise Defect(msg)
    return f"largest difference {difference:.2g}"


def check_onnx(root: Path) -> str:
    """Check that the weights export by ``onnx_export``, and that ONNX Runtime equals torch, for one and more images."""
    onnxruntime = export_requirement("onnxruntime")
    network, images = load_network(root), example_input(root, 3)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        exported = str(Path(folder) / "model.onnx")
        onnx_export(args_file=str(root / ONNX_ARGUMENTS), filepath=exported, **export_files(root))
        session = onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])
        found = [torch.from_numpy(session.run(["pred"], {"image": part.numpy()})[0]) for part in images.split([1, 2])]
        difference = (torch.cat(found) - network(images)).abs().max().item()
    if not difference <= ONNX_TOLERANCE:
        msg = f"ONNX Runtime differs from torch by {difference:.3g}, more than {ONNX_TOLERANCE:g}."
        raise Defect(msg)
    return f"largest difference {difference:.2g}"


def export_requirement(name: str) -> Any:
    """Import a module of ``requirements-export.txt``."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = f"no module {name}: python -m pip install -r requirements-export.txt"
        raise Defect(msg) from error


def export_files(root: Path) -> dict[str, Any]:
    """Return the arguments of MONAI's exports for a bundle, independent of the working directory."""
    return {
        "ckpt_file": str(root / "models" / "model.pt"),
        "meta_file": str(root / "configs" / "metadata.json"),
        "config_file": str(named_config(root, "inference")),
        "bundle_root": str(root),
    }
