"""Measure the joint space
=======================

The joint space width is the distance between the joint surfaces along the axis of the joint, in mm: from the articular
floor of the upper bone, the lower edge of its bright subchondral plate, to the contour of the lower bone's head. It is
more than the gap between the outlines of the bones, which ends at the rim of the base. Here it is measured on phantoms
with known surfaces.
"""

import matplotlib.pyplot as plt
import numpy as np
from bundle import Joint, joint_space, separate

truth = np.linspace(0.6, 2.6, 6)
layers = [separate(Joint.phantom(seed=seed, joint_space_mm=float(width))) for seed, width in enumerate(truth)]
spaces = [joint_space(one) for one in layers]
for width, space in zip(truth, spaces, strict=True):
    print(f"{width:.2f} mm: {float(space.mean):.2f} +- {float(space.sd):.2f} mm {space.refused[0]}")

# %%
# The surfaces
# ------------
#
# The measurement holds both surfaces as curves, and the part of them that is measured, the central third of the joint.

figure, axes = plt.subplots(1, len(layers), figsize=(15, 3), layout="constrained")
for axis, one, space in zip(axes, layers, spaces, strict=True):
    half = one.joint.spacing_mm * one.joint.radiograph.shape[-1] / 2
    axis.imshow(one.joint.radiograph[0], cmap="gray", extent=(-half, half, half, -half))
    for points, colour in zip(space.surfaces.points(), ("deepskyblue", "gold"), strict=True):
        x, y = points[0, space.surfaces.window[0]].T
        axis.plot(x, y, color=colour)
    axis.set(title=f"{float(space.mean):.2f} mm", xticks=[], yticks=[])

# %%
# The gap of the outlines
# -----------------------
#
# Motions are defined by the gap of the outlines, ``Joint.outline_gap``. A motion changes both by the same amount.

gaps = [float(one.joint.outline_gap.mean) for one in layers]
print("joint space less gap (mm):", np.subtract([float(space.mean) for space in spaces], gaps).round(2))
