"""SampleSpecifications: what is asked for is asked of the images, whoever draws them and in what order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from bundle.datasets.distributions import Mirror, Normal, Sweep, Uniform
from bundle.datasets.sources import Source
from bundle.datasets.specifications import DataPlan, SampleSpecifications, motion_of
from bundle.errors import InputError
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import qmc
from tests.datasets.phantoms import flat

FINGERS = ("small", "ring", "middle")
WIDTHS = Uniform(-0.5, 2.5)


def source(number: int = 0, **more: Any) -> Source:
    known = {
        "name": f"joint{number}",
        "joint": f"joint{number}",
        "finger": FINGERS[number % 3],
        "side": "left",
        "spacing_mm": 0.1,
        **flat(1.0 + 0.1 * number),
        "edges_mm": [[0.5, 1.0], [-0.5, -1.0]],
        "masks": "given",
        "digest": "",
        "separator": "none",
    }
    return Source(**{**known, **more})


SOURCES = [source(number) for number in range(5)]


def specifications(**plan: Any) -> SampleSpecifications:
    return DataPlan(**{"joint_space_mm": WIDTHS, "count": 400, **plan}).of(SOURCES)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), chosen=st.lists(st.integers(0, 399), min_size=1, max_size=5, unique=True))
def test_a_recipe_does_not_depend_on_those_drawn_with_it(seed: int, chosen: list[int]) -> None:
    of = specifications(seed=seed, sideways_mm=Uniform(-0.3, 0.3))
    alone = [of.sample([index])[0] for index in chosen]
    assert of.sample(chosen) == alone
    assert [specification.index for specification in alone] == chosen


def test_the_first_recipe_is_as_near_as_the_thousandth_million() -> None:
    plan = {"count": 10**9, "seed": 3}
    last = specifications(**plan).sample([10**9 - 1])[0]
    assert -0.5 <= last.joint_space_mm <= 2.5
    sequence = qmc.Halton(4, scramble=True, rng=3).fast_forward(5000).random(3)
    np.testing.assert_allclose(
        [r.joint_space_mm for r in specifications(**plan).sample(range(5000, 5003))], 3 * sequence[:, 0] - 0.5
    )


def test_another_seed_gives_other_images() -> None:
    one, other = (specifications(seed=seed).sample(range(50)) for seed in (0, 1))
    assert all(a.joint_space_mm != b.joint_space_mm and a.seed != b.seed for a, b in zip(one, other, strict=True))
    assert [a.source.name for a in one] != [b.source.name for b in other]


@pytest.mark.slow
@pytest.mark.parametrize("wanted", [WIDTHS, Normal(1.0, 0.4, -0.5, 2.5), Mirror(bins=4)], ids=str)
def test_asked_widths_run_evenly_through_their_distribution(wanted: Any) -> None:
    drawn = np.sort(
        [specification.joint_space_mm for specification in specifications(joint_space_mm=wanted).sample(range(400))]
    )
    of = wanted.of_sources([source.width for source in SOURCES])
    even = of.quantile((np.arange(400) + 0.5) / 400)
    np.testing.assert_allclose(drawn[10:-10], even[10:-10], atol=0.03)


def test_everything_else_follows_its_distribution_and_nothing_moves_with_anything_else() -> None:
    drawn = specifications(
        sideways_mm=Uniform(-1.0, 1.0), rotation_deg=Uniform(0.0, 4.0), noise=Uniform(0.0, 0.5)
    ).sample(range(400))
    table = np.array([[r.joint_space_mm, r.sideways_mm, r.rotation_degrees, r.noise] for r in drawn])
    np.testing.assert_allclose(table.mean(axis=0), [1.0, 0.0, 2.0, 0.25], atol=0.05)
    np.testing.assert_allclose(np.corrcoef(table.T), np.eye(4), atol=0.1)
    shown = [specification.source.name for specification in drawn]
    assert all(50 < shown.count(source.name) < 110 for source in SOURCES)


def test_the_next_attempt_asks_for_the_same_width_of_another_draw() -> None:
    of = specifications(sideways_mm=Uniform(-1.0, 1.0))
    first, second = (of.sample(range(60), attempt) for attempt in (0, 1))
    assert [r.joint_space_mm for r in first] == [r.joint_space_mm for r in second]
    assert all(a.seed != b.seed and a.sideways_mm != b.sideways_mm for a, b in zip(first, second, strict=True))
    assert sum(a.source != b.source for a, b in zip(first, second, strict=True)) > 30


@pytest.mark.parametrize("attempt", [0, 3])
def test_a_pair_shows_one_joint_twice(attempt: int) -> None:
    drawn = specifications(pairs=True).sample(range(100), attempt)
    for one, other in zip(drawn[::2], drawn[1::2], strict=True):
        assert one.source == other.source
        assert (one.pair, other.pair) == (other.key, one.key)
        assert one.joint_space_mm != other.joint_space_mm and one.seed != other.seed
    assert len({specification.source.name for specification in drawn}) == len(SOURCES)


def test_fingers_are_shown_as_often_as_told() -> None:
    shown = [
        r.source.finger for r in specifications(fingers={"small": 3.0, "ring": 1.0, "middle": 0.0}).sample(range(400))
    ]
    assert shown.count("small") == pytest.approx(300, abs=40)
    assert shown.count("middle") == 0


def test_changes_and_sweeps_are_made_of_each_joint_once_and_never_tried_again() -> None:
    for plan, asked in (
        ({"changes_mm": [-0.5, 0.25]}, [source.width + change for source in SOURCES for change in (-0.5, 0.25)]),
        ({"joint_space_mm": Sweep([0.3, 1.7])}, [0.3, 1.7] * len(SOURCES)),
    ):
        of = specifications(**plan)
        drawn = of.sample(range(len(of)))
        assert [specification.joint_space_mm for specification in drawn] == pytest.approx(asked)
        assert [specification.source for specification in drawn] == [source for source in SOURCES for _ in range(2)]
        assert len({specification.key for specification in drawn}) == len(of)
        assert of.sample([0], 1) == []
    assert specifications(changes_mm=[-0.5]).sample([1])[0].key == "joint1_joint_space-500um"


def test_keys_have_no_dots_and_joints_that_differ_by_dots_alone_are_refused() -> None:
    plan = DataPlan(joint_space_mm=WIDTHS, changes_mm=[0.125])
    assert plan.of([source(name="a.b")]).sample([0])[0].key == "a-b_joint_space+125um"
    with pytest.raises(InputError, match="differ by more than dots"):
        plan.of([source(name="a.b"), source(name="a-b")])


def test_bones_move_along_the_axis_of_their_joint_and_across_it() -> None:
    joint = source(**flat(1.0, axis=30.0))
    (along,) = DataPlan(joint_space_mm=WIDTHS, changes_mm=[0.8]).of([joint]).sample([0])
    lower, upper = motion_of([along]).translation[0]
    down = torch.tensor([-0.5, 3**0.5 / 2], dtype=torch.float64)
    torch.testing.assert_close(lower - upper, 0.8 * down)
    (across,) = DataPlan(joint_space_mm=WIDTHS, changes_mm=[0.0], sideways_mm=Uniform(0.4, 0.4)).of([joint]).sample([0])
    lower, upper = motion_of([across]).translation[0]
    torch.testing.assert_close(upper - lower, 0.4 * torch.stack([down[1], -down[0]]))


@settings(max_examples=30, deadline=None)
@given(share=st.floats(0.0, 1.0), seed=st.integers(0, 99))
def test_bones_share_a_motion_and_turn_about_their_facing_edges(share: float, seed: int) -> None:
    of = specifications(upper_share=share, sideways_mm=Uniform(-0.5, 0.5), rotation_deg=Uniform(-3.0, 3.0), seed=seed)
    drawn = of.sample(range(4))
    motion = motion_of(drawn)
    lower, upper = motion.translation.unbind(dim=1)
    for row, specification in enumerate(drawn):
        assert float(lower[row, 1] - upper[row, 1]) == pytest.approx(specification.change_mm)
        assert float(-upper[row, 1]) == pytest.approx(share * specification.change_mm)
        assert float(upper[row, 0] - lower[row, 0]) == pytest.approx(specification.sideways_mm)
        assert float(motion.rotation[row, 1] - motion.rotation[row, 0]) == pytest.approx(specification.rotation_degrees)
        assert torch.equal(motion.center[row], torch.tensor(specification.source.edges_mm, dtype=torch.float64))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ({"count": 0}, "a count and attempts above 0"),
        ({"seed": -1}, "a seed of at least 0"),
        ({"count": "many"}, "a count and attempts above 0"),
        ({"count": 10.5}, "Pass whole numbers"),
        ({"joint_space_mm": "uniform"}, "joint_space_mm is 'uniform'. Pass a distribution"),
        ({"noise": 0.5}, "noise is 0.5. Pass a distribution"),
        ({"upper_share": 1.1}, r"upper_share, .* in \[0, 1\]"),
        ({"pairs": True, "count": 3}, "pairs need an even count"),
        ({"pairs": "true", "changes_mm": [0.5]}, "neither changes nor a sweep"),
        ({"pairs": "perhaps"}, "neither true nor false"),
        ({"changes_mm": 0.5}, "a list of changes in mm"),
        ({"changes_mm": [10.0]}, "all below 10"),
        ({"changes_mm": [float("nan")]}, "a list of changes in mm"),
        ({"changes_mm": [0.5, 0.5002]}, "0.001 or more apart"),
        ({"fingers": {"thumb": 1.0}}, r"fingers .* among \['middle', 'ring', 'small'\]"),
        ({"fingers": {"small": -1.0}}, "weights of at least 0"),
    ],
)
def test_what_cannot_be_made_is_refused(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        specifications(**plan)


def test_a_data_set_needs_a_joint() -> None:
    with pytest.raises(InputError, match="no joint is left"):
        DataPlan(joint_space_mm=WIDTHS).of([])
