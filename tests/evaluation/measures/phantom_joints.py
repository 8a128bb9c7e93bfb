"""Phantoms with their true layers, as joints of a measure."""

from __future__ import annotations

import torch
from bundle.io.phantom_lists import phantom_items
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.statistics.measured import SeparatedJoints


def phantom_joints(count: int, seed: int, size: int = 64) -> SeparatedJoints:
    items = phantom_items(count, seed, size)
    made = [render(sample_parameters(item["seed"], size=size, spacing=item["spacing"])) for item in items]
    images = torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in made])
    layers = torch.stack([phantom.layers for phantom in made])
    return SeparatedJoints(items, images, layers, layers)
