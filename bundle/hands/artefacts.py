"""Appearance of radiographs from other sources: contrast, resolution, markers, metal and collimators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from bundle.physics import blur
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

Random = np.random.RandomState


def contrast(view: Tensor, rng: Random) -> Tensor:
    """Window and gamma."""
    low, high = torch.quantile(
        view.flatten()[::7], torch.tensor([rng.uniform(0, 0.15), rng.uniform(0.9, 1.0)])
    ).tolist()
    return ((view - low) / max(high - low, 0.1)).clamp(0.0, 1.0) ** float(np.exp(rng.uniform(-0.8, 0.8)))


def black_background(view: Tensor, rng: Random) -> Tensor:
    """Subtract the darker tissue and the background."""
    low = torch.quantile(view.flatten()[::7], float(rng.uniform(0.3, 0.6))).item()
    return ((view - low) / max(1.0 - low, 0.1)).clamp(0.0, 1.0)


def shading(view: Tensor, rng: Random) -> Tensor:
    """Smooth additive shading."""
    field = torch.as_tensor(rng.normal(0.0, rng.uniform(0.0, 0.25), (1, 1, 3, 3)), dtype=view.dtype)
    return (view + F.interpolate(field, size=view.shape[-2:], mode="bicubic", align_corners=True)[0]).clamp(0.0, 1.0)


def smooth(view: Tensor, rng: Random) -> Tensor:
    """Gaussian blur."""
    return blur(view[None], float(rng.uniform(0.3, 1.8)))[0]


def sharpened(view: Tensor, rng: Random) -> Tensor:
    """Edge enhancement of storage phosphor readers."""
    return (view + rng.uniform(0.5, 3.0) * (view - blur(view[None], float(rng.uniform(1.0, 4.0)))[0])).clamp(0.0, 1.0)


def coarse(view: Tensor, rng: Random) -> Tensor:
    """Lower resolution."""
    low = F.interpolate(view[None], scale_factor=float(rng.uniform(0.4, 0.8)), mode="bilinear", antialias=True)
    return F.interpolate(low, size=view.shape[-2:], mode="bilinear")[0].clamp(0.0, 1.0)


def noise(view: Tensor, rng: Random) -> Tensor:
    """Quantum noise, coarse-grained in half of the views."""
    white = torch.as_tensor(rng.normal(0.0, rng.uniform(0.0, 0.1), (1, 1, *view.shape[-2:])), dtype=view.dtype)
    return (view + (blur(white, 0.8) * 2 if rng.rand() < 0.5 else white)[0]).clamp(0.0, 1.0)


def markers(view: Tensor, rng: Random) -> Tensor:
    """Letters and dates, bright or dark, on plates or plain."""
    height, width = view.shape[-2:]
    picture = Image.fromarray((view[0].numpy() * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(1, 4)):
        text = "".join(rng.choice(list("LRLRABJVFDG0123456789-/. "), rng.choice([1, 1, 2, 6, 10])))
        font = ImageFont.load_default(float(rng.uniform(5, 30)))
        at = (int(rng.randint(0, width)), int(rng.randint(0, height)))
        value = int(rng.choice([0, 255, 255, 220]))
        if rng.rand() < 0.3:
            draw.rectangle(draw.textbbox(at, text, font=font), fill=255 - value)
        draw.text(at, text, fill=value, font=font)
    return torch.as_tensor(np.array(picture), dtype=view.dtype)[None] / 255


def metal(view: Tensor, rng: Random) -> Tensor:
    """Rings, screws, plates: bright discs and bars."""
    picture = Image.fromarray((view[0].numpy() * 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(rng.randint(1, 5)):
        x, y = rng.uniform(0.1, 0.9, 2) * [view.shape[-1], view.shape[-2]]
        a, b = rng.uniform(1.5, 9.0, 2)
        if rng.rand() < 0.5:
            draw.ellipse((x - a, y - b, x + a, y + b), fill=int(rng.randint(200, 256)))
        else:
            turn = rng.uniform(0, np.pi)
            along = np.array([np.cos(turn), np.sin(turn)]) * 2 * a
            draw.line((x - along[0], y - along[1], x + along[0], y + along[1]), fill=255, width=int(1 + b / 2))
    return torch.as_tensor(np.array(picture), dtype=view.dtype)[None] / 255


APPEARANCE: tuple[tuple[float, Callable[[Tensor, Random], Tensor]], ...] = (
    (0.15, black_background),
    (0.7, contrast),
    (0.3, shading),
    (0.25, smooth),
    (0.2, coarse),
    (0.2, sharpened),
    (0.4, noise),
    (0.15, metal),
    (0.4, markers),
)
"""Probabilities of changes of the appearance, in order."""


def changed_appearance(view: Tensor, rng: Random) -> Tensor:
    """Apply each change of :data:`APPEARANCE` with its probability to a view (1, H, W) in [0, 1]."""
    for probability, change in APPEARANCE:
        if rng.rand() < probability:
            view = change(view, rng)
    return view


def collimated(view: Tensor, inside: Tensor, rng: Random) -> tuple[Tensor, Tensor]:
    """Cover the outside of a rotated rectangle with one grey value; return the view and its visible pixels.

    Args:
        view: view, (1, H, W).
        inside: visible pixels, (H, W), bool.
        rng: random generator.
    """
    height, width = view.shape[-2:]
    y, x = np.mgrid[:height, :width]
    turn = rng.normal(0.0, 0.15) + rng.choice([0.0, rng.uniform(0, np.pi)], p=[0.7, 0.3])
    x, y = x - width / 2, y - height / 2
    along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
    low, high = -rng.uniform(0.3, 0.6, 2), rng.uniform(0.3, 0.6, 2)
    kept = (
        (along > low[0] * width) & (along < high[0] * width) & (across > low[1] * height) & (across < high[1] * height)
    )
    shown = torch.as_tensor(kept)
    return torch.where(shown, view, float(rng.choice([0.0, 0.0, 0.0, 1.0, rng.rand()]))), inside & shown


def texture(size: tuple[int, int], rng: Random) -> Tensor:
    """A view without a hand: noise of several scales, bars and discs, (1, H, W) in [0, 1]."""
    view = torch.zeros(1, 1, *size)
    for cells in (3, 8, 24, 64):
        field = torch.as_tensor(rng.normal(0.0, rng.uniform(0.0, 0.4), (1, 1, cells, cells)), dtype=view.dtype)
        view = view + F.interpolate(field, size=size, mode="bicubic")
    for _ in range(rng.randint(0, 4)):
        view = metal(view[0].clamp(0, 1), rng)[None]
    return (view[0] + rng.uniform(0.2, 0.8)).clamp(0.0, 1.0)


def shuffled(view: Tensor, rng: Random) -> Tensor:
    """Shuffle the tiles of a view and flip them, (1, H, W)."""
    parts = int(rng.choice([3, 4, 6, 8]))
    height, width = view.shape[-2] // parts, view.shape[-1] // parts
    tiles = view[0, : height * parts, : width * parts].reshape(parts, height, parts, width).permute(0, 2, 1, 3)
    tiles = tiles.reshape(-1, height, width)[torch.as_tensor(rng.permutation(parts**2))]
    tiles = torch.stack([tile.flip(int(rng.randint(0, 2))) if rng.rand() < 0.5 else tile for tile in tiles])
    whole = tiles.reshape(parts, parts, height, width).permute(0, 2, 1, 3).reshape(1, height * parts, width * parts)
    return F.interpolate(whole[None], size=view.shape[-2:], mode="nearest")[0]
