"""The public interface of the bundle: read a radiograph of a joint, separate it, synthesize another joint space.

>>> from bundle import Joint, separate, synthesize
>>> layers = separate(Joint.phantom(seed=0), weights=None)
>>> wider = synthesize(layers, change_mm=0.5)
>>> round(float(wider.joint_space.mean - layers.joint_space.mean), 1)
0.5
"""

from bundle.face.joints import Hand, Joint, joints_in
from bundle.face.layers import Layers, SyntheticJoint, joint_space, narrowing, separate, synthesize

__all__ = [
    "Hand",
    "Joint",
    "Layers",
    "SyntheticJoint",
    "joint_space",
    "joints_in",
    "narrowing",
    "separate",
    "synthesize",
]
