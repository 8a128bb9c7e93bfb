"""Choice of the runtime that computes the logits of a generator."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from bundle.base import NUMBA, one_thread
from bundle.errors import InputError, flag
from bundle.joint import MCP
from bundle.networks import (
    INSTALLATION,
    RUNTIMES,
    TORCH,
    CompiledNetwork,
    Runtime,
    evaluation_mode,
    installed_runtimes,
    load_failure,
    package_label,
    processor_has_bfloat16,
    runtime_of,
)
from bundle.phantoms import render, sample_parameters
from bundle.separation.generator import Generator
from torch import Tensor, nn

DEFAULT = "JOINT_RUNTIME"
"""Environment variable with the runtime of runs that pass none."""

LIMIT, AMP_LIMIT, AMP_RMS_LIMIT = 2e-6, 2e-3, 1e-4
"""Largest difference of the layers from those of torch in float32; in bfloat16, also its root mean square."""

FUSED_LIMIT = 1e-5
"""Largest difference of the layers if numba computes the head; rounding in the prior of torch alone gives 4e-6."""

_log = logging.getLogger("bundle.separation")


class NetworkRuntime:
    """Runtime of a generator: of its backbone and, where numba is installed, of its prior and head.

    It is chosen on first use: the requested runtime, or by default the fastest installed one whose layers of a phantom
    differ from those of torch by at most :data:`LIMIT`, or :data:`AMP_LIMIT` in bfloat16. torch computes the rest:
    networks on a GPU, networks without weights or other than :class:`bundle.separation.Generator`, and everything
    where no other runtime is installed. Beside another runtime than torch, numba computes the prior and a partition
    head, within :data:`FUSED_LIMIT` of torch.

    Args:
        network: network of the separation, on its device.
        weights: loader of its weights (:class:`bundle.workflow.GeneratorWeights`).
        runtime: ``openvino``, ``onnxruntime`` or ``torch``; empty for the environment variable ``JOINT_RUNTIME`` or the
            default.
        amp: whether bfloat16 is allowed. A runtime uses it if the processor has it, torch always, by autocast.
        size: height and width of the images, pixels.

    Raises:
        InputError: the requested runtime is unknown. On use: it is not installed, cannot compute this network, or the
            network is on a GPU.
    """

    def __init__(
        self, network: Any, weights: Any, runtime: str = "", amp: bool | str = False, size: int = MCP.pixels
    ) -> None:
        self.network, self.weights, self.amp, self.size = network, weights, flag(amp), size
        self.requested = runtime or os.environ.get(DEFAULT, "")
        if self.requested not in ("", TORCH, *RUNTIMES):
            runtime_of(self.requested)

    @property
    def name(self) -> str:
        """Name of the runtime in use: that of the backbone, followed by ``+numba`` if numba computes the head."""
        if self._generator is None:
            return TORCH
        backbone: str = self._generator.backbone.runtime.name
        return backbone if self._generator.head is self.network.head else f"{backbone}+{NUMBA}"

    @property
    def label(self) -> str:
        """Packages that compute the network, with their versions."""
        return " + ".join(package_label(package) for package in self.name.split("+"))

    @property
    def precision(self) -> str:
        """Precision of the logits, ``float32`` or ``bfloat16``."""
        low = self.amp if self._generator is None else self._generator.backbone.in_bfloat16
        return "bfloat16" if low else "float32"

    def of(self, network: Any, images: Tensor) -> Callable[..., Tensor] | None:
        """Return the network as the runtime computes it, compiled for single images of this height and width.

        Args:
            network: network that is about to separate the images.
            images: (B, 3, H, W).

        Returns:
            None if torch computes it, as always with gradients, in training mode, or for any other network.
        """
        if network is not self.network or torch.is_grad_enabled() or self._generator is None or network.training:
            return None
        self._generator.backbone.prepare((1, network.head.in_channels, *images.shape[-2:]))
        return self._generator

    @cached_property
    def _generator(self) -> Any:
        """The generator with compiled logits; None for torch."""
        if self.requested == TORCH:
            return None
        reason = self._unsuited()
        if not reason:
            found, reason = self._requested() if self.requested else self._fastest()
            if found is not None:
                return found
        _log.info(f"The network runs in {package_label(TORCH)}: {reason}.")
        return None

    def _unsuited(self) -> str:
        """Load the weights; return the reason why only torch computes this network, or an empty text.

        Raises:
            InputError: a runtime is requested for a network on a GPU.
        """
        if not isinstance(self.network, Generator):
            return f"{type(self.network).__name__} has no backbone"
        device = next(self.network.parameters()).device
        if device.type != "cpu" and self.requested:
            msg = f"--runtime {self.requested} needs a CPU, and the network is on {device}. Pass --device cpu."
            raise InputError(msg)
        if device.type != "cpu":
            return f"it is on {device}"
        self.weights(None)
        return "without weights its logits are zero" if _is_zero(self.network.start) else ""

    def _requested(self) -> tuple[Generator, str]:
        """Compile for the requested runtime; log a difference beyond the limit."""
        try:
            found, difference = self._compiled(runtime_of(self.requested))
        except InputError:
            raise
        except Exception as error:  # libraries may raise any error
            reason = f"--runtime {self.requested} cannot compute this network ({load_failure(error)})"
            raise InputError(f"{reason}. Pass --runtime {TORCH}.") from error
        if difference:
            _log.warning(difference)
        return found, ""

    def _fastest(self) -> tuple[Generator | None, str]:
        """Compile for the fastest runtime within the limit; if there is none, return the reason."""
        reason = self._none_installed()
        for runtime in installed_runtimes():
            if self.amp and processor_has_bfloat16() and not runtime.has_bfloat16():
                continue
            try:
                found, reason = self._compiled(runtime)
            except Exception as error:  # libraries may raise any error
                reason = f"{runtime.name} cannot compute it ({load_failure(error)})"
                continue
            if not reason:
                return found, ""
        return None, reason

    def _none_installed(self) -> str:
        slow = " and bfloat16 is slow on this processor" if self.amp and not processor_has_bfloat16() else ""
        return f"no faster runtime is installed{slow} ({INSTALLATION})"

    def _compiled(self, runtime: type[Runtime]) -> tuple[Generator, str]:
        """Return the generator with compiled logits, and its difference from torch in words if it exceeds the limit.

        A cached export that differs grossly belongs to another network and is made again.

        Raises:
            ArithmeticError: the layers differ grossly nevertheless.
        """
        logits = CompiledNetwork(nn.Sequential(self.network.backbone, self.network.start), runtime, self.amp)
        found = self.network.with_logits(logits)
        joint = _probe(self.size)
        with one_thread(), torch.no_grad(), evaluation_mode(self.network, found):
            wanted = self.network(joint)
            difference = (found(joint) - wanted).abs()
            if not float(difference.max()) <= AMP_LIMIT:
                logits.renew((1, self.network.head.in_channels, *joint.shape[-2:]))
                difference = (found(joint) - wanted).abs()
            if not float(difference.max()) <= AMP_LIMIT:
                msg = f"its layers differ from those of torch by up to {float(difference.max()):.1e}"
                raise ArithmeticError(msg)
            found, prior = _fused(found, joint)
        beyond = _excess(difference, logits.in_bfloat16)
        label = f"{package_label(runtime.name)} in {'bfloat16' if logits.in_bfloat16 else 'float32'}"
        if not beyond:
            _log.info(f"The network runs in {label}{prior}.")
        return found, f"{label} differs from torch by {beyond}" if beyond else ""


def _fused(generator: Generator, joint: Tensor) -> tuple[Generator, str]:
    """Let numba compute prior and head if it is installed; return the generator, and what computes them in words."""
    try:
        found = generator.with_fused_head()
        difference = float((found(joint) - generator(joint)).abs().max())
    except Exception as error:  # libraries may raise any error
        return generator, f", its prior in torch: {NUMBA} cannot compute it ({load_failure(error)})"
    if not difference <= (AMP_LIMIT if generator.backbone.in_bfloat16 else FUSED_LIMIT):
        return generator, f", its prior in torch: that of {NUMBA} differs by up to {difference:.1e}"
    return found, "" if found is generator else f", its prior in {package_label(NUMBA)}"


def _probe(size: int) -> Tensor:
    """Return the radiograph and masks, (1, 3, H, W), of a phantom with an overlap."""
    made = render(sample_parameters(0, outline_gap_mm=-0.8, size=size, spacing=MCP.spacing_at(size)))
    return torch.cat([made.image, made.masks])[None]


def _excess(difference: Tensor, bfloat16: bool) -> str:
    """Describe a difference of layers beyond the limit; empty if it is within."""
    largest, rms = float(difference.max()), float(difference.square().mean().sqrt())
    within = largest <= AMP_LIMIT and rms <= AMP_RMS_LIMIT if bfloat16 else largest <= LIMIT
    return "" if within else f"up to {largest:.1e} in a layer, more than {AMP_LIMIT if bfloat16 else LIMIT:g}"


def _is_zero(start: nn.Module) -> bool:
    """Whether the last module of the logits gives zeros: the weight-free separator."""
    values = list(start.parameters())
    return bool(values) and not any(bool(value.any()) for value in values)
