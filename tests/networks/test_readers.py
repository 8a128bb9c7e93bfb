"""Readers give as many numbers as they are asked for."""

from __future__ import annotations

import pytest
import torch
from monai.networks import eval_mode

from bundle.errors import InputError
from bundle.networks.readers import READERS, make_reader


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("outputs", [1, 5])
def test_a_reader_gives_its_numbers_for_each_radiograph(name: str, outputs: int) -> None:
    reader = make_reader(name, outputs, {"widen_factor": 0.125})
    with eval_mode(reader), torch.no_grad():
        assert reader(torch.rand(2, 1, 64, 96)).shape == (2, outputs)


def test_options_replace_the_defaults() -> None:
    size = [sum(p.numel() for p in make_reader("ResNet10", 1, {"widen_factor": w}).parameters()) for w in (0.25, 0.5)]
    assert size[0] < sum(p.numel() for p in make_reader("ResNet10").parameters()) == size[1]


@pytest.mark.parametrize(("name", "options"), [("ResNet11", {}), ("ResNet10", {"layers": 3}), ("ResNet10", {"x": 1})])
def test_what_is_not_known_is_refused_with_what_is(name: str, options: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"expected (one|some) of"):
        make_reader(name, 1, options)
