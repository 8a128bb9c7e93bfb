"""Distribution of the samples of a data set among the processes of ``torchrun``."""

from __future__ import annotations

from typing import Any

from bundle.errors import InputError
from monai.data import DistributedSampler
from torch.distributed import get_world_size


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
        processes = options.get("num_replicas") or get_world_size()
        if len(dataset) < processes:
            msg = (
                f"nproc_per_node: {processes} processes for {len(dataset)} of the {what}. Start at most "
                f"{len(dataset)} processes, or add joints."
            )
            raise InputError(msg)
        super().__init__(dataset, **options)
