"""Dictionary transforms: MONAI's conventions, what a sample says of its origin, and draws in worker processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.io.joints import phantom_items
from bundle.measurement.outline_gap import outline_gap
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.physics.harmonic import separate
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
from bundle.separation.transforms.loading import LoadJointd
from monai.data import CacheDataset, DataLoader, Dataset
from monai.transforms import Compose, MapTransform, Randomizable
from PIL import Image
from torch import Tensor

SIZE = 64
PIXEL = 21 / SIZE
Sample = dict[Any, Any]
SHIFT: dict[str, Any] = {"translation_mm": ((0.3, 0.4), (-0.2, -0.6)), "rotation_deg": (2.0, -3.0)}

MAKERS: dict[str, Callable[..., Any]] = {
    "ShiftBonesd": lambda **options: ShiftBonesd(**SHIFT, **options),
    "RandShiftBonesd": RandShiftBonesd,
    "SynthesizeJointSpaced": lambda **options: SynthesizeJointSpaced(change_mm=0.6, **options),
    "RandSynthesizeJointSpaced": RandSynthesizeJointSpaced,
    "PseudoOverlapd": PseudoOverlapd,
    "RandPseudoOverlapd": RandPseudoOverlapd,
}
makers = pytest.mark.parametrize("name", MAKERS)
random_ones = pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("Rand")])


@lru_cache
def rendered(seed: int, outline_gap_mm: float) -> tuple[Tensor, Tensor]:
    made = render(sample_parameters(seed, outline_gap_mm=outline_gap_mm, size=SIZE, spacing=PIXEL))
    return torch.cat([made.image, made.masks]), separate(made.image[None], made.masks[None], PIXEL)[0]


def sample(seed: int = 0, outline_gap_mm: float = 1.3, **more: Any) -> Sample:
    """A joint of a file after SeparateLayersd: its layers are only a separation."""
    image, layers = rendered(seed, outline_gap_mm)
    return {
        "name": f"joint_{seed}",
        "image": image.clone(),
        "label": layers.clone(),
        "truth": torch.zeros(1),
        "spacing": torch.tensor([PIXEL]),
        "overlapping": False,
        **more,
    }


def width(image: Tensor) -> float:
    return float(outline_gap(image[None, 1:], PIXEL))


def same(one: Sample, other: Sample) -> bool:
    """The same keys and values, tensors to the bit."""
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) if isinstance(one[key], Tensor) else one[key] == other[key] for key in one
    )


def seeded(name: str, seed: int = 0, **options: Any) -> Any:
    transform = MAKERS[name](**options)
    if isinstance(transform, Randomizable):
        transform.set_random_state(seed)
    return transform


# ---- conventions of MONAI ------------------------------------------------------------------------------------------


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


# ---- each is its array twin, and what it did can be replayed -------------------------------------------------------


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


@random_ones
def test_consecutive_samples_have_their_own_draws(name: str) -> None:
    transform = seeded(name, 2)
    assert len({transform(sample())["motion"] for _ in range(5)}) == 5


@pytest.mark.parametrize("name", ["RandShiftBonesd", "RandSynthesizeJointSpaced"])
def test_what_was_not_drawn_keeps_its_bones_where_they_are(name: str) -> None:
    result = seeded(name, prob=0.0)(sample())
    torch.testing.assert_close(result["image"], sample()["image"], atol=4e-5, rtol=0)
    assert not any(torch.as_tensor(RigidMotion.from_json(result["motion"]).translation).flatten())


@random_ones
def test_one_random_state_can_be_shared(name: str) -> None:
    state = np.random.RandomState(8)
    transform = MAKERS[name]().set_random_state(state=state)
    assert transform.R is state
    assert torch.equal(transform(sample())["image"], seeded(name, 8)(sample())["image"])


# ---- truth, source and label of pseudo-overlap samples -------------------------------------------------------------

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


# ---- data sets and worker processes --------------------------------------------------------------------------------


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


# ---- loading, separating, composing --------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Sample:
    """Files of a joint whose upper mask ends two pixels, and whose lower mask ends one pixel, short of the border."""
    y, x = np.mgrid[:SIZE, :SIZE]
    lower, upper = np.zeros((2, SIZE, SIZE), np.uint8)
    lower[36:-1, 10:50], upper[2:30, 12:48] = 255, 255
    item: Sample = {"name": "a_1", "joint": "a", "spacing": 0.2, "finger": "index", "overlapping": False}
    for key, pixels in (("image", (40 + 2 * x + y).astype(np.uint8)), ("lower", lower), ("upper", upper)):
        item[key] = str(tmp_path / f"{key}.png")
        Image.fromarray(pixels).save(item[key])
    return item


def test_files_are_loaded_with_an_empty_label_and_masks_that_reach_the_border(files: Sample) -> None:
    result = LoadJointd(SIZE)(files)
    y, x = np.mgrid[:SIZE, :SIZE]
    np.testing.assert_allclose(result["image"][0].numpy(), (40 + 2 * x + y) / 255, atol=1e-6)
    expected = torch.zeros(2, SIZE, SIZE)
    expected[0, 36:, 10:50], expected[1, :30, 12:48] = 1.0, 1.0
    assert torch.equal(result["image"][1:], expected)
    assert torch.equal(result["label"], torch.zeros(3, SIZE, SIZE))
    assert torch.equal(result["truth"], torch.zeros(1))
    assert torch.equal(result["spacing"], torch.tensor([0.2]))
    assert {key: result[key] for key in ("name", "joint", "finger", "overlapping")} == {
        key: files[key] for key in ("name", "joint", "finger", "overlapping")
    }
    assert files["spacing"] == 0.2
    assert isinstance(files["image"], str)


def test_files_of_another_size_are_refused_unless_any_is_accepted(files: Sample) -> None:
    with pytest.raises(InputError, match=r"image\.png: 64 x 64 pixels, not 256 x 256"):
        LoadJointd()(files)
    assert tuple(LoadJointd(None)(files)["image"].shape) == (3, SIZE, SIZE)


def test_a_file_that_is_not_there_is_named(files: Sample) -> None:
    with pytest.raises(InputError, match=r"lower\.gone"):
        LoadJointd(SIZE)({**files, "lower": "lower.gone"})


def test_phantoms_are_rendered_with_true_layers() -> None:
    items: list[Sample] = [*phantom_items(3, seed=2, size=SIZE)]
    for item in items:
        result = LoadJointd(SIZE)(item)
        torch.testing.assert_close(reconstruct(result["label"]), result["image"][:1], atol=1e-6, rtol=0)
        assert tuple(result["image"].shape) == (3, SIZE, SIZE)
        assert torch.equal(result["truth"], torch.ones(1))
        assert torch.equal(result["spacing"], torch.tensor([item["spacing"]]))
        assert width(result["image"]) == pytest.approx(item["outline_gap_mm"], abs=0.03)
        assert result["name"] == item["name"]
        assert same(LoadJointd(SIZE)(item), result)


def test_a_re_take_of_a_phantom_shows_the_same_joint_again() -> None:
    items: list[Sample] = [*phantom_items(1, seed=2, size=SIZE, takes=2)]
    first, again = (LoadJointd(SIZE)(item) for item in items)
    assert same(LoadJointd(SIZE)({**items[0], "retake": 0}), first)
    assert not torch.equal(first["image"], again["image"])
    assert width(again["image"]) == pytest.approx(width(first["image"]), abs=0.03)


def test_a_phantom_has_256_pixels_where_any_size_is_accepted() -> None:
    items: list[Sample] = [*phantom_items(1, seed=0)]
    assert tuple(LoadJointd(None)(items[0])["image"].shape) == (3, 256, 256)


def test_files_and_phantoms_go_through_the_training_chain(files: Sample) -> None:
    chain = Compose([LoadJointd(SIZE), SeparateLayersd(), RandPseudoOverlapd()]).set_random_state(0)
    items: list[Sample] = [files, *phantom_items(2, seed=0, size=SIZE)]
    keys = ("image", "label", "truth", "source", "spacing")
    for item in items:
        result = chain(item)
        assert all(result[key].dtype == torch.float32 for key in keys)
        assert float(result["truth"]) == 1.0


def test_layers_are_separated_where_they_are_not_known() -> None:
    given = sample(label=torch.zeros(3, SIZE, SIZE))
    assert torch.equal(SeparateLayersd()(given)["label"], rendered(0, 1.3)[1])
    del given["truth"]
    assert torch.equal(SeparateLayersd()(given)["label"], rendered(0, 1.3)[1])
    known = sample(label=torch.full((3, SIZE, SIZE), 0.5), truth=torch.ones(1))
    assert same(SeparateLayersd()(known), known)


def test_separating_follows_its_keys() -> None:
    given: Sample = {"joint": sample()["image"], "known": torch.zeros(1)}
    result = SeparateLayersd("joint", label_key="layers", truth_key="known")(given)
    assert torch.equal(result["layers"], rendered(0, 1.3)[1])
    assert "layers" not in given
    with pytest.raises(KeyError, match="`image` of transform `SeparateLayersd`"):
        SeparateLayersd()(given)
    assert same(SeparateLayersd(allow_missing_keys=True)(given), given)


def test_composing_writes_one_radiograph_for_each_key() -> None:
    given: Sample = {"label": rendered(0, 1.3)[1], "pred": rendered(1, 0.5)[1]}
    result = Reconstructd(("label", "pred"), output_postfix="image")(given)
    assert result.keys() == {"label", "pred", "label_image", "pred_image"}
    assert torch.equal(result["pred_image"], reconstruct(given["pred"]))
    assert torch.equal(result["label"], given["label"])
    with pytest.raises(KeyError, match="`absent` of transform `Reconstructd`"):
        Reconstructd("absent")(given)
    assert Reconstructd("absent", allow_missing_keys=True)(given).keys() == given.keys()
