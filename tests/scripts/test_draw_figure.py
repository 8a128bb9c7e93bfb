from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle.errors import input_message
from scripts.draw_figure import network


def test_the_figure_is_of_the_weights_that_are_named(tmp_path: Path) -> None:
    shipped, plain = (dict(network(name).state_dict()) for name in ("", "none"))
    assert not all(torch.equal(value, plain[name]) for name, value in shipped.items())
    with pytest.raises(RuntimeError) as caught:
        network(str(tmp_path / "mine.pt"))
    assert "mine.pt: no such weights file" in str(input_message(caught.value))
