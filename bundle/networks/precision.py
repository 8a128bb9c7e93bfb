"""Device placement of networks: memory format, compilation and precision."""

from __future__ import annotations

from typing import Any

import torch
from bundle.errors import flag
from monai.inferers import SimpleInferer
from torch import Tensor, nn


class Bfloat16Inferer(SimpleInferer):
    """Inferer that runs a network in bfloat16 autocast (:class:`torch.autocast`) and returns float32.

    MONAI's trainers use autocast only on GPUs. bfloat16 gradients need no scaling.

    Args:
        amp: whether to use autocast.
    """

    def __init__(self, amp: bool | str = True) -> None:
        self.amp = flag(amp)

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """Run the network."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.amp):
            output: Tensor = super().__call__(inputs, network, *args, **kwargs)
        return output.float()


def placed(
    network: nn.Module,
    device: torch.device | str,
    channels_last: bool | str = False,
    compiled: bool | str = False,
    backend: str = "inductor",
) -> nn.Module:
    """Move a network to its device and optimize it for speed; on a GPU see :func:`prefer_speed`.

    Args:
        network: network to move.
        device: target device.
        channels_last: whether to use the channels-last memory format, which tensor cores prefer.
        compiled: whether to compile the network with :func:`torch.compile` on first use; for a generator, only its
            backbone, which does nearly all of the work. Weights keep their names.
        backend: compiler backend.
    """
    if torch.device(device).type == "cuda":
        prefer_speed()
    network = network.to(device)
    if flag(channels_last):
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if flag(compiled):
        getattr(network, "backbone", network).compile(backend=backend)
    return network


def prefer_speed() -> None:
    """Let a GPU choose its fastest algorithms, and use TensorFloat-32 for float32.

    The same seed still gives the same data, motions and noise, but the order of summation varies from run to run.
    """
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
