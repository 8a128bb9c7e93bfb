"""Batch inference: separate a folder of joints, assess the results and write them."""

from __future__ import annotations

from bundle.inference.blocks import BlockSeparation, block_joints, run_blocks
from bundle.inference.joint_table import JOINT_LINES, JointTable, described_space
from bundle.inference.montage_writer import MontageWriter
from bundle.inference.nifti_writer import NiftiWriter
from bundle.inference.overviews import overview_panel, write_overviews
from bundle.inference.png_writer import PngWriter
from bundle.inference.quality import JointQuality
from bundle.inference.results import REJECTED, LayerWriter, Results, remaining, run_remaining, writable
from bundle.inference.separating import separate_batch
from bundle.inference.writers import SeparatedJoint, Writer

__all__ = [
    "JOINT_LINES",
    "REJECTED",
    "BlockSeparation",
    "JointQuality",
    "JointTable",
    "LayerWriter",
    "MontageWriter",
    "NiftiWriter",
    "PngWriter",
    "Results",
    "SeparatedJoint",
    "Writer",
    "block_joints",
    "described_space",
    "overview_panel",
    "remaining",
    "run_blocks",
    "run_remaining",
    "separate_batch",
    "writable",
    "write_overviews",
]
