from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bundle.errors import InputError
from bundle.harmonic import separate
from bundle.phantom import draw_parameters, render
from bundle.radiograph import partition, reconstruct
from bundle.uncertainty import Calibration, FlipInferer, bone_disagreement, combine, overlap_disagreement

SIZE = 48


def joint(seed: int = 0) -> Tensor:
    phantom = render(draw_parameters(seed, size=SIZE, spacing=21 / SIZE, jsw_mm=-0.6))
    return torch.cat([phantom.image, phantom.masks])[None]


def one_sided(image: Tensor) -> Tensor:
    """A separator that gives each pixel's attenuation to the layers by its column: exact, but not for both sides."""
    share = torch.linspace(0.0, 1.0, image.shape[-1]).expand(len(image), 1, image.shape[-2], -1)
    return partition(image[:, :1], torch.cat([0.2 * torch.ones_like(share), 0.8 * share, 0.8 - 0.8 * share], dim=1))


def test_the_mean_of_exact_answers_is_exact_and_that_of_intensities_is_not() -> None:
    image = joint()
    answers = torch.stack([one_sided(image), one_sided(image.flip(-1)).flip(-1)], dim=1)
    mean, _ = combine(answers)
    assert torch.allclose(reconstruct(mean), image[:, :1], atol=1e-6)
    assert (reconstruct(answers.mean(dim=1)) - image[:, :1]).abs().max() > 0.01


def test_an_answer_that_knows_no_side_is_not_changed_and_has_no_disagreement() -> None:
    """Shares of a half each are the same in the mirror."""
    image = joint()
    inferer = FlipInferer()
    shares = torch.tensor([0.5, 0.25, 0.25]).reshape(1, 3, 1, 1).expand(1, 3, SIZE, SIZE)
    layers = inferer(image, lambda given: partition(given[:, :1], shares))
    assert torch.allclose(layers, partition(image[:, :1], shares), atol=1e-6)
    assert inferer.deviation is not None
    assert float(inferer.deviation.abs().max()) == 0.0


def test_the_mirrored_joint_gets_the_mirrored_answer() -> None:
    image = joint(1)
    layers = FlipInferer()(image, one_sided)
    assert torch.allclose(FlipInferer()(image.flip(-1), one_sided), layers.flip(-1), atol=1e-6)


@pytest.mark.parametrize("flips", [False, "false"])
def test_without_flips_there_is_one_answer_and_no_deviation(flips: bool | str) -> None:
    image, inferer = joint(), FlipInferer(flips)
    assert torch.equal(
        inferer(image, lambda given: separate(given[:, :1], given[:, 1:])), separate(image[:, :1], image[:, 1:])
    )
    assert inferer.deviation is None


def test_disagreement_is_that_of_the_bones_in_the_region_alone() -> None:
    deviation = torch.zeros(2, 3, 4, 4)
    deviation[:, 0] = 9.0
    deviation[:, 1, :2], deviation[:, 2, :2] = 0.3, 0.4
    masks = torch.zeros(2, 2, 4, 4)
    masks[0, :, :2] = 1.0
    found = overlap_disagreement(deviation, masks)
    assert float(found[0]) == pytest.approx(np.sqrt((0.09 + 0.16) / 2.0))
    assert bool(found[1].isnan())
    assert float(bone_disagreement(deviation, torch.ones(2, 1, 4, 4))[0]) == pytest.approx(0.25)


def test_a_power_law_is_found_and_its_spread_too() -> None:
    random = np.random.RandomState(0)
    disagreement = np.exp(random.uniform(-6.0, -2.0, size=4000))
    error = 0.4 * disagreement**0.5 * np.exp(random.normal(0.0, 0.2, size=4000))
    found = Calibration.fit([*disagreement, np.nan, 0.0], [*error, 0.1, 0.1], "any", {})
    assert found.slope == pytest.approx(0.5, abs=0.01)
    assert found.expected(0.01) == pytest.approx(0.04, rel=0.02)
    assert found.excess == pytest.approx(np.exp(0.2 * 1.2816), rel=0.02)
    covered = [error_ <= found.upper(value) for value, error_ in zip(disagreement, error, strict=True)]
    assert np.mean(covered) == pytest.approx(0.9, abs=0.005)


def test_more_disagreement_never_means_less_error() -> None:
    found = Calibration.fit([0.1, 0.2, 0.4], [0.4, 0.2, 0.1], "any", {})
    assert found.slope == 0.0
    assert found.expected(0.1) == found.expected(0.4) == pytest.approx(0.2)
    assert np.isnan(Calibration.fit([0.1, 0.2, 0.4], [0.1, 0.2, 0.4], "any", {}).expected(np.nan))


def test_a_calibration_needs_joints_with_a_known_error() -> None:
    with pytest.raises(ValueError, match="at least three joints with an overlap and a known error, got 2"):
        Calibration.fit([0.1, 0.2, np.nan], [0.1, 0.2, 0.3], "any", {})


def test_a_calibration_is_read_as_written_and_a_broken_one_is_named(tmp_path: Path) -> None:
    made = Calibration(0.7, -1.0, 1.4, "model.pt (sha256 0)", {"seed": 3})
    made.write(tmp_path / "uncertainty.json")
    assert Calibration.read(tmp_path / "uncertainty.json") == made
    content = json.loads((tmp_path / "uncertainty.json").read_text())
    for broken in ({**content, "more": 1}, [], {"slope": 1.0}):
        (tmp_path / "broken.json").write_text(json.dumps(broken))
        with pytest.raises(InputError, match=r"expected a calibration, got .*broken\.json"):
            Calibration.read(tmp_path / "broken.json")
    with pytest.raises(InputError, match="expected a calibration"):
        Calibration.read(tmp_path / "absent.json")
