"""Training steps: which networks they change, when, and that a seed repeats them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from bundle.separation.losses import EarlyPseudoGeneratorLoss, GeneratorLoss
from ignite.engine import Events
from monai.engines.utils import IterationEvents
from monai.transforms import Compose, Lambdad
from tests.separation.trainers import (
    PARTS,
    PLAYERS,
    SIZE,
    after_each,
    changed,
    closed,
    everything,
    same,
    trainer,
    weights,
)
from torch import Tensor, nn


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
