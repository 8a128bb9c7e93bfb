"""Sampled overlaps from Python: what composes, what is named, what is refused."""

from __future__ import annotations

import pytest
import torch
from bundle import Joint, separate
from bundle.errors import InputError
from bundle.physics import reconstruct


def closed_phantom() -> Joint:
    """A phantom whose bones overlap."""
    return Joint.phantom(seed=0, joint_space_mm=0.2)


@pytest.mark.slow
def test_sampled_layers_compose_and_name_their_sampler_and_seed() -> None:
    joint = closed_phantom()
    mean, first, other = separate(joint), *(separate(joint, sample_overlap=True, seed=seed) for seed in (0, 1))
    assert torch.allclose(reconstruct(first.layers), joint.radiograph, atol=1e-5)
    assert not torch.equal(first.layers, mean.layers) and not torch.equal(first.layers, other.layers)
    assert first.separator.startswith(f"{mean.separator}, overlap sampled by overlap_sampler.pt (sha256 ")
    assert "seed 1" in other.separator


def test_a_sample_without_the_mean_of_a_network_is_refused() -> None:
    with pytest.raises(InputError, match="weights=None"):
        separate(closed_phantom(), weights=None, sample_overlap=True)
