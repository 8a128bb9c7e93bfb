"""Networks run in mixed precision, on a CPU too."""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor, nn

from bundle.errors import flag


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
