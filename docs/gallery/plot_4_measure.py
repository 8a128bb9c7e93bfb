"""Measure the joint space
=======================

The joint space width (JSW) is the gap between the outlines of the bones along the axis of the joint, in mm; it is
negative if the bones overlap. Here it is measured on phantoms with known JSW, with their true masks and with predicted
masks.
"""

import matplotlib.pyplot as plt
import numpy as np
from bundle import Joint, joint_space

truth = np.linspace(-0.8, 2.0, 8)
joints = [Joint.phantom(seed=seed, joint_space_mm=float(width)) for seed, width in enumerate(truth)]
measured = [float(joint_space(joint).mean) for joint in joints]
print(f"mean absolute error with the masks of the phantoms: {np.abs(np.subtract(measured, truth)).mean():.3f} mm")

# %%
# Predicted masks
# ---------------
#
# ``Joint.read`` predicts missing masks. Like the annotated masks of the training data, they lie slightly inside the
# bone, so joint spaces are overestimated by a nearly constant amount.

import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    files = [Path(folder) / f"{row}.png" for row in range(len(joints))]
    for joint, file in zip(joints, files, strict=True):
        joint.write(file)
    predicted = [float(Joint.read(file, spacing_mm=joints[0].spacing_mm).joint_space.mean) for file in files]
print(f"bias with predicted masks: {np.subtract(predicted, truth).mean():+.2f} mm")

# %%
# The model card and the results page report figures for larger samples.

figure, axis = plt.subplots(figsize=(5, 4), layout="constrained")
axis.plot(truth, truth, color="gray", linewidth=1, label="truth")
axis.plot(truth, measured, "o", label="masks of the phantom")
axis.plot(truth, predicted, "s", label="predicted masks")
axis.set(xlabel="true JSW (mm)", ylabel="measured JSW (mm)")
axis.legend()
