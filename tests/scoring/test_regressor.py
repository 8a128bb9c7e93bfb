"""The regressor beside the measurement: its weights, its frame and its doubt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from bundle.errors import InputError
from bundle.networks import file_label
from bundle.phantoms import render, sample_parameters
from bundle.scoring.calibration import UncertaintyCalibration, calibration_path
from bundle.scoring.frames import ReadingFramed
from bundle.scoring.losses import predicted_joint_space
from bundle.scoring.networks import make_scorer
from bundle.scoring.regressor import JointSpaceRegressor
from torch import Tensor

PIXEL = 21 / 128


def network(outputs: int = 2) -> torch.nn.Module:
    torch.manual_seed(0)
    return make_scorer("ResNet10", outputs, {"widen_factor": 0.125})


@pytest.fixture(scope="module")
def image() -> Tensor:
    phantom = render(sample_parameters(0, size=128, spacing=PIXEL))
    return torch.cat([phantom.image, phantom.masks])


def test_a_prediction_is_that_of_the_network_for_the_frame_of_the_joint(tmp_path: Path, image: Tensor) -> None:
    made, frame = network(), ReadingFramed(32, 10.0)
    torch.save(made.state_dict(), tmp_path / "regressor.pt")
    found = JointSpaceRegressor(network(), tmp_path / "regressor.pt", frame)(image, PIXEL)
    shown = frame({"image": image, "spacing": torch.tensor([PIXEL])})["image"]
    with torch.no_grad():
        expected = predicted_joint_space(made.eval()(shown[None]))
    assert found == pytest.approx([float(value) for value in expected], abs=1e-5)


def test_the_standard_deviation_is_calibrated_by_the_file_beside_the_weights(tmp_path: Path, image: Tensor) -> None:
    path = tmp_path / "regressor.pt"
    torch.save(network().state_dict(), path)
    plain = JointSpaceRegressor(network(), path, ReadingFramed(32, 10.0))(image, PIXEL)
    UncertaintyCalibration(2.5, file_label(path), {}).write(calibration_path(path))
    mean, deviation = JointSpaceRegressor(network(), path, ReadingFramed(32, 10.0))(image, PIXEL)
    assert mean == plain[0] and deviation == pytest.approx(2.5 * plain[1])


def test_weights_are_needed_only_for_a_prediction(tmp_path: Path, image: Tensor) -> None:
    regressor = JointSpaceRegressor(network(), tmp_path / "absent.pt", ReadingFramed(32, 10.0))
    with pytest.raises(InputError, match=r"absent\.pt"):
        regressor(image, PIXEL)
    torch.save(network(1).state_dict(), tmp_path / "other.pt")
    with pytest.raises(InputError, match="not the weights of this joint space regressor"):
        JointSpaceRegressor(network(), tmp_path / "other.pt", ReadingFramed(32, 10.0))(image, PIXEL)
