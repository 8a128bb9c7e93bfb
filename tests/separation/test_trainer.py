from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
import torch
from bundle.physics.masks import visible_region
from bundle.physics.motion import MotionRange, move
from bundle.physics.radiograph import reconstruct
from bundle.separation.adversarial import Discrimination, DiscriminatorLoss
from bundle.separation.losses import (
    EarlyPseudoGeneratorLoss,
    GeneratorLoss,
    LayerFidelity,
    PseudoGeneratorLoss,
    Reconstruction,
    Separation,
    Supervision,
    SupervisorLoss,
)
from bundle.separation.stage import Objective, Player, Players, RandomMotions, StageSchedule
from bundle.separation.trainer import LayerSeparationTrainer
from bundle.separation.transforms.dictionary import RandPseudoOverlapd
from bundle.separation.weighted_loss import WeightedLoss
from ignite.engine import Events
from monai.data import DataLoader, Dataset
from monai.engines.utils import IterationEvents
from monai.transforms import Compose, Lambdad
from torch import Tensor, nn

SIZE, JOINTS, SPACING = 24, 6, 21 / 24
PLAYERS = ("generator", "supervisor", "discriminator")
PARTS = ("reconstruction", "supervision", "discrimination", "layers")


def joint(index: int) -> dict[str, Any]:
    """A joint of two blocks with random texture, air beside it: `index` seeds it; odd ones have true layers."""
    random = torch.Generator().manual_seed(index)
    masks = torch.zeros(2, SIZE, SIZE)
    masks[0, 15:, 6:18] = 1.0
    masks[1, :12, 6:18] = 1.0
    texture = torch.rand(3, SIZE, SIZE, generator=random)
    layers = torch.cat([0.3 + 0.1 * texture[:1], (0.3 + 0.3 * texture[1:]) * masks])
    layers[..., :5] = layers[..., 19:] = 0.0
    image = torch.cat([reconstruct(layers), masks])
    known = float(index % 2)
    return {
        "name": f"joint_{index}",
        "overlapping": False,
        "image": image,
        "label": layers,
        "truth": torch.tensor([known]),
        "source": image.roll(1, dims=-2),
        "spacing": torch.tensor([SPACING]),
    }


class Layers(nn.Sequential):
    """A generator of one convolution."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 3, 3, padding=1), nn.Sigmoid())


def player(network: nn.Module, rate: float) -> Player:
    return Player(network, torch.optim.AdamW(network.parameters(), lr=rate))


def trainer(samples: list[dict[str, Any]] | None = None, rate: float = 0.01, **options: Any) -> LayerSeparationTrainer:
    """A trainer of small networks; options of its groups count by their names."""
    torch.manual_seed(0)
    samples = [joint(index) for index in range(JOINTS)] if samples is None else samples
    settings: dict[str, Any] = {
        "generator": player(Layers(), rate),
        "supervisor": player(nn.Conv2d(1, 3, 3, padding=1), rate),
        "discriminator": player(nn.Conv2d(1, 1, 3, padding=1), rate),
        "late": PseudoGeneratorLoss(),
        "ranges": MotionRange(x_mm=2.0, y_mm=2.0, rotation_deg=5.0),
        **options,
    }
    groups = {"players": Players, "objective": Objective, "motion": RandomMotions, "schedule": StageSchedule}
    made: dict[str, Any] = {}
    for name, group in groups.items():
        own = {part.name for part in fields(group)} & settings.keys()
        made[name] = group(**{key: settings.pop(key) for key in own})
    loader = DataLoader(Dataset(samples), batch_size=2, shuffle=True, num_workers=0)
    base = {"device": "cpu", "max_epochs": 1, "data_loader": loader, "decollate": False}
    return LayerSeparationTrainer(**{**base, **made, **settings})


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def everything(engine: LayerSeparationTrainer) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": value
        for name in PLAYERS
        for key, value in weights(getattr(engine.players, name).network).items()
    }


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[key], other[key]) for key in one)


def changed(engine: LayerSeparationTrainer, before: dict[str, Tensor]) -> set[str]:
    """The players whose weights are not those of `before`."""
    after = everything(engine)
    return {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}


def after_each(engine: LayerSeparationTrainer, event: Any, look: Callable[[], Any]) -> list[Any]:
    """What `look` sees at an event, each time it is fired."""
    seen: list[Any] = []
    engine.add_event_handler(event, lambda _: seen.append(look()))
    return seen


def test_each_step_changes_its_own_network_and_no_other() -> None:
    engine = trainer()
    state = everything(engine)
    steps = []

    def note(name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            steps.append((name, changed(engine, state)))
            state.update(everything(engine))

        return hook

    for name in PLAYERS:
        getattr(engine.players, name).optimizer.register_step_post_hook(note(name))
    engine.run()
    expected = [(name, {name}) for name in ("supervisor", "discriminator", "generator")]
    assert steps == expected * 3


def test_the_generators_step_leaves_no_gradient_in_the_frozen_networks() -> None:
    engine = trainer()
    seen: dict[str, Any] = {}

    def frozen(_: Any) -> None:
        seen["frozen"] = [
            parameter.requires_grad
            for name in ("supervisor", "discriminator")
            for parameter in getattr(engine.players, name).network.parameters()
        ]
        seen["own"] = gradients()

    def gradients() -> list[Tensor]:
        players = (engine.players.supervisor, engine.players.discriminator)
        return [parameter.grad.clone() for player_ in players for parameter in player_.network.parameters()]

    engine.add_event_handler(IterationEvents.LOSS_COMPLETED, frozen)
    engine.run()
    assert seen["frozen"] == [False] * 4
    for own, now in zip(seen["own"], gradients(), strict=True):
        assert torch.equal(own, now)
    for name in PLAYERS:
        assert all(parameter.requires_grad for parameter in getattr(engine.players, name).network.parameters())


def test_a_failed_step_leaves_no_network_frozen() -> None:
    engine = trainer(late=GeneratorLoss(layers=1.0))
    engine.objective.fidelity.forward = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        engine.run()
    for name in PLAYERS:
        assert all(parameter.requires_grad for parameter in getattr(engine.players, name).network.parameters())


def test_the_output_holds_images_labels_predictions_losses_and_named_parts() -> None:
    engine = trainer()
    engine.run()
    output, batch = engine.state.output, engine.state.batch
    assert set(output) == {"image", "label", "pred", "loss", "supervisor", "discriminator", *PARTS}
    assert torch.equal(output["image"], batch["image"])
    assert torch.equal(output["label"], batch["label"])
    assert output["pred"].shape == (2, 3, SIZE, SIZE)
    for name in ("loss", "supervisor", "discriminator", *PARTS):
        assert output[name].shape == ()
        assert output[name].isfinite()
    assert not any(value.requires_grad for value in output.values())


@pytest.mark.slow
def test_the_parts_equal_the_losses_on_the_same_inputs() -> None:
    """Without a learning rate no step changes a network, so every part can be computed anew from the outputs."""
    engine = trainer(rate=0.0, count=3, max_epochs=2)
    draws = after_each(engine, IterationEvents.FORWARD_COMPLETED, lambda: engine.random.get_state())
    pairs = after_each(engine, Events.ITERATION_COMPLETED, lambda: (engine.state.batch, engine.state.output))
    engine.run()
    assert len(pairs) == 6
    for (batch, output), draw in zip(pairs, draws, strict=True):
        expected = expected_losses(engine, batch, output["pred"], draw)
        for name, value in expected.items():
            torch.testing.assert_close(output[name], value, rtol=1e-5, atol=1e-7, msg=name)


def expected_losses(engine: Any, batch: dict[str, Tensor], layers: Tensor, draw: Any) -> dict[str, Tensor]:
    """Eq. 7, 9, 11 and 12 of a batch, motion by motion and joint by joint."""
    engine.random.set_state(draw)
    find, suspect = engine.players.supervisor.network, engine.players.discriminator.network
    J, M, truth = batch["image"][:, :1], batch["image"][:, 1:], batch["label"]
    visible = visible_region(J, M)
    motions, joints = engine.motion.count, len(J)
    motion = engine.motion.ranges.sample(motions * joints, engine.random)
    supervision, moved_layers = [], []
    for row in range(motions * joints):
        index = slice(row % joints, row % joints + 1)
        moved, moved_masks = move(layers[index], M[index], motion.of(row), SPACING, exact=False)
        moved_truth, _ = move(truth[index], M[index], motion.of(row), SPACING, exact=False)
        shown = visible_region(reconstruct(moved), moved_masks)
        supervision.append(Supervision()(find(reconstruct(moved)), moved_masks, shown))
        still = Separation(layers[index], M[index], visible[index], truth[index])
        if batch["truth"][index].item():
            shifted = Separation(moved, moved_masks, shown, moved_truth)
            moved_layers.append(LayerFidelity()(still, shifted, torch.ones(1)))
    source = batch["source"]
    seen = visible_region(source[:, :1], source[:, 1:])
    losses = {
        "reconstruction": Reconstruction()(reconstruct(layers), J, M, visible),
        "supervision": torch.stack(supervision).mean(),
        "discrimination": Discrimination()(suspect(layers[:, :1]), M, visible),
        "layers": torch.stack(moved_layers).mean() if moved_layers else torch.tensor(0.0),
        "supervisor": SupervisorLoss()(find(J), M, visible, (find(source[:, :1]), source[:, 1:], seen)),
        "discriminator": DiscriminatorLoss()(suspect(layers[:, :1]), M, visible),
    }
    losses["loss"] = sum(weight * losses[part] for part, weight in zip(PARTS, (0.5, 0.2, 0.2, 0.1), strict=True))
    return {name: value.detach() for name, value in losses.items()}


@pytest.mark.slow
def test_the_discriminator_is_untouched_up_to_epoch_m_and_trained_after() -> None:
    early = EarlyPseudoGeneratorLoss()
    engine = trainer(max_epochs=3, early=early, early_epochs=2)
    seen = after_each(
        engine,
        Events.EPOCH_COMPLETED,
        lambda: (engine.epoch_loss(), weights(engine.players.discriminator.network), set(engine.state.output)),
    )
    before = weights(engine.players.discriminator.network)
    engine.run()
    assert [loss is early for loss, _, _ in seen] == [True, True, False]
    assert [same(before, now) for _, now, _ in seen] == [True, True, False]
    assert [{"discrimination", "discriminator"} <= names for _, _, names in seen] == [False, False, True]


@pytest.mark.slow
def test_the_switch_at_epoch_m_counts_epochs_of_both_stages() -> None:
    engine = trainer(max_epochs=4, epochs_before=2, early=EarlyPseudoGeneratorLoss(), early_epochs=3)
    seen = after_each(engine, Events.EPOCH_COMPLETED, lambda: (engine.state.epoch, engine.epoch_loss()))
    engine.run()
    assert [(epoch, loss is engine.objective.early) for epoch, loss in seen] == [(3, True), (4, False)]


def test_a_discriminator_without_weight_is_not_trained() -> None:
    engine = trainer(late=GeneratorLoss(discrimination=0.0))
    before = everything(engine)
    engine.run()
    assert changed(engine, before) == {"generator", "supervisor"}
    assert not {"discrimination", "discriminator"} & set(engine.state.output)


@pytest.mark.parametrize(
    ("ablation", "trained", "absent"),
    [
        ("use_supervisor", {"generator", "discriminator"}, {"supervisor", "supervision"}),
        ("use_discriminator", {"generator", "supervisor"}, {"discriminator", "discrimination"}),
    ],
)
def test_an_ablated_player_is_neither_trained_nor_counted(ablation: str, trained: set[str], absent: set[str]) -> None:
    engine = trainer(**{ablation: False})
    before = everything(engine)
    engine.run()
    output = engine.state.output
    assert changed(engine, before) == trained
    assert not absent & set(output)
    shares = zip(PARTS, (0.5, 0.2, 0.2, 0.1), strict=True)
    rest = sum(weight * output[part] for part, weight in shares if part in output)
    torch.testing.assert_close(output["loss"], rest)


def test_without_motion_the_layers_are_compared_where_they_are() -> None:
    engine = trainer(rate=0.0, used=False)
    engine.run()
    output, batch = engine.state.output, engine.state.batch
    visible = visible_region(batch["image"][:, :1], batch["image"][:, 1:])
    still = Separation(output["pred"], batch["image"][:, 1:], visible, batch["label"])
    torch.testing.assert_close(output["layers"], LayerFidelity()(still, still, batch["truth"]).detach())
    found = engine.players.supervisor.network(reconstruct(output["pred"]))
    expected = Supervision()(found, batch["image"][:, 1:], visible).detach()
    torch.testing.assert_close(output["supervision"], expected)


class Recorder(nn.Conv2d):
    """A supervisor that keeps what it was shown."""

    def __init__(self) -> None:
        super().__init__(1, 3, 3, padding=1)
        self.shown: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.shown.append(image.detach())
        return super().forward(image)


def test_equal_joints_of_a_batch_move_differently() -> None:
    """One motion for a whole batch is a fault of the published code."""
    network = Recorder()
    engine = trainer([joint(1)] * 2, supervisor=player(network, 0.0), rate=0.0, count=3)
    engine.run()
    moved = network.shown[-1]
    assert len(moved) == 6
    for row in range(6):
        for other in range(row):
            assert (moved[row] - moved[other]).abs().max() > 0.01


def test_sources_without_a_push_make_the_supervisors_loss_that_of_real_images() -> None:
    """Eq. 12 of an image that is its own source is Eq. 8."""
    own = [{**joint(index), "source": joint(index)["image"]} for index in range(2)]
    engine = trainer(own, rate=0.0)
    engine.run()
    J, M = engine.state.batch["image"][:, :1], engine.state.batch["image"][:, 1:]
    expected = SupervisorLoss()(engine.players.supervisor.network(J), M, visible_region(J, M)).detach()
    torch.testing.assert_close(engine.state.output["supervisor"], expected)


def test_events_of_an_iteration_are_fired_once_and_in_order() -> None:
    names = ("FORWARD_COMPLETED", "LOSS_COMPLETED", "BACKWARD_COMPLETED", "MODEL_COMPLETED")
    engine = trainer()
    fired: list[str] = []
    for name in names:
        engine.add_event_handler(IterationEvents[name], lambda _, name=name: fired.append(name))
    engine.run()
    assert fired == [*names] * 3


def test_postprocessing_sees_decollated_output() -> None:
    post = Compose([Lambdad("pred", lambda layers: layers * 0.0 - 1.0)])
    engine = trainer(decollate=True, postprocessing=post)
    engine.run()
    assert isinstance(engine.state.output, list)
    assert len(engine.state.output) == 2
    for output in engine.state.output:
        assert output["pred"].shape == (3, SIZE, SIZE)
        assert (output["pred"] == -1.0).all()
        assert float(output["loss"]) > 0.0


def test_mixed_precision_on_the_cpu_computes_in_bfloat16_and_learns_in_float32() -> None:
    engine = trainer(amp=True)
    seen: set[tuple[str, torch.dtype]] = set()
    for name in PLAYERS:
        convolution = next(
            module for module in getattr(engine.players, name).network.modules() if isinstance(module, nn.Conv2d)
        )
        convolution.register_forward_hook(lambda module, _, logits, name=name: seen.add((name, logits.dtype)))
    before = everything(engine)
    engine.run()
    assert seen == {(name, torch.bfloat16) for name in PLAYERS}
    assert changed(engine, before) == set(PLAYERS)
    for value in everything(engine).values():
        assert value.dtype == torch.float32
        assert value.isfinite().all()
    assert engine.state.output["loss"].dtype == torch.float32


@pytest.mark.parametrize(("last", "before"), [(0, 0), (3, 3)])
def test_a_stage_without_epochs_is_skipped(last: int, before: int) -> None:
    engine = trainer(max_epochs=last, epochs_before=before)
    started = after_each(engine, Events.STARTED, lambda: True)
    state = everything(engine)
    engine.run()
    assert not started
    assert not changed(engine, state)


def closed(seed: int, epochs: int = 2, epochs_before: int = 0, **options: Any) -> LayerSeparationTrainer:
    samples = [joint(index) for index in range(JOINTS)]
    dataset = Dataset(samples, RandPseudoOverlapd())
    loader = DataLoader(dataset, batch_size=2, shuffle=True, num_workers=0)
    return trainer(data_loader=loader, seed=seed, max_epochs=epochs, epochs_before=epochs_before, **options)


@pytest.mark.long
def test_one_seed_gives_one_training_and_another_another() -> None:
    runs = [closed(3), closed(3), closed(4)]
    for index, engine in enumerate(runs):
        torch.manual_seed(index)
        engine.run()
    first, again, other = (everything(engine) for engine in runs)
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.slow
def test_an_epoch_depends_on_the_seed_and_its_number_alone() -> None:
    """So a training goes on from a checkpoint as if it had never stopped."""
    whole, part = closed(3), closed(3, epochs=1)
    part.run()
    rest = closed(3, epochs_before=1)
    for name in PLAYERS:
        getattr(rest.players, name).network.load_state_dict(getattr(part.players, name).network.state_dict())
        getattr(rest.players, name).optimizer.load_state_dict(
            copy.deepcopy(getattr(part.players, name).optimizer.state_dict())
        )
    torch.rand(7)
    rest.run()
    whole.run()
    assert same(everything(whole), everything(rest))


@pytest.mark.slow
def test_epochs_of_one_training_draw_differently() -> None:
    engine = closed(3)
    shown = after_each(engine, Events.ITERATION_COMPLETED, lambda: engine.state.batch["image"])
    engine.run()
    assert len(shown) == 6
    for image in torch.cat(shown[:3]):
        assert all((image - other).abs().max() > 1e-3 for other in torch.cat(shown[3:]))


def test_the_generator_sees_what_is_to_be_seen_and_the_losses_the_image() -> None:
    samples = [joint(index) for index in range(JOINTS)]
    shifted = [torch.cat([sample["image"][:1], sample["image"][1:].roll(3, dims=-2)]) for sample in samples]
    given = [{**sample, "seen": image} for sample, image in zip(samples, shifted, strict=True)]
    seen, judged = [], []
    engine = trainer(given)
    engine.players.generator.network.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].clone()))
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: judged.append(engine.state.output["image"]))
    engine.run()
    for shown, image in zip(seen, judged, strict=True):
        assert torch.equal(shown[:, :1], image[:, :1])
        assert torch.equal(shown[:, 1:], image[:, 1:].roll(3, dims=-2))


class BrightTissue(nn.Module):
    """A loss of one's own: the mean of the soft tissue."""

    def forward(self, layers: Tensor, batch: dict[str, Tensor]) -> Tensor:
        assert set(batch) >= {"image", "label", "truth", "spacing"}
        return layers[:, 0].mean()


def test_extra_losses_are_added_with_their_weights_and_named_in_the_output() -> None:
    loss = PseudoGeneratorLoss()
    engine = trainer(late=loss, extra={"tissue": WeightedLoss(BrightTissue(), 3.0)})
    outputs = after_each(engine, IterationEvents.LOSS_COMPLETED, lambda: dict(engine.state.output))
    engine.run()
    for output in outputs:
        own = output["loss"] - loss({part: output[part] for part in PARTS})
        torch.testing.assert_close(output["extra_tissue"], output["pred"][:, 0].mean())
        torch.testing.assert_close(own, 3.0 * output["extra_tissue"])


@pytest.mark.long
def test_an_extra_loss_changes_what_is_learned() -> None:
    def brightness(weight: float) -> float:
        engine = trainer(max_epochs=20, extra={"tissue": WeightedLoss(BrightTissue(), weight)})
        engine.run()
        return float(engine.state.output["pred"][:, 0].mean())

    assert brightness(100.0) < brightness(0.0)
