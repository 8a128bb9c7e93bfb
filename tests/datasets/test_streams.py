"""Images to train on are those of the plan, made as they are asked for."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace

import pytest
import torch
from bundle.datasets.distributions import Uniform
from bundle.datasets.factory import passed
from bundle.datasets.gate import QualityGate
from bundle.datasets.streams import NextImages, SyntheticRadiographs
from bundle.errors import InputError
from bundle.measurement.joint_space import narrowing_grade
from tests.datasets.phantoms import Joints, plan


@pytest.mark.slow
def test_images_to_train_on_are_those_of_the_plan_in_their_order(joints: Joints) -> None:
    data = SyntheticRadiographs(joints.store, joints.sources, plan(), QualityGate(tolerance_mm=0.1))
    sample, good = data[3], passed(data.specifications, data.factory, [3], Counter())[3]
    assert torch.equal(sample["image"], torch.cat([good.image, good.masks]))
    assert sample["source"] == good.specification.source.name
    assert sample["joint_space"].tolist() == pytest.approx([good.joint_space_mm])
    assert sample["grade"].tolist() == narrowing_grade(sample["joint_space"]).tolist()
    assert [image["name"] for image in data] == [data[index]["name"] for index in range(len(data))]


def test_what_makes_images_is_sent_to_another_process_also_when_it_has_made_some(joints: Joints) -> None:
    data = SyntheticRadiographs(joints.store, joints.sources, plan(), QualityGate(tolerance_mm=0.1))
    sample = data[3]
    sent = pickle.loads(pickle.dumps(data))
    assert torch.equal(sent[3]["image"], sample["image"])


def test_images_made_together_are_those_made_one_by_one_and_are_transformed(joints: Joints) -> None:
    gate = QualityGate(tolerance_mm=0.1)
    data = SyntheticRadiographs(joints.store, joints.sources, plan(), gate, lambda sample: {**sample, "seen": True})
    indices = [7, 0, 3, 3, 11, 5]
    for index, sample in zip(indices, data.__getitems__(indices), strict=True):
        alone = data[index]
        assert sample["name"] == alone["name"] and sample["seen"]
        torch.testing.assert_close(sample["image"], alone["image"], atol=1e-6, rtol=0.0)
        assert sample["spacing"].tolist() == pytest.approx([data.specifications.sample([index])[0].source.spacing_mm])


def test_the_next_images_follow_those_of_the_epoch_before_and_go_on_where_a_state_was_taken() -> None:
    epochs, resumed = NextImages(12, 5), NextImages(12, 5)
    assert [list(epochs) for _ in range(2)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    resumed.load_state_dict(epochs.state_dict())
    assert list(resumed) == list(epochs) == [10, 11, 0, 1, 2]


def test_an_image_that_never_passes_is_replaced_by_the_next_one_that_does(joints: Joints) -> None:
    wide = plan(joint_space_mm=Uniform(-8.0, 2.0), attempts=1)
    data = SyntheticRadiographs(joints.store, joints.sources, wide, QualityGate(tolerance_mm=0.1))
    good = sorted(passed(data.specifications, data.factory, range(12), Counter()))
    assert 0 < len(good) < 12
    for index in range(12):
        expected = next((place for place in good if place >= index), good[0])
        assert int(data[index]["name"]) == expected
    none = SyntheticRadiographs(joints.store, joints.sources, wide, QualityGate(largest_change_mm=-1.0))
    with pytest.raises(InputError, match="none of 12 images passes the gate"):
        none[0]


def test_refused_sources_make_no_images_to_train_on(joints: Joints) -> None:
    sources = [replace(source, flagged=source is not joints.sources[0]) for source in joints.sources]
    data = SyntheticRadiographs(joints.store, sources, plan(), QualityGate(tolerance_mm=0.1))
    assert {data[index]["source"] for index in range(4)} == {joints.sources[0].name}
