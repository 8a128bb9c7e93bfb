"""Plot of the joint space of a patient's joints over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from bundle.joint import FINGERS
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_SIDES = {"R": "right hand", "L": "left hand", "": "side unknown"}
_COLOURS = dict(zip((*FINGERS[::-1], ""), ("C0", "C1", "C2", "C3", "C4", "0.4"), strict=True))


def plot_joints(rows: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Plot joint spaces over days, a panel for each hand and a colour for each finger.

    Points are measured joint spaces with their expected standard deviations, dashed lines the first joint space plus
    the registered changes. If the day of any visit is unknown, the axis shows the number of the visit. Refused
    measurements have no point.

    Args:
        rows: rows of ``narrowing.csv``, ordered by joint and visit.
        title: name of the patient, without identity.
    """
    table = pd.DataFrame([dict(row) for row in rows]).fillna({"side": "", "finger": "", "joint": ""})
    dated = bool(table["days"].notna().all())
    table["at"] = table["days"].astype(float) if dated else table.groupby(["side", "finger", "joint"]).cumcount() + 1.0
    sides = [side for side in _SIDES if (table["side"] == side).any()]
    figure = Figure(figsize=(5.5 * len(sides) + 0.5, 4.0), layout="constrained")
    panels = figure.subplots(1, len(sides), sharey=True, squeeze=False)[0]
    for axes, side in zip(panels, sides, strict=True):
        for (finger, joint), visits in table[table["side"] == side].groupby(["finger", "joint"], sort=False):
            _plot(axes, visits, f"{finger} {joint}".strip(), _COLOURS.get(finger, "0.4"))
        axes.set(title=_SIDES[side], xlabel="days since the first visit" if dated else "visit")
        axes.legend(fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("joint space width (mm)")
    figure.suptitle(title)
    return figure


def _plot(axes: Axes, visits: pd.DataFrame, label: str, colour: str) -> None:
    """Plot one joint."""
    names = ("at", "joint_space_mm", "joint_space_sd_mm", "registered_change_mm")
    at, width, sd, change = (visits[name].astype(float).to_numpy() for name in names)
    axes.errorbar(at, width, yerr=np.nan_to_num(sd), fmt="o", capsize=3.0, color=colour, label=label)
    change = np.concatenate([[0.0], change[1:]])
    axes.plot(at, width[0] + change, linestyle="--", linewidth=1.0, color=colour)
