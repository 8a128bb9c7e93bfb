"""Training images of a plan, synthesized on demand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from bundle.datasets.factory import TOGETHER, RadiographFactory, Sample, first_passed, passed
from bundle.datasets.gate import QualityGate
from bundle.datasets.sources import Source, SourceStore
from bundle.datasets.specifications import DataPlan, SampleSpecifications
from bundle.measurement import narrowing_grade
from torch.utils.data import Dataset, Sampler


class PlannedSamples(Dataset[dict[str, Any]]):
    """Base class of data sets whose samples are synthesized on demand from a plan.

    Args:
        store: store of the separated joints.
        sources: records of the source joints.
        plan: requested contents.
        gate: quality gate of images and source joints.
    """

    def __init__(self, store: SourceStore, sources: Sequence[Source], plan: DataPlan, gate: QualityGate) -> None:
        self.sources, self.plan = sources, plan
        self.factory = RadiographFactory(store, gate)

    @cached_property
    def specifications(self) -> SampleSpecifications:
        """Specifications of the images; the source joints may be stored only after this data set is built."""
        return self.specify(self.factory.gate.usable(self.sources))

    def specify(self, sources: Sequence[Source]) -> SampleSpecifications:
        """Return the specifications of images of usable source joints."""
        return self.plan.of(sources)


class SyntheticRadiographs(PlannedSamples):
    """Training images of a plan, synthesized on demand.

    An image is a dictionary with ``image`` (3, H, W), the radiograph and its masks, ``spacing`` (1,) in mm, ``name``,
    ``source``, and the labels of scoring networks, ``joint_space`` (1,) in mm and its ``grade`` (1,) of narrowing. An
    image that never passes the gate is replaced by the next one that does.

    Args:
        store: store of the separated joints.
        sources: records of the source joints.
        plan: requested contents.
        gate: quality gate of images and source joints.
        transform: transform of each image.

    Raises:
        InputError: on use, no source joint or no image passes the gate.
    """

    def __init__(
        self,
        store: SourceStore,
        sources: Sequence[Source],
        plan: DataPlan,
        gate: QualityGate,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        super().__init__(store, sources, plan, gate)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.specifications) if self.plan.fixed else self.plan.count

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self), TOGETHER):
            yield from self.__getitems__(range(first, min(first + TOGETHER, len(self))))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """Make the images of a batch together."""
        parts = [indices[first : first + TOGETHER] for first in range(0, len(indices), TOGETHER)]
        found = [good for part in parts for good in self._good(part)]
        samples = [self._sample(good) for good in found]
        return samples if self.transform is None else [self.transform(sample) for sample in samples]

    def _good(self, indices: Sequence[int]) -> list[Sample]:
        found = passed(self.specifications, self.factory, sorted(set(indices)), Counter())
        return [found[index] if index in found else self._after(index) for index in indices]

    def _after(self, index: int) -> Sample:
        """Return the next image after an index that passes the gate."""
        places = ([(index + row) % len(self)] for row in range(1, len(self)))
        return first_passed(self.specifications, self.factory, places)[0]

    def _sample(self, sample: Sample) -> dict[str, Any]:
        source, width = sample.specification.source, torch.tensor([sample.joint_space_mm])
        known = {"name": sample.specification.key, "source": source.name, "spacing": torch.tensor([source.spacing_mm])}
        image = torch.cat([sample.image, sample.masks])
        return {**known, "image": image, "joint_space": width, "grade": narrowing_grade(width)}


class NextImages(Sampler[int]):
    """Sampler that iterates over the data set in consecutive blocks, one per epoch.

    It has a state, so that a resumed training continues with the next block.

    Args:
        count: images of the data set.
        each: images per epoch.
    """

    def __init__(self, count: int, each: int) -> None:
        self.count, self.each, self.first = count, each, 0

    def __len__(self) -> int:
        return self.each

    def __iter__(self) -> Iterator[int]:
        start, self.first = self.first, (self.first + self.each) % self.count
        return iter([(start + row) % self.count for row in range(self.each)])

    def state_dict(self) -> dict[str, Any]:
        """Return the first image of the next epoch."""
        return {"first": self.first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at the image of a state."""
        self.first = int(state["first"])
