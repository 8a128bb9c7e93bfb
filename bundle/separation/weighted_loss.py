"""Extra terms of the generator's loss, in addition to those of the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bundle.errors import InputError
from torch import Tensor, nn

EXTRA = "extra_"
"""Prefix of the names of extra losses in the output of a training step."""


class WeightedLoss(nn.Module):
    """Extra term of the generator's loss in addition to L0 to L3: an entry of ``extra_losses`` in configs/train.yaml.

    >>> smooth = WeightedLoss(lambda layers, batch: layers.diff(dim=-1).abs().mean(), weight=0.1)
    >>> smooth(torch.zeros(2, 3, 8, 8), {})
    tensor(0.)

    Args:
        loss: function of the generated layers (B, 3, H, W) and the batch that returns a scalar. The batch holds
            ``image`` (B, 3, H, W), radiograph and masks; ``label`` (B, 3, H, W), the true layers of samples whose
            ``truth`` (B, 1) is 1; ``spacing`` (B, 1), the pixel size in mm.
        weight: weight of the term in every epoch of both stages.

    Raises:
        ValueError: if the weight is negative or not finite.
    """

    def __init__(self, loss: Callable[[Tensor, Mapping[str, Tensor]], Tensor], weight: float = 1.0) -> None:
        super().__init__()
        if not 0.0 <= weight < float("inf"):
            msg = f"the weight of an extra loss must be finite and at least 0, got {weight}"
            raise ValueError(msg)
        self.loss = loss
        self.weight = weight

    def forward(self, layers: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """The term without its weight.

        Raises:
            InputError: if the loss returns no scalar.
        """
        value = self.loss(layers, batch)
        if not isinstance(value, Tensor) or value.ndim:
            got = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            name = getattr(self.loss, "__name__", type(self.loss).__name__)
            msg = f"extra_losses: {name} returns {got}, not a scalar. Return the mean over the batch."
            raise InputError(msg)
        return value
