"""Accuracy of the finder on films with known hands."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError
from bundle.hands.finder import HandFinder
from bundle.hands.found import FoundHand, FoundJoint, found_places
from bundle.hands.landmarks import CHAINS, INDEX, LANDMARKS, Array, Landmark
from bundle.hands.recentring import Recentring
from bundle.hands.trials import Film, cut_at_pips, left_as_displayed, turned_films, two_hands, whole_film, without_hands
from bundle.io import (
    METRICS,
    JointFrame,
    files_below,
    fingerprint,
    is_radiograph,
    private_name,
    read_stated,
    reserve_output,
    write_figures,
    write_measured,
)
from tqdm import tqdm

WRONG_MM = 6.0
"""Distance from the landmark beyond which an accepted joint is wrong."""

Row = dict[str, Any]
_log = logging.getLogger("bundle.hands")


def nearest(hands: Sequence[FoundHand], points: Array) -> FoundHand | None:
    """The found hand whose MCP joints lie closest to those of a given hand; None if none overlaps it."""
    distances = [_distance(hand, points) for hand in hands]
    extent = float(np.ptp(points, axis=0).max())
    return hands[int(np.argmin(distances))] if hands and min(distances) < 0.25 * extent else None


def _distance(hand: FoundHand, points: Array) -> float:
    found = [[joint.x, joint.y] for joint in hand.joints if joint.joint == "MCP"] or [[np.inf, np.inf]]
    given = [points[INDEX[Landmark(finger, "MCP")]] for finger in CHAINS]
    return float(np.hypot(*(np.mean(found, axis=0) - np.mean(given, axis=0))))


def compare(film: Film, hands: Sequence[FoundHand]) -> Iterator[Row]:
    """Compare the hands found in a film with the given ones: a row per given joint that lies in the film."""
    for number, points in enumerate(film.hands):
        hand = nearest(hands, points)
        for landmark, index in INDEX.items():
            if landmark.joint != "CMC" and _is_inside(points[index], film):
                joint = hand.joint(*landmark) if hand is not None else None
                own = {"condition": film.condition, "film": film.name, "hand": number, **landmark._asdict()}
                side_wrong = hand is not None and hand.side != left_as_displayed(points)
                inverted_wrong = hand is not None and hand.inverted != film.inverted
                yield {
                    **own,
                    "side_wrong": side_wrong,
                    "inverted_wrong": inverted_wrong,
                    **_errors(joint, points, index, film),
                }


def _is_inside(point: Array, film: Film) -> bool:
    height, width = film.image.shape[-2:]
    return bool((point >= 0).all() and point[0] <= width - 1 and point[1] <= height - 1)


def _errors(joint: FoundJoint | None, points: Array, index: int, film: Film) -> Row:
    if joint is None:
        return {
            "found": False,
            "refused": "",
            "score": np.nan,
            "error_mm": np.nan,
            "direction_deg": np.nan,
            "finger_wrong": False,
        }
    distances = np.hypot(*(points - [joint.x, joint.y]).T) * film.pixel_mm
    same = [
        INDEX[other] for other in LANDMARKS if other.joint == joint.joint or {other.joint, joint.joint} == {"IP", "PIP"}
    ]
    return {
        "found": True,
        "refused": joint.refused,
        "score": joint.score,
        "error_mm": distances[index],
        "direction_deg": _direction_error(joint, points),
        "finger_wrong": not joint.refused and same[int(np.argmin(distances[same]))] != index,
    }


def _direction_error(joint: FoundJoint, points: Array) -> float:
    """Angle in degrees between the direction of a joint and the given one; NaN for fingertips."""
    joints = CHAINS[joint.finger]
    step = joints.index(joint.joint)
    if step + 1 == len(joints):
        return float("nan")
    start, end = (points[INDEX[Landmark(joint.finger, joints[at])]] for at in (step, step + 1))
    given, own = complex(*(end - start)), complex(*joint.direction)
    return abs(float(np.angle(own / given, deg=True)))


def summary(rows: pd.DataFrame, films: pd.DataFrame) -> dict[str, Any]:
    """Figures of each condition, from rows of :func:`compare` and rows of the films."""
    found: dict[str, Any] = {}
    for condition, own in films.groupby("condition", sort=False):
        joints = rows[rows.condition == condition] if len(rows) else rows
        figures = {
            "films": len(own),
            "false_hands": int(own.false_hands.sum()),
            "seconds_per_film": own.seconds.median(),
        }
        found[str(condition)] = figures | (_joint_figures(joints) if len(joints) else {})
    return found


def _joint_figures(rows: pd.DataFrame) -> dict[str, Any]:
    accepted = rows[rows.found & (rows.refused == "")]
    mcps = accepted[accepted.joint == "MCP"]
    fingers, thumb = mcps[mcps.finger != "thumb"], mcps[mcps.finger == "thumb"]
    all_mcps = rows[rows.joint == "MCP"]
    return {
        "mcp_found": float((all_mcps.found & (all_mcps.refused == "")).mean()),
        "mcp_refused": float((all_mcps.found & (all_mcps.refused != "")).mean()),
        "joints_found": float((rows.found & (rows.refused == "")).mean()),
        "mcp_error_mm_95": _quantile(fingers.error_mm),
        "thumb_error_mm_95": _quantile(thumb.error_mm),
        "mcp_direction_deg_95": _quantile(mcps[mcps.finger != "thumb"].direction_deg),
        "thumb_direction_deg_95": _quantile(thumb.direction_deg),
        "other_joints_error_mm_95": _quantile(accepted[accepted.joint != "MCP"].error_mm),
        "wrong_fingers": int(accepted.finger_wrong.sum()),
        "wrong_mcps": int((mcps.error_mm > WRONG_MM).sum()),
        "wrong_joints": int((accepted.error_mm > WRONG_MM).sum()),
        "wrong_sides": int(rows.groupby(["film", "hand"]).side_wrong.any().sum()),
        "wrong_inversions": int(rows.groupby(["film", "hand"]).inverted_wrong.any().sum()),
    }


def _quantile(values: pd.Series[Any]) -> float:
    return float(values.dropna().quantile(0.95)) if values.notna().any() else float("nan")


def seconds_to_centre(film: Film, hands: Sequence[FoundHand], recentring: Recentring) -> float:
    """CPU time in seconds to place the frames of the MCP joints that were found in a film."""
    places = [place for hand in hands for place in found_places(hand)]
    started = time.process_time()
    for place in places:
        recentring.find(film.image, JointFrame(place, (film.pixel_mm, film.pixel_mm)))
    return time.process_time() - started


class FinderReport:
    """Writer of the accuracy of the finder: ``metrics.json`` and ``per_joint.csv``.

    Args:
        finder: finder.
        recentring: placement of the frames of found joints, whose time is measured.
        output_dir: output folder; refused if it holds the results of another run.
        no_hands: folder of radiographs and other images that show no hand, in addition; empty for none.
        seed: random seed of the films.
        settings: settings of the run.
    """

    def __init__(
        self,
        finder: HandFinder,
        recentring: Recentring,
        output_dir: str,
        no_hands: str = "",
        seed: int = 0,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.finder, self.recentring, self.output_dir, self.no_hands, self.seed = (
            finder,
            recentring,
            Path(output_dir),
            no_hands,
            seed,
        )
        self.settings = {**(settings or {}), "weights": str(finder)}

    def measure(self, items: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Measure on held-out hands in all conditions and write the results; returns the figures."""
        reserve_output(self.output_dir, fingerprint({"results": type(self).__name__, **self.settings}))
        rows: list[Row] = []
        films: list[Row] = []
        for film in tqdm(self._films(items), desc="trying films", unit="film", mininterval=0.5):
            started = time.process_time()
            hands = self.finder(film.image)
            seconds = time.process_time() - started
            matched = [nearest(hands, points) for points in film.hands]
            extra = sum(not any(hand is one for one in matched) for hand in hands)
            films.append({"condition": film.condition, "film": film.name, "false_hands": extra, "seconds": seconds})
            rows += compare(film, hands)
        return self._write(pd.DataFrame(rows), pd.DataFrame(films), self._seconds_to_centre(items))

    def _seconds_to_centre(self, items: Sequence[Mapping[str, Any]]) -> float:
        """Median CPU time in seconds to place the frames of the MCP joints of a hand."""
        films = tqdm(_readable(whole_film, items), desc="centring frames", unit="hand", mininterval=0.5)
        return float(np.median([seconds_to_centre(film, self.finder(film.image), self.recentring) for film in films]))

    def _films(self, items: Sequence[Mapping[str, Any]]) -> Iterator[Film]:
        rng = np.random.RandomState(self.seed)
        films = list(_readable(whole_film, items))
        if not films:
            raise InputError("none of the held-out hands can be read. Check the folder --dataset_dir.")
        for film in films:
            yield from turned_films(film)
        for film, other in zip(films, [*films[1:], films[0]], strict=True):
            yield two_hands(film, other, rng)
        yield from map(cut_at_pips, films)
        yield from without_hands(films, rng)
        for path in sorted(files_below(Path(self.no_hands))) if self.no_hands else []:
            if is_radiograph(path):
                yield from _readable(_film_without_hand, [path])

    def _write(self, rows: pd.DataFrame, films: pd.DataFrame, centring: float) -> dict[str, Any]:
        figures = {**summary(rows, films), "centring": {"seconds_per_hand": centring}}
        write_measured(self.output_dir, "per_joint.csv", rows, {})
        write_measured(self.output_dir, "per_film.csv", films, {})
        write_figures(self.output_dir / METRICS, {**figures, "settings": self.settings})
        return figures


def _readable(read: Callable[[Any], Film], sources: Iterable[Any]) -> Iterator[Film]:
    """Films of the sources that can be read; the others are logged and left out."""
    for source in sources:
        try:
            yield read(source)
        except InputError as error:
            _log.warning(f"Left out: {error}")


def _film_without_hand(path: Path) -> Film:
    image = torch.as_tensor(read_stated(path).intensity, dtype=torch.float32)[None]
    return Film("no hand", private_name(path.name, path), image, (), 1.0)
