"""Dictionary transforms: MONAI's conventions, their array twins, and what a sample says of its origin."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.physics.motion import RigidMotion, move
from bundle.physics.radiograph import reconstruct
from bundle.physics.synthesis import synthesize
from bundle.separation.pseudo_overlap import OverlapRange, compose_published
from bundle.separation.transforms.array import (
    RandPseudoOverlap,
    RandShiftBones,
    RandSynthesizeJointSpace,
    ShiftBones,
    SynthesizeJointSpace,
)
from bundle.separation.transforms.dictionary import (
    PseudoOverlapd,
    RandPseudoOverlapd,
    RandShiftBonesd,
    RandSynthesizeJointSpaced,
    ShiftBonesd,
    SynthesizeJointSpaced,
)
from bundle.separation.transforms.layers import Reconstructd, SeparateLayersd
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, MapTransform, Randomizable
from tests.separation.transforms.samples import (
    MAKERS,
    PIXEL,
    SHIFT,
    SIZE,
    Sample,
    makers,
    rendered,
    same,
    sample,
    seeded,
    width,
)


@makers
def test_image_and_label_are_remade_and_the_sample_given_is_not(name: str) -> None:
    given = sample()
    result = seeded(name)(given)
    assert same(given, sample())
    assert not torch.equal(result["image"], given["image"])
    torch.testing.assert_close(reconstruct(result["label"]), result["image"][:1], atol=1e-6, rtol=0)
    assert tuple(result["image"].shape) == tuple(result["label"].shape) == (3, SIZE, SIZE)
    assert {"name", "spacing", "motion"} <= result.keys()
    assert isinstance(MAKERS[name](), MapTransform)
    assert isinstance(MAKERS[name](), Randomizable) == name.startswith("Rand")


@makers
def test_a_missing_image_is_an_error_that_names_it_unless_allowed(name: str) -> None:
    without = {key: value for key, value in sample().items() if key != "image"}
    with pytest.raises(KeyError, match=f"`image` of transform `{name}`"):
        seeded(name)(without)
    assert same(seeded(name, allow_missing_keys=True)(without), without)
    assert same(seeded(name, allow_missing_keys=True)({"name": "empty"}), {"name": "empty"})


@makers
def test_a_sample_without_spacing_is_refused_with_what_it_has(name: str) -> None:
    without = {key: value for key, value in sample().items() if key != "spacing"}
    with pytest.raises(KeyError, match=r"spacing, the pixel size in mm, is missing .*\['image', 'label'"):
        seeded(name)(without)


@makers
def test_all_keys_are_remade_by_the_same_draw(name: str) -> None:
    given = sample()
    given |= {"again": given["image"], "again_label": given["label"]}
    result = seeded(name, keys=("image", "again"), label_key=("label", "again_label"))(given)
    assert torch.equal(result["image"], result["again"])
    assert torch.equal(result["label"], result["again_label"])
    partly = seeded(name, keys=("absent", "image"), label_key=("none", "label"), allow_missing_keys=True)(sample())
    assert torch.equal(partly["image"], result["image"])


def test_every_key_needs_its_label_key() -> None:
    with pytest.raises(ValueError, match="length 2"):
        ShiftBonesd(keys=("a", "b"), label_key=("c", "d", "e"))


@makers
def test_the_spacing_that_travels_with_the_sample_is_used(name: str) -> None:
    fine, coarse = (seeded(name)(sample(spacing=torch.tensor([pixel]))) for pixel in (PIXEL, 2 * PIXEL))
    assert not torch.equal(fine["image"], coarse["image"])
    assert torch.equal(seeded(name)(sample(spacing=PIXEL))["image"], fine["image"])


@makers
def test_transforms_compose_and_a_seed_gives_the_same_sample(name: str) -> None:
    chain = Compose([SeparateLayersd(), MAKERS[name](), Reconstructd("label")])
    results = []
    for seed in (3, 3, 4):
        chain.set_random_state(seed)
        results.append(chain(sample(label=torch.zeros(3, SIZE, SIZE))))
    assert same(results[0], results[1])
    assert same(results[0], results[2]) == (not name.startswith("Rand"))
    torch.testing.assert_close(results[0]["label_radiograph"], results[0]["image"][:1], atol=1e-6, rtol=0)


def test_dictionary_transforms_are_their_array_twins() -> None:
    image, layers = rendered(0, 1.3)
    moved, masks = ShiftBones(**SHIFT, spacing_mm=PIXEL)(layers, image[1:])
    assert torch.equal(ShiftBonesd(**SHIFT)(sample())["label"], moved)
    assert torch.equal(ShiftBonesd(**SHIFT)(sample())["image"], torch.cat([reconstruct(moved), masks]))
    shift = RandShiftBones(spacing_mm=PIXEL, x_mm=0.5, y_mm=0.7, rotation_deg=4.0).set_random_state(6)
    assert isinstance(shift, RandShiftBones)
    result = RandShiftBonesd(x_mm=0.5, y_mm=0.7, rotation_deg=4.0).set_random_state(6)(sample())
    assert torch.equal(result["label"], shift(layers, image[1:])[0])
    assert result["motion"] == shift.motion.to_json()


def test_synthesising_transforms_are_their_array_twins() -> None:
    image, layers = rendered(0, 1.3)
    made, made_layers = SynthesizeJointSpace(-0.4, 0.2, 9, PIXEL)(image, layers)
    result = SynthesizeJointSpaced(change_mm=-0.4, upper_share=0.2, seed=9)(sample())
    assert torch.equal(result["image"], made)
    assert torch.equal(result["label"], made_layers)
    assert result["noise_seed"] == 9
    assert width(result["image"]) - width(image) == pytest.approx(-0.4, abs=0.02)
    random = RandSynthesizeJointSpace(change_mm=(0.1, 0.5), spacing_mm=PIXEL)
    random.set_random_state(6)
    drawn = RandSynthesizeJointSpaced(change_mm=(0.1, 0.5)).set_random_state(6)(sample())
    assert torch.equal(drawn["image"], random(image, layers)[0])
    assert drawn["noise_seed"] == random.seed


@pytest.mark.parametrize(
    "options", [{}, {"overlap": OverlapRange(outline_gap_mm=(-0.5, -0.4)), "maker": compose_published}]
)
def test_a_push_is_its_array_twin(options: dict[str, Any]) -> None:
    image, layers = rendered(0, 1.3)
    closure = RandPseudoOverlap(spacing_mm=PIXEL, **options)
    closure.set_random_state(6)
    made, made_layers = closure(image, layers)
    result = RandPseudoOverlapd(**options).set_random_state(6)(sample())
    assert torch.equal(result["image"], made)
    assert torch.equal(result["label"], made_layers)
    assert (result["motion"], result["noise_seed"]) == (closure.motion.to_json(), closure.seed)


@makers
def test_what_the_sample_records_makes_it_again_to_the_bit(name: str) -> None:
    image, layers = rendered(0, 1.3)
    result = seeded(name, 11)(sample())
    motion = RigidMotion.from_json(result["motion"])
    if "ShiftBones" in name:
        moved, masks = (part[0] for part in move(layers[None], image[None, 1:], motion, PIXEL, "bicubic"))
        again = torch.cat([reconstruct(moved), masks])
    else:
        made = synthesize(layers[None], image[None, 1:], motion, PIXEL, [result["noise_seed"]])
        again = torch.cat([made.image, made.masks], dim=1)[0]
    assert torch.equal(again, result["image"])


@pytest.mark.parametrize("name", ["RandShiftBonesd", "RandSynthesizeJointSpaced"])
def test_what_was_not_drawn_keeps_its_bones_where_they_are(name: str) -> None:
    result = seeded(name, prob=0.0)(sample())
    torch.testing.assert_close(result["image"], sample()["image"], atol=4e-5, rtol=0)
    assert not any(torch.as_tensor(RigidMotion.from_json(result["motion"]).translation).flatten())


pushers = pytest.mark.parametrize("name", ["RandPseudoOverlapd", "PseudoOverlapd"])


@pushers
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_a_pushed_sample_has_a_true_label_and_its_source(name: str, truth: float) -> None:
    given = sample(truth=torch.tensor([truth]))
    result = seeded(name)(given)
    assert torch.equal(result["truth"], torch.ones(1))
    assert torch.equal(result["source"], given["image"])
    assert width(result["image"]) < width(given["image"]) - 0.5
    torch.testing.assert_close(reconstruct(result["label"]), result["image"][:1], atol=1e-6, rtol=0)


def still(result: Sample) -> bool:
    motion = RigidMotion.from_json(result["motion"])
    return not motion.translation.any() and not motion.rotation.any()


@pushers
def test_an_overlapping_sample_of_unknown_layers_is_left_alone_with_an_empty_label(name: str) -> None:
    given = sample(outline_gap_mm=-0.5, overlapping=True)
    result = seeded(name)(given)
    assert torch.equal(result["image"], given["image"])
    assert torch.equal(result["source"], given["image"])
    assert torch.equal(result["truth"], torch.zeros(1))
    assert torch.equal(result["label"], torch.zeros(3, SIZE, SIZE))
    assert still(result)


@pushers
def test_an_overlapping_sample_of_known_layers_keeps_them(name: str) -> None:
    given = sample(outline_gap_mm=-0.5, overlapping=True, truth=torch.ones(1))
    result = seeded(name)(given)
    for key in ("image", "label", "truth"):
        assert torch.equal(result[key], given[key])
    assert torch.equal(result["source"], given["image"])
    assert still(result)


@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_a_sample_that_was_not_drawn_is_left_alone(truth: float) -> None:
    given = sample(truth=torch.tensor([truth]))
    result = seeded("RandPseudoOverlapd", prob=0.0)(given)
    assert torch.equal(result["image"], given["image"])
    assert torch.equal(result["source"], given["image"])
    assert torch.equal(result["truth"], torch.tensor([truth]))
    assert torch.equal(result["label"], truth * given["label"])
    assert still(result)


@pushers
def test_a_sample_that_says_nothing_counts_as_not_overlapping_and_unknown(name: str) -> None:
    given = {key: value for key, value in sample().items() if key not in ("truth", "overlapping")}
    assert torch.equal(seeded(name)(given)["truth"], torch.ones(1))
    result = seeded("RandPseudoOverlapd", prob=0.0)(given)
    assert torch.equal(result["truth"], torch.zeros(1))
    assert torch.equal(result["label"], torch.zeros(3, SIZE, SIZE))


def test_half_of_the_samples_are_pushed_where_so_asked() -> None:
    transform = seeded("RandPseudoOverlapd", 1, prob=0.5)
    truths = [float(transform(sample())["truth"]) for _ in range(40)]
    assert 10 <= sum(truths) <= 30


def test_a_batch_of_pushed_and_other_samples_can_be_collated() -> None:
    data = [sample(0), sample(1, outline_gap_mm=-0.5, overlapping=True), sample(2, truth=torch.ones(1))]
    (batch,) = DataLoader(Dataset(data, RandPseudoOverlapd()), batch_size=3)
    for key in ("image", "label", "source"):
        assert tuple(batch[key].shape) == (3, 3, SIZE, SIZE)
    assert batch["truth"].flatten().tolist() == [1.0, 0.0, 1.0]
    assert tuple(batch["spacing"].shape) == (3, 1)


def test_a_name_and_a_seed_give_one_push() -> None:
    transform = PseudoOverlapd(seed=5)
    first = transform(sample(0))
    transform(sample(1))
    assert same(transform(sample(0)), first)
    assert same(PseudoOverlapd(seed=5)(sample(0)), first)
    assert PseudoOverlapd(seed=6)(sample(0))["motion"] != first["motion"]
    assert transform(sample(0, name="another"))["motion"] != first["motion"]
    with pytest.raises(KeyError, match="name"):
        transform({key: value for key, value in sample().items() if key != "name"})
