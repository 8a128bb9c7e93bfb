from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.io.phantom_lists import phantom_items
from bundle.measurement.outline_gap import outline_gap
from bundle.networks.backbones import make_backbone
from bundle.physics.harmonic import separate
from bundle.segmentation.segmenter import BoneSegmenter
from bundle.separation.generator import Generator
from bundle.separation.heads import PartitionHead
from bundle.separation.losses import GeneratorLoss
from bundle.separation.pseudo_overlap import compose_layers, compose_published
from bundle.separation.resident import STEP_KEYS, ResidentJoints, ResidentLoader
from bundle.separation.stage import Objective, Player, Players, RandomMotions
from bundle.separation.trainer import LayerSeparationTrainer
from bundle.separation.transforms.augmentation import RandAugmentLayersd, RandCropJointd, RandPredictedMasksd
from bundle.separation.transforms.dictionary import RandPseudoOverlapd
from bundle.separation.transforms.layers import SeparateLayersd
from bundle.separation.transforms.loading import LoadJointd
from monai.data import DataLoader, Dataset, set_rnd
from monai.transforms import Compose, Flipd, SelectItemsd
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

SIZE, JOINTS, BATCH = 48, 7, 3


def samples(truth: bool) -> list[dict[str, Any]]:
    """Phantoms with their layers, or as joints of files, whose layers are not known."""
    load = LoadJointd(SIZE)
    found = [dict(load(item)) for item in phantom_items(JOINTS, 3, SIZE)]
    return found if truth else [{**one, "label": torch.zeros(3, SIZE, SIZE), "truth": torch.zeros(1)} for one in found]


def transforms(maker: Any = compose_layers, prob: float = 0.7) -> Compose:
    return Compose(
        [
            RandPseudoOverlapd(prob=prob, maker=maker),
            RandAugmentLayersd(mirror=0.5, contrast=0.2, prob=0.6),
            RandCropJointd(size=0),
            SelectItemsd(keys=list(STEP_KEYS)),
        ]
    )


def batches(loader: Any, seed: int) -> list[Mapping[str, Tensor]]:
    """The batches of an epoch that is seeded as a trainer seeds it."""
    torch.manual_seed(seed)
    set_rnd(loader.dataset, seed)
    return list(loader)


@pytest.mark.long
@pytest.mark.parametrize("maker", [compose_layers, compose_published])
@pytest.mark.parametrize("truth", [True, False])
def test_resident_batches_are_those_of_a_dataloader(maker: Any, truth: bool) -> None:
    loaded = [SeparateLayersd()(one) for one in samples(truth)]
    usual = DataLoader(Dataset(loaded, transforms(maker)), batch_size=BATCH, shuffle=True, num_workers=0)
    joints = ResidentJoints(samples(truth))
    resident = ResidentLoader(Dataset(list(joints), transforms(maker)), joints, BATCH)
    assert len(resident) == len(usual) == 3
    for seed in (5, 6):
        expected, found = batches(usual, seed), batches(resident, seed)
        for one, other in zip(expected, found, strict=True):
            for key in STEP_KEYS:
                torch.testing.assert_close(
                    other[key].reshape(one[key].shape).float(), one[key].float(), atol=2e-6, rtol=0
                )


@pytest.mark.slow
def test_epochs_of_other_seeds_are_other_batches() -> None:
    joints = ResidentJoints(samples(False))
    resident = ResidentLoader(Dataset(list(joints), transforms()), joints, BATCH)
    first, again, other = (batches(resident, seed)[0]["image"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.slow
def test_joints_of_files_are_separated_without_weights_and_phantoms_keep_their_layers() -> None:
    for truth in (True, False):
        loaded = samples(truth)
        label = ResidentJoints(loaded).loaded["label"]
        for row, one in enumerate(loaded):
            image = one["image"][None]
            expected = one["label"] if truth else separate(image[:, :1], image[:, 1:], float(one["spacing"]))[0]
            torch.testing.assert_close(label[row], expected, atol=1e-6, rtol=0)


def test_the_host_knows_overlap_and_width_of_every_joint() -> None:
    loaded = samples(True)
    joints = ResidentJoints(loaded)
    for fact, one in zip(joints, loaded, strict=True):
        assert (fact["name"], fact["overlapping"]) == (one["name"], one["overlapping"])
        width = outline_gap(one["image"][None, 1:], float(one["spacing"]))
        assert float(fact["outline_gap"]) == pytest.approx(float(width.nan_to_num()), abs=1e-5)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    def fail() -> Any:
        pytest.fail("loaded too early")
        yield

    ResidentJoints(fail())


def test_no_joints_are_refused() -> None:
    with pytest.raises(InputError, match="No joints to train on"):
        len(ResidentJoints([]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("transform", "named"),
    [
        (RandCropJointd(size=16), "crop_size"),
        (RandAugmentLayersd(noise=0.1), "augmentation"),
        (RandAugmentLayersd(blur_mm=0.1), "augmentation"),
        (RandPredictedMasksd(BoneSegmenter(torch.nn.Identity(), ""), prob=0.5), "predicted_masks"),
        (Flipd("image", 1), "Flipd"),
    ],
)
def test_what_is_made_joint_by_joint_is_refused_by_name(transform: Any, named: str) -> None:
    joints = ResidentJoints(samples(True))
    with pytest.raises(InputError, match=named):
        ResidentLoader(Dataset([{}], Compose([transform])), joints, BATCH)


class Waiting(TorchDispatchMode):
    """Copies between host and device that the host waits for; reading a number of the meta device raises by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = kwargs or {}
        kinds = {one.device.type for one in args if isinstance(one, Tensor)}
        target = torch.device(options["device"]).type if options.get("device") is not None else None
        crosses = "copy" in str(func) and len(kinds | ({target} if target else set())) > 1
        if crosses and not options.get("non_blocking"):
            self.copies.append(str(func))
        return func(*args, **options)


def meta_trainer(maker: Any) -> tuple[ResidentLoader, LayerSeparationTrainer]:
    """A loader of joints on the CPU, whose steps are tried on the meta device, and a trainer there."""
    joints = ResidentJoints(samples(False))
    loader = ResidentLoader(Dataset(list(joints), transforms(maker, prob=1.0)), joints, BATCH)
    players = []
    head = PartitionHead()
    small = {"features": [4] * 6}
    for network in (
        Generator(make_backbone("BasicUNet", head.in_channels, head.out_channels, small), head),
        make_backbone("BasicUNet", 1, 3, small),
        make_backbone("BasicUNet", 1, 1, small),
    ):
        network.to("meta")
        players.append(Player(network, torch.optim.AdamW(network.parameters(), amsgrad=True)))
    objective = Objective(late=GeneratorLoss(layers=1.0))
    trainer = LayerSeparationTrainer(
        "meta", 1, loader, Players(*players), objective, motion=RandomMotions(count=2), decollate=False
    )
    trainer._autocast = contextlib.nullcontext  # type: ignore[method-assign,assignment]
    return loader, trainer


@pytest.mark.parametrize("maker", [compose_layers, compose_published])
@pytest.mark.long
def test_no_step_waits_for_the_device(maker: Any) -> None:
    """On the meta device a number that the host asks for is an error, as is a choice that depends on one."""
    loader, trainer = meta_trainer(maker)
    batch = loader.joints.batch([loader.dataset.data[row] for row in range(BATCH)])
    moves = {key for key, value in batch.items() if isinstance(value, Tensor)} - {"spacing"}
    batch = {key: value.to("meta") if key in moves else value for key, value in batch.items()}
    with Waiting() as waiting:
        for step in loader.steps:
            batch = step(batch)
        trainer._iteration(trainer, {key: batch[key] for key in STEP_KEYS})
    assert waiting.copies == []
    assert {"loss", "supervisor", "discriminator", "layers"} <= set(trainer.state.output)


def test_a_step_that_waits_is_found() -> None:
    with Waiting() as waiting:
        torch.ones(2).to("meta")
    assert waiting.copies
    with pytest.raises(RuntimeError, match="meta"):
        float(torch.ones((), device="meta"))
