"""Synthetic pairs show what their alignment says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.gate import QualityGate
from bundle.datasets.sources import Source, SourceStore, stated_joint_space
from bundle.datasets.specifications import DataPlan
from bundle.errors import InputError
from bundle.joint import MCP
from bundle.measurement.facing import facing_centers
from bundle.measurement.joint_space import measure_joint_space
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
from bundle.physics.synthesis import SeparatedBones
from bundle.registration.alignment import Alignment, narrowing
from bundle.registration.gauss_newton import BoneRegistration
from bundle.registration.synthetic_pairs import PairSpecifications, SyntheticPairs
from tests.datasets.phantoms import source

SPACING = MCP.spacing_mm

PLAN = DataPlan(
    count=12,
    seed=1,
    joint_space_mm=Uniform(1.6, 2.6),
    sideways_mm=Uniform(-0.3, 0.3),
    rotation_deg=Uniform(-2.0, 2.0),
    pairs=True,
)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[SourceStore, list[Source]]:
    store, sources = SourceStore(tmp_path_factory.mktemp("sources")), []
    for seed in range(2):
        phantom = render(sample_parameters(seed, outline_gap_mm=1.3))
        image, masks = phantom.image[None], (phantom.masks[None] > 0.5).float()
        edges = facing_centers(masks[0].numpy() > 0.5, SPACING).tolist()
        layers = separate(image, masks)
        space = stated_joint_space(measure_joint_space(layers, masks, SPACING))
        found = source(f"p{seed}", **space, edges_mm=edges, expected_overlap_rmse=0.02)
        store.write(found, SeparatedBones.of(layers, masks), image[0])
        sources.append(found)
    return store, sources


@pytest.mark.slow
def test_registration_finds_the_alignment_that_a_pair_states(kept: tuple[SourceStore, list[Source]]) -> None:
    pairs = SyntheticPairs(*kept, PLAN, QualityGate())
    assert len(pairs) == 6
    checked = 0
    for pair in (pairs[0], pairs[3]):
        shifts = BoneRegistration(reach_mm=3.0)(pair["image"][:1], pair["image"][1:], pair["moving"][:1], SPACING)
        for shift, true in zip(shifts, pair["alignment"].tolist(), strict=True):
            if shift.found:
                assert [shift.rotation, shift.x, shift.y] == pytest.approx(true[1:], abs=0.05)
                checked += 1
    assert checked >= 2


def test_narrowing_is_that_of_the_alignment_and_nearly_that_of_the_masks(
    kept: tuple[SourceStore, list[Source]],
) -> None:
    pairs = SyntheticPairs(*kept, PLAN, QualityGate())
    for pair in (pairs[row] for row in range(3)):
        bones = Alignment.from_parameters(pair["alignment"][None], pair["center"][None])
        assert float(narrowing(bones)) == pytest.approx(float(pair["jsn"]), abs=1e-4)
        assert float(pair["jsn"]) == pytest.approx(float(pair["masks_jsn"]), abs=0.1)
        assert pair["image"].shape == pair["moving"].shape == (3, 256, 256)
    assert torch.equal(pairs[1]["moving"], pairs[1]["moving"])


@pytest.mark.slow
def test_the_narrowing_does_not_depend_on_the_first_width(kept: tuple[SourceStore, list[Source]]) -> None:
    plan = replace(PLAN, count=4000, joint_space_mm=Uniform(0.3, 2.6))
    specifications = PairSpecifications(plan, kept[1], Uniform(-1.0, 1.0))
    drawn = np.array([specification.joint_space_mm for specification in specifications.sample(range(4000))])
    first, change = drawn[::2], drawn[1::2] - drawn[::2]
    assert np.abs(change).max() <= 1.0 and abs(np.corrcoef(first, change)[0, 1]) < 0.06
    alone = np.array([specification.joint_space_mm for specification in specifications.sample([7, 2])])
    assert alone.tolist() == [drawn[7], drawn[2]]
    assert specifications.sample([7], 1)[0].joint_space_mm != drawn[7]


def test_a_plan_of_single_images_is_refused(kept: tuple[SourceStore, list[Source]]) -> None:
    with pytest.raises(InputError, match="the plan is one of single images"):
        SyntheticPairs(*kept, replace(PLAN, pairs=False), QualityGate())


def test_pairs_that_never_pass_the_gate_are_refused(kept: tuple[SourceStore, list[Source]]) -> None:
    pairs = SyntheticPairs(*kept, replace(PLAN, attempts=1, count=2), QualityGate(least_visible=9.0))
    with pytest.raises(InputError, match="none of 2 images passes the gate"):
        pairs[0]
