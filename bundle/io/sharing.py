"""How the processes that ``torchrun`` starts share the samples of a data set."""

from __future__ import annotations

from typing import Any

from bundle.errors import InputError
from monai.data import DistributedSampler


class SharedSampler(DistributedSampler):
    """MONAI's sampler of one of several processes, which each need a sample at least.

    Args:
        dataset: that is shared.
        what: its samples are called in messages.
        **options: of :class:`monai.data.DistributedSampler`.

    Raises:
        InputError: there are fewer samples than processes.
    """

    def __init__(self, dataset: Any, what: str = "samples", **options: Any) -> None:
        super().__init__(dataset, **options)
        if len(dataset) < self.num_replicas:
            msg = (
                f"nproc_per_node: expected at least one of the {what} for each of {self.num_replicas} processes, got "
                f"{len(dataset)}: start at most {len(dataset)} processes, or give more joints"
            )
            raise InputError(msg)
