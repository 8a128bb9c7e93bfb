"""Images of a plan to train on, made when they are asked for."""

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


class SyntheticRadiographs(Dataset[dict[str, Any]]):
    """Images of a plan, made when they are asked for, to train on.

    An image is a dictionary with ``image`` (1, H, W), ``spacing`` (1,) in mm, ``jsw`` (1,) in mm, ``grade`` (1,),
    ``name`` and ``source``. One that never passes the gate is replaced by the next one that does.

    Args:
        store: separated joints.
        sources: what is known of them.
        plan: what is asked for.
        gate: refuses images and sources.
        transform: applied to each image.

    Raises:
        InputError: on use, no source passes the gate, or no image.
    """

    def __init__(
        self,
        store: SourceStore,
        sources: Sequence[Source],
        plan: DataPlan,
        gate: QualityGate,
        transform: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.sources, self.plan = sources, plan
        self.factory = RadiographFactory(store, gate)
        self.transform = transform

    @cached_property
    def specifications(self) -> SampleSpecifications:
        """Of the images; the sources may be kept only after the data set is built."""
        return self.plan.of(self.factory.gate.usable(self.sources))

    def __len__(self) -> int:
        return len(self.specifications) if self.plan.fixed else self.plan.count

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__([index])[0]

    def __iter__(self) -> Iterator[Any]:
        for first in range(0, len(self), TOGETHER):
            yield from self.__getitems__(range(first, min(first + TOGETHER, len(self))))

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        """The images of a batch, made together."""
        parts = [indices[first : first + TOGETHER] for first in range(0, len(indices), TOGETHER)]
        found = [good for part in parts for good in self._good(part)]
        samples = [self._sample(good) for good in found]
        return samples if self.transform is None else [self.transform(sample) for sample in samples]

    def _good(self, indices: Sequence[int]) -> list[Sample]:
        found = passed(self.specifications, self.factory, sorted(set(indices)), Counter())
        return [found[index] if index in found else self._after(index) for index in indices]

    def _after(self, index: int) -> Sample:
        """The next image after an index that passes the gate."""
        places = ([(index + row) % len(self)] for row in range(1, len(self)))
        return first_passed(self.specifications, self.factory, places)[0]

    def _sample(self, sample: Sample) -> dict[str, Any]:
        source, width = sample.specification.source, torch.tensor([sample.jsw_mm])
        known = {"name": sample.specification.key, "source": source.name, "spacing": torch.tensor([source.spacing_mm])}
        return {**known, "image": sample.image, "jsw": width, "grade": narrowing_grade(width)}


class NextImages(Sampler[int]):
    """Of a data set those images, each epoch, that come after the ones of the epoch before.

    It has a state, so that a resumed training goes on with the next images.

    Args:
        count: images of the data set.
        each: images of an epoch.
    """

    def __init__(self, count: int, each: int) -> None:
        self.count, self.each, self.first = count, each, 0

    def __len__(self) -> int:
        return self.each

    def __iter__(self) -> Iterator[int]:
        start, self.first = self.first, (self.first + self.each) % self.count
        return iter([(start + row) % self.count for row in range(self.each)])

    def state_dict(self) -> dict[str, Any]:
        """The first image of the next epoch."""
        return {"first": self.first}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on at the image of a state."""
        self.first = int(state["first"])
