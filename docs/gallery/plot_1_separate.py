"""Separate a joint
================

A radiograph of one joint is separated into three layers: soft tissue, lower bone (metacarpal head) and upper bone
(proximal phalanx). This joint is a phantom with overlapping bones; for your own radiograph see :ref:`own_joint`.
"""

import matplotlib.pyplot as plt
from bundle import Joint, separate
from bundle.physics import reconstruct

joint = Joint.phantom(seed=5, joint_space_mm=0.5)
layers = separate(joint)

# %%
# The outlines show the masks: lower bone orange, upper bone blue. In the overlap, the attenuation of the radiograph is
# divided among the layers.

titles = ("radiograph", "soft tissue", "lower bone", "upper bone")
figure, axes = plt.subplots(1, 4, figsize=(12, 3.3), layout="constrained")
for axis, title, image in zip(axes, titles, (joint.radiograph[0], *layers.layers), strict=True):
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set(title=title, xticks=[], yticks=[])
for mask, colour in zip(joint.masks, ("orange", "deepskyblue"), strict=True):
    axes[0].contour(mask, levels=[0.5], colors=colour, linewidths=1)

# %%
# The layers compose to the radiograph (Eq. 4), to floating point precision.

difference = (reconstruct(layers.layers) - joint.radiograph).abs().max()
print(f"largest difference of the composition from the radiograph: {difference:.1e}")

# %%
# .. _own_joint:
#
# Your own radiograph
# -------------------
#
# Use ``Joint.read("joint.dcm")``, or ``Joint.read("joint.png", spacing_mm=0.1)`` for a file without pixel spacing.
# Missing bone masks are predicted. ``layers.write("results")`` writes NIfTI and PNG files.
