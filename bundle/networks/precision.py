"""Networks on their device: how they lie in memory, whether they are compiled, in which precision they run."""

from __future__ import annotations

from typing import Any

import torch
from bundle.errors import flag
from monai.inferers import SimpleInferer
from torch import Tensor, nn


class Bfloat16Inferer(SimpleInferer):
    """Runs a network in bfloat16 where that is precise enough (:class:`torch.autocast`), and gives float32.

    MONAI's trainers cast on GPUs alone. The gradients of bfloat16 need no scaling.

    Args:
        amp: False runs the network as it is.
    """

    def __init__(self, amp: bool | str = True) -> None:
        self.amp = flag(amp)

    def __call__(self, inputs: Tensor, network: nn.Module, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """What the network gives."""
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.amp):
            found: Tensor = super().__call__(inputs, network, *args, **kwargs)
        return found.float()


def placed(
    network: nn.Module,
    device: torch.device | str,
    channels_last: bool | str = False,
    compiled: bool | str = False,
    backend: str = "inductor",
) -> nn.Module:
    """A network on its device, as it computes fastest there; on a GPU see :func:`prefer_speed`.

    Args:
        network: that is moved.
        device: where to.
        channels_last: whether the channels of its convolutions are last in memory, which tensor cores want.
        compiled: whether it is compiled by :func:`torch.compile` when it is first used; of a generator the backbone,
            where nearly all of its work is. Weights keep their names.
        backend: that compiles.
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
    """Let a GPU choose its fastest algorithms, in TensorFloat-32 where float32 is asked for.

    The same seed then gives the same data, motions and noise, and sums that differ in their order, from run to run.
    """
    torch.backends.cudnn.deterministic = False
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
