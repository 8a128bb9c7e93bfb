"""Synthesize any joint space
==========================

Moving the bone layers and composing them with the soft tissue yields the same joint with another joint space width
(JSW) and known ground truth (Eq. 13 of LSN).
"""

import matplotlib.pyplot as plt
from bundle import Joint, separate, synthesize

layers = separate(Joint.phantom(seed=5, joint_space_mm=1.8))
changes = (-1.2, -0.6, 0.0, 0.6, 1.2)
joints = [synthesize(layers, change_mm=change, seed=1) for change in changes]

# %%
# Positive changes widen the joint space. Uncovered tissue receives noise texture like that of the visible tissue;
# ``seed`` is its random seed.

figure, axes = plt.subplots(1, len(joints), figsize=(13, 3.1), layout="constrained")
for axis, change, joint in zip(axes, changes, joints, strict=True):
    axis.imshow(joint.radiograph[0], cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{change:+.1f} mm: joint space {float(joint.joint_space.mean):.2f} mm", xticks=[], yticks=[])

# %%
# The result includes the ground truth: masks, layers and motion of both bones.

narrow = joints[0]
print("layers", tuple(narrow.layers.shape), "masks", tuple(narrow.masks.shape))
print("motion of the bones, mm:", narrow.motion.translation[0].round(decimals=2).tolist())

# %%
# ``narrow.write("narrow.png")`` or ``narrow.write("narrow.dcm")`` writes the radiograph. Further arguments are the
# rotation and the sideways shift of the upper bone.

rotated = synthesize(layers, change_mm=0.3, sideways_mm=0.5, rotation_deg=6.0)
figure, axes = plt.subplots(1, 2, figsize=(6, 3.2), layout="constrained")
for axis, title, joint in zip(axes, ("original", "rotated by 6 degrees"), (layers.joint, rotated), strict=True):
    axis.imshow(joint.radiograph[0], cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])
