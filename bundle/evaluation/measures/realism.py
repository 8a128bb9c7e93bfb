"""E5, realism: accuracy of a network that distinguishes synthetic radiographs from real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.evaluation.measures.crops import as_seen, cut_out, with_detail
from bundle.evaluation.measures.discrimination import (
    Answer,
    Discriminator,
    SharedShift,
    Sides,
    answer_figures,
    answer_table,
    mean_figures,
    small_classifier,
)
from bundle.io import is_overlapping
from bundle.physics import MotionRange, RigidMotion, move, synthesize
from bundle.statistics import Column, FitSettings, Measured, SeparatedJoints, plot_roc
from torch import Tensor

BATCH = 8
"""Number of joints whose bones are moved at once."""

_TRAINING, _TEST = range(2)
"""Independent random streams of one seed."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One task of the classifier.

    Attributes:
        motion_mm: largest motion of each bone in either direction, across and along.
        native: whether both sides are resampled, antialiased, to the detector's 0.15 mm per pixel. In the frames' own
            pixels the classifier also detects the 8 x 8 grid of the files' JPEG, broken where a bone moved.
        together: whether both bones move alike, and the real radiograph is cut out equally off-centre. Frames are
            centred on the joint, and the relative position of the bones is anatomical: a bone that has moved alone
            is recognised by its position (the floors ``moved`` and ``outlines``), not by the quality of its layer.
    """

    motion_mm: float = 0.5
    native: bool = True
    together: bool = False

    @property
    def name(self) -> str:
        """Name in figures and plots."""
        return f"{self.motion_mm:g}mm" + ("" if self.native else "_full_size") + ("_together" if self.together else "")


@dataclass(frozen=True, kw_only=True)
class Realism:
    """E5: a fresh classifier learns real against synthetic on some joints and is tested on others.

    Every joint gives one real and one synthetic radiograph (its bones moved at random, its uncovered tissue with noise
    texture), so the classes are balanced and show the same joints, and chance accuracy is 0.5. Both are on the same
    side of the split and in the same steps of training. The classifier has five strided convolution blocks with batch
    normalisation (with the statistics of all training joints) and a mean over the image; its inputs are flipped and
    slightly shifted frames with their detail as a second channel.

    A fit on some hundred joints depends on its seed, so each trial is fitted ``fits`` times; accuracy (at a probability
    of 0.5) and area under the curve are means over the fits, their intervals 95 % bootstraps of these over joints.

    Four floors give the results of the protocol itself: ``real``, one random half of the real images against the other;
    ``still``, real against synthetic without motion, which are equal if the layers compose to the radiograph;
    ``moved``, real against real with the whole radiograph moved as a bone in the first trial; and ``outlines``, the
    bones' masks alone, in place or moved as in the first trial: the information in their positions, whatever the
    layers.

    Args:
        seed: random seed of motions, noise texture, halves and fits.
        trials: tasks of the classifier; the first is the main one.
        floors: whether to measure the four floors.
        fits: number of fits of each trial.
        fit_settings: settings of a fit.
        channels: channels of the classifier's blocks.
        shift: largest shift of frames in training, in pixels.
        device: device of the classifier.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "E5": (
            Column("accuracy_0.5mm", "accuracy, bones moved by up to 0.5 mm", "<= 0.60", "0.708 (five readers)"),
            Column("accuracy_0.5mm_separate", "joints without overlap"),
            Column("accuracy_0.5mm_overlapping", "joints with overlap"),
            Column("accuracy_1mm", "up to 1 mm"),
            Column("accuracy_0.5mm_full_size", "0.5 mm, in the frames' own pixels"),
            Column("accuracy_0.5mm_together", "0.5 mm, together"),
            Column("accuracy_1mm_together", "1 mm, together"),
            Column("accuracy_real", "floor: real"),
            Column("accuracy_still", "floor: no motion"),
            Column("accuracy_moved", "floor: whole frame moved"),
            Column("accuracy_outlines", "floor: outlines alone"),
        )
    }

    seed: int = 0
    trials: Sequence[Trial] = (
        Trial(),
        Trial(motion_mm=1.0),
        Trial(native=False),
        Trial(together=True),
        Trial(motion_mm=1.0, together=True),
    )
    floors: bool = True
    fits: int = 3
    fit_settings: FitSettings = field(default_factory=lambda: FitSettings(batch_size=8))
    channels: Sequence[int] = (16, 32, 32, 64, 64)
    shift: int = 4
    device: str = "cpu"

    def __call__(self, training: SeparatedJoints, test: SeparatedJoints) -> Measured:
        """Measure.

        Args:
            training: joints to train on.
            test: other joints, of the same size.

        Returns:
            ``figures``: for each trial and floor ``accuracy_<name>`` and ``auc_<name>`` with ``..._interval``, and
            ``accuracy_std_<name>``, the standard deviation over fits; for the trials also the accuracy on joints with
            and without overlap. ``per_image``: a row for each test joint and trial; scores are the probability of
            being synthetic. ``plots``: the ROC. ``worst``: joints whose synthetic image is recognised most surely in
            the first trial.
        """
        answers = {
            trial.name: self._ask(self._pairs(training, trial, _TRAINING), self._pairs(test, trial, _TEST))
            for trial in self.trials
        }
        tables = {name: answer_table(answer, test) for name, answer in answers.items()}
        if self.floors:
            answers["real"] = self._ask(self._halves(training, _TRAINING), self._halves(test, _TEST))
            still = Trial(motion_mm=0.0)
            answers["still"] = self._ask(self._pairs(training, still, _TRAINING), self._pairs(test, still, _TEST))
            answers["moved"] = self._ask(self._moved(training, _TRAINING), self._moved(test, _TEST))
            answers["outlines"] = self._ask(self._outlines(training, _TRAINING), self._outlines(test, _TEST))
        figures: dict[str, Any] = {"seed": self.seed, "training_joints": len(training), "test_joints": len(test)}
        for name, answer in answers.items():
            figures |= answer_figures(answer, name, self.seed)
        overlapping = np.tile([is_overlapping(image) for image in test.images], 2)
        for trial in self.trials:
            groups = {"overlapping": overlapping, "separate": ~overlapping}
            for group, members in groups.items():
                answer = answers[trial.name].of(members)
                figures |= mean_figures(answer.correct(), answer.joints, f"accuracy_{trial.name}_{group}", self.seed)
        per_image = pd.concat([table.assign(trial=name) for name, table in tables.items()], ignore_index=True)
        plot = plot_roc({name: answer.curves() for name, answer in answers.items()}, "synthetic against real")
        worst = next(iter(tables.values())).sort_values("synthetic_score", ascending=False)["name"]
        return Measured(figures, per_image, {"realism_roc": plot}, list(worst))

    def _pairs(self, joints: SeparatedJoints, trial: Trial, stream: int) -> Sides:
        """Return real radiographs and synthetic ones of the same joints."""
        random = np.random.RandomState([self.seed, stream])
        sides = [joints.images[:, :1], synthetic(joints, trial.motion_mm, random, together=trial.together)]
        if trial.together:
            places = _shifts(len(joints), trial.motion_mm, random).translation[:, 0]
            sides = _cut_both(sides, places, trial.motion_mm, joints.spacing)
        return self._sides(sides, joints, trial.native)

    def _moved(self, joints: SeparatedJoints, stream: int) -> Sides:
        """Return real radiographs, and the same moved as a whole."""
        far, real = self.trials[0].motion_mm, joints.images[:, :1]
        places = _shifts(len(joints), far, np.random.RandomState([self.seed, stream])).translation[:, 0]
        return self._sides(_cut_both([real, real], places, far, joints.spacing)[::-1], joints, native=True)

    def _outlines(self, joints: SeparatedJoints, stream: int) -> Sides:
        """Return the bones' masks in place, and moved as in the first trial by whole pixels, which leave no trace."""
        shifts = _shifts(len(joints), self.trials[0].motion_mm, np.random.RandomState([self.seed, stream]))
        pixel = joints.spacing[:, None, None]
        whole = RigidMotion((shifts.translation / pixel).round() * pixel, shifts.rotation, shifts.center)
        masks = joints.images[:, 1:]
        parts = torch.arange(len(joints)).split(BATCH)
        moved = [move(joints.layers[part], masks[part], whole.at(part), joints.spacing[part])[1] for part in parts]
        shown = [0.3 + 0.3 * bones.sum(dim=1, keepdim=True) for bones in (masks, torch.cat(moved))]
        return self._sides(shown, joints, native=True)

    def _sides(self, sides: Sequence[Tensor], joints: SeparatedJoints, native: bool) -> Sides:
        real, other = (with_detail(as_seen(side, joints.spacing, native)) for side in sides)
        return Sides(real, other, joints.joints * 2)

    def _halves(self, joints: SeparatedJoints, stream: int) -> Sides:
        """Return one half of the real radiographs and the other."""
        half = len(joints) // 2
        order = np.random.RandomState([self.seed, stream]).permutation(len(joints))[: 2 * half]
        seen = with_detail(as_seen(joints.images[order, :1], joints.spacing, native=True))
        return Sides(seen[:half], seen[half:], [joints.joints[index] for index in order])

    def _ask(self, training: Sides, test: Sides) -> Answer:
        """Fit and test the classifiers."""
        discriminator = Discriminator(
            view=SharedShift(self.shift),
            network=partial(small_classifier, self.channels),
            seed=self.seed,
            fits=self.fits,
            fit_settings=self.fit_settings,
            device=self.device,
        )
        return discriminator.ask(training, test)


def synthetic(
    joints: SeparatedJoints, motion_mm: float, random: np.random.RandomState, batch: int = BATCH, together: bool = False
) -> Tensor:
    """Synthesize radiographs (N, 1, H, W) of the joints with each bone moved by up to ``motion_mm`` across and along.

    Args:
        joints: joints with N images.
        motion_mm: largest motion in mm; uniform.
        random: random generator of motions and noise texture seeds.
        batch: number of joints synthesized at a time.
        together: whether the upper bone moves like the lower one.
    """
    shifts = _shifts(len(joints), motion_mm, random)
    if together:
        shifts.translation[:, 1] = shifts.translation[:, 0]
    seeds = [int(seed) for seed in random.randint(2**31, size=len(joints))]
    made = []
    for part in torch.arange(len(joints)).split(batch):
        masks, noise_texture = joints.images[part, 1:], [seeds[index] for index in part]
        made.append(synthesize(joints.layers[part], masks, shifts.at(part), joints.spacing[part], noise_texture).image)
    return torch.cat(made)


def _shifts(count: int, motion_mm: float, random: np.random.RandomState) -> RigidMotion:
    return MotionRange(x_mm=motion_mm, y_mm=motion_mm, rotation_deg=0.0).sample(count, random)


def _cut_both(sides: Sequence[Tensor], places_mm: Tensor, far_mm: float, spacing: Tensor) -> list[Tensor]:
    """Cut out the first side with a whole-frame motion, (N, 2) in mm up to ``far_mm``, the second around its middle."""
    pixel = float(spacing.median())
    places, margin = places_mm / pixel, math.ceil(far_mm / pixel)
    return [cut_out(sides[0], places, margin), cut_out(sides[1], torch.zeros_like(places), margin)]
