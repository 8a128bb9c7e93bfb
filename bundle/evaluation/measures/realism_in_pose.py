"""E5 in the poses of other visits: realism of the pixels, whatever the positions of the bones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from bundle.errors import InputError
from bundle.evaluation.measures.crops import as_seen, with_detail
from bundle.evaluation.measures.discrimination import (
    Answer,
    Discriminator,
    OwnCrops,
    Sides,
    answer_figures,
    answer_table,
    dense_classifier,
    mean_figures,
    paired_figures,
    small_classifier,
)
from bundle.evaluation.measures.poses import Poses, poses_of_others
from bundle.io import is_overlapping
from bundle.phantoms import NATIVE
from bundle.physics import attenuation, intensity, move, separate, synthesize
from bundle.registration import Registration
from bundle.separation import HalfSplit
from bundle.statistics import Column, FitSettings, Measured, SeparatedJoints, plot_roc
from torch import Tensor

BATCH = 8
"""Number of joints synthesized at once."""

_TRAINING, _TEST = range(2)
"""Independent random streams of one seed."""


@dataclass(frozen=True, kw_only=True)
class RealismInPose:
    """E5 in pose: fresh classifiers learn real against synthetic radiographs, and only the pixels can tell.

    Each radiograph of a joint with several ones is synthesized in the pose of another of them, which a registration has
    found (:func:`bundle.evaluation.measures.poses.poses_of_others`), so that positions, widths and rotations are those
    of real visits. Both sides are rounded to 8 bits, resampled to the detector's 0.15 mm, mirrored at random and
    cropped at independent random positions that vary by more than any motion. The classes are balanced; chance is 0.5.

    Trials, each fitted ``fits`` times: ``layers``, the layers of the separator, and ``dense``, the same with a stronger
    classifier; ``weight_free`` and ``half_split``, other separators of the same radiographs. Floors: ``real``, real
    against real radiographs in these poses; ``outlines``, the masks alone. Positive controls: ``ghost``, with a tenth
    of the bones' attenuation left in the soft tissue; ``nearest``, bones moved by nearest-neighbour interpolation.

    Figures of each trial: accuracy at a probability of 0.5, area under the curve, and paired accuracy, the fraction of
    pairs in which the synthetic radiograph has the higher probability; means over the fits with 95 % bootstrap
    intervals over joints; of ``layers`` also for joints with and without overlap.

    Attributes:
        seed: random seed of poses, noise texture, crops and fits.
        trials: trials of these, in order; the first one lists the worst joints.
        fits: number of fits of each trial.
        fit_settings: settings of a fit.
        dense_settings: settings of a fit of the stronger classifier.
        crop_mm: largest shift of a crop.
        ghost: fraction of the bones' attenuation left in the soft tissue.
        registration: method that finds the poses (:func:`bundle.evaluation.measures.poses.poses_of_others`).
        device: device of the classifiers.
    """

    columns: ClassVar[Mapping[str, Sequence[Column]]] = {
        "E5_in_pose": (
            Column("accuracy_layers", "accuracy", "<= 0.55"),
            Column("paired_accuracy_layers", "in pairs", "<= 0.58"),
            Column("auc_layers", "AUC"),
            Column("accuracy_layers_overlapping", "joints with overlap", "<= 0.57"),
            Column("accuracy_layers_separate", "joints without overlap"),
            Column("accuracy_dense", "DenseNet"),
            Column("accuracy_weight_free", "weight-free layers"),
            Column("accuracy_half_split", "half split"),
            Column("accuracy_real", "floor: real"),
            Column("accuracy_outlines", "floor: outlines alone"),
            Column("accuracy_ghost", "control: 10 % of bone left", "> 0.75"),
            Column("accuracy_nearest", "control: nearest neighbour"),
        )
    }

    seed: int = 0
    trials: Sequence[str] = ("layers", "dense", "weight_free", "half_split", "real", "outlines", "ghost", "nearest")
    fits: int = 3
    fit_settings: FitSettings = field(default_factory=lambda: FitSettings(batch_size=8))
    dense_settings: FitSettings = field(default_factory=lambda: FitSettings(batch_size=8, epochs=8))
    crop_mm: float = 2.0
    ghost: float = 0.1
    registration: Registration | None = None
    device: str = "cpu"

    def __call__(self, training: SeparatedJoints, test: SeparatedJoints) -> Measured:
        """Measure.

        Args:
            training: joints to train on, some with several radiographs.
            test: other joints, of the same size.

        Raises:
            InputError: one of the sets has no joint with several radiographs, or a trial is unknown.
        """
        self._check_trials()
        sets = [self._posed(joints, stream) for joints, stream in ((training, _TRAINING), (test, _TEST))]
        answers = self._answers(sets)
        figures: dict[str, Any] = {"seed": self.seed, **_described(*sets)}
        for trial, answer in answers.items():
            figures |= answer_figures(answer, trial, self.seed, paired=True)
        if "layers" in answers:
            figures |= self._by_overlap(answers["layers"], sets[1].joints)
        table = _table(answers, sets[1].joints)
        plot = plot_roc({trial: answer.curves() for trial, answer in answers.items()}, "synthetic against real")
        worst = table[table["trial"] == self.trials[0]].sort_values("margin", ascending=False)["name"]
        return Measured(figures, table, {"realism_in_pose_roc": plot}, list(worst))

    def _check_trials(self) -> None:
        known = {*_SYNTHETIC, "real", "outlines"}
        unknown = [trial for trial in self.trials if trial not in known]
        if unknown or not self.trials:
            msg = f"trials: {unknown or 'none'}. Pass some of {', '.join(sorted(known))}."
            raise InputError(msg)

    def _posed(self, joints: SeparatedJoints, stream: int) -> _Posed:
        """Find the poses of a set, and select the joints that have one."""
        random = np.random.RandomState([self.seed, stream])
        poses = poses_of_others(joints, random, self.registration)
        if not len(poses.radiographs):
            msg = "E5_in_pose needs joints with several radiographs, and none was found in another radiograph."
            raise InputError(msg)
        seeds = random.randint(2**31, size=len(poses.radiographs)).tolist()
        return _Posed(_rows(joints, poses.radiographs), joints.images[poses.others, :1], poses, seeds)

    def _answers(self, sets: Sequence[_Posed]) -> dict[str, Answer]:
        """Ask the trials; those that differ in the classifier alone share their radiographs."""
        answers: dict[str, Answer] = {}
        made: dict[Any, list[Sides]] = {}
        for trial in self.trials:
            kind = _SYNTHETIC.get(trial, trial)
            if kind not in made:
                made[kind] = [self._sides(trial, posed) for posed in sets]
            answers[trial] = self._discriminator(trial, sets[0]).ask(*made[kind])
        return answers

    def _discriminator(self, trial: str, training: _Posed) -> Discriminator:
        dense = trial == "dense"
        return Discriminator(
            view=OwnCrops(round(self.crop_mm / max(NATIVE, float(training.joints.spacing.median()))), self.seed),
            network=dense_classifier if dense else small_classifier,
            seed=self.seed,
            fits=self.fits,
            fit_settings=self.dense_settings if dense else self.fit_settings,
            device=self.device,
        )

    def _sides(self, trial: str, posed: _Posed) -> Sides:
        """Return both sides of a trial, as the classifier sees them."""
        if trial == "outlines":
            real, other = posed.outlines()
        elif trial == "real":
            real, other = posed.joints.images[:, :1], posed.others
        else:
            real, other = posed.joints.images[:, :1], posed.synthetic(partial(_SYNTHETIC[trial], ghost=self.ghost))
        spacing = posed.joints.spacing
        real, other = (with_detail(as_seen(_in_8_bits(side), spacing, native=True)) for side in (real, other))
        return Sides(real, other, posed.joints.joints * 2)

    def _by_overlap(self, answer: Answer, joints: SeparatedJoints) -> dict[str, Any]:
        overlapping = np.tile([is_overlapping(image) for image in joints.images], 2)
        figures: dict[str, Any] = {}
        groups = {"overlapping": overlapping, "separate": ~overlapping}
        for group, members in groups.items():
            if not members.any():
                continue
            part, name = answer.of(members), f"layers_{group}"
            figures |= mean_figures(part.correct(), part.joints, f"accuracy_{name}", self.seed)
            figures |= paired_figures(part, name, self.seed)
        return figures


@dataclass(frozen=True)
class _Posed:
    """Radiographs of joints, other radiographs of the same joints (n, 1, H, W), and the poses in these."""

    joints: SeparatedJoints
    others: Tensor
    poses: Poses
    seeds: Sequence[int]

    def synthetic(self, made: Callable[[Tensor, Tensor], tuple[Tensor, str]]) -> Tensor:
        """Synthesize the radiographs (n, 1, H, W) in the other poses from layers (``made``) of images and layers."""
        images = []
        for part in torch.arange(len(self.joints)).split(BATCH):
            layers, mode = made(self.joints.images[part], self.joints.layers[part])
            masks, seeds = self.joints.images[part, 1:], [self.seeds[row] for row in part]
            spacing, motion = self.joints.spacing[part], self.poses.motion.at(part)
            images.append(synthesize(layers, masks, motion, spacing, seeds, mode).image)
        return torch.cat(images)

    def outlines(self) -> tuple[Tensor, Tensor]:
        """Return the masks in place and in the other poses, as radiographs (n, 1, H, W)."""
        masks, moved = self.joints.images[:, 1:], []
        for part in torch.arange(len(self.joints)).split(BATCH):
            spacing, motion = self.joints.spacing[part], self.poses.motion.at(part)
            moved.append(move(self.joints.layers[part], masks[part], motion, spacing)[1])
        sides = ((masks > 0.5).float(), (torch.cat(moved) > 0.5).float())
        return 0.3 + 0.3 * sides[0].sum(1, keepdim=True), 0.3 + 0.3 * sides[1].sum(1, keepdim=True)


def _of_separator(images: Tensor, layers: Tensor, ghost: float) -> tuple[Tensor, str]:
    return layers, "bicubic"


def _moved_by_nearest(images: Tensor, layers: Tensor, ghost: float) -> tuple[Tensor, str]:
    return layers, "nearest"


def _weight_free(images: Tensor, layers: Tensor, ghost: float) -> tuple[Tensor, str]:
    return separate(images[:, :1], images[:, 1:]), "bicubic"


def _half_split(images: Tensor, layers: Tensor, ghost: float) -> tuple[Tensor, str]:
    return HalfSplit()(images), "bicubic"


def with_ghost(images: Tensor, layers: Tensor, ghost: float) -> tuple[Tensor, str]:
    """Leave a fraction ``ghost`` of the bones' attenuation in the soft tissue of layers (B, 3, H, W)."""
    thick = attenuation(layers)
    left = ghost * thick[:, 1:]
    moved = torch.cat([thick[:, :1] + left.sum(dim=1, keepdim=True), thick[:, 1:] - left], dim=1)
    return intensity(moved), "bicubic"


_SYNTHETIC: Mapping[str, Callable[..., tuple[Tensor, str]]] = {
    "layers": _of_separator,
    "dense": _of_separator,
    "weight_free": _weight_free,
    "half_split": _half_split,
    "ghost": with_ghost,
    "nearest": _moved_by_nearest,
}
"""Layers and interpolation of each trial, from images and layers of the separator."""


def _rows(joints: SeparatedJoints, rows: Tensor) -> SeparatedJoints:
    """Select some of the joints."""
    items = [joints.items[row] for row in rows.tolist()]
    return replace(joints, items=items, images=joints.images[rows], layers=joints.layers[rows], truth=None)


def _in_8_bits(images: Tensor) -> Tensor:
    """Round radiographs to the grey levels of a file."""
    return (images * 255.0).round() / 255.0


def _described(training: _Posed, test: _Posed) -> dict[str, Any]:
    """Numbers of radiographs, and the root mean square of the change of the gap in mm."""
    moved = test.poses.motion.translation[:, :, 1]
    change = (moved[:, 0] - moved[:, 1]).double()
    return {
        "training_radiographs": len(training.joints),
        "test_radiographs": len(test.joints),
        "gap_change_rms_mm": float(change.square().mean().sqrt()),
    }


def _table(answers: Mapping[str, Answer], joints: SeparatedJoints) -> pd.DataFrame:
    """Return a row for each radiograph and trial; ``margin`` is synthetic less real score."""
    table = pd.concat(
        [answer_table(answer, joints).assign(trial=trial) for trial, answer in answers.items()], ignore_index=True
    )
    return table.assign(margin=table["synthetic_score"] - table["real_score"])
