"""Input and output: radiographs, masks, marked points, lists of joints, and all written files."""

from __future__ import annotations

from bundle.io.audit import PREDICTED, Joints, is_overlapping
from bundle.io.checksums import Sums, are_whole, sums_of
from bundle.io.dicom import is_dicom, read_header
from bundle.io.files import data_set_root
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
from bundle.io.joint_images import load_joint, read_joint
from bundle.io.joints import SEEDS_PER_RUN, MadeOnce, disjoint_seed, joint_items, phantom_items, training_joints
from bundle.io.lists import FOLDER, OR_FOLDER, meant_list, path_below, without_identity
from bundle.io.loading import LATERALITY, Item, MaskMaker, OpenFiles, frame_in_middle, open_joints, resampling
from bundle.io.locking import is_first
from bundle.io.mark_names import MarkName
from bundle.io.monai_reader import SUFFIXES, is_radiograph
from bundle.io.montages import (
    TITLES,
    Picture,
    difference_panel,
    grey_panel,
    joint_row,
    montage,
    montage_image,
    outlined_panel,
    plotted_panel,
)
from bundle.io.nifti import is_nifti
from bundle.io.packing import pack_joints
from bundle.io.placing import Recentre, in_hand, recentred
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
from bundle.io.reservations import (
    check_output,
    fingerprint,
    holds_results,
    inner_run,
    name_result,
    release_outputs,
    reserve_output,
    reserved,
)
from bundle.io.sharing import SharedSampler
from bundle.io.splits import loaded, named_by_joint, non_overlapping, part_of_joints, repeated, split_by_joint
from bundle.io.tables import numbers_of, read_table
from bundle.io.writing import (
    PART,
    RESULT_ENDINGS,
    append_line,
    check_destination,
    deep_pixels,
    discard_unfinished,
    mask_pixels,
    named_lines,
    png_bytes,
    replacing,
    storing,
    write_bytes,
    write_layer_images,
    write_layers,
    write_masks,
    write_or_remove,
    write_png,
    write_radiograph,
)
from bundle.joint import BONES, LAYER_NAMES

__all__ = [
    "BONES",
    "DATA_SETS",
    "FOLDER",
    "LATERALITY",
    "LAYER_NAMES",
    "LISTS",
    "METRICS",
    "OR_FOLDER",
    "PART",
    "PREDICTED",
    "RESULT_ENDINGS",
    "SEEDS_PER_RUN",
    "SUFFIXES",
    "TITLES",
    "Item",
    "JointFrame",
    "JointPlace",
    "Joints",
    "MadeOnce",
    "MarkName",
    "MaskMaker",
    "OpenFiles",
    "Picture",
    "Recentre",
    "SharedSampler",
    "Sums",
    "append_line",
    "are_whole",
    "bundle_version",
    "check_area",
    "check_destination",
    "check_output",
    "command_line",
    "data_set_root",
    "deep_pixels",
    "difference_panel",
    "discard_unfinished",
    "disjoint_seed",
    "file_stem",
    "files_below",
    "fingerprint",
    "flat_figures",
    "frame_in_middle",
    "grey_panel",
    "holds_results",
    "in_hand",
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
    "meant_list",
    "montage",
    "montage_image",
    "name_result",
    "named_by_joint",
    "named_lines",
    "non_overlapping",
    "numbers_of",
    "open_joints",
    "outlined_panel",
    "pack_joints",
    "part_of_joints",
    "path_below",
    "phantom_items",
    "plain",
    "plotted_panel",
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
    "read_table",
    "recentred",
    "release_outputs",
    "repeated",
    "replacing",
    "resampling",
    "reserve_output",
    "reserved",
    "safe_name",
    "shape_of",
    "shown_figure",
    "split_by_joint",
    "storing",
    "sums_of",
    "training_joints",
    "without_folders",
    "without_identity",
    "write_bytes",
    "write_figures",
    "write_layer_images",
    "write_layers",
    "write_masks",
    "write_measured",
    "write_or_remove",
    "write_plot",
    "write_png",
    "write_radiograph",
]
