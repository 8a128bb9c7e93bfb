"""Eq. 4, 5, 6 and 13 as MONAI transforms
======================================

The physics is available as dictionary transforms for any MONAI pipeline: composition of layers (Eq. 4), rigid motion of
bone layers and masks (Eq. 5 and 6), and synthesis with another joint space (Eq. 13).
"""

import matplotlib.pyplot as plt
import torch
from bundle import Joint
from bundle.separation.transforms import RandSynthesizeJointSpaced, Reconstructd, SeparateLayersd, ShiftBonesd
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, SelectItemsd

joints = [Joint.phantom(seed=seed, joint_space_mm=2.0) for seed in (5, 9)]
samples = [
    {"image": torch.cat([joint.radiograph, joint.masks]), "spacing": torch.tensor([joint.spacing_mm])}
    for joint in joints
]

# %%
# ``image`` contains radiograph and masks. ``SeparateLayersd`` is the weight-free separation; ``label`` may also contain
# the layers of a network. ``ShiftBonesd`` moves each bone separately, here the upper bone to the right.

pipeline = Compose(
    [
        SeparateLayersd(keys="image", label_key="label"),
        ShiftBonesd(keys="image", label_key="label", translation_mm=((0.0, 0.0), (0.8, 0.0)), rotation_deg=(0.0, 4.0)),
        Reconstructd(keys="label"),
    ]
)
shifted = pipeline(samples[0])
difference = (shifted["label_radiograph"] - shifted["image"][:1]).abs().max()
print(f"largest difference of Eq. 4 from the shifted radiograph: {difference:.1e}")

# %%
# The random transforms augment a training on the fly. Their seed is set as for MONAI's transforms.

augment = Compose(
    [
        SeparateLayersd(keys="image", label_key="label"),
        RandSynthesizeJointSpaced(keys="image", label_key="label", change_mm=(-1.0, 1.0)),
        SelectItemsd(keys=["image", "label"]),
    ]
).set_random_state(0)
batch = next(iter(DataLoader(Dataset(samples * 2, augment), batch_size=4, num_workers=0)))
print(tuple(batch["image"].shape), tuple(batch["label"].shape))

# %%
# Each sample has a different joint space; radiograph, masks and layers move together.

titles = ["original", "shifted", *["random"] * 4]
images = [samples[0]["image"], shifted["image"], *batch["image"]]
figure, axes = plt.subplots(1, len(images), figsize=(14, 2.8), layout="constrained")
for axis, title, image in zip(axes, titles, images, strict=True):
    axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
    axis.contour(image[1:].amax(dim=0), levels=[0.5], colors="orange", linewidths=0.7)
    axis.set(title=title, xticks=[], yticks=[])
