"""Networks in ONNX format, exported on first use and stored in the cache folder of the user."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from bundle.base import cache_folder
from bundle.networks.runtimes import package_label
from bundle.networks.weights import weights_digest
from torch import nn

STORED = 8
"""Maximum number of files in the cache; the least recently used ones are removed."""
_OPSET = 18


class ExportedNetwork:
    """A network for one input shape in ONNX format, with its file in the cache.

    The file is named by the SHA-256 of network, weights, input shape and versions, and by that of its content. A
    damaged or foreign file is replaced. A cache that cannot be read or written only costs time.

    Args:
        network: network on the CPU; it is exported in evaluation mode.
        shape: shape of its input.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]) -> None:
        self.network, self.shape = network, tuple(shape)
        versions = [package_label("torch"), package_label("onnx"), _OPSET]
        stated = json.dumps([str(network), self.shape, versions])
        self.key = hashlib.sha256(f"{weights_digest(network)} {stated}".encode()).hexdigest()

    def model(self) -> bytes:
        """Return the network from the cache; export and store it if the cache has no intact file of it."""
        for path in self._files():
            with suppress(OSError):
                content = path.read_bytes()
                if path.name == self._name(content):
                    os.utime(path)
                    return content
        return self.made()

    def made(self) -> bytes:
        """Export the network and replace its file."""
        content = self._export()
        with suppress(OSError):
            old = self._files()
            _store(cache_folder() / self._name(content), content)
            _remove(path for path in old if path.name != self._name(content))
            _remove(sorted(cache_folder().glob("*.onnx"), key=os.path.getmtime, reverse=True)[STORED:])
        return content

    def _files(self) -> list[Path]:
        with suppress(OSError):
            return sorted(cache_folder().glob(f"{self.key}-*.onnx"))
        return []

    def _name(self, content: bytes) -> str:
        return f"{self.key}-{hashlib.sha256(content).hexdigest()}.onnx"

    def _export(self) -> bytes:
        image = torch.rand(self.shape, generator=torch.Generator().manual_seed(0))
        file: Any = io.BytesIO()  # accepted by this exporter, not by its annotations
        options: dict[str, Any] = {"opset_version": _OPSET, "input_names": ["image"], "output_names": ["output"]}
        with torch.no_grad(), evaluation_mode(self.network), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer, about shapes, which are constant here
            torch.onnx.export(self.network, (image,), file, dynamo=False, **options)
        return bytes(file.getvalue())


@contextmanager
def evaluation_mode(*networks: nn.Module) -> Iterator[None]:
    """Set networks to evaluation mode inside the block, and restore the mode of each of their modules after it."""
    modes = [(module, module.training) for network in networks for module in network.modules()]
    for network in networks:
        network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def _store(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()
