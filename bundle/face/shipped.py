"""Components of the inference configuration, with the shipped weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser


def root() -> Path:
    """Root folder of configurations and weights: the checkout, or the installed package."""
    here = Path(__file__).parents[1]
    return here if (here / "configs").is_dir() else here.parent


@lru_cache(maxsize=5)
def parts(*names: str, **options: Any) -> Mapping[str, Any]:
    """Components of the inference configuration with options, by name; a network with its weights."""
    config = ConfigParser()
    config.read_config([str(root() / "configs" / name) for name in ("inference.json", "parts/finder.yaml")])
    config.update({"bundle_root": str(root()), "device": "cpu", **options})
    made = {name: config.get_parsed_content(name) for name in names}
    if "network" in made:
        made["used_weights"](None)
        made["network"].eval()
    return made
