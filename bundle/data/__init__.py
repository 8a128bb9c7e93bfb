"""Data in and out: lists of joints and their files, results, and montages of both."""

from __future__ import annotations

from bundle.data.claiming import claim_output, fingerprint
from bundle.data.joints import (
    Audit,
    audit,
    joint_items,
    phantom_items,
    read_datalist,
    split_by_joint,
    training_and_validation,
)
from bundle.data.loading import read_joint
from bundle.data.montage import joint_row, montage, montage_image
from bundle.data.points import read_places
from bundle.data.reader import RadiographReader
from bundle.data.reading import read_mask, read_radiograph
from bundle.data.writing import (
    replacing,
    write_bytes,
    write_image,
    write_layer_images,
    write_layers,
    write_masks,
)

__all__ = [
    "Audit",
    "RadiographReader",
    "audit",
    "claim_output",
    "fingerprint",
    "joint_items",
    "joint_row",
    "montage",
    "montage_image",
    "phantom_items",
    "read_datalist",
    "read_joint",
    "read_mask",
    "read_places",
    "read_radiograph",
    "replacing",
    "split_by_joint",
    "training_and_validation",
    "write_bytes",
    "write_image",
    "write_layer_images",
    "write_layers",
    "write_masks",
]
