"""Readers give as many numbers as they are asked for."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from bundle.errors import InputError
from bundle.scoring.networks import SCORERS, make_scorer, scaled_scorer_options
from monai.networks import eval_mode


@pytest.mark.parametrize("name", SCORERS)
@pytest.mark.parametrize("outputs", [1, 5])
def test_a_reader_gives_its_numbers_for_each_radiograph(name: str, outputs: int) -> None:
    scorer = make_scorer(name, outputs, {"widen_factor": 0.125})
    with eval_mode(scorer), torch.no_grad():
        assert scorer(torch.rand(2, 1, 64, 96)).shape == (2, outputs)


def test_options_replace_the_defaults() -> None:
    size = [sum(p.numel() for p in make_scorer("ResNet10", 1, {"widen_factor": w}).parameters()) for w in (0.25, 0.5)]
    assert size[0] < sum(p.numel() for p in make_scorer("ResNet10").parameters()) == size[1]


@pytest.mark.parametrize(("name", "options"), [("ResNet11", {}), ("ResNet10", {"layers": 3}), ("ResNet10", {"x": 1})])
def test_what_is_not_known_is_refused_with_what_is(name: str, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"Choose (one of|from)"):
        make_scorer(name, 1, options)


@pytest.mark.slow
def test_a_width_scales_every_level() -> None:
    norm = ["group", {"num_groups": 8}]
    options = scaled_scorer_options(16, {"norm": norm}, multiple=8)
    assert options == {"norm": norm, "widen_factor": 0.25}
    state = make_scorer("ResNet50", 1, options).state_dict()
    assert (state["conv1.weight"].shape[0], state["fc.weight"].shape[1]) == (16, 512)
    assert make_scorer("ResNet50", 1, scaled_scorer_options(64)).get_submodule("fc").in_features == 2048


@pytest.mark.parametrize("width", [0, -8, 12, 8.5])
def test_a_width_that_groups_do_not_divide_is_refused(width: Any) -> None:
    with pytest.raises(InputError, match=r"width is .*a whole number of channels above 0, a multiple of 8"):
        scaled_scorer_options(width, multiple=8)
