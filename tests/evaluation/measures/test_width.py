"""E6_width on phantoms: synthetic radiographs state the joint space that is measured in them, and errors are found."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from bundle.errors import InputError
from bundle.evaluation.evaluation import Task
from bundle.evaluation.measures.control import JointSpaceControl
from bundle.evaluation.measures.width import ANEW, OWN, PREDICTED, StatedJointSpace
from bundle.evaluation.separators import LayersFolder, NetworkSeparator, SeparatesAnew
from bundle.joint import MCP
from bundle.measurement import measure_joint_space
from bundle.phantoms.rendering import render
from bundle.phantoms.sampling import sample_parameters
from bundle.phantoms.surfaces import true_joint_space, with_joint_space
from bundle.physics.harmonic import separate
from bundle.statistics.measured import Measured, SeparatedJoints
from torch import Tensor

SPACING = MCP.spacing_mm
PIXELS = 3
"""Error of a separator that shifts the lower bone."""

WIDTHS = (2.2, 1.6)
QUICK = StatedJointSpace(changes_mm=(-0.05,), random_changes=1, largest_mm=0.5, samples=50)


@functools.cache
def phantoms() -> SeparatedJoints:
    """Two phantoms with their true layers."""
    made = [render(with_joint_space(sample_parameters(seed), width)) for seed, width in enumerate(WIDTHS, 3)]
    names = [{"name": f"p{i}", "joint": f"p{i}", "finger": p.parameters.finger} for i, p in enumerate(made)]
    items = [{**name, "side": "left", "spacing": SPACING} for name in names]
    images = torch.stack([torch.cat([phantom.image, phantom.masks]) for phantom in made])
    return SeparatedJoints(items, images, torch.stack([phantom.layers for phantom in made]))


def weight_free(images: Tensor) -> Tensor:
    return separate(images[:, :1], images[:, 1:])


def shifting(images: Tensor) -> Tensor:
    """A separator that puts the lower bone too far down."""
    layers = weight_free(images)
    layers[:, 1] = layers[:, 1].roll(PIXELS, dims=-2)
    return layers


def with_fixed_masks(image: Tensor) -> Tensor:
    """A segmenter that finds the bones of the first phantom in its unchanged place, in whatever image."""
    return (phantoms().images[0, 1:] > 0.5).float()


@functools.cache
def measured_by(separator: Callable[[Tensor], Tensor]) -> Measured:
    return replace(QUICK, separate=separator)(phantoms())


@pytest.mark.slow
def test_synthetic_radiographs_of_phantoms_have_the_stated_joint_space() -> None:
    figures = measured_by(weight_free).figures
    assert (figures["sources"], figures["sources_refused"], figures["images"]) == (2, 0.0, 4)
    assert figures[OWN]["mae"] <= 0.01 and figures[ANEW]["mae"] <= 0.04
    assert figures[OWN]["slope"] == pytest.approx(1.0, abs=0.03)
    assert figures[OWN]["refused"] == figures[ANEW]["refused"] == 0.0


@pytest.mark.slow
def test_the_stated_joint_space_is_the_true_one_of_the_phantom_and_its_change() -> None:
    rows = measured_by(weight_free).per_image
    truth = {
        f"p{i}": true_joint_space(with_joint_space(sample_parameters(i + 3), width)) for i, width in enumerate(WIDTHS)
    }
    for row in rows.itertuples():
        assert row.stated_mm == pytest.approx(truth[row.name] + row.asked, abs=0.05)
        assert row.stated_mm - row.source_mm == pytest.approx(row.asked, abs=0.02)


@pytest.mark.slow
def test_a_separator_that_shifts_a_bone_is_found_on_the_finished_image_only() -> None:
    good, bad = measured_by(weight_free).figures, measured_by(shifting).figures
    assert bad[OWN] == good[OWN]
    assert bad[ANEW]["bias"] - good[ANEW]["bias"] == pytest.approx(PIXELS * SPACING, abs=0.06)


@pytest.mark.slow
def test_figures_are_those_of_a_loop_over_the_images() -> None:
    found = measured_by(weight_free)
    rows = found.per_image
    errors = [row.anew - row.stated_mm for row in rows.itertuples()]
    bias = sum(errors) / len(errors)
    deviation = (sum((error - bias) ** 2 for error in errors) / (len(errors) - 1)) ** 0.5
    figures = found.figures[ANEW]
    assert figures["bias"] == pytest.approx(bias)
    assert figures["mae"] == pytest.approx(sum(map(abs, errors)) / len(errors))
    assert figures["limits"] == pytest.approx([bias - 1.96 * deviation, bias + 1.96 * deviation], abs=1e-4)
    changes = [rows[name] - rows["source_mm"] for name in ("stated_mm", "anew")]
    assert figures["slope"] == pytest.approx(np.polyfit(*changes, 1)[0])
    for name in ("bias", "mae", "slope"):
        low, high = figures[f"{name}_interval"]
        assert low <= figures[name] <= high


@pytest.mark.slow
def test_a_joint_that_is_refused_makes_no_image_and_is_counted() -> None:
    joints = phantoms()
    images = joints.images.clone()
    images[1, 1:] = 0.0
    found = QUICK(replace(joints, images=images))
    assert (found.figures["sources"], found.figures["sources_refused"], found.figures["images"]) == (2, 0.5, 2)
    assert found.per_image["source_refused"].tolist()[-1].startswith("the masks show no two bones")
    assert list(found.worst) == ["p0"]
    nothing = QUICK(replace(joints, images=images.index_select(0, torch.tensor([1, 1]))))
    assert nothing.figures[OWN] == {"images": 0} and not nothing.worst and not nothing.plots


@pytest.mark.slow
def test_the_finished_image_is_separated_with_the_masks_that_are_predicted_in_it() -> None:
    one = SeparatedJoints(phantoms().items[:1], phantoms().images[:1], phantoms().layers[:1])
    seen: list[Tensor] = []

    def recording(images: Tensor) -> Tensor:
        seen.append(images)
        return weight_free(images)

    measure = replace(QUICK, random_changes=0, separate=recording, segment=with_fixed_masks)
    row = measure(one).per_image.iloc[0]
    (moved, predicted) = seen
    assert torch.equal(moved[:, :1], predicted[:, :1])
    assert not torch.equal(moved[:, 1:], predicted[:, 1:])
    expected = measure_joint_space(weight_free(predicted), predicted[:, 1:], SPACING)
    assert row[PREDICTED] == pytest.approx(float(expected.mean))


def test_without_a_separator_only_the_layers_of_the_images_are_measured() -> None:
    assert QUICK.ways == (OWN,)
    assert replace(QUICK, segment=with_fixed_masks).ways == (OWN,)
    assert replace(QUICK, separate=weight_free).ways == (OWN, ANEW)
    assert replace(QUICK, separate=weight_free, segment=with_fixed_masks).ways == (OWN, ANEW, PREDICTED)


def test_layers_of_a_folder_are_not_separated_anew(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert SeparatesAnew.of(LayersFolder(tmp_path)) is None
    with pytest.raises(InputError, match="does not exist"):
        LayersFolder(tmp_path / "absent")


def test_the_separator_is_part_of_the_settings_by_its_weights() -> None:
    class Weights:
        source = "model.pt (sha256 1234)"

    same: list[Any] = [lambda joint: joint] * 2
    network = NetworkSeparator(torch.nn.Identity(), Weights(), lambda images, network: images, *same)
    anew = SeparatesAnew.of(network)
    assert anew is not None
    settings = Task(replace(QUICK, separate=anew), ["test"]).settings
    assert settings["separate"] is anew and str(anew) == "model.pt (sha256 1234)"
    assert torch.equal(anew(torch.ones(2, 3, 8, 8)), torch.ones(2, 3, 8, 8))


def test_the_changes_are_those_of_the_control_of_the_joint_space() -> None:
    width, control = StatedJointSpace().sampled(3), JointSpaceControl().sampled(3)
    assert [[change.row() for change in one] for one in width] == [[c.row() for c in one] for one in control]


def test_nothing_to_measure_is_an_error() -> None:
    with pytest.raises(ValueError, match="joints and changes must be at least 1 each"):
        replace(QUICK, changes_mm=(), random_changes=0)(phantoms())
