"""Draws of samples in caches, threads and worker processes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from bundle.separation.transforms.dictionary import PseudoOverlapd, RandPseudoOverlapd, RandShiftBonesd
from bundle.separation.transforms.layers import SeparateLayersd
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import Compose
from tests.separation.transforms.samples import MAKERS, PIXEL, SIZE, random_ones, same, sample, seeded


@random_ones
def test_consecutive_samples_have_their_own_draws(name: str) -> None:
    transform = seeded(name, 2)
    assert len({transform(sample())["motion"] for _ in range(5)}) == 5


@random_ones
def test_one_random_state_can_be_shared(name: str) -> None:
    state = np.random.RandomState(8)
    transform = MAKERS[name]().set_random_state(state=state)
    assert transform.R is state
    assert torch.equal(transform(sample())["image"], seeded(name, 8)(sample())["image"])


def test_a_cache_holds_what_is_fixed_and_draws_anew_what_is_random() -> None:
    data = [sample(index, label=torch.zeros(3, SIZE, SIZE)) for index in range(2)]
    chain = Compose([SeparateLayersd(), PseudoOverlapd(), RandShiftBonesd(x_mm=0.3, y_mm=0.3)]).set_random_state(0)
    cached = CacheDataset(data, chain, progress=False)
    assert cached._cache[0]["source"].shape == (3, SIZE, SIZE)
    motions = [cached[0]["motion"] for _ in range(3)]
    assert len({*motions, cached._cache[0]["motion"]}) == 4
    assert torch.equal(cached[1]["truth"], torch.ones(1))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ShiftBonesd", "SynthesizeJointSpaced", "PseudoOverlapd"])
def test_a_cache_filled_by_many_threads_is_that_of_one(name: str) -> None:
    """Transforms that hold a sample's spacing or its random state while they run must not be shared."""
    data = [sample(0, name=str(index), spacing=torch.tensor([PIXEL * (1 + index / 10)])) for index in range(24)]
    expected = [MAKERS[name]()(item) for item in data]
    cached = CacheDataset(data, Compose([MAKERS[name]()]), num_workers=8, progress=False)
    assert all(same(found, one) for found, one in zip((cached[i] for i in range(24)), expected, strict=True))


@pytest.mark.slow
@random_ones
def test_workers_draw_differently_and_a_seed_repeats_all_draws(name: str) -> None:
    def motions(seed: int) -> list[str]:
        dataset = Dataset([sample()] * 6, Compose([MAKERS[name]()]))
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(dataset, batch_size=1, num_workers=2, generator=generator)
        return [batch["motion"][0] for batch in loader]

    one, again, other = motions(1), motions(1), motions(2)
    assert len(set(one)) == 6
    assert one == again
    assert not set(one) & set(other)


@pytest.mark.slow
def test_epochs_draw_differently() -> None:
    loader = DataLoader(Dataset([sample()] * 2, RandPseudoOverlapd()), num_workers=1)
    drawn = [batch["motion"][0] for _ in range(2) for batch in loader]
    assert len(set(drawn)) == 4
