"""Train with your own loss
========================

``extra_losses`` in ``configs/train.yaml`` adds weighted terms to the generator's loss. The loss can be in any module on
Python's path, outside the bundle.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bundle
import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

root, folder = Path(bundle.__file__).parents[1], Path(tempfile.mkdtemp())

# %%
# The arguments of the loss are the predicted layers (B, 3, H, W) and the batch; it returns a scalar. This example is
# the roughness of the soft tissue behind the bones.

(folder / "my_losses.py").write_text("""
import torch


class SmoothTissue(torch.nn.Module):
    def forward(self, layers, batch):
        bones = batch["image"][:, 1:].amax(dim=1)[:, 1:]
        steps = layers[:, 0].diff(dim=1).abs()
        return (steps * bones).sum() / bones.sum()
""")

# %%
# An overlay registers the loss:

(folder / "smooth.yaml").write_text("""
extra_losses:
  smoothness:
    _target_: bundle.separation.WeightedLoss
    loss: {_target_: my_losses.SmoothTissue}
    weight: 20.0
""")

# %%
# Train, here for three epochs on a few phantoms.

command = [
    *(sys.executable, "-m", "monai.bundle", "run", "training"),
    *("--config_file", f"['configs/train.yaml', '{folder}/smooth.yaml']", "--output_dir", f"{folder}/train"),
    *("--phantoms", "10", "--batch_size", "2", "--stage1_epochs", "3", "--early_epochs", "3", "--stage2_epochs", "0"),
]
paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
subprocess.run(command, cwd=root, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": paths})

# %%
# TensorBoard shows the term as ``extra_smoothness``, with the terms of the paper's loss.

events = EventAccumulator(f"{folder}/train/tensorboard").Reload()
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
for axis, name in zip(axes, ("layers", "extra_smoothness"), strict=True):
    steps = events.Scalars(name)
    axis.plot([step.step for step in steps], [step.value for step in steps], ".-")
    axis.set(title=name, xlabel="step")
