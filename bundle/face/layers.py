"""Separated and synthesized joints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from bundle.errors import InputError, instance_argument, number_argument, path_argument, seed_argument
from bundle.face.joints import JOINT, Joint, write_as
from bundle.face.shipped import parts
from bundle.io import bundle_root, storing, write_layer_images, write_layers, write_masks
from bundle.joint import FINGERS, MCP, Keys
from bundle.measurement import DetectableChange, JointSpace, measure_joint_space
from bundle.physics import RigidMotion
from bundle.physics import synthesize as compose
from bundle.registration import PairReading, Registration, make_registration, read_pair
from torch import Tensor

SHIPPED = "shipped"
"""Selects the weights that come with the bundle."""


@dataclass(frozen=True, eq=False)
class Layers:
    """A separated joint.

    Attributes:
        joint: the joint before separation.
        layers: soft tissue, lower bone and upper bone, (3, H, W) in [0, 1], which compose to the radiograph.
        separator: name of the separator, with the checksum of its weights.
    """

    joint: Joint
    layers: Tensor = field(repr=False)
    separator: str

    @property
    def joint_space(self) -> JointSpace:
        """Joint space between the joint surfaces (:func:`joint_space`)."""
        return joint_space(self)

    def write(self, folder: str | Path) -> None:
        """Write ``<name>_layers.nii.gz``, a PNG of each layer and the masks into a folder.

        Raises:
            InputError: the folder cannot be created or written to.
        """
        folder = path_argument("folder", folder)
        with storing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_layers(folder / f"{self.joint.name}_layers.nii.gz", self.layers, self.joint.spacing_mm)
        write_layer_images(folder, self.joint.name, self.layers)
        write_masks(folder, self.joint.name, self.joint.masks)


@dataclass(frozen=True, eq=False, kw_only=True)
class SyntheticJoint(Joint):
    """A synthetic joint with another joint space: a :class:`Joint` with known layers and motion.

    Attributes:
        layers: true layers, (3, H, W).
        motion: motion of the bones.
        seed: random seed of the noise texture.
    """

    layers: Tensor = field(repr=False)
    motion: RigidMotion
    seed: int

    @property
    def joint_space(self) -> JointSpace:
        """Joint space between the joint surfaces of the true layers (:func:`joint_space`)."""
        return joint_space(Layers(self, self.layers, "true"))

    def write(self, path: str | Path) -> None:
        """Write the radiograph as a 16-bit PNG or a DICOM file, depending on the file extension."""
        described = f"bones moved: {self.motion.to_json()}, noise seed {self.seed}"
        write_as(path, self.radiograph, self, described, synthetic=True)


@torch.no_grad()
def separate(
    joint: Joint, weights: str | Path | None = SHIPPED, *, sample_overlap: bool = False, seed: int = 0
) -> Layers:
    """Separate a radiograph into soft tissue, lower bone and upper bone.

    Args:
        joint: joint to separate.
        weights: file of the generator's weights; default: the shipped weights. None selects the weight-free separator.
        sample_overlap: sample plausible textures of both bones where they overlap, instead of their mean.
        seed: random seed of the sample.

    Raises:
        InputError: if the weights are missing, damaged or those of another network, or a sample is requested without.
    """
    instance_argument("joint", joint, Joint, JOINT)
    if sample_overlap and weights is None:
        msg = "sample_overlap samples around the mean of a network. Omit it, or omit weights=None."
        raise InputError(msg)
    seed = seed_argument("seed", seed)
    chosen = "" if weights == SHIPPED else "none" if weights is None else str(weights)
    pixel, names = joint.spacing_mm if weights is None else MCP.spacing_mm, ("inferer", "postprocessing")
    options = {"sample_overlap": True, "overlap_sampler#seed": seed} if sample_overlap else {}
    sampler = ("overlap_sampler",) if sample_overlap else ()
    used = parts("network", "used_weights", *names, *sampler, weights=chosen, pixel_mm=pixel, **options)
    image = torch.cat([joint.radiograph, joint.masks])
    pred = used["inferer"](image[None], used["network"])[0]
    separated = {Keys.IMAGE: image, Keys.PRED: pred, Keys.SPACING: joint.spacing_mm}
    layers = used["postprocessing"](separated)[Keys.PRED]
    sampled = f", overlap sampled by {used['overlap_sampler']}" if sample_overlap else ""
    return Layers(joint, layers, f"{used['used_weights'].source}{sampled}")


def synthesize(
    layers: Layers, change_mm: float = 0.0, *, sideways_mm: float = 0.0, rotation_deg: float = 0.0, seed: int = 0
) -> SyntheticJoint:
    """Synthesize a radiograph of the joint with another joint space (Eq. 13).

    Args:
        layers: separated joint.
        change_mm: change of the joint space width in mm; positive widens. Each bone moves by half of it.
        sideways_mm: shift of the upper bone to the right in mm.
        rotation_deg: clockwise rotation of the upper bone about the frame's centre, in degrees.
        seed: random seed of the noise texture in uncovered tissue.

    Raises:
        InputError: an argument is not a number, or a motion exceeds the frame.
    """
    instance_argument("layers", layers, Layers, "separated layers, separate(joint)")
    joint, farthest = layers.joint, layers.joint.joint_type.frame_mm
    motion = RigidMotion.widening(torch.tensor([number_argument("change_mm", change_mm, -farthest, farthest)]))
    motion.translation[:, 1, 0] += number_argument("sideways_mm", sideways_mm, -farthest, farthest)
    motion.rotation[:, 1] += number_argument("rotation_deg", rotation_deg, -180.0, 180.0)
    seed = seed_argument("seed", seed)
    made = compose(layers.layers[None], joint.masks[None], motion, joint.spacing_mm, [seed])
    known = {**vars(joint), "radiograph": made.image[0], "masks": made.masks[0]}
    return SyntheticJoint(**{**known, "layers": made.layers[0], "motion": motion, "seed": seed})


def joint_space(joint: Joint | Layers) -> JointSpace:
    """Measure the distance between the joint surfaces along the joint's axis, a batch of one, in mm.

    Its ``mean`` is NaN where the measurement is refused; ``refused`` states why, ``sd`` how uncertain it is.

    >>> space = joint_space(separate(Joint.phantom(seed=0, joint_space_mm=1.6), weights=None))
    >>> round(float(space.mean), 1), space.refused
    (1.6, ('',))

    Args:
        joint: separated joint, or one that is separated by the shipped weights first.
    """
    instance_argument("joint", joint, (Joint, Layers), f"{JOINT}, or its layers")
    layers = separate(joint) if isinstance(joint, Joint) else joint
    return measure_joint_space(layers.layers[None], layers.joint.masks[None], layers.joint.spacing_mm)


def narrowing(before: Joint, after: Joint, method: str | Registration = "gauss_newton") -> PairReading:
    """Register two radiographs of a joint and measure the narrowing of its joint space.

    The reading states the smallest detectable change of the finger, and whether the narrowing ``exceeds`` it. For an
    unknown finger it is the largest of the fingers.

    Args:
        before: the earlier radiograph.
        after: the later radiograph, with the same pixel spacing.
        method: ``gauss_newton``, ``phase_correlation``, or a :class:`bundle.registration.Registration`.

    Raises:
        InputError: if pixel spacings or sizes differ, or the method is unknown.
    """
    for name, joint in (("before", before), ("after", after)):
        instance_argument(name, joint, Joint, JOINT)
    if not callable(method):
        instance_argument("method", method, str, "the name of a registration method")
    if before.spacing_mm != after.spacing_mm or before.radiograph.shape != after.radiograph.shape:
        msg = f"{after.name} and {before.name} differ in pixel spacing or size. Read both with the same spacing_mm."
        raise InputError(msg)
    fixed, moving = (torch.cat([joint.radiograph, joint.masks]) for joint in (before, after))
    registration = make_registration(method) if isinstance(method, str) else method
    reading = read_pair(registration, fixed, moving, before.spacing_mm)
    finger = before.finger if before.finger in FINGERS else after.finger
    detectable = DetectableChange.read(bundle_root() / "models" / "detectable_change.json")
    return replace(reading, smallest_detectable_change_mm=detectable.of(finger))
