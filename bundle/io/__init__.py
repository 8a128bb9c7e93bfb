"""Files in and out: radiographs, masks, marked points, lists of joints, and everything that is written."""

from __future__ import annotations

from bundle.io.audit import DRAWN, Joints, is_overlapping
from bundle.io.checksums import Sums, are_whole, sums_of
from bundle.io.claiming import (
    check_output,
    claim_output,
    claimed,
    end_claims,
    fingerprint,
    holds_results,
    inner_run,
    name_result,
)
from bundle.io.dicom import is_dicom, read_header
from bundle.io.folders import files_below
from bundle.io.frames import JointFrame, JointPlace
from bundle.io.identity import (
    DATA_SETS,
    LISTS,
    private_folder,
    private_list,
    private_name,
    private_setting,
    safe_name,
    without_folders,
)
from bundle.io.joints import SEEDS_PER_RUN, MadeOnce, joint_items, phantom_items, training_joints
from bundle.io.lists import FOLDER
from bundle.io.loading import (
    LATERALITY,
    Item,
    MaskMaker,
    OpenFiles,
    frame_in_middle,
    load_joint,
    open_joints,
    read_joint,
    resampling,
)
from bundle.io.locking import is_first
from bundle.io.monai_reader import SUFFIXES, is_radiograph
from bundle.io.montages import TITLES, Picture, difference_panel, joint_row, montage, montage_image, outlined_panel
from bundle.io.nifti import is_nifti
from bundle.io.packing import pack_joints
from bundle.io.points import read_places
from bundle.io.provenance import bundle_version, command_line, machine, processor
from bundle.io.reading import check_area, layer_files, read_layers, read_stated, shape_of
from bundle.io.reports import (
    METRICS,
    file_stem,
    flat_figures,
    plain,
    shown_figure,
    write_figures,
    write_measured,
    write_plot,
)
from bundle.io.sharing import SharedSampler
from bundle.io.splits import loaded, non_overlapping, part_of_joints, repeated, split_by_joint, with_widths
from bundle.io.writing import (
    PART,
    RESULT_ENDINGS,
    append_line,
    deep_pixels,
    discard_unfinished,
    mask_pixels,
    png_bytes,
    replacing,
    storing,
    write_bytes,
    write_layer_images,
    write_layers,
    write_masks,
    write_png,
)
from bundle.joint import BONES, LAYER_NAMES

__all__ = [
    "BONES",
    "DATA_SETS",
    "DRAWN",
    "FOLDER",
    "LATERALITY",
    "LAYER_NAMES",
    "LISTS",
    "METRICS",
    "PART",
    "RESULT_ENDINGS",
    "SEEDS_PER_RUN",
    "SUFFIXES",
    "TITLES",
    "Item",
    "JointFrame",
    "JointPlace",
    "Joints",
    "MadeOnce",
    "MaskMaker",
    "OpenFiles",
    "Picture",
    "SharedSampler",
    "Sums",
    "append_line",
    "are_whole",
    "bundle_version",
    "check_area",
    "check_output",
    "claim_output",
    "claimed",
    "command_line",
    "deep_pixels",
    "difference_panel",
    "discard_unfinished",
    "end_claims",
    "file_stem",
    "files_below",
    "fingerprint",
    "flat_figures",
    "frame_in_middle",
    "holds_results",
    "inner_run",
    "is_dicom",
    "is_first",
    "is_nifti",
    "is_overlapping",
    "is_radiograph",
    "joint_items",
    "joint_row",
    "layer_files",
    "load_joint",
    "loaded",
    "machine",
    "mask_pixels",
    "montage",
    "montage_image",
    "name_result",
    "non_overlapping",
    "open_joints",
    "outlined_panel",
    "pack_joints",
    "part_of_joints",
    "phantom_items",
    "plain",
    "png_bytes",
    "private_folder",
    "private_list",
    "private_name",
    "private_setting",
    "processor",
    "read_header",
    "read_joint",
    "read_layers",
    "read_places",
    "read_stated",
    "repeated",
    "replacing",
    "resampling",
    "safe_name",
    "shape_of",
    "shown_figure",
    "split_by_joint",
    "storing",
    "sums_of",
    "training_joints",
    "with_widths",
    "without_folders",
    "write_bytes",
    "write_figures",
    "write_layer_images",
    "write_layers",
    "write_masks",
    "write_measured",
    "write_plot",
    "write_png",
]
