"""Make a data set and load it
===========================

One command synthesizes radiographs with a uniform distribution of joint spaces; a PyTorch ``DataLoader`` loads them.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import bundle
import matplotlib.pyplot as plt
from torch.utils.data import DataLoader
from webdataset import WebDataset

root = Path(bundle.__file__).parents[1]  # the folder of the bundle
output = tempfile.mkdtemp()

# %%
# The command, here with two phantoms; ``--dataset_dir DIR`` uses the joints of a folder.

command = [
    *(sys.executable, "-m", "monai.bundle", "run", "--args_file", "configs/jobs/synthesize.yaml"),
    *("--count", "24", "--joint_space_mm#lowest", "0.5", "--joint_space_mm#highest", "2.5", "--format", "webdataset"),
    *("--phantoms", "2", "--flips", "false", "--gate#largest_error", "1.0", "--output_dir", output),
]
subprocess.run(command, cwd=root, check=True, capture_output=True)
print(sorted(path.name for path in Path(output).glob("*.*")))

# %%
# Archives contain radiograph, masks and ground truth of each image. ``decode_shard`` yields intensities in [0, 1].

from bundle.datasets import decode_shard

archives = sorted(str(path) for path in Path(output).glob("*.tar"))
images = WebDataset(archives, shardshuffle=False).decode(decode_shard)
images = images.to_tuple("npy.gz", "lower.png", "upper.png", "json")
images = images.map(lambda sample: {"image": sample[0], "joint_space_mm": sample[3]["joint_space_after_mm"]})
loader = DataLoader(images, batch_size=6)
batch = next(iter(loader))
print(tuple(batch["image"].shape), batch["joint_space_mm"].numpy().round(2))

# %%
figure, axes = plt.subplots(1, 6, figsize=(14, 2.8), layout="constrained")
for axis, image, width in zip(axes, batch["image"], batch["joint_space_mm"], strict=True):
    axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    axis.set(title=f"{width:.2f} mm", xticks=[], yticks=[])

# %%
# All joint spaces of the data set, uniform from 0.5 to 2.5 mm.

widths = [float(width) for batch in loader for width in batch["joint_space_mm"]]
figure, axis = plt.subplots(figsize=(5, 3), layout="constrained")
axis.hist(widths, bins=4, range=(0.5, 2.5))
axis.set(xlabel="joint space (mm)", ylabel="images")
