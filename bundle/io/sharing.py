"""Distribution of the samples of a data set among the processes of ``torchrun``."""

from __future__ import annotations

from typing import Any

from bundle.errors import InputError
from monai.data import DistributedSampler


class SharedSampler(DistributedSampler):
    """MONAI's distributed sampler, with at least one sample per process.

    Args:
        dataset: shared data set.
        what: name of its samples in messages.
        **options: options of :class:`monai.data.DistributedSampler`.

    Raises:
        InputError: there are fewer samples than processes.
    """

    def __init__(self, dataset: Any, what: str = "samples", **options: Any) -> None:
        super().__init__(dataset, **options)
        if len(dataset) < self.num_replicas:
            msg = (
                f"nproc_per_node: {self.num_replicas} processes for {len(dataset)} of the {what}. Start at most "
                f"{len(dataset)} processes, or add joints."
            )
            raise InputError(msg)
