"""Columns of the tables: the figures of each measure, their goals and published values."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundle.evaluation.measures import (
    JointSpaceControl,
    LayerTruth,
    MaskAgreement,
    Realism,
    RealismInPose,
    ReconstructionQuality,
    ShadowDetectability,
    StatedJointSpace,
)

ABSENT = "-"


@dataclass(frozen=True)
class Column:
    """A column of a table: a figure of a measure, with its goal and the published value."""

    measure: str
    figure: str
    title: str
    goal: str = ABSENT
    paper: str = ABSENT


SAID = {
    "E1": (
        "Reconstruction of the radiograph by the layers, in the visible region. PSNR is capped at 120 dB. The Frechet "
        "distance is that of two Gaussians fitted to the rows of pixels of ONE image. The authors' code calls it "
        '"FID"; it involves no Inception network and is not FID.'
    ),
    "E2": (
        "RMSE of the layers on test joints without overlap, closed with a fixed seed; the truth is the weight-free "
        'separation before the closure. "Deep": as in training; "real": the range of the overlapping joints of the '
        "test list."
    ),
    "E3": (
        "RMSE of the layers on phantoms, whose layers come from no separator; phantoms of generator version 1, whose "
        "joint surfaces vary less."
    ),
    "E3_closed": ("The same on phantoms, closed like the joints of E2."),
    "E4": (
        "A fresh segmenter looks for the bones in soft-tissue layers; area under the ROC in a band around their "
        "outline, compared with predictors from the usual position of bones (shape) or the outline of the finger "
        "alone. Means over the fits."
    ),
    "E4_phantoms": (
        "The same on phantoms, beside the same segmenter on their true soft tissue: the area that is left without any "
        "shadow."
    ),
    "E5": (
        "A fresh classifier distinguishes real from synthetic radiographs of other joints; 0.5 is chance. The floors "
        "are real against real; real against synthetic without motion; real against real moved as a whole; and the "
        "outlines of the bones alone, in place against moved. The last two measure the information in the positions of "
        'the bones, whatever the layers: frames are centred on their joint. "Together": both bones move alike, and the '
        "real joint is equally off-centre."
    ),
    "E5_in_pose": (
        "The same in the poses of other visits: the bones of each synthetic radiograph lie where a registration finds "
        "them in another real radiograph of the joint, and every radiograph is cropped at a random position, so that "
        "only the pixels can tell. In pairs: the synthetic one of both radiographs of a joint is recognised. A tenth "
        "of the bones left in the soft tissue, half split and nearest-neighbour interpolation must be found."
    ),
    "E6": (
        "Requested change of the joint space against the change that image registration finds in real joints, in mm. "
        "The four trials in which a bone was not found belong to one radiograph, whose masks both lie on the same "
        "bone, so that nothing should be found. In rows measured before version 0.9 the bones of another, which "
        "overlap by 5 mm, were not found either."
    ),
    "E6_phantoms": ("The same on phantoms."),
    "E6_width": (
        "Stated joint space of synthetic radiographs of real joints against the one measured in them anew, in mm: on "
        "the layers that made the image, on the finished image separated anew with the moved masks, and with masks "
        "that are predicted in it. The slope is that of the measured change over the stated one. Radiographs whose own "
        "measurement is refused make no image."
    ),
    "E6_width_phantoms": ("The same on phantoms."),
    "masks": (
        "Masks that a network predicts on the test joints against those of the list: whole bones, in all joints, in "
        "overlapping and in other joints; the region of a bone outside the overlap; and the overlap itself. HD95 is "
        "the 95 % Hausdorff distance."
    ),
}
"""Description of each measure; published figures are those of Table 1 of LSN, overall."""

MEASURES = (
    ReconstructionQuality,
    LayerTruth,
    ShadowDetectability,
    Realism,
    RealismInPose,
    JointSpaceControl,
    StatedJointSpace,
    MaskAgreement,
)
"""The measures with their own tables, whose columns and goals they state."""

COLUMNS = {
    name: tuple(Column(name, of.figure, of.title, of.goal or ABSENT, of.paper or ABSENT) for of in columns)
    for kind in MEASURES
    for name, columns in kind.columns.items()
}
"""The columns of each measure."""


def shown_as(title: str, measure: str, figure: str, **changed: str) -> Column:
    """Return a column of a measure under another title, with another goal or published value."""
    (found,) = (column for column in COLUMNS[measure] if column.figure == figure)
    return replace(found, title=title, **changed)


MAIN = (
    shown_as("E1 lowest PSNR (dB)", "E1", "psnr_lowest"),
    shown_as("E2 bones in the overlap", "E2", "deep_overlap_rmse"),
    shown_as("E2 soft tissue", "E2", "deep_soft_rmse"),
    shown_as("E3 bones", "E3", "bones_rmse"),
    shown_as("E3 soft tissue", "E3", "soft_rmse"),
    shown_as("E4 AUC above shape", "E4", "above_shape"),
    shown_as("E5 accuracy", "E5", "accuracy_0.5mm"),
    shown_as("E6 MAE (mm)", "E6", "mae"),
    shown_as("E6 MAE, phantoms (mm)", "E6_phantoms", "mae"),
    shown_as("E6 width MAE, separated anew (mm)", "E6_width", "anew mae"),
)
"""One or two figures of each measure; the goals are the project's."""

ABLATIONS = tuple(
    shown_as(title, measure, figure, goal=ABSENT, paper=ABSENT)
    for title, measure, figure in (
        ("E1 PSNR (dB)", "E1", "psnr"),
        ("E1 lowest PSNR (dB)", "E1", "psnr_lowest"),
        ("E2 bones in the overlap", "E2", "deep_overlap_rmse"),
        ("E2 whole bones", "E2", "deep_bones_rmse"),
        ("E2 soft tissue", "E2", "deep_soft_rmse"),
        ("E3 bones", "E3", "bones_rmse"),
        ("E3 soft tissue", "E3", "soft_rmse"),
        ("E4 AUC above shape", "E4", "above_shape"),
    )
)
"""Columns for the variants of one method."""
