"""Components of the inference configuration, with the shipped weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from bundle.errors import InputError, chain
from bundle.io import bundle_root
from monai.bundle import ConfigParser


@lru_cache(maxsize=5)
def parts(*names: str, **options: Any) -> Mapping[str, Any]:
    """Components of the inference configuration with options, by name; a network with its weights.

    Raises:
        InputError: a component refuses its options, such as a missing file of weights.
    """
    try:
        return _made(names, options)
    except RuntimeError as error:  # MONAI wraps errors of components
        refusal = next((cause for cause in chain(error) if isinstance(cause, InputError)), None)
        if refusal is None:
            raise
        raise refusal from None


def _made(names: tuple[str, ...], options: Mapping[str, Any]) -> Mapping[str, Any]:
    config = ConfigParser()
    config.read_config([str(bundle_root() / "configs" / name) for name in ("inference.json", "parts/finder.yaml")])
    config.update({"bundle_root": str(bundle_root()), "device": "cpu", **options})
    made = {name: config.get_parsed_content(name) for name in names}
    if "network" in made:
        made["used_weights"](None)
        made["network"].eval()
    return made
