"""Results for visual inspection: whole hands with their joints."""

from __future__ import annotations

import hashlib
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from bundle.inference.joint_table import JointTable, hand_of
from bundle.inference.locating import SURFACES
from bundle.inference.montage_writer import SURFACE_COLOURS
from bundle.inference.results import QUALITY, LayerWriter
from bundle.io import Item, JointFrame, Joints, grey_panel, in_hand, named_lines, png_source, read_stated, write_png
from bundle.joint import Keys
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

LARGEST = 1200
"""Longest side of an overview in pixels."""

LINE, LETTER = 17, 7
"""Height of a line of text and width of a letter in pixels."""

MEASURED, DOUBTFUL, REFUSED = (60, 220, 90), (255, 176, 0), (255, 70, 70)
"""Colours of frames: measured; without a joint space, or with a doubt (orange); left out (red)."""


def write_overviews(writer: LayerWriter, joints: Joints) -> None:
    """Write ``<hand>_overview.png`` of each hand: frames, joint surfaces and joint spaces of its joints.

    Overviews that a former run has written and that show the same are kept.

    Args:
        writer: writer of the results.
        joints: joints of the run, with those that were left out.
    """
    folder = writer.output_dir
    lines = {line["name"]: line for line in named_lines(writer.lines_dir / QUALITY)}
    rows = {row["name"]: row for row in JointTable(writer.lines_dir).rows()}
    for path, shown in tqdm(_by_hand([*joints, *joints.left_out]).items(), desc="overviews", unit="hand"):
        target, source = folder / f"{hand_of(shown[0])}_overview.png", _source(shown, rows, lines)
        if png_source(target) != source:
            write_png(target, overview(path, shown, rows, lines), source)


def _source(joints: Sequence[Item], rows: Mapping[str, Any], lines: Mapping[str, Any]) -> str:
    """Checksum of what the overview of a hand shows."""
    names = [str(joint[Keys.NAME]) for joint in joints]
    placed = [[joint[Keys.IMAGE], joint[Keys.FRAME], joint.get("digest"), joint.get(Keys.REFUSED)] for joint in joints]
    results = [[rows.get(name), (lines.get(name) or {}).get(SURFACES)] for name in names]
    return hashlib.sha256(json.dumps([LARGEST, placed, results]).encode()).hexdigest()


def _by_hand(joints: Iterable[Item]) -> dict[str, list[Item]]:
    """Joints that are cut out of hands, by the path of the hand."""
    hands: dict[str, list[Item]] = {}
    for joint in joints:
        if joint.get("frame") and in_hand(joint):
            hands.setdefault(str(joint["image"]), []).append(joint)
    return hands


def overview(
    path: str, joints: Sequence[Item], rows: Mapping[str, Mapping[str, Any]], lines: Mapping[str, Mapping[str, Any]]
) -> NDArray[np.uint8]:
    """Plot joints over their hand, reduced to at most :data:`LARGEST` pixels, with a line of text each, (H, W, 3).

    Args:
        path: file of the radiograph.
        joints: items of its joints.
        rows: rows of the table by the name of the joint.
        lines: lines of ``quality.jsonl`` by the name of the joint.
    """
    image, scale = _panel(path, joints)
    width, height = image.size
    verdicts = [_verdict(joint, rows.get(str(joint["name"]), {})) for joint in joints]
    texts = [(colour, line) for colour, text in verdicts for line in textwrap.wrap(text, max(width // LETTER, 20))]
    canvas = Image.new("RGB", (width, height + LINE * (len(texts) + 1)))
    canvas.paste(image)
    draw = ImageDraw.Draw(canvas)
    for joint, (colour, _) in zip(joints, verdicts, strict=True):
        _plot(draw, joint, lines.get(str(joint["name"]), {}), colour, scale)
    for number, (colour, text) in enumerate(texts):
        draw.text((4, height + LINE * number + 4), text, fill=colour, font=ImageFont.load_default(13))
    return np.asarray(canvas)


def _panel(path: str, joints: Sequence[Item]) -> tuple[Image.Image, float]:
    """The radiograph of joints in grey, reduced, and its scale: as kept with a joint, or from its file."""
    kept = next((joint for joint in joints if joint.get("whole") is not None), None)
    if kept is not None:
        return Image.fromarray(kept["whole"].read()), float(kept["whole_scale"])
    whole = read_stated(path).intensity
    panel = overview_panel(whole)
    return Image.fromarray(panel), len(panel) / len(whole)


def overview_panel(radiograph: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Reduce a radiograph (H, W) to at most :data:`LARGEST` pixels, as 8-bit grey."""
    image = Image.fromarray(grey_panel(torch.from_numpy(radiograph))).convert("L")
    scale = min(1.0, LARGEST / max(image.size))
    size = (max(round(scale * image.width), 1), max(round(scale * image.height), 1))
    return np.asarray(image.resize(size, Image.Resampling.BOX))


def _plot(
    draw: ImageDraw.ImageDraw, joint: Item, line: Mapping[str, Any], colour: tuple[int, int, int], scale: float
) -> None:
    """Plot the frame, the surfaces and the finger of a joint."""
    corners = JointFrame.from_json(joint["frame"]).corners.tolist()
    draw.line(_scaled([*corners, corners[0]], scale), fill=colour, width=2)
    for name, own in zip(("head", "floor"), SURFACE_COLOURS, strict=True):
        draw.line(_scaled((line.get(SURFACES) or {}).get(name, []), scale), fill=own, width=2)
    left, top = np.max([np.min(_scaled(corners, scale), axis=0) - [0, LINE], [0, 0]], axis=0).tolist()
    draw.text((left, top), str(joint["finger"]), fill=colour, font=ImageFont.load_default(13))


def _verdict(joint: Item, row: Mapping[str, Any]) -> tuple[tuple[int, int, int], str]:
    """Colour and text of a joint: its finger with the joint space, or why there is none."""
    finger = str(joint["finger"])
    if reason := joint.get(Keys.REFUSED):
        return REFUSED, f"{finger}: {_short(reason)}"
    if row.get("joint_space_mm") is None:
        return DOUBTFUL, f"{finger}: {row.get('reasons') or 'not measured'}"
    text = f"{finger}: {row['joint_space_mm']:.2f} mm (SD {row['joint_space_sd_mm']:.2f})"
    doubts = row.get("reasons")
    return (DOUBTFUL, f"{text}, {doubts}") if doubts else (MEASURED, text)


def _short(reason: str) -> str:
    """A reason without the file and the joint before it and the remedy after it."""
    return reason.rsplit(": ", 1)[-1].split(". ")[0]


def _scaled(points: Sequence[Sequence[float]], scale: float) -> list[tuple[float, float]]:
    return [(x * scale, y * scale) for x, y in points]
